"""The floor of a recovery: `floor.sh` on a lab."""

from __future__ import annotations

import subprocess
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.timed import Timed, timed
from lab import Lab
from lab.spec import Host

SCRIPT = Path(__file__).with_name("floor.sh")


def recover(lab: Lab, survivor: Host) -> Timed:
    """Recover the lab with the bare commands.

    Raises LabError where they fail.
    """
    with TemporaryDirectory(prefix="rq-bench-") as folder:
        config = Path(folder) / "config"
        config.write_text(_ssh_config(lab, Path(folder)), encoding="utf-8")
        joiners = [host.name for host in lab.hosts if host != survivor]
        try:
            return timed(["bash", str(SCRIPT), str(config), survivor.name, *joiners])
        finally:
            for host in lab.hosts:  # a connection is opened by its first command, and kept for the others
                ssh = ["ssh", "-F", str(config), "-O", "exit", host.name]
                subprocess.run(ssh, capture_output=True, check=False)


def phases(output: str) -> list[tuple[str, float]]:
    """The script's phases with what each took, in seconds, from what it printed."""
    marks = [line.split(" ", 1) for line in output.splitlines()]
    return [(what, float(after) - float(at)) for (at, what), (after, _) in pairwise(marks)]


def _ssh_config(lab: Lab, folder: Path) -> str:
    spec, secrets = lab.record.spec, lab.secrets
    hosts = "".join(f"Host {host.name}\n  HostName {host.address}\n" for host in lab.hosts)
    return (
        f"{hosts}Host *\n"
        f"  User {spec.user}\n"
        f"  Port {spec.ssh_port}\n"
        f"  IdentityFile {secrets / 'id_ed25519'}\n"
        "  IdentitiesOnly yes\n"
        f"  UserKnownHostsFile {secrets / 'known_hosts'}\n"
        "  StrictHostKeyChecking yes\n"
        "  LogLevel ERROR\n"
        "  ControlMaster auto\n"
        f"  ControlPath {folder}/%C\n"
        "  ControlPersist 60\n"
    )

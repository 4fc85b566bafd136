"""Switch one host on and off: systemd-nspawn on an overlay, in a control group and a network namespace of its own."""

from __future__ import annotations

import contextlib
import shlex
import socket
import subprocess
from datetime import datetime, timezone
from pathlib import Path

from lab import cgroups, inotify, mounts, network, wait
from lab.errors import LabError
from lab.shell import CLEAN_ENVIRONMENT, Completed, run
from lab.spec import Host
from lab.state import Record

# The overlay is mounted in a mount namespace of the host's own: it is gone when the host is. nspawn ends with 133 when
# the guest asks for a reboot; anything else means that the host is off, and is written down: the guest itself may have
# said nothing.
_POWER = """\
#!/bin/sh
# Written by the lab: keeps one host running through its own reboots.
# A group that is gone means that the lab was taken down meanwhile.
for group in {power_groups}; do echo 0 > "$group/cgroup.procs" || exit 1; done
while :; do
    (
        for group in {host_groups}; do echo 0 > "$group/cgroup.procs" || exit 1; done
        exec {own_mounts} sh -c {inner}
    )
    code=$?
    [ $code = 133 ] && continue
    echo "$(date -u +%FT%TZ) {ended} $code" >> {log}
    exit 0
done
"""


ENDED = "systemd-nspawn ended with exit code"


def power_log(record: Record, host: Host) -> Path:
    """When the host got its power, lost it, or went off by itself, and with which exit code: one line each."""
    return record.host_directory(host) / "power.log"


def last_power(record: Record, host: Host) -> str:
    """The last line of the power log; empty if there is none."""
    try:
        return power_log(record, host).read_text(encoding="utf-8").rstrip().rpartition("\n")[2]
    except FileNotFoundError:
        return ""


def _note_power(record: Record, host: Host, what: str) -> None:
    with open(power_log(record, host), "a", encoding="utf-8") as stream:
        stream.write(f"{datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%SZ} {what}\n")


def group(record: Record, host: Host) -> str:
    """The host's control group: everything that runs on it."""
    return cgroups.group_of(record.spec.name, record.network, host.short)


def propagated(record: Record, host: Host) -> Path:
    """The directory that nspawn makes for later mounts into the host, and leaves there when it is killed."""
    return Path("/run/systemd/nspawn/propagate") / network.namespace(record, host)


def power_group(record: Record, host: Host) -> str:
    """The control group of what restarts the host when it reboots itself."""
    return cgroups.group_of(record.spec.name, record.network, f"{host.short}.power")


def switch_on(record: Record, host: Host) -> None:
    """Start the host and return at once; see `wait_reachable`.

    Raises:
        LabError: it runs already, or its network cannot be made.
    """
    if cgroups.pids(group(record, host)):
        raise LabError(f"{host.name} is already switched on")
    directory = record.host_directory(host)
    (directory / "root").mkdir(exist_ok=True)
    work = record.disk(host) / "work"
    work.mkdir(exist_ok=True)
    network.plug_in(record, host)
    options = ",".join(
        [
            f"lowerdir={record.root}",
            f"upperdir={record.upper(host)}",
            f"workdir={work}",
            # A saved upper layer is put back as a copy: nothing in it may point at inodes.
            "index=off,xino=off,redirect_dir=off,metacopy=off",
        ]
    )
    mount = ["mount", "-t", "overlay", "overlay", "-o", options, str(directory / "root")]
    nspawn = [
        "systemd-nspawn",
        "--quiet",
        "--boot",
        "--register=no",
        "--keep-unit",
        "--settings=no",
        "--link-journal=no",
        "--resolv-conf=off",
        "--timezone=off",
        "--console=pipe",
        "--capability=CAP_NET_ADMIN",
        f"--network-namespace-path=/run/netns/{network.namespace(record, host)}",
        f"--machine={network.namespace(record, host)}",
        f"--hostname={host.name}",
        f"--directory={directory / 'root'}",
    ]
    script = directory / "power.sh"
    text = _POWER.format(
        power_groups=" ".join(map(str, cgroups.create(power_group(record, host)))),
        host_groups=" ".join(map(str, cgroups.create(group(record, host)))),
        own_mounts=shlex.join([*mounts.OWN, *mounts.ENTER]),
        inner=shlex.quote(f"{shlex.join(mount)} && exec {shlex.join(nspawn)}"),
        ended=ENDED,
        log=shlex.quote(str(power_log(record, host))),
    )
    script.write_text(text, encoding="utf-8")
    _note_power(record, host, "switched on")
    with open(directory / "console.log", "ab") as console:
        # setsid --fork: the host outlives this process and is nobody's child here.
        subprocess.run(
            ["setsid", "--fork", "/bin/sh", str(script)],
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=console,
            cwd="/",
            env={**CLEAN_ENVIRONMENT, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1", "SYSTEMD_NSPAWN_LOCK": "0"},
            check=True,
        )
    wait.until(lambda: is_on(record, host), f"{host.name} starts (see {directory / 'console.log'})", 10, every=0.01)


def cut_power(record: Record, hosts: tuple[Host, ...]) -> None:
    """Take the power from all of `hosts` at once: their peers hear nothing, their processes end where they are.

    SIGKILL of nspawn alone is not enough: the guest's init, and etcd with it, outlives it (seen). Afterwards nothing is
    left in their control groups, which proves that etcd is gone, and their addresses are on no interface.
    """
    on = [host for host in hosts if is_on(record, host)]
    for host in hosts:
        network.unplug(record, host)
    for host in hosts:
        cgroups.kill(power_group(record, host))
        cgroups.kill(group(record, host))
    for host in hosts:
        network.remove(record, host)
        cgroups.remove(group(record, host))
        cgroups.remove(power_group(record, host))
        with contextlib.suppress(FileNotFoundError):
            propagated(record, host).rmdir()
    for host in on:
        _note_power(record, host, "power taken")


def is_on(record: Record, host: Host) -> bool:
    """Whether anything of the host runs."""
    return bool(cgroups.pids(group(record, host)) or cgroups.pids(power_group(record, host)))


def init_pid(record: Record, host: Host) -> int | None:
    """The guest's init as this machine sees it; None while the host is off or between two boots."""
    for pid in sorted(cgroups.pids(group(record, host))):
        try:
            status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
        except (FileNotFoundError, ProcessLookupError):
            continue
        for line in status.splitlines():
            words = line.split()
            # Two pid namespaces, ours and the guest's: a container of the guest has a process 1 as well, in a third one.
            if words and words[0] == "NSpid:" and len(words) == 3 and words[-1] == "1":
                return pid
    return None


def run_inside(
    record: Record, host: Host, command: str, *, timeout: float, stdin: str | None, check: bool
) -> Completed:
    """Run a shell line on the host as root, without SSH."""
    pid = init_pid(record, host)
    if pid is None:
        raise LabError(f"{host.name} is switched off; run: python -m lab boot {host.short} --name {record.spec.name}")
    namespaces = ["--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--root", "--wd"]
    return run(
        ["nsenter", f"--target={pid}", *namespaces, "/bin/bash", "-c", command],
        timeout=timeout,
        stdin=stdin,
        check=check,
    )


def listens(record: Record, host: Host, port: int) -> bool:
    """Whether something on the host listens on TCP `port`; read from the kernel, so that no server notices."""
    pid = init_pid(record, host)
    if pid is None:
        return False
    rows: list[str] = []
    for table in ("tcp", "tcp6"):
        try:
            rows += Path(f"/proc/{pid}/net/{table}").read_text(encoding="ascii").splitlines()[1:]
        except (FileNotFoundError, ProcessLookupError, OSError):
            return False  # switched off this moment
    # proc(5): local address:port in hexadecimal is the second field, the state is the fourth; 0A is LISTEN.
    return any(row.split()[1].endswith(f":{port:04X}") and row.split()[3] == "0A" for row in rows)


def wait_reachable(record: Record, host: Host, within: float = 60) -> None:
    """Wait until sshd greets.

    A host that goes off again is switched on once more: others may have taken the inotify instances that were there for
    it when it was switched on, and then it ends and says nothing (see `inotify`). A second time is an error.
    """
    tried_again = False

    def greets() -> bool:
        nonlocal tried_again
        if not is_on(record, host):
            if tried_again:
                log = record.host_directory(host) / "console.log"
                tail = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:])
                raise LabError(
                    f"{host.name} went off while booting, twice: {last_power(record, host)}. "
                    f"The end of its console, {log}:\n{tail or '(it said nothing)'}"
                )
            inotify.require(1)
            tried_again = True
            cut_power(record, (host,))
            switch_on(record, host)
            return False
        try:
            with socket.create_connection((host.address, record.spec.ssh_port), timeout=0.5) as connection:
                connection.settimeout(2)
                return connection.recv(4) == b"SSH-"
        except OSError:
            return False

    wait.until(greets, f"sshd of {host.name} ({host.address}:{record.spec.ssh_port}) answers", within)


def boot_id(record: Record, host: Host) -> str:
    """The kernel's boot id as the host sees it: another one after every boot."""
    pid = init_pid(record, host)
    if pid is None:
        raise LabError(f"{host.name} is switched off")
    return Path(f"/proc/{pid}/root/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()

"""etcd as a systemd service."""

from __future__ import annotations

from requorum.changes import Change, ReloadUnits, RemoveFile, StartEtcd, WriteFile
from requorum.facts import unit
from requorum.facts.host import HostFacts
from requorum.operations.ways.units import fence, run, start_at_boot, stop, unfence, unfence_only

__all__ = ["fence", "force", "run", "start", "start_at_boot", "stop", "unfence", "unfence_only", "unforce"]

_ELECTION = ("heartbeat-interval", "election-timeout")


def start(facts: HostFacts) -> list[Change]:
    """Start etcd, and wait until it serves, which it tells systemd."""
    return [StartEtcd(facts.name)]


def force(facts: HostFacts) -> list[Change]:
    """By an environment file that is read last, under /run: a reboot takes the force away.

    The short election timeout holds for this start only, and only where no flag sets the timers: etcd ≥ 3.4 refuses a
    variable beside its flag.
    """
    lines = ["ETCD_FORCE_NEW_CLUSTER=true"]
    if not any(f"--{flag}" in facts.unit.exec_start for flag in _ELECTION):
        lines += ["ETCD_HEARTBEAT_INTERVAL=50", "ETCD_ELECTION_TIMEOUT=500"]
    environment = "\n".join(lines) + "\n"
    drop_in = (
        "# Requorum forces a new cluster at the next start of etcd, and takes this away again.\n"
        f"[Service]\nEnvironmentFile={unit.FORCE_ENVIRONMENT}\n"
    )
    return [
        WriteFile(facts.name, unit.FORCE_ENVIRONMENT, environment),
        WriteFile(facts.name, unit.FORCE, drop_in),
        ReloadUnits(facts.name, unit.FORCE, present=True),
    ]


def unforce(facts: HostFacts) -> list[Change]:
    """The next start of etcd does not force."""
    return [
        RemoveFile(facts.name, unit.FORCE),
        ReloadUnits(facts.name, unit.FORCE, present=False),
        RemoveFile(facts.name, unit.FORCE_ENVIRONMENT),
    ]

"""etcd in a container that a systemd unit runs (``docker run --env-file=/etc/etcd/etcd.conf``)."""

from __future__ import annotations

from requorum.changes import Change, ReloadUnits, RemoveFile, SetForce, StartEtcd, WriteFile
from requorum.facts.host import HostFacts
from requorum.operations.ways.units import fence, run, start_at_boot, stop, unfence, unfence_only

ARMED = "/run/requorum-force"
"""While it is there, a forced container may start; a reboot takes it away."""

_GUARD = "# Requorum forces a new cluster by etcd.conf, and takes this away with it: no reboot starts etcd with that force.\n"

__all__ = ["fence", "force", "run", "start", "start_at_boot", "stop", "unfence", "unfence_only", "unforce"]


def start(facts: HostFacts) -> list[Change]:
    """Start the unit, and wait until etcd serves: systemd knows only of docker."""
    return [StartEtcd(facts.name, unit=facts.unit.runtime.unit, asked=True)]


def force(facts: HostFacts) -> list[Change]:
    """In etcd.conf: a flag behind ExecStart would be docker's, and a drop-in's environment stays outside.

    What lies in etcd.conf outlives a reboot. So the unit starts meanwhile only where a file under /run says so.
    """
    path = facts.unit.runtime.guard
    return [
        WriteFile(facts.name, path, f"{_GUARD}[Unit]\nAssertPathExists={ARMED}\n"),
        ReloadUnits(facts.name, path, present=True),
        WriteFile(facts.name, ARMED, "Requorum forces a new cluster, and removes this file.\n"),
        SetForce(facts.name, present=True),
    ]


def unforce(facts: HostFacts) -> list[Change]:
    """The next start of etcd does not force."""
    path = facts.unit.runtime.guard
    return [
        SetForce(facts.name, present=False),
        RemoveFile(facts.name, path),
        ReloadUnits(facts.name, path, present=False),
        RemoveFile(facts.name, ARMED),
    ]

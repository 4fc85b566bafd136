"""etcd in a container that a systemd unit runs (``docker run --env-file=/etc/etcd/etcd.conf``)."""

from __future__ import annotations

from requorum.changes import Change, SetForce, StartEtcd
from requorum.facts.host import HostFacts
from requorum.operations.ways.units import fence, run, start_at_boot, stop, unfence, unfence_only

__all__ = ["fence", "force", "run", "start", "start_at_boot", "stop", "unfence", "unfence_only", "unforce"]


def start(facts: HostFacts) -> list[Change]:
    """Start the unit, and wait until etcd serves: systemd knows only of docker."""
    return [StartEtcd(facts.name, unit=facts.unit.runtime.unit, asked=True)]


def force(facts: HostFacts) -> list[Change]:
    """In etcd.conf: a flag behind ExecStart would be docker's, and a drop-in's environment stays outside."""
    return [SetForce(facts.name, present=True)]


def unforce(facts: HostFacts) -> list[Change]:
    """The next start of etcd does not force."""
    return [SetForce(facts.name, present=False)]

"""etcd as a static pod, which the node service runs from a manifest in its folder (38.2).

Whatever is not in the folder is not run, by no reboot either: to stop etcd and to fence it are the same.
"""

from __future__ import annotations

from requorum.changes import Change, EnableEtcd, ParkManifest, SetForce, StartPod
from requorum.facts.host import HostFacts
from requorum.facts.runtime import ASIDE

__all__ = ["fence", "force", "run", "start", "start_at_boot", "stop", "unfence", "unfence_only", "unforce"]


def stop(facts: HostFacts) -> list[Change]:
    """Move the manifest out, and wait until no process is left."""
    return [ParkManifest(facts.name, facts.unit.runtime.unit)]


fence = stop


def start(facts: HostFacts) -> list[Change]:
    """Move the manifest back, and wait until etcd serves."""
    return [StartPod(facts.name, facts.unit.runtime.unit)]


def run(facts: HostFacts) -> list[Change]:
    """Move the manifest back, and wait until a process lives."""
    return [StartPod(facts.name, facts.unit.runtime.unit, serves=False)]


def start_at_boot(facts: HostFacts) -> list[Change]:
    """The node service runs whatever lies in its folder, where it runs itself."""
    runtime = facts.unit.runtime
    return [] if runtime.node_at_boot else [EnableEtcd(facts.name, runtime.unit)]


def force(facts: HostFacts) -> list[Change]:
    """In etcd.conf, which the pod's script reads; the manifest is moved out meanwhile, and no reboot runs it (38.2)."""
    return [SetForce(facts.name, present=True)]


def unforce(facts: HostFacts) -> list[Change]:
    """The next start of etcd does not force."""
    return [SetForce(facts.name, present=False)]


def unfence(facts: HostFacts) -> list[Change]:
    """A manifest that is moved back is run at once, so `start` does it."""
    return []


def unfence_only(facts: HostFacts) -> list[Change]:
    """To where OpenShift's documents have an operator put it: no fence of ours, and nobody runs it."""
    return [ParkManifest(facts.name, facts.unit.runtime.unit, ASIDE)] if facts.unit.fenced else []

"""What a service and a container have in common: a systemd unit, and a fence that is a drop-in of it.

A drop-in whose condition never holds, not a mask: systemd cannot mask a unit whose file lies in /etc, and a mask of
ours could not be told from one of the operator's (docs/adr/0004-fence-by-drop-in.md).
"""

from __future__ import annotations

from requorum.changes import Change, EnableEtcd, ReloadUnits, RemoveFile, RunEtcd, StopEtcd, WriteFile
from requorum.facts.host import HostFacts


def stop(facts: HostFacts) -> list[Change]:
    """Stop etcd, cleanly, and wait until no process is left."""
    runtime = facts.unit.runtime
    return [StopEtcd(facts.name, unit=runtime.unit, container=runtime.container)]


def start_at_boot(facts: HostFacts) -> list[Change]:
    """Have it start when the host does."""
    return [EnableEtcd(facts.name, facts.unit.runtime.unit)]


def run(facts: HostFacts) -> list[Change]:
    """Start etcd, and wait until a process lives."""
    return [RunEtcd(facts.name, facts.unit.runtime.unit)]


def fence(facts: HostFacts) -> list[Change]:
    """The fence first, so that nothing starts etcd again after the stop."""
    path = facts.unit.runtime.fence
    since = f"recovery {facts.mark.recovery} by {facts.mark.operator}" if facts.mark else "a recovery"
    text = (
        f"# Requorum keeps etcd down on this host: {since}.\n"
        "# It lifts this fence when the host joins the cluster again. Etcd must not start here with its old data.\n"
        "[Unit]\n"
        "AssertPathExists=/this-host-is-fenced-by-requorum\n"
    )
    return [WriteFile(facts.name, path, text), ReloadUnits(facts.name, path, present=True), *stop(facts)]


def unfence(facts: HostFacts) -> list[Change]:
    """Let it be started again."""
    path = facts.unit.runtime.fence
    return [RemoveFile(facts.name, path), ReloadUnits(facts.name, path, present=False)]


unfence_only = unfence

"""The fence: etcd stopped so that it cannot come back by itself, not even by a reboot.

A drop-in whose condition never holds, not a mask: systemd cannot mask a unit whose file lies in /etc, and a mask of
ours could not be told from one of the operator's (docs/adr/0004-fence-by-drop-in.md).
"""

from __future__ import annotations

from requorum.changes import Change, ReloadUnits, RemoveFile, StopEtcd, WriteFile
from requorum.facts import unit
from requorum.facts.host import HostFacts


def _drop_in(facts: HostFacts) -> WriteFile:
    since = f"recovery {facts.mark.recovery} by {facts.mark.operator}" if facts.mark else "a recovery"
    text = (
        f"# Requorum keeps etcd down on this host: {since}.\n"
        "# It lifts this fence when the host joins the cluster again. Etcd must not start here with its old data.\n"
        "[Unit]\n"
        "AssertPathExists=/this-host-is-fenced-by-requorum\n"
    )
    return WriteFile(facts.name, unit.FENCE, text)


def raise_fence(facts: HostFacts) -> list[Change]:
    """Stop etcd here for good. The fence first, so that nothing starts it again after the stop."""
    return [_drop_in(facts), ReloadUnits(facts.name, unit.FENCE, present=True), StopEtcd(facts.name)]


def lift_fence(facts: HostFacts) -> list[Change]:
    """Let etcd start here again."""
    return [RemoveFile(facts.name, unit.FENCE), ReloadUnits(facts.name, unit.FENCE, present=False)]


def lower_fence(facts: HostFacts) -> list[Change]:
    """Undo `raise_fence`; a fence that the recovery found already stays."""
    found = facts.mark.found if facts.mark else None
    return [] if found is None or found.fenced else lift_fence(facts)

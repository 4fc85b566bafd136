"""The fence: etcd stopped so that it cannot come back by itself, not even by a reboot."""

from __future__ import annotations

from requorum.changes import Change
from requorum.facts.host import HostFacts
from requorum.operations.ways import way_of


def raise_fence(facts: HostFacts) -> list[Change]:
    """Stop etcd here for good."""
    return way_of(facts).fence(facts)


def lift_fence(facts: HostFacts) -> list[Change]:
    """Let etcd start here again."""
    return way_of(facts).unfence(facts)


def lower_fence(facts: HostFacts) -> list[Change]:
    """Undo `raise_fence` and `lift_fence`: a fence that the recovery found stays, or is raised again where etcd is down.

    Not beside a member that lives: what was left there had no effect before its next start, and would have then.
    """
    found = facts.mark.found if facts.mark else None
    if found is None:
        return []
    if found.fenced:
        return way_of(facts).fence(facts) if facts.fence_lifted else []
    return way_of(facts).unfence(facts) if found.starts else way_of(facts).unfence_only(facts)

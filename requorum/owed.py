"""What an earlier recovery, or the loss itself, left undone on the hosts while a quorum answers. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from requorum.facts.host import HostFacts
from requorum.facts.members import MemberList
from requorum.fitness import forced_by_hand


def owed_on_hosts(reached: Sequence[HostFacts], joining: set[str], in_list: set[str], listed: MemberList) -> list[str]:
    """In words, a line each; empty where nothing is owed."""
    owed = [f"{name} is to rejoin" for name in sorted(joining)]
    owed += [f"the member {m.name or m.hex_id} is a learner, to be promoted" for m in listed.members if m.is_learner]
    for facts in reached:
        if facts.unit.fenced and facts.name in joining | in_list:  # any other host stays fenced
            owed.append(f"{facts.name} is fenced")
        if facts.unit.forced or (facts.forced and facts.mark):
            owed.append(f"{facts.name} forces a new cluster when it starts")
        owed += [
            f"{facts.name} forces a new cluster, and Requorum did not say so: {how}" for how in forced_by_hand(facts)
        ]
        if facts.mark:
            owed.append(f"{facts.name} bears the mark of recovery {facts.mark.recovery} by {facts.mark.operator}")
    return owed

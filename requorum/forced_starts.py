"""What is lost, known and unknown, where a recovery has forced a member and its data is gone, or a quorum answers. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from requorum.causes import worth_of
from requorum.facts.host import HostFacts
from requorum.facts.mark import FORCED_PATH, Mark
from requorum.facts.members import MemberList
from requorum.inventory import Inventory
from requorum.lineage import half_forced

UNKNOWN = "what only lost members held stays unknown"
SINCE_FORCED = f"none since the forced start; {UNKNOWN}"


def loss_beside_a_quorum(listed: MemberList, reached: Sequence[HostFacts]) -> str:
    """The loss, in words, where a quorum answers: a recovery that goes on after its force knows no more than before."""
    ids = {m.id for m in listed.members}
    since = any(
        not _from_before(f.forced_by, ids, unknown=False) for f in reached if f.forced_by and not half_forced(f)
    )
    return SINCE_FORCED if since else "none: a quorum answers"


def gone_since_forced(reached: Sequence[HostFacts], current: Sequence[HostFacts]) -> dict[str, str]:
    """The hosts that a recovery has forced, whose data is gone or damaged, each with what that means, in words.

    Only where the member list that counts, among `current`, may be the one from before the force: then every write since
    is lost. Beside members that have joined since, it is a member like any other.
    """
    listed, found = _listed(current), dict[str, str]()
    for facts in reached:
        sign = _forced(facts, reached)
        if sign is None or facts.api.answers or not _worthless(facts):
            continue
        if listed and _from_before(sign, listed, unknown=True):
            found[facts.name] = (
                f"every write since the forced start of {facts.name} by recovery {sign.recovery} ({worth_of(facts)})"
            )
    return found


def not_given_up(gone: dict[str, str], inventory: Inventory) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Why nothing may be done about such hosts, and what the operator has to say first; empty where nothing is missing."""
    asked = {name: lost for name, lost in gone.items() if not inventory.host(name).lost}
    return tuple(
        f"{name} was the survivor of a recovery ({FORCED_PATH}, or the marks of others), and the others are the cluster "
        f"from before its forced start: without its data they lack {lost}"
        for name, lost in asked.items()
    ), tuple(
        f"{name}: put its data back (an undamaged disk, the copy that somebody has moved aside), and do not start etcd on "
        f"the others until then; or, if it is gone for good, say so: `{name}: {{…, lost: true}}`: {lost} is lost then"
        for name, lost in asked.items()
    )


def _from_before(sign: Mark, listed: set[int], *, unknown: bool) -> bool:
    """These members are those from before a forced start, which leaves one; `unknown`: the answer where no mark tells."""
    before = {int(line.partition(" ")[0], 16) for line in sign.members}
    return unknown if len(before) < 2 else len(before & listed) > 1


def _forced(facts: HostFacts, reached: Sequence[HostFacts]) -> Mark | None:
    """The recovery that has forced this member, or may have.

    It says so on the host right before the force: a survivor that bears a mark alone was not forced. Where the host was
    made anew, with all that was on it, only the marks of others are left. A recovery beside a quorum leaves marks as well,
    and forces nobody.
    """
    if facts.forced_by is not None or facts.mark is not None:
        return facts.forced_by if facts.forced_by is not None and facts.forced_by.forces else None
    marks = (f.mark for f in reached if f.mark is not None)
    return next((mark for mark in marks if mark.forces and mark.survivor == facts.name), None)


def _worthless(facts: HostFacts) -> bool:
    data = facts.data
    return data is None or data.empty or data.unwritten or bool(data.error)


def _listed(current: Sequence[HostFacts]) -> set[int]:
    """The IDs of the members: as those that answer list them, else as the newest log that can be read does."""
    said = [f.api.members for f in current if f.api.answers and f.api.members is not None]
    if said:
        return {m.id for members in said for m in members.members}
    read = [
        f.data
        for f in current
        if f.data is not None and not f.data.error and not f.data.unwritten and not half_forced(f)
    ]
    newest = max(read, key=lambda data: data.last or (0, 0), default=None)
    return {m.id for m in newest.members} if newest is not None else set()

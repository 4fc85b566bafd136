"""What is lost, known and unknown, where a recovery has forced a member and its data is gone, or a quorum answers. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from requorum.causes import is_worthless, worth_of
from requorum.facts.host import HostFacts
from requorum.facts.mark import FORCED_PATH, Mark
from requorum.facts.members import MemberList
from requorum.inventory import Inventory
from requorum.lineage import half_forced
from requorum.obstacles import bring_up
from requorum.silence import Survey, given_up

UNKNOWN = "what only lost members held stays unknown"
SINCE_FORCED = f"none since the forced start; {UNKNOWN}"


def loss_beside_a_quorum(listed: MemberList, reached: Sequence[HostFacts], *, unwritten: bool) -> str:
    """The loss, in words, where a quorum answers: a recovery that goes on after its force knows no more than before.

    `unwritten`: emptied hosts may have founded what answers, and voters of it are to be removed.
    """
    if unwritten:
        return "unknown: nothing was ever written by the v3 API to the cluster that answers, and members of it are to be removed"
    ids = {m.id for m in listed.members}
    since = any(
        not _from_before(f.forced_by, ids, unknown=False) for f in reached if f.forced_by and not half_forced(f)
    )
    return SINCE_FORCED if since else "none: a quorum answers"


def gone_since_forced(inventory: Inventory, survey: Survey, current: Sequence[HostFacts]) -> dict[str, str]:
    """The hosts that a recovery has forced, whose data is gone or damaged, each with what that means, in words.

    Also silent ones that are given up, and that the marks of others name. Only where the member list that counts, among
    `current`, may be the one from before the force: then every write since is lost. Beside members that have joined
    since, it is a member like any other.
    """
    reached = [facts for facts in survey.values() if isinstance(facts, HostFacts)]
    listed, found = _listed(current), dict[str, str]()
    for name, facts in survey.items():
        if isinstance(facts, HostFacts):
            sign = None if facts.api.answers or not is_worthless(facts) else _forced(facts, reached)
            why = worth_of(facts)
        else:
            sign = _named(name, reached) if given_up(name, inventory, survey) else None
            why = "if it came to that: the host is silent, and declared lost"
        if sign is not None and listed and _from_before(sign, listed, unknown=True):
            found[name] = f"every write since the forced start of {name} by recovery {sign.recovery} ({why})"
    return found


def not_given_up(gone: dict[str, str], inventory: Inventory, survey: Survey) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Why nothing may be done about such hosts, and what the operator has to say first; empty where nothing is missing."""
    asked = {name: lost for name, lost in gone.items() if not inventory.host(name).lost}
    if not asked:
        return _taken_in_since(gone, inventory, survey)
    return tuple(
        f"{name} was the survivor of a recovery ({FORCED_PATH}, or the marks of others), and the others are the cluster "
        f"from before its forced start: without its data they lack {lost}"
        for name, lost in asked.items()
    ), tuple(
        f"{name}: put its data back (an undamaged disk, the copy that somebody has moved aside), and do not start etcd on "
        f"the others until then; or, if it is gone for good, say so: `{name}: {{…, lost: true}}`: {lost} is lost then"
        for name, lost in asked.items()
    )


def _taken_in_since(
    gone: dict[str, str], inventory: Inventory, survey: Survey
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """A recovery takes hosts in after its force: whoever is silent may hold what is gone with its survivor."""
    quiet = [name for name, facts in survey.items() if not isinstance(facts, HostFacts)]
    quiet = [name for name in quiet if gone and not given_up(name, inventory, survey)]
    return tuple(
        f"{name} is silent, and may hold {lost}: it may have been taken in as a member since"
        for name in quiet
        for lost in gone.values()
    ), tuple(bring_up(name, inventory, survey) for name in quiet)


def _from_before(sign: Mark, listed: set[int], *, unknown: bool) -> bool:
    """These members are those from before a forced start, which leaves one; `unknown`: the answer where no mark tells."""
    before = sign.member_ids
    return unknown if len(before) < 2 else len(before & listed) > 1


def _forced(facts: HostFacts, reached: Sequence[HostFacts]) -> Mark | None:
    """The recovery that has forced this member, or may have.

    It says so on the host right before the force: a survivor that bears a mark alone was not forced. Where the host was
    made anew, with all that was on it, only the marks of others are left. A recovery beside a quorum leaves marks as well,
    and forces nobody.
    """
    if facts.forced_by is not None or facts.mark is not None:
        return facts.forced_by if facts.forced_by is not None and facts.forced_by.forces else None
    return _named(facts.name, reached)


def _named(survivor: str, reached: Sequence[HostFacts]) -> Mark | None:
    """What the marks of others say of a survivor that was to be forced: whether it came to that they do not."""
    marks = (f.mark for f in reached if f.mark is not None)
    return next((mark for mark in marks if mark.forces and mark.survivor == survivor), None)


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

"""What is lost, known and unknown, where a recovery has forced a member and its data is gone, or a quorum answers. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from requorum.causes import is_worthless, worth_of
from requorum.facts.host import HostFacts
from requorum.facts.mark import FORCED_PATH, Mark, id_of, is_learner, urls_of
from requorum.facts.master_config import host_of
from requorum.facts.members import MemberList
from requorum.inventory import Inventory
from requorum.lineage import half_forced, removals
from requorum.obstacles import bring_up
from requorum.silence import Survey, given_up, places_of_host

UNKNOWN = "what only lost members held stays unknown"
SINCE_FORCED = f"none since the forced start; {UNKNOWN}"


@dataclass(frozen=True)
class _Listed:
    """The members that count, by ID. `removed`: whom they have seen removed; None where only their etcd was asked."""

    ids: frozenset[int]
    removed: frozenset[int] | None = None

    def before(self, sign: Mark, places: Collection[str], *, unknown: bool) -> bool:
        """These are members from before a forced start; `unknown`: the answer where its mark does not tell.

        It left one, at these `places`, and an ID is never given again: who is listed and was to be removed is from before,
        and so is who does not know all that were removed. A learner may have outlived it.
        """
        if self.before_way_back(sign):
            return True
        voters = {id_of(line) for line in sign.members if not is_learner(line)}
        if len(voters) < 2:
            return unknown
        own = {id_of(line) for line in sign.members if any(host_of(url) in places for url in urls_of(line))}
        if len(self.ids & voters - own) > (0 if own else 1):
            return True
        return self.removed is not None and not voters - self.ids <= self.removed

    def before_way_back(self, sign: Mark) -> bool:
        """They list the voter that the survivor has left behind when it was forced once more."""
        return sign.way_back in {f"{id_:x}" for id_ in self.ids}


def loss_beside_a_quorum(listed: MemberList, reached: Sequence[HostFacts], *, unwritten: bool) -> str:
    """The loss, in words, where a quorum answers: a recovery that goes on after its force knows no more than before.

    `unwritten`: emptied hosts may have founded what answers, and voters of it are to be removed.
    """
    if unwritten:
        return "unknown: nothing was ever written by the v3 API to the cluster that answers, and members of it are to be removed"
    members = _Listed(frozenset(m.id for m in listed.members))
    since = any(
        not members.before(f.forced_by, _own_places(f), unknown=False)
        for f in reached
        if f.forced_by and not half_forced(f)
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
        places = places_of_host(name, inventory, survey)
        places |= _own_places(facts) if isinstance(facts, HostFacts) else set()
        if sign is not None and listed.ids and listed.before(sign, places, unknown=True):
            again = "second " * listed.before_way_back(sign)
            found[name] = f"every write since the {again}forced start of {name} by recovery {sign.recovery} ({why})"
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


def _own_places(facts: HostFacts) -> set[str]:
    """Where the others look for the member of a host, as its etcd.conf says."""
    return {host_of(url) for url in facts.conf.peer_urls}


def _forced(facts: HostFacts, reached: Sequence[HostFacts]) -> Mark | None:
    """The recovery that has forced this member, or may have.

    It says so on the host right before the force: a survivor that bears a mark alone was not forced. Where the host was
    made anew, with all that was on it, only the marks of others are left. A recovery beside a quorum leaves marks as well,
    and forces nobody.
    """
    forced, marked = facts.forced_by, facts.mark
    if forced is None and marked is None:
        return _named(facts.name, reached)
    if forced is None or not forced.forces:
        return None
    # Until the recovery ends, its mark alone says that it has forced this host twice.
    return replace(forced, way_back=marked.way_back) if marked and marked.recovery == forced.recovery else forced


def _named(survivor: str, reached: Sequence[HostFacts]) -> Mark | None:
    """What the marks of others say of a survivor that was to be forced: whether it came to that they do not."""
    marks = (f.mark for f in reached if f.mark is not None)
    return next((mark for mark in marks if mark.forces and mark.survivor == survivor), None)


def _listed(current: Sequence[HostFacts]) -> _Listed:
    """The members, as those that answer list them, else as the newest log that can be read does."""
    said = [f.api.members for f in current if f.api.answers and f.api.members is not None]
    if said:
        return _Listed(frozenset(m.id for members in said for m in members.members))
    read = [
        (f, f.data)
        for f in current
        if f.data is not None and not f.data.error and not f.data.unwritten and not half_forced(f)
    ]
    newest = max(read, key=lambda one: one[1].last or (0, 0), default=None)
    if newest is None:
        return _Listed(frozenset())
    facts, data = newest
    return _Listed(frozenset(m.id for m in data.members), removals(facts))

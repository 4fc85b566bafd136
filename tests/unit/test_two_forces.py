"""A cluster that was forced twice, by two recoveries or by the way back: old peers of either force, and what is lost."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import pytest
from builders import (
    FIVE,
    THREE,
    answers,
    data,
    deaf,
    emptied,
    facts,
    healthy,
    inventory,
    mark,
    member,
    members,
    name,
    names,
    node,
    peer,
    silent,
    stopped,
    survey,
)

from requorum import operations
from requorum.changes import RemoveFile
from requorum.diagnosis import Diagnosis, Verdict, diagnose
from requorum.facts.data_dir import DataDir
from requorum.facts.host import HostFacts, Silent
from requorum.facts.mark import PATH, Mark, line_of
from requorum.facts.members import Member
from requorum.forced_starts import SINCE_FORCED
from requorum.lineage import outlived


def anew(n: int, time: int = 1) -> Member:
    """The member with which host n is taken in again."""
    return replace(member(n), id=node(n) + 16 * time)


def signs(recovery: str, survivor: int, *listed: Member, earlier: Mark | None = None) -> Mark:
    lines = tuple(line_of(m.id, m.peer_urls, learner=m.is_learner) for m in listed)
    return replace(mark(survivor), recovery=recovery, members=lines, earlier=earlier)


def held(own: Member, listed: tuple[Member, ...], removed: tuple[int, ...] = (), index: int = 100) -> DataDir:
    found = data(0, listed, last=(index // 50, index), commit=index, consistent=index, removed=removed)
    assert found.log is not None
    return replace(found, log=replace(found.log, node_id=own.id))


def ids(*listed: Member) -> tuple[int, ...]:
    return tuple(m.id for m in listed)


FIRST, SECOND = "20261105-0300", "20261205-0300"
R1 = signs(FIRST, 0, *members(*THREE))
R2 = signs(SECOND, 0, member(0), anew(1), earlier=R1)
"""Host 0 was forced twice: host 1 was taken in after the first force, host 2 stayed away."""


# -- the survivor's data is gone, and old peers from before the first force are there


def twice(*others: HostFacts | Silent, sign: Mark = R2, lost: tuple[int, ...] = ()) -> Diagnosis:
    hosts = (replace(emptied(0, "inactive/dead"), forced_by=sign), *others)
    return diagnose(inventory(len(hosts), lost=lost), survey(*hosts))


@pytest.mark.parametrize("sign", [R1, R2, replace(R2, earlier=None)], ids=["once", "twice", "three times"])
def test_who_does_not_know_the_removals_of_the_last_force_is_from_before_it(sign: Mark) -> None:
    """Of more than two forces the note does not keep the first."""
    others = silent(1), stopped(2, data(2, members(*THREE)))
    found = twice(*others, sign=sign, lost=(1,))
    assert (found.verdict, found.acts) == (Verdict.UNPROVEN, False)
    assert f"every write since the forced start of {name(0)} by recovery {sign.recovery}" in "\n".join(found.proof)
    told = twice(*others, sign=sign, lost=(0, 1))
    assert (told.verdict, told.survivor) == (Verdict.LOST, name(2))
    assert sign.recovery in told.loss


def test_a_quorum_of_them_is_not_started() -> None:
    sign = signs(SECOND, 0, member(0), anew(1))
    old = [stopped(n, data(n, members(*FIVE))) for n in (2, 3, 4)]
    found = twice(silent(1), *old, sign=sign, lost=(1,))
    assert found.verdict is Verdict.UNPROVEN
    assert "systemctl start" not in "\n".join(found.advice)
    assert twice(silent(1), *old, sign=sign, lost=(0, 1)).verdict is Verdict.RESTARTABLE


def test_who_has_joined_since_knows_them() -> None:
    listed = (member(0), anew(1, 2), anew(2, 2))
    joined = [stopped(n, held(anew(n, 2), listed, (node(1), node(2), anew(1).id))) for n in (1, 2)]
    found = twice(*joined)
    assert found.verdict is Verdict.RESTARTABLE
    assert "forced start of" not in "\n".join((found.loss, *found.proof))


def test_the_note_of_a_force_names_all_that_were_removed_before() -> None:
    """So a quorum that answers, whose data is not read, is told by its list; whatever was forced in between."""
    survivor = replace(stopped(0, held(member(0), (member(0), anew(1)))), forced_by=R1)
    [change] = operations.marking.remember_force(survivor, signs(SECOND, 0, member(0), anew(1)))
    noted = change.after(survivor).forced_by
    assert noted is not None
    assert noted.member_ids == {node(0), node(1), node(2), anew(1).id}
    assert noted.earlier == R1
    old = [facts(n, api=answers(n, members(*THREE), leader=1)) for n in (1, 2)]
    found = twice(*old, sign=noted)
    assert (found.verdict, found.acts) == (Verdict.UNPROVEN, False)
    assert SECOND in twice(*old, sign=noted, lost=(0,)).loss
    joined = [facts(n, api=answers(n + 32, (member(0), anew(1, 2), anew(2, 2)), leader=33)) for n in (1, 2)]
    assert twice(*joined, sign=noted).verdict is Verdict.DEGRADED


def test_and_who_had_joined_where_one_recovery_forces_twice() -> None:
    survivor = replace(stopped(0, held(member(0), (member(0), anew(1)))), forced_by=R1)
    [change] = operations.marking.remember_force(survivor, R1)
    noted = change.after(survivor).forced_by
    assert noted is not None
    assert (noted.recovery, noted.earlier, anew(1).id in noted.member_ids) == (FIRST, None, True)
    [again] = operations.marking.remember_force(change.after(survivor), R1)
    assert again == change
    # A note that judges no more is of another member's data.
    [new] = operations.marking.remember_force(replace(stopped(0), forced_by=replace(R2, forces=False)), R1)
    noted = new.after(survivor).forced_by
    assert noted is not None
    assert noted.members == R1.members


# -- the way back is a force, too

DROPPED = replace(R1, way_back=f"{anew(1).id:x}")
VOTER = stopped(1, held(anew(1), (member(0), anew(1)), (node(1), node(2)), 220), fenced=True)


@pytest.mark.parametrize(
    "survivor",
    [
        replace(emptied(0, mark=DROPPED), forced_by=R1),
        replace(emptied(0), forced_by=DROPPED),
        replace(emptied(0, mark=replace(R2, way_back="")), forced_by=DROPPED),
    ],
    ids=["in the recovery", "after its end", "in the next one"],
)
def test_the_voter_that_the_way_back_has_dropped_is_from_before_it(survivor: HostFacts) -> None:
    others = replace(VOTER, mark=R1 if survivor.mark == DROPPED else None), emptied(2)
    found = diagnose(inventory(), survey(survivor, *others))
    assert (found.verdict, found.acts) == (Verdict.UNPROVEN, False)
    assert f"every write since the second forced start of {name(0)} by recovery {FIRST}" in "\n".join(found.proof)


def test_the_operator_may_give_up_what_was_written_since_the_way_back() -> None:
    hosts = survey(replace(emptied(0, mark=DROPPED), forced_by=R1), replace(VOTER, mark=R1), emptied(2, mark=R1))
    found = diagnose(inventory(lost=[0]), hosts)
    assert (found.verdict, found.survivor) == (Verdict.LOST, name(1))
    assert found.loss.startswith(f"every write since the second forced start of {name(0)}")


def test_who_has_joined_since_the_way_back_is_not() -> None:
    listed = (member(0), anew(1, 2))
    joined = stopped(1, held(anew(1, 2), listed, (node(1), node(2), anew(1).id), 300), mark=R1)
    found = diagnose(inventory(), survey(replace(emptied(0, mark=DROPPED), forced_by=R1), joined, emptied(2, mark=R1)))
    assert (found.verdict, found.survivor) == (Verdict.LOST, name(1))
    assert "forced start of" not in found.loss


def test_whom_it_has_dropped_is_kept_with_the_force_when_the_recovery_ends() -> None:
    """First, and then the mark goes: a kill in between forgets nothing."""
    survivor = replace(healthy(0, (member(0), anew(2)), mark=DROPPED), forced_by=R1)
    note, gone = operations.marking.strike(survivor, whole=False, reached=())
    assert note.after(survivor).forced_by == DROPPED
    assert gone == RemoveFile(name(0), PATH)
    assert operations.marking.strike(replace(survivor, mark=R2), whole=False, reached=()) == [gone]


# -- an old peer whose first remover is an old peer itself

BY_HOST_1 = signs(FIRST, 1, *members(*THREE))
THEN_BY_HOST_0 = signs(SECOND, 0, anew(0), member(1))
"""Host 1 was forced first, and host 0 joined; then host 0 was forced, and host 1 stayed away."""
CHAIN = (
    replace(
        stopped(0, held(anew(0), (anew(0),), ids(*members(*THREE)), 300), mark=THEN_BY_HOST_0),
        forced_by=THEN_BY_HOST_0,
    ),
    replace(stopped(1, held(member(1), (anew(0), member(1)), (node(0), node(2)), 200)), forced_by=BY_HOST_1),
    deaf(2, data(2, members(*THREE))),
)


@pytest.mark.parametrize("order", list(permutations(range(3))), ids=str)
def test_every_old_peer_is_found_whoever_has_removed_it_first(order: tuple[int, ...]) -> None:
    assert outlived([CHAIN[n] for n in order]) == dict.fromkeys(names(1, 2), name(0))
    asked = inventory()
    hosts = tuple(asked.etcd.hosts[n] for n in order)
    found = diagnose(replace(asked, etcd=replace(asked.etcd, hosts=hosts)), survey(*(CHAIN[n] for n in order)))
    assert (found.verdict, found.survivor, found.loss) == (Verdict.UNFINISHED, name(0), SINCE_FORCED)
    assert set(found.old_peers) == set(names(1, 2))  # step 11 fences them


@pytest.mark.parametrize("order", list(permutations(range(3))), ids=str)
def test_no_abort_starts_one_of_them(order: tuple[int, ...]) -> None:
    """Step 20 signs it as one that step 11 has fenced, and that stays so."""
    old = diagnose(inventory(), survey(*(CHAIN[n] for n in order))).old_peers
    peer_ = CHAIN[2]
    [signed] = operations.marking.sign(peer_, THEN_BY_HOST_0, removed=peer_.name in old)
    fenced = replace(stopped(2, data(2, members(*THREE)), fenced=True), mark=signed.after(peer_).mark)
    assert operations.fence.lower_fence(fenced) == []
    assert operations.etcd.start_as_found(fenced) == []


# -- a later force of another survivor, whose data is given up

ONCE = signs(FIRST, 2, *members(*THREE))
LATER = signs(SECOND, 0, *members(*THREE))


@pytest.mark.parametrize("answer", [True, False])
def test_what_a_later_recovery_has_taken_is_lost_with_its_survivor(answer: bool) -> None:
    """Host 2 was forced, died and was given up; host 0 was forced then, and is given up now that host 2 is back."""
    alone = held(member(2), members(2), (node(0), node(1)), 150)
    back = replace(healthy(2, members(2), leader=2) if answer else stopped(2, alone), forced_by=ONCE)
    signed = replace(stopped(1, data(1, members(*THREE)), fenced=True), mark=LATER)
    found = diagnose(inventory(lost=[0]), survey(silent(0), signed, back))
    assert (found.verdict, found.survivor) == (Verdict.UNFINISHED, name(2))
    since = f"every write since the forced start of {name(0)} by recovery {SECOND}"
    assert found.loss.startswith(since)
    assert found.loss.endswith(f"beyond that {SINCE_FORCED}")
    assert f"given up: {since}" in "\n".join(found.proof)


def test_nor_is_it_gone_on_with_where_it_is_not_given_up() -> None:
    """The host of that survivor is back, and its data is gone."""
    back = replace(healthy(2, members(2), leader=2), forced_by=ONCE)
    signed = replace(stopped(1, data(1, members(*THREE)), fenced=True), mark=LATER)
    emptied_0 = replace(emptied(0), forced_by=LATER)
    assert diagnose(inventory(), survey(emptied_0, signed, back)).verdict is Verdict.UNPROVEN
    found = diagnose(inventory(lost=[0]), survey(emptied_0, signed, back))
    assert (found.acts, SECOND in found.loss) == (True, True)


def test_a_learner_that_has_outlived_the_force_is_not_from_before_it() -> None:
    listed = members(0, 1, learners=[1])
    sign = signs(FIRST, 0, *members(*THREE, learners=[1]))
    found = diagnose(
        inventory(lost=[2]), survey(replace(healthy(0, listed, mark=sign), forced_by=sign), emptied(1), silent(2))
    )
    assert (found.verdict, found.loss) == (Verdict.UNFINISHED, SINCE_FORCED)
    assert peer(0) in sign.members[0]


# -- two recoveries, of which the later one knew nothing of the first


@pytest.mark.parametrize("seen", [True, False])
def test_a_member_that_has_joined_since_does_not_make_an_old_peer_of_what_was_forced_apart(seen: bool) -> None:
    """Host 3 was forced from data of before the first force; it has removed member 4, and never knew of host 2's new one."""
    forced = signs(SECOND, 3, *members(*FIVE))
    alone = stopped(3, held(member(3), members(3), (node(0), node(1), node(2), node(4)), 103), mark=forced)
    listed = (member(4), anew(2))
    quorum = (
        replace(healthy(4, listed, leader=4), forced_by=signs(FIRST, 4, *members(*FIVE)) if seen else None),
        facts(2, api=answers(anew(2).id - node(0), listed, leader=4)),
    )
    found = diagnose(inventory(5), survey(silent(0), emptied(1), *quorum, replace(alone, forced_by=forced)))
    assert (found.verdict, found.acts, found.old_peers) == (Verdict.UNPROVEN, False, ())

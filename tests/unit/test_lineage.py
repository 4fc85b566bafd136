"""Old peers that come back, forced starts that came to nothing, and a way back that was not taken to its end."""

from __future__ import annotations

from dataclasses import replace

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
    machine,
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
    unit,
)

from requorum.causes import how_to_start
from requorum.changes import PutLogBack
from requorum.diagnosis import Verdict, diagnose
from requorum.facts.data_dir import DataDir
from requorum.facts.host import HostFacts
from requorum.facts.members import Member
from requorum.facts.unit import FORCE
from requorum.facts.wal import ConfChange
from requorum.lineage import half_forced, led_since, not_taken, outlived
from requorum.operations.etcd import put_log_back_to_meet

GONE = (node(1), node(2))
ALONE = members(0)


def remembering(found: HostFacts) -> HostFacts:
    return replace(found, forced_by=mark())


def forced_data(*, committed: bool = True, in_database: bool = False) -> DataDir:
    """The survivor's data after a forced start: it has removed the others; or that is not committed yet."""
    removals = tuple(ConfChange(100 + n, "remove", node(n), "", ()) for n in (1, 2))
    if in_database:  # as etcd 3.4 leaves it: taken out of the database, and the log does not hold that yet
        return data(0, ALONE, last=(2, 102), commit=99, changes=removals, removed=GONE)
    if committed:
        return data(0, ALONE, last=(3, 103), commit=103, removed=GONE)
    return data(0, last=(2, 102), commit=99, changes=removals)


def old_quorum() -> tuple[HostFacts, HostFacts]:
    return tuple(facts(n, api=answers(n, members(0, 1, 2), leader=1)) for n in (1, 2))  # type: ignore[return-value]


# Old peers beside a survivor that answers


def test_an_old_peer_that_does_not_answer_is_fenced_first_and_rejoins() -> None:
    found = diagnose(inventory(), survey(healthy(0, ALONE), stopped(1), silent(2)))
    assert found.verdict is Verdict.UNFINISHED
    assert (found.old_peers, found.others, found.joiners, found.missing) == (names(1), names(1), names(1), names(2))
    assert any("its member was removed" in line and "revision 50" in line for line in found.proof)


@pytest.mark.parametrize("how", ["marked", "remembers"])
def test_an_old_quorum_is_not_believed_against_a_survivor_that_a_recovery_forced(how: str) -> None:
    survivor = healthy(0, ALONE, mark=mark()) if how == "marked" else remembering(healthy(0, ALONE))
    found = diagnose(inventory(), survey(survivor, *old_quorum()))
    assert found.verdict is Verdict.UNFINISHED
    assert found.acts
    assert (found.survivor, found.members, found.old_peers) == (name(0), names(0), names(1, 2))
    assert any("has a quorum of its own" in line for line in found.proof)


def test_whom_somebody_else_forced_does_not_decide_against_a_living_quorum() -> None:
    found = diagnose(inventory(), survey(healthy(0, ALONE), *old_quorum()))
    assert found.verdict is Verdict.UNPROVEN
    assert "do not agree on who is in the cluster" in found.proof[0]


def test_two_that_have_removed_each_other_stop_the_run() -> None:
    others = tuple(facts(n, api=answers(n, members(1, 2), leader=1)) for n in (1, 2))
    found = diagnose(inventory(), survey(remembering(healthy(0, ALONE)), *others))
    assert found.verdict is Verdict.UNPROVEN


def test_a_member_that_has_joined_since_is_no_old_peer() -> None:
    """The old quorum of 2, 3 and 4 does not know the new member on host 1."""
    new = member(7)
    listed = (member(0), replace(new, peer_urls=member(1).peer_urls))
    joined = facts(1, api=replace(answers(7, listed)))
    survivor = remembering(healthy(0, listed))
    old = [facts(n, api=answers(n, members(*FIVE), leader=2)) for n in (2, 3, 4)]
    assert outlived([survivor, joined, *old]) == dict.fromkeys(names(2, 3, 4), name(0))


def test_an_emptied_host_is_no_old_peer() -> None:
    found = diagnose(inventory(), survey(healthy(0, ALONE), emptied(1), silent(2)))
    assert found.old_peers == ()
    assert found.others == names(1)


def test_an_emptied_host_whose_etcd_started_by_itself_is_fenced_first_and_called_what_it_is() -> None:
    """It has founded a log under its old IDs: there is no old data in it."""
    founded = deaf(1, data(1, last=(1, 3), commit=3, revision=1, unwritten=True))
    found = diagnose(inventory(), survey(healthy(0, ALONE), founded, silent(2)))
    assert found.verdict is Verdict.UNFINISHED
    assert (found.old_peers, found.joiners) == (names(1), names(1))
    (told,) = (line for line in found.proof if "its member was removed" in line)
    assert "was emptied, and its etcd has started by itself: it holds nothing" in told
    assert "old data" not in told


def test_an_old_peer_that_is_not_to_rejoin_is_fenced_all_the_same() -> None:
    found = diagnose(inventory(rejoin=[2]), survey(healthy(0, ALONE), deaf(1), silent(2)))
    assert found.verdict is Verdict.UNFINISHED
    assert (found.old_peers, found.joiners) == (names(1), ())
    assert f"{name(1)} is to be fenced" in found.proof


def test_that_it_was_forced_is_remembered_while_somebody_is_missing() -> None:
    assert (
        diagnose(inventory(), survey(remembering(healthy(0, ALONE)), silent(1), silent(2))).verdict is Verdict.HEALTHY
    )
    whole = [remembering(healthy(0)), healthy(1), healthy(2)]
    assert diagnose(inventory(), survey(*whole)).verdict is Verdict.UNFINISHED


def test_who_was_forced_stays_the_survivor_of_later_runs() -> None:
    both = members(0, 1)
    found = diagnose(
        inventory(), survey(remembering(healthy(0, both, leader=1)), healthy(1, both, leader=1), emptied(2))
    )
    assert (found.verdict, found.survivor) == (Verdict.UNFINISHED, name(0))


# Old peers beside a survivor that does not answer


@pytest.mark.parametrize("how", ["marked", "remembers"])
@pytest.mark.parametrize("old", ["answer", "stopped"])
def test_a_forced_survivor_that_is_down_is_started_and_never_forced_again(how: str, old: str) -> None:
    survivor = stopped(0, forced_data(), mark=mark() if how == "marked" else None)
    survivor = survivor if how == "marked" else remembering(survivor)
    later = [stopped(n, data(n, last=(9, 140), revision=90)) for n in (1, 2)]
    found = diagnose(inventory(), survey(survivor, *(old_quorum() if old == "answer" else later)))
    assert found.verdict is Verdict.UNFINISHED
    assert (found.survivor, found.old_peers, found.others) == (name(0), names(1, 2), names(1, 2))
    assert found.acts


# A forced start that did not elect

in_database = pytest.mark.parametrize("there", [False, True], ids=["log", "database"])


@in_database
def test_a_forced_start_that_did_not_elect_can_be_forced_again_only(there: bool) -> None:
    survivor = stopped(0, forced_data(committed=False, in_database=there), mark=mark())
    assert half_forced(survivor)
    assert not half_forced(stopped(0, forced_data(), mark=mark()))
    found = diagnose(inventory(lost=[1, 2]), survey(survivor, silent(1), silent(2)))
    assert (found.verdict, found.survivor) == (Verdict.LOST, name(0))


@in_database
def test_old_peers_with_a_quorum_of_data_end_the_loss_where_the_force_did_not_elect(there: bool) -> None:
    survivor = stopped(0, forced_data(committed=False, in_database=there), mark=mark())
    found = diagnose(inventory(), survey(survivor, stopped(1), stopped(2)))
    assert found.verdict is Verdict.RESTARTABLE
    advice = "\n".join(found.advice)
    assert f"{name(1)}: systemctl start etcd" in advice
    assert name(0) not in advice


@in_database
def test_where_the_old_quorum_answers_a_survivor_that_did_not_elect_comes_back_as_a_new_member(there: bool) -> None:
    survivor = stopped(0, forced_data(committed=False, in_database=there), mark=mark())
    found = diagnose(inventory(), survey(survivor, *old_quorum()))
    assert found.verdict is Verdict.DEGRADED
    assert found.removals == (member(0),)
    assert (found.old_peers, found.others, found.joiners) == ((), names(0), names(0))


def begun(last: tuple[int, int], commit: int, *, there: bool, revision: int = 53, among: int = 3) -> HostFacts:
    """Host 0: forced, and gone before the election. Its removals have the term of a member that campaigned in vain."""
    removals = tuple(ConfChange(commit + n, "remove", node(n), "", ()) for n in range(1, among))
    listed = ALONE if there else members(*range(among))
    held = data(
        0, listed, last=last, commit=commit, consistent=last[1] if there else commit, revision=revision,
        changes=removals, removed=tuple(node(n) for n in range(1, among)) if there else (), commit_term=2,
    )  # fmt: skip
    return stopped(0, held, mark=mark())


@in_database
@pytest.mark.parametrize("keep_tail", [True, False])
def test_a_forced_start_that_did_not_elect_does_not_outrank_a_member_that_comes_back_with_more(
    there: bool, keep_tail: bool
) -> None:
    """Only the removals lie above entry 101 of host 0; the leader of the old cluster had gone on to 110."""
    declared = inventory(lost=[1, 2])
    declared = replace(declared, etcd=replace(declared.etcd, keep_tail=keep_tail))
    leader = stopped(1, data(1, last=(2, 110), commit=109, consistent=109, revision=60), mark=mark())
    found = diagnose(declared, survey(begun((9, 103), 101, there=there), leader, silent(2)))
    assert (found.verdict, found.survivor) == (Verdict.LOST, name(1))
    (told,) = (line for line in found.proof if line.startswith(f"candidate {name(0)}: "))
    assert "last entry 101 of term 2" in told
    assert "removals" in told


@in_database
def test_a_forced_start_that_did_not_elect_among_five(there: bool) -> None:
    five = members(*FIVE)
    back = stopped(1, data(1, five, last=(2, 110), commit=109, consistent=109, revision=60), mark=mark())
    hosts = survey(begun((9, 105), 101, there=there, among=5), back, *(silent(n) for n in (2, 3, 4)))
    found = diagnose(inventory(5, lost=[1, 2, 3, 4]), hosts)
    assert (found.verdict, found.survivor) == (Verdict.LOST, name(1))


@in_database
def test_a_forced_start_that_did_not_elect_is_not_made_again_beside_damaged_data(there: bool) -> None:
    """That may hold more, once it is mended: it takes the operator's word."""
    hosts = survey(begun((9, 103), 101, there=there), stopped(1, data(1, error="a checksum")), silent(2))
    found = diagnose(inventory(lost=[2]), hosts)
    assert (found.verdict, found.path) == (Verdict.UNPROVEN, False)
    assert "a checksum: do not start etcd on this data" in "\n".join(found.advice)
    given_up = diagnose(inventory(lost=[1, 2]), hosts)
    assert (given_up.verdict, given_up.survivor) == (Verdict.LOST, name(0))


@in_database
def test_a_forced_start_that_did_not_elect_is_made_again_where_nobody_came_back_with_more(there: bool) -> None:
    behind = stopped(1, data(1, last=(2, 100), commit=100, consistent=100, revision=50), mark=mark())
    found = diagnose(inventory(lost=[1, 2]), survey(begun((9, 103), 101, there=there), behind, silent(2)))
    assert (found.verdict, found.survivor) == (Verdict.LOST, name(0))
    assert found.loss.startswith(f"nothing that the valid log of {name(0)} holds")


def test_what_a_run_would_have_forced_is_not_started_with_the_force() -> None:
    assert f"rm -f {FORCE} " in how_to_start(facts(0, unit=unit("inactive/dead", forced=True)))


# A survivor whose log step 41 has committed, and that was not forced

KEPT = "/var/lib/etcd/openshift-backup-requorum-20261105-0300/wal/0000000000000001-0000000000000064.wal.4096"


def committed(*, ran: bool = False) -> HostFacts:
    """Its log ends in 20 entries that no peer has; its database does not hold them."""
    own = data(0, last=(2, 120), commit=120, samples={110: (2, 7)})
    entries = ("member", "openshift-backup-requorum-20261105-0300")
    here = machine(0, data_entries=entries, kept_log="" if ran else KEPT)
    return replace(stopped(0, own, fenced=True, mark=mark()), machine=here)


def test_a_quorum_that_knows_less_than_a_recovery_has_committed_is_no_other_cluster() -> None:
    found = diagnose(inventory(), survey(committed(), *old_quorum()))
    assert (found.verdict, found.path, found.joiners, found.others) == (Verdict.UNFINISHED, True, names(0), ())
    assert diagnose(inventory(), survey(committed(ran=True), *old_quorum())).verdict is Verdict.UNPROVEN


def run_on(listed: tuple[Member, ...]) -> HostFacts:
    """Somebody has taken its fence away, and has started its etcd since."""
    here = replace(committed(ran=True).machine, ran_logs=("20261105-0300",))
    found = replace(mark(), members=tuple(f"{node(n):x} {peer(n)}" for n in THREE))
    return replace(committed(), data=data(0, listed, last=(2, 95), commit=95), mark=found, machine=here)


@pytest.mark.parametrize(("others", "forced"), [((1, 2), False), ((7, 8), True)])
def test_where_etcd_has_run_on_what_a_recovery_committed_it_comes_back_as_a_new_member(
    others: tuple[int, int], forced: bool
) -> None:
    """Not once it was forced, and its new peers answer without it: they have what it has."""
    listed = members(0, *others)
    answering = [facts(n, api=answers(other, listed, leader=other)) for n, other in zip((1, 2), others, strict=True)]
    found = diagnose(inventory(), survey(run_on(listed), *answering))
    assert found.removals == (() if forced else (member(0),))
    assert (found.joiners, found.others) == (names(0), () if forced else names(0))


def test_nobody_is_told_to_start_it_where_the_others_are_enough() -> None:
    found = diagnose(inventory(), survey(run_on(members(*THREE)), stopped(1), stopped(2)))
    assert found.verdict is Verdict.RESTARTABLE
    assert [name(n) in "\n".join(found.advice) for n in THREE] == [False, True, True]


def test_entries_that_a_recovery_alone_has_committed_are_not_compared() -> None:
    peer = data(1, last=(3, 115), commit=115, samples={110: (3, 9)})
    found = diagnose(inventory(lost=[2]), survey(committed(), stopped(1, peer), silent(2)))
    assert found.verdict is Verdict.RESTARTABLE
    segment = "/var/lib/etcd/member/wal/0000000000000001-0000000000000064.wal"
    assert any(line.startswith(f"{name(0)}: mv -f {KEPT} {segment} && rm ") for line in found.advice)


def test_it_starts_beside_its_old_peers_with_the_log_as_it_was() -> None:
    aside = KEPT.rpartition("/")[0]
    [change] = put_log_back_to_meet(committed())
    assert change == PutLogBack(name(0), "/var/lib/etcd/member/wal", aside)
    assert put_log_back_to_meet(change.after(committed())) == put_log_back_to_meet(committed(ran=True)) == []


# The way back

WAY_BACK = replace(mark(), way_back=f"{node(1):x}")


def two_voters(n: int) -> DataDir:
    return data(n, members(0, 1), last=(4, 120), commit=118)


def test_a_way_back_that_was_begun_is_taken_to_its_end() -> None:
    survivor = stopped(0, two_voters(0), mark=WAY_BACK)
    found = diagnose(inventory(), survey(survivor, stopped(1, two_voters(1)), emptied(2)))
    assert (found.verdict, found.survivor, found.acts) == (Verdict.LOST, name(0), True)
    assert found.others == names(1, 2)
    assert "began to take the way back, and drops m1" in found.proof[0]


def test_a_way_back_that_was_taken_is_not_taken_again() -> None:
    """The mark names a member that is gone; the next voter that dies is another one."""
    survivor = stopped(0, two_voters(0), mark=replace(mark(), way_back="abc"))
    found = diagnose(inventory(), survey(survivor, stopped(1, two_voters(1)), emptied(2)))
    assert found.verdict is Verdict.RESTARTABLE


ADDED = ConfChange(120, "add", node(2), "", (peer(2),))
PROMOTED = ConfChange(120, "promote", node(2), "", ())
"""Both are above the commit index that `two_voters` has on its disk."""


@pytest.mark.parametrize(
    "survivors",
    [
        data(0, members(0, 1, 2), last=(4, 120), commit=118),
        data(0, members(0, 1), last=(4, 120), commit=118, changes=(ADDED,)),
        data(0, members(0, 1, 2, learners=[2]), last=(4, 120), commit=118, changes=(PROMOTED,)),
    ],
    ids=["committed", "added, not committed here", "promoted, not committed here"],
)
def test_a_way_back_that_was_left_behind_is_not_taken_beside_a_third_voter(survivors: DataDir) -> None:
    """The voter came back by itself, another host joined; both may be alive, and a quorum without the survivor."""
    found = diagnose(inventory(), survey(stopped(0, survivors, mark=WAY_BACK), silent(1), silent(2)))
    assert (found.verdict, found.path) == (Verdict.UNPROVEN, False)


def test_the_way_back_does_not_need_the_voter_that_is_dropped() -> None:
    """Of two voters neither is a quorum: every write that was acknowledged is in the survivor's log."""
    found = diagnose(inventory(), survey(stopped(0, two_voters(0), mark=WAY_BACK), silent(1), emptied(2)))
    assert (found.verdict, found.survivor) == (Verdict.LOST, name(0))


@pytest.mark.parametrize("how", ["SSH", "2380"])
@pytest.mark.parametrize("lost", [(), (1,)])
def test_the_voter_that_is_dropped_is_fenced_first_where_it_lives(how: str, lost: tuple[int, ...]) -> None:
    """Step 42 would refuse, the survivor stopped by then."""
    listening = replace(emptied(2), heard=(peer(1),) if how == "2380" else ())
    survivor = stopped(0, two_voters(0), mark=WAY_BACK)
    found = diagnose(inventory(lost=lost), survey(survivor, silent(1, alive=how == "SSH"), listening))
    assert (found.verdict, found.path) == (Verdict.UNPROVEN, False)
    assert any(name(1) in line for line in found.advice)


def test_a_way_back_that_nobody_took_is_forgotten_once_a_quorum_answers() -> None:
    """Else it would be taken, without a look at anybody, when quorum is lost the next time."""
    both = members(0, 1)
    assert not_taken(WAY_BACK.way_back, healthy(0, both))
    assert not not_taken(WAY_BACK.way_back, healthy(0, members(0, 2))), "it was dropped: that is remembered"
    assert not not_taken(WAY_BACK.way_back, stopped(0, two_voters(0))), "nobody answers"
    assert not not_taken("", healthy(0, both))


def test_while_a_quorum_answers_nobody_takes_the_way_back() -> None:
    found = diagnose(
        inventory(), survey(healthy(0, members(0, 1), mark=WAY_BACK), healthy(1, members(0, 1)), emptied(2))
    )
    assert found.verdict is Verdict.UNFINISHED


def test_a_log_that_was_led_since_the_survey_ends_elsewhere() -> None:
    """Only a leader appends to it, or cuts it; a commit index that is written down at a stop is no entry."""
    before = data(0, last=(2, 100), commit=99)
    assert led_since(before, data(0, last=(2, 100), commit=100)) == ""
    assert led_since(None, before) == ""
    for last in ((2, 101), (3, 100), (2, 98)):
        said = led_since(before, data(0, last=last))
        assert (
            said
            == f"its log ends in entry {last[1]} of term {last[0]}, and the survey found it to end in entry 100 of term 2"
        )

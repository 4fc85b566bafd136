"""What is lost where a recovery has forced a member: its data is gone since, or a run goes on after the force."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from builders import (
    FIVE,
    THREE,
    answers,
    data,
    emptied,
    facts,
    healthy,
    inventory,
    mark,
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
from requorum.facts.host import HostFacts, Silent
from requorum.facts.mark import FORCED_PATH, Mark
from requorum.forced_starts import SINCE_FORCED
from requorum.run import Run

SIGN = replace(mark(), members=tuple(f"{node(n):x} {peer(n)}" for n in THREE))
LOST = f"every write since the forced start of {name(0)} by recovery 20261105-0300"


def old(answer: bool) -> list[HostFacts]:
    return [facts(n, api=answers(n, members(*THREE), leader=1)) if answer else stopped(n) for n in (1, 2)]


@pytest.mark.parametrize("answer", [True, False])
@pytest.mark.parametrize("sign", [mark(), SIGN], ids=["list unknown", "list known"])
@pytest.mark.parametrize(
    "survivor", [emptied(0), replace(stopped(0), data=data(0, error="a checksum"))], ids=["emptied", "damaged"]
)
def test_old_peers_of_a_survivor_whose_data_is_gone_are_not_started_without_the_operators_word(
    answer: bool, sign: object, survivor: HostFacts
) -> None:
    hosts = survey(replace(survivor, forced_by=sign), *old(answer))  # type: ignore[arg-type]
    found = diagnose(inventory(), hosts)
    assert (found.verdict, found.path) == (Verdict.UNPROVEN, False)
    said = "\n".join((*found.proof, *found.advice))
    assert LOST in said
    assert f"`{name(0)}: {{…, lost: true}}`" in said
    assert "systemctl start" not in said
    given_up = diagnose(inventory(lost=[0]), hosts)
    assert given_up.verdict is (Verdict.DEGRADED if answer else Verdict.RESTARTABLE)
    assert given_up.acts is answer
    assert given_up.loss.startswith(LOST)
    assert f"given up: {LOST}" in "\n".join(given_up.proof)


def test_one_of_them_is_not_forced_either() -> None:
    hosts = survey(replace(emptied(0), forced_by=SIGN), stopped(1), silent(2))
    assert diagnose(inventory(lost=[2]), hosts).verdict is Verdict.UNPROVEN
    found = diagnose(inventory(lost=[0, 2]), hosts)
    assert (found.verdict, found.survivor) == (Verdict.LOST, name(1))
    assert found.loss.startswith(f"{LOST} (its data is gone); beyond that nothing that the valid log")


def test_a_host_that_was_made_anew_is_told_by_the_marks_of_others() -> None:
    signed = [stopped(n, fenced=True, mark=SIGN) for n in (1, 2)]
    assert diagnose(inventory(), survey(emptied(0), *signed)).verdict is Verdict.UNPROVEN
    assert diagnose(inventory(lost=[0]), survey(emptied(0), *signed)).verdict is Verdict.RESTARTABLE
    # What a recovery forces says so before: this one bears its mark alone, and was not forced.
    assert diagnose(inventory(), survey(emptied(0, mark=SIGN), *signed)).verdict is Verdict.RESTARTABLE


@pytest.mark.parametrize("answer", [True, False])
def test_beside_members_that_have_joined_since_a_survivor_is_a_member_like_any_other(answer: bool) -> None:
    listed = members(0, 7, 8)
    joined = [
        facts(n, api=answers(new, listed, leader=7))
        if answer
        else stopped(n, data(new, listed, removed=(node(1), node(2))))
        for n, new in ((1, 7), (2, 8))
    ]
    found = diagnose(inventory(), survey(replace(emptied(0), forced_by=SIGN), *joined))
    assert found.verdict is (Verdict.DEGRADED if answer else Verdict.RESTARTABLE)
    assert "forced start of" not in "\n".join((found.loss, *found.proof))


@pytest.mark.parametrize(
    "others",
    [(emptied(1), emptied(2)), (stopped(1), silent(2)), (silent(1), silent(2))],
    ids=["emptied", "old", "silent"],
)
def test_a_run_that_goes_on_after_the_force_knows_no_more_of_the_loss(others: tuple[HostFacts | Silent, ...]) -> None:
    survivor = replace(healthy(0, members(0), mark=SIGN), forced_by=SIGN)
    found = diagnose(inventory(), survey(survivor, *others))
    assert (found.verdict, found.loss) == (Verdict.UNFINISHED, SINCE_FORCED)
    assert "unknown" in found.loss
    down = replace(stopped(0, data(0, members(0), removed=(node(1), node(2))), mark=SIGN), forced_by=SIGN)
    assert diagnose(inventory(), survey(down, *others)).loss == SINCE_FORCED


def test_nor_where_another_member_answers_for_it() -> None:
    listed = members(0, 7, 8)
    joined = [facts(n, api=answers(new, listed, leader=7)) for n, new in ((1, 7), (2, 8))]
    hosts = survey(replace(stopped(0, data(0, listed)), forced_by=SIGN, mark=SIGN), *joined)
    assert diagnose(inventory(), hosts).loss == SINCE_FORCED


def test_what_was_not_forced_has_lost_nothing() -> None:
    """Killed before the force, also right before: the old cluster answers, whole."""
    for survivor in (stopped(0, mark=SIGN), replace(stopped(0, mark=SIGN), forced_by=SIGN)):
        found = diagnose(inventory(), survey(survivor, *old(answer=True)))
        assert (found.verdict, found.loss, found.joiners) == (
            Verdict.UNFINISHED, "none: a quorum answers", names(0),
        )  # fmt: skip


@pytest.mark.parametrize("answer", [True, False])
def test_a_survivor_that_is_silent_and_given_up_may_have_taken_writes_as_the_marks_of_others_say(answer: bool) -> None:
    marked = [replace(host, mark=SIGN) for host in old(answer)]
    found = diagnose(inventory(lost=[0]), survey(silent(0), *marked))
    assert found.verdict is (Verdict.DEGRADED if answer else Verdict.RESTARTABLE)
    assert f"given up: {LOST} (if it came to that: the host is silent" in "\n".join(found.proof)
    alone = diagnose(inventory(lost=[0, 2]), survey(silent(0), stopped(1, fenced=True, mark=SIGN), silent(2)))
    assert alone.verdict is Verdict.LOST
    assert alone.loss.startswith(LOST)


def test_a_survivor_whose_data_is_damaged_can_be_given_up() -> None:
    """The marks of others name it, too; what was asked for is said, and the others may be started."""
    damaged = replace(stopped(0), data=data(0, error="a checksum"), forced_by=SIGN)
    hosts = survey(damaged, *(stopped(n, mark=SIGN) for n in (1, 2)))
    assert diagnose(inventory(), hosts).verdict is Verdict.UNPROVEN
    given_up = diagnose(inventory(lost=[0]), hosts)
    assert given_up.verdict is Verdict.RESTARTABLE
    assert f"given up: {LOST}" in "\n".join(given_up.proof)


@pytest.mark.parametrize("lost", [False, True])
def test_what_another_has_forced_is_not_gone_on_with_while_the_survivor_of_a_recovery_is_silent(lost: bool) -> None:
    """Host 2 was forced by hand; the mark on host 1 names host 0, which is no member there and may take writes."""
    hosts = survey(silent(0), emptied(1, mark=SIGN), healthy(2, members(2)))
    found = diagnose(inventory(lost=[0] * lost), hosts)
    assert (found.verdict, found.acts) == ((Verdict.UNFINISHED, True) if lost else (Verdict.UNPROVEN, False))
    assert lost or f"may have forced its survivor {name(0)}, which is silent" in "\n".join(found.proof)


@pytest.mark.parametrize("first", [0, 1])
def test_a_survivor_is_started_again_although_a_learner_has_the_same_log(first: int) -> None:
    """Whichever the inventory names first; the learner has no vote, and cannot serve."""
    listed = members(0, 7, learners=[7])
    removed = (node(1), node(2))
    survivor = replace(stopped(first, data(0, listed, removed=removed), mark=mark(first)), forced_by=mark(first))
    learner = stopped(1 - first, data(7, listed, removed=removed), mark=mark(first))
    hosts = survey(*((learner, survivor) if first else (survivor, learner)), silent(2))
    found = diagnose(inventory(), hosts)
    assert (found.verdict, found.survivor, found.joiners) == (Verdict.UNFINISHED, name(first), names(1 - first))


def test_where_a_cluster_that_holds_nothing_answers_the_loss_of_a_member_is_not_none() -> None:
    """Both may have been emptied, and have founded it: what the third held nobody knows."""
    new = [healthy(n) for n in (1, 2)]
    new = [replace(h, api=replace(h.api, status=replace(h.api.status, revision=1))) for h in new]  # type: ignore[type-var]
    found = diagnose(inventory(lost=[0]), survey(silent(0), *new))
    assert (found.verdict, found.acts) == (Verdict.DEGRADED, True)
    assert found.loss.startswith("unknown: nothing was ever written")


def test_a_silent_host_may_have_been_taken_in_by_a_survivor_that_is_given_up() -> None:
    """Hosts 0 and 1 may be the cluster: two of five, as member 3 lists them, never were one."""
    sign = replace(SIGN, members=tuple(f"{node(n):x} {peer(n)}" for n in FIVE))
    old_peer = stopped(3, data(3, members(*FIVE)), fenced=True, mark=sign)
    hosts = survey(silent(0), silent(1), emptied(2), old_peer, silent(4))
    found = diagnose(inventory(5, lost=[0, 4]), hosts)
    assert (found.verdict, found.path) == (Verdict.UNPROVEN, False)
    assert f"{name(1)} is silent, and may hold every write since the forced start of {name(0)}" in "\n".join(
        found.proof
    )
    given_up = diagnose(inventory(5, lost=[0, 1, 4]), hosts)
    assert (given_up.verdict, given_up.survivor) == (Verdict.LOST, name(3))
    assert given_up.loss.startswith(LOST)


# -- a recovery that did not force

WITH_A_QUORUM = replace(mark(), forces=False, members=tuple(f"{node(n):x} {peer(n)}" for n in FIVE))


def beside_a_host_made_anew(sign: Mark) -> Diagnosis:
    """Hosts 1 to 3 answer; 4 bears the mark of a recovery whose survivor was the leader, 0. That host was made anew."""
    quorum = [facts(n, api=answers(n, members(*FIVE), leader=1)) for n in (1, 2, 3)]
    return diagnose(inventory(5), survey(emptied(0), *quorum, emptied(4, mark=sign)))


def test_a_recovery_with_a_quorum_has_forced_nobody() -> None:
    assert beside_a_host_made_anew(replace(WITH_A_QUORUM, forces=True)).verdict is Verdict.UNPROVEN
    found = beside_a_host_made_anew(WITH_A_QUORUM)
    assert (found.verdict, found.path) == (Verdict.DEGRADED, True)
    assert "forced start of" not in "\n".join((found.loss, *found.proof, *found.advice))


def test_whom_a_recovery_with_a_quorum_left_alone_was_not_forced() -> None:
    """It was cut off when its removals had left one voter, which is stopped since."""
    alone = data(0, members(0), removed=(node(1), node(2)))
    stays = diagnose(inventory(), survey(stopped(0, alone, mark=WITH_A_QUORUM), emptied(1), emptied(2)))
    assert (stays.verdict, stays.acts) == (Verdict.RESTARTABLE, False)
    assert "was forced" not in "\n".join((stays.loss, *stays.proof))
    assert f"{name(0)}: systemctl start etcd" in "\n".join(stays.advice)


def carried_on(folder: Path, *hosts: HostFacts | Silent) -> tuple[Verdict, bool]:
    """The verdict, and whether what the run would write down says that it forces."""
    run = Run("recovery", inventory(), folder, "r1", "ada@desk", 1, ())
    run.survey, run.recovery = survey(*hosts), mark().recovery
    run.diagnosis = diagnose(run.inventory, run.survey)
    return run.diagnosis.verdict, run.mark.forces


def test_a_mark_says_whether_its_recovery_forces(tmp_path: Path) -> None:
    assert carried_on(tmp_path, stopped(0), emptied(1), emptied(2)) == (Verdict.LOST, True)
    assert carried_on(tmp_path, healthy(0), healthy(1), emptied(2)) == (Verdict.DEGRADED, False)
    # One that began with a quorum, and then had to; one that is carried on after its force.
    sign = replace(mark(), forces=False)
    assert carried_on(tmp_path, stopped(0, mark=sign), emptied(1), emptied(2, mark=sign)) == (Verdict.LOST, True)
    forced = replace(healthy(0, members(0), mark=mark()), forced_by=mark())
    assert carried_on(tmp_path, forced, emptied(1, mark=sign), emptied(2)) == (Verdict.UNFINISHED, True)


# -- the note of a force whose data is given up


def test_the_note_goes_when_the_host_joins_as_another_member() -> None:
    through = healthy(1, members(1, 2, 7, unstarted=[7]))
    gone = replace(emptied(0), forced_by=SIGN)
    replaced = replace(stopped(0, data(0, error="a checksum")), forced_by=SIGN)
    for host in (gone, replaced):
        assert operations.marking.forget_force(host, through) == [RemoveFile(name(0), FORCED_PATH)]
    # It is the member that was forced, and starts again; or was not forced.
    assert operations.marking.forget_force(replaced, healthy(1, members(0, 1, 2))) == []
    assert operations.marking.forget_force(emptied(0), through) == []


def test_a_note_that_hosts_beside_the_cluster_wait_for_stays_and_judges_no_more() -> None:
    """Months later the host is emptied again: no write is lost that anybody forced."""
    listed = members(1, 2, 7)
    host = replace(emptied(0), forced_by=replace(SIGN, unseen=("m1.example.com",)))
    [change] = operations.marking.forget_force(host, healthy(1, listed))
    noted = change.after(host)
    assert noted.forced_by == replace(SIGN, unseen=("m1.example.com",), forces=False)
    later = [facts(n, api=answers(n, listed, leader=1)) for n in (1, 2)]
    assert diagnose(inventory(), survey(host, *later)).verdict is Verdict.UNPROVEN
    assert diagnose(inventory(), survey(noted, *later)).verdict is Verdict.DEGRADED

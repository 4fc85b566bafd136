"""No quorum answers: lost, restartable, unproven, and who survives (PROCEDURE.md, stage 1)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
from builders import (
    FIVE,
    data,
    deaf,
    emptied,
    facts,
    inventory,
    machine,
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

from requorum.diagnosis import Verdict, diagnose
from requorum.facts.data_dir import unreadable
from requorum.facts.host import HostFacts, Silent
from requorum.facts.members import Member
from requorum.facts.unit import FENCE
from requorum.facts.wal import ConfChange
from requorum.inventory import Inventory


def said(lines: tuple[str, ...]) -> str:
    return "\n".join(lines)


def test_lost_two_of_three_emptied() -> None:
    found = diagnose(inventory(), survey(deaf(0), emptied(1), emptied(2)))
    assert found.verdict is Verdict.LOST
    assert found.acts
    assert found.survivor == name(0)
    assert (found.members, found.others, found.joiners, found.missing) == (names(0), names(1, 2), names(1, 2), ())
    assert "what only lost members held is unknown" in found.loss
    assert "at most 1 of the 2 members that a quorum needs can ever answer" in found.proof


@pytest.mark.parametrize(("committed", "verdict"), [(98, Verdict.LOST), (99, Verdict.LOST), (100, Verdict.UNFINISHED)])
def test_a_force_that_did_not_come_to_its_election_is_made_again(committed: int, verdict: Verdict) -> None:
    """Its database lists it alone; started plainly it would wait for the votes of those that its log still lists."""
    changes = tuple(ConfChange(98 + n, "remove", node(n), "", ()) for n in (1, 2))
    alone = data(0, members(0), commit=committed, consistent=97, changes=changes, removed=(node(1), node(2)))
    others = (emptied(1, fenced=True, mark=mark()), emptied(2, fenced=True, mark=mark()))
    found = diagnose(inventory(), survey(stopped(0, alone, mark=mark()), *others))
    assert (found.verdict, found.survivor, found.acts) == (verdict, name(0), True)
    assert (f"the forced start of {name(0)} did not come" in said(found.proof)) == (verdict is Verdict.LOST)


def test_a_removal_by_a_quorum_is_no_half_done_force() -> None:
    """The commit index on disk lags after a power loss; three members have their data, and are never forced."""
    removal = (ConfChange(100, "remove", node(3), "", ()),)
    hosts = [
        stopped(n, data(n, members(0, 1, 2), commit=99, changes=removal, removed=(node(3),)), mark=mark())
        for n in range(3)
    ]
    assert diagnose(inventory(), survey(*hosts)).verdict is Verdict.RESTARTABLE


def test_lost_two_of_three_silent_and_declared() -> None:
    found = diagnose(inventory(lost=[1, 2]), survey(deaf(0), silent(1), silent(2)))
    assert found.verdict is Verdict.LOST
    assert (found.others, found.joiners, found.missing) == ((), (), names(1, 2))


def test_lost_only_the_hosts_named_in_rejoin_join() -> None:
    found = diagnose(inventory(rejoin=[2]), survey(deaf(0), emptied(1), emptied(2)))
    assert (found.others, found.joiners, found.missing) == (names(1, 2), names(2), names(1))


def test_lost_three_of_five() -> None:
    five = members(*FIVE)
    left = (deaf(0, data(0, five)), deaf(1, data(1, five, last=(2, 101))))
    found = diagnose(inventory(5, lost=[4]), survey(*left, emptied(2), emptied(3), silent(4)))
    assert (found.verdict, found.survivor) == (Verdict.LOST, name(1))
    assert (found.others, found.joiners, found.missing) == (names(0, 2, 3), names(0, 2, 3), names(4))


def test_two_lost_of_five_is_not_lost() -> None:
    five = members(*FIVE)
    hosts = [deaf(n, data(n, five)) for n in range(3)]
    found = diagnose(inventory(5), survey(*hosts, emptied(3), emptied(4)))
    assert found.verdict is Verdict.RESTARTABLE


@pytest.mark.parametrize(
    ("why", "words"),
    [
        (stopped(1), "systemctl start etcd"),
        (stopped(1, masked=True), "systemctl unmask etcd && systemctl start etcd"),
        (stopped(1, fenced=True), FENCE),
        (deaf(1), "activating (start)"),
    ],
)
def test_restartable_says_how_to_start(why: HostFacts, words: str) -> None:
    found = diagnose(inventory(), {**survey(deaf(0), emptied(2)), name(1): why})
    assert (found.verdict, found.path) == (Verdict.RESTARTABLE, False)
    assert not found.acts
    assert words in said(found.advice)
    assert "never force" in said(found.proof)


def test_restartable_names_what_is_to_be_started_the_easiest_first() -> None:
    """A member that runs already is not what helps; it waits for the others."""
    five = members(*FIVE)
    hosts = (deaf(0, data(0, five)), stopped(1, fenced=True), stopped(2, masked=True), stopped(3))
    read = [replace(host, data=data(n, five)) for n, host in enumerate(hosts)]
    found = diagnose(inventory(5), survey(*read, emptied(4, fenced=True)))
    assert found.verdict is Verdict.RESTARTABLE
    *starts, last = found.advice
    assert [line.partition(" (")[0] for line in starts] == [
        f"{name(3)}: systemctl start etcd",
        f"{name(2)}: systemctl unmask etcd && systemctl start etcd",
        f"{name(1)}: rm -f {FENCE} && systemctl daemon-reload && systemctl start etcd",
    ]
    assert last.startswith("then run the same command again")


@pytest.mark.parametrize("index", [95, 99, 100], ids=["in the database", "its last entry", "above it"])
def test_restartable_although_an_addition_was_rejected(index: int) -> None:
    """`member add` with a URL that a member has is committed, and rejected when it is applied: it adds no voter."""
    rejected = (ConfChange(index, "add", 0xF4, "", (peer(1),)),)
    one, two = (stopped(n, data(n, commit=100, changes=rejected)) for n in (0, 1))
    assert diagnose(inventory(), survey(one, two, emptied(2))).verdict is Verdict.RESTARTABLE


def test_restartable_names_the_members_that_run_where_they_should_be_enough() -> None:
    found = diagnose(inventory(), survey(deaf(0), deaf(1), stopped(2)))
    assert [line.partition(" (")[0] for line in found.advice[:3]] == [
        f"{name(2)}: systemctl start etcd",
        f"{name(0)}: journalctl -u etcd",
        f"{name(1)}: journalctl -u etcd",
    ]


def test_restartable_although_declared_lost() -> None:
    """Forcing would throw away what the member that came back had acknowledged."""
    found = diagnose(inventory(lost=[1, 2]), survey(deaf(0), stopped(1), silent(2)))
    assert (found.verdict, found.path) == (Verdict.RESTARTABLE, False)


def test_unproven_by_silence() -> None:
    found = diagnose(inventory(), survey(deaf(0), silent(1), silent(2)))
    assert (found.verdict, found.path) == (Verdict.UNPROVEN, False)
    assert f"`{name(1)}: {{…, lost: true}}`" in said(found.advice)
    assert f"`{name(2)}: {{…, lost: true}}`" in said(found.advice)


def test_unproven_by_one_silent_host_that_could_make_the_quorum() -> None:
    found = diagnose(inventory(lost=[2]), survey(deaf(0), silent(1), silent(2)))
    assert found.verdict is Verdict.UNPROVEN
    assert name(1) in said(found.advice)
    assert name(2) not in said(found.advice)


def test_unproven_by_silent_hosts_that_are_a_quorum_among_themselves() -> None:
    """The one that answers is emptied: nothing on it says who is in the cluster."""
    found = diagnose(inventory(), survey(emptied(0), silent(1), silent(2)))
    assert (found.verdict, found.path) == (Verdict.UNPROVEN, False)
    assert "no reached host holds readable data of a member" in found.proof


def test_a_database_without_a_log_is_named() -> None:
    """A snapshot's file, put where the data was: whoever did that wonders why it does not count."""
    logless = replace(emptied(0), machine=machine(0, has_wal=False, data_entries=("member",)))
    found = diagnose(inventory(), survey(logless, silent(1), silent(2)))
    worth = "its data is without a log (/var/lib/etcd/member/wal), and so worth nothing"
    assert found.proof[-1] == f"{name(0)}: {worth}"
    beside = diagnose(inventory(lost=[2]), survey(logless, deaf(1), silent(2)))
    assert any(f"m0: {worth} on {name(0)}" in line for line in beside.proof)


def test_unproven_by_a_member_that_the_inventory_does_not_have() -> None:
    """The quorum is counted from the member list, never from the hosts of the inventory."""
    listed = members(0, 7, 8)
    found = diagnose(inventory(1), survey(deaf(0, data(0, listed))))
    assert (found.verdict, found.path) == (Verdict.UNPROVEN, False)
    assert f"m7 ({peer(7)})" in said(found.advice)
    assert "etcd.hosts" in said(found.advice)


def test_unproven_by_a_host_key_although_declared_lost() -> None:
    found = diagnose(inventory(lost=[1, 2]), survey(deaf(0), silent(1, alive=True), silent(2)))
    assert (found.verdict, found.path) == (Verdict.UNPROVEN, False)
    assert "known_hosts" in said(found.advice)


def test_unproven_by_two_clusters() -> None:
    found = diagnose(inventory(), survey(deaf(0), deaf(1, data(1, cluster=0xC2)), emptied(2)))
    assert (found.verdict, found.path) == (Verdict.UNPROVEN, False)
    assert f"{name(1)} holds data of cluster c2" in found.proof


def test_unproven_when_nobody_can_be_reached() -> None:
    found = diagnose(inventory(lost=[0, 1, 2]), survey(silent(0), silent(1), silent(2)))
    assert (found.verdict, found.path) == (Verdict.UNPROVEN, False)
    assert "no route to host" in said(found.advice)


def test_unproven_when_no_data_can_be_read_says_why() -> None:
    hosts = [facts(n, data=unreadable("the database cannot be read: I/O error")) for n in range(3)]
    found = diagnose(inventory(), survey(*hosts))
    assert found.verdict is Verdict.UNPROVEN
    assert f"{name(0)}: the database cannot be read: I/O error" in found.proof


def five_with(*extra: HostFacts, survivor: int | None = None) -> tuple[Inventory, dict[str, HostFacts | Silent]]:
    """Five members, three emptied or worse; the tests differ in what members 0 and 1 hold."""
    hosts = survey(*(emptied(n) for n in FIVE))
    return inventory(5, survivor=survivor), hosts | survey(*extra)


def held(
    n: int, listed: tuple[Member, ...] = members(*FIVE), *, last: tuple[int, int] = (2, 100), commit: int = 99,
    consistent: int = 99, revision: int = 50, stale: bool = False,
) -> HostFacts:  # fmt: skip
    return deaf(n, data(n, listed, last=last, commit=commit, consistent=consistent, revision=revision, stale=stale))


@pytest.mark.parametrize(
    ("less", "more"),
    [
        (partial(held, commit=98, consistent=98), partial(held, commit=99, consistent=98)),
        (partial(held, commit=98, consistent=98), partial(held, commit=97, consistent=99)),
        (partial(held, last=(2, 200)), partial(held, last=(3, 100))),
        (partial(held, last=(2, 100)), partial(held, last=(2, 101))),
        (partial(held, revision=50), partial(held, revision=51)),
    ],
)
@pytest.mark.parametrize(("worse", "better"), [(0, 1), (1, 0)])
def test_the_survivor_holds_the_most(
    less: Callable[[int], HostFacts], more: Callable[[int], HostFacts], worse: int, better: int
) -> None:
    found = diagnose(*five_with(less(worse), more(better)))
    assert (found.verdict, found.survivor) == (Verdict.LOST, name(better))


def test_equal_members_the_first_of_the_inventory_survives() -> None:
    found = diagnose(*five_with(held(1), held(0)))
    assert found.survivor == name(0)


def test_a_named_survivor_that_holds_as_much_is_taken() -> None:
    found = diagnose(*five_with(held(0), held(1), survivor=1))
    assert (found.verdict, found.survivor) == (Verdict.LOST, name(1))


def test_a_named_survivor_that_holds_less_is_refused() -> None:
    found = diagnose(*five_with(held(0), held(1, last=(2, 90), commit=90, consistent=90), survivor=1))
    assert (found.verdict, found.path) == (Verdict.UNPROVEN, False)
    assert f"{name(0)} holds more" in said(found.proof)
    assert "survivor: auto" in said(found.advice)


def test_a_named_survivor_without_data_is_refused() -> None:
    found = diagnose(*five_with(held(0), held(1), survivor=2))
    assert (found.verdict, found.path) == (Verdict.UNPROVEN, False)
    assert f"one of: {', '.join(names(0, 1))}" in said(found.advice)


def test_a_learner_never_survives() -> None:
    listed = members(0, 1, 2, 3, learners=[3])
    hosts = survey(held(0, listed, commit=98, consistent=98), emptied(1), emptied(2), held(3, listed))
    found = diagnose(inventory(4), hosts)
    assert (found.verdict, found.survivor) == (Verdict.LOST, name(0))
    assert f"{name(3)} cannot be the survivor: it is a learner; etcd would panic" in found.proof
    assert f"the survivor is {name(0)}: no candidate holds more" in found.proof, "one log up to entry 100"


def test_a_learner_does_not_count_for_the_quorum() -> None:
    listed = members(0, 1, 2, 3, learners=[3])
    found = diagnose(inventory(4), survey(held(0, listed), emptied(1), emptied(2), held(3, listed)))
    assert "a quorum is 2" in said(found.proof)


def test_a_removed_member_never_survives() -> None:
    """Member 2 was removed before the loss; its own, older log may not know it, its newer database does."""
    without = members(0, 1)
    gone = data(2, without, removed=(node(2),))
    found = diagnose(inventory(), survey(deaf(0, data(0, without)), emptied(1), stopped(2, gone)))
    assert (found.verdict, found.survivor) == (Verdict.LOST, name(0))
    assert "it was removed" in said(found.proof)


def test_nothing_is_forced_beside_damaged_data_that_nobody_gave_up() -> None:
    """It makes no quorum, and may hold the most, once it is mended."""
    _, hosts = five_with(held(0), deaf(1, data(1, members(*FIVE), last=(2, 190), error="a checksum")))
    found = diagnose(inventory(5), hosts)
    assert (found.verdict, found.path) == (Verdict.UNPROVEN, False)
    assert f"{name(1)}: a checksum: do not start etcd on this data" in said(found.advice)
    given_up = diagnose(inventory(5, lost=[1]), hosts)
    assert (given_up.verdict, given_up.survivor) == (Verdict.LOST, name(0))


def test_the_database_may_be_ahead_by_as_many_entries_as_the_force_appends() -> None:
    """The removals of the four others, and the leader's empty entry."""
    found = diagnose(*five_with(held(0), held(1, consistent=100, commit=95)))
    assert found.survivor == name(1)


def test_nobody_left_that_can_be_forced() -> None:
    found = diagnose(*five_with(held(0, stale=True)))
    assert (found.verdict, found.path) == (Verdict.UNPROVEN, False)
    assert "restore from a snapshot" in said(found.advice)


@pytest.mark.parametrize(("second", "settling"), [(deaf(1), True), (stopped(1), False)])
def test_members_that_run_may_be_about_to_elect(second: HostFacts, settling: bool) -> None:
    assert diagnose(inventory(), survey(deaf(0), second, emptied(2))).settling is settling

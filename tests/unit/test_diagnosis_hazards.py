"""States that look like another one: what an emptied host wrote, hosts that only SSH does not reach, a quorum that lies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from builders import (
    FIVE,
    STOPPED,
    THREE,
    conf,
    data,
    deaf,
    emptied,
    facts,
    healthy,
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
    unit,
)

from requorum.causes import why_down
from requorum.diagnosis import Diagnosis, Verdict, diagnose
from requorum.facts.data_dir import unreadable
from requorum.facts.host import HostFacts
from requorum.facts.members import Status
from requorum.facts.wal_changes import ConfChange


def founded(n: int) -> HostFacts:
    """An emptied host that was started, and has stopped."""
    return stopped(n, data(n, last=(2, 8), commit=8, consistent=3, revision=1, unwritten=True))


def refused(found: Diagnosis, verdict: Verdict, *words: str) -> None:
    assert (found.verdict, found.path, found.acts) == (verdict, False, False)
    for said in words:
        assert said in "\n".join((*found.proof, *found.advice))


def test_data_of_one_member_on_two_hosts_counts_for_none() -> None:
    """Somebody restored an old backup of member 0 on another host: the copy was taken for the member (it lost writes)."""
    copy = data(0, last=(2, 60), commit=60, consistent=60, revision=30)
    found = diagnose(inventory(), survey(stopped(0), stopped(1, copy), emptied(2)))
    refused(
        found, Verdict.UNPROVEN, f"{name(0)} and {name(1)} hold data of one member ({node(0):x})", "at revision 50",
        "at revision 30", "find out which is the member's own",
    )  # fmt: skip


@pytest.mark.parametrize(
    "copy", [replace(healthy(2), api=healthy(0).api), stopped(2, data(0))], ids=["lives", "stopped"]
)
def test_one_member_on_two_hosts_beside_a_quorum(copy: HostFacts) -> None:
    """A copy that is started writes its own name and URL into the member list, and dies and comes by turns."""
    found = diagnose(inventory(), survey(healthy(0), healthy(1), copy))
    refused(found, Verdict.UNPROVEN, f"{name(0)} and {name(2)} hold data of one member", f"{name(0)}: it answers")


def test_exchanged_data_is_to_be_moved_back() -> None:
    found = diagnose(inventory(), survey(stopped(0), stopped(1, data(2)), stopped(2, data(1))))
    refused(
        found, Verdict.RESTARTABLE, f"{name(0)}: systemctl start etcd", f"{name(1)} has the data of {name(2)}'s member",
        f"{name(2)} has the data of {name(1)}'s member",
    )  # fmt: skip
    assert "ETCD_LISTEN_PEER_URLS" not in "\n".join(found.advice)


OLD, NEW = {32: (2, 111), 64: (2, 222)}, {32: (2, 999)}


def test_emptied_hosts_founded_a_cluster_and_wrote_to_it() -> None:
    """All have data for the same members. Started together, Raft would take the two histories for one."""
    ours, theirs = data(0, samples=OLD), {"samples": NEW, "last": (2, 40), "commit": 40, "consistent": 40}
    found = diagnose(
        inventory(), survey(stopped(0, ours), stopped(1, data(1, **theirs)), stopped(2, data(2, **theirs)))
    )
    refused(
        found, Verdict.UNPROVEN, f"{name(0)} and {name(1)} hold different entries under the number 32", "do not start"
    )
    same = survey(stopped(0, ours), stopped(1, data(1, samples={32: (2, 111)})), emptied(2))
    assert diagnose(inventory(), same).verdict is Verdict.RESTARTABLE


def test_only_committed_entries_tell_histories_apart() -> None:
    other = data(1, samples={**OLD, 64: (3, 5)}, last=(3, 64), commit=63, consistent=63)
    hosts = survey(stopped(0, data(0, samples=OLD)), stopped(1, other), emptied(2))
    assert diagnose(inventory(), hosts).verdict is Verdict.RESTARTABLE


def test_a_mark_does_not_make_two_clusters_one() -> None:
    """Step 20 marks every host long before a force: what emptied hosts found meanwhile must not look like a member."""
    theirs = {"samples": NEW, "last": (2, 40), "commit": 40, "consistent": 40}
    for marked in ((0,), (0, 1, 2)):
        ours = [mark() if n in marked else None for n in range(3)]
        hosts = survey(
            stopped(0, data(0, samples=OLD), mark=ours[0]),
            *(stopped(n, data(n, **theirs), mark=ours[n]) for n in (1, 2)),  # type: ignore[arg-type]
        )
        refused(diagnose(inventory(), hosts), Verdict.UNPROVEN, "two clusters under the same IDs", "do not start")


def test_unwritten_logs_and_those_that_a_force_left_behind_may_differ() -> None:
    new = founded(1).data
    assert new is not None
    hosts = survey(stopped(0, data(0, samples={8: (2, 1)})), stopped(1, replace(new, samples={8: (2, 2)})), emptied(2))
    assert diagnose(inventory(), hosts).verdict is Verdict.LOST
    removes = tuple(ConfChange(index, "remove", node(n), "", ()) for index, n in ((31, 1), (32, 2)))
    ended = data(0, members(0), samples=OLD, changes=removes, removed=(node(1), node(2)))
    begun = data(0, samples=OLD, changes=removes, last=(2, 32), commit=30, consistent=30)
    # etcd 3.5 saves that it has applied them before it has elected.
    applied = data(
        0, members(0), samples=OLD, changes=removes, last=(2, 32), commit=30, removed=(node(1), node(2)), consistent=32
    )
    for forced in (ended, begun, applied):
        hosts = survey(stopped(0, forced, mark=mark()), stopped(1, data(1, samples=NEW), mark=mark()), emptied(2))
        assert "different entries" not in "\n".join(diagnose(inventory(), hosts).proof)


def test_what_emptied_hosts_wrote_is_no_data() -> None:
    found = diagnose(inventory(), survey(stopped(0), founded(1), founded(2)))
    assert (found.verdict, found.survivor, found.others) == (Verdict.LOST, name(0), names(1, 2))
    assert "nothing was ever written to the log there" in "\n".join(found.proof)


def test_only_what_an_emptied_host_wrote_is_never_forced() -> None:
    found = diagnose(inventory(lost=[1, 2]), survey(founded(0), silent(1), silent(2)))
    refused(found, Verdict.UNPROVEN, "nothing was ever written", "restore the cluster from a snapshot", "by hand")


def test_an_unwritten_log_of_another_cluster_is_another_cluster() -> None:
    other = stopped(1, data(1, cluster=0xC2, revision=1, unwritten=True))
    refused(diagnose(inventory(), survey(deaf(0), other, emptied(2))), Verdict.UNPROVEN, "different clusters")


@pytest.mark.parametrize("ahead", [{"revision": 51}, {"commit": 101}, {"consistent": 101}])
def test_a_quorum_that_knows_less_than_a_stopped_member(ahead: dict[str, int]) -> None:
    hosts = survey(stopped(0, data(0, **ahead)), healthy(1), healthy(2))
    found = diagnose(inventory(), hosts)
    refused(found, Verdict.UNPROVEN, "it knows less", f"do not start etcd on {name(0)}")


@pytest.mark.parametrize("sign", ["mark", "forced_by"])
def test_a_survivor_may_know_less_than_those_it_left_behind(sign: str) -> None:
    """A recovery has forced it, with `accept_loss` or without the others: they rejoin, whatever they hold."""
    survivor = replace(healthy(0, members(0)), **{sign: mark()})  # type: ignore[arg-type]
    alone = survey(survivor, stopped(1, data(1, revision=90)), emptied(2))
    assert diagnose(inventory(), alone).verdict is Verdict.UNFINISHED


@pytest.mark.parametrize("fenced", [False, True])
def test_a_mark_does_not_make_a_quorum_know_more(fenced: bool) -> None:
    """A run was killed before the force; its survivor has met an emptied host, and the two lack what member 1 holds."""
    hosts = survey(healthy(0, mark=mark()), stopped(1, data(1, revision=90), fenced=fenced), healthy(2, mark=mark()))
    refused(diagnose(inventory(), hosts), Verdict.UNPROVEN, "it knows less", f"do not start etcd on {name(1)}")


@pytest.mark.parametrize(("held", "goes_on"), [(deaf, True), (stopped, False)])
def test_a_learner_that_a_recovery_takes_in_goes_on_while_clients_write(
    held: Callable[..., HostFacts], goes_on: bool
) -> None:
    """Its data is read after the survivor's answer. One that does not run holds what it holds."""
    listed = members(0, 2, learners=[2])
    hosts = survey(healthy(0, listed, mark=mark()), emptied(1), held(2, data(2, listed, revision=51)))
    assert diagnose(inventory(), hosts).path is goes_on


def test_a_quorum_beside_data_of_another_cluster() -> None:
    found = diagnose(inventory(), survey(stopped(0, data(0, cluster=0xC2)), healthy(1), healthy(2)))
    refused(found, Verdict.UNPROVEN, f"{name(0)} holds data of cluster c2", "its own inventory")


def test_a_quorum_beside_what_an_emptied_host_wrote_takes_it_in_anew() -> None:
    found = diagnose(inventory(), survey(founded(0), healthy(1), healthy(2)))
    assert (found.verdict, found.acts, found.removals) == (Verdict.DEGRADED, True, (members(0)[0],))


def hearing(host: HostFacts, *numbers: int) -> HostFacts:
    return replace(host, heard=tuple(peer(n) for n in numbers))


def test_a_member_that_listens_on_a_host_that_lets_nobody_in_is_no_reason_to_take_its_power() -> None:
    found = diagnose(inventory(), survey(hearing(deaf(0), 1), silent(1, alive=True), silent(2)))
    said = "\n".join(found.advice)
    assert "compare it, then add it to known_hosts" in said
    assert f"the etcd of {name(1)} lives" in said
    assert "take the host's power" not in said


def test_a_lost_host_that_listens_is_alive() -> None:
    found = diagnose(inventory(lost=[1, 2]), survey(hearing(deaf(0), 1), silent(1), silent(2)))
    refused(found, Verdict.UNPROVEN, f"{peer(1)} listens, as seen from {name(0)}", "mend SSH")


def test_a_lost_host_that_listens_beside_a_quorum_is_not_removed() -> None:
    hosts = survey(hearing(healthy(0), 2), healthy(1), silent(2))
    refused(diagnose(inventory(lost=[2]), hosts), Verdict.DEGRADED, "the etcd of etcd-2.example.com lives")


def test_data_that_cannot_be_read_is_not_gone() -> None:
    broken = facts(1, data=unreadable("the database cannot be read: I/O error"))
    hosts = survey(deaf(0), broken, emptied(2))
    refused(diagnose(inventory(), hosts), Verdict.UNPROVEN, "cannot be read", "lost: true")
    assert diagnose(inventory(lost=[1]), hosts).verdict is Verdict.LOST


AHEAD = "its database (member/snap/db) is ahead of its log: expected entry 99 in member/wal, found 95 as the last"


def ahead(n: int) -> HostFacts:
    """A database that holds entries which its log does not: etcd would skip as many of the leader's."""
    return stopped(n, data(n, last=(2, 95), commit=95, consistent=99, revision=60, error=AHEAD))


def test_a_database_ahead_of_its_log_is_no_data_to_start_etcd_on() -> None:
    """Nor is it gone: what it holds may be nowhere else, so it takes the operator's word."""
    hosts = survey(stopped(0), ahead(1), emptied(2))
    found = diagnose(inventory(), hosts)
    refused(found, Verdict.UNPROVEN, f"m1: {AHEAD} on {name(1)}", "do not start etcd on this data", "lost: true")
    assert "systemctl start" not in "\n".join(found.advice)
    given_up = diagnose(inventory(lost=[1]), hosts)
    assert (given_up.verdict, given_up.survivor, given_up.others) == (Verdict.LOST, name(0), names(1, 2))
    assert f"m1: {AHEAD} on {name(1)}" in "\n".join(given_up.proof)


def test_beside_enough_members_with_their_data_a_damaged_one_is_not_to_be_started() -> None:
    found = diagnose(inventory(), survey(stopped(0), ahead(1), stopped(2)))
    refused(found, Verdict.RESTARTABLE, f"{name(0)}: systemctl start etcd", f"{name(2)}: systemctl start etcd")
    (told,) = (line for line in found.advice if name(1) in line)
    assert AHEAD in told
    assert "do not start etcd on this data" in told


@pytest.mark.parametrize(
    "bad", [ahead(2), stopped(2, unreadable("the write-ahead log cannot be read: a checksum"))], ids=["ahead", "log"]
)
def test_damaged_data_beside_a_quorum_takes_the_operators_word(bad: HostFacts) -> None:
    hosts = survey(healthy(0), healthy(1), bad)
    found = diagnose(inventory(), hosts)
    refused(found, Verdict.DEGRADED, bad.data.error if bad.data else "", "lost: true")
    assert "systemctl start" not in "\n".join(found.advice)
    given_up = diagnose(inventory(lost=[2]), hosts)
    assert (given_up.verdict, given_up.acts, given_up.removals) == (Verdict.DEGRADED, True, (members(2)[0],))
    assert given_up.joiners == names(2)


def test_a_recovery_does_not_start_what_it_has_stopped_on_damaged_data() -> None:
    bad = replace(ahead(2), unit=unit(STOPPED, fenced=True), mark=mark())
    refused(diagnose(inventory(), survey(healthy(0, mark=mark()), healthy(1), bad)), Verdict.DEGRADED, AHEAD)


def test_a_learner_with_damaged_data_is_taken_in_anew() -> None:
    listed = members(0, 1, 2, learners=[2])
    found = diagnose(inventory(), survey(healthy(0, listed), healthy(1, listed), ahead(2)))
    assert (found.acts, found.removals, found.joiners) == (True, (listed[2],), names(2))


def unread(n: int) -> HostFacts:
    return stopped(n, unreadable("the log did not come within 60 s", unread=True))


@pytest.mark.parametrize("lost", [(), (1,), (1, 2)])
@pytest.mark.parametrize("others", [(stopped(0), emptied(2)), (healthy(0), healthy(2))], ids=["lost", "quorum"])
def test_data_that_was_not_read_is_neither_damaged_nor_gone(
    lost: tuple[int, ...], others: tuple[HostFacts, ...]
) -> None:
    """A slow line is no reason to give a member up, nor to force without it, whatever is declared."""
    found = diagnose(inventory(lost=lost), survey(*others, unread(1)))
    refused(
        found, Verdict.UNPROVEN, f"the data of {name(1)} was not read: the log did not come within 60 s",
        "run the same command again",
    )  # fmt: skip
    assert (found.removals, found.joiners) == ((), ())


def test_a_survivor_that_was_half_forced_is_not_forced_again_while_other_data_was_not_read() -> None:
    removals = tuple(ConfChange(100 + n, "remove", node(n), "", ()) for n in (1, 2))
    begun = data(0, members(0), last=(2, 102), changes=removals, removed=(node(1), node(2)))
    hosts = survey(stopped(0, begun, mark=mark()), unread(1), emptied(2))
    refused(diagnose(inventory(lost=[1, 2]), hosts), Verdict.UNPROVEN, f"the data of {name(1)} was not read")


def alarmed(n: int, alarm: str) -> HostFacts:
    host = healthy(n)
    assert isinstance(host.api.status, Status)
    status = replace(host.api.status, errors=(f"memberID:160 alarm:{alarm} ",))
    return replace(host, api=replace(host.api, status=status))


def test_alarms() -> None:
    full = diagnose(inventory(), survey(alarmed(0, "NOSPACE"), healthy(1), healthy(2)))
    refused(full, Verdict.RESTARTABLE, "NOSPACE", "etcdctl alarm disarm")
    corrupt = diagnose(inventory(), survey(alarmed(0, "CORRUPT"), healthy(1), healthy(2)))
    refused(corrupt, Verdict.UNPROVEN, "members hold different data")


def test_a_cluster_that_holds_nothing_says_so() -> None:
    hosts = [healthy(n) for n in THREE]
    new = [replace(h, api=replace(h.api, status=replace(h.api.status, revision=1))) for h in hosts]  # type: ignore[type-var]
    found = diagnose(inventory(), survey(*new))
    assert found.verdict is Verdict.HEALTHY
    assert "nothing was ever written to it by the v3 API" in "\n".join(found.proof)


def test_a_wrong_peer_url_in_etcd_conf_does_not_hide_the_member() -> None:
    wrong = replace(stopped(1), conf=conf(1, ETCD_INITIAL_ADVERTISE_PEER_URLS="https://10.9.9.9:2380"))
    found = diagnose(inventory(), survey(deaf(0), wrong, emptied(2)))
    refused(found, Verdict.RESTARTABLE, "correct ETCD_INITIAL_ADVERTISE_PEER_URLS")


@pytest.mark.parametrize(
    ("host", "words"),
    [
        (replace(stopped(0), machine=machine(0, ports=frozenset({2380}))), "listens on port 2380"),
        (replace(stopped(0), machine=machine(0, ports=frozenset(), etcd_version="")), "not installed"),
        (replace(stopped(0), machine=machine(0, ports=frozenset(), data_free=0)), "0 bytes free"),
        (replace(stopped(0), machine=machine(0, ports=frozenset(), data_foreign="/d/member")), "not etcd's"),
        (replace(stopped(0), conf=conf(0, ETCD_LISTEN_PEER_URLS="https://10.9.9.9:2380")), "ETCD_LISTEN_PEER_URLS"),
        (replace(stopped(0), conf=conf(0, ETCD_LISTEN_PEER_URLS="https://0.0.0.0:2380")), ""),
        (stopped(0), ""),
        (facts(0, unit=unit(STOPPED), machine=machine(0, ports=frozenset())), ""),
    ],
)
def test_why_a_member_is_down(host: HostFacts, words: str) -> None:
    found = why_down(host)
    assert (words in "\n".join(found)) if words else found == []


def test_a_named_survivor_that_holds_less_and_is_accepted() -> None:
    five = members(*FIVE)
    stale = deaf(1, data(1, five, last=(2, 90), commit=90, consistent=90, revision=40))
    hosts = survey(deaf(0, data(0, five)), stale, emptied(2), emptied(3), emptied(4))
    asked = diagnose(inventory(5, survivor=1), hosts)
    refused(asked, Verdict.UNPROVEN, f"it lacks 10 revisions and 10 log entries of {name(0)}", "accept_loss: true")
    found = diagnose(inventory(5, survivor=1, accept_loss=True), hosts)
    assert (found.verdict, found.survivor, found.acts) == (Verdict.LOST, name(1), True)
    assert "it lacks 10 revisions" in found.loss

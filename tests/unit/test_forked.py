"""Two histories of one cluster, of which one was forced apart from the other, and none is rightly left behind."""

from __future__ import annotations

from dataclasses import replace

import pytest
from builders import (
    FIVE,
    THREE,
    answers,
    conf,
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
    node,
    peer,
    silent,
    stopped,
    survey,
)

from requorum.diagnosis import Diagnosis, Verdict, diagnose
from requorum.facts.data_dir import DataDir
from requorum.facts.host import HostFacts
from requorum.facts.wal_changes import ConfChange

OLD = tuple(node(n) for n in (1, 2))


def forced(n: int, *others: int, last: tuple[int, int] = (3, 103)) -> DataDir:
    """Data of member n after a forced start that has removed the others."""
    return data(n, members(n), last=last, commit=last[1], removed=tuple(node(other) for other in others))


def refused(found: Diagnosis, *words: str) -> None:
    assert (found.verdict, found.path, found.acts) == (Verdict.UNPROVEN, False, False)
    said = "\n".join((*found.proof, *found.advice))
    assert "systemctl start" not in said
    for one in ("one history was forced apart from the other", "find out which", *words):
        assert one in said


def old_quorum(*numbers: int) -> list[HostFacts]:
    listed = members(*FIVE) if len(numbers) > 2 else members(*THREE)
    return [facts(n, api=answers(n, listed, leader=numbers[0])) for n in numbers]


@pytest.mark.parametrize("lost", [(), (0,)])
@pytest.mark.parametrize("held", [stopped, deaf])
@pytest.mark.parametrize("marked", [False, True])
@pytest.mark.parametrize("learner", [False, True])
def test_what_a_recovery_has_taken_since_lies_on_a_host_that_is_not_its_survivor(
    lost: tuple[int, ...], held: object, marked: bool, learner: bool
) -> None:
    """The recovery forced host 0, and took host 1 in as member 7; host 0 dies, and the old quorum of 2, 3 and 4 boots."""
    listed = members(0, 7, learners=[7] * learner)
    joined = data(7, listed, last=(3, 150), commit=150, removed=tuple(node(n) for n in (1, 2, 3, 4)))
    host = held(1, joined, mark=mark() if marked else None)  # type: ignore[operator]
    hosts = survey(silent(0), host, *old_quorum(2, 3, 4))
    refused(diagnose(inventory(5, lost=lost), hosts), f"the data of {name(1)} (revision 50)", "m2, m3, m4")


def test_a_new_host_holds_it() -> None:
    joined = stopped(3, data(7, members(0, 7), last=(3, 150), commit=150, removed=OLD))
    refused(diagnose(inventory(4, lost=[0]), survey(silent(0), *old_quorum(1, 2), joined)), name(3))


@pytest.mark.parametrize("behind", [False, True])
def test_forced_by_hand_and_the_old_quorum_answers(behind: bool) -> None:
    held = forced(0, 1, 2, last=(3, 90) if behind else (3, 100))
    refused(
        diagnose(inventory(), survey(stopped(0, held), *old_quorum(1, 2))),
        f"the data of {name(0)} (revision 50) has removed m1, m2", f"do not start etcd on {name(0)}",
    )  # fmt: skip


def test_a_silent_old_peer_does_not_matter() -> None:
    hosts = survey(stopped(0, forced(0, 1, 2, 3, 4)), silent(1), *old_quorum(2, 3, 4))
    refused(diagnose(inventory(5, lost=[1]), hosts), name(0))


def test_forced_by_hand_and_all_are_stopped() -> None:
    later = [stopped(n, data(n, last=(9, 140))) for n in (1, 2)]
    refused(diagnose(inventory(), survey(stopped(0, forced(0, 1, 2)), *later)), f"on {name(1)} (revision 50)")
    refused(diagnose(inventory(lost=[2]), survey(stopped(0, forced(0, 1, 2)), later[0], silent(2))))


# -- forced by hand, and it answers


def ahead(n: int) -> HostFacts:
    return stopped(n, data(n, last=(2, 200), commit=200, consistent=200, revision=150))


def test_forced_by_hand_and_alive_while_those_it_has_removed_hold_more() -> None:
    """Somebody took the chapter's steps on a member that lagged behind, and restarted it plainly: nothing else says so."""
    found = diagnose(inventory(), survey(healthy(0, members(0)), ahead(1), ahead(2)))
    refused(
        found, f"{name(1)} holds revision 150 (committed up to entry 200)", "are at revision 50 (entry 100)",
        f"if that is the members that answer: {name(1)}: mv /var/lib/etcd/member to another place",
        f"if that is {name(1)}, {name(2)}: stop and disable etcd on the hosts of the other one",
    )  # fmt: skip
    assert found.loss == ""
    assert found.joiners == ()


def test_both_ways_out_of_that_lead_on() -> None:
    aside = diagnose(inventory(), survey(healthy(0, members(0)), emptied(1), emptied(2)))
    assert (aside.verdict, aside.acts, aside.survivor) == (Verdict.UNFINISHED, True, name(0))
    listed = members(*THREE)
    others = [facts(n, api=answers(n, listed, leader=1)) for n in (1, 2)]
    back = diagnose(inventory(), survey(emptied(0), *others))
    assert (back.verdict, back.acts, back.joiners) == (Verdict.DEGRADED, True, (name(0),))


def test_some_of_those_it_has_removed_hold_no_more() -> None:
    """Whoever knows less than it was rightly left behind, as far as anything shows."""
    found = diagnose(inventory(), survey(healthy(0, members(0)), ahead(1), stopped(2)))
    refused(found, f"find out which of them your clients have written to last, {name(1)} or the members that answer")
    assert diagnose(inventory(), survey(healthy(0, members(0)), stopped(1), stopped(2))).acts


@pytest.mark.parametrize("how", ["marked", "remembers", "another remembers"])
def test_whom_a_recovery_has_forced_may_hold_less(how: str) -> None:
    """Also where the host that was forced does not answer itself, and its new peers do."""
    if how == "another remembers":
        listed = members(0, 7, 8)
        joined = [facts(n, api=answers(k, listed, leader=7)) for n, k in ((1, 7), (2, 8))]
        survivor = replace(stopped(0, data(0, listed), mark=mark()), forced_by=mark())
        assert diagnose(inventory(4), survey(survivor, *joined, ahead(3))).acts
        return
    survivor = healthy(0, members(0), mark=mark() if how == "marked" else None)
    survivor = survivor if how == "marked" else replace(survivor, forced_by=mark())
    assert diagnose(inventory(), survey(survivor, ahead(1), ahead(2))).acts


def test_the_mark_of_a_recovery_that_forces_nobody_does_not_settle_it() -> None:
    """It began beside a member that somebody had forced by hand, while the others were silent; they are back."""
    survivor = healthy(0, members(0), mark=replace(mark(), forces=False))
    refused(diagnose(inventory(), survey(survivor, ahead(1), ahead(2))), f"{name(1)} holds revision 150")
    found = diagnose(inventory(), survey(survivor, *old_quorum(1, 2)))
    assert (found.verdict, found.path) == (Verdict.UNPROVEN, False)
    assert "do not agree on who is in the cluster" in found.proof[0]


def test_old_peers_that_have_gone_on_with_nothing_are_no_second_history() -> None:
    found = diagnose(inventory(), survey(stopped(0, forced(0, 1, 2)), stopped(1), stopped(2)))
    assert found.verdict is Verdict.RESTARTABLE
    assert [name(n) in "\n".join(found.advice) for n in THREE] == [True, False, False]


@pytest.mark.parametrize("how", ["marked", "remembers"])
def test_a_recovery_s_own_word_settles_it(how: str) -> None:
    held = stopped(0, forced(0, 1, 2), mark=mark() if how == "marked" else None)
    held = held if how == "marked" else replace(held, forced_by=mark())
    assert diagnose(inventory(), survey(held, *old_quorum(1, 2))).verdict is Verdict.UNFINISHED


@pytest.mark.parametrize("ends", [(5, 150), (2, 90)])
@pytest.mark.parametrize("answering", [True, False])
def test_two_survivors_of_one_recovery(ends: tuple[int, int], answering: bool) -> None:
    """Host 0 was forced, declared lost, and is back; host 1 was forced meanwhile. Their marks name one recovery."""
    first = replace(stopped(0, forced(0, 1, 2, last=ends)), forced_by=mark(0))
    own = mark(1)
    second = healthy(1, members(1), mark=own) if answering else stopped(1, forced(1, 0, 2, last=(4, 120)), mark=own)
    hosts = survey(first, replace(second, forced_by=own), emptied(2, mark=own))
    refused(diagnose(inventory(), hosts), name(0))


def test_a_removal_by_a_quorum_is_no_second_history() -> None:
    """Member 2 was removed before the loss, its host has its old data; whoever lags may not have settled that yet."""
    two = members(0, 1)
    knows = data(0, two, removed=(node(2),))
    found = diagnose(inventory(), survey(stopped(0, knows), emptied(1), stopped(2, data(2, last=(2, 80)))))
    assert (found.verdict, found.survivor) == (Verdict.LOST, name(0))
    later = data(1, last=(2, 101), commit=98, changes=(ConfChange(99, "remove", node(2), "", ()),))
    found = diagnose(inventory(), survey(stopped(0, knows), stopped(1, later), emptied(2)))
    assert found.verdict is Verdict.RESTARTABLE


def test_what_a_recovery_alone_has_committed_has_removed_nobody() -> None:
    """Its own tail held a removal that the cluster never had (step 41); the log is put back before it meets its peers."""
    removal = (ConfChange(110, "remove", node(2), "", ()),)
    entries = ("member", "openshift-backup-requorum-20261105-0300")
    kept = f"/var/lib/etcd/{entries[1]}/wal/0.wal.4096"
    here = machine(0, data_entries=entries, kept_log=kept)
    own = replace(stopped(0, data(0, last=(2, 120), commit=120, changes=removal), mark=mark()), machine=here)
    later = [stopped(n, data(n, last=(3, 115))) for n in (1, 2)]
    assert diagnose(inventory(), survey(own, *later)).verdict is Verdict.RESTARTABLE


# -- what is to be moved aside where the log has a directory of its own

APART = "mv /var/lib/etcd/member, and what is in /srv/wal, to another place"


def log_apart(host: HostFacts, n: int) -> HostFacts:
    return replace(host, conf=conf(n, ETCD_WAL_DIR="/srv/wal/"))


def test_a_log_in_a_directory_of_its_own_is_moved_aside_too() -> None:
    held = log_apart(stopped(0, forced(0, 1, 2)), 0)
    refused(diagnose(inventory(), survey(held, *old_quorum(1, 2))), f"{name(0)}: {APART}")


def test_and_where_emptied_hosts_have_founded_a_cluster() -> None:
    ahead = log_apart(stopped(0, data(0, revision=90)), 0)
    said = "\n".join(diagnose(inventory(), survey(ahead, *old_quorum(1, 2))).advice)
    assert "(mv /var/lib/etcd/member to another place; on " + f"{name(0)}: {APART})" in said
    two = [stopped(n, data(n, samples={50: (2, n)})) for n in (0, 1)]
    said = "\n".join(diagnose(inventory(), survey(log_apart(two[0], 0), two[1], silent(2))).advice)
    assert "find out which of them hold your data" in said
    assert f"on {name(0)}: {APART})" in said
    other = replace(two[0], conf=conf(0, ETCD_DATA_DIR="/srv/etcd"))
    said = "\n".join(diagnose(inventory(), survey(other, two[1], silent(2))).advice)
    assert f"on {name(0)}: mv /srv/etcd/member to another place)" in said


# A restore under the same URLs and token gives the founders their old IDs again

FOUNDERS = tuple(ConfChange(n + 1, "add", node(n), f"m{n}", (peer(n),)) for n in THREE)
RESTORED = [data(n, removed=OLD, changes=FOUNDERS) for n in THREE]


def test_who_was_removed_before_a_restore_is_no_second_history() -> None:
    found = diagnose(inventory(), survey(*(stopped(n, RESTORED[n]) for n in THREE)))
    assert found.verdict is Verdict.RESTARTABLE
    assert "3 voting members" in found.proof[0]
    answering = [healthy(n, leader=0) for n in (0, 1)]
    found = diagnose(inventory(), survey(*answering, stopped(2, RESTORED[2])))
    assert "forced apart" not in "\n".join(found.proof)
    assert found.verdict is Verdict.DEGRADED


def test_a_restored_cluster_that_was_forced_apart_is_told_all_the_same() -> None:
    removals = tuple(ConfChange(101 + n, "remove", node(n), "", ()) for n in (1, 2))
    apart = data(0, members(0), last=(3, 103), commit=103, changes=(*FOUNDERS, *removals), removed=OLD)
    later = [stopped(n, replace(RESTORED[n], log=data(n, last=(9, 140), changes=FOUNDERS).log)) for n in (1, 2)]
    refused(diagnose(inventory(), survey(stopped(0, apart), *later)), f"on {name(1)} (revision 50)")


def test_the_old_members_in_the_database_of_a_restored_cluster_count_for_nothing() -> None:
    """Three of six would be no quorum, and a quorum has its data."""
    old = tuple(replace(member(n), id=node(n) + 0x100) for n in THREE)
    held = [data(n, (*members(*THREE), *old), changes=FOUNDERS) for n in THREE]
    for up in (THREE, (0, 1)):
        hosts = survey(*(stopped(n, held[n]) if n in up else emptied(n) for n in THREE))
        found = diagnose(inventory(), hosts)
        assert (found.verdict, found.acts) == (Verdict.RESTARTABLE, False)
        assert "3 voting members" in found.proof[0]


def test_where_nothing_tells_the_old_members_from_today_s_the_run_stops() -> None:
    old = tuple(replace(member(n), id=node(n) + 0x100) for n in THREE)
    held = [data(n, (*members(*THREE), *old)) for n in THREE]
    found = diagnose(inventory(), survey(*(stopped(n, held[n]) for n in (0, 1)), emptied(2)))
    assert (found.verdict, found.path, found.acts) == (Verdict.UNPROVEN, False, False)
    assert f"the database of {name(0)} lists several members at {peer(0)}, {peer(1)}, {peer(2)}" in found.proof
    assert any("never force on this list" in line for line in found.advice)


def test_a_newest_log_whose_list_is_of_before_a_snapshot_judges_nobody() -> None:
    """A leader sent it the snapshot; its database, which etcd has not put in yet, lists who was removed since."""
    sent = data(0, last=(3, 120), commit=120, consistent=80)
    assert sent.log is not None
    sent = replace(sent, log=replace(sent.log, snapshot_index=120, snapshot_term=3, first_index=None))
    knows = data(1, members(0, 1), last=(3, 110), removed=(node(2),))
    found = diagnose(inventory(), survey(stopped(0, sent), stopped(1, knows), emptied(2)))
    assert "forced apart" not in "\n".join(found.proof)

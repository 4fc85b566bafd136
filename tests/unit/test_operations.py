"""Facts → exact changes, as values; and what a plan believes of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest
from builders import (
    CRASHED,
    STOPPED,
    answers,
    client,
    conf,
    data,
    deaf,
    emptied,
    facts,
    healthy,
    machine,
    mark,
    member,
    members,
    name,
    node,
    peer,
    process,
    stopped,
    unit,
)  # fmt: skip

from requorum import operations
from requorum.changes import (
    AddMember,
    Change,
    CopyTree,
    EnableEtcd,
    FetchTree,
    MoveAside,
    PromoteMember,
    ReloadUnits,
    RemoveFile,
    RemoveMember,
    SaveSnapshot,
    StartEtcd,
    StopEtcd,
    UpdatePeerUrls,
    WriteFile,
)  # fmt: skip
from requorum.facts import etcd_conf
from requorum.facts import mark as marks
from requorum.facts.host import HostFacts, MissingFact
from requorum.facts.unit import FENCE, FORCE, FORCE_ENVIRONMENT
from requorum.operations.backup import BackupPlace

ONE = name(0)
PLACE = BackupPlace(PurePosixPath("/backup"), "r1", Path("/run/backup"))
DATA_DIR = "/var/lib/etcd"


def applied(changes: list[Change], to: HostFacts) -> HostFacts:
    """The facts once all changes are made, as a plan believes them."""
    for change in changes:
        to = change.after(to)
    return to


def written(change: Change) -> str:
    assert isinstance(change, WriteFile)
    return change.content


def test_the_fence_stands_before_etcd_stops() -> None:
    drop_in, *rest = operations.fence.raise_fence(deaf(0, mark=mark()))
    assert rest == [ReloadUnits(ONE, FENCE, True), StopEtcd(ONE)]
    assert "[Unit]\nAssertPathExists=/" in written(drop_in)
    assert "recovery 20261105-0300 by ada@desk" in written(drop_in)
    assert applied([drop_in, *rest], deaf(0)).fenced


def test_the_fence_is_lifted() -> None:
    assert operations.fence.lift_fence(deaf(0)) == [RemoveFile(ONE, FENCE), ReloadUnits(ONE, FENCE, False)]


def test_stop_and_start() -> None:
    assert operations.etcd.stop(deaf(0)) == [StopEtcd(ONE)]
    assert operations.etcd.start(deaf(0)) == [EnableEtcd(ONE), StartEtcd(ONE)]


def test_force_by_environment_with_short_timers() -> None:
    environment, drop_in, *rest = operations.etcd.force_new_cluster(stopped(0))
    assert environment == WriteFile(
        ONE,
        FORCE_ENVIRONMENT,
        "ETCD_FORCE_NEW_CLUSTER=true\nETCD_HEARTBEAT_INTERVAL=50\nETCD_ELECTION_TIMEOUT=500\n",
    )
    assert written(drop_in).endswith(f"[Service]\nEnvironmentFile={FORCE_ENVIRONMENT}\n")
    assert rest == [ReloadUnits(ONE, FORCE, True), StartEtcd(ONE)]


@pytest.mark.parametrize("flag", ["--heartbeat-interval=100", "--election-timeout 1000"])
def test_force_sets_no_timer_beside_a_flag(flag: str) -> None:
    """etcd 3.4 and later refuses to start where a flag shadows a variable."""
    old = stopped(0)
    old = replace(old, unit=replace(old.unit, exec_start=f"/usr/bin/etcd {flag}"))
    assert written(operations.etcd.force_new_cluster(old)[0]) == "ETCD_FORCE_NEW_CLUSTER=true\n"


def test_the_force_is_taken_away_with_a_restart_only_where_it_is_in_force() -> None:
    files = [RemoveFile(ONE, FORCE), ReloadUnits(ONE, FORCE, False), RemoveFile(ONE, FORCE_ENVIRONMENT)]
    forced = replace(healthy(0, members(0)), processes=(process(forced=True),))
    assert operations.etcd.take_force_away(forced) == [*files, StopEtcd(ONE), StartEtcd(ONE)]
    assert operations.etcd.take_force_away(healthy(0, members(0))) == [*files, StartEtcd(ONE)]


def test_forced_and_unforced_again_leaves_nothing_on_the_start_path() -> None:
    forced = applied(operations.etcd.force_new_cluster(stopped(0)), stopped(0))
    assert (forced.forced, forced.unit.forced) == (True, True)
    assert forced.members == members(0)
    plain = applied(operations.etcd.take_force_away(forced), forced)
    assert (plain.forced, plain.unit.forced, plain.unit.active) == (False, False, "active")


def value(changes: list[Change], key: str) -> str:
    """What the one change writes into etcd.conf."""
    [change] = changes
    assert isinstance(change, WriteFile)
    assert change.path == etcd_conf.PATH
    assert change.before is not None
    return etcd_conf.parse(change.content).get(key)


def test_the_survivor_names_only_itself() -> None:
    changes = operations.etcd.name_only_itself(deaf(0))
    assert value(changes, "ETCD_INITIAL_CLUSTER") == f"m0={peer(0)}"
    assert value(changes, "ETCD_INITIAL_CLUSTER_STATE") == "new"
    assert operations.etcd.name_only_itself(facts(0, conf=conf(0, (0,)))) == []


def test_a_joiner_names_the_living_and_itself() -> None:
    """The joiner has no name in the list yet; the chapter's example forgets it."""
    for listed in ((member(0), member(2, started=False, learner=True)), (member(0),)):
        changes = operations.etcd.name_joiner(emptied(2), healthy(0, listed))
        assert value(changes, "ETCD_INITIAL_CLUSTER") == f"m0={peer(0)},m2={peer(2)}"
        assert value(changes, "ETCD_INITIAL_CLUSTER_STATE") == "existing"


def test_members_keep_the_order_of_the_file() -> None:
    old = facts(1, conf=conf(1, (2, 0, 1)))
    assert operations.etcd.name_members(old, healthy(0)) == []
    changes = operations.etcd.name_members(old, healthy(0, members(0, 1, 2, 3)))
    assert value(changes, "ETCD_INITIAL_CLUSTER") == ",".join(f"m{n}={peer(n)}" for n in (2, 0, 1, 3))


def test_a_member_that_took_another_name_gets_it() -> None:
    renamed = replace(member(1), name="new")
    changes = operations.etcd.name_members(facts(0), healthy(0, (member(0), renamed, member(2))))
    assert f"new={peer(1)}" in value(changes, "ETCD_INITIAL_CLUSTER")


def test_no_list_no_change() -> None:
    with pytest.raises(MissingFact, match="expected a member list, found etcd is not active"):
        operations.etcd.name_members(facts(0), deaf(1))


def test_data_goes_aside_where_etcd_does_not_look() -> None:
    to = f"{DATA_DIR}/openshift-backup-requorum-r1"
    assert operations.etcd.move_data_aside(stopped(0), "r1") == [MoveAside(ONE, DATA_DIR, to)]


@pytest.mark.parametrize("version", ["3.4.23", "3.5.16", "3.10.0"])
def test_added_as_a_learner_where_there_are_learners(version: str) -> None:
    through = replace(healthy(0), machine=machine(0, etcd_version=version))
    assert operations.membership.add_learner(through, emptied(1)) == [AddMember(ONE, "m1", (peer(1),), True)]
    assert operations.membership.add_voter(through, emptied(1)) == []


@pytest.mark.parametrize(
    ("version", "etcdctl"),
    [("3.3.25", "3.3.25"), ("3.4.23", "3.3.25"), ("3.3.25", "3.4.23"), ("3.4.23", "")],
)
def test_added_as_a_voter_where_there_are_none(version: str, etcdctl: str) -> None:
    through = replace(healthy(0), machine=machine(0, etcd_version=version, etcdctl_version=etcdctl))
    assert operations.membership.add_learner(through, emptied(1)) == []
    assert operations.membership.add_voter(through, emptied(1)) == [AddMember(ONE, "m1", (peer(1),), False)]
    assert operations.membership.promote(through, emptied(1)) == []


def test_promote_and_remove() -> None:
    assert operations.membership.promote(healthy(0), facts(1)) == [PromoteMember(ONE, "m1", (peer(1),), (client(1),))]
    assert operations.membership.remove(healthy(0), members(1, 2)) == [
        RemoveMember(ONE, "m1", (peer(1),), node(1)),
        RemoveMember(ONE, "m2", (peer(2),), node(2)),
    ]
    assert operations.membership.remove_all_but_itself(healthy(0, members(0))) == []
    left = healthy(0, members(0, 3, learners=[3]))
    assert operations.membership.remove_all_but_itself(left) == [RemoveMember(ONE, "m3", (peer(3),), node(3))]
    with pytest.raises(MissingFact):
        operations.membership.remove_all_but_itself(deaf(0))


def test_a_peer_url_is_updated_only_where_it_differs() -> None:
    assert operations.membership.advertise(healthy(0)) == []
    wrong = replace(member(0), peer_urls=("http://localhost:2380",))
    changes = operations.membership.advertise(healthy(0, (wrong,)))
    assert changes == [UpdatePeerUrls(ONE, "m0", (peer(0),), node(0))]
    assert operations.membership.advertise(applied(changes, healthy(0, (wrong,)))) == []
    with pytest.raises(MissingFact):
        operations.membership.advertise(deaf(0))


def test_marking() -> None:
    [change] = operations.marking.sign(facts(0), mark())
    assert change == WriteFile(ONE, marks.PATH, operations.marking.signed(facts(0), mark()).text(), mode="0600")
    assert operations.marking.strike(facts(0), whole=True, reached=()) == [RemoveFile(ONE, marks.PATH)]


def test_that_a_survivor_was_forced_is_forgotten_when_nobody_is_missing() -> None:
    [change] = operations.marking.remember_force(facts(0), mark())
    remembering = change.after(facts(0))
    assert remembering.forced_by == mark()
    assert operations.marking.strike(remembering, whole=False, reached=()) == [RemoveFile(ONE, marks.PATH)]
    both = operations.marking.strike(remembering, whole=True, reached=())
    assert both == [RemoveFile(ONE, marks.PATH), RemoveFile(ONE, marks.FORCED_PATH)]
    assert applied(both, remembering) == facts(0)


def test_the_way_back_is_written_down_before_it_is_taken() -> None:
    [change] = operations.marking.take_way_back(facts(0), mark(), members(1)[0])
    wanted = replace(mark(), way_back=f"{node(1):x}")
    assert change.after(facts(0)).mark == operations.marking.signed(facts(0), wanted)


def test_what_was_undone_is_not_remembered_as_forced() -> None:
    both = replace(facts(0, mark=mark()), forced_by=mark())
    assert applied(operations.marking.strike_undone(both), both) == facts(0)
    earlier = replace(both, forced_by=replace(mark(), recovery="20250101-0000"))
    assert applied(operations.marking.strike_undone(earlier), earlier).forced_by is not None


def test_what_a_join_has_added_is_taken_out_by_its_id() -> None:
    now = healthy(0, (*members(0), member(1, learner=True, started=False)))
    assert operations.membership.take_out(now, healthy(0, members(0)), facts(1)) == [
        RemoveMember(ONE, "", (peer(1),), node(1))
    ]
    assert operations.membership.take_out(healthy(0, members(0)), healthy(0, members(0)), facts(1)) == []


def test_who_voted_before_the_run_is_not_taken_out() -> None:
    both = healthy(0, members(0, 1))
    assert operations.membership.take_out(both, both, facts(1)) == []


def test_a_force_that_was_left_on_a_start_path_is_taken_away() -> None:
    assert operations.etcd.never_force(facts(0)) == []
    left = facts(0, unit=unit(forced=True))
    assert not applied(operations.etcd.never_force(left), left).unit.forced
    unread = facts(0, unit=replace(unit(), force_file=True))
    assert not applied(operations.etcd.never_force(unread), unread).unit.forced


def test_a_fence_that_was_left_on_a_member_that_answers_is_taken_away() -> None:
    """Whether systemd has read it or not: the next boot would."""
    assert operations.etcd.let_start(healthy(0)) == []
    for left in (unit(fenced=True), replace(unit(), fence_file=True), unit(fenced=True, forced=True)):
        found = applied(operations.etcd.let_start(healthy(0, unit=left)), healthy(0, unit=left)).unit
        assert (found.fenced, found.forced) == (False, False)


def test_backups_and_where_they_go() -> None:
    copy = CopyTree(ONE, DATA_DIR, "/backup/etcd-data-2.100-r1")
    fetched = FetchTree(ONE, "/backup/etcd-data-2.100-r1", f"/run/backup/{ONE}-data.tar.gz")
    assert operations.backup.keep_data(deaf(0), PLACE) == [copy, fetched]
    assert operations.backup.keep_data(deaf(0), replace(PLACE, fetched=None)) == [copy]
    assert operations.backup.keep_data(emptied(0), PLACE) == []
    assert operations.backup.keep_configuration(emptied(0), replace(PLACE, fetched=None)) == [
        CopyTree(ONE, "/etc/etcd", "/backup/etcd-config-r1")
    ]
    saved, _ = operations.backup.save_snapshot(healthy(0), PLACE, "end")
    assert saved == SaveSnapshot(ONE, "/backup/etcd-snapshot-end-2.100-r1")
    assert PLACE.database(deaf(0)) == PurePosixPath("/backup/etcd-data-2.100-r1/member/snap/db")


def test_an_old_copy_is_no_backup_of_data_that_has_moved_on() -> None:
    """The recovery was interrupted, its members ran on for weeks, and quorum is lost again: the mark is the same."""
    first = PLACE.data(deaf(0))
    assert PLACE.data(deaf(0, data(0, last=(3, 9000)))) != first
    assert PLACE.data(deaf(0, data(0, last=(3, 100)))) != first, "overwritten by another leader"
    assert PLACE.log(deaf(0, data(0, last=(3, 9000)))) != PLACE.log(deaf(0))
    assert PLACE.v2(deaf(0, data(0, last=(3, 9000)))) != PLACE.v2(deaf(0))
    later = healthy(0)
    assert later.api.status is not None
    later = replace(later, api=replace(later.api, status=replace(later.api.status, raft_index=9000)))
    assert PLACE.snapshot("before", later) != PLACE.snapshot("before", healthy(0))


def test_a_recovery_that_is_carried_on_finds_its_copy() -> None:
    """An election without a winner raises the term, a stop writes the commit index and the database: nothing new is held."""
    assert PLACE.data(stopped(0, data(0, commit=100, consistent=100, revision=51))) == PLACE.data(deaf(0))
    assert PLACE.v2(healthy(0)) == PurePosixPath("/backup/etcd-v2-r1"), "of a member that goes on: once"


SEQUENCES: list[tuple[HostFacts, list[Change]]] = [
    (old, changes)
    for old in (
        deaf(0), stopped(0), stopped(0, masked=True), stopped(0, fenced=True), emptied(0), emptied(0, STOPPED),
        healthy(0), healthy(0, members(0, 1)), facts(0, unit=unit(CRASHED), data=data(0)),
        replace(facts(0, data=data(0), unit=unit(forced=True), api=answers(0, members(0))), mark=mark()),
    )
    for changes in (
        operations.fence.raise_fence(old),
        operations.fence.lift_fence(old),
        operations.etcd.force_new_cluster(old),
        operations.etcd.take_force_away(old),
        operations.etcd.name_only_itself(old),
        operations.etcd.name_members(old, healthy(0, members(0, 1))),
        operations.etcd.start(old),
        operations.etcd.move_data_aside(old, "r1"),
        operations.marking.sign(old, mark()),
        operations.marking.strike(old, whole=True, reached=()),
        operations.marking.remember_force(old, mark()),
        operations.etcd.never_force(old),
        operations.membership.add_learner(old, facts(4)),
        operations.membership.promote(old, facts(1)),
        operations.membership.remove(old, members(1)),
        operations.backup.keep_configuration(old, PLACE),
    )
]  # fmt: skip


@pytest.mark.parametrize(("old", "changes"), SEQUENCES)
def test_what_a_plan_believes_is_believed_once(old: HostFacts, changes: list[Change]) -> None:
    """A change that holds already changes no facts; and a sequence made twice ends where it ended."""
    facts = old
    for change in changes:
        facts = change.after(facts)
        assert change.after(facts) == facts
        assert change.host == old.name
        assert change.shown()
    assert applied(changes, facts) == facts

"""What an unfinished recovery has done, whether it can be undone, and the changes that undo it: values, without a host."""

from __future__ import annotations

from dataclasses import replace

import pytest
from builders import (
    STARTING,
    STOPPED,
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
    node,
    peer,
    process,
    silent,
    stopped,
    survey,
    unit,
)  # fmt: skip
from pods import pod_unit

from requorum import operations
from requorum.changes import MoveBack, ReloadUnits, RemoveFile, RestoreFile, RunEtcd
from requorum.facts import mark as marks
from requorum.facts.host import HostFacts, Silent
from requorum.facts.mark import Mark
from requorum.facts.runtime import ASIDE, MANIFEST, PARKED, PODS
from requorum.facts.unit import FENCE, FORCE
from requorum.facts.wal import ConfChange
from requorum.operations.marking import signed
from requorum.undoing import Undoing, listed, to_undo, undoing_of

REMOVALS = tuple(ConfChange(100 + n, "remove", node(n), "", ()) for n in (1, 2))
BEGUN = replace(mark(), members=listed(deaf(0)))


def bears(now: HostFacts, before: HostFacts, sign: Mark = BEGUN) -> HostFacts:
    """A host as it is now, with the mark of a recovery that found it otherwise."""
    return replace(now, mark=signed(before, sign))


def edited(host: HostFacts) -> HostFacts:
    """Its etcd.conf names itself alone."""
    return replace(host, conf=conf(0, among=(0,)))


BEFORE = survey(deaf(0), emptied(1), emptied(2))
SURVIVOR = bears(edited(stopped(0)), deaf(0))
OTHERS = [bears(emptied(n, STOPPED, fenced=True), emptied(n)) for n in (1, 2)]


def found(*hosts: HostFacts | Silent, lost: tuple[int, ...] = ()) -> Undoing:
    return undoing_of(inventory(len(hosts), lost=lost), survey(*hosts))


# -- what is to be undone

RECOVERY = mark().recovery
ASIDE_2 = f"openshift-backup-requorum-{RECOVERY}"
LEFT = f"what a join has left there into {ASIDE_2}-after"
SET_ASIDE = replace(
    emptied(2, STOPPED), machine=machine(2, has_wal=False, data_entries=(ASIDE_2,), data_aside=frozenset({RECOVERY}))
)
"""Step 50 has moved its data aside."""
JOINED = replace(
    stopped(2, fenced=True), machine=machine(2, data_entries=(ASIDE_2, "member"), data_aside=frozenset({RECOVERY}))
)
"""The same, and a join that was taken back has left data there."""


def test_what_is_undone_is_told_by_host() -> None:
    undoing = found(SURVIVOR, *OTHERS)
    assert undoing.acts
    assert (undoing.recovery, undoing.survivor) == (mark().recovery, name(0))
    assert undoing.words == (
        f"{name(0)}: etcd.conf is put back; etcd is started",
        f"{name(1)}: the fence is lifted",
        f"{name(2)}: the fence is lifted",
    )


def test_without_a_mark_there_is_nothing_to_undo() -> None:
    undoing = found(*(f for f in BEFORE.values()))
    assert (undoing.acts, undoing.hosts, undoing.problems) == (False, (), ())


def test_a_fence_without_a_mark_is_left_and_told() -> None:
    """The recovery has ended, or was killed right after step 11: the fence is to stay in both cases."""
    undoing = found(healthy(0), healthy(1), emptied(2, STOPPED, fenced=True))
    assert not undoing.acts
    [left] = undoing.left
    assert left.startswith(f"{name(2)} stays fenced: it bears no mark")
    assert "has ended" not in left


@pytest.mark.parametrize(
    ("now", "before", "words"),
    [
        (deaf(0), deaf(0), []),
        (stopped(0), stopped(0), []),
        (facts(0, unit=unit(STOPPED, forced=True)), deaf(0), ["the force is taken off the start path", "etcd is started"]),
        (stopped(1, fenced=True), deaf(1), ["the fence is lifted", "etcd is started"]),
        (stopped(1, fenced=True), stopped(1, fenced=True), []),
        (emptied(1, STOPPED), emptied(1, STARTING), ["etcd is not started: its data was gone when it was found"]),
        (stopped(1), deaf(1, data(1, unwritten=True)), ["etcd is not started: its data was gone when it was found"]),
        (emptied(1, STOPPED), stopped(1), []),
        (SET_ASIDE, stopped(2), ["its data is moved back"]),
        (JOINED, stopped(2), [f"its data is moved back, and {LEFT}", "the fence is lifted"]),
        (SET_ASIDE, emptied(2), ["what was moved aside is moved back"]),
        (stopped(2), stopped(2, fenced=True), ["the fence that was found is raised again"]),
        (healthy(2), replace(healthy(2), unit=unit(fenced=True)), []),
    ],
)  # fmt: skip
def test_only_what_was_done_is_undone(now: HostFacts, before: HostFacts, words: list[str]) -> None:
    assert to_undo(bears(now, before)) == words


# -- the point of no return


@pytest.mark.parametrize("commit", [100, 102], ids=["not committed", "committed"])
def test_a_member_list_that_the_force_changed(commit: int) -> None:
    forced = data(0, last=(3, 102), commit=commit, changes=REMOVALS)
    undoing = found(bears(stopped(0, forced), deaf(0)), *OTHERS)
    assert not undoing.acts
    assert "the point of no return has passed" in undoing.problems[0]
    assert f"no longer in it: a1 {peer(1)}, a2 {peer(2)}" in undoing.problems[0]
    assert undoing.advice == ("finish the recovery: the same command without --abort",)


def test_a_mark_of_an_earlier_version_lists_what_etcd_had_rejected() -> None:
    """An addition at the URL of a member, in the log; and the old members in the database of a restored cluster."""
    rejected = (ConfChange(50, "add", 0xA7, "", (peer(1),)),)
    sign = replace(BEGUN, members=(*BEGUN.members, f"a7 {peer(1)}"))
    here = stopped(0, data(0, changes=rejected))
    hosts = [bears(here, deaf(0), sign), *(replace(f, mark=signed(emptied(1), sign)) for f in OTHERS)]
    assert found(*hosts).problems == ()
    assert found(*hosts).acts
    ran = replace(hosts[0], machine=machine(0, ran_logs=(sign.recovery,)))
    assert ran.ran_committed


def test_a_quorum_that_answers_says_who_is_listed() -> None:
    """The survivor was forced, and others have joined it since: its own old data does not count."""
    joined = [bears(healthy(n, members(0, 1)), deaf(n)) for n in (0, 1)]
    assert "no longer in it: a2" in found(*joined, OTHERS[1]).problems[0]


def test_a_quorum_that_came_back_by_itself_is_no_obstacle() -> None:
    undoing = found(*(bears(healthy(n), deaf(n)) for n in (0, 1)), bears(stopped(2, fenced=True), deaf(2)))
    assert undoing.acts


def test_a_process_that_forces_at_this_moment() -> None:
    forcing = facts(0, unit=unit(STARTING, forced=True), processes=(process(forced=True),), data=data(0))
    assert "forces a new cluster at this moment" in found(bears(forcing, deaf(0)), *OTHERS).problems[0]


# -- what would have to be guessed


def test_a_silent_survivor() -> None:
    undoing = found(silent(0), *OTHERS)
    assert "whether it was forced is not known" in undoing.problems[0]
    assert not undoing.acts


def test_a_survivor_that_cannot_be_read() -> None:
    undoing = found(bears(stopped(0, data(0, error="bad checksum")), deaf(0)), *OTHERS)
    assert f"the member list of {name(0)} (bad checksum) is not known" in undoing.problems[0]


def test_a_silent_host_may_be_fenced() -> None:
    assert f"{name(2)} is silent" in found(SURVIVOR, OTHERS[0], silent(2)).problems[0]
    given_up = found(SURVIVOR, OTHERS[0], silent(2), lost=(2,))
    assert given_up.acts
    assert f"{name(2)} is silent" in given_up.left[0]
    assert not found(SURVIVOR, OTHERS[0], silent(2, alive=True), lost=(2,)).acts


def test_a_host_that_is_no_longer_in_the_inventory_may_be_fenced() -> None:
    undoing = undoing_of(inventory(2), survey(SURVIVOR, OTHERS[0]))
    assert not undoing.acts
    [problem] = undoing.problems
    assert f"no host of the inventory has the member a2 ({peer(2)}) that recovery {mark().recovery} found" in problem
    assert f"put the host of {peer(2)} back under etcd.hosts" in undoing.advice[0]


def test_a_host_is_known_by_its_address_its_urls_and_its_member() -> None:
    """A member's peer URL and etcd.conf may say different things; the host is in the inventory all the same."""
    elsewhere = replace(OTHERS[1], conf=conf(2, ETCD_INITIAL_ADVERTISE_PEER_URLS="https://10.9.9.9:2380"))
    assert found(SURVIVOR, OTHERS[0], elsewhere).acts
    by_url = replace(BEGUN, members=(*BEGUN.members[:2], "a2 https://10.9.9.9:2380 learner"))
    hosts = [
        replace(f, mark=replace(f.mark, members=by_url.members)) for f in (SURVIVOR, OTHERS[0], elsewhere) if f.mark
    ]
    assert not any("no host of the inventory" in problem for problem in found(*hosts).problems)
    at_home = replace(deaf(0), data=data(0), conf=conf(0, ETCD_INITIAL_ADVERTISE_PEER_URLS="http://localhost:2380"))
    assert found(replace(at_home, mark=SURVIVOR.mark), *OTHERS).acts


def test_a_mark_of_an_older_version() -> None:
    undoing = found(SURVIVOR, OTHERS[0], replace(OTHERS[1], mark=replace(BEGUN, found=None)))
    assert undoing.problems == (f"the mark on {name(2)} does not say what was found there: it is of an older version",)


def test_a_mark_of_another_cluster() -> None:
    undoing = found(SURVIVOR, OTHERS[0], replace(OTHERS[1], mark=replace(BEGUN, cluster="other")))
    assert f"the mark on {name(2)} is of the cluster other, and the inventory of prod" in undoing.problems


def test_a_mask_of_somebody_else() -> None:
    masked = bears(stopped(0, masked=True), deaf(0))
    assert found(masked, *OTHERS).problems == (f"etcd is masked on {name(0)}, and not by Requorum",)


# -- the mark


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"further": (PARKED,)}, "two manifests of etcd"),
        ({"strays": (f"{PODS}/copy.yaml",)}, "another manifest of etcd"),
    ],
)
def test_a_manifest_that_was_written_over_a_fence(more: dict[str, tuple[str, ...]], words: str) -> None:
    """A playbook may come between the recovery and its abort, too: before anything is moved."""
    written = replace(bears(emptied(1), emptied(1)), unit=pod_unit(**more))
    undoing = undoing_of(inventory(), survey(SURVIVOR, written, OTHERS[1]))
    assert not undoing.acts
    assert any(words in problem for problem in undoing.problems)
    assert any("/copy.yaml out of" in line or f"mv {MANIFEST} /root/" in line for line in undoing.advice)


@pytest.mark.parametrize(("before", "acts"), [(emptied(1), False), (stopped(1), False), (deaf(1), True)])
def test_an_old_copy_where_the_manifest_of_a_pod_that_stays_down_would_go(before: HostFacts, acts: bool) -> None:
    now = replace(bears(before, before), unit=pod_unit(PARKED, further=(ASIDE,)), processes=())
    undoing = undoing_of(inventory(), survey(SURVIVOR, now, OTHERS[1]))
    assert undoing.acts == acts, undoing.problems
    assert acts or f"mv {ASIDE} /root/" in undoing.advice[0]


def test_the_mark_keeps_what_was_found_first() -> None:
    """A run that is carried on finds what the one before has made of the host, and another survivor perhaps."""
    first = signed(deaf(0), BEGUN)
    again = signed(bears(edited(stopped(0)), deaf(0)), replace(BEGUN, survivor=name(1)))
    assert again == replace(first, survivor=name(1))


def test_the_mark_is_read_as_it_was_written() -> None:
    written = signed(emptied(1), BEGUN)
    assert marks.parse(written.text()) == written
    assert marks.parse(mark().text()) == mark()


# -- the changes


def test_changes_that_undo() -> None:
    other = OTHERS[0]
    lifted = [RemoveFile(name(1), FENCE), ReloadUnits(name(1), FENCE, present=False)]
    assert operations.fence.lower_fence(other) == lifted
    assert operations.fence.lower_fence(bears(stopped(1, fenced=True), stopped(1, fenced=True))) == []
    assert operations.etcd.start_as_found(SURVIVOR) == [RunEtcd(name(0))]
    assert operations.etcd.start_as_found(bears(emptied(1), emptied(1, STARTING))) == []
    assert operations.etcd.start_as_found(bears(stopped(0), stopped(0))) == []
    assert RemoveFile(name(0), FORCE) in operations.etcd.clear_start_path(SURVIVOR)


def test_etcd_conf_is_put_back_where_it_differs() -> None:
    place = operations.backup.BackupPlace(operations.backup.CONFIGURATION.parent, "r1", None)
    kept = conf(0)
    copy = "/etc/etcd-config-r1/etcd.conf"
    restore = RestoreFile(name(0), "/etc/etcd/etcd.conf", copy, kept.sha256, SURVIVOR.conf.sha256)
    assert operations.backup.restore_configuration(SURVIVOR, place, kept) == [restore]
    assert operations.backup.restore_configuration(deaf(0), place, kept) == []


def test_data_is_moved_back_where_it_was_moved_aside() -> None:
    host = bears(SET_ASIDE, stopped(2))
    folder = f"/var/lib/etcd/{ASIDE_2}"
    back = MoveBack(name(2), "/var/lib/etcd", folder, f"{folder}-after")
    assert operations.etcd.move_data_back(host) == [*operations.fence.raise_fence(host), back]
    assert operations.etcd.move_data_back(bears(stopped(2), stopped(2))) == []
    of_another = replace(host, machine=replace(host.machine, data_aside=frozenset({"r0", f"{RECOVERY}-after"})))
    assert operations.etcd.move_data_back(of_another) == []


def test_data_is_moved_back_where_a_join_has_left_other_data() -> None:
    """The member that it was of is removed again, so the abort may go on; etcd was started on that data."""
    host = bears(JOINED, stopped(2))
    assert [type(change) for change in operations.etcd.move_data_back(host)] == [MoveBack]
    assert operations.etcd.kept_aside(host) == "", "it is not the log that was kept"


def test_a_log_of_its_own_goes_back_to_where_it_was() -> None:
    there = frozenset({RECOVERY, f"{RECOVERY}/log"})
    host = replace(JOINED, conf=conf(2, ETCD_WAL_DIR="/log"), machine=replace(JOINED.machine, data_aside=there))
    folder = f"/var/lib/etcd/{ASIDE_2}"
    assert operations.etcd.move_data_back(bears(host, stopped(2))) == [
        MoveBack(name(2), "/var/lib/etcd", folder, f"{folder}-after"),
        MoveBack(name(2), "/log", f"{folder}/log", f"{folder}-after/log"),
    ]


def test_a_fence_that_was_found_and_lifted_is_raised_again() -> None:
    """Step 51 lifts that of an old peer before it adds it (etcd 3.3); killed there, its host started with the next boot."""
    host = bears(stopped(2), stopped(2, fenced=True))
    assert operations.fence.lower_fence(host) == operations.fence.raise_fence(host)
    assert operations.fence.lower_fence(bears(stopped(2, fenced=True), stopped(2, fenced=True))) == []
    [left] = [line for line in found(SURVIVOR, OTHERS[0], host).left if line.startswith(name(2))]
    assert "stays fenced" in left


def test_a_fence_that_was_left_beside_a_living_member_stays_lifted() -> None:
    """Step 61 lifts it; raised again, it would keep the member down at its next start."""
    for now in (healthy(1), stopped(1)):
        host = bears(now, replace(healthy(1), unit=unit(fenced=True)))
        assert operations.fence.lower_fence(host) == []
        [left] = [line for line in found(SURVIVOR, host, OTHERS[1]).left if line.startswith(name(1))]
        assert "stays lifted" in left

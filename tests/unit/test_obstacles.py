"""Obstacles that no member's data can lift: the run stops, whatever the verdict would be."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from builders import (
    DEAF,
    FIVE,
    data,
    deaf,
    emptied,
    healthy,
    inventory,
    machine,
    mark,
    members,
    name,
    names,
    peer,
    process,
    silent,
    stopped,
    survey,
    unit,
)

from requorum.diagnosis import Diagnosis, Verdict, diagnose
from requorum.facts.data_dir import DataDir, unreadable
from requorum.facts.host import HostFacts, Silent
from requorum.facts.mark import Mark
from requorum.facts.process import Process

DENIED = replace(DEAF, error="Error: etcdserver: permission denied")


def refused(*hosts: HostFacts | Silent, lost: tuple[int, ...] = ()) -> Diagnosis:
    found = diagnose(inventory(len(hosts), lost=lost), survey(*hosts))
    assert (found.verdict, found.path, found.acts) == (Verdict.UNPROVEN, False, False)
    assert found.advice
    return found


def called(n: int, **more: object) -> HostFacts:
    return replace(healthy(n), machine=machine(n, **more))


def test_two_names_of_one_machine() -> None:
    twin = called(1, machine_id="machine-0", boot_id="boot-0")
    assert f"{name(0)} and {name(1)} lead to the same machine" in refused(healthy(0), twin, healthy(2)).proof[0]


@pytest.mark.parametrize("same", [{"machine_id": "machine-0"}, {"boot_id": "boot-0"}])
def test_clones_and_containers_are_machines_of_their_own(same: dict[str, object]) -> None:
    found = diagnose(inventory(), survey(healthy(0), called(1, **same), healthy(2)))
    assert found.verdict is Verdict.HEALTHY


@pytest.mark.parametrize("hostname", ["etcd-2.example.com", "etcd-2"])
@pytest.mark.parametrize("other", [healthy(2), silent(2)])
def test_a_machine_with_the_name_of_another_host(hostname: str, other: HostFacts | Silent) -> None:
    found = refused(healthy(0), called(1, hostname=hostname), other, lost=(2,))
    assert found.proof == (f"the machine that {name(1)} leads to calls itself {hostname}",)


@pytest.mark.parametrize("hostname", ["node-7", "etcd-1", "etcd-2.example.org", "ip-10-0-0-2"])
def test_a_machine_with_a_name_of_its_own(hostname: str) -> None:
    found = diagnose(inventory(), survey(healthy(0), called(1, hostname=hostname), healthy(2)))
    assert found.verdict is Verdict.HEALTHY


def test_users_and_roles_while_a_quorum_is_there() -> None:
    hosts = (replace(deaf(n, data(n)), api=DENIED) for n in range(3))
    assert "etcdserver: permission denied" in refused(*hosts).proof[0]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"unit": replace(unit(), overrides=("ETCD_DATA_DIR in /x",))}, "ETCD_DATA_DIR in /x"),
        ({"unit": replace(unit(), exec_start="etcd --data-dir /x")}, "--data-dir /x in ExecStart"),
        ({"processes": (replace(process(), environ={"ETCD_DATA_DIR": "/x/"}),)}, "the living etcd 100 has the data"),
    ],
)
def test_etcd_is_started_with_something_else_than_its_configuration(more: dict[str, Any], said: str) -> None:
    """Its data is not where etcd.conf says: what lies there would be taken for a lost member's."""
    found = refused(healthy(0), replace(emptied(1), **more), emptied(2))
    assert said in found.proof[0]
    assert "etcd.conf" in found.advice[0]


def test_another_etcd_beside_the_member_is_not_to_be_written_into_its_configuration() -> None:
    other = Process(200, 1, ("etcd", "--data-dir", "/tmp/dev.etcd"), {})
    found = refused(replace(healthy(0), processes=(process(), other)), emptied(1), emptied(2))
    assert found.proof == (
        f"{name(0)}: beside the member another etcd lives: process 200 (data directory /tmp/dev.etcd)",
    )
    assert "systemctl status 200" in found.advice[0]
    assert "etcd.conf" not in found.advice[0]


def test_a_disk_that_is_not_mounted_is_no_lost_data() -> None:
    unmounted = replace(emptied(1), data=unreadable("its file system is not mounted at /srv"))
    found = refused(deaf(0, data(0)), unmounted, emptied(2))
    assert any("not mounted at /srv" in line for line in found.proof)


def test_users_and_roles_by_the_database() -> None:
    kept = data(0)
    assert kept.db is not None
    on = replace(kept, db=replace(kept.db, auth_enabled=True))
    found = refused(deaf(0, on), emptied(1), emptied(2))
    assert found.proof == (f"{name(0)}: etcd's users and roles are switched on: etcd is not active",)


def test_the_survivor_of_an_unfinished_recovery_is_silent() -> None:
    """It may have been forced, and alive: without the mark this would be *lost*."""
    hosts = (silent(0), deaf(1, mark=mark(0)), emptied(2, mark=mark(0)), emptied(3), emptied(4))
    [said] = refused(*hosts).proof
    assert f"may have forced its survivor {name(0)}, which is silent" in said


def test_members_are_not_started_while_that_survivor_is_silent() -> None:
    """They are enough for the old quorum, and the survivor may have taken writes without it."""
    refused(silent(0), stopped(1, fenced=True, mark=mark(0)), stopped(2, fenced=True, mark=mark(0)))


def test_the_survivor_of_an_unfinished_recovery_has_unreadable_data() -> None:
    broken = deaf(0, data(0, error="the log is damaged"), mark=mark(0))
    [said] = refused(broken, deaf(1, mark=mark(0)), emptied(2)).proof
    assert "has data that cannot be read (the log is damaged)" in said


def test_the_survivor_of_an_unfinished_recovery_is_given_up() -> None:
    hosts = (silent(0), deaf(1, mark=mark(0)), emptied(2))
    found = diagnose(inventory(lost=(0,)), survey(*hosts))
    assert (found.verdict, found.survivor) == (Verdict.LOST, name(1))


def test_the_survivor_of_an_unfinished_recovery_is_given_up_and_listens() -> None:
    """SSH may be all that is broken there: members that were fenced must not be started beside it."""
    hearing = replace(stopped(1, fenced=True, mark=mark(0)), heard=(peer(0),))
    found = refused(silent(0), hearing, stopped(2, fenced=True, mark=mark(0)), lost=(0,))
    assert f"{peer(0)} listens, as seen from {name(1)}" in found.proof[0]
    assert "mend SSH" in found.advice[0]
    assert "lost: true" not in found.advice[0]


# Fenced, and no mark: step 11 fences the host of a removed member before anything is signed


def fenced(n: int, **more: Any) -> HostFacts:
    return replace(stopped(n, fenced=True), **more)


@pytest.mark.parametrize("old", [(1, 2), (1,)])
def test_removed_members_are_not_started_while_the_survivor_is_silent(old: tuple[int, ...]) -> None:
    """Its recovery has ended, so nobody bears a mark; its etcd serves clients, and SSH does not reach it."""
    hosts = (silent(0), *(fenced(n) if n in old else emptied(n) for n in (1, 2)))
    found = refused(*hosts)
    assert f"fenced {', '.join(names(*old))}, and left no mark" in found.proof[0]
    assert f"{name(0)}, which is silent" in found.proof[0]
    assert f"bring up {name(0)} with its data" in found.advice[0]
    assert f"do not start etcd on {', '.join(names(*old))}" in found.advice[-1]
    assert not any("systemctl" in line for line in found.advice)


def test_nor_is_one_of_them_forced() -> None:
    """Without the fence this would be *lost*: at most 2 of 5 can answer."""
    refused(silent(0), fenced(1, data=data(1, members(*FIVE))), *(silent(n) for n in (2, 3, 4)), lost=(2, 3, 4))


def test_a_host_that_is_silent_for_good_does_not_keep_them_from_being_started() -> None:
    found = diagnose(inventory(lost=(0,)), survey(silent(0), fenced(1), fenced(2)))
    assert found.verdict is Verdict.RESTARTABLE


@pytest.mark.parametrize("declared", [(), (0,)])
def test_a_survivor_that_listens_is_alive_whatever_is_declared(declared: tuple[int, ...]) -> None:
    found = refused(silent(0), fenced(1, heard=(peer(0),)), fenced(2), lost=declared)
    assert f"{peer(0)} listens, as seen from {name(1)}" in found.proof[0]
    assert "mend SSH" in found.advice[0]
    assert not any("lost: true" in line for line in found.advice)


def test_a_survivor_of_unreadable_data_may_have_removed_them() -> None:
    found = refused(deaf(0, data(0, error="the log is damaged")), fenced(1), fenced(2))
    assert "has data that cannot be read (the log is damaged)" in found.proof[0]


def test_a_survivor_that_the_inventory_does_not_have_may_have_removed_them() -> None:
    """Member 3 had a host of its own; it is not known which one the recovery forced."""
    found = refused(*(fenced(n, data=data(n, members(*FIVE[:4]))) for n in (0, 1, 2)))
    assert f"m3 ({peer(3)}), which the inventory does not have" in found.proof[0]
    assert "put the host of m3 back under etcd.hosts" in found.advice[0]


def test_an_old_quorum_that_answers_is_not_believed_while_the_survivor_is_silent() -> None:
    """One of the five was fenced before the others came back."""
    five = members(*FIVE)
    refused(silent(0), fenced(1, data=data(1, five)), *(healthy(n, five, leader=2) for n in (2, 3, 4)))


def test_where_everybody_is_read_a_fence_alone_hides_nothing() -> None:
    found = diagnose(inventory(), survey(emptied(0), fenced(1), fenced(2)))
    assert found.verdict is Verdict.RESTARTABLE


@pytest.mark.parametrize("worthless", [data(1, unwritten=True), unreadable("it is torn"), None])
def test_a_fence_on_data_that_does_not_count_says_nothing(worthless: DataDir | None) -> None:
    found = diagnose(inventory(), survey(silent(0), fenced(1, data=worthless), deaf(2)))
    assert not any("no mark" in line for line in found.proof)


def test_marks_of_two_recoveries() -> None:
    other = Mark("20261106-0300", "prod", name(1), "bob@desk", "2026-11-06T03:00:00Z")
    found = refused(deaf(0, mark=mark(0)), deaf(1, mark=other), emptied(2))
    assert found.proof[1] == f"{name(1)} bears the mark of recovery 20261106-0300 by bob@desk, survivor {name(1)}"


def test_one_recovery_may_have_changed_its_survivor() -> None:
    """Before the force roles are not frozen: a run that was killed while it signed again left both."""
    found = diagnose(inventory(), survey(deaf(0, mark=mark(1)), emptied(1, mark=mark(0)), emptied(2)))
    assert (found.verdict, found.survivor) == (Verdict.LOST, name(0))


def test_a_mark_of_another_cluster() -> None:
    """The inventory that was typed is of other hosts, or was copied: whose recovery is this?"""
    foreign = replace(mark(0), cluster="other")
    for host in (deaf(0, mark=foreign), replace(healthy(0), mark=foreign)):
        found = refused(host, emptied(1), emptied(2))
        assert found.proof == (f"the mark on {name(0)} is of the cluster other, and the inventory of prod",)
        assert "use the inventory of other" in found.advice[0]

"""Emptied hosts that start by themselves, and what they found. Rows of docs/hazards.md, *Loss*."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hazards import (
    LOST,
    assert_never_forced,
    change_a_value,
    empty,
    found_a_cluster,
    healthy,
    holding,
    recovers,
    refused,
    refused_for_other_data,
    start,
    stop,
    wait_state,
    whole,
    write_conf,
)
from runbook_runs import assert_told, assert_whole, broken, declared_lost, run, state, written

from lab import Lab, checksums, wait, writer
from lab.writer import Write
from requorum.journal import Journal
from requorum.records import StepBegan, StepEnded

Labs = Callable[..., Lab]
full = pytest.mark.full


def _founded(lab: Lab) -> list[Write]:
    return holding(lab, "founded", lambda: found_a_cluster(lab, LOST))


def _ids(lab: Lab, host: str) -> tuple[int, set[int]]:
    """The IDs of the cluster and of its members, as a member says them."""
    said = json.loads(lab.etcdctl(host, "member list -w json").stdout)
    return said["header"]["cluster_id"], {one["ID"] for one in said["members"]}


def test_emptied_hosts_found_a_cluster_of_their_own_without_fences(lab3: Lab) -> None:
    """The lab itself, without the runbook: why no survivor is stopped before every fence is proven."""
    before = _ids(lab3, "etcd-0")
    _founded(lab3)
    assert [_ids(lab3, host) for host in LOST] == [before, before]
    assert writer.read_all(lab3, "etcd-1") == {}


def test_emptied_hosts_founded_a_cluster_while_the_survivor_was_stopped(lab3: Lab) -> None:
    _founded(lab3)
    says = [
        "a quorum answers, and it knows less than a member that does not answer",
        "etcd-0.example.com holds revision 201 (committed up to entry ",
        "and the members that answer are at revision 1 (entry ",
        "do not start etcd on etcd-0.example.com",
    ]
    refused(lab3, "unproven", says)


@full
def test_emptied_hosts_in_a_crash_loop_beside_the_survivor(lab3: Lab) -> None:
    """They would found a cluster the moment it stops: by then each of them is fenced."""
    writes = broken(lab3, LOST, "destroyed")
    restarts = "systemctl show etcd --property=NRestarts --value"
    for host in LOST:
        wait.until(lambda host=host: int(lab3.run(host, restarts).stdout) > 0, f"etcd on {host} was restarted", 30)  # type: ignore[misc]
    done = run(lab3)
    assert_told(done, exit=0, outcome="recovered", verdict="lost", says=["3 of 3 members"])
    records = [entry.record for entry in Journal(done.journal).entries()]
    began = [r.step.partition("[")[0] if isinstance(r, StepBegan) else "" for r in records]
    before = records[: began.index("test_stop_survivor")]
    passed = {r.host for r in before if isinstance(r, StepEnded) and "test_fence[" in r.step and r.outcome == "passed"}
    assert passed == {lab3.host(host).name for host in LOST}
    assert_whole(lab3, writes)


@full
def test_emptied_hosts_founded_a_cluster_and_are_stopped_too(lab3: Lab) -> None:
    """Only etcd-0 holds data; what the others wrote at their start is none."""
    writes = _founded(lab3)
    stop(lab3, LOST)
    says = ["nothing was ever written to the log there", "the survivor is etcd-0.example.com"]
    recovers(lab3, writes, says)


@full
def test_emptied_hosts_founded_a_cluster_wrote_to_it_and_are_stopped_too(lab3: Lab) -> None:
    """All have data of the same members now: started together, Raft would take the two histories for one."""
    _founded(lab3)
    written(lab3, 100, LOST)
    stop(lab3, LOST)
    says = [
        "two clusters under the same IDs",
        "etcd-0.example.com and etcd-1.example.com hold different entries under the number",
        "do not start etcd on both",
    ]
    done = refused(lab3, "unproven", says)
    assert "systemctl start etcd" not in done.output


def test_only_an_emptied_host_is_reached(lab3: Lab, tmp_path: Path) -> None:
    """It founded a cluster by itself: forced, it would be an empty one."""
    whole(lab3)
    empty(lab3, ["etcd-0"])
    lab3.power_off(*LOST)
    start(lab3, ["etcd-0"])
    lab3.wait_peers_listen([lab3.host("etcd-0")])
    inventory = declared_lost(lab3, LOST, tmp_path / "inventory.yaml")
    says = [
        "nothing was ever written to the log there",
        "bring up a host that has data, or restore the cluster from a snapshot",
    ]
    refused(lab3, "unproven", says, inventory=inventory)


@full
def test_every_member_is_emptied(lab3: Lab) -> None:
    whole(lab3)
    empty(lab3, lab3.hosts)
    says = ["no reached host holds readable data of a member", "restore the cluster from a snapshot"]
    refused(lab3, "unproven", says, of_all=True)


def assert_said_to_be_empty(lab: Lab) -> None:
    """By the run, and by whatever only looks; nothing is changed by any of them."""
    says = "nothing was changed; nothing was ever written to it by the v3 API"
    before = lab.checksums()
    for look, outcome in ((), "healthy"), (("--preconditions",), "preconditions"), (("checks/",), "checks"):
        done = run(lab, *look)
        assert_told(
            done, exit=0, outcome=outcome, verdict="healthy", says=[says, "if it held data, restore a snapshot"]
        )
        assert "HEALTHY, AND EMPTY" in done.report.read_text(encoding="utf-8")
    assert checksums.changes(before, lab.checksums()) == []


@full
def test_every_member_is_emptied_and_they_found_a_cluster(lab3: Lab) -> None:
    """Healthy it is; that it holds nothing is said."""
    whole(lab3)
    found_a_cluster(lab3, lab3.hosts)
    assert_said_to_be_empty(lab3)


@full
def test_the_only_member_is_emptied_and_boots_again(labs: Labs) -> None:
    lab1 = labs(members=1)
    whole(lab1)
    lab1.power_off("etcd-0")
    lab1.destroy_data("etcd-0")
    lab1.boot("etcd-0")
    lab1.wait_healthy()
    assert_said_to_be_empty(lab1)


def _a_voter_without_memory(lab: Lab) -> list[Write]:
    """etcd-0 is stopped, and lacks the last 100 writes; etcd-1 holds them and is stopped; etcd-2 was emptied, and runs."""

    def make() -> list[Write]:
        writes = written(lab)
        stop(lab, ["etcd-0"])
        writes += written(lab, 100, LOST)
        stop(lab, ["etcd-1"])
        empty(lab, ["etcd-2"])
        start(lab, ["etcd-2"])
        lab.wait_peers_listen([lab.host("etcd-2")])
        return writes

    return state(lab, "hazard-a-voter-without-memory", make)


def test_an_emptied_voter_lives_beside_stopped_members_of_unequal_logs(lab3: Lab) -> None:
    """etcd-0 and it would be a quorum, and overwrite what etcd-1 alone still holds. What is typed as told loses nothing."""
    writes = _a_voter_without_memory(lab3)
    wanted = [
        "etcd-2.example.com: systemctl disable --now etcd",
        "only then start all of the following, in this order",
        "etcd-1.example.com: systemctl start etcd",
        "etcd-0.example.com: systemctl start etcd",
    ]
    done = refused(lab3, "restartable", wanted)
    told = [line for line in done.output.splitlines() if line.lstrip().startswith("next ")]
    told = told or done.output.splitlines()
    places = [next(at for at, line in enumerate(told) if words in line) for words in wanted]
    assert places == sorted(places), told
    for line in (wanted[0], *wanted[2:]):
        host, _, command = line.partition(".example.com: ")
        lab3.run(host, command.replace("systemctl start", "systemctl start --no-block"))
    lab3.wait_healthy([lab3.host(host) for host in ("etcd-0", "etcd-1")])
    assert writer.missing(writes, writer.read_all(lab3, "etcd-0")) == []
    again = run(lab3)
    assert_told(again, exit=0, outcome="recovered", verdict="degraded", says=["3 of 3 members"])
    assert_whole(lab3, writes)


def _rejoining(lab: Lab) -> list[Write]:
    """etcd-2 was emptied, and is told by etcd.conf to join a cluster that exists; it is stopped. Returns the writes."""
    writes = whole(lab)
    empty(lab, ["etcd-2"])
    write_conf(lab, "etcd-2", "ETCD_INITIAL_CLUSTER_STATE", "existing")
    return writes


@full
def test_an_emptied_member_rejoined_under_its_old_identity(lab3: Lab) -> None:
    """A new leader does not know what it had, and sends it everything: the data is compared, not believed to be the same."""
    writes = _rejoining(lab3)
    for host in ("etcd-0", "etcd-1"):
        lab3.run(host, "systemctl restart etcd")
    start(lab3, ["etcd-2"])
    lab3.wait_healthy()
    done = healthy(lab3, ["3 of 3 members", "Compare the members that answer"])
    assert done.journal.read_text(encoding="utf-8").count("hashkv") >= 3
    assert_whole(lab3, writes)
    change_a_value(lab3, "etcd-2")
    refused_for_other_data(lab3, "etcd-2")


@full
def test_an_emptied_member_cannot_rejoin_under_its_old_identity(lab3: Lab) -> None:
    """The leader knows what it had, and etcd panics. What lies there now is no data: it is removed, and joins anew."""
    writes = _rejoining(lab3)
    start(lab3, ["etcd-2"])
    wait_state(lab3, "etcd-2", "failed")
    done = run(lab3)
    assert_told(done, exit=0, outcome="recovered", verdict="degraded", says=["3 of 3 members"])
    assert_never_forced(done)
    assert "etcdctl member remove" in done.journal.read_text(encoding="utf-8")
    assert_whole(lab3, writes)

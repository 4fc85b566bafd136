"""Old peers that come back after the forced start, and do not reach the survivor: they make the old quorum."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hazards import firewall
from killed_runs import Point, stopped
from meetings import mend_firewall, met
from runbook_runs import assert_told, assert_whole, run, written
from test_old_peers import LOST, SURVIVOR, assert_fenced_first, assert_taken_in, given_up, lab_and_lost

from lab import Lab
from requorum.journal import Entry

Labs = Callable[..., Lab]


@pytest.mark.full
@pytest.mark.parametrize("survivor", ["serves", "is stopped"])
def test_an_abort_leaves_them_fenced(lab3: Lab, tmp_path: Path, survivor: str) -> None:
    """They answer as the old quorum; the run that fences and signs them is killed, and undone: they are not started again."""
    writes, inventory = given_up(lab3, tmp_path)
    assert run(lab3, inventory=inventory).exit == 0
    writes += written(lab3, 20, [SURVIVOR])
    old_quorum_writes(lab3, LOST)
    if survivor == "is stopped":
        lab3.run(SURVIVOR, "systemctl stop etcd")
    begun, mended, signed = Point("test_fence_old_peer"), list[bool](), Point("test_back_up_configuration")

    def reached(found: list[Entry]) -> bool:
        """They are seen as they answer; step 13 needs the way between the hosts."""
        if not mended and begun.reached(found):
            mended.append(True)
            mend_firewall(lab3, SURVIVOR)
        return signed.reached(found)

    stopped(lab3, "kill-group", reached, output=tmp_path / "first", inventory=inventory)
    stays = [f"{host}.example.com stays fenced: its member was removed" for host in LOST]
    stays.append(f"{SURVIVOR}.example.com was forced by recovery ")
    undone = run(lab3, "--abort", inventory=inventory)
    assert_told(undone, exit=0, outcome="aborted", verdict=str(undone.summary["verdict"]), says=["undone: ", *stays])
    for host in LOST:
        assert not lab3.run(host, "pidof etcd", check=False).stdout
        assert "AssertPathExists" in lab3.run(host, "systemctl cat etcd").stdout
    if survivor == "is stopped":
        assert not lab3.run(SURVIVOR, "pidof etcd", check=False).stdout
        lab3.run(SURVIVOR, "systemctl start etcd")
    assert_whole(lab3, writes, [SURVIVOR])
    assert_taken_in(lab3, run(lab3, inventory=inventory), writes, LOST, "30 of them only here")


def old_quorum_writes(lab: Lab, hosts: list[str]) -> None:
    """The survivor is out of their reach; they boot, make the old quorum, and take 30 writes of their own."""
    firewall(lab, SURVIVOR, both_ways=True)
    lab.boot(*hosts)
    lab.wait_healthy(hosts)
    for number in range(30):
        lab.etcdctl(hosts[0], "put", f"old/{number}", "theirs")


@pytest.mark.parametrize(
    ("members", "when"),
    [
        (3, "after the end"),
        pytest.param(3, "before the plain restart", marks=pytest.mark.full),
        pytest.param(3, "while the survivor is down", marks=pytest.mark.full),
        pytest.param(5, "after the end", marks=pytest.mark.full),
    ],
)
def test_an_old_quorum_that_does_not_reach_the_survivor(labs: Labs, tmp_path: Path, members: int, when: str) -> None:
    """It takes writes of its own. It is fenced before anything else; what it took is counted, and merged nowhere."""
    lab, lost = lab_and_lost(labs, members)
    writes, inventory = given_up(lab, tmp_path, lost)
    if when == "after the end":
        assert run(lab, inventory=inventory).exit == 0
        writes += written(lab, 20, [SURVIVOR])
        old_quorum_writes(lab, lost)
    else:
        point = f"test_take_force_away[{SURVIVOR}.example.com] change 1"
        act = lambda: old_quorum_writes(lab, lost)  # noqa: E731
        done = met(lab, point, act, tmp_path / "meet", inventory=inventory)
        assert_told(done, exit=0, outcome="recovered", verdict="lost", says=["are back: run the same command again"])
        if when == "while the survivor is down":
            lab.run(SURVIVOR, "systemctl stop etcd")

    fenced = run(lab, inventory=inventory)
    said = ["has a quorum of its own", "open port 2380 between the hosts"]
    assert_told(fenced, exit=1, outcome="failed", verdict="unfinished", says=said)
    assert_fenced_first(fenced, lost)
    for host in lost:
        assert not lab.run(host, "pidof etcd", check=False).stdout

    mend_firewall(lab, SURVIVOR)
    if when != "after the end":
        planned = run(lab, "--plan", inventory=inventory)
        assert_told(planned, exit=0, outcome="plan", verdict="unfinished", says=["Fence the host of a removed member"])
    done = run(lab, inventory=inventory)
    assert_taken_in(lab, done, writes, lost, "30 of them only here", "nothing is merged")
    kept = lab.run(lost[0], "find /var/lib/etcd/openshift-backup-requorum-*/1/member/snap/db").stdout
    assert kept.strip(), "the old data is kept"
    listed = json.loads(lab.etcdctl(SURVIVOR, "get --prefix old/ --keys-only -w json").stdout)
    assert not listed.get("count"), "what the old quorum took was merged"

"""A host is added to a cluster of one, and does not become a member: the runbook takes the way back by itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hazards import empty, firewall, put, refused, start, wait_state
from killed_runs import Point, entries, stopped
from meetings import Then, mend_firewall, met
from runbook_runs import Done, assert_told, assert_whole, broken, declared_lost, left_behind, run, written
from sabotage import sabotaged

from lab import Lab
from lab.writer import Write
from requorum.facts.unit import FENCE
from requorum.records import BackupProven, ChangeEnded

SURVIVOR = "etcd-0"
LOST = ["etcd-1", "etcd-2"]
JOINER, THIRD = LOST
TAKEN = "the way back was taken: "
JOIN = f"test_join[{JOINER}.example.com]"

BAD_BINARY = """#!/bin/sh
case "$1" in --version|version) exec /usr/bin/etcd.good "$@";; esac
echo 'etcd: cannot start' >&2; exit 1
"""


def lost(lab: Lab) -> list[Write]:
    """Two of three lose power and their data, and boot. Returns the writes."""
    return broken(lab, LOST, "destroyed")


def assert_taken_back(lab: Lab, done: Done, writes: list[Write], *says: str, joiner: str = JOINER) -> None:
    """Step 51 failed; the cluster takes writes without the joiner, which is fenced and has kept its data."""
    says = (TAKEN, f"{joiner}.example.com is no member any more", f"{SURVIVOR}.example.com takes writes", *says)
    assert_told(done, exit=1, outcome="failed", verdict="lost", says=says)
    assert_alone(lab, writes)
    assert_fenced(lab, joiner)


def assert_alone(lab: Lab, writes: list[Write]) -> None:
    """The survivor is the only member, and takes writes."""
    writes += written(lab, 5, [SURVIVOR])
    assert_whole(lab, writes, [SURVIVOR])


def assert_fenced(lab: Lab, host: str) -> None:
    """No etcd runs there, and no boot starts one; its data is there."""
    wait_state(lab, host, "inactive" if "inactive" in state(lab, host) else "failed")
    assert "requorum-fence.conf" in lab.run(host, "systemctl show etcd -p DropInPaths").stdout
    assert not lab.run(host, "pidof etcd", check=False).stdout


def state(lab: Lab, host: str) -> str:
    """What systemd says of etcd."""
    return lab.run(host, "systemctl show etcd -p ActiveState").stdout


def assert_whole_again(lab: Lab, writes: list[Write]) -> None:
    """The cause is mended, and the same command takes everybody in."""
    done = run(lab)
    assert_told(done, exit=0, outcome="recovered", verdict="unfinished", says=["3 of 3 members"])
    assert_whole(lab, writes)
    assert left_behind(lab) == []


def spoil(lab: Lab) -> None:
    """The joiner's etcd says its version, and does not start."""
    lab.run(JOINER, "systemctl stop etcd; cp -a /usr/bin/etcd /usr/bin/etcd.good; rm /usr/bin/etcd")
    put(lab, JOINER, "/usr/bin/etcd", BAD_BINARY, mode="0755")


def mend(lab: Lab) -> None:
    """Put the joiner's etcd back."""
    lab.run(JOINER, "mv /usr/bin/etcd.good /usr/bin/etcd")


# A learner that fails


def test_a_bad_binary(lab3: Lab) -> None:
    writes = lost(lab3)
    spoil(lab3)
    done = run(lab3)
    assert_taken_back(lab3, done, writes, "etcd: cannot start", "its data is kept")
    mend(lab3)
    assert_whole_again(lab3, writes)


@pytest.mark.full
def test_the_quorum_is_lost_again_days_later(lab3: Lab, tmp_path: Path) -> None:
    """The marks are those of the recovery whose last join failed; its backup is not that of what is forced now."""
    writes = lost(lab3)
    away = lambda: lab3.run(THIRD, "mv /usr/bin/etcd /usr/bin/etcd.good")  # noqa: E731
    first = met(lab3, f"test_join[{THIRD}.example.com] change 1", away, tmp_path / "meet")
    assert TAKEN in first.output, first.output
    mend_third = "mv /usr/bin/etcd.good /usr/bin/etcd"
    lab3.run(THIRD, mend_third)
    writes += written(lab3, 100, [SURVIVOR, JOINER])
    revision = _revision(lab3)
    lab3.etcdctl(SURVIVOR, "compact", str(revision))
    empty(lab3, [JOINER])
    done = run(lab3)
    assert_told(done, exit=0, outcome="recovered", verdict="lost", says=["3 of 3 members"])
    assert first.summary["recovery"] == done.summary["recovery"]
    found = [e.record for e in entries(done) if isinstance(e.record, BackupProven)]
    (copy,) = [one for one in found if one.step == f"test_back_up_data[{SURVIVOR}.example.com]"]
    assert int(copy.holds.removeprefix("revision ")) >= revision, copy
    kept = lab3.run(SURVIVOR, "ls -d /backup/etcd-data-*").stdout.split()
    assert len(kept) == 2, "the older copy stays"
    assert copy.place in kept
    assert_whole(lab3, writes)
    assert left_behind(lab3) == []


def _revision(lab: Lab) -> int:
    client = lab.client(SURVIVOR)
    try:
        return client.revision()
    finally:
        client.close()


@pytest.mark.full
def test_no_room_on_its_disk(lab3: Lab, tmp_path: Path) -> None:
    """Its disk fills up between the look at it and its start."""
    writes = lost(lab3)
    data = "/var/lib/etcd"
    lab3.run(JOINER, f"systemctl stop etcd; mount -t tmpfs -o size=256m,mode=700 tmpfs {data} && chown etcd: {data}")
    fill = lambda: lab3.run(JOINER, f"head -c 1G /dev/zero > {data}/openshift-backup-full; true")  # noqa: E731
    done = met(lab3, f"{JOIN} change 6", fill, tmp_path / "meet")
    assert_taken_back(lab3, done, writes, "no space left on device")
    lab3.run(JOINER, f"rm {data}/openshift-backup-full")
    assert_whole_again(lab3, writes)


@pytest.mark.full
def test_the_network_is_cut_after_the_add(lab3: Lab, tmp_path: Path) -> None:
    writes = lost(lab3)
    cut = lambda: firewall(lab3, JOINER, both_ways=True)  # noqa: E731
    done = met(lab3, f"{JOIN} change 2", cut, tmp_path / "meet")
    assert_taken_back(lab3, done, writes)
    mend_firewall(lab3, JOINER)
    assert_whole_again(lab3, writes)


@pytest.mark.full
def test_its_host_goes_down_during_the_start(lab3: Lab, tmp_path: Path) -> None:
    """It is removed all the same; it is fenced when it is reached again."""
    writes = lost(lab3)
    done = met(lab3, f"{JOIN} change 6", lambda: lab3.power_off(JOINER), tmp_path / "meet")
    says = [TAKEN, f"{JOINER}.example.com is no member any more", "could not be fenced"]
    assert_told(done, exit=1, outcome="failed", verdict="lost", says=says)
    assert_alone(lab3, writes)
    lab3.boot(JOINER)
    assert_whole_again(lab3, writes)


@pytest.mark.full
def test_it_is_killed_whenever_it_starts(lab3: Lab, tmp_path: Path) -> None:
    writes = lost(lab3)
    killer = "[Service]\nExecStartPost=/bin/kill -9 $MAINPID\n"
    drop_in = "/etc/systemd/system/etcd.service.d/killer.conf"

    def kill() -> None:
        put(lab3, JOINER, drop_in, killer.replace("ExecStartPost=", "TimeoutStartSec=3\nExecStartPost="))
        lab3.run(JOINER, "systemctl daemon-reload")

    done = met(lab3, f"{JOIN} change 6", kill, tmp_path / "meet")
    assert_taken_back(lab3, done, writes)
    lab3.run(JOINER, f"rm {drop_in} && systemctl daemon-reload")
    assert_whole_again(lab3, writes)


@pytest.mark.full
@pytest.mark.parametrize("change", [7, 8, 9, 10])
def test_killed_on_the_way_back_of_a_learner(lab3: Lab, tmp_path: Path, change: int) -> None:
    """The changes of the way back follow those of the join: remove, fence (a file, a reload, a stop)."""
    writes = lost(lab3)
    spoil(lab3)
    stopped(lab3, "kill-group", Point("test_join", change).reached, output=tmp_path / "first")
    mend(lab3)
    assert_whole_again(lab3, writes)


def test_killed_before_the_promotion_and_an_earlier_host_is_back(lab3: Lab, tmp_path: Path) -> None:
    """Beside a learner etcd adds nobody: the one that is there has to be promoted first."""
    writes = broken(lab3, LOST, "destroyed")
    lab3.power_off(JOINER)
    inventory = declared_lost(lab3, [JOINER], tmp_path / "inventory.yaml")
    point = f"test_join[{THIRD}.example.com] change 2"
    killed = sabotaged(lab3, {"point": point, "how": "before"}, inventory=inventory)
    assert killed.returncode == -9, killed.stdout
    assert ", true" in lab3.etcdctl(SURVIVOR, "member list").stdout, "a learner is there"
    lab3.boot(JOINER)
    done = run(lab3, inventory=inventory)
    assert_told(done, exit=0, outcome="recovered", verdict="unfinished", says=["3 of 3 members"])
    assert_whole(lab3, writes)
    assert left_behind(lab3) == []


# A voter that dies before there are three


def forces(done: Done) -> int:
    """How often a run has forced."""
    ended = [e.record for e in entries(done) if isinstance(e.record, ChangeEnded) and e.record.result == "done"]
    return len([c for c in ended if "requorum-force.env" in c.shown and "+ETCD_FORCE_NEW_CLUSTER" in c.shown])


def voter_dies(lab: Lab, how: str) -> Callable[[], object]:
    """The first host that has joined loses its vote: its host goes down, or its etcd does, for good."""
    if how == "host":
        return lambda: lab.power_off(JOINER)
    return lambda: lab.run(JOINER, "chmod a-x /usr/bin/etcd; pkill -9 -x etcd; true")


def voter_mended(lab: Lab, how: str) -> None:
    """Take it away again."""
    if how == "host":
        lab.boot(JOINER)
    else:
        lab.run(JOINER, "chmod a+x /usr/bin/etcd")


@pytest.mark.full
@pytest.mark.parametrize("how", ["etcd", "host"])
def test_the_first_voter_dies_while_the_next_host_joins(lab3: Lab, tmp_path: Path, how: str) -> None:
    """Two of two voters are needed, and one is gone. The survivor is forced once more, and holds every write."""
    writes = lost(lab3)

    def die() -> None:
        writes.extend(written(lab3, 20, [SURVIVOR, JOINER]))
        voter_dies(lab3, how)()

    done = met(lab3, f"test_join[{THIRD}.example.com] change 1", die, tmp_path / "meet")
    says = [TAKEN, f"{SURVIVOR}.example.com was forced once more and takes writes", f"{JOINER}.example.com was dropped"]
    assert_told(done, exit=1, outcome="failed", verdict="lost", says=says)
    assert forces(done) == 2, "the recovery's own, and the way back"
    assert_alone(lab3, writes)
    assert_fenced(lab3, THIRD)
    voter_mended(lab3, how)
    assert_whole_again(lab3, writes)


@pytest.mark.full
def test_it_happens_once(lab3: Lab, tmp_path: Path) -> None:
    """The second time, the run stops and says which member to start."""
    writes = lost(lab3)
    point = f"test_join[{THIRD}.example.com] change 1"
    assert TAKEN in met(lab3, point, voter_dies(lab3, "etcd"), tmp_path / "one").output
    voter_mended(lab3, "etcd")
    again = met(lab3, point, voter_dies(lab3, "etcd"), tmp_path / "two")
    says = ["THE WAY BACK DID NOT COME TO ITS END", "the record that this was done once in this recovery"]
    assert_told(again, exit=1, outcome="failed", verdict="unfinished", says=says)
    assert forces(again) == 0
    refused = run(lab3)
    assert_told(refused, exit=6, outcome="refused", verdict="restartable", says=[f"{JOINER}.example.com: "])
    voter_mended(lab3, "etcd")
    lab3.run(JOINER, "systemctl reset-failed etcd; systemctl start --no-block etcd")
    lab3.wait_healthy([SURVIVOR, JOINER])
    assert_whole_again(lab3, writes)


@pytest.mark.full
@pytest.mark.parametrize("change", range(3, 19))
def test_killed_on_the_way_back_of_a_voter(lab3: Lab, tmp_path: Path, change: int) -> None:
    """Whatever was done until then, the same command takes the way back to its end, and everybody in."""
    writes = lost(lab3)
    moment = Then(f"test_join[{THIRD}.example.com]", 1, voter_dies(lab3, "etcd"), change)
    stopped(lab3, "kill-group", moment.reached, output=tmp_path / "first")
    voter_mended(lab3, "etcd")
    done = run(lab3)
    assert_told(done, exit=0, outcome="recovered", verdict=str(done.summary["verdict"]), says=["3 of 3 members"])
    assert_whole(lab3, writes)
    assert left_behind(lab3) == []


@pytest.mark.full
def test_a_way_back_that_was_left_behind(lab3: Lab, tmp_path: Path) -> None:
    """Killed right after it was written down; the voter comes back by itself, and nobody takes it, then or later."""
    writes = lost(lab3)
    moment = Then(f"test_join[{THIRD}.example.com]", 1, voter_dies(lab3, "etcd"), 3)
    stopped(lab3, "kill-group", moment.reached, output=tmp_path / "first")
    survivors = "cat /var/lib/requorum/recovery.json"
    assert '"way_back": ""' not in lab3.run(SURVIVOR, survivors).stdout
    # The kill may come while the voter's fence is written, which is not what this is about.
    lab3.run(JOINER, f"rm -f {FENCE}; systemctl daemon-reload")
    voter_mended(lab3, "etcd")
    start(lab3, [SURVIVOR, JOINER])
    lab3.wait_healthy([SURVIVOR, JOINER])
    killed = sabotaged(lab3, {"point": f"test_strike[{SURVIVOR}.example.com] change 1", "how": "before"})
    assert killed.returncode == -9, killed.stdout
    assert '"way_back": ""' in lab3.run(SURVIVOR, survivors).stdout
    assert_whole(lab3, writes)

    firewall(lab3, SURVIVOR, both_ways=True)
    for host in LOST:
        lab3.run(host, "systemctl stop ssh.socket ssh")
    lab3.run(SURVIVOR, "systemctl kill -s KILL etcd")
    start(lab3, [SURVIVOR])
    done = refused(lab3, "unproven", ["could still be a quorum of 2"])
    assert "took the way back" not in done.output
    for host in LOST:
        lab3.run(host, "systemctl start ssh")
    mend_firewall(lab3, SURVIVOR)
    lab3.wait_healthy()
    assert_whole_again(lab3, writes)

"""A host is added to a cluster of one, and does not become a member: the runbook takes the way back by itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from failed_starts import CAUSES, EACH_START_KILLED, JOINER, Cause, mend, spoil
from hazards import empty, firewall, leave, refused, start, tree, wait_state
from killed_runs import Point, changes, entries, stopped
from meetings import Then, mend_firewall, met
from runbook_runs import Done, assert_told, assert_whole, broken, declared_lost, left_behind, run, written
from sabotage import sabotaged

from lab import Lab
from lab.writer import Write
from requorum.facts.unit import FENCE
from requorum.records import BackupProven

SURVIVOR = "etcd-0"
THIRD = "etcd-2"
LOST = [JOINER, THIRD]
TAKEN = "the way back was taken: "
JOIN = f"test_join[{JOINER}.example.com]"
START = f"{JOIN} change 6"
"""The start, with the same number of changes before it whether the host is added as a learner or as a voter (etcd 3.3)."""


def lost(lab: Lab) -> list[Write]:
    """Two of three lose power and their data, and boot. Returns the writes."""
    return broken(lab, LOST, "destroyed")


def assert_taken_back(lab: Lab, done: Done, writes: list[Write], cause: Cause) -> None:
    """Step 51 failed; the cluster takes writes without the joiner, which is fenced and has kept its data."""
    out = f"{JOINER}.example.com is no member any more, and is fenced; its data is kept"
    says = [TAKEN, out, f"{SURVIVOR}.example.com takes writes", *cause.says]
    assert_told(done, exit=1, outcome="failed", verdict="lost", says=says)
    assert_alone(lab, writes)
    assert_fenced(lab, JOINER, data=cause.data)


def assert_alone(lab: Lab, writes: list[Write]) -> None:
    """The survivor is the only member, and takes writes."""
    writes += written(lab, 5, [SURVIVOR])
    assert_whole(lab, writes, [SURVIVOR])


def assert_fenced(lab: Lab, host: str, *, data: bool) -> None:
    """No etcd runs there, and no boot starts one; its `data`, where it has any, is still there."""
    wait_state(lab, host, "inactive" if "inactive" in state(lab, host) else "failed")
    assert "requorum-fence.conf" in lab.run(host, "systemctl show etcd -p DropInPaths").stdout
    assert not lab.run(host, "pidof etcd", check=False).stdout
    if data:
        assert lab.run(host, f"stat -c %s {lab.record.spec.data_dir}/member/snap/db").stdout.strip() != "0"


def state(lab: Lab, host: str) -> str:
    """What systemd says of etcd."""
    return lab.run(host, "systemctl show etcd -p ActiveState").stdout


def assert_whole_again(lab: Lab, writes: list[Write]) -> None:
    """The cause is mended, and the same command takes everybody in."""
    done = run(lab)
    assert_told(done, exit=0, outcome="recovered", verdict="unfinished", says=["3 of 3 members"])
    assert_whole(lab, writes)
    assert left_behind(lab) == []


# A learner that fails


@pytest.mark.parametrize(
    "cause",
    [
        pytest.param(cause, id=name, marks=[] if name == "bad binary" else pytest.mark.full)
        for name, cause in {**CAUSES, "each start is killed": EACH_START_KILLED}.items()
    ],
)
def test_a_learner_that_does_not_start(lab3: Lab, tmp_path: Path, cause: Cause) -> None:
    """It is added, and something comes between the look at its host and its start."""
    writes = lost(lab3)
    cause.before(lab3)
    done = met(lab3, START, lambda: cause.act(lab3), tmp_path / "meet")
    assert_taken_back(lab3, done, writes, cause)
    cause.mend(lab3)
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
def test_its_host_goes_down_during_the_start(lab3: Lab, tmp_path: Path) -> None:
    """It is removed all the same; it is fenced when it is reached again."""
    writes = lost(lab3)
    done = met(lab3, START, lambda: lab3.power_off(JOINER), tmp_path / "meet")
    says = [TAKEN, f"{JOINER}.example.com is no member any more", "could not be fenced"]
    assert_told(done, exit=1, outcome="failed", verdict="lost", says=says)
    assert_alone(lab3, writes)
    lab3.boot(JOINER)
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


@pytest.mark.full
def test_an_abort_gives_back_what_was_there_before_a_join_that_failed(lab3: Lab, tmp_path: Path) -> None:
    """The host of a member that was removed by hand gets data as a learner, fails twice, and is taken out again."""
    writes = written(lab3)
    leave(lab3, JOINER)
    data = "/var/lib/etcd"
    before = tree(lab3, JOINER, data)
    for promotion in (7, 6):  # the second time etcd.conf is written already
        done = met(lab3, f"{JOIN} change {promotion}", voter_dies(lab3, "etcd"), tmp_path / str(promotion))
        voter_mended(lab3, "etcd")
        lab3.run(JOINER, f"ls {data}/member/snap/db")
        assert f"{JOINER}.example.com is no member any more" in done.output, done.output
    lab3.run(JOINER, f"ls -d {data}/openshift-backup-requorum-*/2/member")
    undone = run(lab3, "--abort")
    says = ["its data is moved back, and what a join has left there into openshift-backup", "as it was found"]
    assert_told(undone, exit=0, outcome="aborted", verdict=str(undone.summary["verdict"]), says=says)
    assert tree(lab3, JOINER, data) == before
    assert len(lab3.run(JOINER, f"ls -d {data}/openshift-backup-requorum-*-after/*/member").stdout.split()) == 2
    assert_fenced(lab3, JOINER, data=True)
    assert_told(run(lab3), exit=0, outcome="recovered", verdict="unfinished", says=["3 of 3 members"])
    assert_whole(lab3, writes)
    assert left_behind(lab3) == []


# A voter that dies before there are three


def forces(done: Done) -> int:
    """How often a run has forced."""
    return len([c for c in changes(done) if "requorum-force.env" in c.shown and "+ETCD_FORCE_NEW_CLUSTER" in c.shown])


def voter_dies(lab: Lab, how: str, voter: str = JOINER) -> Callable[[], object]:
    """The first host that has joined, or the survivor, is lost to the others: its host goes down, or its etcd, for good."""
    if how == "host":
        return lambda: lab.power_off(voter)
    return lambda: lab.run(voter, "chmod a-x /usr/bin/etcd; pkill -9 -x etcd; true")


def voter_mended(lab: Lab, how: str, voter: str = JOINER) -> None:
    """Take it away again."""
    if how == "host":
        lab.boot(voter)
    else:
        lab.run(voter, "chmod a+x /usr/bin/etcd")


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
    assert_fenced(lab3, THIRD, data=False)
    if how == "etcd":
        assert_fenced(lab3, JOINER, data=True)
    voter_mended(lab3, how)
    assert_whole_again(lab3, writes)


@pytest.mark.full
@pytest.mark.parametrize("how", ["etcd", "host"])
def test_the_survivor_dies_while_the_next_host_joins(lab3: Lab, tmp_path: Path, how: str) -> None:
    """The other one of the two: nothing can be forced while it is down, and the same command is typed once it is mended.

    Where its host was down, the two are a quorum again by then. Where its etcd was, the way back was begun, and has dropped
    the first one: the same command ends it, and starts the survivor.
    """
    writes = lost(lab3)

    def die() -> None:
        writes.extend(written(lab3, 20, [SURVIVOR, JOINER]))
        voter_dies(lab3, how, SURVIVOR)()

    done = met(lab3, f"test_join[{THIRD}.example.com] change 1", die, tmp_path / "meet")
    assert_told(
        done,
        exit=1,
        outcome="failed",
        verdict="lost",
        says=["THE WAY BACK DID NOT COME TO ITS END", "run the same command"],
    )
    voter_mended(lab3, how, SURVIVOR)
    if how == "host":
        lab3.wait_healthy([SURVIVOR, JOINER])
    done = run(lab3)
    verdict = {"host": "unfinished", "etcd": "lost"}[how]
    assert_told(done, exit=0, outcome="recovered", verdict=verdict, says=["3 of 3 members"])
    assert done.summary["survivor"] == f"{SURVIVOR}.example.com"
    assert_whole(lab3, writes)
    assert left_behind(lab3) == []


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
    assert '"way_back": "' in lab3.run(SURVIVOR, survivors).stdout
    # The kill may come while the voter's fence is written, which is not what this is about.
    lab3.run(JOINER, f"rm -f {FENCE}; systemctl daemon-reload")
    voter_mended(lab3, "etcd")
    start(lab3, [SURVIVOR, JOINER])
    lab3.wait_healthy([SURVIVOR, JOINER])
    killed = sabotaged(lab3, {"point": f"test_strike[{SURVIVOR}.example.com] change 1", "how": "before"})
    assert killed.returncode == -9, killed.stdout
    assert '"way_back"' not in lab3.run(SURVIVOR, survivors).stdout
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

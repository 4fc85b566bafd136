"""Hosts that were given up boot with their old data and their unit enabled, before the forced start and after it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hazards import assert_never_forced, refused, wait_state
from killed_runs import changes
from meetings import met
from runbook_runs import Done, assert_told, assert_whole, broken, declared_lost, left_behind, run, state, written
from sabotage import sabotaged

from lab import Lab, wait, writer
from lab.parallel import in_parallel
from lab.writer import Write

Labs = Callable[..., Lab]

SURVIVOR = "etcd-0"
LOST = ["etcd-1", "etcd-2"]
FORCE = f"test_force_new_cluster[{SURVIVOR}.example.com]"
FORCE_IS_SET = f"{FORCE} change 4"
"""After it the force is on etcd's start path; the fence of a log that was committed, and the start, come next."""
FORCED_START = f"{FORCE} change 7"
"""The start, of a survivor whose log was committed."""
DO_NOT_FORCE = "and do not force; `--abort` undoes what was done until here"
TOLD_APART = re.compile(r"note     47  (\S+): it is at revision \d+, the survivor at \d+: ")


def lab_and_lost(labs: Labs, members: int) -> tuple[Lab, list[str]]:
    """A lab of so many members, and all of them but the survivor."""
    lab = labs() if members == 3 else labs(members=members)
    return lab, [host.short for host in lab.hosts[1:]]


def given_up(lab: Lab, folder: Path, lost: list[str] = LOST) -> tuple[list[Write], Path]:
    """These hosts have lost power, and are declared lost. Returns the writes, and the inventory."""
    writes = broken(lab, lost, "dead")
    return writes, declared_lost(lab, lost, folder / "inventory.yaml")


def assert_not_forced(lab: Lab, writes: list[Write], hosts: list[str] = LOST) -> None:
    """The old cluster is whole: those that came back, on these hosts, have their old data."""
    assert_whole(lab, writes)
    for host in hosts:
        assert not lab.run(host, "ls -d /var/lib/etcd/openshift-backup*", check=False).stdout
    assert left_behind(lab) == []


def assert_refuses_to_force(done: Done, *says: str) -> None:
    """Step 40 or 42 stops the run, and says what to do."""
    assert_told(done, exit=1, outcome="failed", verdict="lost", says=[*says, DO_NOT_FORCE])
    assert "the force reached the live process" not in done.journal.read_text(encoding="utf-8")


def start_as_told(lab: Lab, done: Done) -> None:
    """Type on the survivor the command that the run has told, which may put its log back first; do not wait for etcd."""
    told = f"{SURVIVOR}.example.com: "
    line = next(line for line in done.output.splitlines() if told in line and "systemctl start etcd" in line)
    command = line.partition(told)[2].partition(" (")[0]
    lab.run(SURVIVOR, command.replace("systemctl start", "systemctl start --no-block"))


def killed(lab: Lab, point: str, inventory: Path, how: str = "before") -> None:
    """A run is killed (-9) right before or after this change."""
    done = sabotaged(lab, {"point": point, "how": how}, inventory=inventory)
    assert done.returncode == -9, done.stdout


# Before the forced start


@pytest.mark.parametrize(
    ("point", "how"),
    [
        pytest.param(f"test_sign[{SURVIVOR}.example.com] change 1", "after", id="test_sign"),
        pytest.param(f"test_stop_survivor[{SURVIVOR}.example.com] change 1", "before", id="test_stop_survivor"),
        pytest.param(FORCE_IS_SET, "after", id="test_force_new_cluster"),
    ],
)
@pytest.mark.parametrize("back", [LOST, LOST[:1]], ids=["both", "one"])
@pytest.mark.full
def test_between_an_interrupted_run_and_the_next(
    lab3: Lab, tmp_path: Path, point: str, how: str, back: list[str]
) -> None:
    """At the last point the force is on the survivor's start path already: nothing may start it."""
    writes, inventory = given_up(lab3, tmp_path)
    killed(lab3, point, inventory, how)
    lab3.boot(*back)
    again = run(lab3, inventory=inventory)
    if again.exit == 6:
        if again.summary["verdict"] == "restartable":
            says = ["never force", "systemctl start etcd"]
            assert_told(again, exit=6, outcome="refused", verdict="restartable", says=says)
            start_as_told(lab3, again)
        else:  # enough of them run to elect, and did so while it looked
            assert back == LOST or "test_sign" in point
            assert changes(again) == []
        lab3.wait_healthy([SURVIVOR, *back])
        again = run(lab3, inventory=inventory)
    assert_told(again, exit=0, outcome="recovered", verdict=str(again.summary["verdict"]))
    assert not [c for c in changes(again) if "FORCE_NEW_CLUSTER" in c.shown]
    if back == LOST:
        assert_not_forced(lab3, writes)
    else:
        assert_whole(lab3, writes, [SURVIVOR, *back])


STILL_LOST = "quorum is still lost, and the survivor is still the best"


@pytest.mark.full
def test_during_the_first_stage(lab3: Lab, tmp_path: Path) -> None:
    """One host was wiped, and is to join: step 13 looks at it. Without such a host, stage 1 asks nobody anything."""
    writes, inventory = given_up(lab3, tmp_path)
    emptied, back = LOST
    lab3.boot(emptied, wipe=True)

    def boot() -> None:
        lab3.boot(back)
        lab3.wait_healthy([SURVIVOR, back])

    at = f"test_can_join[{emptied}.example.com] read 1"
    done = met(lab3, at, boot, tmp_path / "meet", inventory=inventory)
    assert_refuses_to_force(done, STILL_LOST)
    again = run(lab3, inventory=inventory)
    assert_told(again, exit=0, outcome="recovered", verdict="degraded", says=["3 of 3 members"])
    assert_never_forced(again)
    assert_not_forced(lab3, writes, [SURVIVOR, back])


@pytest.mark.full
@pytest.mark.parametrize("step", ["test_back_up_data", "test_drop_others"], ids=["stage 2", "stage 3"])
def test_during_the_first_stages(lab3: Lab, tmp_path: Path, step: str) -> None:
    writes, inventory = given_up(lab3, tmp_path)

    def back() -> None:
        lab3.boot(*LOST)
        lab3.wait_healthy()

    at = f"{step}[{SURVIVOR}.example.com] change 1"
    done = met(lab3, at, back, tmp_path / "meet", inventory=inventory)
    assert_refuses_to_force(done, STILL_LOST)
    again = run(lab3, inventory=inventory)
    assert_told(again, exit=0, outcome="recovered", verdict="unfinished")
    assert_never_forced(again)
    assert_not_forced(lab3, writes)


def test_right_before_the_force(lab3: Lab, tmp_path: Path) -> None:
    """The survivor is stopped already. One more host makes a quorum with it."""
    writes, inventory = given_up(lab3, tmp_path)
    back = LOST[0]
    done = met(lab3, f"{FORCE} read 1", lambda: lab3.boot(back), tmp_path / "meet", inventory=inventory)
    seen = f"{back}.example.com is reached by SSH"
    assert_refuses_to_force(done, "no silent host has come back", seen, "the verdict is now: restartable")
    start_as_told(lab3, done)
    lab3.wait_healthy([SURVIVOR, back])
    assert len(lab3.etcdctl(SURVIVOR, "member list").stdout.splitlines()) == 3, "the old cluster answers"
    assert writer.missing(writes, writer.read_all(lab3, back)) == []


@pytest.mark.full
def test_both_come_back_right_before_the_force(lab3: Lab, tmp_path: Path) -> None:
    """They make a quorum without the survivor, which is stopped, and whose log may be that of a cluster of one already."""
    writes, inventory = given_up(lab3, tmp_path)
    done = met(lab3, f"{FORCE} read 1", lambda: lab3.boot(*LOST), tmp_path / "meet", inventory=inventory)
    assert_refuses_to_force(done, "no silent host has come back", f"{LOST[0]}.example.com is reached by SSH")
    lab3.wait_healthy(LOST)
    again = run(lab3, inventory=inventory)
    assert_told(again, exit=0, outcome="recovered", verdict="unfinished", says=["3 of 3 members"])
    assert_not_forced(lab3, writes)


@pytest.mark.full
def test_right_before_the_force_where_ssh_does_not_reach_it(lab3: Lab, tmp_path: Path) -> None:
    """Only etcd's ports show that it is back."""
    _, inventory = given_up(lab3, tmp_path)

    def boot_without_ssh() -> None:
        lab3.boot("etcd-1")
        lab3.run("etcd-1", "systemctl stop ssh")
        lab3.wait_peers_listen(["etcd-1"])

    done = met(lab3, f"{FORCE} read 1", boot_without_ssh, tmp_path / "meet", inventory=inventory)
    url = lab3.host("etcd-1").peer_url
    assert_refuses_to_force(done, f"{url} listens, as seen from here", f"{url} listens, as seen from {SURVIVOR}")


@pytest.mark.full
def test_two_of_five_right_before_the_force(labs: Labs, tmp_path: Path) -> None:
    lab, lost = lab_and_lost(labs, 5)
    _, inventory = given_up(lab, tmp_path, lost)
    back = lambda: lab.boot("etcd-3", "etcd-4")  # noqa: E731
    done = met(lab, f"{FORCE} read 1", back, tmp_path / "meet", inventory=inventory)
    assert_refuses_to_force(done, "etcd-3.example.com is reached by SSH", "the verdict is now: restartable")


# Between the record of step 41 and the force: the survivor's log says of entries that it alone has that they are committed


def with_a_tail_of_its_own(lab: Lab, folder: Path) -> tuple[list[Write], Path]:
    """All lose power; the survivor's log ends in 12 writes that no other member has; it boots alone."""

    def make() -> list[Write]:
        writes = written(lab)
        lab.lead(SURVIVOR)
        in_parallel(lambda host: lab.run(host, "kill -STOP $(pidof etcd)"), LOST)
        put = lambda n: lab.etcdctl(SURVIVOR, "--command-timeout=2s", "put", f"alone/{n}", "x", check=False)  # noqa: E731
        in_parallel(put, range(12))
        lab.power_off(SURVIVOR, *LOST)
        lab.boot(SURVIVOR)
        return writes

    return state(lab, "a-tail-of-its-own", make), declared_lost(lab, LOST, folder / "inventory.yaml")


def is_down(lab: Lab) -> bool:
    return not lab.run(SURVIVOR, "pidof etcd", check=False).stdout


@pytest.mark.parametrize("later", [pytest.param(0, id="behind"), pytest.param(40, id="ahead", marks=pytest.mark.full)])
def test_it_meets_its_old_peers_with_the_log_as_it_was(lab3: Lab, tmp_path: Path, later: int) -> None:
    """They make a quorum whose log ends below the survivor's, or beyond it, with other entries."""
    writes, inventory = with_a_tail_of_its_own(lab3, tmp_path)

    def back() -> None:
        lab3.boot(*LOST)
        lab3.wait_healthy(LOST)
        writes.extend(written(lab3, later, LOST) if later else ())

    done = met(lab3, f"{FORCE} read 1", back, tmp_path / "meet", inventory=inventory)
    assert_refuses_to_force(done, "no silent host has come back", "the verdict is now: unfinished")
    assert is_down(lab3)
    again = run(lab3, inventory=inventory)
    assert_told(again, exit=0, outcome="recovered", verdict="unfinished", says=["3 of 3 members"])
    assert [c for c in changes(again) if c.step.startswith("test_join") and ".wal." in c.shown], "the log is put back"
    assert_not_forced(lab3, writes)
    assert not lab3.run(SURVIVOR, "ls -d /var/lib/etcd/openshift-backup*", check=False).stdout


@pytest.mark.full
def test_it_is_undone_once_it_runs_as_the_run_has_said(lab3: Lab, tmp_path: Path) -> None:
    """What is typed puts the log back already: `--abort` has nothing left to do about it, and does the rest."""
    writes, inventory = with_a_tail_of_its_own(lab3, tmp_path)
    done = met(lab3, f"{FORCE} read 1", lambda: lab3.boot(*LOST[:1]), tmp_path / "meet", inventory=inventory)
    assert_refuses_to_force(done, "no silent host has come back", "the verdict is now: restartable")
    assert is_down(lab3)
    assert f"{SURVIVOR}.example.com: mv -f " in done.output
    start_as_told(lab3, done)
    lab3.wait_healthy([SURVIVOR, *LOST[:1]])
    undone = run(lab3, "--abort", inventory=inventory)
    assert_told(undone, exit=0, outcome="aborted", verdict=str(undone.summary["verdict"]), says=["undone: "])
    assert [writer.missing(writes, writer.read_all(lab3, host)) for host in (SURVIVOR, *LOST[:1])] == [[], []]
    assert not lab3.run(SURVIVOR, "ls -d /var/lib/etcd/openshift-backup*", check=False).stdout


@pytest.mark.full
def test_no_reboot_starts_it(lab3: Lab, tmp_path: Path) -> None:
    """A run is killed between step 41 and the force, and the survivor reboots; all of it can still be undone."""
    writes, inventory = with_a_tail_of_its_own(lab3, tmp_path)
    killed(lab3, f"{FORCE} change 1", inventory)
    lab3.power_off(SURVIVOR)
    lab3.boot(SURVIVOR)
    assert is_down(lab3)
    lab3.boot(*LOST)
    lab3.wait_healthy(LOST)
    undone = run(lab3, "--abort", inventory=inventory)
    assert_told(undone, exit=0, outcome="aborted", verdict=str(undone.summary["verdict"]), says=["undone: "])
    assert_not_forced(lab3, writes)


@pytest.mark.full
def test_a_forced_start_that_did_not_elect_meets_a_member_with_more(lab3: Lab, tmp_path: Path) -> None:
    """The survivor, which had lagged behind, loses power in that second. What it has appended is no write of anybody."""
    writes = broken(lab3, [SURVIVOR], "dead")
    lab3.wait_healthy(LOST)
    writes += written(lab3, 100, LOST)
    lab3.break_hosts(LOST, "dead")
    lab3.boot(SURVIVOR)
    inventory = declared_lost(lab3, LOST, tmp_path / "inventory.yaml")
    killed(lab3, FORCED_START, inventory)
    slow = "sed -i 's/^ETCD_ELECTION_TIMEOUT=.*/ETCD_ELECTION_TIMEOUT={}/' /etc/etcd/etcd.conf"
    lab3.run(SURVIVOR, f"{slow.format(40000)}; systemctl daemon-reload; systemctl start --no-block etcd")
    begun = "journalctl -b -u etcd | grep -qi 'forcing restart'"
    wait.until(lambda: lab3.run(SURVIVOR, begun, check=False).returncode == 0, "the forced start has begun", 30)
    lab3.break_hosts([SURVIVOR], "dead")
    lab3.boot(SURVIVOR, LOST[0])
    lab3.run(SURVIVOR, slow.format(2500))
    done = run(lab3, inventory=inventory)
    says = ["without the removals of a forced start that did not elect", "the survivor is etcd-1.example.com"]
    assert_told(done, exit=0, outcome="recovered", verdict="lost", says=[*says, "2 of 3 members"])
    assert_whole(lab3, writes, [SURVIVOR, LOST[0]])


# After it


def assert_fenced_first(done: Done, hosts: list[str]) -> None:
    """The first changes of the run are the fences."""
    first = [change.step for change in changes(done)][: len(hosts)]
    assert {step.partition("[")[0] for step in first} == {"test_fence_old_peer"}, first


def assert_taken_in(lab: Lab, done: Done, writes: list[Write], old: list[str], *says: str) -> None:
    """All are members, and of each `old` peer both revisions were told."""
    number = len(lab.hosts)
    assert_told(done, exit=0, outcome="recovered", verdict="unfinished", says=[f"{number} of {number} members", *says])
    assert sorted(TOLD_APART.findall(done.output)) == [f"{host}.example.com" for host in old], done.output
    assert_whole(lab, writes)
    assert left_behind(lab) == []


@pytest.mark.full
@pytest.mark.parametrize("at", ["test_take_force_away", "test_fresh_snapshot"])
@pytest.mark.parametrize("members", [3, 5])
def test_while_the_run_goes_on(labs: Labs, tmp_path: Path, members: int, at: str) -> None:
    """They reach the survivor, learn that they were removed, and end by themselves; the run does not mind."""
    lab, lost = lab_and_lost(labs, members)
    writes, inventory = given_up(lab, tmp_path, lost)
    point = f"{at}[{SURVIVOR}.example.com] change 1"
    done = met(lab, point, lambda: lab.boot(*lost), tmp_path / "meet", inventory=inventory)
    said = f"1 of {members} members; {', '.join(lost)} are back: run the same command again"
    assert_told(done, exit=0, outcome="recovered", verdict="lost", says=[said])
    for host in lost:
        wait_state(lab, host, "inactive")
    assert_whole(lab, writes, [SURVIVOR])
    again = run(lab, inventory=inventory)
    assert_fenced_first(again, lost)
    assert_taken_in(lab, again, writes, lost, "no key differs")


@pytest.mark.full
def test_while_another_host_joins(lab3: Lab, tmp_path: Path) -> None:
    """Stage 5: one host was wiped, and joins; the other boots with its old data meanwhile."""
    writes, inventory = given_up(lab3, tmp_path)
    lab3.boot("etcd-1", wipe=True)
    point = "test_join[etcd-1.example.com] change 3"
    done = met(lab3, point, lambda: lab3.boot("etcd-2"), tmp_path / "meet", inventory=inventory)
    said = "2 of 3 members; etcd-2 is back: run the same command again"
    assert_told(done, exit=0, outcome="recovered", verdict="lost", says=[said])
    wait_state(lab3, "etcd-2", "inactive")
    assert_whole(lab3, writes, [SURVIVOR, "etcd-1"])
    again = run(lab3, inventory=inventory)
    assert_fenced_first(again, ["etcd-2"])
    assert_taken_in(lab3, again, writes, ["etcd-2"], "no key differs")


def test_old_peers_that_are_fenced_while_the_survivor_is_silent(lab3: Lab, tmp_path: Path) -> None:
    """Killed after step 11: they are fenced, and nobody bears a mark. The survivor lives: they are a quorum of old data."""
    writes, inventory = given_up(lab3, tmp_path)
    assert run(lab3, inventory=inventory).exit == 0
    writes += written(lab3, 20, [SURVIVOR])
    lab3.boot(*LOST)
    for host in LOST:
        wait_state(lab3, host, "inactive")
    killed(lab3, f"test_sign[{SURVIVOR}.example.com] change 1", inventory)
    stays = [f"{host}.example.com stays fenced: it bears no mark" for host in LOST]
    aborted = run(lab3, "--abort", inventory=inventory)
    assert_told(aborted, exit=0, outcome="aborted", verdict="unfinished", says=["nothing to undo", *stays])

    lab3.run(SURVIVOR, "systemctl stop ssh.socket ssh")
    says = [
        f"a recovery has fenced {', '.join(f'{host}.example.com' for host in LOST)}, and left no mark",
        f"{lab3.host(SURVIVOR).peer_url} listens",
        f"mend SSH on {SURVIVOR}.example.com",
    ]
    done = refused(lab3, "unproven", says, inventory=inventory)
    assert "systemctl start etcd" not in done.output
    lab3.run(SURVIVOR, "systemctl start ssh")
    assert_taken_in(lab3, run(lab3, inventory=inventory), writes, LOST, "no key differs")

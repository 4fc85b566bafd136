"""A run is stopped in the middle of a change; the same command, typed at once, ends as if nothing had happened."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import pytest
from hazards import LATER, LOST, edited, empty, naming_survivor, refused, stale_runs, start, stop
from killed_runs import SIGNALS, Point, assert_no_overlap, assert_reported, entries, stopped
from runbook_runs import assert_told, assert_whole, broken, chance, declared_lost, left_behind, run, written
from sabotage import sabotaged

from lab import Lab
from lab.parallel import in_parallel
from requorum.facts.unit import FENCE
from requorum.records import CommandRan

POINTS: dict[int, tuple[Point, ...]] = {
    3: (Point("test_fence"), Point("test_fence", 3), Point("test_fence", 6), Point("test_drop_others")),
    4: (
        Point("test_stop_survivor"),
        Point("test_force_new_cluster"),
        Point("test_force_new_cluster", 5),
        Point("test_take_force_away"),
        Point("test_take_force_away", 4),
        Point("test_take_force_away", 5),
    ),
    5: (Point("test_move_data_aside"), *(Point("test_join", change) for change in (1, 2, 3, 5, 6, 7, 9))),
}
"""Stage → moments in it; one is drawn for each combination."""

COMBINATIONS = list(itertools.product(SIGNALS, (0, 3), POINTS))
# In CI one combination of each stage; which one is drawn.
SAMPLE = {chance("ci", stage).choice([one for one in COMBINATIONS if one[2] == stage]) for stage in POINTS}


@pytest.mark.parametrize(
    ("how", "workers", "stage"),
    [pytest.param(*one, marks=[] if one in SAMPLE else pytest.mark.full) for one in COMBINATIONS],
)
def test_the_same_command_carries_on(lab3: Lab, tmp_path: Path, how: str, workers: int, stage: int) -> None:
    point = chance(how, workers, stage).choice(POINTS[stage])
    lost = sorted(chance("lost", 3).sample([host.short for host in lab3.hosts], 2))
    writes = broken(lab3, lost, "destroyed")
    arguments = ("-n", str(workers))

    first = stopped(lab3, how, point.reached, *arguments, output=tmp_path / "first")
    again = run(lab3, *arguments)

    assert "Traceback" not in first.output, first.output
    if how in ("ctrl-c", "sigterm", "hang-up"):
        assert first.exit == 2, first.output
        assert "interrupted: run the same command again" in first.output, first.output
    else:
        assert first.exit == -9, first.output
    assert again.exit == 0, again.output
    verdict = str(again.summary["verdict"])
    assert verdict in ("lost", "unfinished")
    assert_told(again, exit=0, outcome="recovered", verdict=verdict, says=["3 of 3 members"])
    assert_no_overlap(first, again)
    interrupted = assert_reported(first)
    if how in ("ctrl-c", "kill-group") or workers == 0:  # other workers may finish the step that they are in
        assert any(step.startswith(f"{point.step}[") for step in interrupted), first.output
    assert_whole(lab3, writes)
    assert left_behind(lab3) == []


PROOF_OF_DATA = "test_data_is_the_backups[etcd-0.example.com]"
BEFORE_ITS_START = "test_take_force_away[etcd-0.example.com] change 5"
"""Stopped, and not started again: the survivor answers nothing when the same command looks."""
NOT_MADE = "this run does not hold the survivor's data against the backup"


@pytest.mark.parametrize(
    ("point", "gone"),
    [
        pytest.param(f"{PROOF_OF_DATA} read 1", False, marks=pytest.mark.full, id="made"),
        pytest.param(f"{PROOF_OF_DATA} read 1", True, id="not made"),
        pytest.param(BEFORE_ITS_START, False, id="stopped, made"),
    ],
)
def test_killed_before_the_data_is_held_against_the_backup(lab3: Lab, point: str, gone: bool) -> None:
    """The same command does it, before a host joins; where the copy is gone, it says that nobody did."""
    writes = broken(lab3, LOST, "destroyed")
    killed = sabotaged(lab3, {"point": point, "how": "before"})
    assert killed.returncode == -9, killed.stdout
    if gone:
        lab3.run("etcd-0", "rm -r /backup/etcd-data-*")
    again = run(lab3)
    assert_told(again, exit=0, outcome="recovered", verdict="unfinished", says=["3 of 3 members"])
    asked = [e.record for e in entries(again) if isinstance(e.record, CommandRan) and e.record.step == PROOF_OF_DATA]
    assert any("--keys-only --rev=" in one.command for one in asked) is not gone, asked
    assert (NOT_MADE in again.output) is gone, again.output
    assert_whole(lab3, writes)
    assert left_behind(lab3) == []


@pytest.mark.full
def test_a_run_that_was_killed_has_marked_hosts_that_founded_a_cluster_since(lab3: Lab) -> None:
    """Every host bears a mark from step 20 on. What was founded after it is no data of the cluster that was lost."""
    broken(lab3, LOST, "destroyed")
    killed = sabotaged(lab3, {"point": "test_fence[etcd-1.example.com] change 1", "how": "before"})
    assert killed.returncode == -9, killed.stdout
    assert in_parallel(lambda host: lab3.run(host, "cat /var/lib/requorum/recovery.json").stdout, lab3.hosts)
    stop(lab3, lab3.hosts)
    start(lab3, LOST)
    lab3.wait_healthy([lab3.host(host) for host in LOST])
    written(lab3, 100, LOST)
    stop(lab3, LOST)
    says = ["two clusters under the same IDs", "hold different entries under the number", "do not start etcd on both"]
    done = refused(lab3, "unproven", says)
    assert "systemctl start etcd" not in done.output


def test_a_marked_survivor_has_met_an_emptied_host_since(lab3: Lab, tmp_path: Path) -> None:
    """Killed before it forced. The two are a quorum, and lack 100 writes that a host which was silent comes back with."""
    lab3.run("etcd-1", "systemctl disable etcd")
    written(lab3)
    stop(lab3, ["etcd-0"])
    written(lab3, 100, LOST)
    lab3.power_off("etcd-1")
    empty(lab3, ["etcd-2"])
    inventory = declared_lost(lab3, ["etcd-1"], tmp_path / "inventory.yaml")
    at = {"point": "test_fence[etcd-2.example.com] change 1", "how": "before"}
    killed = sabotaged(lab3, at, inventory=inventory)
    assert killed.returncode == -9, killed.stdout
    assert lab3.run("etcd-0", "cat /var/lib/requorum/recovery.json").stdout
    start(lab3, ["etcd-2"])
    lab3.wait_peers_listen([lab3.host("etcd-2")])
    start(lab3, ["etcd-0"])
    lab3.wait_healthy([lab3.host(host) for host in ("etcd-0", "etcd-2")])
    lab3.boot("etcd-1")
    says = [
        "a quorum answers, and it knows less than a member that does not answer",
        "etcd-1.example.com holds revision ",  # what its database holds of the 301: it lost power
        "do not start etcd on etcd-1.example.com",
    ]
    refused(lab3, "unproven", says, inventory=inventory)


@pytest.mark.parametrize("read", [False, True], ids=["not-read", "read"])
def test_a_fence_is_left_on_a_member_that_answers(lab3: Lab, read: bool) -> None:
    """A run was killed while it raised the fence, and a quorum is back: the next boot would take the member away."""
    folder = str(PurePosixPath(FENCE).parent)
    lab3.run("etcd-2", f"mkdir -p {folder} && printf '[Unit]\\nAssertPathExists=/fenced\\n' > {FENCE}")
    lab3.run("etcd-2", f"{'systemctl daemon-reload; ' if read else ''}systemctl is-active etcd")
    done = run(lab3)
    assert done.exit == 0, done.output
    assert_told(done, exit=0, outcome="recovered", verdict="unfinished", says=["etcd-2.example.com is fenced"])
    assert left_behind(lab3) == []


def test_a_mark_of_another_cluster(lab3: Lab, tmp_path: Path) -> None:
    """The recovery of one cluster, killed after its force, and the same hosts under another cluster's name."""
    broken(lab3, LOST, "destroyed")
    killed = sabotaged(lab3, {"point": "test_take_force_away[etcd-0.example.com] change 5", "how": "after"})
    assert killed.returncode == -9, killed.stdout
    name = lab3.record.spec.name
    inventory = edited(lab3, tmp_path / "i.yaml", (f"cluster: {name}\n", "cluster: other\n"))
    says = [f"is of the cluster {name}, and the inventory of other", f"use the inventory of {name}"]
    refused(lab3, "unproven", says, inventory=inventory)


@pytest.mark.full
@pytest.mark.parametrize("forced", [False, True], ids=["before its force", "after its force"])
def test_a_run_was_to_force_another_survivor(labs: Callable[..., Lab], tmp_path: Path, forced: bool) -> None:
    """Killed, with marks that name the one that lags behind; the next inventory names the one that holds more.

    Before the force nothing is lost yet, and the one that is named now survives. After it the other one takes writes: the
    name is refused, and the first command goes on.
    """
    lab5 = labs(members=5)
    writes = stale_runs(lab5)
    stale = naming_survivor(lab5, tmp_path / "stale.yaml", "etcd-4", "  accept_loss: true\n")
    step = "test_take_force_away" if forced else "test_stop_survivor"
    killed = sabotaged(lab5, {"point": f"{step}[etcd-4.example.com] change 1", "how": "before"}, inventory=stale)
    assert killed.returncode == -9, killed.stdout
    for host in lab5.hosts:
        assert '"survivor": "etcd-4.example.com"' in lab5.run(host, "cat /var/lib/requorum/recovery.json").stdout

    fresh = naming_survivor(lab5, tmp_path / "fresh.yaml", "etcd-0")
    if forced:
        says = ["the inventory names etcd-0.example.com as the survivor", "no member of the cluster that answers"]
        says += ["if the cluster that answers is yours, write `survivor: auto`"]
        refused(lab5, "unproven", says, inventory=fresh)
        done, writes, verdict = run(lab5, inventory=stale), writes[:-LATER], "unfinished"
        lost = f"{LATER} with another value"
        assert_told(done, exit=0, outcome="recovered", verdict=verdict, says=[lost, "5 of 5 members"])
    else:
        done = run(lab5, inventory=fresh)
        says = ["the survivor is etcd-0.example.com", "5 of 5 members"]
        assert_told(done, exit=0, outcome="recovered", verdict="lost", says=says)
        assert done.summary["survivor"] == "etcd-0.example.com"
    assert_whole(lab5, writes)
    assert left_behind(lab5) == []

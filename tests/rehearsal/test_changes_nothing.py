"""What looks changes nothing: no file, no process, no member, whatever state the cluster is in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from killed_runs import Point, stopped
from runbook_runs import Done, assert_told, broken, chance, folders, run

from lab import Lab, checksums
from requorum.journal import Entry
from requorum.records import StepEnded

LOOKS = (("--preconditions",), ("--plan",), ("checks/",), ("--collect-only", "-q"))
"""The ways to look, each with its arguments."""


def lost_hosts(lab: Lab) -> list[str]:
    """Two hosts drawn by chance, the same for all tests, which share the broken states."""
    return sorted(chance("lost", 3).sample([host.short for host in lab.hosts], 2))


def _healthy(lab: Lab, folder: Path) -> None:
    pass


def _lost(lab: Lab, folder: Path) -> None:
    broken(lab, lost_hosts(lab), "destroyed")


def _deaf(lab: Lab, folder: Path) -> None:
    broken(lab, lost_hosts(lab), "destroyed", reboot_survivor=True)


def _restartable(lab: Lab, folder: Path) -> None:
    broken(lab, lost_hosts(lab), "stopped")


def _unproven(lab: Lab, folder: Path) -> None:
    broken(lab, lost_hosts(lab), "dead")


def _forced(lab: Lab, folder: Path) -> None:
    """The survivor was forced, still is, and the run was killed there."""

    def forced(entries: list[Entry]) -> bool:
        ended = (entry.record for entry in entries if isinstance(entry.record, StepEnded))
        return any(r.step.startswith("test_force_new_cluster[") and r.outcome == "passed" for r in ended)

    _lost(lab, folder)
    stopped(lab, "kill-group", forced, output=folder / "killed")


def _unfinished(lab: Lab, folder: Path) -> None:
    """The run was killed when the first of two hosts was about to be started as a learner."""
    _lost(lab, folder)
    stopped(lab, "kill-group", Point("test_join", 3).reached, output=folder / "killed")


STATES: dict[str, tuple[Callable[[Lab, Path], None], str]] = {
    "healthy": (_healthy, "healthy"),
    "lost": (_lost, "lost"),
    "deaf": (_deaf, "lost"),
    "restartable": (_restartable, "restartable"),
    "unproven": (_unproven, "unproven"),
    "forced": (_forced, "unfinished"),
    "unfinished": (_unfinished, "unfinished"),
}
"""Name → how the lab gets there, and the verdict on it."""


def assert_looked(done: Done, verdict: str, look: tuple[str, ...]) -> None:
    assert "Traceback" not in done.output, done.output
    assert verdict in done.output, done.output
    if look[0] == "--collect-only":
        assert done.exit == 0, done.output
        assert done.folder is None
        return
    well = verdict == "healthy" or (look[0] != "checks/" and verdict in ("lost", "unfinished"))
    refused = 1 if look[0] == "checks/" else 6
    assert done.exit == (0 if well else refused), done.output
    assert done.summary["verdict"] == verdict
    assert done.summary["changes_made"] == 0
    assert "nothing was changed" in done.output, done.output
    assert done.report.is_file()


@pytest.mark.parametrize("state", STATES)
def test_looking_changes_nothing(lab3: Lab, tmp_path: Path, state: str) -> None:
    bring, verdict = STATES[state]
    bring(lab3, tmp_path)
    before = lab3.checksums()
    for look in LOOKS:
        done = run(lab3, *look)
        assert checksums.changes(before, lab3.checksums()) == [], look
        assert_looked(done, verdict, look)


def test_a_healthy_cluster_is_left_alone(lab3: Lab) -> None:
    before = lab3.checksums()
    done = run(lab3)
    assert checksums.changes(before, lab3.checksums()) == []
    said = ["3 of 3 members; nothing to do, nothing was changed"]
    assert_told(done, exit=0, outcome="healthy", verdict="healthy", says=said)
    assert done.summary["changes_made"] == 0


def test_silent_hosts_that_nobody_gave_up_prove_nothing(lab3: Lab) -> None:
    _, lost = broken(lab3, lost_hosts(lab3), "dead"), lost_hosts(lab3)
    before = lab3.checksums()
    done = run(lab3)
    assert checksums.changes(before, lab3.checksums()) == []
    write = [f"write under etcd.hosts in the inventory: `{lab3.host(one).name}: {{…, lost: true}}`" for one in lost]
    says = [*write, "possibly alive", "nothing was changed"]
    assert_told(done, exit=6, outcome="refused", verdict="unproven", says=says)


@pytest.mark.parametrize(("how", "start"), [("stopped", "systemctl start etcd"), ("masked", "systemctl unmask etcd")])
def test_members_that_could_be_started_are_named(lab3: Lab, how: str, start: str) -> None:
    broken(lab3, lost_hosts(lab3), how)
    before, runs = lab3.checksums(), folders(lab3)
    done = run(lab3)
    assert checksums.changes(before, lab3.checksums()) == []
    says = [f"{lab3.host(one).name}: {start}" for one in lost_hosts(lab3)]
    assert_told(done, exit=6, outcome="refused", verdict="restartable", says=[*says, "nothing was changed"])
    assert len(folders(lab3) - runs) == 1
    assert "chown" not in done.output, "a masked unit does not say whose the data is"
    for one in lost_hosts(lab3):  # what it said helps
        lab3.run(one, "systemctl unmask etcd && systemctl start etcd")
    lab3.wait_healthy()

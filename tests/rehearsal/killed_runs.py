"""Runs that are stopped in the middle of a change, and what must hold of their journals and reports."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from runbook_runs import PROJECT, Done, command, environment, folders

from lab import Lab, wait
from requorum.journal import Entry, Journal, Tail
from requorum.records import ChangeEnded, ChangeIntended, Planned, StepBegan, StepEnded

SIGNALS: dict[str, tuple[signal.Signals, bool]] = {
    "ctrl-c": (signal.SIGINT, True),
    "sigterm": (signal.SIGTERM, False),
    "hang-up": (signal.SIGHUP, True),
    "kill-controller": (signal.SIGKILL, False),
    "kill-group": (signal.SIGKILL, True),
}
"""How a run is stopped: the signal, and whether every process of it gets it (as from a terminal) or the controller alone."""


@dataclass(frozen=True, slots=True)
class Point:
    """A moment of a run: the change of this number (from 1) is about to be made in this step, on whichever host.

    `shown`: of the changes that are shown with these words.
    """

    step: str
    change: int = 1
    shown: str = ""

    def reached(self, entries: list[Entry]) -> bool:
        """Whether the journal has come to it."""
        intended = [e.record for e in entries if isinstance(e.record, ChangeIntended)]
        counted = [one for one in intended if one.step.startswith(f"{self.step}[") and self.shown in one.shown]
        return len(counted) >= self.change


@contextmanager
def started(
    lab: Lab, *arguments: str, output: Path, inventory: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A run in a process group of its own, as a terminal starts it; its group is killed at the end."""
    with output.open("wb") as stream:
        process = subprocess.Popen(
            command(lab, *arguments, inventory=inventory),
            cwd=PROJECT,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            # Tests that were started under nohup hand that on, and it would be kept.
            preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def stopped(
    lab: Lab, how: str, at: Callable[[list[Entry]], bool], *arguments: str, output: Path, inventory: Path | None = None
) -> Done:
    """Start a run, stop it (one of SIGNALS) once `at` holds of its journal, and wait until its controller has ended."""
    number, whole_group = SIGNALS[how]
    before, began = folders(lab), time.monotonic()
    with started(lab, *arguments, output=output, inventory=inventory) as process:
        folder = _folder(lab, before, process)
        _wait_for(at, folder, process, output)
        (os.killpg if whole_group else os.kill)(process.pid, number)
        process.wait(120)
        # Before `started` sweeps: workers of a killed controller may live on, and the next run has to cope with them.
        return Done(process.returncode, output.read_text(encoding="utf-8"), folder, time.monotonic() - began)


def _folder(lab: Lab, before: set[Path], process: subprocess.Popen[bytes]) -> Path:
    wait.until(lambda: folders(lab) != before or process.poll() is not None, "the run has a journal", 60)
    (folder,) = folders(lab) - before
    return folder


def _wait_for(at: Callable[[list[Entry]], bool], folder: Path, process: subprocess.Popen[bytes], output: Path) -> None:
    tail, seen = Tail(folder / "journal.jsonl"), list[Entry]()
    end = time.monotonic() + 120
    while not at(seen):
        assert process.poll() is None, f"the run ended before it could be stopped:\n{output.read_text()}"
        assert time.monotonic() < end, f"the run did not come so far:\n{output.read_text()}"
        time.sleep(0.005)
        seen += tail.new()


def entries(done: Done) -> list[Entry]:
    """The journal of a run; its chain is checked."""
    return list(Journal(done.journal).entries())


def changes(done: Done) -> list[ChangeEnded]:
    """The changes that a run has made."""
    return [e.record for e in entries(done) if isinstance(e.record, ChangeEnded) and e.record.result == "done"]


def assert_no_overlap(first: Done, second: Done) -> None:
    """Nothing of the first run happened once the second had begun to change things."""
    changes = [entry for entry in entries(second) if isinstance(entry.record, ChangeIntended)]
    assert changes, "the second run changed nothing"
    late = [entry for entry in entries(first) if entry.at >= changes[0].at]
    assert late == [], f"the first run went on after {changes[0].at}: {late}"


def statuses(done: Done) -> dict[str, str]:
    """What allure-results/ says: step and host → status. The survey of each host is a result as well, and no step."""
    found = {}
    for path in done.report.parent.glob("allure-results/*-result.json"):
        result = json.loads(path.read_text(encoding="utf-8"))
        found[result["fullName"].rpartition(": ")[2]] = str(result["status"])
    return {step: status for step, status in found.items() if not step.startswith("survey[")}


def assert_reported(done: Done) -> list[str]:
    """The reports of a stopped run tell what its journal tells. Returns the steps that were interrupted.

    Each step that was planned is there; `passed` is what ended so, and nothing else; what began and did not end is
    `broken`; the page says INTERRUPTED.
    """
    records = [entry.record for entry in entries(done)]
    planned = {step.step for record in records if isinstance(record, Planned) for step in record.steps}
    began = {record.step for record in records if isinstance(record, StepBegan)}
    ended = {record.step: record.outcome for record in records if isinstance(record, StepEnded)}
    passed = {step for step, how in ended.items() if how == "passed"}
    interrupted = sorted(step for step in began if ended.get(step, "interrupted") == "interrupted")
    told = statuses(done)
    assert told.keys() == planned
    assert {step for step, status in told.items() if status == "passed"} == passed
    assert sorted(step for step, status in told.items() if status == "broken") == interrupted
    assert {told[step] for step in planned - began} <= {"skipped"}
    assert done.summary["class"] == "interrupted"
    assert "INTERRUPTED" in done.report.read_text(encoding="utf-8")
    return interrupted

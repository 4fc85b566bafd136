"""The runbook on a lab, as an operator starts it; where its time went; and what it costs to look at its outline."""

from __future__ import annotations

import statistics
import sys
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.timed import Timed, timed
from lab import Lab
from lab.errors import LabError
from requorum.journal import Entry, Journal
from requorum.records import CommandRun, StepBegan, StepEnded

BEFORE, BETWEEN, AFTER = "(start and survey)", "(between steps)", "(end, reports)"
NO_TESTS = 5


@dataclass(frozen=True, slots=True)
class Spent:
    """What one step took on one host.

    Attributes:
        step: as pytest names it, or one of BEFORE, BETWEEN, AFTER.
        seconds: from its beginning to its end.
        remote: seconds of these with a command running on a host.
        commands: how many.
    """

    step: str
    seconds: float
    remote: float
    commands: int


def recover(lab: Lab, reports: Path) -> Timed:
    """`pytest runbook/` on the lab, one host after the other; LabError where it does not recover it."""
    inventory = ["--inventory", str(lab.inventory_path), "--reports", str(reports)]
    return timed([sys.executable, "-m", "pytest", "runbook/", *inventory])


def outline_seconds(lab: Lab, times: int = 5) -> tuple[float, float]:
    """What `pytest runbook/ --collect-only` takes, and the same of an empty folder; medians, in seconds."""
    with TemporaryDirectory(prefix="rq-bench-") as name:
        folder = Path(name)
        (folder / "empty").mkdir()
        (folder / "empty/pytest.ini").write_text("[pytest]\naddopts = -p no:cacheprovider\n", encoding="utf-8")
        pytest = [sys.executable, "-m", "pytest", "--collect-only", "-q"]
        inventory = ["--inventory", str(lab.inventory_path), "--reports", str(folder / "reports")]
        ours, theirs = [], []
        for _ in range(times):
            theirs.append(timed(pytest, exits=NO_TESTS, folder=folder / "empty").seconds)
            ours.append(timed([*pytest, "runbook/", *inventory]).seconds)
    return statistics.median(ours), statistics.median(theirs)


def spent(reports: Path, wall: float) -> list[Spent]:
    """Where the time of the newest run in `reports` went, by its journal; `wall` is the whole in seconds.

    In the order of the run. Raises LabError where there is no journal, JournalError where its chain does not hold.
    """
    journals = sorted(reports.glob("*/*/journal.jsonl"))
    if not journals:
        raise LabError(f"no run left a journal in {reports}")
    entries = list(Journal(journals[-1]).entries())
    began: dict[str, Entry] = {}
    found: list[Spent] = []
    for entry in entries:
        if isinstance(entry.record, StepBegan):
            began[entry.record.step] = entry
        elif isinstance(entry.record, StepEnded):
            found.append(_of_step(entry.record.step, began[entry.record.step], entry, entries))
    if not found:
        raise LabError(f"{journals[-1]} holds no step that ended")
    steps = [entry for entry in entries if isinstance(entry.record, StepBegan | StepEnded)]
    inside = sum(one.seconds for one in found)
    between = _between(steps[0], steps[-1]) - inside
    # The interpreter's start comes before the first record, and its end after the last.
    before = _between(entries[0], steps[0])
    survey = [entry.record for entry in entries[: entries.index(steps[0])] if isinstance(entry.record, CommandRun)]
    rest = wall - before - between - inside
    return [
        Spent(BEFORE, before, max((one.milliseconds for one in survey), default=0) / 1000, len(survey)),
        *found,
        Spent(BETWEEN, between, 0, 0),
        Spent(AFTER, rest, 0, 0),
    ]

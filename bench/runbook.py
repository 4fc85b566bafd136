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
from requorum.journal import Journal
from requorum.records import CommandRan, StepBegan, StepEnded

BEFORE, BETWEEN, REST = "(survey, plan)", "(between steps)", "(start of Python, reports)"
NO_TESTS = 5


@dataclass(frozen=True, slots=True)
class Spent:
    """What one step took on one host.

    Attributes:
        step: as pytest names it, or one of BEFORE, BETWEEN, REST.
        seconds: from its beginning to its end.
        remote: what its commands on the hosts took together, in seconds.
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

    In the order of the run; serial runs only. Raises LabError where no run left steps in a journal, JournalError where
    the journal's chain does not hold.
    """
    journals = sorted(reports.glob("*/*/journal.jsonl"))
    entries = list(Journal(journals[-1]).entries()) if journals else []
    found: list[Spent] = []
    first: datetime | None = None
    last = begun = datetime.min
    outside: list[CommandRan] = []
    inside: list[CommandRan] = []
    for entry in entries:
        at = datetime.fromisoformat(entry.at.replace("Z", "+00:00"))
        if isinstance(entry.record, StepBegan):
            if first is None:
                first, outside, inside = at, inside, []
            begun, inside = at, []
        elif isinstance(entry.record, CommandRan):
            inside.append(entry.record)
        elif isinstance(entry.record, StepEnded) and first is not None:
            found.append(Spent(entry.record.step, (at - begun).total_seconds(), _remote(inside), len(inside)))
            last = at
    if first is None or not found:
        raise LabError(f"no run left a step that ended in a journal in {reports}")
    start = datetime.fromisoformat(entries[0].at.replace("Z", "+00:00"))
    before = (first - start).total_seconds()
    between = (last - first).total_seconds() - sum(one.seconds for one in found)
    # Before the first record there is the interpreter's start, after the last step the reports.
    rest = wall - (last - start).total_seconds()
    survey = max((one.milliseconds for one in outside), default=0) / 1000  # all hosts at once
    return [
        Spent(BEFORE, before, survey, len(outside)),
        *found,
        Spent(BETWEEN, between, 0, 0),
        Spent(REST, rest, 0, 0),
    ]


def _remote(commands: list[CommandRan]) -> float:
    return sum(one.milliseconds for one in commands) / 1000

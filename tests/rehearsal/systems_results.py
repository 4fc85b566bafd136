"""What the cells of the systems came to, and what a recovery took in each: docs/systems.md is made of it.

A cell is a topology, a release, and a way to lose quorum. REQUORUM_SYSTEMS names the file; one line each, at once. The
seconds are those of the runbook's own runs, without the steps that restart what is not etcd: API, controllers, and the
pod that gets its probe back. They are held against the external cell of the same release and loss, of the same session.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path

from matrix_results import commit
from runbook_runs import PROJECT, Done

from lab import Lab
from lab.state import write_atomically
from requorum.journal import Journal
from requorum.records import StepBegan, StepEnded

FILE = os.environ.get("REQUORUM_SYSTEMS", "")
TABLE = PROJECT / "docs/systems.md"
TWIN = "external"
RATIO = 1.3
LOSSES = {"empty": "back empty", "later": "silent, later back"}
OTHERS = ("test_restart_api", "test_restart_controllers", "test_return_probe")
"""The beginnings of the steps that restart what is not etcd."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell, made once: `why` is empty where it passed; `seconds` of the runbook's runs, `platform` those of OTHERS."""

    topology: str
    release: str
    loss: str
    seconds: float
    platform: float
    why: str
    at: str


@dataclass(slots=True)
class _Clock:
    seconds: float = 0.0
    platform: float = 0.0

    def count(self, done: Done) -> Done:
        """A run of the runbook belongs to the cell."""
        self.seconds += done.seconds
        self.platform += _others(done)
        return done


def _others(done: Done) -> float:
    began: dict[str, datetime] = {}
    found = 0.0
    for entry in Journal(done.journal).entries():
        at = datetime.fromisoformat(entry.at.replace("Z", "+00:00"))
        if isinstance(entry.record, StepBegan):
            began[entry.record.step] = at
        elif isinstance(entry.record, StepEnded) and entry.record.step.startswith(OTHERS):
            found += (at - began.get(entry.record.step, at)).total_seconds()
    return found


@contextmanager
def cell(lab: Lab, loss: str) -> Iterator[Callable[[Done], Done]]:
    """Write down what becomes of a cell; gives a function that counts a run of the runbook."""
    clock = _Clock()
    try:
        yield clock.count
    except Exception as error:
        _record(lab, loss, clock, (str(error) or repr(error)).partition("\n")[0])
        raise
    _record(lab, loss, clock, "")


def _record(lab: Lab, loss: str, clock: _Clock, why: str) -> None:
    if not FILE:
        return
    spec = lab.record.spec
    at = datetime.now(timezone.utc).isoformat(timespec="seconds")
    made = Cell(spec.topology, spec.release, loss, round(clock.seconds, 1), round(clock.platform, 1), why, at)
    with open(FILE, "ab") as stream:
        stream.write(f"{json.dumps(asdict(made))}\n".encode())  # at once: several processes append


def results() -> list[Cell]:
    """Every cell that was made."""
    if not FILE or not Path(FILE).exists():
        return []
    return [Cell(**json.loads(line)) for line in Path(FILE).read_text(encoding="utf-8").splitlines()]


def write_table(topologies: Sequence[str], releases: Mapping[str, str]) -> None:
    """Write docs/systems.md from the cells so far; `releases` says which etcd each has."""
    made = results()
    if not made:
        return
    passed = sum(not one.why for one in made)
    lines = [
        "# The systems",
        "",
        "Written by `tox -e systems`. Quorum is lost on real hosts (two of three), the runbook takes it back, every",
        "acknowledged write is there, every member survives a restart and all hosts a reboot: *passed/made*, then the seconds",
        "of the runbook without the restarts of what is not etcd (median), and their ratio to the external cell.",
        "",
        f"**{passed} of {len(made)} passed**, {min(one.at for one in made)} to {max(one.at for one in made)}, commit {commit()}.",
        "",
        f"| topology | etcd | {' | '.join(LOSSES.values())} |",
        f"|---|---|{'---|' * len(LOSSES)}",
    ]
    for topology in topologies:
        for release in releases:
            here = [one for one in made if (one.topology, one.release) == (topology, release)]
            twins = [one for one in made if (one.topology, one.release) == (TWIN, release)]
            told = [_told(*([one for one in cells if one.loss == loss] for cells in (here, twins))) for loss in LOSSES]
            if here:
                lines.append(f"| {topology} | {releases[release]} | {' | '.join(told)} |")
    failed = [
        f"- failed: {one.topology}, {releases[one.release]}, {LOSSES[one.loss]}: {one.why}" for one in made if one.why
    ]
    write_atomically(TABLE, "\n".join([*lines, *([""] if failed else []), *failed]) + "\n")


def _told(made: list[Cell], twins: list[Cell]) -> str:
    if not made:
        return "not made"
    passed = [one for one in made if not one.why]
    words = f"{len(passed)}/{len(made)}"
    if not passed:
        return words
    own = _median(passed)
    words += f", {own:.0f} s"
    if whole := [one for one in twins if not one.why]:
        ratio = own / _median(whole)
        words += f", {ratio:.2f}" + (f" (limit {RATIO})" if ratio > RATIO else "")
    return words


def _median(cells: list[Cell]) -> float:
    own = sorted(one.seconds - one.platform for one in cells)
    return own[len(own) // 2]

"""What the operator sees: the journal, as it grows, a line for each step and host, and what is waited for.

It follows the journal's file, because pytest-xdist's workers cannot print.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from requorum.display import title_of
from requorum.journal import Entry, Journal, JournalError, Tail
from requorum.records import (
    ChangeEnded,
    ChangeIntended,
    Mode,
    Noted,
    Planned,
    PlannedStep,
    StepBegan,
    StepEnded,
    WaitBegan,
    WordEnded,
)

INTERVAL = 0.1
"""Seconds between two looks at the journal."""

PATIENCE = 1.5
"""Seconds after which a change is said to be waited for."""

_WORDS = {"passed": "ok", "failed": "FAILED", "blocked": "blocked", "interrupted": "stopped", "deferred": "later"}
_LOOKED = {"plan": "planned", "preconditions": "holds"}
"""Of a step that was looked at and not done: a line of a log must not read as a deed."""


@dataclass
class _Open:
    """A change that has begun, when it was seen (monotonic), and whether it was said to be waited for."""

    entry: Entry
    record: ChangeIntended
    since: float
    said: bool = False


class Follower:
    """Prints the journal of a run in this mode from the first entry on; `write` gets each line and its outcome.

    `refusals`: also why the steps were not begun, which pytest prints by itself unless a worker found it.
    """

    def __init__(
        self, journal: Journal, write: Callable[[str, str], None], mode: Mode, *, refusals: bool = False
    ) -> None:
        self._tail, self._write, self._plan = Tail(journal.path), write, mode == "plan"
        self._refusals = refusals
        self._ok = _LOOKED.get(mode, _WORDS["passed"])
        self._steps: dict[str, PlannedStep] = {}
        self._began: dict[str, str] = {}
        self._blocked = 0
        self._open: dict[tuple[str, str], _Open] = {}
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="requorum-terminal", daemon=True)

    @property
    def started(self) -> bool:
        """It has begun to follow."""
        return self._thread.ident is not None

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    def stop(self) -> None:
        """Print what is left, and end."""
        self._ending.set()
        self._thread.join()

    def _follow(self) -> None:
        ended = False
        while True:
            try:
                for entry in self._tail.new():
                    self._print(entry)
                self._print_patience()
            except JournalError as error:
                self._write(f"the journal cannot be followed: {error}", "failed")
                return
            if ended:
                break
            ended = self._ending.wait(INTERVAL)
        if self._blocked:
            self._write(f"blocked  {self._blocked} further steps were not begun", "blocked")

    def _line(self, outcome: str, entry: Entry, step: str, text: str) -> str:
        planned = self._steps.get(step)
        number = f"{planned.number:3}" if planned else "   "
        host = planned.host if planned else ""
        return f"{entry.at[11:19]}Z {outcome:8}{number}  {host}: {text}"

    def _print(self, entry: Entry) -> None:
        record = entry.record
        if isinstance(record, Planned):
            self._steps = {step.step: step for step in record.steps}
        elif isinstance(record, StepBegan):
            self._began[record.step] = entry.at
        elif isinstance(record, WaitBegan):
            self._write(
                self._line("waiting", entry, record.step, f"{record.what} (at most {record.seconds:.0f} s)"), ""
            )
        elif isinstance(record, Noted) and record.step:
            self._write(self._line("note", entry, record.step, record.text), "")
        elif isinstance(record, Noted) and self._refusals:
            self._write(f"refused   {record.text}", "failed")
        elif isinstance(record, ChangeIntended):
            self._open[record.step, record.change] = _Open(entry, record, time.monotonic())
        elif isinstance(record, ChangeEnded):
            if record.result != "unknown":
                self._open.pop((record.step, record.change), None)
            if self._plan:
                self._print_plan(entry, record)
        elif isinstance(record, WordEnded) and record.outcome == "deferred":
            self._write(self._line("later", entry, record.step, record.found), "")
        elif isinstance(record, StepEnded):
            self._print_end(entry, record)

    def _print_patience(self) -> None:
        """A change that takes its time is said, once."""
        for key, at in self._open.items():
            if not at.said and time.monotonic() - at.since > PATIENCE:
                at.said = True
                what = title_of(at.record.shown)
                self._write(self._line("waiting", at.entry, key[0], f"{what} (at most {at.record.seconds:.0f} s)"), "")

    def _print_plan(self, entry: Entry, record: ChangeEnded) -> None:
        planned = self._steps.get(record.step)
        elsewhere = "" if planned and planned.host == record.host else f"on {record.host}: "
        first, *rest = record.shown.splitlines()
        self._write(self._line("plan", entry, record.step, elsewhere + first), "")
        for line in rest:
            self._write(f"                       {line}", "")

    def _print_end(self, entry: Entry, record: StepEnded) -> None:
        if record.outcome == "blocked":
            self._blocked += 1
            return
        planned = self._steps.get(record.step)
        title = planned.title if planned else record.step
        seconds = f" ({_seconds(self._began[record.step], entry.at):.1f} s)" if record.step in self._began else ""
        word, said = self._ok if record.outcome == "passed" else _WORDS[record.outcome], ""
        if record.outcome == "interrupted":
            word = "UNKNOWN" if any(step == record.step for step, _ in self._open) else word
            said = f": {record.reason}"
        self._write(self._line(word, entry, record.step, title + seconds + said), record.outcome)


def _seconds(began: str, ended: str) -> float:
    return (datetime.fromisoformat(ended[:-1]) - datetime.fromisoformat(began[:-1])).total_seconds()

"""The story of one run, told from its journal: a frozen tree that every report is a view of. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from requorum.audit.moments import between
from requorum.display import title_of
from requorum.records import (
    WRITABLE,
    BackupProven,
    ChangeResult,
    Confirmed,
    Ended,
    HostSurveyed,
    Run,
    StepOutcome,
    VerdictGiven,
    Word,
)

Outcome = StepOutcome | Literal["not reached"]


@dataclass(frozen=True, slots=True)
class CommandStory:
    """One command; `record` is its number in the journal, `at` when it ended, `exit` None where no answer came."""

    record: int
    at: str
    host: str
    command: str
    exit: int | None
    milliseconds: int
    stdout: str
    stderr: str


@dataclass(frozen=True, slots=True)
class ChangeStory:
    """One change with the commands that made it. An intent without an outcome has the result ``unknown``."""

    record: int
    step: str
    host: str
    change: str
    shown: str
    began: str
    ended: str
    result: ChangeResult
    detail: str
    commands: tuple[CommandStory, ...]

    @property
    def title(self) -> str:
        """The change in one line: the file that it edits, or the beginning of its command."""
        return title_of(self.shown) or self.change

    @property
    def touched(self) -> bool:
        """Whether the host is, or may be, other than before."""
        return self.result in ("done", "failed", "unknown")


@dataclass(frozen=True, slots=True)
class WaitStory:
    """A wait for `what`, at most `seconds`; `until` is empty where its end is not recorded."""

    began: str
    until: str
    what: str
    seconds: float


@dataclass(frozen=True, slots=True)
class NoteStory:
    """Something that a reader should know."""

    at: str
    host: str
    text: str


Event = CommandStory | ChangeStory | WaitStory | NoteStory


@dataclass(frozen=True, slots=True)
class WordStory:
    """A precondition, an action or a postcondition, with what happened in it. No `ended`: interrupted."""

    word: Word
    text: str
    began: str
    ended: str
    outcome: StepOutcome
    expected: str
    found: str
    advice: str
    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class StepStory:
    """One step on one host. `events` are those outside of its words."""

    id: str
    number: int
    title: str
    host: str
    stage: str
    section: str
    outcome: Outcome
    reason: str
    began: str
    ended: str
    words: tuple[WordStory, ...]
    events: tuple[Event, ...]

    @property
    def name(self) -> str:
        """``40 · Force a new cluster on the survivor``; a step that no plan names has no number."""
        return f"{self.number} · {self.title}" if self.number else self.title

    @property
    def seconds(self) -> float | None:
        """How long it took; None where begin or end is not recorded."""
        return between(self.began, self.ended)

    @property
    def all_events(self) -> tuple[Event, ...]:
        """What happened in the step, word after word, then what happened outside of them."""
        return tuple(event for word in self.words for event in word.events) + self.events

    @property
    def changes(self) -> tuple[ChangeStory, ...]:
        """The changes of this step, in the order in which they began."""
        return tuple(event for event in self.all_events if isinstance(event, ChangeStory))

    @property
    def broken_word(self) -> WordStory | None:
        """The word that failed or was interrupted; None where there is none."""
        return next((word for word in self.words if word.outcome in ("failed", "interrupted")), None)


@dataclass(frozen=True, slots=True)
class Surveyed:
    """What the survey found on a host, and when."""

    at: str
    host: HostSurveyed


@dataclass(frozen=True, slots=True)
class Judged:
    """A verdict, and when it was given; it is given again before the force and at a resume."""

    at: str
    verdict: VerdictGiven


@dataclass(frozen=True, slots=True)
class Agreed:
    """The operator's word, and when it was given."""

    at: str
    confirmed: Confirmed


@dataclass(frozen=True, slots=True)
class Gap:
    """A stretch of more than a minute in which nothing was recorded."""

    after_record: int
    began: str
    ended: str


@dataclass(frozen=True, slots=True)
class Chain:
    """How well the journal holds: the records read, the hash of the last; `fault`: why it stops holding at `line`."""

    records: int
    head: str
    line: int = 0
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Story:
    """One run. `survey` is what happened outside of the steps."""

    chain: Chain
    began: str
    last: str
    run: Run | None
    hosts: tuple[Surveyed, ...]
    verdicts: tuple[Judged, ...]
    confirmed: Agreed | None
    survey: tuple[Event, ...]
    steps: tuple[StepStory, ...]
    backups: tuple[BackupProven, ...]
    gaps: tuple[Gap, ...]
    ended: Ended | None

    @property
    def changes(self) -> tuple[ChangeStory, ...]:
        """Every change of the run, in the order in which they began."""
        outside = tuple(event for event in self.survey if isinstance(event, ChangeStory))
        inside = tuple(change for step in self.steps for change in step.changes)
        return tuple(sorted(outside + inside, key=lambda change: change.record))

    @property
    def touched(self) -> tuple[ChangeStory, ...]:
        """The changes after which a host is, or may be, other than before."""
        return tuple(change for change in self.changes if change.touched)

    @property
    def unknown(self) -> tuple[ChangeStory, ...]:
        """The changes of which nobody knows whether they happened; one that was looked at later is known."""
        known = {(c.host, c.change): c.record for c in self.changes if c.result in ("held", "done")}
        unknown = (change for change in self.changes if change.result == "unknown")
        return tuple(change for change in unknown if known.get((change.host, change.change), 0) < change.record)

    @property
    def writable_at(self) -> str:
        """When this run made writes possible again; empty where it did not. A run that was killed noted it down, too."""
        events = (event for step in self.steps for event in step.all_events)
        return max((e.at for e in events if isinstance(e, NoteStory) and e.text.startswith(WRITABLE)), default="")

    @property
    def survivor(self) -> str:
        """The survivor's host name; empty where none was chosen."""
        if self.ended and self.ended.survivor:
            return self.ended.survivor
        return self.verdicts[-1].verdict.survivor if self.verdicts else ""

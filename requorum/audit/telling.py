"""Tells the story of a run from the entries of its journal. No I/O.

Several processes write to one journal, so its entries are interleaved: each goes to the step that it names. Within a
step they are in order, since one process runs it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from requorum.audit.moments import between
from requorum.audit.story import (
    Agreed,
    Chain,
    ChangeStory,
    CommandStory,
    Event,
    Gap,
    Judged,
    NoteStory,
    Outcome,
    StepStory,
    Story,
    Surveyed,
    WaitStory,
    WordStory,
)
from requorum.journal import START, Entry
from requorum.records import (
    BackupProven,
    ChangeEnded,
    ChangeIntended,
    ChangeResult,
    CommandRan,
    Confirmed,
    Ended,
    HostSurveyed,
    Noted,
    Planned,
    PlannedStep,
    Run,
    StepBegan,
    StepEnded,
    StepOutcome,
    VerdictGiven,
    WaitBegan,
    Word,
    WordBegan,
    WordEnded,
)

GAP = 60.0
"""Seconds without a record that an auditor is told of."""

_Inside = WordBegan | WordEnded | CommandRan | ChangeIntended | ChangeEnded | WaitBegan | Noted


@dataclass(slots=True)
class _Change:
    """A change as far as it is told; until its outcome comes the result is unknown."""

    record: int
    intent: ChangeIntended | ChangeEnded
    began: str
    ended: str = ""
    result: ChangeResult = "unknown"
    detail: str = ""
    commands: list[CommandStory] = field(default_factory=list)

    def told(self) -> ChangeStory:
        it = self.intent
        detail = self.detail or ("" if self.ended else "the intent is recorded, an outcome is not")
        return ChangeStory(
            self.record, it.step, it.host, it.change, it.shown, self.began, self.ended, self.result, detail,
            tuple(self.commands),
        )  # fmt: skip


@dataclass(slots=True)
class _Wait:
    """A wait as far as it is told."""

    began: str
    what: str
    seconds: float
    until: str = ""

    def told(self) -> WaitStory:
        return WaitStory(self.began, self.until, self.what, self.seconds)


_Growing = _Change | _Wait | CommandStory | NoteStory


def _told(events: Iterable[_Growing]) -> tuple[Event, ...]:
    return tuple(event.told() if isinstance(event, (_Change, _Wait)) else event for event in events)


@dataclass(slots=True)
class _Word:
    """A word as far as it is told; until its end comes it counts as interrupted."""

    word: Word
    text: str
    began: str
    ended: str = ""
    outcome: StepOutcome = "interrupted"
    expected: str = ""
    found: str = ""
    advice: str = ""
    events: list[_Growing] = field(default_factory=list)

    def told(self) -> WordStory:
        return WordStory(
            self.word, self.text, self.began, self.ended, self.outcome, self.expected, self.found, self.advice,
            _told(self.events),
        )  # fmt: skip


@dataclass(slots=True)
class _Step:
    """A step as far as it is told; the survey is one without a name."""

    began: str = ""
    ended: str = ""
    host: str = ""
    outcome: StepOutcome | None = None
    reason: str = ""
    words: list[_Word] = field(default_factory=list)
    events: list[_Growing] = field(default_factory=list)
    changes: list[_Change] = field(default_factory=list)

    @property
    def _word(self) -> _Word | None:
        return self.words[-1] if self.words and not self.words[-1].ended else None

    def take(self, entry: Entry, record: _Inside) -> None:
        """One entry that names this step."""
        events = self._word.events if self._word else self.events
        if not isinstance(record, CommandRan) and events and isinstance(last := self._last_wait(events), _Wait):
            last.until = last.until or entry.at
        match record:
            case WordBegan():
                self.words.append(_Word(record.word, record.text, entry.at))
            case WordEnded():
                self._end_word(entry, record)
            case CommandRan():
                self._command(entry, record, events)
            case ChangeIntended():
                self.changes.append(_Change(entry.number, record, entry.at))
                events.append(self.changes[-1])
            case ChangeEnded():
                self._end_change(entry, record, events)
            case WaitBegan():
                events.append(_Wait(entry.at, record.what, record.seconds))
            case Noted():
                events.append(NoteStory(entry.at, record.host, record.text))

    def _last_wait(self, events: list[_Growing]) -> _Growing | None:
        """The newest event that is not a command: polling commands do not end a wait."""
        return next((event for event in reversed(events) if not isinstance(event, CommandStory)), None)

    def _command(self, entry: Entry, record: CommandRan, events: list[_Growing]) -> None:
        command = CommandStory(
            entry.number, entry.at, record.host, record.command, record.exit, record.milliseconds, record.stdout,
            record.stderr,
        )  # fmt: skip
        making = next((c for c in reversed(self.changes) if not c.ended and c.intent.host == record.host), None)
        (making.commands if making else events).append(command)

    def _end_word(self, entry: Entry, record: WordEnded) -> None:
        word = self._word
        if word is None or (word.word, word.text) != (record.word, record.text):
            word = _Word(record.word, record.text, entry.at)
            self.words.append(word)
        word.ended, word.outcome = entry.at, record.outcome
        word.expected, word.found, word.advice = record.expected, record.found, record.advice

    def _end_change(self, entry: Entry, record: ChangeEnded, events: list[_Growing]) -> None:
        identity = (record.change, record.host)
        change = next((c for c in self.changes if not c.ended and (c.intent.change, c.intent.host) == identity), None)
        if change is None:
            change = _Change(entry.number, record, entry.at)
            self.changes.append(change)
            events.append(change)
        change.ended, change.result, change.detail = entry.at, record.result, record.detail

    def told(self, step: PlannedStep) -> StepStory:
        outcome: Outcome = self.outcome or ("interrupted" if self.began else "not reached")
        return StepStory(
            step.step, step.number, step.title, step.host or self.host, step.stage, step.section, outcome, self.reason,
            self.began, self.ended, tuple(word.told() for word in self.words), _told(self.events),
        )  # fmt: skip


@dataclass(slots=True)
class _Teller:
    """Collects the entries of one run."""

    run: Run | None = None
    hosts: list[Surveyed] = field(default_factory=list)
    verdicts: list[Judged] = field(default_factory=list)
    confirmed: Agreed | None = None
    planned: dict[str, PlannedStep] = field(default_factory=dict)
    steps: dict[str, _Step] = field(default_factory=dict)
    survey: _Step = field(default_factory=_Step)
    backups: list[BackupProven] = field(default_factory=list)
    ended: Ended | None = None

    def _step(self, name: str) -> _Step:
        return self.steps.setdefault(name, _Step()) if name else self.survey

    def take(self, entry: Entry) -> None:
        """One entry, to where it belongs."""
        record = entry.record
        match record:
            case Run():
                self.run = self.run or record
            case HostSurveyed():
                self.hosts.append(Surveyed(entry.at, record))
            case VerdictGiven():
                if self.run and record.recovery:
                    self.run = replace(self.run, recovery=record.recovery)
                self.verdicts.append(Judged(entry.at, record))
            case Confirmed():
                self.confirmed = Agreed(entry.at, record)
            case Planned():
                self.planned.update((step.step, step) for step in record.steps)
            case StepBegan():
                step = self._step(record.step)
                step.began, step.host = step.began or entry.at, record.host
            case StepEnded():
                step = self._step(record.step)
                step.ended, step.host, step.outcome, step.reason = entry.at, record.host, record.outcome, record.reason
            case BackupProven():
                self.backups.append(record)
            case Ended():
                self.ended = record
            case _:
                self._step(record.step).take(entry, record)

    def told_steps(self) -> Iterator[StepStory]:
        """The steps in the plan's order, then those that no plan names, in the order in which they came."""
        for name, planned in self.planned.items():
            yield self.steps.get(name, _Step()).told(planned)
        for name, step in self.steps.items():
            if name not in self.planned:
                yield step.told(PlannedStep(name, 0, name, step.host, "not in the plan", ""))


def tell(entries: Iterable[Entry], line: int = 0, fault: str = "") -> Story:
    """The story of a run from its entries, in the journal's order.

    `line` and `fault` say from where on, and why, the journal does not hold; `entries` are then those before.
    """
    teller, gaps = _Teller(), []
    began, previous, count, head = "", "", 0, START
    for entry in entries:
        if (between(previous, entry.at) or 0.0) > GAP:
            gaps.append(Gap(count, previous, entry.at))
        teller.take(entry)
        began, previous, count, head = began or entry.at, entry.at, entry.number, entry.hash
    return Story(
        Chain(count, head, line, fault), began, previous, teller.run, tuple(teller.hosts), tuple(teller.verdicts),
        teller.confirmed, _told(teller.survey.events), tuple(teller.told_steps()), tuple(teller.backups), tuple(gaps),
        teller.ended,
    )  # fmt: skip

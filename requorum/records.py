"""What a journal holds: one frozen class for each kind of record. No I/O; imports nothing of ours.

Times are UTC, ISO 8601 with a final Z. `step` is a step's id, as pytest shows it: ``test_fence[etcd-1.example.com]``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

Word = Literal["precondition", "action", "postcondition"]
StepOutcome = Literal["passed", "failed", "blocked", "interrupted", "deferred"]
ChangeResult = Literal["held", "done", "failed", "unknown", "planned"]
Mode = Literal["recovery", "abort", "preconditions", "plan", "checks"]


@dataclass(frozen=True)
class Run:
    """The first record: who runs what, with which inventory. Until the survey says more, a run is its own recovery."""

    kind: ClassVar[str] = "run"
    run: str
    recovery: str
    cluster: str
    mode: Mode
    operator: str
    machine: str
    argv: tuple[str, ...]
    versions: tuple[str, ...]
    inventory: str
    inventory_sha256: str


@dataclass(frozen=True)
class HostSurveyed:
    """What the survey found on one host, as label and value."""

    kind: ClassVar[str] = "host"
    host: str
    reached: bool
    found: tuple[tuple[str, str], ...]


NEVER_WRITTEN = (
    "nothing was ever written to it by the v3 API: it is new, holds v2 data only, or every member was emptied and founded "
    "it again"
)
"""Stands in the proof of a verdict on a cluster that answers, and whose v3 store was never written to."""


@dataclass(frozen=True)
class VerdictGiven:
    """The verdict with its proof in words; `hosts` are the inventory's, `recovery` what is begun or carried on."""

    kind: ClassVar[str] = "verdict"
    verdict: str
    proof: tuple[str, ...]
    advice: tuple[str, ...]
    survivor: str
    loss: str
    hosts: tuple[str, ...]
    recovery: str = ""


@dataclass(frozen=True)
class Confirmed:
    """The operator's word before the first change; `how` says where it came from."""

    kind: ClassVar[str] = "confirmed"
    how: str
    by: str
    given: bool


@dataclass(frozen=True)
class PlannedStep:
    """One step on one host, in the order of the run."""

    step: str
    number: int
    title: str
    host: str
    stage: str
    section: str


@dataclass(frozen=True)
class Planned:
    """Every step of this run, before the first begins: what is not reached is known from it."""

    kind: ClassVar[str] = "planned"
    steps: tuple[PlannedStep, ...]


@dataclass(frozen=True)
class StepBegan:
    """A step begins on its host."""

    kind: ClassVar[str] = "step-began"
    step: str
    host: str


@dataclass(frozen=True)
class StepEnded:
    """A step ended; `reason` is empty when it passed."""

    kind: ClassVar[str] = "step-ended"
    step: str
    host: str
    outcome: StepOutcome
    reason: str


@dataclass(frozen=True)
class WordBegan:
    """A precondition, an action or a postcondition begins."""

    kind: ClassVar[str] = "word-began"
    step: str
    host: str
    word: Word
    text: str


@dataclass(frozen=True)
class WordEnded:
    """A word ended. `expected`, `found` and `advice` are filled when it failed."""

    kind: ClassVar[str] = "word-ended"
    step: str
    host: str
    word: Word
    text: str
    outcome: StepOutcome
    expected: str
    found: str
    advice: str


@dataclass(frozen=True)
class CommandRan:
    """A command on a host, its output capped, secrets redacted. `exit` is None where the answer did not arrive."""

    kind: ClassVar[str] = "command"
    step: str
    host: str
    command: str
    exit: int | None
    milliseconds: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class ChangeIntended:
    """On disk before a change begins. `change` is its identity, `shown` a command or a file difference.

    `seconds` is how long it may take.
    """

    kind: ClassVar[str] = "change-intended"
    step: str
    host: str
    change: str
    shown: str
    seconds: float = 0


@dataclass(frozen=True)
class ChangeEnded:
    """What became of a change: `held` means that it held already and nothing was done."""

    kind: ClassVar[str] = "change-ended"
    step: str
    host: str
    change: str
    shown: str
    result: ChangeResult
    detail: str


@dataclass(frozen=True)
class WaitBegan:
    """The run waits for `what`, at most `seconds`."""

    kind: ClassVar[str] = "wait-began"
    step: str
    host: str
    what: str
    seconds: float


@dataclass(frozen=True)
class Noted:
    """Something that a reader should know: a warning, what is still missing, the moment writes were possible again."""

    kind: ClassVar[str] = "note"
    step: str
    host: str
    text: str


@dataclass(frozen=True)
class BackupProven:
    """A backup that counts: where it lies on the host, its copy in the run's folder, and what it was proven to hold."""

    kind: ClassVar[str] = "backup"
    step: str
    host: str
    place: str
    copy: str
    sha256: str
    holds: str


@dataclass(frozen=True)
class Ended:
    """The last record. `result` is a class of outcome (see docs/exit-codes.md), `exit` the process's exit code."""

    kind: ClassVar[str] = "ended"
    result: str
    exit: int
    verdict: str
    survivor: str
    healthy: tuple[str, ...]
    missing: tuple[str, ...]
    writable_at: str
    answer: str


WRITABLE = "writes are possible again"
"""The note that marks the moment."""

Record = (
    Run
    | HostSurveyed
    | VerdictGiven
    | Confirmed
    | Planned
    | StepBegan
    | StepEnded
    | WordBegan
    | WordEnded
    | CommandRan
    | ChangeIntended
    | ChangeEnded
    | WaitBegan
    | Noted
    | BackupProven
    | Ended
)

KINDS: dict[str, type[Record]] = {kind.kind: kind for kind in get_args(Record)}


def as_json(record: Record) -> dict[str, object]:
    """The record's fields, ready for `json.dumps`."""
    return {"kind": record.kind, **dataclasses.asdict(record)}


def _frozen(value: object) -> object:
    return tuple(_frozen(v) for v in value) if isinstance(value, list) else value


def from_json(fields: dict[str, object]) -> Record:
    """The record that `as_json` wrote.

    Raises ValueError for a kind or fields that this version does not know.
    """
    values = {key: _frozen(value) for key, value in fields.items()}
    kind = KINDS.get(str(values.pop("kind", None)))
    if kind is None:
        raise ValueError(f"expected a known kind of record, found {fields.get('kind')!r}")
    make: Callable[..., Record] = kind  # what a line holds is known when it is read, not when it is checked
    try:
        if kind is Planned and isinstance(fields["steps"], list):
            return Planned(tuple(PlannedStep(**step) for step in fields["steps"]))
        return make(**values)
    except (TypeError, KeyError) as error:
        raise ValueError(f"a record of kind {kind.kind!r} does not fit: {error}") from None

"""A step and its three words: preconditions, one action, postconditions, in this order.

The words are plain state of the process: threads do not inherit context variables.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Literal, TypeVar

from requorum.changes.backup import sha256_of
from requorum.diagnosis import Verdict
from requorum.facts.host import MissingFact
from requorum.hand import ChangeStopped, Hand
from requorum.journal import JournalError
from requorum.records import WRITABLE, BackupProven, Noted, StepOutcome, Word, WordBegan, WordEnded
from requorum.remote import RemoteError
from requorum.roles import BASTION
from requorum.run import Run
from requorum.stages import full_disks
from requorum.stages.full_disks import FullDisks

Function = TypeVar("Function", bound=Callable[..., None])
Failure = Literal["nothing changed", "state unknown", "changed, but not as required", "taken back"]
WayBack = Callable[[Hand], str]
"""What undoes a step that failed, made through the hand; it returns what was done, in words."""

ATTRIBUTE = "__requorum_step__"


@dataclass(frozen=True)
class Step:
    """What the decorator says: `on` is a role, `when` the verdicts under which the step belongs to the run.

    A step without a verdict belongs to `--abort`. `blocks`: its failure lets nothing begin that comes after it.
    """

    number: int
    title: str
    on: str
    when: frozenset[Verdict]
    parallel: bool
    destructive: bool
    blocks: bool


def step(
    number: int,
    title: str,
    *,
    on: str,
    when: Collection[Verdict],
    parallel: bool = False,
    destructive: bool = False,
    blocks: bool = True,
) -> Callable[[Function], Function]:
    """Make a test function a step of the runbook.

    Steps run by `number`, each on every host of the role `on` before the next begins; `parallel` lets ``-n`` run its
    hosts at once. `destructive` marks what a run cannot take back. Where a step that does not block fails, the run goes
    on, and ends as one that failed.
    """

    def mark(function: Function) -> Function:
        setattr(function, ATTRIBUTE, Step(number, title, on, frozenset(when), parallel, destructive, blocks))
        return function

    return mark


class NotToday(Exception):
    """The rest of a step is not for this mode. No failure."""


class StepFailed(Exception):
    """A word of a step did not hold."""

    def __init__(self, word: Word, failure: Failure, host: str, expected: str, found: str, advice: str) -> None:
        super().__init__(expected)
        self.word, self.failure, self.host = word, failure, host
        self.expected, self.found, self.advice = expected, found, advice

    def add(self, full: FullDisks) -> None:
        """Say which disks are full, too, where any is."""
        self.found = "\n".join(filter(None, (self.found, full.found)))
        self.advice = "\n".join(filter(None, (full.advice, self.advice)))

    def told(self, changed: str) -> str:
        """The failure for the reader at 3 a.m.; `changed` says what this run has changed so far."""
        here = {
            "nothing changed": "This step changed nothing.",
            "state unknown": "The state is UNKNOWN: what this step began may or may not have been done.",
            "changed, but not as required": "This step changed what it had to, and the result is not as required.",
            "taken back": "What this step had begun was taken back.",
        }[self.failure]
        return (
            f"{self.word} does not hold on {self.host}\n"
            f"  expected: {self.expected}\n"
            f"  found:    {_indented(self.found)}\n"
            f"  changed:  {here} {changed}\n"
            f"  next:     {_indented(self.advice)}"
        )


def _indented(text: str) -> str:
    return text.strip().replace("\n", "\n            ")


@dataclass
class Now:
    """The step that this process is in."""

    run: Run
    id: str
    host: str
    destructive: bool = False
    text: str = ""
    word: Word | None = None
    acted: bool = False
    proved: bool = False
    deferred: str = ""
    way_back: WayBack | None = None


_now: Now | None = None


def enter(now: Now | None) -> None:
    """Begin a step in this process, or, with None, end it."""
    global _now
    _now = now


def now() -> Now:
    """The step that this process is in. Raises RuntimeError outside of a step."""
    if _now is None:
        raise RuntimeError("a word of a step was used outside of a step")
    return _now


def note(text: str) -> None:
    """Write a line into the journal, for the terminal and the report.

    `WRITABLE` is the moment of a run that made writes possible; in any other it is told as what it is.
    """
    at = now()
    if text == WRITABLE and any(facts.api.answers for facts in at.run.reached.values()):
        text = "it takes writes, as the cluster did before this run"
    at.run.journal.add(Noted(at.id, at.host, text))


def proven(place: PurePosixPath, copy: Path | None, holds: str) -> None:
    """Write down that a backup counts: where it lies on the host, its copy here (None: not fetched), what it holds."""
    at = now()
    digest = ""
    if copy is not None:
        with copy.open("rb") as file:
            digest = sha256_of(file)
    shown = str(copy.relative_to(at.run.folder)) if copy is not None else ""
    at.run.journal.add(BackupProven(at.id, at.host, str(place), shown, digest, holds))


class _Word:
    """One word, as a context manager."""

    word: Word

    def __init__(self, text: str, advice: str) -> None:
        self.text, self.advice = text, advice

    def _begin(self) -> Now:
        at = now()
        if at.word is not None:
            raise RuntimeError(f"a {self.word} inside of a{'n' * (at.word == 'action')} {at.word}")
        at.text, at.word = self.text, self.word
        at.run.journal.add(WordBegan(at.id, at.host, self.word, self.text))
        return at

    def _end(self, outcome: StepOutcome, failed: StepFailed | None = None, found: str = "") -> None:
        at = now()
        at.word = None
        expected, found, advice = (failed.expected, failed.found, failed.advice) if failed else ("", found, "")
        at.run.journal.add(WordEnded(at.id, at.host, self.word, self.text, outcome, expected, found, advice))

    def _finish(self, error: BaseException | None, failure: Failure) -> None:
        """End the word; raise StepFailed for what a reader can use, and let the rest (Ctrl-C, a bug) go up as it is."""
        if isinstance(error, _TELLABLE):
            failed = self._fail(error, failure)
            if now().run.mode != "plan" and not isinstance(error, JournalError):
                failed.add(full_disks.look(now().run, failed.host, failed.found))
            failed = self._taken_back(failed)
            with suppress(JournalError):  # the failure itself is told all the same
                self._end("failed", failed)
            raise failed from None
        self._end("passed" if error is None else "interrupted")

    def _taken_back(self, failed: StepFailed) -> StepFailed:
        """Take the way back that the step's action has armed; what became of it is told with the failure."""
        at = now()
        way_back, at.way_back = at.way_back, None
        if way_back is None or at.run.mode != "recovery":
            return failed
        hand = at.run.hand(at.id)
        failure: Failure = "taken back"
        try:
            told = f"the way back was taken: {way_back(hand)}"
        except _TELLABLE as error:
            why = self._fail(error, "state unknown")
            told, failure = (
                f"THE WAY BACK DID NOT COME TO ITS END: expected {why.expected}; found {why.found}",
                why.failure,
            )
        finally:
            hand.close()
        at.run.journal.add(Noted(at.id, at.host, told))
        found = f"{failed.found.strip()}\n{told}"
        return StepFailed(failed.word, failure, failed.host, failed.expected, found, failed.advice)

    def _fail(self, error: BaseException, failure: Failure) -> StepFailed:
        """The failure in words."""
        host = now().host if now().host != BASTION else "the machine that runs this"
        if isinstance(error, RemoteError):
            return StepFailed(self.word, failure, error.host, error.expected, error.found, error.advice)
        if isinstance(error, ChangeStopped):
            expected = f"{self.text}: {error.change.shown()}"
            return StepFailed(self.word, failure, error.change.host, expected, error.found, self.advice)
        if isinstance(error, JournalError):
            return unwritten(error, now())
        return StepFailed(self.word, failure, host, self.text, _message(error), self.advice)


_Kind = type[BaseException] | None
_TELLABLE = (AssertionError, RemoteError, ChangeStopped, JournalError, MissingFact)


def unwritten(error: JournalError, at: Now) -> StepFailed:
    """A journal that cannot be written stops a step wherever it is: nothing is changed without it."""
    failure: Failure = "state unknown" if at.acted else "nothing changed"
    advice = "free space where the reports are, then run the same command again"
    expected = "a journal that can be written"
    failed = StepFailed(at.word or "precondition", failure, full_disks.HERE, expected, str(error), advice)
    failed.add(full_disks.look(at.run, full_disks.HERE, failed.found))
    return failed


def _message(error: BaseException) -> str:
    """What an assertion says; the message of its author alone where there is one."""
    text = str(error)
    said, rewritten, _ = text.partition("\nassert ")
    return said if rewritten and said else text.removeprefix("assert ")


class precondition(_Word):  # noqa: N801 (a word of the runbook's language)
    """What must hold before the step acts; `after` is the number of the step that establishes it.

    Where a mode does not act, a precondition with `after` that does not hold yet is deferred, and no failure.
    """

    word: Word = "precondition"

    def __init__(self, text: str, *, after: int | None = None, otherwise: str = "mend this, and run again") -> None:
        super().__init__(text, otherwise)
        self.after = after

    def __enter__(self) -> None:
        if now().acted or now().proved:
            raise RuntimeError("a precondition after the action or a postcondition")
        self._begin()

    def __exit__(self, kind: _Kind, error: BaseException | None, trace: TracebackType | None) -> bool:
        at = now()
        if isinstance(error, _TELLABLE) and self.after is not None and not at.run.changes:
            at.deferred = f"{self.text}: step {self.after} establishes it"
            self._end("deferred", found=at.deferred)
            return True
        self._finish(error, "nothing changed")
        return False


LOOK = (
    "look at the host (systemctl status etcd; journalctl -u etcd -n 50, of a static pod master-logs etcd etcd; df -h), then "
    "run the same command again"
)


class action(_Word):  # noqa: N801
    """The one part of a step that changes anything; yields the only writer.

    `way_back` is armed until the step has ended: it is taken where the action or a postcondition fails.
    """

    word: Word = "action"

    def __init__(
        self,
        text: str,
        *,
        otherwise: str = LOOK,
        way_back: WayBack | None = None,
    ) -> None:
        super().__init__(text, otherwise)
        self.way_back = way_back

    def __enter__(self) -> Hand:
        at = now()
        if at.acted or at.proved:
            raise RuntimeError("a second action in one step, or one after a postcondition")
        if at.run.mode in ("preconditions", "checks"):
            raise NotToday(self.text)
        self._begin()
        if at.destructive:  # not before: the preconditions may wait, and refuse
            note(f"the point of no return: the old cluster {'ends' if at.run.mode == 'recovery' else 'would end'} here")
        at.acted, at.way_back = True, self.way_back
        self._hand = at.run.hand(at.id)
        return self._hand

    def __exit__(self, kind: _Kind, error: BaseException | None, trace: TracebackType | None) -> None:
        self._hand.close()
        self._finish(error, "state unknown" if self._hand.began else "nothing changed")


class postcondition(_Word):  # noqa: N801
    """What must hold after the action. Not entered in modes that do not act."""

    word: Word = "postcondition"

    def __init__(self, text: str, *, otherwise: str = LOOK) -> None:
        super().__init__(text, otherwise)

    def __enter__(self) -> None:
        at = now()
        if at.run.mode in ("plan", "preconditions"):
            raise NotToday(self.text)
        self._begin()
        at.proved = True

    def __exit__(self, kind: _Kind, error: BaseException | None, trace: TracebackType | None) -> None:
        self._finish(error, "changed, but not as required" if now().acted else "nothing changed")

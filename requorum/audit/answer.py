"""The answer that an operator looks for first: may I go on, or stop? Computed from the story. No I/O."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePath
from typing import Literal

from requorum.audit.story import ChangeStory, StepStory, Story
from requorum.records import NEVER_WRITTEN, Run

INTERRUPTED = "interrupted"
"""The class of a run that was cut off, recorded or not."""

REFUSED = "refused"
"""The class of a run that did not begin, or that a precondition stopped before anything was changed."""

Tone = Literal["good", "warn", "bad"]


@dataclass(frozen=True, slots=True)
class Answer:
    """`headline` in one or two words, `state` what was changed, `sentence` whether to go on; then what it rests on."""

    tone: Tone
    headline: str
    state: str
    sentence: str
    advice: tuple[str, ...]
    next_command: str
    stopped_by: tuple[StepStory, ...]
    last_finished: StepStory | None
    unknown: tuple[ChangeStory, ...]
    healthy: tuple[str, ...]
    missing: tuple[str, ...]
    writable_at: str

    @property
    def title(self) -> str:
        """Headline and state in one line."""
        return f"{self.headline}: {self.state}" if self.state else self.headline


def again(run: Run, *without: str) -> str:
    """The command that the operator typed, as `pytest …`, without the given options."""
    words = list(run.argv)
    if words and (PurePath(words[0]).name in ("pytest", "py.test") or words[0].endswith("pytest/__main__.py")):
        del words[0]
    return shlex.join(["pytest", *(word for word in words if word not in without)])


def _checks(run: Run) -> str:
    return shlex.join(["pytest", "checks/", "--inventory", run.inventory])


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _unique(lines: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(line for line in lines if line))


def _state(story: Story) -> str:
    """What is known about changes, in a few words; the strict reading: a failed change is a change."""
    if story.unknown:
        number = len(story.unknown)
        return f"the state of {_count(number, 'change')} is unknown"
    if not story.touched:
        return "nothing was changed"
    return f"{_count(len(story.touched), 'change')} made, none of unknown state"


def _stopped_state(story: Story, stopped_by: tuple[StepStory, ...]) -> str:
    if story.unknown or not story.touched:
        return _state(story)
    words = {step.broken_word.word for step in stopped_by if step.broken_word}
    if "action" in words:
        return "state unknown"
    if "postcondition" in words:
        return "changed, but not as required"
    return f"{_count(len(story.touched), 'change')} made before"


def _is_empty(story: Story) -> bool:
    """The cluster is healthy, and was never written to."""
    last = story.verdicts[-1].verdict if story.verdicts else None
    return last is not None and last.verdict == "healthy" and NEVER_WRITTEN in last.proof


def _finished(story: Story) -> tuple[Tone, str, str, str]:
    """Tone, headline, state and sentence of a run that ended with exit 0."""
    mode = story.run.mode if story.run else "recovery"
    ended = story.ended
    missing = ended.missing if ended else ()
    members = len(missing) + (len(ended.healthy) if ended else 0)
    if mode != "abort" and not missing and not story.touched and _is_empty(story):
        sentence = (
            "Nothing was ever written to this cluster. If it held data, its members were emptied: restore a snapshot."
        )
        return "warn", "HEALTHY, AND EMPTY", _state(story), sentence
    if mode == "checks":
        return "good", "CHECKS PASSED", _state(story), "The cluster is as the checks want it."
    if mode == "preconditions":
        return "good", "PRECONDITIONS HOLD", _state(story), "You may go on: the recovery may be run."
    if mode == "plan":
        return "good", "PLAN", _state(story), "This is what a recovery would do. Read it, then run it."
    if mode == "abort":
        headline = "UNDONE" if story.touched else "NOTHING TO UNDO"
        return "good", headline, _state(story), f"{ended.answer[:1].upper()}{ended.answer[1:]}." if ended else ""
    if not members:
        headline = "RECOVERED" if story.touched else "CARRIED OUT"
        sentence = "Every step passed, and the last look at the members failed. Run the same command again."
        return "warn", headline, "members not looked at", sentence
    if missing:
        headline = "RECOVERED" if story.touched else "SERVING"
        state = f"{members - len(missing)} of {members} members"
        names = ", ".join(missing)
        verb = "is" if len(missing) == 1 else "are"
        return "warn", headline, state, f"The cluster takes writes. Run the same command when {names} {verb} back."
    if story.touched:
        return "good", "RECOVERED", f"{members} of {members} members", "You may go on: all is done."
    return "good", "HEALTHY", "nothing to do, nothing was changed", "You may go on: nothing is owed."


def _next(story: Story, tone: Tone) -> str:
    run = story.run
    if run is None:
        return ""
    if story.chain.fault:
        return _checks(run)
    if tone != "good":
        return again(run)
    healthy = bool(story.verdicts) and story.verdicts[-1].verdict.verdict == "healthy"
    if run.mode in ("preconditions", "plan") and not healthy:
        return again(run, "--preconditions", "--plan")
    return ""


def _judge(story: Story, stopped_by: tuple[StepStory, ...]) -> tuple[Tone, str, str, str]:
    if story.chain.fault:
        sentence = (
            f"Stop. The journal does not hold from line {story.chain.line} on: {story.chain.fault}. "
            f"This page tells the {_count(story.chain.records, 'record')} before it and nothing after. "
            "Do not rely on it; look at the hosts."
        )
        return "bad", "JOURNAL BROKEN", f"its chain does not hold from line {story.chain.line} on", sentence
    if story.run is None:
        return "bad", "NOTHING RECORDED", "", "The journal has no run in it: nothing was begun, so nothing was changed."
    ended = story.ended
    if ended is None or ended.result == INTERRUPTED or any(step.outcome == "interrupted" for step in stopped_by):
        looks = (
            "it looks at what is unknown before it changes anything" if story.unknown else "it looks, and carries on"
        )
        sentence = f"Run the same command again: {looks}."
        if ended is None:
            sentence = f"No end is recorded: the run was cut off, or is still going. {sentence}"
        return "bad", "INTERRUPTED", _state(story), sentence
    if ended.exit == 0:
        return _finished(story)
    if story.confirmed and not story.confirmed.confirmed.given:
        how = f"On a terminal the same command asks again; without one add --confirm {story.run.cluster}."
        return "bad", "STOPPED", _state(story), f"The recovery was not agreed to. {how}"
    refused = ended.result == REFUSED
    if refused and not stopped_by:
        return "bad", "STOPPED", _state(story), f"Refused: {ended.answer}"
    held_back = refused or any(step.outcome in ("blocked", "not reached") for step in story.steps)
    if story.run.mode == "recovery" and not held_back:
        sentence = "A step failed, and the others went on. Read why, mend it, and run the same command again."
        return "bad", "FAILED IN PART", _stopped_state(story, stopped_by), sentence
    headline = "CHECKS FAILED" if story.run.mode == "checks" else "STOPPED"
    return "bad", headline, _stopped_state(story, stopped_by), "Stop. Read why first; then run the same command again."


def answer(story: Story) -> Answer:
    """What an operator must know first, from the whole story.

    "Nothing was changed" is said only where no change began, or all held already.
    """
    stopped_by = tuple(step for step in story.steps if step.outcome in ("failed", "interrupted"))
    tone, headline, state, sentence = _judge(story, stopped_by)
    ended = story.ended
    advice: tuple[str, ...] = ()
    if tone == "bad":
        words = (step.broken_word for step in stopped_by)
        last = story.verdicts[-1].verdict.advice if story.verdicts else ()
        advice = _unique([*(line for word in words if word for line in word.advice.splitlines()), *last])
    finished = [step for step in story.steps if step.ended and step.outcome == "passed"]
    return Answer(
        tone=tone,
        headline=headline,
        state=state,
        sentence=sentence,
        advice=advice,
        next_command=_next(story, tone),
        stopped_by=stopped_by,
        last_finished=max(finished, key=lambda step: step.ended, default=None),
        unknown=story.unknown,
        healthy=ended.healthy if ended else (),
        missing=ended.missing if ended else (),
        writable_at=story.writable_at,
    )

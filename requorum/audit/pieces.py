"""Small pieces of report.html that several sections share: pills, times, outputs, differences, lists."""

from __future__ import annotations

from collections.abc import Iterable

from requorum.audit.markup import Content, Markup, join, tag
from requorum.audit.moments import clock, date_and_clock
from requorum.audit.story import Outcome, StepStory
from requorum.display import SHOWN, is_difference, shortened, visible
from requorum.records import ChangeResult, Word

OUTCOME_TONE: dict[Outcome, str] = {
    "passed": "good", "failed": "bad", "interrupted": "bad", "blocked": "warn", "deferred": "calm",
    "not reached": "calm",
}  # fmt: skip
RESULT_TONE: dict[ChangeResult, str] = {
    "done": "good", "held": "calm", "planned": "calm", "failed": "bad", "unknown": "bad",
}  # fmt: skip
RESULT_WORDS: dict[ChangeResult, str] = {
    "done": "done", "held": "held already", "planned": "planned", "failed": "failed", "unknown": "unknown",
}  # fmt: skip
BROKEN_MEANS: dict[Word, str] = {
    "precondition": "this step changed nothing",
    "action": "state unknown",
    "postcondition": "changed, but not as required",
}


def pill(text: str, tone: str) -> Markup:
    """A state: its word, and its colour."""
    return tag("span", text, class_=f"pill {tone}")


def outcome_pill(outcome: Outcome) -> Markup:
    """The state of a step or a word."""
    return pill(outcome, OUTCOME_TONE[outcome])


def result_pill(result: ChangeResult) -> Markup:
    """What became of a change."""
    return pill(RESULT_WORDS[result], RESULT_TONE[result])


def time(at: str) -> Markup:
    """The clock (UTC); the date and the fraction are in the tooltip and in the markup."""
    if not at:
        return tag("span", "–", class_="soft")
    return tag("time", clock(at), datetime=at, title=date_and_clock(at), class_="soft nowrap")


def anchor(steps: tuple[StepStory, ...], step: StepStory) -> str:
    """The step's place in the page."""
    return f"step-{steps.index(step) + 1}"


def bullets(lines: Iterable[Content], class_: str = "") -> Markup:
    """A list."""
    return tag("ul", *(tag("li", line) for line in lines), class_=class_)


def pairs(*items: tuple[str, Content]) -> Markup:
    """Labels and values side by side; those without a value are left out."""
    return tag("dl", *(join([tag("dt", label), tag("dd", value)]) for label, value in items if value), class_="pairs")


def facts(*items: tuple[str, Content]) -> Markup:
    """Labels above their values, in columns; those without a value are left out."""
    cells = (tag("div", tag("dt", label), tag("dd", value)) for label, value in items if value)
    return tag("dl", *cells, class_="facts")


def output(text: str, record: int = 0) -> Markup:
    """Output of a command; of a long one the beginning and the end, and where the rest is."""
    head, left_out, tail = shortened(text)
    if not left_out:
        return tag("pre", text)
    where = f"… {left_out:,} characters left out; journal.jsonl, record {record}, has them …"
    return tag("pre", head, "\n", tag("span", where, class_="cut"), "\n", tail)


def shown(text: str, record: int) -> Markup:
    """A change as it is shown: a command, or a file difference with its lines coloured."""
    if not is_difference(text) or len(text) > SHOWN:
        return output(text, record)
    lines = (tag("span", line or " ", class_=_line_class(line)) for line in visible(text).splitlines())
    return tag("pre", *lines, class_="diff")


def _line_class(line: str) -> str:
    if line.startswith(("--- ", "+++ ", "@@")):
        return "hunk"
    return {"+": "add", "-": "del"}.get(line[:1], "")

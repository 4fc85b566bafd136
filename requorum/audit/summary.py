"""summary.json: the run in a few fields, for machines (docs/summary.md)."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from dataclasses import dataclass

from requorum.audit.answer import INTERRUPTED
from requorum.audit.story import Story

JOURNAL_BROKEN = "journal-broken"
"""The class of a run whose journal does not hold, whatever it says."""


@dataclass(frozen=True, slots=True)
class UnknownChange:
    """A change of which nobody knows whether it happened."""

    step: str
    host: str
    change: str
    shown: str


@dataclass(frozen=True, slots=True)
class Summary:
    """The fields of summary.json; docs/summary.md says what each means. Times are UTC, ISO 8601; empty: not known."""

    outcome: str
    exit: int | None
    mode: str
    verdict: str
    survivor: str
    healthy: tuple[str, ...]
    missing: tuple[str, ...]
    cluster: str
    run: str
    recovery: str
    started: str
    ended: str
    writable_at: str
    changes_made: int
    unknown_changes: tuple[UnknownChange, ...]
    steps: dict[str, int]
    report: str
    journal_records: int
    journal_head: str
    journal_fault: str

    def as_json(self) -> str:
        """The text of summary.json, keys sorted; `outcome` is called ``class`` there."""
        fields = dataclasses.asdict(self)
        fields["class"] = fields.pop("outcome")
        return json.dumps({"schema": 1, **fields}, indent=2, sort_keys=True, ensure_ascii=True) + "\n"


def summarize(story: Story, report: str = "report.html") -> Summary:
    """The summary of a story; `report` is the page's path, relative to the run's folder."""
    run, ended, chain = story.run, story.ended, story.chain
    verdict = story.verdicts[-1].verdict.verdict if story.verdicts else ""
    outcome = ended.result if ended else INTERRUPTED
    return Summary(
        outcome=JOURNAL_BROKEN if chain.fault else outcome,
        exit=ended.exit if ended else None,
        mode=run.mode if run else "",
        verdict=(ended.verdict if ended else "") or verdict,
        survivor=story.survivor,
        healthy=ended.healthy if ended else (),
        missing=ended.missing if ended else (),
        cluster=run.cluster if run else "",
        run=run.run if run else "",
        recovery=run.recovery if run else "",
        started=story.began,
        ended=story.last if ended else "",
        writable_at=story.writable_at,
        changes_made=len(story.touched) - len(story.unknown),
        unknown_changes=tuple(UnknownChange(c.step, c.host, c.change, c.shown) for c in story.unknown),
        steps=dict(sorted(Counter(step.outcome for step in story.steps).items())),
        report=report,
        journal_records=chain.records,
        journal_head=chain.head,
        journal_fault=f"line {chain.line}: {chain.fault}" if chain.fault else "",
    )

"""report.html: one file without script or network, the same byte for byte when made again from the same journal."""

from __future__ import annotations

from requorum.audit.answer import Answer, answer
from requorum.audit.markup import Content, Markup, tag
from requorum.audit.moments import between, date_and_clock, duration
from requorum.audit.overview import (
    answer_section,
    backups_section,
    changes_section,
    hosts_section,
    run_section,
    timeline_section,
    verdict_section,
)
from requorum.audit.pieces import bullets
from requorum.audit.steps import steps_section, survey_section
from requorum.audit.story import Story
from requorum.audit.style import STYLE

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def _over(story: Story) -> Markup:
    cluster = story.run.cluster if story.run else "unknown cluster"
    mode = story.run.mode if story.run else ""
    return tag("div", tag("span", "etcd cluster ", tag("b", cluster)), tag("span", mode),
               tag("span", date_and_clock(story.began)), tag("span", "Requorum"), class_="over")  # fmt: skip


def _alarm(story: Story) -> Content:
    if not story.chain.fault:
        return None
    text = f"The journal's chain does not hold from line {story.chain.line} on: {story.chain.fault}."
    return tag("p", text, class_="alarm", role="alert")


def _foot(story: Story) -> Markup:
    chain = story.chain
    held = f"{chain.records} records"
    if chain.fault:
        held += f" before line {chain.line}, which breaks the chain"
    gaps = [
        f"{duration(between(gap.began, gap.ended))} after record {gap.after_record}, {date_and_clock(gap.began)}"
        for gap in story.gaps
    ]
    return tag(
        "footer",
        tag("h2", "The record"),
        tag("p", f"This page was made from journal.jsonl alone: {held}. "
            "Each record carries the hash of the one before."),
        tag("p", "Hash of the last record: ", tag("code", chain.head), class_="hash"),
        tag("p", "To check the chain and make this page again, byte for byte: ",
            tag("code", "python -m requorum.audit FOLDER"), ", FOLDER being the one this page lies in."),
        tag("p", "The chain shows a change inside the journal. That its last lines are all there shows only the hash "
            "above, kept somewhere else.", class_="soft"),
        tag("p", "More than a minute without a record:") if gaps else None,
        bullets(gaps) if gaps else None,
    )  # fmt: skip


def page(story: Story, told: Answer | None = None) -> str:
    """The whole page as text; `told` is the story's answer, computed where it is not given."""
    told = told or answer(story)
    cluster = story.run.cluster if story.run else "unknown cluster"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        Markup(f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", f"{told.title} · {cluster} · {date_and_clock(story.began)}"),
        tag("style", Markup(STYLE)),
    )
    body = tag(
        "body",
        _alarm(story),
        _over(story),
        tag(
            "main",
            answer_section(story, told),
            verdict_section(story),
            run_section(story),
            hosts_section(story),
            timeline_section(story),
            changes_section(story),
            backups_section(story),
            steps_section(story),
            survey_section(story),
        ),
        _foot(story),
    )
    return f'<!doctype html>\n<html lang="en">{head.html}\n{body.html}</html>\n'

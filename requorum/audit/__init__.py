"""The reports of a run, each a view of its journal: report.html, allure-results/, summary.json."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from requorum.audit.allure import write_results
from requorum.audit.html import page
from requorum.audit.story import Story
from requorum.audit.summary import summarize
from requorum.audit.telling import tell
from requorum.journal import Entry, Journal, JournalError

JOURNAL, REPORT, SUMMARY, ALLURE = "journal.jsonl", "report.html", "summary.json", "allure-results"
"""The names of the files in a run's folder."""


def read_story(folder: Path) -> Story:
    """The story of the run in `folder`; where the journal does not hold, of the records before, with the fault.

    Raises OSError where the journal cannot be read.
    """
    entries: list[Entry] = []
    try:
        entries.extend(Journal(folder / JOURNAL).entries())
    except (JournalError, TypeError) as error:  # TypeError: a line that is JSON of another shape
        line = len(entries) + 1
        fault = str(error).removeprefix(f"{folder / JOURNAL}, line {line}: ")
        return tell(entries, line, fault)
    return tell(entries)


def write_all(folder: Path) -> Path:
    """Write report.html, allure-results/ and summary.json of the run in `folder`, from its journal; the same again.

    Returns the path of report.html. A journal whose chain does not hold is no error: the report says so, on top.
    Raises OSError where the journal cannot be read or a report cannot be written.
    """
    story = read_story(folder)
    report = folder / REPORT
    _replace(report, page(story))
    _replace(folder / SUMMARY, summarize(story, REPORT).as_json())
    fresh, old = folder / f"{ALLURE}.new", folder / f"{ALLURE}.old"
    for left_over in (fresh, old):
        if left_over.exists():
            shutil.rmtree(left_over)
    fresh.mkdir()
    write_results(story, fresh)
    if (folder / ALLURE).exists():
        (folder / ALLURE).rename(old)
    fresh.rename(folder / ALLURE)
    if old.exists():
        shutil.rmtree(old)
    return report


def _replace(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    new = path.with_name(f"{path.name}.new")
    new.write_text(text, encoding="utf-8", newline="\n")
    os.replace(new, path)

"""docs/kill-matrix.md tells of the rounds that there are: a change that came after it was made is not in it."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]


def test_the_committed_table_has_every_round(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(PROJECT / "tests/rehearsal")
    rounds = import_module("sabotage").rounds()
    text = (PROJECT / "docs/kill-matrix.md").read_text(encoding="utf-8")
    told = re.search(r"^\*\*\d+ of (\d+) rounds passed\*\*, \d+ failed, (\d+) not made\.", text, re.MULTILINE)
    all_ = re.search(r"^\| \*\*all\*\* \|(.*)\|$", text, re.MULTILINE)
    assert told, text
    assert all_, text
    made = sum(int(count) for count in re.findall(r"\d+/(\d+)", all_[1]))
    assert (int(told[1]), made + int(told[2])) == (len(rounds), len(rounds)), "make it again: `tox -e matrix`"

"""Two edits of one text."""

from __future__ import annotations

import pytest

from requorum.facts.merged import merged

BASE = "a\nb\nc\nd\ne\n"


@pytest.mark.parametrize(
    ("ours", "theirs", "both"),
    [
        (BASE, BASE, BASE),
        (BASE.replace("b\n", ""), BASE, BASE.replace("b\n", "")),
        (BASE, BASE + "f\n", BASE + "f\n"),
        (BASE.replace("b\n", "b\nB\n"), "0\n" + BASE, "0\na\nb\nB\nc\nd\ne\n"),
        (BASE.replace("b\n", "B\n").replace("e\n", ""), BASE.replace("c\n", "c\nC\n"), "a\nB\nc\nC\nd\n"),
        (BASE.replace("b\n", "B\n"), BASE.replace("b\n", "2\n"), None),
        (BASE.replace("b\nc\n", "B\n"), BASE.replace("b\n", "b\n!\n"), None),
        (BASE.replace("b\n", "B\n"), "", None),
    ],
    ids=["neither", "ours", "theirs", "insert", "several", "same line", "inside", "all gone"],
)
def test_both_edits_or_none(ours: str, theirs: str, both: str | None) -> None:
    assert merged(BASE, ours, theirs) == both

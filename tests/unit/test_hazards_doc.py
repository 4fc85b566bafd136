"""docs/hazards.md and the hazard tests tell the same: every row has its test, and every test its row."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).parents[2]
DOC = PROJECT / "docs/hazards.md"
LINK = re.compile(r"\[(test_\w+)\]\(\.\./(tests/rehearsal/\w+\.py)\)")


def collected(*chosen: str) -> set[str]:
    """The test functions of all rehearsals (or those chosen), each with its file."""
    words = ("-m", "pytest", "tests/rehearsal", *chosen, "--collect-only", "-q", "-p", "no:xdist")
    done = subprocess.run(
        [sys.executable, *words], cwd=PROJECT, capture_output=True, text=True, check=True, timeout=120
    )
    return {line.partition("[")[0] for line in done.stdout.splitlines() if "::" in line}


def test_every_row_has_its_test_and_every_hazard_test_its_row() -> None:
    rows = [line for line in DOC.read_text(encoding="utf-8").splitlines() if re.match(r"\| (?!state |-)", line)]
    told = {f"{path}::{name}" for row in rows for name, path in LINK.findall(row)}
    assert [row for row in rows if not LINK.search(row)] == []
    there = collected()
    assert sorted(told - there) == []
    assert sorted(one for one in there - told if one.startswith("tests/rehearsal/test_hazards_")) == []
    assert "`pytest tests/rehearsal -m hazard`" in DOC.read_text(encoding="utf-8")
    assert sorted(collected("-m", "hazard") ^ told) == []

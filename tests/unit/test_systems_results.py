"""What becomes of the cells of the systems: their times are compared only where each was made alone."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from lab import Spec

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def systems(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    monkeypatch.syspath_prepend(PROJECT / "tests/rehearsal")
    found = import_module("systems_results")
    monkeypatch.setattr(found, "FILE", str(tmp_path / "systems.jsonl"))
    monkeypatch.setattr(found, "TABLE", tmp_path / "systems.md")
    return found


def made(systems: ModuleType, topology: str, seconds: float, **more: object) -> None:
    said = {"topology": topology, "release": "bookworm", "row": "empty", "seconds": seconds, "platform": 0.0,
            "why": "", "at": "2026-11-29T18:00:00+00:00", "commit": "abc1234", "alone": True, **more}  # fmt: skip
    with open(systems.FILE, "a", encoding="utf-8") as stream:
        stream.write(f"{json.dumps(said)}\n")


def test_a_cell_that_took_too_long_is_told(systems: ModuleType) -> None:
    for topology, seconds, platform in (("external", 30, 0), ("colocated", 60, 21.1), ("container", 40, 0)):
        made(systems, topology, seconds, platform=platform)
    assert systems.too_slow() == ["container, bookworm, back empty: 1.33 × external, limit 1.3"]


@pytest.mark.parametrize(
    ("topology", "more"),
    [
        ("external", {"alone": False}),
        ("external", {"why": "it failed"}),
        ("external", {"row": "later"}),
    ],
)
def test_what_cannot_be_compared_is_not(systems: ModuleType, topology: str, more: dict[str, object]) -> None:
    other = "container" if topology == "external" else "external"
    made(systems, topology, 30 if topology == "external" else 90, **more)
    made(systems, other, 30 if other == "external" else 90)
    assert systems.too_slow() == []


def test_the_table_tells_the_ratio_of_any(systems: ModuleType) -> None:
    made(systems, "external", 30, alone=False)
    made(systems, "container", 45, alone=False)
    systems.write_table()
    table = systems.TABLE.read_text(encoding="utf-8")
    assert "| container | 3.4.23 | 1/1, 45 s, 1.50 (limit 1.3) | not made |" in table
    assert "**2 of 2 passed**" in table
    assert "Besides" not in table


def test_what_is_made_besides_has_a_row_of_its_own(systems: ModuleType) -> None:
    """Each topology with the generations that were made there; what failed is told below, with why."""
    made(systems, "external", 30)
    for topology, release, why in (
        ("external", "trixie", ""),
        ("external", "bookworm", ""),
        ("container", "bookworm", ""),
    ):
        made(systems, topology, 0, row="Flannel", release=release, why=why)
    systems.record(Spec(topology="container"), "Flannel", "AssertionError: a lease is gone\nassert 1 == 2")
    table = systems.TABLE.read_text(encoding="utf-8")
    assert "| Flannel | 3.4.23 1/1, 3.5.16 1/1 | – | 3.4.23 1/2 | – |" in table
    assert "- failed: container, 3.4.23, Flannel: AssertionError: a lease is gone\n" in table
    assert "**4 of 5 passed**" in table

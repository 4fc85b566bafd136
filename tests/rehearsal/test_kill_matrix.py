"""The runbook is killed, or its hosts are, at every command of a recovery; the same command ends as if nothing was."""

from __future__ import annotations

from pathlib import Path

import pytest
from runbook_runs import chance
from sabotage import FAULTS, KILLS, Point, lost, one_round, parse, recorded, sabotaged

from lab import Lab


def _rounds() -> list[tuple[Point, str]]:
    """Every change by every means; and a kill before the first read of each step on each host."""
    points = recorded()
    changes = [(point, how) for point in points if point.kind == "change" for how in (*KILLS, *FAULTS)]
    reads = [(point, "before") for point in points if point.kind == "read"]
    return [*changes, *reads]


ROUNDS = _rounds()
SAMPLE = set(chance("kill matrix").sample(ROUNDS, 12))
"""In CI; which ones is drawn."""


def test_the_points_are_those_of_an_undisturbed_run(lab3: Lab, tmp_path: Path) -> None:
    """What is committed is what there is: a new change must be in the matrix."""
    lost(lab3)
    done = sabotaged(lab3, {"record": str(tmp_path / "points")})
    assert done.returncode == 0, done.stdout
    found = parse((tmp_path / "points").read_text())
    assert {str(p) for p in found if p.counts} == {str(p) for p in recorded()}


@pytest.mark.parametrize(
    ("point", "how"),
    [
        pytest.param(*one, id=f"{one[1]}: {one[0]}".replace(".example.com", ""), marks=[] if one in SAMPLE else pytest.mark.full)
        for one in ROUNDS
    ],
)  # fmt: skip
def test_the_same_command_ends_as_an_undisturbed_run(lab3: Lab, tmp_path: Path, point: Point, how: str) -> None:
    one_round(lab3, point, how, tmp_path)

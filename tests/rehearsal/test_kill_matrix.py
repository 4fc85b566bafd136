"""The runbook is killed, or its hosts are, at every command of a recovery; the same command ends as if nothing was."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import matrix_results
import pytest
from runbook_runs import chance
from sabotage import DISK_MIB, FULL, Point, lost, one_round, parse, recorded, rounds, sabotaged

from lab import Lab

ROUNDS = rounds()


def _sample(count: int) -> set[tuple[Point, str]]:
    """Rounds for CI, drawn; at least one of each kind."""
    kinds = sorted({(how, point.kind) for point, how in ROUNDS})
    drawn = [
        chance("kill matrix", *kind).choice([one for one in ROUNDS if (one[1], one[0].kind) == kind]) for kind in kinds
    ]
    others = [one for one in ROUNDS if one not in drawn]
    return {*drawn, *chance("kill matrix").sample(others, count - len(drawn))}


SAMPLE = _sample(12)
PASSED = {name for name, result in matrix_results.results().items() if not result["why"]}


def _param(point: Point, how: str) -> object:
    name = matrix_results.name_of(point, how)
    marks = [] if (point, how) in SAMPLE else [pytest.mark.full]
    if name in PASSED:
        marks.append(pytest.mark.skip(reason="passed before, with the same code"))
    return pytest.param(point, how, id=name, marks=marks)


@pytest.fixture(scope="session")
def table() -> Iterator[None]:
    """The table is written at the end of the session, however it ends."""
    yield
    matrix_results.write_table(ROUNDS)


def test_the_points_are_those_of_an_undisturbed_run(lab3: Lab, tmp_path: Path) -> None:
    """What is committed is what there is: a new change must be in the matrix."""
    lost(lab3)
    done = sabotaged(lab3, {"record": str(tmp_path / "points")})
    assert done.returncode == 0, done.stdout
    found = parse((tmp_path / "points").read_text())
    assert {str(p) for p in found if p.counts} == {str(p) for p in recorded()}


@pytest.mark.usefixtures("table")
@pytest.mark.parametrize(("point", "how"), [_param(*one) for one in ROUNDS])
def test_the_same_command_ends_as_an_undisturbed_run(
    labs: Callable[..., Lab], tmp_path: Path, point: Point, how: str
) -> None:
    lab = labs(whole=False, disk_mib=DISK_MIB if how in FULL else 0)
    with matrix_results.recorded(lab, point, how) as came:
        came.append(one_round(lab, point, how, tmp_path))

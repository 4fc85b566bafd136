"""The table of steps in docs/recover.md against the steps of the runbook."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
ROWS = re.findall(
    r"^\| (\d) [a-z ]+ \| (\d+)–(\d+) \|", (PROJECT / "docs/recover.md").read_text(encoding="utf-8"), re.M
)


def numbers(stage: str) -> list[int]:
    """The numbers of the steps in the file of one stage, as they stand there."""
    (path,) = (PROJECT / "runbook").glob(f"test_{stage}_*.py")
    called = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    steps = [call.args[0] for call in called if isinstance(call.func, ast.Name) and call.func.id == "step"]
    return [one.value for one in steps if isinstance(one, ast.Constant) and isinstance(one.value, int)]


@pytest.mark.parametrize(("stage", "first", "last"), ROWS, ids=[stage for stage, _, _ in ROWS])
def test_the_steps_of_each_stage_are_those_that_are_told(stage: str, first: str, last: str) -> None:
    assert (numbers(stage)[0], numbers(stage)[-1]) == (int(first), int(last))


@pytest.mark.parametrize("stage", ["1", "2", "3", "4", "5", "6", "9"])
def test_the_steps_stand_in_the_order_in_which_they_run(stage: str) -> None:
    assert numbers(stage) == sorted(set(numbers(stage)))


def test_each_stage_of_a_recovery_is_told() -> None:
    assert [stage for stage, _, _ in ROWS] == ["1", "2", "3", "4", "5", "6"]

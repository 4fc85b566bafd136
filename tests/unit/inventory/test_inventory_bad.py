"""Every file in bad/ says in its first lines which problems it must give, and gives these and no others.

``# expect: LINE | FIELD | part of what is found | part of the fix``
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from requorum.inventory import InventoryError, load

BAD = Path(__file__).parent / "bad"
FILES = sorted(BAD.glob("*.yaml"))


@dataclass(frozen=True)
class Expected:
    line: int
    field: str
    found: str
    fix: str


def expectations(path: Path) -> list[Expected]:
    said = [
        line.removeprefix("# expect: ").split(" | ")
        for line in path.read_text().splitlines()
        if line.startswith("# expect: ")
    ]
    return [Expected(int(line), field, found, fix) for line, field, found, fix in said]


def refusal(path: Path) -> InventoryError:
    with pytest.raises(InventoryError) as caught:
        load(path)
    return caught.value


def test_the_corpus_is_there() -> None:
    assert len(FILES) >= 90


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_each_problem_is_told_with_its_line_field_and_fix(path: Path) -> None:
    problems = list(refusal(path).problems)
    for expected in expectations(path):
        fitting = [
            problem
            for problem in problems
            if (problem.line, problem.field) == (expected.line, expected.field)
            and expected.found in problem.found
            and expected.fix in problem.fix
        ]
        assert fitting, f"{expected} is not among\n" + "\n".join(map(str, problems))
        problems.remove(fitting[0])
    assert not problems, "told beyond what is expected: " + "\n".join(map(str, problems))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_message_has_one_line_for_each_problem_in_the_order_of_the_file(path: Path) -> None:
    error = refusal(path)
    lines = str(error).split("\n")
    assert len(lines) == len(error.problems)
    for line in lines:
        assert re.fullmatch(rf"{re.escape(str(path))}:[1-9]\d*: \S.*: expected .+, found .+; fix: .+", line)
        assert line.isprintable()
    assert [problem.line for problem in error.problems] == sorted(problem.line for problem in error.problems)

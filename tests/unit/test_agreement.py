"""What the operator agrees to."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from builders import emptied, healthy, inventory, mark, members, survey

from requorum.diagnosis import diagnose
from requorum.run import Run
from requorum.stages.confirmation import asked
from requorum.undoing import listed


@pytest.mark.parametrize(("before", "passed"), [((0, 1, 2), True), ((0,), False)], ids=["passed", "ahead"])
def test_the_point_of_no_return_of_an_unfinished_recovery(
    tmp_path: Path, before: tuple[int, ...], passed: bool
) -> None:
    """The member list that the recovery found, and the one that there is now."""
    found = replace(mark(), members=listed(healthy(0, members(*before))))
    alone = replace(healthy(0, members(0)), mark=found)
    run = Run("recovery", inventory(), tmp_path, "20261125T000000Z", "ada@desk", 1, ())
    run.survey = survey(alone, emptied(1, mark=mark()), emptied(2, mark=mark()))
    run.diagnosis = diagnose(run.inventory, run.survey)
    told = asked(run)
    assert ("it has passed" in told) == passed, told
    assert ("--abort undoes everything" in told) != passed, told

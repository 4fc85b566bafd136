"""Which joiner comes first: etcd adds nobody beside one that was added and is no running voter yet."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytest
from builders import emptied, healthy, inventory, mark, members, name, names, survey

from requorum.diagnosis import diagnose
from requorum.run import Run
from requorum.stages import order, steps
from requorum.stages.step import Step


@dataclass(frozen=True)
class Item:
    """As much of a step on a host as its place needs."""

    name: str
    nodeid: str = ""
    location: tuple[str, int, str] = ("", 0, "")


def test_a_learner_that_an_interrupted_run_has_left_joins_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between the add of host 2 and its promotion; meanwhile host 1, which was given up, is back, emptied."""
    listed = members(0, 2, learners=[2], unstarted=[2])
    run = Run("recovery", inventory(lost=[1]), tmp_path, "r3", "eve@desk", 1, ())
    run.survey = survey(healthy(0, listed, mark=mark()), emptied(1), emptied(2, mark=mark()))
    run.diagnosis = diagnose(run.inventory, run.survey)
    assert run.proven.joiners == names(1, 2)

    def hosts(on: str) -> list[str]:
        monkeypatch.setattr(
            steps, "step_of", lambda item: Step(51, "", on, frozenset(), parallel=False, destructive=False, blocks=True)
        )
        laid_out = steps.Steps(cast("pytest.Config", None), run)
        items = cast("list[pytest.Item]", [Item(f"test_x[{host}]") for host in names(1, 2)])
        return [placed.place.host for placed in order.put_in_order(items, laid_out.place_of)]

    assert hosts("joiners") == [name(2), name(1)]
    assert hosts("whole") == [name(1), name(2)]

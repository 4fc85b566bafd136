"""What passes between the controller and its workers beside pytest-xdist: one permit for each item, and the plan.

A worker that is shut down, or whose controller died, is let go by xdist into the item it was waiting with. So an item
begins only with a permit: a file that the controller alone writes and that the worker takes by removing it. Removing a
file succeeds once, so no item begins twice, in whatever process.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from requorum.stages import order
from requorum.stages.order import Placed, PlaceOf

FOLDER, CONTROLLER = "requorum_permits", "requorum_controller"
"""Keys of xdist's `workerinput`: the folder of the permits, the controller's process id."""


class Permits:
    """The permits of one run, in a folder that the controller made."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def _path(self, index: int) -> Path:
        return self.folder / f"permit-{index}"

    def grant(self, index: int) -> None:
        """Controller: let the plan's item `index` begin, once."""
        self._path(index).touch()

    def take(self, index: int) -> bool:
        """Use up the permit for item `index`; False where there is none, or it was used before."""
        try:
            self._path(index).unlink()
        except FileNotFoundError:
            return False
        return True

    def tell_plan(self, worker: str, plan: Sequence[Placed]) -> None:
        """Worker: leave the plan for the controller, before xdist reports the collection as finished."""
        (self.folder / f"plan-{worker}.json").write_text(order.as_json(plan))

    def told_plan(self, worker: str) -> tuple[Placed, ...]:
        """Controller: the plan that `worker` left. Raises FileNotFoundError where there is none."""
        return order.from_json((self.folder / f"plan-{worker}.json").read_text())


class Gate:
    """The plugin of one worker: it puts items in order, and lets one begin only with its permit."""

    def __init__(self, config: pytest.Config, place_of: PlaceOf) -> None:
        handed: dict[str, object] = config.workerinput  # type: ignore[attr-defined]  # xdist sets it in its workers
        self._permits = Permits(Path(str(handed[FOLDER])))
        self._controller, self._worker = handed[CONTROLLER], str(handed["workerid"])
        self._place_of = place_of
        self._index: dict[str, int] = {}
        config.option.maxfail = 0  # the controller counts; a worker that stops by itself leaves siblings behind

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Sort, and tell the plan, before xdist's own hook sends the node ids."""
        plan = order.put_in_order(session.items, self._place_of)
        self._index = {placed.nodeid: index for index, placed in enumerate(plan)}
        self._permits.tell_plan(self._worker, plan)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> bool | None:
        """Pass over an item without a permit; the controller reports it. A dead controller's permit is void."""
        if os.getppid() == self._controller and self._permits.take(self._index[item.nodeid]):
            return None
        return True

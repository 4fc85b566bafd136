"""Order and barriers: a step runs on all its hosts before the next begins, and a failure blocks what comes after.

The same in one process and under pytest-xdist. In one process this plugin lets each item begin or passes it over; under
xdist it decides in the controller which group of items may begin, `lanes.Lanes` carries that out, and `permits.Gate`
holds the workers to it. Every item of the run ends in one of these ways: with its own reports; as BLOCKED (skipped);
as INTERRUPTED (failed; what it did is unknown); or, where the run itself was stopped, by a call of `on_not_run`.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest

from requorum.stages import order
from requorum.stages.lanes import Lanes
from requorum.stages.order import Placed, PlaceOf
from requorum.stages.permits import CONTROLLER, FOLDER, Gate, Permits
from requorum.stages.signals import WORDS

if TYPE_CHECKING:
    from xdist.workermanage import WorkerController

BLOCKED = "BLOCKED: "
"""How the reason of a skipped report begins whose item may not begin."""

INTERRUPTED = "INTERRUPTED: "
"""How the text of a failed report begins whose item began and did not end."""

OnNotRun = Callable[[str, str], None]
"""Called with node id and reason for each item that was not reached because the run was stopped."""


def interrupted_by(error: BaseException) -> str:
    """What ended a step or the run from outside, in words."""
    what = WORDS if isinstance(error, KeyboardInterrupt) else type(error).__name__
    return f"interrupted by {what}"


NAME = "requorum-barriers"
"""The plugin's name in pytest."""


def install(
    config: pytest.Config,
    place_of: PlaceOf,
    *,
    block_on_failure: bool = True,
    on_not_run: OnNotRun = lambda nodeid, why: None,
    on_interrupt: Callable[[], None] = lambda: None,
) -> None:
    """Register order and barriers for this process, whichever it is; call it in `pytest_configure`.

    `place_of` gives the place of each collected item, the same in every process. Without `block_on_failure` the order
    and the barriers hold, but a failed step does not keep later ones from running. `on_not_run` and, at Ctrl-C,
    `on_interrupt` are called in the process that leads the run, never in a worker.
    """
    if hasattr(config, "workerinput"):
        config.pluginmanager.register(Gate(config, place_of), NAME)
    else:
        barriers = Barriers(config, place_of, block_on_failure, on_not_run, on_interrupt)
        config.pluginmanager.register(barriers, NAME)


class Barriers:
    """The plugin of the process that leads: the only one, or xdist's controller."""

    def __init__(
        self,
        config: pytest.Config,
        place_of: PlaceOf,
        block_on_failure: bool,
        on_not_run: OnNotRun,
        on_interrupt: Callable[[], None],
    ) -> None:
        self._config, self._place_of = config, place_of
        self._block_on_failure, self._on_not_run, self._on_interrupt = block_on_failure, on_not_run, on_interrupt
        self._plan: tuple[Placed, ...] = ()
        self._index: dict[str, int] = {}
        self._groups: tuple[tuple[int, ...], ...] = ()
        self._position = -1
        self._begun: set[int] = set()
        self._ended: set[int] = set()
        self._reasons: list[str] = []
        self._failures = 0
        self._cut = False
        # -x and --maxfail are counted here: pytest would stop before the siblings on other hosts are through.
        self._maxfail: int = config.option.maxfail
        config.option.maxfail = 0
        # A replacement would run again what its predecessor died of. Here, because in addopts it breaks -p no:xdist.
        if hasattr(config.option, "maxworkerrestart"):
            config.option.maxworkerrestart = "0"
        self._permits: Permits | None = None

    # What may begin

    @property
    def blocked(self) -> str:
        """Why no further group may begin; empty where one may."""
        return "; ".join(self._reasons)

    @property
    def stopping(self) -> str:
        """What `-x` or `--maxfail` has to say; empty while the run goes on."""
        reached = self._maxfail and self._failures >= self._maxfail
        return f"stopping after {self._failures} failures" if reached else ""

    @property
    def _group(self) -> tuple[int, ...]:
        return self._groups[self._position] if self._position >= 0 else ()

    def block(self, reason: str) -> None:
        """Let no further group begin; what has begun goes on."""
        if reason not in self._reasons:
            self._reasons.append(reason)

    def lay_out(self, plan: Sequence[Placed]) -> None:
        """Take the plan of the run, in order."""
        self._plan, self._groups = tuple(plan), order.groups_of(plan)
        self._index = {placed.nodeid: index for index, placed in enumerate(plan)}

    def advance(self) -> tuple[int, ...]:
        """Begin the next group, and return its indices; empty where none may begin."""
        for index in set(self._group) - self._ended:
            self.block(f"{self._plan[index].step} left no result on {self._plan[index].place.host}")
        if self._reasons or self.stopping or self._position + 1 == len(self._groups):
            return ()
        self._position += 1
        return self._group

    def began(self, index: int) -> None:
        """Note that an item was let go."""
        self._begun.add(index)

    def withdrew(self, index: int) -> None:
        """Note that an item that was let go has not begun after all, and never will."""
        self._begun.discard(index)

    def interrupted(self, index: int, why: str) -> None:
        """Report an item that began and will not end: failed, its effect unknown."""
        placed = self._plan[index]
        self._ended.add(index)
        self._failures += 1
        self.block(f"{placed.step} was interrupted on {placed.place.host}")
        text = f"{INTERRUPTED}{placed.step} began on {placed.place.host} and did not end ({why})"
        self._report(placed, "failed", text, "call")
        self._report(placed, "passed", None, "teardown")

    # One process

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Put the items in order, whatever reordered them before. xdist's controller does not collect."""
        self.lay_out(order.put_in_order(session.items, self._place_of))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> bool | None:
        """Pass over an item that may not begin; it is reported when the loop ends."""
        index = self._index[item.nodeid]
        if index in self._begun or not (index in self._group or index in self.advance()):
            return True
        self.began(index)
        return None

    # Results

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Let nothing begin where a part of the procedure is missing."""
        if report.failed:
            self.block(f"{report.nodeid} could not be collected")

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note what passed; a failure, also one that was expected (xfail), blocks what comes after, if its step does."""
        index = self._index.get(report.nodeid)
        if index is None or index in self._ended:
            return
        if report.when == "teardown":
            self._ended.add(index)
        if report.failed or (report.skipped and hasattr(report, "wasxfail")):
            self._failures += 1
            if self._block_on_failure and self._plan[index].place.blocks:
                self.block(f"{self._plan[index].step} failed on {self._plan[index].place.host}")

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        """When the loop ends, however it ends, account for every item that has no result."""
        try:
            result = yield
        except (session.Failed, session.Interrupted) as stopped:
            self._account(self.stopping or ("" if self._reasons else str(stopped)))
            raise
        except KeyboardInterrupt as stopped:
            self._cut = True
            self._on_interrupt()
            self._account(f"the run was {interrupted_by(stopped)}")
            # Unlike the interrupt itself it ends the session without a word of pytest's own, which comes after ours.
            raise session.Failed(interrupted_by(stopped)) from None
        except BaseException as stopped:
            self._account(f"the run was {interrupted_by(stopped)}")
            raise
        if session.config.option.collectonly:
            return result
        self._account(self.stopping)
        if self.stopping or (self._reasons and not session.testsfailed):
            session.shouldfail = self.stopping or self.blocked
            raise session.Failed(session.shouldfail)
        return result

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """A run that was interrupted ends as one that was interrupted."""
        if self._cut:
            session.exitstatus = pytest.ExitCode.INTERRUPTED

    def _account(self, stopped: str) -> None:
        """Report what did not end. `stopped` is why the run was stopped; empty where it was not."""
        for index, placed in enumerate(self._plan):
            if index in self._ended:
                continue
            if index in self._begun:
                self.interrupted(index, stopped or "no result came")
            elif stopped:
                self._on_not_run(placed.nodeid, stopped)
            else:
                path, line, _ = placed.location
                self._report(placed, "skipped", (path, line or 0, BLOCKED + self.blocked), "setup")
                self._report(placed, "passed", None, "teardown")

    def _report(
        self,
        placed: Placed,
        outcome: Literal["passed", "failed", "skipped"],
        text: str | tuple[str, int, str] | None,
        when: Literal["setup", "call", "teardown"],
    ) -> None:
        report = pytest.TestReport(placed.nodeid, placed.location, {}, outcome, text, when)
        self._config.hook.pytest_runtest_logreport(report=report)

    # pytest-xdist's controller

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: WorkerController) -> None:
        """Hand each worker the folder of the permits."""
        if not node.gateway.spec.popen:
            raise pytest.UsageError(f"--tx {node.gateway.spec}: workers run on this machine only; use -n NUMBER")
        node.workerinput[FOLDER] = str(self._ledger().folder)
        node.workerinput[CONTROLLER] = os.getpid()

    def _ledger(self) -> Permits:
        if self._permits is None:
            folder = Path(tempfile.mkdtemp(prefix="requorum-"))
            self._config.add_cleanup(lambda: shutil.rmtree(folder))
            self._permits = Permits(folder)
        return self._permits

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config) -> Lanes:
        """Take the place of xdist's own schedulers, whatever `--dist` says."""
        from xdist.workermanage import parse_tx_spec_config  # here, so that -p no:xdist loads nothing of xdist

        return Lanes(self, self._ledger(), len(parse_tx_spec_config(config)))

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: WorkerController, error: object | None) -> None:
        """A worker that dies, even idle, blocks everything after."""
        if error:
            self.block(f"worker {node.gateway.id} died ({error})")

"""What every process of a run does: it lays the steps out by role, and writes down how each of them goes."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress

import pytest

from requorum.display import visible
from requorum.hand import Orphaned
from requorum.journal import JournalError
from requorum.records import Mode, Noted, Planned, PlannedStep, StepBegan, StepEnded, StepOutcome
from requorum.remote import RemoteError
from requorum.roles import BASTION
from requorum.run import Run
from requorum.stages import guards, options
from requorum.stages.barriers import interrupted_by
from requorum.stages.order import Place
from requorum.stages.outcome import changed_words, step_words
from requorum.stages.step import ATTRIBUTE, NotToday, Now, Step, StepFailed, enter, unwritten
from requorum.stages.waiting import eventually

NOWHERE = "nowhere"
"""The host of a step whose role nobody plays; such an item is left out of the run."""


def step_of(item: pytest.Item) -> Step:
    """What the decorator says. Raises UsageError for a test that is no step."""
    found = getattr(_function(item).obj, ATTRIBUTE, None)
    if not isinstance(found, Step):
        raise pytest.UsageError(f"{item.nodeid} is not marked with @step: every test in runbook/ and checks/ is a step")
    return found


class Steps:
    """What every process of a run does: it lays out the steps by role, and writes down how each of them goes."""

    def __init__(self, config: pytest.Config, run: Run) -> None:
        self._config = config
        self._collected: list[pytest.Function] = []
        self.run = run
        self.mode: Mode = run.mode

    @property
    def _writes_plan(self) -> bool:
        """xdist's controller does not collect: its first worker writes the plan down."""
        workerinput = getattr(self._config, "workerinput", None)
        return workerinput is None or workerinput["workerid"] == "gw0"

    # Which steps, on which hosts

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Give each step the hosts of its role, where the verdict calls for it."""
        found = getattr(metafunc.function, ATTRIBUTE, None)
        if not isinstance(found, Step):
            return
        called_for = not found.when if self.mode == "abort" else self.run.proven.verdict in found.when
        hosts = self.run.hosts(found.on) if called_for else ()
        if not self.run.acts and self.mode != "checks":
            hosts = hosts if found.on == BASTION else ()
        if "target" not in metafunc.fixturenames:
            metafunc.fixturenames.append("target")
        metafunc.parametrize("target", hosts or (NOWHERE,), indirect=True)

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Leave out what no host plays; make sure that `host` is ours."""
        collected = list(items)
        left_out = [item for item in items if item.name.endswith(f"[{NOWHERE}]")]
        # First: pytest goes on to lay them out, also after a refusal.
        items[:] = [item for item in items if item not in left_out]
        if left_out:
            config.hook.pytest_deselected(items=left_out)
        with self._telling_refusals():
            self._collected = [_function(item) for item in collected if step_of(item)]
            guards.require_own_host(self._collected, options.PROJECT / "conftest.py")

    @pytest.hookimpl(specname="pytest_collection_finish", tryfirst=True)
    def pytest_write_plan(self, session: pytest.Session) -> None:
        """Write the plan down before any process can begin a step.

        In order already, since the barriers' hook comes before this one. Under xdist the workers are let go when the
        last of them has told its node ids, which xdist's own hook does after this one.
        """
        if self._writes_plan:
            self.run.journal.add(Planned(tuple(self._planned(item) for item in session.items)))

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Refuse a plan that is not whole, once every plugin had its say."""
        if self.run.changes and not self._config.option.collectonly:  # a part of the outline does no harm
            nowhere = [item for item in self._collected if item.name.endswith(f"[{NOWHERE}]")]
            with self._telling_refusals():
                guards.require_whole(options.RUNBOOK, self._collected, [*session.items, *nowhere])

    @contextmanager
    def _telling_refusals(self) -> Iterator[None]:
        """What a worker raises while it collects is not printed: the journal tells it."""
        try:
            yield
        except pytest.UsageError as error:
            if self._writes_plan:
                self.run.journal.add(Noted("", BASTION, str(error)))
            raise

    def _planned(self, item: pytest.Item) -> PlannedStep:
        found = step_of(item)
        stage = item.path.stem.removeprefix("test_").replace("_", " ")
        section = (_function(item).obj.__doc__ or "").strip()
        return PlannedStep(item.name, found.number, found.title, host_of(item), stage, section)

    def place_of(self, item: pytest.Item) -> Place:
        """Where an item stands in the order of the run."""
        found, host = step_of(item), host_of(item)
        order = (BASTION, *self.run.inventory.all_names)
        later = found.on == "joiners" and host not in self.run.added
        return Place(found.number, host, order.index(host), found.parallel, found.blocks, later)

    def not_run(self, nodeid: str, why: str) -> None:
        """Write down a step that the end of the run left out."""
        self._ended(nodeid, "blocked", f"not begun: {why}")

    def interrupt(self) -> None:
        """Ctrl-C ends the run. Of a worker, which its controller tells of, nothing is to be done."""

    def _cut_off(self, nodeid: str, why: str) -> None:
        """Write down that a step began and was cut off, and what it had changed until then."""
        changed = step_words(self.run.journal, nodeid.rpartition("::")[2])
        self._ended(nodeid, "interrupted", f"{changed}; {why}")

    def _ended(self, nodeid: str, how: StepOutcome, reason: str) -> None:
        step = nodeid.rpartition("::")[2]
        self.run.journal.add(StepEnded(step, step.partition("[")[2].rstrip("]"), how, reason))

    # How a step goes

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> Generator[None, object, object]:
        """Run a step between its two records; whatever ends it is written down."""
        at = Now(self.run, pyfuncitem.name, host_of(pyfuncitem), step_of(pyfuncitem).destructive)
        self.run.step = pyfuncitem.name
        enter(at)
        try:
            self.run.journal.add(StepBegan(at.id, at.host))
            try:
                result = yield
            except NotToday:
                result = True
            self._ended(pyfuncitem.nodeid, "deferred" if at.deferred else "passed", at.deferred)
            return result
        except StepFailed as failed:
            said = f"{failed.failure}: expected {failed.expected}; found {failed.found}"
            with suppress(JournalError):  # the failure itself is told all the same
                self._ended(pyfuncitem.nodeid, "failed", said)
            raise
        except JournalError as error:
            raise unwritten(error, at) from None
        except Orphaned as error:
            self._cut_off(pyfuncitem.nodeid, str(error))
            raise
        except Exception as error:
            self._ended(pyfuncitem.nodeid, "failed", f"{type(error).__name__}: {error}")
            raise
        except BaseException as error:  # Ctrl-C, SIGTERM, pytest.exit: never a pass
            at_work = f" while at: {at.text}" if at.text else ""
            self._cut_off(pyfuncitem.nodeid, f"{interrupted_by(error)}{at_work}")
            raise
        finally:
            enter(None)
            self.run.step = ""

    def pytest_assertrepr_compare(self, op: str, left: object, right: object) -> list[str] | None:
        """What was found and should not be there, one a line and whole: it is what the reader has to go by."""
        found = left.last if isinstance(left, eventually) else left
        if op != "==" or not isinstance(found, (list, tuple)) or not isinstance(right, (list, tuple)) or right:
            return None
        return ["this, and nothing of it was expected:", *map(str, found)]

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """A failure in words for the reader; a traceback only for what is a bug of ours."""
        report = yield
        error = call.excinfo.value if call.excinfo else None
        if isinstance(error, StepFailed):
            report.longrepr = visible(error.told(changed_words(self.run.journal)))
        elif isinstance(error, (RemoteError, pytest.UsageError)):
            report.longrepr = visible(f"{error}\n  changed:  {changed_words(self.run.journal)}")
        return report

    def pytest_unconfigure(self) -> None:
        """Close what is open."""
        self.run.close()


def _function(item: pytest.Item) -> pytest.Function:
    if not isinstance(item, pytest.Function):
        raise pytest.UsageError(f"{item.nodeid} is no function: every test in runbook/ and checks/ is a step")
    return item


def host_of(item: pytest.Item) -> str:
    """The host of an item, from its name."""
    return item.name.partition("[")[2].rstrip("]")

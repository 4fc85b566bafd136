"""The pytest plugin. It is active only where all arguments lie in runbook/ or checks/."""

from __future__ import annotations

import os
import pickle
import signal
import sys
import tempfile
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

import pytest
from _pytest._io import TerminalWriter
from _pytest.config import create_terminal_writer

from requorum.audit import write_all
from requorum.diagnosis import Diagnosis
from requorum.inventory import Inventory
from requorum.journal import JournalError
from requorum.live import Cluster, EtcdMember
from requorum.locking import Locked
from requorum.records import Mode, Noted, Noted, Planned, PlannedStep, StepBegan, StepEnded, StepOutcome
from requorum.remote import RemoteError
from requorum.run import BASTION, Run, new_run
from requorum.stages import barriers, guards, options
from requorum.stages.active import RUN, run_of
from requorum.stages.confirmation import NotConfirmed, confirm
from requorum.stages.order import Place
from requorum.stages.outcome import REFUSED, changed_words, has_ended, outcome
from requorum.stages.step import ATTRIBUTE, NotToday, Now, Step, StepFailed, enter
from requorum.stages.terminal import Follower

if TYPE_CHECKING:
    from xdist.workermanage import WorkerController

NAME = "requorum-steps"
HANDED = "requorum_run"
NOWHERE = "nowhere"
"""The host of a step whose role nobody plays; such an item is left out of the run."""
LOCK_SECONDS = 180.0
"""How long workers of a killed run are waited for: the longest action's own deadline for a stop of etcd."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Requorum's options."""
    options.add_options(parser)


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Refuse what would begin before anything is configured."""
    options.refuse_watching(config)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Look at the command line; become active, or leave pytest as it is."""
    handed = getattr(config, "workerinput", {}).get(HANDED)
    if handed is not None:
        # Made by our own controller a moment ago, and handed over a pipe of ours.
        run = pickle.loads(handed)
        run.share_lock() if run.mode == "recovery" else None
        _activate(config, Steps(config, run))
        return
    where = options.place(config)
    if where == "elsewhere" or hasattr(config, "workerinput"):
        return
    mode = options.mode_of(config, where)
    _activate(config, Controller(config, mode, options.inventory_of(config)))


def _activate(config: pytest.Config, steps: Steps) -> None:
    options.refuse_without(config, (NAME, barriers.NAME))
    config.stash[RUN] = steps.run
    config.pluginmanager.register(steps, NAME)
    barriers.install(
        config, steps.place_of, block_on_failure=steps.mode not in ("preconditions", "checks"), on_not_run=steps.not_run
    )


@pytest.fixture
def target(request: pytest.FixtureRequest) -> str:
    """The name of the host that a step is for."""
    return str(request.param)


@pytest.fixture
def etcd(request: pytest.FixtureRequest, target: str) -> EtcdMember:
    """The etcd of the host that a step is for."""
    return EtcdMember(run_of(request.config), target)


@pytest.fixture
def cluster(request: pytest.FixtureRequest) -> Cluster:
    """Every host at once."""
    return Cluster(run_of(request.config))


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
        hosts = self.run.hosts(found.on) if self.run.proven.verdict in found.when else ()
        if not self.run.proven.acts and self.mode != "checks":
            hosts = hosts if found.on == BASTION else ()
        if "target" not in metafunc.fixturenames:
            metafunc.fixturenames.append("target")
        metafunc.parametrize("target", hosts or (NOWHERE,), indirect=True)

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Leave out what no host plays; make sure that `host` is ours."""
        left_out = [item for item in items if step_of(item) and item.name.endswith(f"[{NOWHERE}]")]
        self._collected = [_function(item) for item in items]
        if left_out:
            config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
        guards.require_own_host(map(_function, items), options.PROJECT / "conftest.py")

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Write the plan down before the first step, once it is known to be whole."""
        if self.mode == "recovery":
            nowhere = [item for item in self._collected if item.name.endswith(f"[{NOWHERE}]")]
            try:
                guards.require_whole(options.RUNBOOK, self._collected, [*session.items, *nowhere])
            except pytest.UsageError as error:
                self.run.journal.add(Noted("", BASTION, str(error)))  # what a worker raises is not printed
                raise
        if self._writes_plan:
            self.run.journal.add(Planned(tuple(self._planned(item) for item in session.items)))

    def _planned(self, item: pytest.Item) -> PlannedStep:
        found = step_of(item)
        stage = item.path.stem.removeprefix("test_").replace("_", " ")
        section = (_function(item).obj.__doc__ or "").strip()
        return PlannedStep(item.name, found.number, found.title, host_of(item), stage, section)

    def place_of(self, item: pytest.Item) -> Place:
        """Where an item stands in the order of the run."""
        found, host = step_of(item), host_of(item)
        order = (BASTION, *self.run.inventory.host_names)
        return Place(found.number, host, order.index(host), found.parallel)

    def not_run(self, nodeid: str, why: str) -> None:
        """Write down a step that the end of the run left out."""
        self._ended(nodeid, "blocked", f"not begun: {why}")

    def _ended(self, nodeid: str, how: StepOutcome, reason: str) -> None:
        step = nodeid.rpartition("::")[2]
        self.run.journal.add(StepEnded(step, step.partition("[")[2].rstrip("]"), how, reason))

    # How a step goes

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> Generator[None, object, object]:
        """Run a step between its two records; whatever ends it is written down."""
        at = Now(self.run, pyfuncitem.name, host_of(pyfuncitem))
        self.run.step = pyfuncitem.name
        self.run.journal.add(StepBegan(at.id, at.host))
        if step_of(pyfuncitem).destructive:
            self.run.journal.add(Noted(at.id, at.host, "the point of no return: the old cluster ends here"))
        enter(at)
        try:
            try:
                result = yield
            except NotToday:
                result = True
            self._ended(pyfuncitem.nodeid, "deferred" if at.deferred else "passed", at.deferred)
            return result
        except StepFailed as failed:
            said = f"{failed.failure}: expected {failed.expected}; found {failed.found}"
            self._ended(pyfuncitem.nodeid, "failed", said)
            raise
        except Exception as error:
            self._ended(pyfuncitem.nodeid, "failed", f"{type(error).__name__}: {error}")
            raise
        except BaseException as error:  # Ctrl-C, SIGTERM, pytest.exit: never a pass
            self._ended(pyfuncitem.nodeid, "interrupted", f"interrupted ({type(error).__name__}) in: {at.text}")
            raise
        finally:
            enter(None)
            self.run.step = ""

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """A failure in words for the reader; a traceback only for what is a bug of ours."""
        report = yield
        error = call.excinfo.value if call.excinfo else None
        if isinstance(error, StepFailed):
            report.longrepr = error.told(changed_words(self.run.journal))
        elif isinstance(error, (RemoteError, JournalError, pytest.UsageError)):
            report.longrepr = f"{error}\n  changed:  {changed_words(self.run.journal)}"
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


class Controller(Steps):
    """The process that leads: it surveys, asks the operator, and tells how it ended."""

    def __init__(self, config: pytest.Config, mode: Mode, inventory: Inventory) -> None:
        reports = self._reports(config)
        try:
            run = new_run(mode, inventory, reports, tuple(sys.argv))
        except OSError as error:
            raise pytest.UsageError(
                f"no folder for this run can be made in {reports} ({error.strerror or error}): free space there, or "
                "name another with --reports FOLDER; nothing was done"
            ) from None
        super().__init__(config, run)
        self._terminal = self._open_terminal()
        self._follower: Follower | None = None
        self._stopped = False

    @staticmethod
    def _reports(config: pytest.Config) -> Path:
        """An outline (--collect-only) is no run: what it writes goes away with it."""
        if not config.option.collectonly:
            return options.reports_of(config)
        folder = tempfile.TemporaryDirectory(prefix="requorum-")
        config.add_cleanup(folder.cleanup)
        return Path(folder.name)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """Survey, diagnose, ask; before any worker starts."""
        signal.signal(signal.SIGTERM, _interrupt)
        reporter = self._config.pluginmanager.getplugin("terminalreporter")
        reporter.showfspath = False
        reporter.reportchars = "w"
        reporter._show_progress_info = False
        run, acts = self.run, self.mode == "recovery" and not self._config.option.collectonly
        try:
            run.begin()
            if acts:
                run.take_lock(seconds=LOCK_SECONDS)
                _report_killed_runs(run.folder)
            run.look()
            run.tell()
            self._write("", "")
            self._write(f"cluster  {run.inventory.cluster}: {run.proven.verdict.value}", "bold")
            for line in run.proven.proof:
                self._write(f"         {line}", "")
            self._write("", "")
            if acts and run.proven.acts:
                confirm(run, self._config)
        except (Locked, RemoteError, NotConfirmed, JournalError) as error:
            self._refuse(str(error))
        self._follower = Follower(run.journal, self._write, plan=self.mode == "plan")
        self._follower.start()

    def _refuse(self, why: str) -> NoReturn:
        self._end(self.run.diagnosis, refused=why)
        self._write("", "")
        self._write(f"refused   {why}", "failed")
        self._write("changed   nothing was changed", "")
        self._write(f"report    {self._report}", "")
        pytest.exit("refused", returncode=REFUSED)

    def _open_terminal(self) -> TerminalWriter:
        """A writer to the real standard output: the follower prints while a step's own output is captured."""
        capture = self._config.pluginmanager.getplugin("capturemanager")
        with capture.global_and_fixture_disabled():
            stream = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8", errors="replace")
        return create_terminal_writer(self._config, stream)

    def _write(self, line: str, tone: str) -> None:
        colours = {"failed": "red", "interrupted": "red", "blocked": "yellow", "passed": "green", "bold": "bold"}
        self._terminal.line(line, **({colours[tone]: True} if tone in colours else {}))
        self._terminal.flush()

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: WorkerController) -> None:
        """Hand each worker the run: only the controller surveys."""
        node.workerinput[HANDED] = pickle.dumps(self.run)

    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str] | None:
        """Count, and print nothing: the follower does."""
        if report.when == "call" or report.failed or report.skipped:
            return report.outcome, "", ""
        return "", "", ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Write down what only the order of steps knows: blocked, and lost with its worker."""
        if report.skipped and isinstance(report.longrepr, tuple) and barriers.BLOCKED in report.longrepr[2]:
            self._ended(report.nodeid, "blocked", report.longrepr[2].removeprefix(barriers.BLOCKED))
        elif report.failed and barriers.INTERRUPTED in str(report.longrepr):
            if not has_ended(self.run.journal, report.nodeid):  # the step's own process may have written it down
                self._ended(report.nodeid, "interrupted", str(report.longrepr))

    def _ended(self, nodeid: str, how: StepOutcome, reason: str) -> None:
        """Steps that ran know of a full disk by themselves; the account of the others must not end in an error."""
        try:
            super()._ended(nodeid, how, reason)
        except JournalError as error:
            if self.run.step:
                raise
            self._write(f"not written down: {nodeid.rpartition('::')[2]} {how}: {error}", "failed")

    def pytest_keyboard_interrupt(self) -> None:
        """The run ends here, whatever its steps say."""
        self._stopped = True

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Look once more, write the last record and the reports, set the exit code."""
        if self._config.option.collectonly:
            return
        acted = self.mode == "recovery" and self.run.proven.acts
        final = self.run.proven
        if acted and not self._stopped:
            final = self._looked_again()
        ended = self._end(final, status=int(session.exitstatus))
        if session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.INTERRUPTED):
            session.exitstatus = ended

    def _looked_again(self) -> Diagnosis:
        try:
            return Cluster(self.run).diagnosed_again()
        except (RemoteError, JournalError) as error:
            self._write(f"the last look failed: {error}", "failed")
            return replace(self.run.proven, members=())

    def _end(self, final: Diagnosis | None, *, refused: str = "", status: int = 0) -> int:
        self._ended_record = outcome(self.run, final, stopped=self._stopped, refused=refused, status=status)
        try:
            self.run.journal.add(self._ended_record)
        except JournalError as error:
            self._write(str(error), "failed")
        if self._follower is not None and self._follower.started:
            self._follower.stop()
        try:
            self._report = str(write_all(self.run.folder))
        except OSError as error:
            self._report = f"not written: {error}; python -m requorum.audit {self.run.folder} makes it from the journal"
        return self._ended_record.exit

    def pytest_terminal_summary(self) -> None:
        """The answer, last."""
        if self._config.option.collectonly:
            return
        ended = self._ended_record
        self._write("", "")
        self._write(f"verdict   {ended.verdict}", "")
        if ended.survivor:
            self._write(f"survivor  {ended.survivor}", "")
        self._write(f"members   {len(ended.healthy)} of {len(self.run.inventory.host_names)} healthy", "")
        if ended.writable_at:
            self._write(f"writable  since {ended.writable_at[:19]}Z", "")
        self._write(f"result    {ended.answer}", "bold")
        if not self.run.proven.path:
            for line in self.run.proven.advice:
                self._write(f"next      {line}", "")
        self._write(f"report    {self._report}", "")


def _report_killed_runs(folder: Path) -> None:
    """A run that was killed could not make its report: it is made from its journal now, under the lock."""
    for journal in folder.parent.glob("*/journal.jsonl"):
        if journal.parent != folder and not (journal.parent / "report.html").exists():
            write_all(journal.parent)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt("SIGTERM")

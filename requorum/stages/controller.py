"""The process that leads a run: it surveys, asks the operator, and tells how it ended."""

from __future__ import annotations

import io
import os
import pickle
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest
from _pytest._io import TerminalWriter
from _pytest.config import create_terminal_writer

from requorum.diagnosis import Diagnosis
from requorum.display import visible
from requorum.inventory import Inventory
from requorum.journal import JournalError
from requorum.live import Cluster
from requorum.locking import Locked
from requorum.records import Mode, StepOutcome
from requorum.remote import RemoteError
from requorum.run import new_run
from requorum.stages import barriers, options, signals
from requorum.stages.confirmation import NotConfirmed, confirm, look_again
from requorum.stages.other_runs import refuse_beside_another
from requorum.stages.outcome import end_of, has_begun, outcome
from requorum.stages.steps import Steps
from requorum.stages.terminal import PATIENCE, Follower

if TYPE_CHECKING:
    from xdist.workermanage import WorkerController

HANDED = "requorum_run"
"""Under which name xdist hands a worker the run."""
LOCK_SECONDS = 180.0
"""How long workers of a killed run are waited for.

Longer than a start or a stop of etcd can take (90 s, and 60 s for the lock on the host); a worker that copies a backup
may take longer, and the refusal then names its run.
"""


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
        self._stopped = self._unwritten = False
        self._cut: list[pytest.TestReport] = []
        self._refused: pytest.Session | None = None

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
        signals.heed()
        reporter = self._config.pluginmanager.getplugin("terminalreporter")
        reporter.showfspath = False
        reporter.reportchars = "w"
        reporter._show_progress_info = False
        self._config._inicache["verbosity_test_cases"] = 0  # with -v pytest would name each step, right before we do
        run, acts = self.run, self.run.changes and not self._config.option.collectonly
        try:
            run.begin()
            if acts:
                run.take_lock(seconds=LOCK_SECONDS)
                self._report_killed_runs()
            breaking = self._config.option.break_lock or ""
            with self._patience():
                run.look(breaking)
            run.tell()
            self._write("", "")
            self._write(f"cluster  {run.inventory.cluster}: {run.proven.verdict.value}", "bold")
            for line in run.proven.proof:
                self._write(f"         {line}", "")
            if self.mode == "abort":
                self._tell_undoing()
            if not acts:
                for who, names in run.holders().items():
                    self._write(f"locked   {', '.join(names)}: {who}", "")
            elif run.acts or breaking or self.mode == "abort":  # another run that has just begun has left no mark yet
                refuse_beside_another(run, breaking)
                if breaking and not run.locked_by(breaking):
                    why = f"run {breaking} holds the lock of no host that was reached, nor does any other run"
                    self._write(f"locked   by nobody: {why}; --break-lock has nothing to break", "bold")
            if acts and run.acts:
                confirm(run, self._config, self._write)
                run.lock_hosts()
                look_again(run, breaking)
        except RemoteError as error:
            self._refuse(session, f"{error.host}: expected {error.expected}; found {error.found}", error.advice)
        except KeyboardInterrupt:
            self.interrupt()
            self._refuse(session, f"{signals.WORDS}, before anything was begun", "to go on, run the same command again")
        except (NotConfirmed, Locked) as error:
            self._refuse(session, str(error), error.advice)
        except JournalError as error:
            self._refuse(session, str(error))
        self._write("", "")
        if not self._config.option.collectonly:  # no step runs, and the journal goes away under a reader's hands
            workers = getattr(self._config.option, "dist", "no") != "no"
            self._follower = Follower(run.journal, self._write, self.mode, refusals=workers)
            self._follower.start()

    def _report_killed_runs(self) -> None:
        """A run that was killed could not make its reports: they are made from its journal now, under the lock.

        Those that still cannot be made are told, and hold nothing up.
        """
        own = self.run.folder
        for folder in sorted(journal.parent for journal in own.parent.glob("*/journal.jsonl")):
            if folder != own and not (folder / "allure-results").exists():  # the last of them
                try:
                    _report(folder)
                except OSError as error:
                    self._write(f"report    of run {folder.name}: {_unwritten(folder, error)}", "")

    @contextmanager
    def _patience(self) -> Iterator[None]:
        """A look that takes its time is said, once; no step has begun, and nothing else is printed meanwhile."""
        names = ", ".join(self.run.inventory.all_names)
        said = f"looking  at {names}; who is silent is waited for, and so are an election and another run"
        timer = threading.Timer(PATIENCE, self._write, (said, ""))
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()

    def _tell_undoing(self) -> None:
        undoing = self.run.undoing
        if not undoing.hosts:
            return self._write("abort    nothing to undo: no host bears the mark of a recovery", "bold")
        self._write(f"abort    recovery {undoing.recovery} by {undoing.operator}, survivor {undoing.survivor}", "bold")
        for line in undoing.problems or undoing.words:
            self._write(f"         {line}", "")
        return None

    def _advice(self) -> tuple[str, ...]:
        """What to do next, where the run could not do it."""
        if self.mode == "abort":
            return self.run.undoing.advice
        return () if self.run.proven.path else self.run.proven.advice

    def _refuse(self, session: pytest.Session, why: str, advice: str = "") -> NoReturn:
        self._end(self.run.diagnosis, refused=f"{why}. Next: {advice}" if advice else why)
        self._write("", "")
        self._write(f"{'stopped' if self._stopped else 'refused'}   {why}", "failed")
        if advice:
            self._write(f"next      {advice}", "")
        self._write("result    nothing was changed", "bold")
        self._write(f"report    {self._report}", "")
        self._refused = session
        raise session.Failed(why)  # unlike pytest.exit it ends the session without a word of pytest's own

    def pytest_unconfigure(self) -> None:
        """Close what is open; what `session.Failed` ended has the exit code 1 until here."""
        super().pytest_unconfigure()
        if self._refused is not None:
            self._refused.exitstatus = self._ended_record.exit

    def _open_terminal(self) -> TerminalWriter:
        """A writer to the real standard output: the follower prints while a step's own output is captured.

        In a file or a pipe pytest's own lines would stay in the buffer of its `sys.stdout`, and come after ours.
        """
        capture = self._config.pluginmanager.getplugin("capturemanager")
        with capture.global_and_fixture_disabled():
            if isinstance(sys.stdout, io.TextIOWrapper):
                sys.stdout.reconfigure(line_buffering=True)
            stream = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8", errors="replace")
        return create_terminal_writer(self._config, stream)

    def _write(self, line: str, tone: str) -> None:
        """One line, at once: the follower's thread writes too. What hosts said is in it."""
        colours = {"failed": "red", "interrupted": "red", "blocked": "yellow", "passed": "green", "bold": "bold"}
        marked = self._terminal.markup(visible(line), **({colours[tone]: True} if tone in colours else {}))
        self._terminal.write(f"{marked}\n", flush=True)

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
        elif report.failed and str(report.longrepr).startswith(barriers.INTERRUPTED):
            self._cut.append(report)  # its own process may be about to write its end down

    def _settle(self) -> None:
        """Tell of the steps that were cut off, now that no worker lives: what a step wrote down itself counts."""
        for report in self._cut:
            step, why = report.nodeid.rpartition("::")[2], str(report.longrepr)
            try:
                if not has_begun(self.run.journal, step):
                    why = (
                        f"its turn had come on {step.partition('[')[2].rstrip(']')}, and the run ended before it began"
                    )
                    self.not_run(report.nodeid, why)
                elif end_of(self.run.journal, step) is None:
                    self._cut_off(report.nodeid, why.removeprefix(barriers.INTERRUPTED))
                end = end_of(self.run.journal, step)
            except JournalError as error:
                self._write(f"not written down: {step} was cut off: {error}", "failed")
                continue
            told = end.reason if end and end.reason else "its own record says that it came to its end"
            report.longrepr = f"{why}\n  changed:  {told}\n  next:     run the same command again: it looks first"

    def _ended(self, nodeid: str, how: StepOutcome, reason: str) -> None:
        """Steps that ran know of a full disk by themselves; the account of the others must not end in an error."""
        try:
            super()._ended(nodeid, how, reason)
        except JournalError as error:
            if self.run.step:
                raise
            if not self._unwritten:
                self._write(
                    f"not written down: {nodeid.rpartition('::')[2]} {how}, and what follows: {error}", "failed"
                )
            self._unwritten = True

    def interrupt(self) -> None:
        """The run ends here, whatever its steps say; pressed again, Ctrl-C would cost the account of it."""
        signals.ignore()
        self._stopped = True

    @pytest.hookimpl(tryfirst=True)
    def pytest_keyboard_interrupt(self) -> None:
        """Ctrl-C that came before the steps, or after them."""
        self.interrupt()

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Look once more, write the last record and the reports, set the exit code."""
        if self._config.option.collectonly:
            return
        self._settle()
        final: Diagnosis | None = self.run.proven
        if self.run.changes and self.run.acts:
            final = None if self._stopped else self._looked_again()
        ended = self._end(final, status=int(session.exitstatus))
        if session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.INTERRUPTED):
            session.exitstatus = ended

    def _looked_again(self) -> Diagnosis | None:
        try:
            return Cluster(self.run).diagnosed_again()
        except (RemoteError, JournalError) as error:
            self._write(f"the last look failed: {error}", "failed")
            return None

    def _end(self, final: Diagnosis | None, *, refused: str = "", status: int = 0) -> int:
        self._ended_record = outcome(
            self.run, final, stopped=self._stopped or bool(self._cut), refused=refused, status=status
        )
        try:
            self.run.journal.add(self._ended_record)
        except JournalError as error:
            self._write(str(error), "failed")
        if self._follower is not None and self._follower.started:
            self._follower.stop()
        try:
            self._report = str(_report(self.run.folder))
        except OSError as error:
            self._report = _unwritten(self.run.folder, error)
        return self._ended_record.exit

    def pytest_terminal_summary(self) -> None:
        """The answer, last."""
        if self._config.option.collectonly:
            return
        ended = self._ended_record
        self._write("", "")
        acted = self.run.changes and self.run.acts
        self._write(f"verdict   {ended.verdict}{' (at the start)' if acted and ended.verdict else ''}", "")
        if ended.survivor and self.run.acts:
            self._write(f"survivor  {ended.survivor}", "")
        members = f"{len(ended.healthy)} of {len(ended.healthy) + len(ended.missing)} healthy"
        self._write(f"members   {members if ended.healthy or ended.missing else 'not looked at'}", "")
        if ended.writable_at:
            self._write(f"writable  since {ended.writable_at[:19]}Z", "")
        self._write(f"result    {ended.answer}", "bold")
        for line in self._advice():
            self._write(f"next      {line}", "")
        self._write(f"report    {self._report}", "")


def _report(folder: Path) -> Path:
    """The reports of a run, from its journal. Raises OSError."""
    from requorum.audit import write_all  # here, since a look or an outline has no use for it before its end, or at all

    return write_all(folder)


def _unwritten(folder: Path, error: OSError) -> str:
    return f"not written: {error}; python -m requorum.audit {folder} makes it from the journal"

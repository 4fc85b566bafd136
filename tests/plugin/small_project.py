"""A small project with the real plugin: three hosts that are never connected to, four steps, and changes in memory.

The survey and the verdict are given (VERDICT, environment); everything after them is Requorum's own. FAULTS
(environment, JSON) says what goes wrong: {"20 b": "precondition"}; of --abort {"undo": "nothing" or "problem"}; of the
survey {"look": "wait"}, until the test says ``go``.
"""

from __future__ import annotations

import json
import os
import pty
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

import command_line
from command_line import Answer, Started

from requorum.journal import Journal

CONFTEST = """
from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest
import testinfra.host

from requorum.diagnosis import Diagnosis, Verdict
from requorum.hand import Model
from requorum.live import Cluster
from requorum.remote import testinfra_host
from requorum.run import Run
from requorum.stages import options
from requorum.stages.active import run_of
from requorum.undoing import Undoing

HERE = Path(__file__).parent
options.PROJECT, options.RUNBOOK, options.CHECKS = HERE, HERE / "runbook", HERE / "checks"
pytest_plugins = ("requorum.stages.plugin",)


def look(run, breaking=""):
    verdict = Verdict(os.environ.get("VERDICT", "lost"))
    run.model = Model(dict.fromkeys("abc")) if run.mode == "plan" else None
    run.survey, run.recovery = {}, run.name
    run.diagnosis = Diagnosis(
        verdict, ("as the test says",), survivor="a", loss="none", members=("a",), others=("b", "c"),
        joiners=("b", "c"),
    )
    faults = json.loads(os.environ.get("FAULTS", "{}"))
    undo, end = faults.get("undo", ""), time.monotonic() + 20
    while faults.get("look") == "wait" and not (HERE / "go").exists() and time.monotonic() < end:
        time.sleep(0.01)
    if run.mode == "abort" and undo != "nothing":
        run.undoing = Undoing(
            "r1", "a", "ada@desk", ("a", "b"), ("a: etcd is started", "b: the fence is lifted"),
            ("the point of no return has passed",) if undo == "problem" else (), ("finish it",) if undo else (),
        )


Run.look = look
Cluster.diagnosed_again = lambda cluster: replace(
    cluster.diagnosis, verdict=Verdict.HEALTHY, members=("a", "b", "c")
)


@pytest.fixture
def host(request: pytest.FixtureRequest, target: str) -> testinfra.host.Host:
    return testinfra_host(run_of(request.config).remotes[target])
"""

STEPS = """
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

from requorum.changes import Change, ChangeFailed
from requorum.remote import ConnectionLost
from requorum.stages import ABORT, ALWAYS, LOST, action, postcondition, precondition, step

HERE = Path(__file__).parent.parent
FAULTS = json.loads(os.environ.get("FAULTS", "{}"))


@dataclass(frozen=True)
class Touch(Change):
    number: int
    fault: str

    def shown(self):
        return f"touch /{self.number}" + " " * (20000 if self.fault == "full" else 0)

    def test(self):
        raise NotImplementedError

    act = test

    def after(self, facts):
        return facts

    def do(self, shell):
        if self.fault == "failed":
            raise ChangeFailed("exit 1: touch: read-only file system")
        if self.fault == "unknown":
            raise ConnectionLost(self.host, expected="an answer", found="none", advice="look")
        if self.fault == "interrupt":
            raise KeyboardInterrupt
        (HERE / "made" / f"{self.number} {self.host}").touch()
        end = time.monotonic() + 20
        while self.fault == "wait" and not (HERE / "go").exists():
            if time.monotonic() > end:
                raise TimeoutError("waited 20 s for the test")
            time.sleep(0.01)
        return True


def fill_the_disk():
    with (Path(os.environ["DISK"]) / "filler").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(65536))
        except OSError:
            pass


def go_through(number, host):
    fault = FAULTS.get(f"{number} {host}", "")
    with precondition("the host is ready", after=10, otherwise="make it ready, and run again"):
        assert fault != "precondition", f"{host} is not ready"
        if fault == "cut before":
            raise KeyboardInterrupt
    if fault == "full":
        fill_the_disk()
    with action("touch it") as hand:
        hand.make([Touch(host, number, fault)])
    with postcondition("it is touched"):
        assert fault != "postcondition", "it is gone again"
        if fault == "cut after":
            raise KeyboardInterrupt


@step(10, "Look", on="bastion", when=ALWAYS)
def test_look(cluster):
    with precondition("a verdict that allows to go on", otherwise="bring up more hosts"):
        assert FAULTS.get("10 bastion") != "precondition", "too few hosts"


@step(20, "Touch the others", on="others", when=LOST, parallel=True)
def test_others(etcd):
    go_through(20, etcd.name)


@step(30, "Touch the survivor", on="survivor", when=LOST, destructive=True)
def test_survivor(etcd):
    go_through(30, etcd.name)


@step(40, "Touch one by one", on="joiners", when=LOST)
def test_joiners(etcd):
    go_through(40, etcd.name)


@step(90, "Look whether it can be undone", on="bastion", when=ABORT)
def test_can_be_undone(cluster):
    undoing = cluster.run.undoing
    with precondition("it can be undone", otherwise="; ".join(undoing.advice)):
        assert not undoing.problems, undoing.problems[0]


@step(91, "Undo the survivor", on="kept", when=ABORT)
def test_undo_survivor(etcd):
    go_through(91, etcd.name)


@step(92, "Undo the others", on="set aside", when=ABORT, parallel=True)
def test_undo_others(etcd):
    go_through(92, etcd.name)
"""

Kind = TypeVar("Kind")
ORDER = ["20 b", "20 c", "30 a", "40 b", "40 c"]


@dataclass
class Project:
    """The project in its folder, and where its reports go."""

    folder: Path
    reports: Path
    started: list[Started] = field(default_factory=list)

    def _words(self, *args: str) -> tuple[str, ...]:
        reports = () if "--reports" in args else ("--reports", str(self.reports))
        return ("runbook/", "--inventory=inventory.yaml", *reports, *args)

    def _variables(self, verdict: str, faults: Mapping[str, str]) -> dict[str, str]:
        """Its own folder is on the path for imports."""
        given = {key.removeprefix("at_").replace("_", " "): fault for key, fault in faults.items()}
        path = f"{command_line.ROOT}:{self.folder}"
        return {"FAULTS": json.dumps(given), "VERDICT": verdict, "DISK": str(self.reports), "PYTHONPATH": path}

    def start(self, *args: str, stdin: str = "/dev/null", verdict: str = "lost", **faults: str) -> Started:
        """Start `pytest runbook/ ARGS`; a fault's name is ``at_20_b``."""
        variables = self._variables(verdict, faults)
        self.started.append(command_line.start(*self._words(*args), folder=self.folder, stdin=stdin, **variables))
        return self.started[-1]

    @contextmanager
    def asked(self, *args: str) -> Iterator[tuple[Started, Callable[[bytes], int]]]:
        """Started on a terminal, where it asks for the cluster's name by now; the second of the pair types there."""
        controller, terminal = pty.openpty()
        try:
            started = self.start(*args, stdin=os.ttyname(terminal))
            started.until(lambda: "Type the cluster's name to go on (small):" in started.output, "the question")
            yield started, partial(os.write, controller)
        finally:
            os.close(controller)
            os.close(terminal)

    def on_a_terminal(self, *args: str, **faults: str) -> tuple[int, int]:
        """Start it on a terminal of its own; returns its process and the terminal's other end."""
        words = [sys.executable, "-m", "pytest", *self._words(*args)]
        variables = os.environ | self._variables("lost", faults)
        pid, terminal = pty.fork()
        if pid == 0:
            os.chdir(self.folder)
            signal.signal(signal.SIGHUP, signal.SIG_DFL)  # whatever the tests were started under
            os.execve(words[0], words, variables)
        return pid, terminal

    def real(self, *args: str, log: Path | None = None, **faults: str) -> Answer:
        """What it answers as a new Python, into a pipe or into the file `log`; the operator has agreed."""
        words = self._words("--confirm=small", *args)
        return command_line.real(*words, folder=self.folder, log=log, **self._variables("lost", faults))

    def run(self, *args: str, verdict: str = "lost", **faults: str) -> Answer:
        """What it answers; the operator has agreed."""
        return self.start("--confirm=small", *args, verdict=verdict, **faults).finish()

    def end(self) -> None:
        """End what still runs."""
        for started in self.started:
            if started.process.is_alive():
                started.process.kill()
                started.process.join()

    @property
    def made(self) -> list[str]:
        """The changes that were made, by step and host."""
        return sorted(path.name for path in (self.folder / "made").iterdir())

    def records(self, kind: type[Kind]) -> list[Kind]:
        """The journal's records of one kind, of the newest run; its chain of hashes is checked."""
        newest = max(self.reports.glob("small/*/journal.jsonl"), key=lambda path: path.stat().st_mtime_ns)
        return [entry.record for entry in Journal(newest).entries() if isinstance(entry.record, kind)]


def make(folder: Path, reports: Path) -> Project:
    """Write the project to `folder`."""
    for name in ("runbook", "made"):
        (folder / name).mkdir()
    (folder / "pytest.ini").write_text("[pytest]\naddopts = -p no:cacheprovider\n")
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "runbook" / "test_1_all.py").write_text(STEPS)
    (folder / "inventory.yaml").write_text(
        "cluster: small\netcd: {hosts: {a: {address: 127.0.0.1}, b: {address: 127.0.0.2}, c: {address: 127.0.0.3}}}\n"
    )
    return Project(folder, reports)

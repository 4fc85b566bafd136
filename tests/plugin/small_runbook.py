"""A small runbook in a folder of its own, run by a real pytest in processes of its own.

Its steps only leave stamps in a file. FAULTS (environment, JSON) says what an item does beside that: {"20 a": "fail"}.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

CONFTEST = """
from __future__ import annotations

import json
import os
import random
import sys
import time
import types
from pathlib import Path

import pytest
import requorum

# The barriers alone: the whole package takes longer to import than a run of this runbook takes.
stages = sys.modules["requorum.stages"] = types.ModuleType("requorum.stages")
stages.__path__ = [str(Path(requorum.__file__).parent / "stages")]

from requorum.stages import barriers
from requorum.stages.order import Place

HERE = Path(__file__).parent
HOSTS = ("b", "a", "c")  # the inventory's order
FAULTS = json.loads(os.environ.get("FAULTS", "{}"))
WORKER = os.environ.get("PYTEST_XDIST_WORKER", "")


def note(file, **fields):
    with (HERE / file).open("a") as out:
        out.write(json.dumps(fields) + "\\n")


def wait_for(*names):
    deadline = time.monotonic() + 20
    while not all((HERE / name).exists() for name in names):
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited 20 s for {names}")
        time.sleep(0.01)


def place_of(item):
    mark, host = item.get_closest_marker("place"), item.callspec.params["host"]
    parallel, blocks = mark.kwargs.get("parallel", False), mark.kwargs.get("blocks", True)
    return Place(mark.args[0], host, HOSTS.index(host), parallel, blocks)


def pytest_addoption(parser):
    parser.addoption("--preconditions", action="store_true")


def pytest_configure(config):
    config.addinivalue_line("markers", "place(number, parallel=False, blocks=True): where a step stands")
    barriers.install(
        config, place_of, block_on_failure=not config.option.preconditions,
        on_not_run=lambda nodeid, why: note("not_run", nodeid=nodeid, why=why),
    )


def pytest_collection_modifyitems(items):
    random.Random(os.getpid()).shuffle(items)
    if FAULTS.get("collection " + WORKER) == "fewer":
        del items[0]
    if FAULTS.get("collection " + WORKER) == "die":
        os._exit(9)


def pytest_runtest_logreport(report):
    if not WORKER:
        note("reports", nodeid=report.nodeid, when=report.when, outcome=report.outcome, text=str(report.longrepr))


def pytest_generate_tests(metafunc):
    metafunc.parametrize("host", sorted(HOSTS))


@pytest.fixture
def act(request, host):
    number = request.node.get_closest_marker("place").args[0]
    fault = FAULTS.get(f"{number} {host}", "")
    note("events", what="begin", number=number, host=host, pid=os.getpid())
    if fault == "meet":  # ends only if its siblings run at the same time
        (HERE / f"met-{number}-{host}").touch()
        wait_for(*(f"met-{number}-{other}" for other in HOSTS))
    elif fault == "wait":
        wait_for("go")
    elif fault == "die":
        os._exit(9)
    elif fault == "interrupt":
        raise KeyboardInterrupt
    yield fault
    note("events", what="end", number=number, host=host, pid=os.getpid())
"""

LATE = """
import pytest

@pytest.mark.place(30)
def test_three(host, act):
    assert act != "fail"

@pytest.mark.place(40, parallel=True)
def test_four(host, act):
    assert act != "fail"
"""

EARLY = """
import pytest

@pytest.mark.place(20, parallel=True)
def test_two(host, act):
    assert act != "fail"

@pytest.mark.place(10)
def test_one(host, act):
    if act == "skip":
        pytest.skip("holds already")
    assert act != "fail"
"""

ROOT = Path(__file__).resolve().parents[2]
WITHOUT = ("cacheprovider", "pytest11.testinfra", "allure_pytest")
"""Plugins that the small runbook does not need; testinfra's would give its own ids to what is named `host`."""


@dataclass(frozen=True)
class Event:
    what: str
    number: int
    host: str
    pid: int


@dataclass
class Rehearsal:
    """One run of the small runbook, and what it left."""

    folder: Path
    started: list[subprocess.Popen[str]] = field(default_factory=list)
    output: str = ""

    def start(self, *args: str, **faults: str) -> subprocess.Popen[str]:
        without = [word for name in WITHOUT for word in ("-p", f"no:{name}")]
        command = [sys.executable, "-m", "pytest", *without, *args]
        given = {key.replace("_", " "): fault for key, fault in faults.items()}
        environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
        environment |= {"PYTHONPATH": str(ROOT), "FAULTS": json.dumps(given), "COLUMNS": "200"}
        environment["TMPDIR"] = str(self.folder)  # what a killed controller leaves behind goes with the folder
        process = subprocess.Popen(
            command, cwd=self.folder, env=environment, text=True, start_new_session=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self.started.append(process)
        return process

    def finish(self, process: subprocess.Popen[str]) -> int:
        self.output, _ = process.communicate(timeout=40)
        return process.returncode

    def run(self, *args: str, **faults: str) -> int:
        return self.finish(self.start(*args, **faults))

    def _lines(self, name: str) -> list[dict[str, object]]:
        path = self.folder / name
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    @property
    def events(self) -> list[Event]:
        return [Event(**line) for line in self._lines("events")]  # type: ignore[arg-type]

    def stamps(self, what: str) -> list[str]:
        return [f"{event.number} {event.host}" for event in self.events if event.what == what]

    @property
    def not_run(self) -> dict[str, str]:
        return {str(line["nodeid"]): str(line["why"]) for line in self._lines("not_run")}

    def reports(self, outcome: str) -> dict[str, str]:
        """Name and text of each report with this outcome; teardowns that passed are left out."""
        return {
            str(line["nodeid"]).rpartition("::")[2]: str(line["text"])
            for line in self._lines("reports")
            if line["outcome"] == outcome and not (outcome == "passed" and line["when"] != "call")
        }

    def until(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + 20
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError(f"waited 20 s for {what}; seen: {self.events}")
            time.sleep(0.01)

    def kill_what_is_left(self) -> None:
        for process in self.started:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def make(folder: Path) -> Rehearsal:
    """The small runbook, written to `folder`. Its files stand in another order than its steps."""
    for name, text in {
        "pytest.ini": "[pytest]\n",
        "conftest.py": CONFTEST,
        "test_a.py": LATE,
        "test_z.py": EARLY,
    }.items():
        (folder / name).write_text(text)
    return Rehearsal(folder)

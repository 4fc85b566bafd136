"""Pytest as an operator starts it: a process of its own, with its own arguments, folder, environment and terminal.

Most are forked from a server that has imported the library, and no plugin (a second each otherwise); `real` starts a
new Python.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RUNBOOK, CHECKS = str(ROOT / "runbook"), str(ROOT / "checks")
SECONDS = 40
"""How long one command line may take on a machine that does other things too."""
TRACES = ("Traceback", "INTERNALERROR", ' File "', "Error:")
"""What a reader at 3 a.m. must never see. `ERROR:` of pytest is in capitals."""

_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(["pytest", "requorum.stages", "requorum.live", "requorum.audit"])
_QUIET = ("-W", "ignore:Module already imported:pytest.PytestAssertRewriteWarning")
"""The server's imports are no news."""


@dataclass(frozen=True)
class Answer:
    """Exit code and everything that was printed, in the order in which it came."""

    exit: int
    output: str

    def assert_told(self, exit: int, *parts: str) -> None:
        """It ended with `exit`, and said each of `parts`, on one line each, without a traceback."""
        assert self.exit == exit, self.output
        for part in parts:
            assert part in self.output, f"{part!r} is not in\n{self.output}"
        for trace in TRACES:
            assert trace not in self.output, self.output


def environment(**more: str) -> dict[str, str]:
    """The environment without what the pytest that runs us put there, without colour."""
    ours = ("PYTEST_", "PY_COLORS", "COLUMNS", "PYTHONUNBUFFERED")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
    return kept | {"NO_COLOR": "1", "PYTHONPATH": str(ROOT)} | more


def _child(args: tuple[str, ...], folder: str, variables: Mapping[str, str], stdin: str, output: str) -> None:
    """Become that pytest. Runs in the forked process."""
    os.setsid()
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # whatever the tests were started under
    out = os.open(output, os.O_WRONLY | os.O_APPEND)
    os.dup2(os.open(stdin, os.O_RDWR), 0)
    os.dup2(out, 1)
    os.dup2(out, 2)
    sys.stdin = os.fdopen(0, "r")
    sys.stdout = os.fdopen(1, "w", buffering=1)
    sys.stderr = os.fdopen(2, "w", buffering=1)
    os.environ.clear()
    os.environ.update(variables)
    os.chdir(folder)
    sys.argv = ["pytest", *args]
    # What pytest put there for the tests themselves is not for this one; an environment may lie in the checkout.
    own, tests = variables["PYTHONPATH"].split(":"), str(ROOT / "tests")
    sys.path[:] = [*own, *(path for path in sys.path if path not in own and not path.startswith(tests))]
    import pytest

    code = int(pytest.main([*_QUIET, *args]))
    sys.stdout.flush()
    sys.exit(code)


@dataclass(frozen=True)
class Started:
    """A pytest that runs; what it prints grows in a file."""

    process: BaseProcess
    file: Path

    @property
    def output(self) -> str:
        return self.file.read_text(encoding="utf-8", errors="replace")

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for a condition while it runs."""
        deadline = time.monotonic() + 20
        while not condition():
            if time.monotonic() > deadline or self.process.exitcode is not None:
                raise TimeoutError(f"{what} did not come:\n{self.output}")
            time.sleep(0.01)

    def finish(self) -> Answer:
        self.process.join(SECONDS)
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join()
            raise TimeoutError(f"it did not end within {SECONDS} s:\n{self.output}")
        answer = Answer(self.process.exitcode, self.output)
        self.file.unlink()
        return answer


def start(*args: str, folder: Path = ROOT, stdin: str = os.devnull, **variables: str) -> Started:
    """Start `pytest ARGS` in `folder`; `stdin` may be a terminal to ask on."""
    handle, name = tempfile.mkstemp(prefix="requorum-output-")
    os.close(handle)
    process = _SERVER.Process(target=_child, args=(args, str(folder), environment(**variables), stdin, name))
    process.start()
    return Started(process, Path(name))


def run(*args: str, folder: Path = ROOT, **variables: str) -> Answer:
    """What `pytest ARGS` answers."""
    return start(*args, folder=folder, **variables).finish()


def real(
    *args: str, python: tuple[str, ...] = (), folder: Path = ROOT, log: Path | None = None, **variables: str
) -> Answer:
    """The same by a new Python: for what is decided before pytest begins. Its output goes to a pipe, or to a file."""
    with log.open("w") if log else contextlib.nullcontext(subprocess.PIPE) as output:
        done = subprocess.run(
            [sys.executable, *python, "-m", "pytest", *args], cwd=folder, env=environment(**variables), text=True,
            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, timeout=SECONDS,
        )  # fmt: skip
    return Answer(done.returncode, log.read_text() if log else done.stdout)

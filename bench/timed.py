"""Run a command to its end and say how long it took."""

from __future__ import annotations

import os
import resource
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.errors import LabError

PROJECT = Path(__file__).resolve().parents[1]
PATIENCE = 300.0
"""Seconds for one command; a recovery of a lab takes less than thirty."""


@dataclass(frozen=True, slots=True)
class Timed:
    """A command that ended as it should: what it took in seconds, of these on this processor, and what it printed."""

    seconds: float
    cpu: float
    output: str


def timed(command: Sequence[str], *, exits: int = 0, folder: Path = PROJECT) -> Timed:
    """Run `command` in `folder`.

    Raises LabError where it does not exit with `exits`, with the end of what it said, or where it takes too long.
    """
    # As an operator's shell has it: nothing of a pytest that may have started us, and Python keeps its bytecode.
    others = ("PYTEST_", "REQUORUM_RUN", "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(others)}
    began, used = time.monotonic(), _cpu_of_children()
    try:
        done = subprocess.run(
            list(command),
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise LabError(f"no end after {PATIENCE:g} s: {' '.join(command)}") from error
    seconds = time.monotonic() - began
    if done.returncode != exits:
        said = "\n".join((done.stdout + done.stderr).splitlines()[-40:])
        raise LabError(f"exit code {done.returncode}, {exits} was expected: {' '.join(command)}\n{said}")
    return Timed(seconds, _cpu_of_children() - used, done.stdout)


def _cpu_of_children() -> float:
    """Seconds that all ended children of this process have computed."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime

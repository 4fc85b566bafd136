"""What the rounds of the kill matrix came to: one line each in a file, at once, and the table that is made of it.

REQUORUM_MATRIX names the file. A round that is in it, passed, with the code as it is now, is not made again: so a run
that was cut off goes on, and several processes, each with a lab of its own, can share the work.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import statistics
import subprocess
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from runbook_runs import PROJECT, SEED
from sabotage import FAULTS, FULL, KILLS, Point
from sabotage import recorded as points

from lab import Lab
from lab.state import write_atomically

FILE = os.environ.get("REQUORUM_MATRIX", "")
TABLE = PROJECT / "docs/kill-matrix.md"
COLUMNS = ("read", *KILLS, *FAULTS, *FULL)
_CODE = ("requorum/**/*.py", "runbook/*.py", "conftest.py", "lab/*.py", "tests/rehearsal/*sabot*.py")
Result = dict[str, Any]


@cache
def code() -> str:
    """A digest of what a round depends on: a change of it makes every result old."""
    digest = hashlib.sha256()
    for path in sorted(one for pattern in _CODE for one in PROJECT.glob(pattern)):
        digest.update(f"{path.relative_to(PROJECT)}\n".encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def results() -> dict[str, Result]:
    """The last result of each round with the code as it is now. A torn last line is passed over."""
    found: dict[str, Result] = {}
    if FILE and Path(FILE).exists():
        for line in Path(FILE).read_text(encoding="utf-8").splitlines(keepends=True):
            result = json.loads(line) if line.endswith("\n") else {}
            if result.get("code") == code():
                found[result["round"]] = result
    return found


def name_of(point: Point, how: str) -> str:
    """The name of a round."""
    return f"{how}: {point}".replace(".example.com", "")


@contextmanager
def recorded(lab: Lab, point: Point, how: str) -> Iterator[list[str]]:
    """Write down what becomes of a round, and when its fault came, as it is put into the list; nothing of one interrupted."""
    began, came = time.monotonic(), list[str]()
    try:
        yield came
    except Exception as error:
        _record(lab, point, how, time.monotonic() - began, str(error) or repr(error), "".join(came))
        raise
    _record(lab, point, how, time.monotonic() - began, "", "".join(came))


def _record(lab: Lab, point: Point, how: str, seconds: float, said: str, came: str) -> None:
    if not FILE:
        return
    step, column = point.step.partition("[")[0], "read" if point.kind == "read" else how
    why = said.partition("\n")[0]
    result = {"round": name_of(point, how), "step": step, "how": column, "why": why, "seconds": round(seconds, 1)}
    result["came"] = came
    at = datetime.now(timezone.utc).isoformat(timespec="seconds")
    line = json.dumps(
        {**result, "at": at, "code": code(), "commit": commit(), "versions": _versions(lab), "said": said}
    )
    Path(FILE).parent.mkdir(parents=True, exist_ok=True)
    with open(FILE, "ab") as stream:
        stream.write(f"{line}\n".encode())  # at once: several processes append
        stream.flush()
        os.fsync(stream.fileno())


@cache
def commit() -> str:
    """The commit that is checked out; `none` where there is no git."""
    try:
        said = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=PROJECT, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "none"
    return said.stdout.decode().strip()


_said: str = ""


def _versions(lab: Lab) -> str:
    global _said
    if not _said:
        etcd = lab.run("etcd-0", "etcd --version | head -n 1").stdout.rpartition(" ")[2].strip()
        systemd = lab.run("etcd-0", "systemctl --version | head -n 1").stdout.split()[1]
        python = platform.python_version()
        _said = f"etcd {etcd}, systemd {systemd}, Python {python}, pytest {pytest.__version__}"
    return _said


def write_table(planned: Iterable[tuple[Point, str]]) -> None:
    """Write docs/kill-matrix.md from the results so far."""
    names, found = [name_of(point, how) for point, how in planned], results()
    done = [found[name] for name in names if name in found]
    if not FILE or not done:
        return
    failed = [one for one in done if one["why"]]
    times = [one["seconds"] for one in done]
    lines = [
        "# The kill matrix",
        "",
        "Written by `tox -e matrix`; what the columns mean is below. A cell is *passed/made*.",
        "",
        f"**{len(done) - len(failed)} of {len(names)} rounds passed**, {len(failed)} failed, "
        f"{len(names) - len(done)} not made. {min(one['at'] for one in done)} to {max(one['at'] for one in done)}; "
        f"{sum(times) / 60:.0f} minutes of one lab, a round {statistics.median(times):.0f} s (median).",
        "",
        f"{'; '.join(sorted({one['versions'] for one in done}))}. Commit "
        f"{', '.join(sorted({one['commit'] for one in done}))}, code {code()}, seed {SEED}.",
        "",
        f"| step | {' | '.join(COLUMNS)} | seconds |",
        f"|---|{'---|' * len(COLUMNS)}---|",
        *_rows(done),
        "",
        *_came(done),
        *(f"- failed: `{one['round']}`: {one['why']}" for one in failed),
        *([""] if failed else []),
        *_MEANING,
    ]
    write_atomically(TABLE, "\n".join(lines) + "\n")


_MEANING = """\
A round: two of three hosts lose power and their data, and boot; the survivor loses power too. The runbook is sabotaged at
one command, which it must reach, and typed again. It passes where the end is that of an undisturbed run: the host that has
the data survives, every member is healthy with the same data, every acknowledged write is there, and nothing of Requorum
is left on a host.

- **read**: `kill -9` of the run before the first read of the step on a host. All other columns are at a change.
- **before**, **after**: `kill -9` when the intent is on disk and nothing is sent; when the change is made, and that is
  not yet written down.
- **elsewhere**: as *after*, and it is typed again on another operator's machine, without the journal.
- **cut**, **reboot**, **etcd-killed**: as soon as the script of the change runs on its host, the connection is cut and
  the answer is not read; the host loses power and boots; every etcd on it is killed (`kill -9`), where there is one. A
  change may be over sooner than the fault can come: when it came is counted above.
- **disk-full**: not a block is left on the host's disk, from right before the change until the run has ended; then there
  is room again. Whatever stopped the run must have said which disk is full, what was changed, and what to do.
- **reports-full**: the same on the disk that the run's own folder is on; at the first change of each step on a host, and
  at whatever is fetched.

Here one host has data, so no other can survive. Twelve rounds where two have, and the one that lags behind runs:
`tests/rehearsal/test_kill_matrix_of_five.py`.""".splitlines()


def _rows(done: list[Result]) -> Iterator[str]:
    steps: dict[str, list[Result]] = {point.step.partition("[")[0]: [] for point in points()}
    for one in done:
        steps[one["step"]].append(one)
    steps["**all**"] = done
    for step, made in ((step, made) for step, made in steps.items() if made):
        cells = [_cell([one for one in made if one["how"] == column]) for column in COLUMNS]
        seconds = f"{statistics.median(one['seconds'] for one in made):.0f}"
        yield f"| {' | '.join([step.removeprefix('test_').replace('_', ' '), *cells, seconds])} |"


def _came(done: list[Result]) -> Iterator[str]:
    """When the faults came, and what they found."""
    for how in FAULTS:
        counted = Counter(one["came"] for one in done if one["how"] == how and one["came"])
        if counted:
            yield f"- {how}: {', '.join(f'{count} {came}' for came, count in counted.most_common())}."
    yield ""


def _cell(made: list[Result]) -> str:
    return f"{sum(not one['why'] for one in made)}/{len(made)}" if made else ""

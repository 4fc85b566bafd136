"""A pytest plugin (`-p saboteur`) that ends its own run, or cuts a connection, at one exact point; or lists all points.

A point is one command on a host, as (step, its host, what for, ordinal): the changes of a step, and its reads, are
counted apart. It sits in the run's own process, between Requorum and the connection, so a point is hit exactly: a
change's intent is on disk and the change not yet sent, or the change is made and its outcome not yet written down.

REQUORUM_SABOTAGE is JSON: {"record": FILE} or {"point": "…", "how": "before" | "after" | "cut" | "meet", "meet": FOLDER}.
`meet` touches FOLDER/reached and goes on once there is FOLDER/go: meanwhile the test does something to the host.
"""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from requorum.changes import Change
from requorum.hand import Hand
from requorum.remote.remote import Remote

MEET_SECONDS = 120.0
CUT_SECONDS = 0.015
"""A change takes longer: bash alone does."""

_lock = threading.Lock()
_seen: Counter[str] = Counter()
_step = "survey"
_changing = threading.local()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    global _step
    _step = item.name
    try:
        return (yield)
    finally:
        _step = "end"


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    wanted = json.loads(os.environ["REQUORUM_SABOTAGE"])
    make, attempt = Hand._make, Remote._attempt

    def marked(self: Hand, change: Change) -> None:
        with _marked():
            make(self, change)

    def sabotaged(self: Remote, call: Any, *sinks: Any) -> Any:
        return _sabotaged(wanted, self, lambda: attempt(self, call, *sinks))

    Hand._make = marked
    Remote._attempt = sabotaged


@contextmanager
def _marked() -> Iterator[None]:
    _changing.now = True
    try:
        yield
    finally:
        _changing.now = False


def _sabotaged(wanted: dict[str, str], remote: Remote, go_on: Callable[[], Any]) -> Any:
    kind = "change" if getattr(_changing, "now", False) else "read"
    with _lock:
        _seen[f"{_step} {kind}"] += 1
        point = f"{_step} {kind} {_seen[f'{_step} {kind}']}"
    if "record" in wanted:
        with open(wanted["record"], "a", encoding="utf-8") as stream:
            stream.write(f"{point} {remote.name}\n")
    if point != wanted.get("point"):
        return go_on()
    how = wanted["how"]
    if how == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    elif how == "cut":
        threading.Timer(CUT_SECONDS, remote.close).start()
    elif how == "meet":
        _meet(Path(wanted["meet"]))
    answer = go_on()
    if how == "after":
        os.kill(os.getpid(), signal.SIGKILL)
    return answer


def _meet(folder: Path) -> None:
    (folder / "reached").touch()
    end = time.monotonic() + MEET_SECONDS
    while not (folder / "go").exists():
        if time.monotonic() > end:
            raise TimeoutError(f"nobody came to {folder}")
        time.sleep(0.005)

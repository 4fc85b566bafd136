"""A pytest plugin (`-p saboteur`) that ends its own run, or cuts a connection, at one exact point; or lists all points.

A point is one command on a host, as (step, its host, what for, ordinal): the changes of a step, and its reads, are
counted apart. It sits in the run's own process, between Requorum and the connection, so a point is hit exactly: a
change's intent is on disk and the change not yet sent, or the change is made and its outcome not yet written down.

REQUORUM_SABOTAGE is JSON: {"record": FILE} or {"point": "…", "how": "before" | "after" | "cut" | "meet", "meet": FOLDER}.
`cut` cuts the connection once the host has said that the script of the command runs, and before its answer is read.
`meet` goes on once there is FOLDER/go: meanwhile the test does something to the host, or waits there for the script.
What came of it lies in FOLDER: `reached`, the point; `begun`, the script runs on the host; `ended`, its answer is here;
`cut`, whether the exit code had come when the connection was cut.
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
from requorum.remote import remote as sending
from requorum.remote.remote import Remote
from requorum.remote.session import Marked, SessionLostError

MEET_SECONDS = 120.0
RUNNING, MADE = "while the change ran", "right after the change, its answer unread"
"""When a connection was cut."""

_lock = threading.Lock()
_seen: Counter[str] = Counter()
_step = "survey"
_changing = threading.local()
_watched = threading.local()


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
    make, attempt, execute = Hand._make, Remote._attempt, sending.execute

    def marked(self: Hand, change: Change) -> None:
        with _marked():
            make(self, change)

    def sabotaged(self: Remote, call: Any, *sinks: Any) -> Any:
        return _sabotaged(wanted, self, lambda: attempt(self, call, *sinks))

    def executed(channel: Any, *words: Any, stdout: Marked, **more: Any) -> int:
        watch = getattr(_watched, "watch", None)
        sink = stdout if watch is None else _Watched(stdout, lambda: watch(channel))
        return execute(channel, *words, stdout=sink, **more)

    Hand._make = marked
    Remote._attempt = sabotaged
    sending.execute = executed


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
    return _at_the_point(wanted["how"], Path(wanted["meet"]) if "meet" in wanted else None, go_on)


def _at_the_point(how: str, folder: Path | None, go_on: Callable[[], Any]) -> Any:
    _note(folder, "reached")
    if how == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    elif how == "meet":
        assert folder is not None
        _meet(folder)
    with _watching(_cut(folder) if how == "cut" else lambda channel: _note(folder, "begun")):
        try:
            answer = go_on()
        finally:
            _note(folder, "ended")
    if how == "after":
        os.kill(os.getpid(), signal.SIGKILL)
    return answer


def _note(folder: Path | None, name: str, text: str = "") -> None:
    if folder is not None:
        (folder / name).write_text(text, encoding="utf-8")


@contextmanager
def _watching(watch: Callable[[Any], None]) -> Iterator[None]:
    """The commands of this thread are watched."""
    _watched.watch = watch
    try:
        yield
    finally:
        _watched.watch = None


class _Watched:
    """Where a command's output goes; `begun` is called once, when the mark that its script runs has come."""

    def __init__(self, sink: Marked, begun: Callable[[], None]) -> None:
        self._sink, self._begun, self._told = sink, begun, False

    def write(self, data: bytes) -> None:
        self._sink.write(data)
        if self._sink.began and not self._told:
            self._told = True
            self._begun()


def _cut(folder: Path | None) -> Callable[[Any], None]:
    def cut(channel: Any) -> None:
        channel.get_transport().close()  # from here on nothing of the host's comes in
        made = channel.exit_status >= 0
        _note(folder, "cut", MADE if made else RUNNING)
        if made:  # it must not be read: an answer that came before the cut would make this an undisturbed run
            raise SessionLostError("the connection was cut before the answer was read")

    return cut


def _meet(folder: Path) -> None:
    end = time.monotonic() + MEET_SECONDS
    while not (folder / "go").exists():
        if time.monotonic() > end:
            raise TimeoutError(f"nobody came to {folder}")
        time.sleep(0.005)

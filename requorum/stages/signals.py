"""The signals that end a run in order: Ctrl-C, SIGTERM, and the hang-up of a terminal, as where an SSH session drops."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from types import FrameType
from typing import NoReturn

WORDS = "Ctrl-C, SIGTERM or a hang-up"
"""What may have ended a run, for a reader."""

_FOLDER = "/proc/self/fd"


def heed() -> None:
    """Have SIGTERM and SIGHUP end this process as Ctrl-C does; who was started under nohup keeps that."""
    signal.signal(signal.SIGTERM, _end)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, _end)


def ignore() -> None:
    """From here on none of them counts."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def leave_hang_up_to_controller() -> None:
    """In a worker: the step that it is in comes to its end, and its controller ends the run."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def _end(number: int, frame: FrameType | None) -> NoReturn:
    if number == signal.SIGHUP:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a shell that ends sends it once more
        _leave_terminals()
    raise KeyboardInterrupt(signal.Signals(number).name)


def _leave_terminals() -> None:
    """Whatever was written to a terminal goes nowhere: it is gone, and the account of the run would end in its errors.

    Each descriptor, since pytest keeps one of its own for the time when it captures no more.
    """
    nowhere = os.open(os.devnull, os.O_RDWR)
    for name in os.listdir(_FOLDER):
        with suppress(OSError):  # one was the listing's own
            if os.readlink(f"{_FOLDER}/{name}").startswith(("/dev/pts/", "/dev/tty")):
                os.dup2(nowhere, int(name))

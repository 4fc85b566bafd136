"""The signals that end a run in order: Ctrl-C, SIGTERM, and the hang-up of a terminal, as where an SSH session drops."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from types import FrameType
from typing import NoReturn

WORDS = "Ctrl-C, SIGTERM or a hang-up"
"""What may have ended a run, for a reader."""


def heed(terminals: Iterable[int]) -> None:
    """Have SIGTERM and SIGHUP end this process as Ctrl-C does; who was started under nohup keeps that.

    `terminals`: the file descriptors that are written to. After a hang-up those that were a terminal lead nowhere, or the
    account of the run would end in their errors.
    """
    shown = [number for number in terminals if os.isatty(number)]

    def end(number: int, frame: FrameType | None) -> NoReturn:
        if number == signal.SIGHUP:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            for terminal in shown:
                os.dup2(nowhere, terminal)
        raise KeyboardInterrupt(signal.Signals(number).name)

    signal.signal(signal.SIGTERM, end)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, end)


def ignore() -> None:
    """From here on none of them counts."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def leave_hang_up_to_controller() -> None:
    """In a worker: the step that it is in comes to its end, and its controller ends the run."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)

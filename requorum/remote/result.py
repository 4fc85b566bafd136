"""What a command on a host gave back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


def as_text(data: bytes) -> str:
    r"""UTF-8 text; bytes that are none are shown as ``\xff``, so that nothing is lost or guessed."""
    return data.decode("utf-8", errors="backslashreplace")


@dataclass(frozen=True, slots=True)
class Result:
    """One finished command. `command` is the script as given; `truncated` says that an output was cut at its cap."""

    command: str
    exit: int
    stdout: str
    stderr: str
    milliseconds: int
    truncated: bool = False
    stdout_bytes: bytes = b""
    stderr_bytes: bytes = b""


@dataclass(frozen=True, slots=True)
class Output:
    """One command of a batch. `exit` is 124 where its time was up; then its output is what came until then."""

    exit: int
    stdout: str
    stderr: str
    truncated: bool = False
    stdout_bytes: bytes = b""


@dataclass(frozen=True, slots=True)
class CommandEnded:
    """What is told about every command, for the journal: secrets redacted, outputs capped.

    `exit` is None where the answer did not arrive or the command did not begin; `stderr` then says why.
    """

    host: str
    command: str
    exit: int | None
    milliseconds: int
    stdout: str
    stderr: str
    change: bool


OnCommand = Callable[[CommandEnded], None]

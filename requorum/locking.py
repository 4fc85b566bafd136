"""One run at a time: every process of a run shares a lock, and a new run needs it alone.

So a run whose controller was killed still holds it through its workers, until they have ended their action.
"""

from __future__ import annotations

import fcntl
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO


class Locked(Exception):
    """Another run is under way; `advice` says what to do."""

    def __init__(self, why: str, advice: str) -> None:
        super().__init__(why)
        self.advice = advice


@dataclass(frozen=True)
class Lock:
    """The lock of one cluster's runs on this machine; the file names the owner."""

    path: Path

    def take(self, owner: str, *, seconds: float) -> IO[str]:
        """Become the one run; the lock lives as long as the returned file, and workers may then share it.

        A living owner is refused at once. Where only its workers are left, they are waited for, at most `seconds`.
        Raises Locked, also where the file cannot be written.
        """
        try:
            return self._taken(owner, seconds)
        except OSError as error:
            raise Locked(
                f"the lock {self.path} cannot be written: {error.strerror or error}",
                "make room on the disk (df, df -i), or see to it that the file may be written by you",
            ) from None

    def _taken(self, owner: str, seconds: float) -> IO[str]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        file = self.path.open("a+", encoding="utf-8")
        end = time.monotonic() + seconds
        while not _tried(file, fcntl.LOCK_EX):
            file.seek(0)
            said = file.read().strip()
            pid, _, rest = said.partition(" ")
            started, _, who = rest.partition(" ")
            if pid.isdigit() and _start_of(int(pid)) == started:
                raise Locked(
                    f"another run is under way: {who}, process {pid} on this machine",
                    f"wait until it has ended, or stop it with Ctrl-C; kill {pid} where nobody sees its terminal",
                )
            if time.monotonic() > end:
                raise Locked(
                    f"workers of a killed run ({who}) did not end within {seconds:.0f} s",
                    f"look for them with `lslocks -u | grep {self.path}`; they end with the change that they are at",
                )
            time.sleep(0.1)
        file.truncate(0)
        file.write(f"{os.getpid()} {_start_of(os.getpid())} {owner}\n")
        file.flush()
        if not _tried(file, fcntl.LOCK_SH):
            raise Locked("another run began at the same moment", "try again")
        return file

    def share(self) -> IO[str]:
        """Hold the lock beside the run's controller. Raises Locked where a new run has taken it."""
        file = self.path.open("a+", encoding="utf-8")
        if not _tried(file, fcntl.LOCK_SH):
            raise Locked("this run has ended, and another has begun", "leave it to that one")
        return file


def _tried(file: IO[str], kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _start_of(pid: int) -> str:
    """When a living process started, in ticks since boot; empty where it is gone, or a zombie."""
    try:
        words = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if words[0] == "Z" else words[19]

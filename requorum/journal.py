"""The journal of one run: JSON lines, append-only, on disk before a change and after it, chained by their hashes.

It is the truth about the run; every report is made from it. Several processes (pytest-xdist's workers) append to one
journal, each under an exclusive lock of the file.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from requorum.records import ChangeEnded, ChangeIntended, Confirmed, Ended, Record, StepEnded, as_json, from_json

LASTING = (Confirmed, ChangeIntended, ChangeEnded, StepEnded, Ended)
"""Records that outlive a power loss from the moment they are added, with all before them; the others soon after."""
START = "0" * 64
"""The hash before the first record."""


class JournalError(Exception):
    """The journal cannot be written or read; without a record there is no change."""


@dataclass(frozen=True)
class Entry:
    """One line of a journal: its place in the chain, the UTC time, the writing process and the record."""

    number: int
    at: str
    pid: int
    record: Record
    hash: str


def utc_now() -> str:
    """The time now, UTC, ISO 8601 with microseconds and a final Z."""
    return datetime.now(timezone.utc).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _digest(previous: str, body: str) -> str:
    return hashlib.sha256(f"{previous}\n{body}".encode()).hexdigest()


def _readable(value: object) -> object:
    """The value without what UTF-8 cannot say: a byte of a file name that is no text is spelt out."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {key: _readable(of) for key, of in value.items()}
    return [_readable(of) for of in value] if isinstance(value, (list, tuple)) else value


class Journal:
    """Appends to, and reads, one journal file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, record: Record) -> None:
        """Append one record; returns when it is in the file, and, for one of LASTING, on disk.

        Raises JournalError where it cannot be written (a full disk): the caller must not go on to change anything.
        """
        try:
            with self.path.open("a+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                number, previous = self._last(file.fileno())
                fields = {"number": number + 1, "at": utc_now(), "pid": os.getpid(), **as_json(record)}
                body = json.dumps(_readable(fields), ensure_ascii=False, separators=(",", ":"))
                line = f'{body[:-1]},"previous":"{previous}","hash":"{_digest(previous, body)}"}}\n'
                file.write(line.encode())
                file.flush()
                if isinstance(record, LASTING):
                    os.fsync(file.fileno())
        except OSError as error:
            raise JournalError(f"the journal {self.path} cannot be written: {error.strerror or error}") from error

    def _last(self, fd: int) -> tuple[int, str]:
        """Number and hash of the last whole line. A torn last line (a kill in the middle of a write) is cut off."""
        size = os.fstat(fd).st_size
        end, chunk, tail = size, 65536, b""
        while end > 0:
            start = max(0, end - chunk)
            tail = os.pread(fd, end - start, start) + tail
            end = start
            whole = tail[: tail.rfind(b"\n") + 1]
            before = whole[:-1].rfind(b"\n")
            if whole and (before >= 0 or start == 0):
                os.ftruncate(fd, size - (len(tail) - len(whole)))
                try:
                    last = _plain(json.loads(whole[before + 1 :]))
                except (ValueError, KeyError, TypeError, AttributeError) as error:
                    why = f"{self.path}: its last line is no record ({error}); nothing is added"
                    raise JournalError(why) from error
                return last.number, last.hash
        os.ftruncate(fd, 0)
        return 0, START

    def entries(self, after: int = 0) -> Iterator[Entry]:
        """The entries from the first on, the chain checked; those up to number `after` are left out.

        A torn last line is passed over. Raises JournalError where the chain does not hold.
        """
        previous = START
        with self.path.open("rb") as file:
            for index, line in enumerate(file, start=1):
                if not line.endswith(b"\n"):
                    return
                entry, previous = self._entry(line, index, previous)
                if entry.number > after:
                    yield entry

    def _entry(self, line: bytes, index: int, previous: str) -> tuple[Entry, str]:
        try:
            fields = json.loads(line)
            body = {key: value for key, value in fields.items() if key not in ("hash", "previous")}
            given = _digest(previous, json.dumps(body, ensure_ascii=False, separators=(",", ":")))
            if fields["previous"] != previous or fields["hash"] != given or fields["number"] != index:
                raise ValueError("the chain of hashes does not hold")
            return _plain(fields), given
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise JournalError(f"{self.path}, line {index}: {error}") from error


class Tail:
    """Reads a journal as it grows: each call gives the entries that are new, their chain unchecked."""

    def __init__(self, path: Path) -> None:
        self._path, self._offset = path, 0

    def new(self) -> list[Entry]:
        """The whole lines since the last call. Raises JournalError for a line that is no record."""
        if not self._path.exists():
            return []
        with self._path.open("rb") as file:
            file.seek(self._offset)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        try:
            return [_plain(json.loads(line)) for line in whole.splitlines()]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise JournalError(f"{self._path}: {error}") from error


def _plain(fields: dict[str, object]) -> Entry:
    fields.pop("previous")
    number, at, pid, digest = (fields.pop(key) for key in ("number", "at", "pid", "hash"))
    return Entry(int(str(number)), str(at), int(str(pid)), from_json(fields), str(digest))

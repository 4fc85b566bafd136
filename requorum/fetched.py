"""A member's log and database, brought here: into files that are mapped, so that neither has to fit into the memory."""

from __future__ import annotations

import gzip
import hashlib
import shlex
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import BinaryIO

from requorum.facts import snap_file, wal_files
from requorum.facts.bolt import Db
from requorum.facts.data_dir import DataDir, judge
from requorum.facts.data_error import DataError
from requorum.facts.host import HostFacts
from requorum.facts.prediction import Proof, predict
from requorum.facts.snap_file import ConfState
from requorum.facts.wal import read_entries
from requorum.facts.wal_layout import Content
from requorum.remote import Remote, RemoteError

SEGMENTS = 2
"""So many of the newest segments are read first: one that was just begun may hold no entry yet."""
SEGMENT_SECONDS = 300
"""So long a segment of 64 MB may take: what comes later was not read, and stops the run."""
LIMIT = 1 << 30
"""No older segments are fetched once so many bytes of them are here."""


def read_data(remote: Remote, facts: HostFacts, db: Db | DataError) -> DataDir:
    """A member's data: its database as it was read, and as much of its log as the database does not hold.

    Raises RemoteError where the log cannot be brought here.
    """
    newest = SEGMENTS
    while True:
        with _fetched_log(remote, facts.conf.wal_dir, newest) as segments:
            data = judge(segments, db)
            whole = len(segments) < newest or sum(len(content) for _, content in segments) >= LIMIT
        if data.log is not None and data.db is not None and not data.begins_at_founders:
            data = replace(data, raft=_raft_list(remote, facts, data.settled))
        if whole or data.log is None or not (data.log.needs_more or data.unseen or data.lacks_changes):
            return data
        newest *= 2


def _raft_list(remote: Remote, facts: HostFacts, settled: int) -> ConfState | None:
    """Raft's own member list in its newest snapshot; None where there is none. Raises RemoteError."""
    answer = remote.run(snap_file.command(facts.conf.data_dir), seconds=60, clients_data=True)
    return snap_file.newest(answer.stdout, settled)


def prove(remote: Remote, facts: HostFacts, data: DataDir, commit: int) -> Proof:
    """Read the log and the database of a member that is stopped, and say what it holds with its log committed.

    Raises DataError where that cannot be said, RemoteError where they cannot be brought here.
    """
    log = data.log
    if log is None or data.consistent_index is None:
        raise DataError(data.error or "expected a log and a database, found none")
    snap = f"{facts.conf.data_dir}/member/snap"
    received = log.snapshot_index > data.consistent_index  # etcd takes this one at its start, in place of the other
    path = f"{snap}/{log.snapshot_index:016x}.snap.db" if received else f"{snap}/db"
    with tempfile.TemporaryDirectory() as folder, ExitStack() as opened:
        sent, image = Path(folder) / "db.gz", Path(folder) / "db"
        remote.fetch(_database_command(path, log.snapshot_index if received else 0), sent, seconds=1800)
        try:
            with gzip.open(sent) as packed, image.open("wb") as file:
                shutil.copyfileobj(packed, file, 1 << 20)
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"{path} was fetched, and cannot be unpacked here, in {folder}: {error}") from None
        database = opened.enter_context(_mapped(image))
        newest = SEGMENTS
        while True:
            with _fetched_log(remote, facts.conf.wal_dir, newest) as segments:
                again, entries = read_entries(segments, data.consistent_index)
                if again.end != log.end or again.commit != log.commit:
                    raise DataError("the log has changed since it was read: is etcd running?")
                if (again.needs_more or again.first_index is None or again.first_index > entries_from(data)) and len(
                    segments
                ) == newest:
                    newest *= 2
                    continue
                content = dict(segments)[log.end.segment]
                return Proof(_sha256(content, log.end.offset), predict(database, entries, commit))


def _database_command(path: str, snapshot: int) -> str:
    """Sends a database; without the one of a received snapshot (its index, else 0) etcd would not start."""
    missing = f"the database is behind the snapshot {snapshot} of the log, and {path} is not there: etcd cannot start"
    guard = f"[ -f {shlex.quote(path)} ] || {{ echo {shlex.quote(missing)} >&2; exit 1; }}\n" if snapshot else ""
    return f"{guard}gzip -1 < {shlex.quote(path)}"


def entries_from(data: DataDir) -> int:
    """The first log entry that a prediction needs."""
    return max(data.consistent_index or 0, data.log.snapshot_index if data.log else 0) + 1


def unpack(stream: BinaryIO | gzip.GzipFile, folder: Path) -> list[tuple[str, Path]]:
    """Name and file of each segment in what `wal_files.command` printed, its zeros put back as a hole.

    Raises ValueError for anything else.
    """
    found: list[tuple[str, Path]] = []
    while line := stream.readline(wal_files.LINE):
        name, size, kept = wal_files.parse_line(line)
        path = folder / name
        with path.open("wb") as file:
            left = kept
            while left and (block := stream.read(min(left, 1 << 20))):
                file.write(block)
                left -= len(block)
            if left:
                raise ValueError(f"expected {kept} of {size} bytes of {name}, found {kept - left}")
            file.truncate(size)
        found.append((name, path))
    return found


@contextmanager
def _fetched_log(remote: Remote, wal_dir: str, newest: int) -> Iterator[list[tuple[str, Content]]]:
    """The newest segments of a log, mapped for as long as this lasts. Raises RemoteError."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as opened:
        sent = Path(folder) / "wal.gz"
        remote.fetch(wal_files.command(wal_dir, newest), sent, seconds=SEGMENT_SECONDS * newest)
        try:
            with gzip.open(sent) as stream:
                paths = unpack(stream, Path(folder))
        except (OSError, EOFError, ValueError, zlib.error) as error:
            raise RemoteError(
                remote.name,
                expected=f"the newest {newest} segments of the log in {wal_dir}",
                found=str(error),
                advice="run the same command again; nothing was changed",
            ) from None
        yield [(name, opened.enter_context(_mapped(path))) for name, path in paths]


@contextmanager
def _mapped(path: Path) -> Iterator[Content]:
    if not path.stat().st_size:
        yield b""
        return
    with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as content:
        yield content


def _sha256(content: Content, end: int) -> str:
    digest = hashlib.sha256()
    for at in range(0, end, 1 << 20):
        digest.update(content[at : min(end, at + (1 << 20))])
    return digest.hexdigest()

"""What a power loss can leave of a member's log: images made from a member that was killed."""

from __future__ import annotations

import random
import shutil
import struct
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from requorum.facts.crc32c import crc32c
from requorum.facts.protobuf import parse
from requorum.facts.wal import ENTRY, STATE
from requorum.facts.wal_segment import SECTOR, records


@dataclass(frozen=True)
class Piece:
    """One record of a segment, with the bytes of its frame."""

    at: int
    type: int
    data: bytes


class Newest:
    """The newest segment of a member's log that has an entry, and those behind it."""

    def __init__(self, member: Path) -> None:
        self.wal = member / "member/wal"
        self.path = sorted(self.wal.glob("*.wal"))[-1]
        self.content = self.path.read_bytes()
        self.pieces: list[Piece] = []
        found = records(self.path.name, self.content, None, newest=True)
        while True:
            try:
                record = next(found)
            except StopIteration as stop:
                self.end = stop.value.end
                return
            self.pieces.append(Piece(record.at, record.type, record.data))

    def write(self, content: bytes, size: int | None = None) -> None:
        self.path.write_bytes(content.ljust(len(self.content) if size is None else size, b"\0"))

    @property
    def after_last_entry(self) -> int:
        """The byte behind the last record that etcd synced: a hard state that only moves the commit index is not."""
        entries = [i for i, piece in enumerate(self.pieces) if piece.type == ENTRY]
        if not entries or entries[-1] + 1 == len(self.pieces):
            return self.end
        return self.pieces[entries[-1] + 1].at


def _cut_after_sync(new: Newest, chance: random.Random) -> None:
    new.write(new.content[: new.after_last_entry])


def _without_commits(new: Newest, chance: random.Random) -> None:
    """The last hard states that only moved the commit index never reached the disk; what is behind them did."""
    states = [i for i, piece in enumerate(new.pieces) if piece.type == STATE]
    count = chance.randrange(1, 13)
    gone = set()
    for before, at in pairwise(states):
        one, two = parse(new.pieces[before].data), parse(new.pieces[at].data)
        if (one.number(1), one.number(2)) == (two.number(1), two.number(2)):
            gone.add(at)
    new.write(_chained([piece for i, piece in enumerate(new.pieces) if i not in set(sorted(gone)[-count:])], new))


def _chained(pieces: list[Piece], new: Newest) -> bytes:
    """A segment of these records, with checksums of their own."""
    (frame,) = struct.unpack_from("<Q", new.content)
    first = parse(new.content[8 : 8 + (frame & ((1 << 56) - 1))])
    crc = first.number(2)
    out = _framed(b"\x08\x04\x10" + _number(crc))
    for piece in pieces:
        crc = crc32c(piece.data, crc)
        data = b"\x1a" + _number(len(piece.data)) + piece.data
        out += _framed(b"\x08" + _number(piece.type) + b"\x10" + _number(crc) + data)
    return out


def _framed(message: bytes) -> bytes:
    padding = -len(message) % 8
    return struct.pack("<Q", len(message) | ((0x80 | padding) << 56 if padding else 0)) + message + bytes(padding)


def _number(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def _cut_anywhere(new: Newest, chance: random.Random) -> None:
    """Killed at any byte of the last kilobytes: what was not written yet is zeros, or the file ends there."""
    at = new.end - chance.randrange(min(new.end, 3000))
    new.write(new.content[:at], None if chance.random() < 0.7 else at)


def _sectors_zeroed(new: Newest, chance: random.Random) -> None:
    """Of the last sectors some were never written."""
    content = bytearray(new.content)
    last = (new.end - 1) // SECTOR
    for sector in chance.sample(range(max(0, last - 5), last + 1), chance.randrange(1, 4)):
        content[sector * SECTOR : (sector + 1) * SECTOR] = bytes(SECTOR)
    new.write(bytes(content))


def _as_killed(new: Newest, chance: random.Random) -> None:
    pass


def _garbage_behind(new: Newest, chance: random.Random) -> None:
    """Bytes behind the end of the log: a record that was begun, or what the disk had there before."""
    at = new.after_last_entry
    torn = new.content[at : at + chance.randrange(1, 40)]
    new.write(new.content[:at] + torn + bytes(chance.randrange(0, 600)) + chance.randbytes(chance.choice((0, 0, 100))))


KINDS: dict[str, Callable[[Newest, random.Random], None]] = {
    "as killed": _as_killed,
    "cut after the last synced entry": _cut_after_sync,
    "last commit-only records removed": _without_commits,
    "cut at any byte": _cut_anywhere,
    "sectors of the tail zeroed": _sectors_zeroed,
    "a torn record, or garbage, behind the tail": _garbage_behind,
}


def image(member: Path, to: Path, kind: str, chance: random.Random, database: Path | None = None) -> Path:
    """A copy of a member's data, damaged; `database` replaces its own by one of an earlier time."""
    shutil.copytree(member, to, ignore=shutil.ignore_patterns("*.tmp"))
    if database is not None:
        shutil.copyfile(database, to / "member/snap/db")
    KINDS[kind](Newest(to), chance)
    return to

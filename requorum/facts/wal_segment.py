"""One file of the write-ahead log: frames of 8 bytes (length, padding), each before a record; then zeros.

Source: etcd's wal/decoder.go, wal/repair.go and record.proto.
"""

from __future__ import annotations

import struct
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from requorum.facts.crc32c import running
from requorum.facts.data_error import DataError
from requorum.facts.wal_layout import Content, read_record

CRC = 4
"""The type of the record that begins a chain of checksums."""
SECTOR = 512
"""A disk writes whole sectors: a record that was half written has a sector of zeros in it."""
MAX_RECORD = 10 << 20
"""etcd 3.3 and 3.4 die on a longer record ("max entry size limit exceeded"); so long a length is damage, no tear."""
BATCH = 4 << 20
"""So many bytes of records are held at once: their checksums are made side by side."""
BATCHED = 1 << 14
"""And no more records than so many: a small one takes more room in memory than its bytes."""

_LENGTH = (1 << 56) - 1
_frame_at = struct.Struct("<Q").unpack_from


class Record(NamedTuple):
    """A record whose checksum is right: where its frame begins, its type and its data."""

    at: int
    type: int
    data: bytes


@dataclass(frozen=True, slots=True)
class SegmentEnd:
    """Where the records of a segment end: the last checksum (None: not even a first record), whether one is torn.

    `end` is the byte behind the last of them, `size` the file's.
    """

    crc: int | None
    torn: bool
    end: int
    size: int


_Frame: TypeAlias = tuple[int, int, int, int, bytes]
"""Where a record's frame begins, the byte behind its padding, its type, checksum and data."""


@dataclass(frozen=True, slots=True)
class _Stop:
    """Where the records end, other than before zeros or with the file; torn, or damaged."""

    at: int
    found: str
    torn: bool


def records(name: str, content: Content, crc: int | None, *, newest: bool) -> Generator[Record, None, SegmentEnd]:
    """The records of a segment, one after the other; returns where they end.

    Arguments: its name, for messages; its whole content; the checksum where the segment before ended, if that is known;
    whether it is the newest one: only that may end in a torn record (etcd repairs no other).
    Raises DataError for a wrong checksum that is not a torn last record, as etcd understands it.
    """
    last = 0
    begun = False
    stop: _Stop | None = None
    for batch, stopped in _batches(content):
        stop = stopped
        if not batch:
            break
        if not begun:
            crc = _chained(name, batch[0], crc)
            begun = True
        summed = [b"" if kind == CRC else data for _, _, kind, _, data in batch]
        for (at, end, kind, said, data), expected in zip(batch, running(summed, crc or 0), strict=True):
            if said != expected:
                found = f"a record with the checksum {said:08x} where {expected:08x} is right"
                stop = _Stop(at, found, _has_zero_sector(content, at + 8, end))
                break
            crc, last = expected, end
            if kind != CRC:
                yield Record(at, kind, data)
        if stop:
            break
    if stop and not (newest and stop.torn):
        why = "newer segments follow" if stop.torn else "it is damaged, not half written"
        raise DataError(f"{name}: at byte {stop.at}: expected a whole record, found {stop.found}; {why}")
    return SegmentEnd(crc, stop is not None, last, len(content))


def record_at(content: Content, at: int) -> bytes:
    """The data of a record that was read before, by the byte where its frame begins."""
    (frame,) = _frame_at(content, at)
    return read_record(content, at + 8, at + 8 + (frame & _LENGTH))[2]


def _chained(name: str, first: _Frame, crc: int | None) -> int:
    _, _, kind, found, _ = first
    if kind != CRC:
        raise DataError(f"{name}: expected a checksum record first, found a record of type {kind}")
    if crc is not None and found != crc:
        raise DataError(
            f"{name}: expected the chain of checksums to go on with {crc:08x}, found {found:08x}: "
            "the segment does not follow the one before"
        )
    return found


def _batches(content: Content) -> Iterator[tuple[list[_Frame], _Stop | None]]:
    """The records with their checksums not yet compared, some at a time; with the last what ended them, if not zeros."""
    size, at = len(content), 0
    found: list[_Frame] = []
    full = BATCH
    while at + 8 <= size:
        (frame,) = _frame_at(content, at)
        if frame == 0:
            # etcd ends here too. Other bytes behind were written, but never synced, before a power loss.
            yield found, None if _only_zeros(content, at) else _Stop(at, "zeros before other bytes", torn=True)
            return
        length = frame & _LENGTH
        end = at + 8 + length + (frame >> 56 & 7 if frame >> 63 else 0)
        if end > size:
            said = f"a record of {length} bytes where the file has {size - at - 8}"
            yield found, _Stop(at, said, torn=length < MAX_RECORD)
            return
        try:
            found.append((at, end, *read_record(content, at + 8, at + 8 + length)))
        except DataError as error:
            yield found, _Stop(at, f"no record ({error})", _has_zero_sector(content, at + 8, end))
            return
        at = end
        if at >= full or len(found) >= BATCHED:
            yield found, None
            found, full = [], at + BATCH
    yield found, _Stop(at, f"{size - at} bytes where a frame of 8 begins", torn=True) if at < size else None


def _only_zeros(content: Content, start: int) -> bool:
    """Whether nothing but zeros follows; in steps, for a segment has some 64 MB of them."""
    zeros = bytes(1 << 16)
    for at in range(start, len(content), len(zeros)):
        found = content[at : at + len(zeros)]
        if found != zeros and found.strip(b"\0"):
            return False
    return True


def _has_zero_sector(content: Content, start: int, end: int) -> bool:
    """Whether one of the disk's sectors under the record holds only zeros (wal/decoder.go, isTornEntry)."""
    while start < end:
        stop = min(end, start - start % SECTOR + SECTOR)
        if not content[start:stop].strip(b"\0"):
            return True
        start = stop
    return False

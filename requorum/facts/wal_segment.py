"""One file of the write-ahead log: frames of 8 bytes (length, padding), each before a record; then zeros.

Source: etcd's wal/decoder.go, wal/repair.go and record.proto.
"""

from __future__ import annotations

import struct
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from mmap import mmap
from typing import TypeAlias

from requorum.facts.crc32c import running
from requorum.facts.data_error import DataError
from requorum.facts.protobuf import parse

Content: TypeAlias = bytes | mmap
"""A whole segment, with its zeros; mapped, it need not fit into the memory."""

CRC = 4
"""The type of the record that begins a chain of checksums."""
SECTOR = 512
"""A disk writes whole sectors: a record that was half written has a sector of zeros in it."""
MAX_RECORD = 10 << 20
"""etcd 3.3 and 3.4 die on a longer record ("max entry size limit exceeded"); so long a length is damage, no tear."""
BATCH = 4 << 20
"""So many bytes of records are held at once: their checksums are made side by side."""

_FRAME = struct.Struct("<Q")


@dataclass(frozen=True, slots=True)
class Record:
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


@dataclass(frozen=True, slots=True)
class _Frame:
    at: int
    end: int
    type: int
    crc: int
    data: bytes


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
    frames = _frames(content)
    last = 0
    begun = False
    stop: _Stop | None = None
    while not stop:
        batch, stop = _batch(frames)
        if not batch:
            break
        if not begun:
            crc = _chained(name, batch[0], crc)
            begun = True
        data = [b"" if frame.type == CRC else frame.data for frame in batch]
        for frame, expected in zip(batch, running(data, crc or 0), strict=True):
            if frame.crc != expected:
                found = f"a record with the checksum {frame.crc:08x} where {expected:08x} is right"
                stop = _Stop(frame.at, found, _has_zero_sector(content, frame.at + 8, frame.end))
                break
            crc, last = expected, frame.end
            if frame.type != CRC:
                yield Record(frame.at, frame.type, frame.data)
    if stop and not (newest and stop.torn):
        why = "newer segments follow" if stop.torn else "it is damaged, not half written"
        raise DataError(f"{name}: at byte {stop.at}: expected a whole record, found {stop.found}; {why}")
    return SegmentEnd(crc, stop is not None, last, len(content))


def record_at(content: Content, at: int) -> bytes:
    """The data of a record that was read before, by the byte where its frame begins."""
    (frame,) = _FRAME.unpack(content[at : at + 8])
    return parse(content[at + 8 : at + 8 + (frame & ((1 << 56) - 1))]).bytes(3)


def _chained(name: str, first: _Frame, crc: int | None) -> int:
    if first.type != CRC:
        raise DataError(f"{name}: expected a checksum record first, found a record of type {first.type}")
    if crc is not None and first.crc != crc:
        raise DataError(
            f"{name}: expected the chain of checksums to go on with {crc:08x}, found {first.crc:08x}: "
            "the segment does not follow the one before"
        )
    return first.crc


def _batch(frames: Iterator[_Frame | _Stop]) -> tuple[list[_Frame], _Stop | None]:
    """Some frames, none at the end; and what ended them, other than zeros or the file's end."""
    found: list[_Frame] = []
    size = 0
    for frame in frames:
        if isinstance(frame, _Stop):
            return found, frame
        found.append(frame)
        size += len(frame.data)
        if size >= BATCH:
            break
    return found, None


def _frames(content: Content) -> Iterator[_Frame | _Stop]:
    """The records with their checksums not yet compared, then perhaps what ended them."""
    size, at = len(content), 0
    while at + 8 <= size:
        (frame,) = _FRAME.unpack(content[at : at + 8])
        if frame == 0:
            # etcd ends here too. Other bytes behind were written, but never synced, before a power loss.
            if not _only_zeros(content, at):
                yield _Stop(at, "zeros before other bytes", torn=True)
            return
        length, padding = frame & ((1 << 56) - 1), frame >> 56 & 7 if frame >> 63 else 0
        end = at + 8 + length + padding
        if end > size:
            found = f"a record of {length} bytes where the file has {size - at - 8}"
            yield _Stop(at, found, torn=length < MAX_RECORD)
            return
        try:
            message = parse(content[at + 8 : at + 8 + length])
        except DataError as error:
            yield _Stop(at, f"no record ({error})", _has_zero_sector(content, at + 8, end))
            return
        yield _Frame(at, end, message.number(1), message.number(2), message.bytes(3))
        at = end
    if at < size:
        yield _Stop(at, f"{size - at} bytes where a frame of 8 begins", torn=True)


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

"""One file of the write-ahead log: frames of 8 bytes (length, padding), each before a record; then zeros.

Source: etcd's wal/decoder.go, wal/repair.go and record.proto.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from requorum.facts.crc32c import running
from requorum.facts.data_error import DataError
from requorum.facts.protobuf import parse

CRC = 4
"""The type of the record that begins a chain of checksums."""
SECTOR = 512
"""A disk writes whole sectors: a record that was half written has a sector of zeros in it."""
MAX_RECORD = 10 << 20
"""etcd 3.3 and 3.4 die on a longer record ("max entry size limit exceeded"); so long a length is damage, no tear."""

_FRAME = struct.Struct("<Q")


@dataclass(frozen=True, slots=True)
class Segment:
    """Type and data of the records whose checksums are right, the last checksum (None: not even a first record).

    `end` is the byte behind the last of them, `size` the file's.
    """

    records: tuple[tuple[int, bytes], ...]
    crc: int | None
    torn: bool
    end: int
    size: int


@dataclass(frozen=True, slots=True)
class _Record:
    at: int  # where its frame begins in the segment
    end: int
    type: int
    crc: int
    data: bytes


@dataclass(frozen=True, slots=True)
class _End:
    """Where the records end, other than before zeros or with the file; torn, or damaged."""

    at: int
    found: str
    torn: bool


def read_segment(name: str, content: bytes, crc: int | None, *, newest: bool) -> Segment:
    """The records of a segment.

    Arguments: its name, for messages; its whole content; the checksum where the segment before ended, if that is known;
    whether it is the newest one: only that may end in a torn record (etcd repairs no other).
    Raises DataError for a wrong checksum that is not a torn last record, as etcd understands it.
    """
    records, end = _frames(content)
    data = [b"" if record.type == CRC else record.data for record in records]
    if records:
        first = records[0]
        if first.type != CRC:
            raise DataError(f"{name}: expected a checksum record first, found a record of type {first.type}")
        if crc is not None and first.crc != crc:
            raise DataError(
                f"{name}: expected the chain of checksums to go on with {crc:08x}, found {first.crc:08x}: "
                "the segment does not follow the one before"
            )
        crc = first.crc
    good: list[tuple[int, bytes]] = []
    last = 0
    for record, expected in zip(records, running(data, crc or 0), strict=True):
        if record.crc != expected:
            found = f"a record with the checksum {record.crc:08x} where {expected:08x} is right"
            end = _End(record.at, found, _has_zero_sector(content, record.at + 8, record.end))
            break
        crc, last = expected, record.end
        if record.type != CRC:
            good.append((record.type, record.data))
    if end and not (newest and end.torn):
        why = "newer segments follow" if end.torn else "it is damaged, not half written"
        raise DataError(f"{name}: at byte {end.at}: expected a whole record, found {end.found}; {why}")
    return Segment(tuple(good), crc, end is not None, last, len(content))


def _frames(content: bytes) -> tuple[list[_Record], _End | None]:
    """The records with their checksums not yet compared."""
    size, at = len(content), 0
    records: list[_Record] = []
    while at + 8 <= size:
        (frame,) = _FRAME.unpack_from(content, at)
        if frame == 0:
            # etcd ends here too. Other bytes behind were written, but never synced, before a power loss.
            return records, None if _only_zeros(content, at) else _End(at, "zeros before other bytes", torn=True)
        length, padding = frame & ((1 << 56) - 1), frame >> 56 & 7 if frame >> 63 else 0
        end = at + 8 + length + padding
        if end > size:
            found = f"a record of {length} bytes where the file has {size - at - 8}"
            return records, _End(at, found, torn=length < MAX_RECORD)
        try:
            message = parse(content[at + 8 : at + 8 + length])
        except DataError as error:
            return records, _End(at, f"no record ({error})", _has_zero_sector(content, at + 8, end))
        records.append(_Record(at, end, message.number(1), message.number(2), message.bytes(3)))
        at = end
    return records, _End(at, f"{size - at} bytes where a frame of 8 begins", torn=True) if at < size else None


def _only_zeros(content: bytes, start: int) -> bool:
    """Whether nothing but zeros follows; in steps, for a segment has some 64 MB of them."""
    zeros = bytes(1 << 16)
    while start + len(zeros) <= len(content):
        if not content.startswith(zeros, start):
            return False
        start += len(zeros)
    return not content[start:].strip(b"\0")


def _has_zero_sector(content: bytes, start: int, end: int) -> bool:
    """Whether one of the disk's sectors under the record holds only zeros (wal/decoder.go, isTornEntry)."""
    while start < end:
        stop = min(end, start - start % SECTOR + SECTOR)
        if not content[start:stop].strip(b"\0"):
            return True
        start = stop
    return False

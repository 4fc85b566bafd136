"""Makes a write-ahead log as etcd writes it under load: puts, mostly with the commit index after each."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

from requorum.facts.crc32c import crc32c, running

ENTRY, STATE = 2, 3  # record types
AT_ONCE = 1 << 20
"""So many bytes of a segment are made at once."""
TERM, VOTE = 3, 0x8E9E05C52164694D


def number(value: int) -> bytes:
    """A protobuf number."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def text(tag: int, value: bytes) -> bytes:
    """A protobuf field of bytes."""
    return number(tag << 3 | 2) + number(len(value)) + value


def write_log(folder: Path, *, segments: int, size: int, value: int, commits: bool) -> int:
    """Segments of some `size` bytes, without zeros, with puts of `value` bytes; returns the index of the last entry.

    `commits`: a record of the commit index follows each entry; else the whole log is tail.
    """
    crc, index = 0, 0
    for segment in range(segments):
        name = f"{segment:016x}-{index + 1 if segment else 0:016x}.wal"
        with (folder / name).open("wb") as file:
            metadata = b"\x08" + number(VOTE) + b"\x10" + number(0x27AAB2C53BB8B0A1)
            file.write(_frame(b"\x08\x04\x10" + number(crc)))
            crc = crc32c(metadata, crc)
            file.write(_frame(_record(1, crc, metadata)))
            while file.tell() < size:
                count = max(1, AT_ONCE // (value + 100))
                bodies = list(_bodies(index + 1, count, value, commits))
                index += count
                kinds = (ENTRY, STATE) * count if commits else (ENTRY,) * count
                sums = list(running(bodies, crc))
                crc = sums[-1]
                file.write(b"".join(_frame(_record(*one)) for one in zip(kinds, sums, bodies, strict=True)))
    return index


def _bodies(first: int, count: int, value: int, commits: bool) -> Iterator[bytes]:
    """The data of a record for each entry, and perhaps of one for the commit index behind it."""
    term = b"\x10" + number(TERM)
    for index in range(first, first + count):
        put = text(1, b"/registry/pods/%08d" % index) + text(2, b"v" * value)
        request = text(4, put) + text(100, b"\x08" + number(index))
        yield b"\x08\x00" + term + b"\x18" + number(index) + text(4, request)
        if commits:
            yield b"\x08" + number(TERM) + b"\x10" + number(VOTE) + b"\x18" + number(index)


def _record(kind: int, crc: int, data: bytes) -> bytes:
    return b"\x08" + number(kind) + b"\x10" + number(crc) + text(3, data)


def _frame(message: bytes) -> bytes:
    pad = -len(message) % 8
    return struct.pack("<Q", len(message) | ((0x80 | pad) << 56 if pad else 0)) + message + bytes(pad)

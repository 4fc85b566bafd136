"""Writes a write-ahead log as etcd does, for logs that cannot be recorded at will."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from requorum.facts.crc32c import crc32c
from requorum.facts.wal import Log, See, read_entries
from requorum.facts.wal_layout import Content

FIRST = f"{0:016x}-{0:016x}.wal"


def read_log(segments: Sequence[tuple[str, Content]], see: See | None = None) -> Log:
    return read_entries(segments, None, see)[0]


class Writer:
    """The content of one segment, of member 7 in cluster 8."""

    def __init__(self, crc: int = 0) -> None:
        self.content = b""
        self.crc = crc
        self.frame(b"\x08\x04\x10" + number(crc))
        self.record(1, field(1, 7) + field(2, 8))

    def frame(self, message: bytes) -> None:
        pad = -len(message) % 8
        self.content += struct.pack("<Q", len(message) | ((0x80 | pad) << 56 if pad else 0)) + message + bytes(pad)

    def record(self, kind: int, data: bytes) -> None:
        self.crc = crc32c(data, self.crc)
        self.frame(field(1, kind) + field(2, self.crc) + b"\x1a" + number(len(data)) + data)

    def entry(self, index: int, term: int, data: bytes = b"", kind: int = 0) -> None:
        self.record(2, field(1, kind) + field(2, term) + field(3, index) + b"\x22" + number(len(data)) + data)

    def state(self, term: int, commit: int) -> None:
        self.record(3, field(1, term) + field(2, 7) + field(3, commit))

    def snapshot(self, index: int, term: int) -> None:
        self.record(5, field(1, index) + field(2, term))

    def log(self, name: str = FIRST) -> Log:
        return read_log([(name, self.content + bytes(4096))])


def number(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def field(tag: int, value: int) -> bytes:
    return bytes([tag << 3]) + number(value)

"""One record of the write-ahead log, as etcd would write it.

Source: etcd's wal/encoder.go and record.proto, raftpb's HardState.
"""

from __future__ import annotations

import struct

from requorum.facts.crc32c import crc32c
from requorum.facts.wal import STATE


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def state_record(term: int, vote: int, commit: int, crc: int) -> bytes:
    """A hard state behind a log whose checksum is `crc`, with its frame and padding."""
    data = b"\x08" + _varint(term) + b"\x10" + _varint(vote) + b"\x18" + _varint(commit)
    message = b"\x08" + _varint(STATE) + b"\x10" + _varint(crc32c(data, crc)) + b"\x1a" + _varint(len(data)) + data
    padding = -len(message) % 8
    frame = len(message) | (0x80 | padding) << 56 if padding else len(message)
    return struct.pack("<Q", frame) + message + bytes(padding)

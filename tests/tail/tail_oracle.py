"""What a log holds, read without Requorum: were the oracle its own reader, one that ends too early would promise less.

It knows as much of etcd's formats (wal/encoder.go, wal/decoder.go; raft.proto) as loads of plain puts need: a log from its
first entry on, of puts to keys that a pattern tells.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from pathlib import Path

ENTRY, CRC = 2, 4
FIRST = f"{0:016x}-{0:016x}.wal"
PLAIN = rb"w\d+-\d+"
"""The keys of the plain load, such as `w3-17`."""
_TABLE = [0] * 256
for _byte in range(256):
    _crc = _byte
    for _ in range(8):
        _crc = _crc >> 1 ^ (0x82F63B78 if _crc & 1 else 0)
    _TABLE[_byte] = _crc


def begins_with_first_entry(folder: Path) -> bool:
    """Nothing of a `member/wal` was purged: whatever the member ever logged is there."""
    return (folder / FIRST).exists()


def keys_in_log(folder: Path, keys: bytes = PLAIN) -> set[str]:
    """The keys, of those that look so, that the valid records of a `member/wal` put, without what a later one took back."""
    assert begins_with_first_entry(folder), "the log does not begin with its first entry"
    segments = sorted(folder.glob("*.wal"))
    # Key and value of a PutRequest, each behind its length; a key may end where its length says so only.
    put = re.compile(rb"\x0a(.)(" + keys + rb")\x12", re.DOTALL)
    found: dict[int, list[str]] = {}
    crc = 0
    for segment in segments:
        for kind, wanted, data in _records(segment.read_bytes()):
            if kind != CRC:
                crc = _crc32c(crc, data)
            if crc != wanted:
                break  # torn
            if kind == ENTRY:
                entry = _fields(data)
                index, text = int(entry[3]), bytes(entry.get(4, b""))
                for taken_back in [one for one in found if one > index]:
                    del found[taken_back]
                found[index] = [key.decode() for size, key in put.findall(text) if size[0] == len(key)]
    return {key for each in found.values() for key in each}


def _records(log: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Type, checksum and data of each record, up to the first that is not whole."""
    at = 0
    while at + 8 <= len(log) and (frame := struct.unpack_from("<Q", log, at)[0]):
        size, padding = frame & (1 << 56) - 1, frame >> 56 & 7 if frame >> 63 else 0
        if at + 8 + size > len(log):
            return
        record = _fields(log[at + 8 : at + 8 + size])
        yield int(record[1]), int(record.get(2, 0)), bytes(record.get(3, b""))
        at += 8 + size + padding


def _fields(message: bytes) -> dict[int, int | bytes]:
    """The fields of a protobuf message of numbers and bytes."""
    found: dict[int, int | bytes] = {}
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        value, at = _varint(message, at)
        if tag & 7 == 2:
            found[tag >> 3] = message[at : at + value]
            at += value
        else:
            found[tag >> 3] = value
    return found


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at


def _crc32c(crc: int, data: bytes) -> int:
    crc ^= 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 255]
    return crc ^ 0xFFFFFFFF

"""The messages that a log is full of, read by the layout in which etcd writes them: records, entries, hard states.

A general parser looks at each field of each of a million messages; here one look at the first bytes is enough. Whatever
is not laid out exactly so goes to the general parser, and so does all that is damaged: what is found, and what is
refused in which words, is the same (tests/unit/facts/test_wal_layout.py). Source: walpb (record.proto) and raftpb (raft.proto).
"""

from __future__ import annotations

import struct
from mmap import mmap
from typing import TypeAlias

from requorum.facts.protobuf import parse

Content: TypeAlias = bytes | mmap
"""A whole segment, with its zeros; mapped, it need not fit into the memory."""

RecordFields: TypeAlias = tuple[int, int, bytes]
"""Type, checksum and data of a record."""
EntryFields: TypeAlias = tuple[int, int, int, bytes]
"""Index, term, type and data of an entry."""
StateFields: TypeAlias = tuple[int, int, int]
"""Term, vote and commit index of a hard state."""

# The first eight bytes of a record, the lowest first: tag 1 and a type of one byte, tag 2 and a checksum of five bytes
# (fifteen out of sixteen have that many). Of a number's bytes only the top bit is known: whether another one follows.
_MASK, _LAYOUT = 0x80808080_80FF80FF, 0x00808080_80100008
_FIRST, _SECOND, _THIRD = 0x08, 0x10, 0x18  # tags of numbers
_ENTRY_DATA, _RECORD_DATA = 0x22, 0x1A
_LOOKED_AT = 16
_two_numbers = struct.Struct("<QQ").unpack_from


def read_record(content: Content, at: int, end: int) -> RecordFields:
    """The record in these bytes of a segment. Raises DataError if they are none."""
    if end - at >= _LOOKED_AT:
        low, high = _two_numbers(content, at)
        if low & _MASK == _LAYOUT and high & 0xFF == _RECORD_DATA:
            # The size of the data: one byte, two or three; the general parser reads what is longer than two megabytes.
            if not high & 0x8000:
                size, begin = high >> 8 & 0x7F, at + 10
            elif not high & 0x80_0000:
                size, begin = high >> 8 & 0x7F | high >> 9 & 0x3F80, at + 11
            elif not high & 0x8000_0000:
                size, begin = high >> 8 & 0x7F | high >> 9 & 0x3F80 | high >> 10 & 0x1F_C000, at + 12
            else:
                size, begin = 0, 0
            if begin + size == end:
                crc = (
                    low >> 24 & 0x7F
                    | low >> 25 & 0x3F80
                    | low >> 26 & 0x1F_C000
                    | low >> 27 & 0xFE0_0000
                    | low >> 28 & 0x7_F000_0000
                )
                return low >> 8 & 0x7F, crc, content[begin:end]
    message = parse(content[at:end])
    return message.number(1), message.number(2), message.bytes(3)


def read_entry(buffer: bytes) -> EntryFields:
    """The entry in the data of a record. Raises DataError if these bytes are none."""
    try:
        kind, term = buffer[1], buffer[3]
        if buffer[0] == _FIRST and kind < 0x80 and buffer[2] == _SECOND:
            at = 4
            if term > 0x7F:
                term, at = _number(buffer, 3)
            if buffer[at] == _THIRD:
                index, at = _number(buffer, at + 1)
                if buffer[at] == _ENTRY_DATA:
                    size, at = _number(buffer, at + 1)
                    if at + size == len(buffer):
                        return index, term, kind, buffer[at:]
    except IndexError:
        pass  # it is short: a leader's first entry, which has no data, or one that is cut off
    message = parse(buffer)
    return message.number(3), message.number(2), message.number(1), message.bytes(4)


def read_state(buffer: bytes) -> StateFields:
    """The hard state in the data of a record (raftpb.HardState). Raises DataError if these bytes are none."""
    try:
        if buffer[0] == _FIRST:
            term, at = _number(buffer, 1)
            if buffer[at] == _SECOND:
                vote, at = _number(buffer, at + 1)
                if buffer[at] == _THIRD:
                    commit, at = _number(buffer, at + 1)
                    if at == len(buffer):
                        return term, vote, commit
    except IndexError:
        pass
    message = parse(buffer)
    return message.number(1), message.number(2), message.number(3)


def _number(buffer: bytes, at: int) -> tuple[int, int]:
    """A number and the offset behind it. Raises IndexError where it is cut off, or has more than ten bytes."""
    value = buffer[at]
    at += 1
    if value < 0x80:
        return value, at
    value &= 0x7F
    for shift in (7, 14, 21, 28, 35, 42, 49, 56, 63):
        byte = buffer[at]
        at += 1
        if byte < 0x80:
            return (value | byte << shift) & 0xFFFFFFFF_FFFFFFFF, at
        value |= (byte & 0x7F) << shift
    raise IndexError

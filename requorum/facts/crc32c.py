"""CRC-32C (Castagnoli), the checksum of the WAL's records, in plain Python: the standard library has only CRC-32.

A segment holds 64 MB, and a loop over bytes takes ten seconds for it. So blocks are summed side by side, one byte of
each at a time, by `bytes.translate` and XOR of long integers, which run in C; a checksum is linear, so that the blocks
can be put together afterwards. That is ten times faster.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator, Sequence
from functools import cache
from sys import byteorder

POLYNOMIAL = 0x82F63B78  # reflected
ONES = 0xFFFFFFFF
BLOCK = 256
LANES = 4096
"""So many blocks side by side: one megabyte stays in the processor's cache."""


def crc32c(data: bytes, crc: int = 0) -> int:
    """The checksum of `data` behind bytes whose checksum is `crc` (as Go's crc32.Update does)."""
    return _advance(crc ^ ONES, data) ^ ONES


def running(parts: Sequence[bytes], crc: int) -> Iterator[int]:
    """The checksum after each part, all parts being one stream of bytes behind bytes whose checksum is `crc`."""
    data = b"".join(parts)
    state, at, end = crc ^ ONES, 0, 0
    shift = _shift_tables()
    boundaries = [state]  # the state where each block begins
    for block in _blocks(data):
        state = (
            shift[0][state & 0xFF] ^ shift[1][state >> 8 & 0xFF] ^ shift[2][state >> 16 & 0xFF] ^ shift[3][state >> 24]
        ) ^ block
        boundaries.append(state)
    state = crc ^ ONES
    for part in parts:
        end += len(part)
        if end // BLOCK > at // BLOCK:
            at = end // BLOCK * BLOCK
            state = boundaries[at // BLOCK]
        state = _advance(state, data[at:end])
        at = end
        yield state ^ ONES


def _advance(state: int, data: bytes) -> int:
    one, two = _tables()
    even = len(data) & ~1
    words = array("H", data[:even])
    if byteorder == "big":
        words.byteswap()
    for word in words:
        state = two[(state ^ word) & 0xFFFF] ^ state >> 16
    return one[(state ^ data[-1]) & 0xFF] ^ state >> 8 if len(data) > even else state


def _blocks(data: bytes) -> Iterator[int]:
    """The state that each whole block leaves behind, from a state of 0."""
    tables = [bytes(value >> shift & 0xFF for value in _tables()[0]) for shift in (0, 8, 16, 24)]
    whole = len(data) // BLOCK * BLOCK
    for start in range(0, whole, BLOCK * LANES):
        chunk = data[start : min(whole, start + BLOCK * LANES)]
        lanes = len(chunk) // BLOCK
        low = second = third = high = 0  # a byte of each lane's state in each
        for column in range(BLOCK):
            index = (low ^ int.from_bytes(chunk[column::BLOCK], "little")).to_bytes(lanes, "little")
            looked = [int.from_bytes(index.translate(table), "little") for table in tables]
            low, second, third, high = looked[0] ^ second, looked[1] ^ third, looked[2] ^ high, looked[3]
        states = bytearray(4 * lanes)
        for place, plane in enumerate((low, second, third, high)):
            states[place::4] = plane.to_bytes(lanes, "little")
        yield from struct.unpack(f"<{lanes}I", states)


@cache
def _tables() -> tuple[list[int], list[int]]:
    """Tables for one byte and for two, made at the first use: two bytes at a time halve the work of the loop."""
    one = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (POLYNOMIAL if value & 1 else 0)
        one.append(value)
    two = [one[(one[value & 0xFF] ^ value >> 8) & 0xFF] ^ one[value & 0xFF] >> 8 for value in range(1 << 16)]
    return one, two


@cache
def _shift_tables() -> list[list[int]]:
    """For each byte of a state: what becomes of it behind a block of zeros."""
    bits = [_advance(1 << bit, bytes(BLOCK)) for bit in range(32)]
    tables = []
    for place in range(0, 32, 8):
        table = [0]
        for bit in bits[place : place + 8]:
            table += [value ^ bit for value in table]
        tables.append(table)
    return tables

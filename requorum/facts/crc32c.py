"""CRC-32C (Castagnoli), the checksum of the WAL's records, in plain Python: the standard library has only CRC-32.

A segment holds 64 MB, and a loop over bytes takes many seconds for it. So blocks are summed side by side, one byte of
each at a time, by `bytes.translate` and XOR of long integers, which run in C; a checksum is linear, so that the blocks
can be put together afterwards. From a state of 0, zeros in front change nothing: each record gets some until it is whole
blocks, and small ones cost no more than large ones.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from functools import cache
from typing import TypeAlias

POLYNOMIAL = 0x82F63B78  # reflected
ONES = 0xFFFFFFFF
BLOCK = 64
LANES = 4096
"""So many blocks side by side: they stay in the processor's cache."""

Shift: TypeAlias = tuple[list[int], list[int], list[int], list[int]]
"""For each byte of a state, what becomes of it behind some zeros."""


def crc32c(data: bytes, crc: int = 0) -> int:
    """The checksum of `data` behind bytes whose checksum is `crc` (as Go's crc32.Update does)."""
    return _advance(crc ^ ONES, data) ^ ONES


def running(parts: Sequence[bytes], crc: int) -> Iterator[int]:
    """The checksum after each part, all parts being one stream of bytes behind bytes whose checksum is `crc`."""
    blocks = _blocks(_padded(parts))
    shifts = _shifts()
    zero, one, two, three = shifts[0]
    state = crc ^ ONES
    for part in parts:
        size = len(part)
        if size:
            first = shifts[size % BLOCK]  # the first block holds so many bytes of the part
            state = (
                first[0][state & 0xFF]
                ^ first[1][state >> 8 & 0xFF]
                ^ first[2][state >> 16 & 0xFF]
                ^ first[3][state >> 24]
                ^ next(blocks)
            )
            for _ in range((size - 1) // BLOCK):
                state = (
                    zero[state & 0xFF] ^ one[state >> 8 & 0xFF] ^ two[state >> 16 & 0xFF] ^ three[state >> 24]
                ) ^ next(blocks)
        yield state ^ ONES


def _padded(parts: Sequence[bytes]) -> bytes:
    """The parts one behind the other, each with zeros before it until it is whole blocks."""
    zeros = [bytes(-size % BLOCK) for size in range(BLOCK)]
    pieces: list[bytes] = []
    for part in parts:
        pieces += (zeros[len(part) % BLOCK], part)
    return b"".join(pieces)


def _advance(state: int, data: bytes) -> int:
    table = _table()
    for byte in data:
        state = table[(state ^ byte) & 0xFF] ^ state >> 8
    return state


def _blocks(data: bytes) -> Iterator[int]:
    """The state that each block leaves behind, from a state of 0; `data` is whole blocks."""
    tables = [bytes(value >> shift & 0xFF for value in _table()) for shift in (0, 8, 16, 24)]
    for start in range(0, len(data), BLOCK * LANES):
        chunk = data[start : start + BLOCK * LANES]
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
def _table() -> list[int]:
    """What one byte does to a state."""
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (POLYNOMIAL if value & 1 else 0)
        table.append(value)
    return table


@cache
def _shifts() -> list[Shift]:
    """What becomes of a state behind 1 to BLOCK zeros, by their number; that for a whole block is the first, at 0."""
    bits = [1 << bit for bit in range(32)]
    found = []
    for _ in range(BLOCK):
        bits = [_advance(bit, b"\0") for bit in bits]
        found.append(_shift(bits))
    return [found[-1], *found[:-1]]


def _shift(bits: list[int]) -> Shift:
    """For each byte of a state, from what becomes of each bit."""
    tables = []
    for place in range(0, 32, 8):
        table = [0]
        for bit in bits[place : place + 8]:
            table += [value ^ bit for value in table]
        tables.append(table)
    return tables[0], tables[1], tables[2], tables[3]

"""Reading protobuf messages of which only a few fields matter (raftpb, walpb, mvccpb, etcdserverpb)."""

from __future__ import annotations

from dataclasses import dataclass, field

from requorum.facts.data_error import DataError

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


def varint(buffer: bytes, at: int) -> tuple[int, int]:
    """The number at this offset, and the offset behind it. Raises DataError where the message ends too early."""
    value = shift = 0
    while at < len(buffer) and shift < 70:
        byte = buffer[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, at
        shift += 7
    raise DataError(f"expected a protobuf number at byte {at}, found the end of the message or more than ten bytes")


@dataclass(frozen=True, slots=True)
class Message:
    """The fields of a message by their number; of a field that is there more than once, `repeated` has them all."""

    numbers: dict[int, int] = field(default_factory=dict)
    repeated: dict[int, list[bytes]] = field(default_factory=dict)

    def number(self, tag: int) -> int:
        """A number; 0 where it is absent, as in protobuf."""
        return self.numbers.get(tag, 0)

    def bytes(self, tag: int) -> bytes:
        """The last value of a field of bytes; empty where it is absent."""
        found = self.repeated.get(tag)
        return found[-1] if found else b""


def parse(buffer: bytes) -> Message:
    """The fields of one message. Raises DataError if these bytes are none."""
    numbers: dict[int, int] = {}
    repeated: dict[int, list[bytes]] = {}
    at, end = 0, len(buffer)
    while at < end:
        tag = buffer[at]
        if tag < 0x80:  # nearly always: one byte
            at += 1
        else:
            tag, at = varint(buffer, at)
        wire = tag & 7
        if wire == VARINT:
            numbers[tag >> 3], at = varint(buffer, at)
            continue
        if wire == BYTES:
            if at < end and (size := buffer[at]) < 0x80:
                at += 1
            else:
                size, at = varint(buffer, at)
        elif wire in (FIXED64, FIXED32):
            size = 8 if wire == FIXED64 else 4
        else:
            raise DataError(f"expected a protobuf field, found wire type {wire} before byte {at}")
        if at + size > end:
            raise DataError(f"expected {size} bytes of a protobuf field at byte {at}, found {end - at}")
        repeated.setdefault(tag >> 3, []).append(buffer[at : at + size])
        at += size
    return Message(numbers, repeated)

"""Messages read by their layout are what the general parser finds in them, whatever their bytes are."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from mmap import mmap

import pytest
from samples import VERSIONS, Sample
from wal_writer import FIRST, Writer, number

from requorum.facts import wal, wal_layout, wal_segment
from requorum.facts.crc32c import crc32c, running
from requorum.facts.data_error import DataError
from requorum.facts.protobuf import parse, varint
from requorum.facts.wal_replay import PLACE, Replay

NUMBERS = (
    0,
    1,
    0x7F,
    0x80,
    0x3FFF,
    0x4000,
    0x1F_FFFF,
    0x20_0000,
    1 << 28,
    (1 << 32) - 1,
    1 << 35,
    1 << 63,
    (1 << 64) - 1,
)
SIZES = (0, 1, 5, 0x7F, 0x80, 300, 0x3FFF, 0x4000, 70_000)


def slow_record(buffer: bytes) -> object:
    message = parse(buffer)
    return message.number(1), message.number(2), message.bytes(3)


def slow_entry(buffer: bytes) -> object:
    message = parse(buffer)
    return message.number(3), message.number(2), message.number(1), message.bytes(4)


def slow_state(buffer: bytes) -> object:
    message = parse(buffer)
    return message.number(1), message.number(2), message.number(3)


def in_a_segment(buffer: bytes) -> object:
    """A record with other bytes around it, which it must not look at."""
    return wal_layout.read_record(b"\x08\x80\x22" + buffer + b"\x1a\xff" * 9, 3, 3 + len(buffer))


def plainly(buffer: bytes) -> object:
    """Every field of a message, each number by `varint`: nothing is read faster here."""
    numbers: dict[int, int] = {}
    repeated: dict[int, list[bytes]] = {}
    at = 0
    while at < len(buffer):
        tag, at = varint(buffer, at)
        if tag & 7 == 0:
            numbers[tag >> 3], at = varint(buffer, at)
            continue
        if tag & 7 == 2:
            size, at = varint(buffer, at)
        elif tag & 7 in (1, 5):
            size = 8 if tag & 7 == 1 else 4
        else:
            raise DataError(f"expected a protobuf field, found wire type {tag & 7} before byte {at}")
        if at + size > len(buffer):
            raise DataError(f"expected {size} bytes of a protobuf field at byte {at}, found {len(buffer) - at}")
        repeated.setdefault(tag >> 3, []).append(buffer[at : at + size])
        at += size
    return numbers, repeated


def whole(buffer: bytes) -> object:
    message = parse(buffer)
    return message.numbers, message.repeated


PAIRS = ((in_a_segment, slow_record), (wal_layout.read_entry, slow_entry), (wal_layout.read_state, slow_state))


def outcome(read: Callable[[bytes], object], buffer: bytes) -> object:
    try:
        return read(buffer)
    except DataError as error:
        return str(error)


def agree(buffer: bytes) -> None:
    for fast, slow in (*PAIRS, (whole, plainly)):
        assert outcome(fast, buffer) == outcome(slow, buffer), (fast, buffer[:80].hex(" "))


def overlong(value: int, chance: random.Random) -> bytes:
    """A number, sometimes with more bytes than it needs, or than it may have."""
    out = number(value)
    if chance.random() < 0.1:
        out = bytes([*out[:-1], out[-1] | 0x80]) + b"\x80" * chance.randrange(10 - len(out) + 2) + b"\0"
    return out


def made(chance: random.Random) -> bytes:
    """A record, entry or state, with the fields of one of them, mostly in order."""
    numbers, data = chance.choice(((2, 3), (3, 4), (3, 0)))
    fields = [bytes([tag << 3]) + overlong(chance.choice(NUMBERS), chance) for tag in range(1, numbers + 1)]
    if chance.random() < 0.7:
        fields[0] = bytes([8, chance.randrange(6)])
    if data and chance.random() < 0.95:
        body = chance.randbytes(chance.choice(SIZES))
        size = len(body) + (chance.choice((-1, 1, 200)) if chance.random() < 0.05 else 0)
        fields.append(bytes([data << 3 | 2]) + overlong(max(0, size), chance) + body)
    if chance.random() < 0.1:
        fields.insert(
            chance.randrange(len(fields) + 1), chance.choice((b"\x28\x01", b"\x22\x01x", b"\x10\x05", b"\x1a\0"))
        )
    if chance.random() < 0.1:
        chance.shuffle(fields)
    return b"".join(fields)


def mutated(buffer: bytes, chance: random.Random) -> bytes:
    """With a bit of its first bytes flipped, one of them another, cut off, or longer."""
    out = bytearray(buffer)
    at = chance.randrange(min(len(out), 24)) if out else 0
    kind = chance.randrange(4)
    if kind == 0 and out:
        out[at] ^= 1 << chance.randrange(8)
    elif kind == 1 and out:
        out[at] = chance.choice((0x08, 0x10, 0x18, 0x1A, 0x22, 0x7F, 0x80, 0xFF))
    elif kind == 2:
        del out[at:]
    else:
        out += chance.randbytes(chance.randrange(1, 9))
    return bytes(out)


@pytest.mark.parametrize("seed", range(4))
def test_both_ways_agree_on_what_was_made_and_on_what_was_damaged(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(1500):
        buffer = made(chance)
        agree(buffer)
        for _ in range(3):
            buffer = mutated(buffer, chance)
            agree(buffer)
        agree(chance.randbytes(chance.randrange(40)))


@pytest.mark.parametrize("number_of_bytes", range(20))
def test_both_ways_agree_at_the_end_of_a_segment(number_of_bytes: int) -> None:
    """A record is read where the file ends right behind it."""
    buffer = (b"\x08\x02\x10\xff\xff\xff\xff\x0f\x1a\x08" + b"12345678")[:number_of_bytes]
    if buffer:
        mapped = mmap(-1, len(buffer))
        mapped[:] = buffer
        assert outcome(lambda b: wal_layout.read_record(mapped, 0, len(b)), buffer) == outcome(slow_record, buffer)
    agree(buffer)


def test_what_etcd_writes_is_read_by_its_layout(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else it would be right, and slow."""
    general: list[bytes] = []
    monkeypatch.setattr(wal_layout, "parse", lambda buffer: general.append(buffer) or parse(buffer))
    for version in VERSIONS:
        general.clear()
        _, read = wal.read_entries(Sample(version).segments("m0"), 0)
        # The first checksum, an entry without data for each term, and each sixteenth record: its checksum is shorter.
        assert len(general) < len(read.where) / 4


@pytest.mark.parametrize("seed", range(6))
def test_a_damaged_log_is_read_and_refused_alike(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(seed)
    writer = Writer()
    for index in range(1, 60):
        writer.entry(index, 1 + index // 20, chance.randbytes(chance.choice((0, 3, 100, 700))))
        writer.state(1 + index // 20, index - 1)
    damaged = []
    for _ in range(60):
        content = bytearray(writer.content + bytes(2048))
        at = chance.randrange(len(writer.content))
        for _ in range(chance.choice((1, 1, 8, 600))):
            content[at % len(content)] = chance.choice((0, chance.randrange(256)))
            at += 1
        damaged.append(bytes(content))
    fast = [log_of(content) for content in damaged]
    monkeypatch.setattr(wal_segment, "read_record", lambda content, at, end: slow_record(content[at:end]))
    monkeypatch.setattr(wal, "read_entry", slow_entry)
    monkeypatch.setattr(wal, "read_state", slow_state)
    monkeypatch.setattr(Replay, "entry", slowly_replayed)
    assert fast == [log_of(content) for content in damaged]


def log_of(content: bytes) -> object:
    seen: list[object] = []
    try:
        log, entries = wal.read_entries([(FIRST, content)], 3, lambda *entry: seen.append(entry))
        return log, list(entries), seen
    except DataError as error:
        return str(error), seen


def slowly_replayed(replay: Replay, index: int, term: int, kind: int, data: bytes, place: int) -> None:
    from requorum.facts.wal_replay import _Item

    replay._feed(_Item(index, term, kind, data if kind else b"", place))


@pytest.mark.parametrize("seed", range(20))
def test_entries_are_laid_over_each_other_alike(seed: int) -> None:
    """Whether the usual next entry takes the short way, or all of them the long one."""
    chance = random.Random(seed)
    for repetition in range(100):
        before = chance.choice((0, 0, 7))
        two = [Replay(before=before, oldest=before == 0, above=chance.choice((None, 0, 9))) for _ in range(2)]
        two[1]._above = two[0]._above
        told = [
            replayed(replay, random.Random(f"{seed} {repetition}"), step)
            for replay, step in zip(two, STEPS, strict=True)
        ]
        assert told[0] == told[1]


STEPS: tuple[Callable[..., None], ...] = (Replay.entry, slowly_replayed)


def replayed(replay: Replay, chance: random.Random, step: Callable[..., None]) -> list[object]:
    told: list[object] = []
    term = 1
    try:
        for place in range(60):
            what = chance.random()
            term += what > 0.95
            index = max(1, replay.last + 1 - (chance.randrange(5) if chance.random() < 0.1 else 0))
            if what < 0.06:
                replay.snapshot_at(max(1, replay.last + chance.randrange(-9, 4)), term)
            elif what < 0.2:
                replay.commit_to(max(0, replay.last - chance.randrange(3)))
            else:
                step(replay, index, term, int(chance.random() < 0.05), b"x", place << PLACE)
            told.append(
                (replay.first, replay.last, replay.last_term, replay.snapshot, replay.stale, replay.places()[0])
            )
        replay.finish()
    except DataError as error:
        told.append(str(error))
    told += [replay.first, replay.last, replay.last_term, replay.stale, [*replay.changes], [*replay.places()[1]]]
    told += [replay.term_at(index) for index in range(70)]
    return told


def test_checksums_of_parts_of_every_size() -> None:
    chance = random.Random(9)
    parts = [chance.randbytes(size) for size in (*range(200), 64 * 4096 - 1, 64 * 4096, 64 * 4096 + 1, 0, 0, 1)]
    chance.shuffle(parts)
    expected, crc = [], 0xFFFFFFFF
    for part in parts:
        crc = crc32c(part, crc)
        expected.append(crc)
    assert list(running(parts, 0xFFFFFFFF)) == expected


def test_many_small_records_are_more_than_one_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    writer = Writer()
    for index in range(1, 40):
        writer.entry(index, 1)
    content = writer.content + bytes(100)
    at_once = log_of(content)
    torn = log_of(content[:-103])
    for limit in ("BATCH", "BATCHED"):
        for size in (1, 7, 40):
            with monkeypatch.context() as patch:
                patch.setattr(wal_segment, limit, size)
                assert log_of(content) == at_once
                assert log_of(content[:-103]) == torn


def test_a_frame_that_the_file_does_not_hold_is_no_index_error() -> None:
    for size in range(0, 24):
        content = struct.pack("<Q", size) + bytes(b"\x08\x04\x10\0"[:size])
        assert isinstance(log_of(content), tuple)

"""The log of real members, whole and damaged, and logs that are made here."""

from __future__ import annotations

import random
import time
from dataclasses import replace
from functools import cache

import pytest
from samples import SEGMENTS, VERSIONS, Sample, segments
from wal_writer import FIRST, Writer, field, number, read_log

from requorum.facts.crc32c import crc32c, running
from requorum.facts.data_error import DataError
from requorum.facts.wal import Log, is_segment


@cache
def recorded(version: str, member: str) -> tuple[tuple[str, bytes], ...]:
    return tuple(Sample(version).segments(member))


def small(version: str = "3.4.23") -> bytes:
    """A real segment without most of its zeros, so that a test may read it a thousand times."""
    [(_, content)] = recorded(version, "m0")
    used = len(content.rstrip(b"\0"))
    return content[: used + 4096 - used % 4096 + 4096]


def log_or_refusal(content: bytes) -> Log | str:
    try:
        return read_log([(FIRST, content)])
    except DataError as error:
        return str(error)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("member", ["m0", "m1", "m2"])
def test_log_is_as_etcd_says(version: str, member: str) -> None:
    said = Sample(version).said
    log = read_log(recorded(version, member))
    status = said["members"][member]["status"]
    assert log.node_id == status["header"]["member_id"]
    assert log.cluster_id == status["header"]["cluster_id"]
    assert log.last_term == status["raftTerm"] <= log.term
    is_leader = member == said["leader"]
    # The hanging write is only in the leader's log; the commit index of a follower is written after its last entry.
    assert log.last_index == status["raftIndex"] + (1 if is_leader else 0)
    assert status["raftIndex"] - 1 <= log.commit <= status["raftIndex"]
    if is_leader:
        assert log.tail == said["members"][member]["discarded"] == 1
    assert not log.torn
    assert not log.stale
    assert not log.needs_more
    assert log.first_index == 1
    assert log.snapshot_index >= 100


@pytest.mark.parametrize(
    ("version", "kinds"),
    [
        ("3.3.25", ["add", "add", "add", "add", "remove", "update"]),
        ("3.4.23", ["add", "add", "add", "add-learner", "promote", "remove", "update", "add-learner"]),
        ("3.5.16", ["add", "add", "add", "add-learner", "promote", "remove", "update", "add-learner"]),
    ],
)
def test_membership_changes(version: str, kinds: list[str]) -> None:
    said = Sample(version).said
    changes = read_log(recorded(version, "m0")).conf_changes
    assert [change.kind for change in changes] == kinds
    listed = {m["ID"]: m for m in said["list"]["members"]}
    for change in changes[:3]:
        assert change.name == listed[change.node_id]["name"]
    update = next(change for change in changes if change.kind == "update")
    assert list(update.peer_urls) == listed[update.node_id]["peerURLs"]
    removed = next(change for change in changes if change.kind == "remove")
    assert removed.node_id not in listed


def test_joiner_that_received_a_snapshot() -> None:
    log = read_log(recorded("3.5.16", "m3"))
    assert log.first_index is not None
    assert log.first_index > 100
    assert log.snapshot_index == log.first_index - 1
    assert not log.stale


def test_newest_of_three_segments_is_enough() -> None:
    both = segments(SEGMENTS)
    begin = time.monotonic()
    newest, all_of_them = read_log(both[-1:]), read_log(both)
    assert time.monotonic() - begin < 20  # 75 MB of records; 1.5 s on a quiet machine
    assert newest.last_index == all_of_them.last_index >= 144
    assert newest.last_term == all_of_them.last_term == 2
    assert newest.commit == all_of_them.commit
    assert all_of_them.first_index is not None
    assert newest.first_index is not None
    assert all_of_them.first_index < newest.first_index


def test_segment_of_another_log_is_refused() -> None:
    (one, _), (two, second) = segments(SEGMENTS)
    with pytest.raises(DataError, match="does not follow the one before"):
        read_log([(one, small()), (two, second)])
    with pytest.raises(DataError, match="a segment is missing"):
        read_log([(FIRST, small()), (two, second)])


def test_zeros_cost_nothing() -> None:
    content = small()
    padded = content + bytes((64 << 20) - len(content))
    begin = time.monotonic()
    log = read_log([(FIRST, padded)])
    assert time.monotonic() - begin < 2  # 0.1 s on a quiet machine
    assert replace(log, end=None) == replace(read_log([(FIRST, content)]), end=None)


def test_every_cut_ends_the_log_and_never_lengthens_it() -> None:
    content = small()
    used = len(content.rstrip(b"\0"))
    whole = read_log([(FIRST, content)])
    for at in random.Random(1).sample(range(500, used), 60):
        for cut in (content[:at], content[:at] + bytes(len(content) - at)):
            log = log_or_refusal(cut)
            if isinstance(log, str):
                # Zeros written over less than a sector are, for etcd too, damage and no tear.
                assert len(cut) > at
                assert "damaged" in log
                continue
            assert log.last_index <= whole.last_index
            assert log.commit <= whole.commit


def test_file_cut_in_a_record_is_torn() -> None:
    content = small().rstrip(b"\0")
    assert read_log([(FIRST, content[:-3])]).torn


def test_torn_sector_ends_the_log() -> None:
    writer = Writer()
    writer.entry(1, 1)
    writer.state(1, 1)
    whole = len(writer.content)
    writer.entry(2, 1, b"x" * 3000)
    content = writer.content
    torn = content[: whole + 1024 - whole % 512] + bytes(512) + content[whole + 1536 - whole % 512 :]
    log = read_log([(FIRST, torn + bytes(4096))])
    assert log.torn
    assert (log.last_index, log.commit) == (1, 1)
    with pytest.raises(DataError, match="newer segments follow"):
        read_log([(FIRST, torn), (f"{1:016x}-{2:016x}.wal", Writer(writer.crc).content)])


def test_bytes_behind_zeros_are_torn() -> None:
    writer = Writer()
    writer.entry(1, 1)
    log = read_log([(FIRST, writer.content + bytes(512) + b"left over" + bytes(512))])
    assert log.torn
    assert log.last_index == 1


@pytest.mark.parametrize("version", VERSIONS)
def test_flipped_bit_is_seen(version: str) -> None:
    """No flipped bit changes what is read: it is refused, or it looks torn and ends the log before."""
    content = small(version)
    used = len(content.rstrip(b"\0"))
    whole = read_log([(FIRST, content)])
    chance = random.Random(7)
    refused = 0
    for _ in range(60):
        at = chance.randrange(used)
        flipped = bytearray(content)
        flipped[at] ^= 1 << chance.randrange(8)
        log = log_or_refusal(bytes(flipped))
        if isinstance(log, str):
            assert "expected" in log
            refused += 1
        elif log.torn:
            assert log.last_index <= whole.last_index
        else:
            # Padding, or the frame's unused bits: etcd does not look at them either.
            assert log == whole
    assert refused > 30


def test_noise_is_never_a_traceback() -> None:
    chance = random.Random(3)
    for size in (0, 1, 7, 8, 9, 100, 5000):
        for _ in range(20):
            with pytest.raises(DataError):
                read_log([(FIRST, chance.randbytes(size))])
    with pytest.raises(DataError, match="identity"):
        read_log([(FIRST, bytes(64))])
    with pytest.raises(DataError, match="at least one segment"):
        read_log([])
    with pytest.raises(DataError, match=r"found '0.tmp'"):
        read_log([("0.tmp", b"")])
    assert is_segment(FIRST)
    assert not is_segment(FIRST + ".broken")


def test_overwritten_entries_do_not_count() -> None:
    writer = Writer()
    for index in range(1, 8):
        writer.entry(index, 1)
    context = b'{"id":9,"peerURLs":["http://c:2380"]}'
    change = field(2, 0) + field(3, 9) + b"\x22" + number(len(context)) + context
    writer.entry(8, 1, change, kind=1)
    assert [c.node_id for c in writer.log().conf_changes] == [9]
    writer.entry(6, 2)
    writer.state(2, 5)
    log = writer.log()
    assert (log.last_index, log.last_term, log.commit, log.tail) == (6, 2, 5, 1)
    assert log.conf_changes == ()


def test_newer_kind_of_membership_change() -> None:
    writer = Writer()
    single = field(1, 3) + field(2, 9)
    writer.entry(1, 1, field(1, 0) + b"\x12" + number(len(single)) + single, kind=2)
    assert [(c.kind, c.node_id) for c in writer.log().conf_changes] == [("add-learner", 9)]


def test_received_snapshot_begins_the_log_again() -> None:
    writer = Writer()
    for index in range(1, 6):
        writer.entry(index, 1)
    writer.state(3, 50)
    writer.snapshot(50, 3)
    log = writer.log()
    assert (log.last_index, log.last_term, log.first_index, log.snapshot_index) == (50, 3, None, 50)
    assert not log.needs_more
    writer.entry(51, 3)
    assert replace(writer.log(), first_index=None, end=log.end) == replace(log, last_index=51)


def test_the_term_of_the_entry_at_the_commit_index() -> None:
    """A forced start cuts the log there; what it appends has a later term."""
    writer = Writer()
    for index, term in ((1, 1), (2, 1), (3, 2), (4, 2), (5, 9)):
        writer.entry(index, term)
    found = []
    for commit in (0, 1, 2, 4, 5, 6):
        writer.state(9, commit)
        found.append(writer.log().commit_term)
    assert found == [0, 1, 1, 2, 9, None]
    later = Writer()
    for index in (7, 8):
        later.entry(index, 3)
    name = "0000000000000001-0000000000000007.wal"
    for commit, known in ((5, None), (6, None), (7, 3)):
        later.state(3, commit)
        assert later.log(name).commit_term == known
    received = Writer()
    received.state(3, 50)
    received.snapshot(50, 3)
    received.entry(51, 4)
    assert received.log().commit_term == 3


def test_entries_of_an_old_leader_above_a_received_snapshot_are_stale() -> None:
    writer = Writer()
    for index in range(1, 21):
        writer.entry(index, 1)
    writer.state(3, 10)
    writer.snapshot(10, 3)
    log = writer.log()
    assert log.stale
    assert (log.last_index, log.last_term) == (10, 3)


def test_what_an_old_leader_left_is_cut_off_by_the_first_entry_behind_the_snapshot() -> None:
    """wal.go, ReadAll: `ents = append(ents[:up], e)`, counted from the snapshot."""
    writer = Writer()
    for index in range(1, 21):
        writer.entry(index, 1)
    writer.state(3, 10)
    writer.snapshot(10, 3)
    writer.entry(11, 3)
    log = writer.log()
    assert not log.stale
    assert (log.first_index, log.last_index, log.last_term) == (11, 11, 3)


def test_a_second_snapshot_does_not_cut_off_what_an_old_leader_left() -> None:
    """Nothing was written between the two: etcd loads the entries 16 to 20 behind the second one."""
    writer = Writer()
    for index in range(1, 21):
        writer.entry(index, 1)
    writer.state(3, 15)
    writer.snapshot(10, 3)
    writer.snapshot(15, 3)
    assert writer.log().stale
    writer.entry(16, 3)
    assert not writer.log().stale


def test_snapshot_above_the_commit_index_is_not_valid() -> None:
    writer = Writer()
    writer.entry(1, 1)
    writer.state(1, 1)
    writer.snapshot(9, 2)
    assert (writer.log().last_index, writer.log().snapshot_index) == (1, 0)


def test_gap_and_falling_term_are_refused() -> None:
    writer = Writer()
    writer.entry(1, 2)
    writer.entry(3, 2)
    with pytest.raises(DataError, match="expected the entry 2 in the WAL, found 3"):
        writer.log()
    writer = Writer()
    writer.entry(1, 2)
    writer.entry(2, 1)
    with pytest.raises(DataError, match="term of entry 2 to be at least 2, found 1"):
        writer.log()


def test_newest_segment_without_an_entry_needs_more() -> None:
    writer = Writer()
    writer.state(4, 99)
    log = writer.log(f"{5:016x}-{101:016x}.wal")
    assert log.needs_more
    assert (log.last_index, log.last_term, log.commit, log.first_index) == (100, 0, 99, None)


def test_overwriting_entries_of_an_older_segment() -> None:
    writer = Writer()
    writer.entry(90, 4)
    writer.state(4, 89)
    log = writer.log(f"{5:016x}-{101:016x}.wal")
    assert (log.last_index, log.last_term, log.first_index, log.needs_more) == (90, 4, 90, False)


def test_checksum() -> None:
    assert crc32c(b"123456789") == 0xE3069283  # RFC 3720, appendix B.4 (iSCSI) names the polynomial; the usual check
    chance = random.Random(5)
    parts = [chance.randbytes(chance.choice([0, 1, 255, 256, 257, 3000])) for _ in range(400)]
    expected, crc = [], 77
    for part in parts:
        crc = crc32c(part, crc)
        expected.append(crc)
    assert list(running(parts, 77)) == expected
    assert list(running([], 1)) == []

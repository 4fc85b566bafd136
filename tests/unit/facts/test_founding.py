"""A log that only founds a cluster, and one that holds a write."""

from __future__ import annotations

import pytest
from samples import VERSIONS, Sample
from wal_writer import FIRST, Writer, field, number, read_log

from requorum.facts.founding import EVERY, Witness


def text(tag: int, value: bytes) -> bytes:
    return number(tag << 3 | 2) + number(len(value)) + value


ADD = field(1, 1) + field(3, 7)
PUBLISH_V2 = field(1, 9) + text(2, b"PUT") + text(3, b"/0/members/7/attributes") + text(4, b"{}")
PUBLISH_V3 = text(100, field(1, 9)) + text(1301, field(1, 7))
VERSION = text(100, field(1, 9)) + text(1300, b"3.5.0")
PUT = text(100, field(1, 9)) + text(4, text(1, b"key") + text(2, b"value"))
VERSION_V2 = field(1, 9) + text(2, b"PUT") + text(3, b"/0/version") + text(4, b"3.3.0")
SYNC_V2 = field(1, 9) + text(2, b"SYNC")
READ_V2 = field(1, 9) + text(2, b"GET") + text(3, b"/1/app/key")
PUT_V2 = field(1, 9) + text(2, b"PUT") + text(3, b"/1/app/key") + text(4, b"value")
DELETE_V2 = field(1, 9) + text(2, b"DELETE") + text(3, b"/1/app/key")
LEASE = field(1, 9) + text(8, field(1, 60))


def witnessed(*entries: bytes) -> Witness:
    writer = Writer()
    writer.entry(1, 1, ADD, kind=1)
    for index, data in enumerate(entries, start=2):
        writer.entry(index, 2, data)
    writer.state(2, 1)
    found = Witness()
    read_log([(FIRST, writer.content + bytes(4096))], found.see)
    return found


def test_what_an_emptied_host_writes_at_its_start() -> None:
    assert not witnessed(b"", PUBLISH_V2, VERSION_V2, SYNC_V2, READ_V2, VERSION, PUBLISH_V3).wrote


@pytest.mark.parametrize("entry", [PUT, PUT_V2, DELETE_V2, LEASE, b"\x07 no message", text(5, b"")])
def test_what_may_be_a_write_counts(entry: bytes) -> None:
    assert witnessed(b"", PUBLISH_V2, entry).wrote


@pytest.mark.parametrize("version", VERSIONS)
def test_members_of_one_cluster_hold_the_same_entries(version: str) -> None:
    sample = Sample(version)
    found = {member: Witness() for member in ("m0", "m1", "m2")}
    ends = [read_log(sample.segments(member), found[member].see).commit for member in found]
    assert all(one.wrote for one in found.values())
    committed = [{i: s for i, s in one.samples.items() if i <= min(ends)} for one in found.values()]
    assert committed[0] == committed[1] == committed[2]
    assert len(committed[0]) >= min(EVERY, min(ends))


def test_another_write_under_the_same_number() -> None:
    assert witnessed(b"", PUT).samples[3] != witnessed(b"", LEASE).samples[3]
    assert witnessed(b"", PUT).samples == witnessed(b"", PUT).samples

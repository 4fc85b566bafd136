"""A log that only founds a cluster, and one that holds a write."""

from __future__ import annotations

import pytest
from samples import VERSIONS, Sample
from wal_writer import FIRST, Writer, field, number

from requorum.facts.founding import may_hold_writes


def text(tag: int, value: bytes) -> bytes:
    return number(tag << 3 | 2) + number(len(value)) + value


ADD = field(1, 1) + field(3, 7)
PUBLISH_V2 = field(1, 9) + text(2, b"PUT") + text(3, b"/0/members/7/attributes") + text(4, b"{}")
PUBLISH_V3 = text(100, field(1, 9)) + text(1301, field(1, 7))
VERSION = text(100, field(1, 9)) + text(1300, b"3.5.0")
PUT = text(100, field(1, 9)) + text(4, text(1, b"key") + text(2, b"value"))
LEASE = field(1, 9) + text(8, field(1, 60))


def holds(*entries: bytes) -> bool:
    writer = Writer()
    writer.entry(1, 1, ADD, kind=1)
    for index, data in enumerate(entries, start=2):
        writer.entry(index, 2, data)
    writer.state(2, 1)
    return may_hold_writes([(FIRST, writer.content + bytes(4096))])


def test_what_an_emptied_host_writes_at_its_start() -> None:
    assert not holds(b"", PUBLISH_V2, VERSION, PUBLISH_V3)


@pytest.mark.parametrize("entry", [PUT, LEASE, b"\x07 no message", text(5, b"")])
def test_what_may_be_a_write_counts(entry: bytes) -> None:
    assert holds(b"", PUBLISH_V2, entry)


@pytest.mark.parametrize("version", VERSIONS)
def test_real_logs_with_writes(version: str) -> None:
    assert may_hold_writes(Sample(version).segments("m0"))

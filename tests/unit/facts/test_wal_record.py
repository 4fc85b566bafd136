"""The one record that Requorum writes into a log: a reader of logs takes it as etcd's own."""

from __future__ import annotations

from dataclasses import replace

import pytest
from samples import VERSIONS, Sample
from wal_writer import read_log

from requorum.facts.wal_record import state_record


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("member", ["m0", "m1", "m2"])
def test_an_appended_record_raises_the_commit_and_nothing_else(version: str, member: str) -> None:
    *older, (name, content) = sorted(Sample(version).segments(member))
    log = read_log([*older, (name, content)])
    record = state_record(log.term, log.vote, log.last_index, log.end.crc)
    assert len(record) % 8 == 0
    behind = bytes(max(0, log.end.size - log.end.offset - len(record)))
    again = read_log([*older, (name, content[: log.end.offset] + record + behind)])
    assert replace(again, conf_changes=(), end=log.end) == replace(log, conf_changes=(), commit=log.last_index)
    assert again.end.offset == log.end.offset + len(record)
    assert not again.torn

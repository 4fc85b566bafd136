"""The oracle reads what etcd wrote, and ends where a log ends."""

from __future__ import annotations

from pathlib import Path

import pytest
from request_writer import a_put, request
from samples import VERSIONS, Sample
from tail_oracle import begins_with_first_entry, keys_in_log
from wal_writer import FIRST, Writer

from requorum.facts.requests import Put, read_request
from requorum.facts.wal import read_entries

LATE = rb"/late/\d+"


@pytest.mark.parametrize("version", VERSIONS)
def test_it_finds_what_requorum_finds_in_recorded_logs(version: str, tmp_path: Path) -> None:
    segments = Sample(version).segments("m0")
    for name, content in segments:
        (tmp_path / name).write_bytes(content)
    _, entries = read_entries(segments, 0)
    requests = [read_request(entry.data) for entry in entries if not entry.type]
    wanted = {one.key.decode() for one in requests if isinstance(one, Put) and one.key.startswith(b"/late/")}
    assert len(wanted) > 10
    assert keys_in_log(tmp_path, LATE) == wanted


def written(*entries: tuple[int, int, bytes]) -> bytes:
    """A segment of puts: index, term and key of each."""
    writer = Writer()
    for index, term, key in entries:
        writer.entry(index, term, request(4, a_put(key)))
    return writer.content


def test_what_a_later_leader_took_back_is_not_there(tmp_path: Path) -> None:
    log = written((1, 1, b"/late/1"), (2, 1, b"/late/2"), (3, 1, b"/late/3"), (2, 2, b"/late/4"))
    (tmp_path / FIRST).write_bytes(log)
    assert keys_in_log(tmp_path, LATE) == {"/late/1", "/late/4"}


@pytest.mark.parametrize("less", [9, 30])
def test_it_ends_at_a_torn_record(tmp_path: Path, less: int) -> None:
    log = written((1, 1, b"/late/1"), (2, 1, b"/late/2"))
    for torn in (log[:-less], log[:-less].ljust(len(log) + 4096, b"\0")):
        (tmp_path / FIRST).write_bytes(torn)
        assert keys_in_log(tmp_path, LATE) == {"/late/1"}


def test_a_key_is_as_long_as_it_says(tmp_path: Path) -> None:
    """And other keys are none of those that are asked for."""
    (tmp_path / FIRST).write_bytes(written((1, 1, b"/late/1"), (2, 1, b"/later/2"), (3, 1, b"w1-2")))
    assert keys_in_log(tmp_path, LATE) == {"/late/1"}
    assert keys_in_log(tmp_path) == {"w1-2"}


def test_a_log_without_its_beginning_is_no_oracle(tmp_path: Path) -> None:
    (tmp_path / f"{1:016x}-{5:016x}.wal").write_bytes(written((5, 1, b"/late/1")))
    assert not begins_with_first_entry(tmp_path)
    with pytest.raises(AssertionError, match="does not begin with its first entry"):
        keys_in_log(tmp_path, LATE)

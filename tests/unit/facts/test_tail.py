"""What stands in the tail, and what a log says that its member will hold."""

from __future__ import annotations

import json

import pytest
from request_writer import a_put, deletion, entries, framed, grant, put, request, txn, v2
from samples import VERSIONS, Sample
from wal_writer import FIRST, Writer, read_log

from requorum.facts.bolt import read_image
from requorum.facts.data_dir import judge
from requorum.facts.data_error import DataError
from requorum.facts.keyspace import Key
from requorum.facts.prediction import Prediction, predict, read_answer
from requorum.facts.tail import SHOWN, read_tail
from requorum.facts.wal import Entry, read_entries
from requorum.facts.wal_changes import ConfChange


def test_the_words_of_a_tail() -> None:
    data = entries(
        put(b"/a"), txn([], [framed(2, a_put(b"/b"))], [framed(2, a_put(b"/c"))]), deletion(b"/d/", b"/d0"),
        deletion(b"/e", b"/g"), deletion(b"/h", b"\0"), grant(5), b"", v2("PUT", "/1/x"), v2("PUT", "/0/members/1"),
        first=11,
    )  # fmt: skip
    changes = [ConfChange(20, "remove", 0xAB, "", ()), ConfChange(3, "add", 1, "x", ())]
    tail = read_tail([*data, Entry(20, 2, 1, b"")], 10, 20, changes)
    assert tail.words == (
        "10 log entries (11 to 20): 3 × deletion, 2 × v2 request, 1 × put, 1 × transaction, 1 × lease grant, "
        "1 × entry without keys, 1 × change of the membership; keys: /a, /b, /c, /d/*, /e to /g, /h to the last, "
        "/1/x (v2); changes of the membership: remove ab"
    )


def test_a_long_list_of_keys_is_cut_with_the_count_said() -> None:
    tail = read_tail(entries(*(put(b"/%d" % (n % 30)) for n in range(60))), 0, 60, [])
    assert tail.words.startswith("60 log entries (1 to 60): 60 × put; keys: /0, /1")
    assert tail.words.endswith(f"and {30 - SHOWN} more")
    assert len(tail.keys) == SHOWN


def test_no_tail() -> None:
    assert read_tail([], 10, 10, []).count == 0
    assert read_tail([], 12, 10, []).count == 0  # a received snapshot: the entries end below the commit index


def test_an_entry_that_cannot_be_read_is_told() -> None:
    tail = read_tail(entries(put(b"/a"), request(77, b""), first=5), 4, 6, [])
    assert "log entry 6: expected a request" in tail.unread
    assert tail.count == 2


@pytest.mark.parametrize("version", VERSIONS)
def test_the_recorded_leaders_tail_is_its_hanging_write(version: str) -> None:
    sample = Sample(version)
    leader = sample.said["leader"]
    data = judge(sample.segments(leader), read_image(sample.db(leader)))
    assert data.tail is not None
    if data.settled < (data.log.last_index if data.log else 0):
        assert (data.tail.kinds, data.tail.keys) == ((("put", 1),), ("/hanging",))
    assert data.end_of_tail == (data.log.last_index if data.log else 0)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("member", ["m0", "m1", "m2"])
def test_database_and_log_say_together_what_etcd_held(version: str, member: str) -> None:
    """From every entry that the log still has: also where the database holds it already, nothing may come twice."""
    sample = Sample(version)
    image = sample.db(member)
    held = read_image(image).consistent_index or 0
    log, above = read_entries(sample.segments(member), 0)
    commit = sample.said["members"][member]["status"]["raftIndex"]
    prediction = predict(image, above, min(commit, log.last_index))
    assert held <= commit
    revision, keys = max(sample.keys().items())
    assert prediction.revision == revision
    assert {name: key.changed for name, key in prediction.keys.items()} == keys


def test_entries_are_those_that_count() -> None:
    writer = Writer()
    for index in range(1, 9):
        writer.entry(index, 2, b"old")
    for index in range(5, 8):
        writer.entry(index, 3, b"new")
    writer.state(3, 4)
    log, found = read_entries([(FIRST, writer.content)], 2)
    assert [(e.index, e.term, e.data) for e in found] == [
        (3, 2, b"old"), (4, 2, b"old"), (5, 3, b"new"), (6, 3, b"new"), (7, 3, b"new"),
    ]  # fmt: skip
    assert [e.index for e in found.above(5)] == [6, 7]
    assert [e.index for e in found.above(1)] == [3, 4, 5, 6, 7]
    assert log == read_log([(FIRST, writer.content)])


def test_a_received_snapshot_counts_once_a_hard_state_confirms_it() -> None:
    writer = Writer()
    writer.entry(1, 2)
    writer.snapshot(9, 3)
    unconfirmed = writer.log()
    assert (unconfirmed.last_index, unconfirmed.snapshot_index) == (1, 0)
    writer.entry(10, 3)  # etcd writes the entries of the same batch before the hard state
    writer.state(3, 9)
    log, found = read_entries([(FIRST, writer.content)], 0)
    assert (log.last_index, log.snapshot_index, log.first_index) == (10, 9, 10)
    assert [e.index for e in found] == [10]


def test_a_gap_between_database_and_log_is_an_error() -> None:
    image = Sample("3.4.23").db("m0")
    held = read_image(image).consistent_index or 0
    with pytest.raises(DataError, match="older segments are needed"):
        predict(image, entries(put(b"a"), first=held + 2), held + 2)
    with pytest.raises(DataError, match=f"to reach entry {held + 2}"):
        predict(image, entries(put(b"a"), first=held + 1), held + 2)


A, B, C = Key(2, 2, 1, 0), Key(3, 3, 1, 7), Key(4, 4, 1, 7)


@pytest.mark.parametrize(
    ("revision", "held", "unlike"),
    [
        (5, {b"a": A, b"b": B, b"c": C}, ""),
        (6, {b"a": A}, ""),  # one lease ended
        (6, {b"a": A, b"c": C}, "the key c is there"),  # a lease takes all of its keys
        (7, {b"a": A}, "the key b is not there"),
        (5, {b"a": A}, "the key b is not there"),
        (6, {b"a": A, b"b": B, b"c": C}, "the revision is 6, 5 was predicted"),
        (4, {b"a": A, b"b": B, b"c": C}, "the revision is 4"),
        (5, {b"a": A, b"b": B, b"c": C, b"d": A}, "the key d is there"),
        (5, {b"a": Key(2, 5, 2, 0), b"b": B, b"c": C}, "the key a has"),
    ],
)
def test_what_is_unlike_a_prediction(revision: int, held: dict[bytes, Key], unlike: str) -> None:
    found = Prediction(5, {b"a": A, b"b": B, b"c": C}).unlike(revision, held)
    assert unlike in "\n".join(found)
    assert bool(found) is bool(unlike)


def test_a_long_list_of_differences_is_cut() -> None:
    keys = {b"%02d" % n: A for n in range(20)}
    assert Prediction(5, keys).unlike(5, {})[-1] == "and 15 more"


def test_a_prediction_is_told_by_its_checksum() -> None:
    one, same, other = Prediction(5, {b"a": A, b"b": B}), Prediction(5, {b"b": B, b"a": A}), Prediction(5, {b"a": A})
    assert repr(one) == repr(same) != repr(other)


def test_an_answer_of_etcdctl() -> None:
    kv = {"key": "YQ==", "create_revision": 2, "mod_revision": 3, "version": 1, "lease": 7}
    text = json.dumps({"header": {"revision": 9}, "kvs": [kv], "count": 1})
    assert read_answer(text) == (9, {b"a": Key(2, 3, 1, 7)})
    assert read_answer('{"header": {"revision": 1}}') == (1, {})
    for wrong in ("", "[]", "{}", '{"header": {"revision": 1}, "kvs": [{}]}', '{"header": {"revision": 1}, "kvs": 3}'):
        with pytest.raises(ValueError, match="expected keys in JSON"):
            read_answer(wrong)

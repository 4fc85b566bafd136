"""What entries of the log do to the keys; what real etcd does is held against this in tests/tail."""

from __future__ import annotations

import pytest
from request_writer import (
    a_compare,
    a_deletion,
    a_put,
    a_txn,
    alarm,
    compaction,
    deletion,
    framed,
    grant,
    look,
    numbered,
    put,
    request,
    revoke,
    txn,
    v2,
)  # fmt: skip

from requorum.facts.data_error import DataError
from requorum.facts.keyspace import Key, Keyspace, looked_at
from requorum.facts.requests import V2, Auth, Other, Put, SetAlarm, read_request

VERSION, CREATE, MOD, VALUE, LEASE = range(5)
EQUAL, GREATER, LESS, NOT_EQUAL = range(4)
PUT, DELETE, TXN = 2, 3, 4


def after(*data: bytes, space: Keyspace | None = None) -> Keyspace:
    found = space or Keyspace(1, 0, {}, wants_value=lambda key: True)
    for one in data:
        found.apply(read_request(one))
    return found


def names(space: Keyspace) -> list[bytes]:
    return sorted(space.keys)


def test_a_key_has_its_creation_its_change_and_its_version() -> None:
    space = after(put(b"a"), put(b"b"), put(b"a"))
    assert (space.revision, space.keys) == (4, {b"a": Key(2, 4, 2, 0), b"b": Key(3, 3, 1, 0)})
    assert after(deletion(b"a"), put(b"a"), space=space).keys[b"a"] == Key(6, 6, 1, 0)


@pytest.mark.parametrize(
    ("key", "end", "left"),
    [
        (b"a", b"", [b"aa", b"b", b"c"]),
        (b"a", b"b", [b"b", b"c"]),
        (b"b", b"\0", [b"a", b"aa"]),
        (b"\0", b"\0", []),
    ],
)
def test_a_deletion_takes_a_key_or_a_range(key: bytes, end: bytes, left: list[bytes]) -> None:
    space = after(put(b"a"), put(b"aa"), put(b"b"), put(b"c"), deletion(key, end))
    assert (names(space), space.revision) == (left, 6)


def test_a_deletion_of_nothing_is_no_revision() -> None:
    assert after(deletion(b"a"), deletion(b"", b"\0")).revision == 1


@pytest.mark.parametrize(
    ("compare", "holds"),
    [
        (a_compare(b"a", VERSION, EQUAL, 2), True),
        (a_compare(b"a", VERSION, GREATER, 1), True),
        (a_compare(b"a", VERSION, LESS, 2), False),
        (a_compare(b"a", CREATE, EQUAL, 2), True),
        (a_compare(b"a", MOD, NOT_EQUAL, 3), False),
        (a_compare(b"a", MOD, EQUAL, 3), True),
        (a_compare(b"a", VALUE, EQUAL, b"two"), True),
        (a_compare(b"a", VALUE, GREATER, b"tw"), True),
        (a_compare(b"a", LEASE, EQUAL, 0), True),
        (a_compare(b"none", VERSION, EQUAL, 0), True),
        (a_compare(b"none", VALUE, NOT_EQUAL, b"x"), False),  # etcd: a compare with the value of no key never holds
        (a_compare(b"none", VALUE, EQUAL, b""), False),
        (a_compare(b"a", VERSION, GREATER, 0, b"c"), True),
        (a_compare(b"a", VERSION, EQUAL, 2, b"c"), False),  # b was written once
    ],
)
def test_what_a_transaction_asks(compare: bytes, holds: bool) -> None:
    asked = txn([compare], [framed(PUT, a_put(b"yes"))], [framed(PUT, a_put(b"no"))])
    space = after(put(b"a", b"one"), put(b"a", b"two"), put(b"b", b"two"), asked)
    assert (b"yes" in space.keys, b"no" in space.keys) == (holds, not holds)


def test_a_transaction_is_one_revision_or_none() -> None:
    both = txn([], [framed(PUT, a_put(b"a")), framed(PUT, a_put(b"b")), framed(DELETE, a_deletion(b"a"))])
    assert after(both).keys == {b"b": Key(2, 2, 1, 0)}
    assert after(both).revision == 2
    assert after(txn([], [framed(DELETE, a_deletion(b"a"))])).revision == 1
    assert after(txn([], [])).revision == 1


def test_inner_compares_look_at_the_state_before() -> None:
    inner = a_txn([a_compare(b"a", VERSION, EQUAL, 0)], [framed(PUT, a_put(b"yes"))], [framed(PUT, a_put(b"no"))])
    assert names(after(txn([], [framed(PUT, a_put(b"a")), framed(TXN, inner)]))) == [b"a", b"yes"]


@pytest.mark.parametrize(
    "operation",
    [
        framed(PUT, a_put(b"b", lease=9)),
        framed(PUT, a_put(b"b", keeps_value=True)),
        framed(PUT, a_put(b"b", keeps_lease=True)),
        framed(TXN, a_txn([], [look(99)])),
    ],
)
def test_one_impossible_operation_and_nothing_of_a_transaction_is_done(operation: bytes) -> None:
    space = after(txn([], [framed(PUT, a_put(b"a")), operation]))
    assert (space.keys, space.revision) == ({}, 1)


def test_a_look_at_compacted_revisions_counts_in_an_inner_transaction_only() -> None:
    """Nobody waits for the answer of a replayed entry, so that etcd leaves the outer looks out before it checks them."""
    space = after(put(b"a"), put(b"a"), compaction(3))
    inner = framed(TXN, a_txn([], [look(2)]))
    assert after(txn([], [inner, framed(PUT, a_put(b"b"))]), space=space).revision == 3
    assert after(txn([], [look(2), framed(PUT, a_put(b"b"))]), space=space).revision == 4
    assert after(txn([], [framed(TXN, a_txn([], [look(3)])), framed(PUT, a_put(b"b"))]), space=space).revision == 5


@pytest.mark.parametrize("keeps", ["keeps_value", "keeps_lease"])
def test_what_etcd_dies_of_is_not_predicted(keeps: str) -> None:
    both = txn([], [framed(DELETE, a_deletion(b"a")), framed(PUT, a_put(b"a", **{keeps: True}))])
    with pytest.raises(DataError, match="etcd dies of it"):
        after(put(b"a"), both)


def test_leases() -> None:
    space = after(grant(5), put(b"a", lease=5), put(b"b", lease=5), put(b"c"), put(b"d", lease=6))
    assert (names(space), space.revision) == ([b"a", b"b", b"c"], 4)
    after(put(b"a", keeps_lease=True, lease=0), put(b"b"), space=space)
    assert (space.keys[b"a"].lease, space.keys[b"b"].lease) == (5, 0)
    after(revoke(5), revoke(5), space=space)
    assert (names(space), space.revision) == ([b"b", b"c"], 7)
    assert after(grant(5, 9_000_000_001)).leases == set()


def test_a_value_may_stay() -> None:
    assert after(put(b"a", b"one"), put(b"a", b"", keeps_value=True)).values == {b"a": b"one"}


def test_a_compaction_moves_forward_only() -> None:
    assert after(put(b"a"), put(b"a"), compaction(2), compaction(1), compaction(99)).compacted == 2


def test_with_the_alarm_nospace_nothing_grows() -> None:
    space = after(put(b"a"), alarm(1, 1), put(b"b"), grant(5), txn([], [], [framed(PUT, a_put(b"c"))]), deletion(b"a"))
    assert (names(space), space.revision, space.leases) == ([], 3, set())
    assert names(after(alarm(2, 1), put(b"b"), space=space)) == [b"b"]


def test_what_cannot_be_predicted_is_said() -> None:
    with pytest.raises(DataError, match="CORRUPT"):
        after(alarm(1, 2), put(b"a"))
    with pytest.raises(DataError, match="users and roles"):
        after(request(1000, b""))
    with pytest.raises(DataError, match="found the fields"):
        read_request(request(77, b""))


def test_what_touches_no_key() -> None:
    for data in (b"", request(11, b""), request(1300, b""), request(1301, b""), request(1302, b""), alarm(0, 1)):
        assert isinstance(read_request(data), Other)
    assert read_request(request(1100, b"")) == Auth("user add", False)
    assert read_request(alarm(1, 1)) == SetAlarm(True, 7, 1)


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE", "GET", "QGET", "SYNC"])
def test_requests_of_the_v2_api_are_told_apart(method: str) -> None:
    assert read_request(v2(method, "/1/a")) == V2(method, "/1/a")
    assert read_request(request(2, v2(method, "/0/members"))) == V2(method, "/0/members")


def test_numbers_can_be_negative() -> None:
    assert read_request(request(4, framed(1, b"k") + numbered(3, -5))) == Put(b"k", b"", -5, False, False)


def test_only_values_that_are_looked_at_are_kept() -> None:
    inner = a_txn([a_compare(b"b", VALUE, EQUAL, b"x", b"d")], [])
    data = txn([a_compare(b"a", VALUE, EQUAL, b"x"), a_compare(b"z", MOD, EQUAL, 1)], [], [framed(TXN, inner)])
    ranges = list(looked_at([read_request(put(b"p")), read_request(data)]))
    assert [key for key in (b"a", b"aa", b"b", b"c", b"d", b"p", b"z") if any(key in one for one in ranges)] == [
        b"a", b"b", b"c",
    ]  # fmt: skip

"""What an entry of the log asks of the key-value store: etcd's InternalRaftRequest, as 3.3, 3.4 and 3.5 write it.

Source: etcdserverpb/raft_internal.proto and rpc.proto. An entry of the v2 API is a bare etcdserverpb.Request.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from requorum.facts.data_error import DataError
from requorum.facts.founding import V2_METHODS
from requorum.facts.protobuf import Message, parse

SIGNED = 1 << 63


@dataclass(frozen=True, slots=True)
class Range:
    """A look at some keys at a revision (0: the newest); only a transaction has one that counts."""

    revision: int


@dataclass(frozen=True, slots=True)
class Put:
    """One key is written; `lease` is 0 where it has none. `keeps_*`: the value, or the lease, stays as it is."""

    key: bytes
    value: bytes
    lease: int
    keeps_value: bool
    keeps_lease: bool


@dataclass(frozen=True, slots=True)
class Delete:
    """One key is deleted, or a range: up to `end`, which is a single NUL for all keys from `key` on."""

    key: bytes
    end: bytes


@dataclass(frozen=True, slots=True)
class Compare:
    """What a transaction asks first. `target`: 0 version, 1 creation, 2 change, 3 value, 4 lease; `result` 0 =, 1 >, 2 <, 3 ≠."""

    key: bytes
    end: bytes
    target: int
    result: int
    number: int
    value: bytes


@dataclass(frozen=True, slots=True)
class Txn:
    """A transaction: where all of `compares` hold, `success`, else `failure`."""

    compares: tuple[Compare, ...]
    success: tuple[Operation, ...]
    failure: tuple[Operation, ...]


@dataclass(frozen=True, slots=True)
class Compact:
    """Everything that only revisions below this one need goes."""

    revision: int


@dataclass(frozen=True, slots=True)
class Grant:
    """A lease begins, for some seconds."""

    lease: int
    seconds: int


@dataclass(frozen=True, slots=True)
class Revoke:
    """A lease ends, and its keys with it."""

    lease: int


@dataclass(frozen=True, slots=True)
class SetAlarm:
    """An alarm is raised or lifted (`kind` 1 NOSPACE, 2 CORRUPT)."""

    raised: bool
    member_id: int
    kind: int


@dataclass(frozen=True, slots=True)
class Auth:
    """A change of users, roles or their switch; `enables` switches them on."""

    what: str
    enables: bool


@dataclass(frozen=True, slots=True)
class V2:
    """A request of the v2 API; etcd itself uses it too, for the members' names and the cluster's version."""

    method: str
    path: str


@dataclass(frozen=True, slots=True)
class Other:
    """What touches no key: nothing at all, a lease's checkpoint, the cluster's version."""

    what: str


Operation: TypeAlias = "Range | Put | Delete | Txn"
Request: TypeAlias = "Put | Delete | Txn | Compact | Grant | Revoke | SetAlarm | Auth | V2 | Other"

_AUTH = {
    1000: "auth enable", 1011: "auth disable", 1012: "authenticate", 1013: "auth status",
    1100: "user add", 1101: "user delete", 1102: "user get", 1103: "user password", 1104: "user grant role",
    1105: "user revoke role", 1106: "user list", 1107: "role list", 1200: "role add", 1201: "role delete",
    1202: "role get", 1203: "role grant permission", 1204: "role revoke permission",
}  # fmt: skip
_OTHER = {3: "read", 11: "lease checkpoint", 1300: "cluster version", 1301: "member's attributes", 1302: "downgrade"}


def read_request(data: bytes) -> Request:
    """What the data of an entry of type 0 asks. Raises DataError for a request that this version does not know."""
    if not data:
        return Other("a leader's first entry")
    message = parse(data)
    v2 = _v2_of(message)
    if v2 is not None:
        return v2
    fields = message.repeated
    if 4 in fields:
        return _put(message.bytes(4))
    if 5 in fields:
        return _delete(message.bytes(5))
    if 6 in fields:
        return _txn(message.bytes(6))
    if 7 in fields:
        return Compact(_signed(parse(message.bytes(7)).number(1)))
    if 8 in fields:
        grant = parse(message.bytes(8))
        return Grant(_signed(grant.number(2)), _signed(grant.number(1)))
    if 9 in fields:
        return Revoke(_signed(parse(message.bytes(9)).number(1)))
    if 10 in fields:
        alarm = parse(message.bytes(10))
        if alarm.number(1) == 0:
            return Other("a look at the alarms")
        return SetAlarm(alarm.number(1) == 1, alarm.number(2), alarm.number(3))
    if 2 in fields:
        return _v2(message.bytes(2)) or Other("v2")
    for number in fields:
        if number in _AUTH:
            return Auth(_AUTH[number], number == 1000)
        if number in _OTHER:
            return Other(_OTHER[number])
    raise DataError(f"expected a request that etcd 3.3 to 3.5 writes, found the fields {sorted(fields)}")


def _v2(data: bytes) -> V2 | None:
    try:
        return _v2_of(parse(data))
    except DataError:
        return None


def _v2_of(message: Message) -> V2 | None:
    """A request of the v2 API, or None for any other: its second field is a word, where others have a message."""
    if message.bytes(2) not in V2_METHODS or (message.bytes(3) and not message.bytes(3).startswith(b"/")):
        return None
    return V2(message.bytes(2).decode(), message.bytes(3).decode(errors="replace"))


def _signed(value: int) -> int:
    return value - 2 * SIGNED if value >= SIGNED else value


def _put(data: bytes) -> Put:
    put = parse(data)
    return Put(put.bytes(1), put.bytes(2), _signed(put.number(3)), bool(put.number(5)), bool(put.number(6)))


def _delete(data: bytes) -> Delete:
    found = parse(data)
    return Delete(found.bytes(1), found.bytes(2))


def _txn(data: bytes) -> Txn:
    txn = parse(data)
    return Txn(
        tuple(_compare(parse(one)) for one in txn.repeated.get(1, ())),
        tuple(_operation(parse(one)) for one in txn.repeated.get(2, ())),
        tuple(_operation(parse(one)) for one in txn.repeated.get(3, ())),
    )


_UNION = {0: 4, 1: 5, 2: 6, 4: 8}
"""Where a compare keeps the number that its target is held against."""


def _compare(one: Message) -> Compare:
    target = one.number(2)
    number = _signed(one.number(_UNION[target])) if target in _UNION else 0
    return Compare(one.bytes(3), one.bytes(64), target, one.number(1), number, one.bytes(7))


def _operation(one: Message) -> Operation:
    fields = one.repeated
    if 2 in fields:
        return _put(one.bytes(2))
    if 3 in fields:
        return _delete(one.bytes(3))
    if 4 in fields:
        return _txn(one.bytes(4))
    if 1 in fields:
        return Range(_signed(parse(one.bytes(1)).number(4)))
    raise DataError(f"expected a read, a write or a deletion in a transaction, found the fields {sorted(fields)}")

"""What etcd's key-value store holds once entries of the log are applied to it: a model of the applier, for predictions.

Source: etcd's etcdserver/apply.go, mvcc/kvstore_txn.go and lease/lessor.go, 3.3 to 3.5. Leases end by entries of the log
only; what a leader does by its clock comes after them, at higher revisions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

from requorum.facts.data_error import DataError
from requorum.facts.requests import (
    Auth,
    Compact,
    Compare,
    Delete,
    Grant,
    Operation,
    Put,
    Range,
    Request,
    Revoke,
    SetAlarm,
    Txn,
)

NOSPACE, CORRUPT = 1, 2
MAX_LEASE_SECONDS = 9_000_000_000
VALUE = 3
"""The target of a compare that looks at the value."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key that lives: revisions of its creation and last change, how often it was written since, its lease (0: none)."""

    created: int
    changed: int
    version: int
    lease: int


@dataclass
class Keyspace:
    """The store at its newest revision. `values` has the value of a key where a transaction may look at it."""

    revision: int
    compacted: int
    keys: dict[bytes, Key]
    leases: set[int] = field(default_factory=set)
    alarms: set[tuple[int, int]] = field(default_factory=set)
    values: dict[bytes, bytes] = field(default_factory=dict)
    wants_value: Callable[[bytes], bool] = lambda key: False

    def apply(self, request: Request) -> None:
        """What the entry with this request does. Raises DataError where it cannot be said."""
        if any(kind == CORRUPT for _, kind in self.alarms) and not isinstance(request, SetAlarm):
            raise DataError("the alarm CORRUPT is raised: etcd applies no write")
        if isinstance(request, Auth) and request.enables:
            raise DataError("users and roles are switched on in the log: what a write may do is not predicted")
        if isinstance(request, SetAlarm):
            change = self.alarms.add if request.raised else self.alarms.discard
            change((request.member_id, request.kind))
        elif isinstance(request, Compact):
            if self.compacted < request.revision <= self.revision:
                self.compacted = request.revision
        elif isinstance(request, Grant):
            if not self._full and request.lease and request.seconds <= MAX_LEASE_SECONDS:
                self.leases.add(request.lease)
        elif isinstance(request, Revoke):
            if request.lease in self.leases:
                self.leases.discard(request.lease)
                self._delete([key for key, found in self.keys.items() if found.lease == request.lease])
        elif isinstance(request, Put):
            if not self._full and self._may_put(request):
                self.revision += 1
                self._put(request)
        elif isinstance(request, Delete):
            self._delete(list(self._range(request.key, request.end)))
        elif isinstance(request, Txn):
            self._txn(request)

    @property
    def _full(self) -> bool:
        return any(kind == NOSPACE for _, kind in self.alarms)

    def _may_put(self, put: Put) -> bool:
        if (put.keeps_value or put.keeps_lease) and put.key not in self.keys:
            return False
        return not put.lease or put.lease in self.leases

    def _put(self, put: Put) -> None:
        """At the present revision."""
        old = self.keys.get(put.key)
        lease = old.lease if put.keeps_lease and old else put.lease
        created, version = (old.created, old.version + 1) if old else (self.revision, 1)
        self.keys[put.key] = Key(created, self.revision, version, lease)
        if not put.keeps_value and self.wants_value(put.key):
            self.values[put.key] = put.value

    def _delete(self, keys: list[bytes]) -> None:
        if keys:
            self.revision += 1
            self._drop(keys)

    def _drop(self, keys: Iterable[bytes]) -> None:
        for key in keys:
            del self.keys[key]
            self.values.pop(key, None)

    def _range(self, key: bytes, end: bytes) -> Iterator[bytes]:
        if not end:
            return iter([key] if key in self.keys else [])
        return (found for found in self.keys if found in KeyRange(key, end))

    def _txn(self, txn: Txn) -> None:
        # No client waits for the answer of an entry that is replayed: etcd leaves out its looks, but not inner ones
        # (apply.go, removeNeedlessRangeReqs), so that one at a compacted revision does not make it fail here.
        path = list(self._path(replace(txn, success=_writes(txn.success), failure=_writes(txn.failure))))
        if self._full and any(isinstance(one, Put) for one in (*txn.success, *txn.failure)):
            return
        for one in path:
            if isinstance(one, Put) and not self._may_put(one):
                return
            if isinstance(one, Range) and one.revision and not self.compacted <= one.revision <= self.revision:
                return
        self.revision += 1
        changed = False
        for one in path:
            if isinstance(one, Put):
                if (one.keeps_value or one.keeps_lease) and one.key not in self.keys:
                    raise DataError("a transaction deletes a key, then keeps its value or lease: etcd dies of it")
                self._put(one)
                changed = True
            elif isinstance(one, Delete):
                found = list(self._range(one.key, one.end))
                self._drop(found)
                changed = changed or bool(found)
        if not changed:
            self.revision -= 1

    def _path(self, txn: Txn) -> Iterator[Operation]:
        """The operations that are done: every compare, also an inner one, looks at the state before the transaction."""
        for one in txn.success if all(self._holds(compare) for compare in txn.compares) else txn.failure:
            if isinstance(one, Txn):
                yield from self._path(one)
            else:
                yield one

    def _holds(self, compare: Compare) -> bool:
        keys = list(self._range(compare.key, compare.end))
        if not keys:
            return compare.target != VALUE and _compared(compare, Key(0, 0, 0, 0), b"")
        return all(_compared(compare, self.keys[key], self.values.get(key, b"")) for key in keys)


@dataclass(frozen=True, slots=True)
class KeyRange:
    """Keys from `key` on and below `end`; an `end` of one NUL is none, an empty one means `key` alone."""

    key: bytes
    end: bytes

    def __contains__(self, found: bytes) -> bool:
        if not self.end:
            return found == self.key
        return self.key <= found and (self.end == b"\0" or found < self.end)


def looked_at(requests: Iterable[Request | Operation]) -> Iterator[KeyRange]:
    """The ranges whose values some transaction looks at."""
    for one in requests:
        if isinstance(one, Txn):
            yield from (KeyRange(c.key, c.end) for c in one.compares if c.target == VALUE)
            yield from looked_at((*one.success, *one.failure))


def _writes(operations: tuple[Operation, ...]) -> tuple[Operation, ...]:
    return tuple(one for one in operations if not isinstance(one, Range))


def _compared(compare: Compare, key: Key, value: bytes) -> bool:
    if compare.target == VALUE:
        found = (value > compare.value) - (value < compare.value)
    else:
        number = {0: key.version, 1: key.created, 2: key.changed, 4: key.lease}.get(compare.target)
        if number is None:
            raise DataError(f"expected a compare of target 0 to 4, found {compare.target}")
        found = (number > compare.number) - (number < compare.number)
    return (found == 0, found > 0, found < 0, found != 0)[compare.result]

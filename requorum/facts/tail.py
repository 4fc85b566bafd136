"""The tail: the log entries above the commit index that the database does not hold either. A forced start drops them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from requorum.facts.data_error import DataError
from requorum.facts.requests import (
    V2,
    Auth,
    Compact,
    Delete,
    Grant,
    Operation,
    Put,
    Request,
    Revoke,
    SetAlarm,
    Txn,
    read_request,
)
from requorum.facts.wal import Entry
from requorum.facts.wal_changes import ConfChange

SHOWN = 10
"""So many keys are named; of the others only the number is said."""

NO_END = b"\0"
"""The end of a range that has none."""

_WORDS: dict[type, str] = {
    Put: "put",
    Delete: "deletion",
    Txn: "transaction",
    Compact: "compaction",
    Grant: "lease grant",
    Revoke: "lease revocation",
    SetAlarm: "alarm",
    Auth: "change of users or roles",
    V2: "v2 request",
}


@dataclass(frozen=True, slots=True)
class Tail:
    """What stands in it, for a reader: names of keys, no values; a transaction's keys are those that it may write.

    `kinds` counts the entries by what they are, `keys` are the first names, `more` how many others there are. `unread`
    says why it cannot be read, where it cannot; then only the indexes are known.
    """

    first: int
    last: int
    kinds: tuple[tuple[str, int], ...] = ()
    keys: tuple[str, ...] = ()
    more: int = 0
    changes: tuple[ConfChange, ...] = ()
    unread: str = ""

    @property
    def count(self) -> int:
        """How many entries."""
        return self.last - self.first + 1

    @property
    def words(self) -> str:
        """The whole of it in a line."""
        if not self.count:
            return "no log entry"
        which = f"{self.first}" if self.count == 1 else f"{self.first} to {self.last}"
        entries = "log entry" if self.count == 1 else "log entries"
        said = f"{self.count} {entries} ({which}): " + ", ".join(f"{n} × {kind}" for kind, n in self.kinds)
        if self.keys:
            said += f"; keys: {', '.join(self.keys)}" + (f" and {self.more} more" if self.more else "")
        if self.changes:
            said += "; changes of the membership: " + ", ".join(
                f"{c.kind} {c.name or f'{c.node_id:x}'}" for c in self.changes
            )
        return said


def read_tail(entries: Iterable[Entry], above: int, last: int, changes: Iterable[ConfChange]) -> Tail:
    """The tail above an index, from its entries."""
    kinds: Counter[str] = Counter()
    named: dict[str, None] = {}
    seen: set[int] = set()
    unread = ""
    for entry in entries:
        if entry.type:
            kinds["change of the membership"] += 1
            continue
        try:
            request = read_request(entry.data)
        except DataError as error:
            unread = unread or f"log entry {entry.index}: {error}"
            kinds["unreadable entry"] += 1
            continue
        kinds[_WORDS.get(type(request), "entry without keys")] += 1
        for name in _names(request):
            if len(named) < SHOWN:
                named[name] = None
            seen.add(hash(name))
    return Tail(
        first=above + 1,
        last=max(above, last),
        kinds=tuple(kinds.most_common()),
        keys=tuple(named),
        more=len(seen) - len(named),
        changes=tuple(change for change in changes if change.index > above),
        unread=unread,
    )


def _names(request: Request | Operation) -> Iterable[str]:
    """The keys that a request names, a range as `from … to`."""
    if isinstance(request, Put):
        yield _text(request.key)
    elif isinstance(request, Delete):
        if not request.end:
            yield _text(request.key)
        elif request.end == _successor(request.key):
            yield f"{_text(request.key)}*"
        else:
            yield f"{_text(request.key)} to {_text(request.end) if request.end != NO_END else 'the last'}"
    elif isinstance(request, Txn):
        for one in (*request.success, *request.failure):
            yield from _names(one)
    elif isinstance(request, V2) and not request.path.startswith("/0/"):
        yield f"{request.path} (v2)"


def _successor(key: bytes) -> bytes:
    """The end of the range of everything that begins with this key."""
    return key[:-1] + bytes([key[-1] + 1]) if key and key[-1] < 0xFF else NO_END


def _text(key: bytes) -> str:
    return key.decode(errors="backslashreplace")

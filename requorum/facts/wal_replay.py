"""Lays the entries of a log over each other, as etcd's ReadAll and Raft's log do, without keeping them."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from dataclasses import dataclass

from requorum.facts.data_error import DataError

PLACE = 40
"""A place is the segment's position, then so many bits for the byte where the record's frame begins."""


@dataclass(frozen=True, slots=True)
class _Item:
    """An entry; with type -1 a snapshot."""

    index: int
    term: int
    type: int
    data: bytes  # kept for changes of the membership only
    place: int


_SNAPSHOT = -1


class Replay:
    """The log as far as it was fed, in the order of the file.

    Of the entries only the runs of equal terms are kept, the changes of the membership, and, above the index `above`,
    where each entry lies. `before` is the last index before the segments, `oldest` whether nothing lies before them.
    """

    def __init__(self, *, before: int, oldest: bool, above: int | None) -> None:
        self.first: int | None = None
        self.last = before
        self.last_term: int | None = 0 if oldest and before == 0 else None
        self.snapshot = (0, 0)
        self.stale = False
        self.changes: list[tuple[int, int, bytes]] = []
        self._start_term = self.last_term  # the term of the entry that the first kept one follows
        self._runs: list[tuple[int, int]] = []  # first index and term
        self._above = above
        self._base = 0
        self._where = array("Q")
        self._commit = 0
        self._left = 0  # the last entry of an older leader that is still in the file
        self._queue: list[_Item] = []  # a snapshot that no hard state has confirmed yet, and what follows it

    def entry(self, index: int, term: int, kind: int, data: bytes, place: int) -> None:
        """An entry's record, and where it lies. Raises DataError for a gap, and for a term that decreases."""
        next_ = index == self.last + 1 and term == self.last_term
        if kind or not next_ or self.first is None or self._queue or self._left:
            self._feed(_Item(index, term, kind, data if kind else b"", place))
            return
        # Nearly all are a write behind the one before, in its term: nothing that `_take_entry` looks for is in them.
        self.last = index
        if self._above is not None and index > self._above:
            self._keep(index, place)

    def snapshot_at(self, index: int, term: int) -> None:
        """A snapshot's record; it counts once a hard state confirms it (wal.go, ValidSnapshotEntries)."""
        self._feed(_Item(index, term, _SNAPSHOT, b"", 0))

    def commit_to(self, index: int) -> None:
        """A hard state's record."""
        self._commit = index
        if self._queue and self._queue[0].index <= index:
            self._again(self._queue)

    def finish(self) -> None:
        """Nothing follows: a snapshot that was not confirmed does not count."""
        while self._queue:
            self._again(self._queue[1:])

    def term_at(self, index: int) -> int | None:
        """The term of the entry at an index; None where it was not read."""
        if index == self.last:
            return self.last_term
        if index == self.snapshot[0]:
            return self.snapshot[1]
        if self.first is None or not self.first - 1 <= index < self.last:
            return None
        return self._start_term if index == self.first - 1 else self._term_at(index)

    def places(self) -> tuple[int, array[int]]:
        """The index of the first entry above `above`, and where it and all that follow lie."""
        return self._base, self._where

    def _again(self, items: list[_Item]) -> None:
        self._queue = []
        for item in items:
            self._feed(item)

    def _feed(self, item: _Item) -> None:
        if self._queue or (item.type == _SNAPSHOT and item.index > self._commit):
            self._queue.append(item)
        elif item.type == _SNAPSHOT:
            self._take_snapshot(item)
        else:
            self._take_entry(item)

    def _take_snapshot(self, item: _Item) -> None:
        if item.index < self.snapshot[0]:
            return
        self.snapshot = (item.index, item.term)
        kept = self.first is not None and item.index >= self.first
        if item.index > self.last or (kept and self._term_at(item.index) != item.term):
            # Received from a leader: Raft's log begins again behind it, though old entries stay in the file.
            self._left = max(self._left, self.last)
            self.stale = item.index < self._left
            self._cut(item.index, item.term)
        elif self.first is None and item.index == self.last:
            self.last_term = self._start_term = item.term

    def _take_entry(self, item: _Item) -> None:
        if item.index > self.last + 1:
            raise DataError(f"expected the entry {self.last + 1} in the WAL, found {item.index}: entries are missing")
        if item.index == self.snapshot[0] + 1:
            # The leader went on behind its snapshot: etcd's ReadAll cuts off here what was left above it.
            self.stale, self._left = False, 0
        if item.index <= self.last:
            self._overwrite(item.index)
        if self.last_term is not None and item.term < self.last_term:
            raise DataError(
                f"expected the term of entry {item.index} to be at least {self.last_term}, found {item.term}"
            )
        if self.first is None:
            self.first = item.index
        if not self._runs or self._runs[-1][1] != item.term:
            self._runs.append((item.index, item.term))
        self.last, self.last_term = item.index, item.term
        if item.type:
            self.changes.append((item.index, item.type, item.data))
        if self._above is not None and item.index > self._above:
            self._keep(item.index, item.place)

    def _keep(self, index: int, place: int) -> None:
        if not self._where:
            self._base = index
        self._where.append(place)

    def _overwrite(self, index: int) -> None:
        """Forget this entry and all that follow it."""
        if self.first is None or index <= self.first:
            # It may go below the first one that was read: what lies before it then is not known.
            before = self._start_term if index == self.first else None
            self._cut(index - 1, before)
            return
        self.last = index - 1
        while self._runs[-1][0] >= index:
            self._runs.pop()
        self.last_term = self._runs[-1][1]
        while self.changes and self.changes[-1][0] >= index:
            self.changes.pop()
        del self._where[max(0, index - self._base) :]

    def _cut(self, last: int, term: int | None) -> None:
        self.first, self.last, self.last_term, self._start_term = None, last, term, term
        self._runs.clear()
        self.changes.clear()
        del self._where[:]

    def _term_at(self, index: int) -> int:
        return self._runs[bisect_right(self._runs, index, key=lambda run: run[0]) - 1][1]

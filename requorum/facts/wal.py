"""The write-ahead log of a member (`member/wal`): what Raft holds on disk, read from its newest segments.

Format: etcd's `wal` package (record.proto, decoder.go, `ReadAll`) and raft.proto; seen with 3.3, 3.4 and 3.5.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

from requorum.facts.data_error import DataError
from requorum.facts.protobuf import Message, parse
from requorum.facts.wal_changes import ConfChange, read_changes
from requorum.facts.wal_layout import Content, StateFields, read_entry, read_state
from requorum.facts.wal_replay import PLACE, Replay
from requorum.facts.wal_segment import SegmentEnd, record_at, records

METADATA, ENTRY, STATE, SNAPSHOT = 1, 2, 3, 5  # record types

See: TypeAlias = Callable[[int, int, int, bytes], None]
"""Is shown index, term, type and data of an entry."""

NAME = re.compile(r"([0-9a-f]{16})-([0-9a-f]{16})\.wal")


@dataclass(frozen=True, slots=True)
class LogEnd:
    """Where the newest segment's records end, the checksum there, and the size of the file, in bytes."""

    segment: str
    offset: int
    crc: int
    size: int


@dataclass(frozen=True, slots=True)
class Log:
    """What the log says.

    `last_index` is always known (a segment's name says where it begins); `last_term` is 0 while `needs_more` is true.
    `first_index` is the first entry in the given segments that still counts. The snapshot is the newest valid one that
    the given segments record (0 if none). `torn`: the last record was half written, and the log ends before it.
    `stale`: entries of an older leader lie above a received snapshot (TAIL.md, rule 2); they are not counted here,
    but etcd would load them. `commit_term` is the term of the entry at the commit index, None where it was not read.
    """

    node_id: int
    cluster_id: int
    term: int
    vote: int
    commit: int
    commit_term: int | None
    first_index: int | None
    last_index: int
    last_term: int
    torn: bool
    stale: bool
    snapshot_index: int
    snapshot_term: int
    conf_changes: tuple[ConfChange, ...]
    needs_more: bool
    end: LogEnd

    @property
    def tail(self) -> int:
        """How many entries lie above the commit index: what a forced start would throw away."""
        return max(0, self.last_index - self.commit)


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the log; `type` is 0 for a write, else a change of the membership."""

    index: int
    term: int
    type: int
    data: bytes


@dataclass(frozen=True)
class Entries:
    """Entries of a log from `first` on, read from the segments' contents one at a time; any number of times."""

    contents: tuple[Content, ...]
    first: int
    where: Sequence[int]

    def __iter__(self) -> Iterator[Entry]:
        for place in self.where:
            index, term, kind, data = read_entry(record_at(self.contents[place >> PLACE], place & ((1 << PLACE) - 1)))
            yield Entry(index, term, kind, data)

    def above(self, index: int) -> Entries:
        """Those above an index."""
        skipped = max(0, index + 1 - self.first)
        return Entries(self.contents, self.first + skipped, self.where[skipped:])


def read_entries(
    segments: Sequence[tuple[str, Content]], above: int | None, see: See | None = None
) -> tuple[Log, Entries]:
    """The log in the newest segments of a `member/wal`, and its entries above an index (None: none).

    Arguments: name and whole content of each segment (with its zeros: they tell a torn record from a cut file), any
    order, without a gap, and the newest among them. One is enough unless the result says `needs_more`. `see` is shown
    every entry, in the order in which they were written. Reads in one pass and holds some ten megabytes, however
    large the segments are, and eight bytes for each entry above the index.
    Raises DataError for a wrong checksum that is not a torn last record, a gap, or what is no WAL at all.
    """
    ordered = _ordered(segments)
    state: StateFields = (0, 0, 0)
    metadata = Message()
    first_name = _parse_name(ordered[0][0])
    replay = Replay(before=max(0, first_name[1] - 1), oldest=first_name[0] == 0, above=above)
    crc: int | None = None
    for position, (name, content) in enumerate(ordered):
        found = records(name, content, crc, newest=position == len(ordered) - 1)
        while True:
            try:
                record = next(found)
            except StopIteration as stop:
                closed: SegmentEnd = stop.value
                break
            at, kind, data = record
            if kind == ENTRY:
                entry = read_entry(data)
                replay.entry(*entry, position << PLACE | at)
                if see is not None:
                    see(*entry)
            elif kind == STATE:
                state = read_state(data)
                replay.commit_to(state[2])
            elif kind == METADATA:
                metadata = _same_member(name, metadata, parse(data))
            elif kind == SNAPSHOT:
                message = parse(data)
                replay.snapshot_at(message.number(1), message.number(2))
            else:
                raise DataError(f"{name}: expected a record of type 1 to 5, found type {kind}")
        crc = closed.crc
    if not metadata.numbers:
        raise DataError(f"{ordered[-1][0]}: expected the member's identity in its first records, found none")
    end = LogEnd(ordered[-1][0], closed.end, closed.crc or 0, closed.size)
    return _log(replay, state, metadata, closed.torn, end), Entries(tuple(c for _, c in ordered), *replay.places())


def _same_member(name: str, known: Message, found: Message) -> Message:
    if known.numbers and found.numbers != known.numbers:
        raise DataError(
            f"{name}: expected the member {known.number(1):x} of cluster {known.number(2):x} in all "
            f"segments, found member {found.number(1):x} of cluster {found.number(2):x}"
        )
    return found


def _log(replay: Replay, state: StateFields, metadata: Message, torn: bool, end: LogEnd) -> Log:
    replay.finish()
    term, vote, commit = state
    changes = (change for index, kind, data in replay.changes for change in read_changes(index, kind, data))
    return Log(
        node_id=metadata.number(1),
        cluster_id=metadata.number(2),
        term=term,
        vote=vote,
        commit=commit,
        commit_term=replay.term_at(commit),
        first_index=replay.first,
        last_index=replay.last,
        last_term=replay.last_term or 0,
        torn=torn,
        stale=replay.stale,
        snapshot_index=replay.snapshot[0],
        snapshot_term=replay.snapshot[1],
        conf_changes=tuple(changes),
        needs_more=replay.last_term is None,
        end=end,
    )


def is_segment(name: str) -> bool:
    """Whether a file of `member/wal` is a segment (others are `0.tmp`, `1.tmp`, `*.wal.broken`)."""
    return NAME.fullmatch(name) is not None


def _parse_name(name: str) -> tuple[int, int]:
    """The segment's number and the index of the first entry that it was made for."""
    found = NAME.fullmatch(name)
    if not found:
        raise DataError(f"expected a segment like {0:016x}-{0:016x}.wal, found {name!r}")
    return int(found[1], 16), int(found[2], 16)


def _ordered(segments: Sequence[tuple[str, Content]]) -> list[tuple[str, Content]]:
    if not segments:
        raise DataError("expected at least one segment of the WAL, found none")
    ordered = sorted(segments, key=lambda segment: _parse_name(segment[0]))
    for (one, _), (two, _) in pairwise(ordered):
        if _parse_name(two)[0] != _parse_name(one)[0] + 1:
            raise DataError(f"expected the segment after {one}, found {two}: a segment is missing")
    return ordered

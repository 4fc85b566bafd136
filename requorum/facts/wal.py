"""The write-ahead log of a member (`member/wal`): what Raft holds on disk, read from its newest segments.

Format: etcd's `wal` package (record.proto, decoder.go, `ReadAll`) and raft.proto; seen with 3.3, 3.4 and 3.5.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from requorum.facts.data_error import DataError
from requorum.facts.protobuf import Message, parse
from requorum.facts.wal_segment import read_segment

METADATA, ENTRY, STATE, SNAPSHOT = 1, 2, 3, 5  # record types
CONF_CHANGE, CONF_CHANGE_V2 = 1, 2  # entry types

NAME = re.compile(r"([0-9a-f]{16})-([0-9a-f]{16})\.wal")

Kind = Literal["add", "remove", "update", "add-learner", "promote"]
KINDS: tuple[Kind, ...] = ("add", "remove", "update", "add-learner")


@dataclass(frozen=True, slots=True)
class ConfChange:
    """A change of the membership in the log; it counts from the moment that its entry is committed."""

    index: int
    kind: Kind
    node_id: int
    name: str
    peer_urls: tuple[str, ...]


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
    but etcd would load them.
    """

    node_id: int
    cluster_id: int
    term: int
    vote: int
    commit: int
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
class _Entry:
    index: int
    term: int
    type: int
    data: bytes  # kept for changes of the membership only


@dataclass(frozen=True, slots=True)
class _Snapshot:
    index: int
    term: int


def read_log(segments: Sequence[tuple[str, bytes]], see: Callable[[Message], None] | None = None) -> Log:
    """The log in the newest segments of a `member/wal`.

    Arguments: name and whole content of each segment (with its zeros: they tell a torn record from a cut file), any
    order, without a gap, and the newest among them. One is enough unless the result says `needs_more`. `see` is shown
    every entry, in the order in which they were written.
    Raises DataError for a wrong checksum that is not a torn last record, a gap, or what is no WAL at all.
    """
    ordered = _ordered(segments)
    state, metadata = Message(), Message()
    items: list[_Entry | _Snapshot] = []
    torn = False
    end = LogEnd("", 0, 0, 0)
    crc: int | None = None
    for position, (name, content) in enumerate(ordered):
        segment = read_segment(name, content, crc, newest=position == len(ordered) - 1)
        for kind, data in segment.records:
            if kind == ENTRY:
                message = parse(data)
                items.append(_entry(message))
                if see is not None:
                    see(message)
            elif kind == STATE:
                state = parse(data)
            elif kind == METADATA:
                found = parse(data)
                if metadata.numbers and found.numbers != metadata.numbers:
                    raise DataError(
                        f"{name}: expected the member {metadata.number(1):x} of cluster {metadata.number(2):x} in all "
                        f"segments, found member {found.number(1):x} of cluster {found.number(2):x}"
                    )
                metadata = found
            elif kind == SNAPSHOT:
                message = parse(data)
                items.append(_Snapshot(message.number(1), message.number(2)))
            else:
                raise DataError(f"{name}: expected a record of type 1 to 5, found type {kind}")
        crc, torn = segment.crc, segment.torn
        end = LogEnd(name, segment.end, segment.crc or 0, segment.size)
    if not metadata.numbers:
        raise DataError(f"{ordered[-1][0]}: expected the member's identity in its first records, found none")
    first_name = _parse_name(ordered[0][0])
    return _replay(items, state, metadata, torn, end, before=max(0, first_name[1] - 1), oldest=first_name[0] == 0)


def is_segment(name: str) -> bool:
    """Whether a file of `member/wal` is a segment (others are `0.tmp`, `1.tmp`, `*.wal.broken`)."""
    return NAME.fullmatch(name) is not None


def _parse_name(name: str) -> tuple[int, int]:
    """The segment's number and the index of the first entry that it was made for."""
    found = NAME.fullmatch(name)
    if not found:
        raise DataError(f"expected a segment like {0:016x}-{0:016x}.wal, found {name!r}")
    return int(found[1], 16), int(found[2], 16)


def _ordered(segments: Sequence[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
    if not segments:
        raise DataError("expected at least one segment of the WAL, found none")
    ordered = sorted(segments, key=lambda segment: _parse_name(segment[0]))
    for (one, _), (two, _) in pairwise(ordered):
        if _parse_name(two)[0] != _parse_name(one)[0] + 1:
            raise DataError(f"expected the segment after {one}, found {two}: a segment is missing")
    return ordered


def _entry(message: Message) -> _Entry:
    kind = message.number(1)
    return _Entry(message.number(3), message.number(2), kind, message.bytes(4) if kind else b"")


def _replay(
    items: list[_Entry | _Snapshot],
    state: Message,
    metadata: Message,
    torn: bool,
    end: LogEnd,
    *,
    before: int,
    oldest: bool,
) -> Log:
    """Lay the entries over each other as etcd's ReadAll and Raft's log do. `before`: last index before the segments."""
    commit = state.number(3)
    entries: list[_Entry] = []
    start, start_term = before, 0 if oldest and before == 0 else None  # what the first kept entry follows
    snapshot = _Snapshot(0, 0)
    stale = False
    for item in items:
        last_index, last_term = (entries[-1].index, entries[-1].term) if entries else (start, start_term)
        if isinstance(item, _Snapshot):
            if item.index > commit or item.index < snapshot.index:
                continue  # not confirmed by a hard state: etcd skips it (wal.go, ValidSnapshotEntries)
            snapshot = item
            at = item.index - (entries[0].index if entries else start + 1)
            if item.index > last_index or (entries and at >= 0 and entries[at].term != item.term):
                # Received from a leader: Raft's log begins again behind it, though old entries stay in the file.
                stale = item.index < last_index
                entries, start, start_term = [], item.index, item.term
            elif not entries and item.index == last_index:
                start_term = item.term
            continue
        if item.index > last_index + 1:
            raise DataError(f"expected the entry {last_index + 1} in the WAL, found {item.index}: entries are missing")
        if entries and item.index <= last_index:
            del entries[max(0, item.index - entries[0].index) :]
            last_term = entries[-1].term if entries else None
        if not entries and item.index <= start:
            start, start_term = item.index - 1, None  # overwrites entries of older segments
            last_term = None
        if last_term is not None and item.term < last_term:
            raise DataError(f"expected the term of entry {item.index} to be at least {last_term}, found {item.term}")
        entries.append(item)
    last_term = entries[-1].term if entries else start_term
    return Log(
        node_id=metadata.number(1),
        cluster_id=metadata.number(2),
        term=state.number(1),
        vote=state.number(2),
        commit=commit,
        first_index=entries[0].index if entries else None,
        last_index=entries[-1].index if entries else start,
        last_term=last_term or 0,
        torn=torn,
        stale=stale,
        snapshot_index=snapshot.index,
        snapshot_term=snapshot.term,
        conf_changes=tuple(change for entry in entries if entry.type for change in _conf_changes(entry)),
        needs_more=last_term is None,
        end=end,
    )


def _conf_changes(entry: _Entry) -> Iterator[ConfChange]:
    if entry.type == CONF_CHANGE:
        message = parse(entry.data)
        yield _conf_change(entry.index, message.number(2), message.number(3), message.bytes(4))
    elif entry.type == CONF_CHANGE_V2:
        message = parse(entry.data)
        for single in message.repeated.get(2, []):
            change = parse(single)
            yield _conf_change(entry.index, change.number(1), change.number(2), message.bytes(3))
    else:
        raise DataError(f"expected an entry of type 0 to 2 at index {entry.index}, found type {entry.type}")


def _conf_change(index: int, number: int, node_id: int, context: bytes) -> ConfChange:
    """One change; its context is the member in JSON (membership/cluster.go, ConfigChangeContext)."""
    if number >= len(KINDS):
        raise DataError(f"expected a membership change of type 0 to 3 at index {index}, found type {number}")
    kind = KINDS[number]
    name = ""
    peer_urls: tuple[str, ...] = ()
    if context and kind != "remove":
        try:
            member = json.loads(context)
            name, peer_urls = str(member.get("name", "")), tuple(str(url) for url in member.get("peerURLs") or ())
            if kind == "add" and member.get("isPromote"):
                kind = "promote"
        except (ValueError, AttributeError, TypeError) as error:
            raise DataError(
                f"expected a member in JSON in the membership change at index {index}, found {context[:80]!r} ({error})"
            ) from None
    return ConfChange(index, kind, node_id, name, peer_urls)

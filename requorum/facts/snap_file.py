"""Raft's own member list, from a snapshot of Raft (`member/snap/TERM-INDEX.snap`).

Format: etcd's snappb.Snapshot (crc, data), within it raftpb.Snapshot (data, metadata), whose ConfState it is; seen with 3.3,
3.4 and 3.5. The data, all of the v2 store, lies between: only both ends of the file are read. No checksum is looked at: the
file's name, its lengths and the index in it must agree.
"""

from __future__ import annotations

import base64
import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass

from requorum.facts.data_error import DataError
from requorum.facts.protobuf import parse, varint

_NAME = re.compile(r"([0-9a-f]{16})-([0-9a-f]{16})\.snap")
_HEAD, _TAIL = 64, 2048
_NEWEST = 5
"""So many are looked at; etcd keeps as many (`--max-snapshots`)."""


@dataclass(frozen=True, slots=True)
class ConfState:
    """Who voted, and who learned, in Raft after the entry `index`: no change that etcd rejected is in it."""

    index: int
    voters: frozenset[int]
    learners: frozenset[int]

    @property
    def ids(self) -> frozenset[int]:
        """Every member."""
        return self.voters | self.learners


def command(data_dir: str) -> str:
    """The command that sends of each of the newest snapshots a line: its name, its size, its first and last bytes."""
    return f"""cd {shlex.quote(data_dir)}/member/snap || exit 1
for snap in $(ls | grep '^[0-9a-f]*-[0-9a-f]*[.]snap$' | sort | tail -n {_NEWEST}); do
  size=$(stat -c %s "$snap") || continue
  echo "$snap $size $(head -c {_HEAD} "$snap" | base64 -w0) $(tail -c {_TAIL} "$snap" | base64 -w0)"
done"""


def newest(output: str, settled: int) -> ConfState | None:
    """The newest one that can be read, of what `command` printed, of an entry that is known to be committed."""
    return max(_readable(output.splitlines(), settled), key=lambda found: found.index, default=None)


def _readable(lines: Iterable[str], settled: int) -> list[ConfState]:
    found = []
    for line in lines:
        try:
            name, size, head, tail = line.split()
            one = read(name, int(size), base64.b64decode(head), base64.b64decode(tail))
        except (DataError, ValueError, IndexError):  # a damaged one counts for etcd as little
            continue
        if one.index <= settled:
            found.append(one)
    return found


def read(name: str, size: int, head: bytes, tail: bytes) -> ConfState:
    """The member list from a snapshot's name, its size, and its first and last bytes. Raises DataError."""
    named = _NAME.fullmatch(name)
    if not named:
        raise DataError(f"expected a snapshot like {0:016x}-{0:016x}.snap, found {name!r}")
    at = _behind_the_data(head, size) - (size - len(tail))
    if at < 0:
        raise DataError(f"{name}: expected its metadata in the last {len(tail)} bytes")
    metadata = parse(parse(tail[at:]).bytes(2))
    place = (metadata.number(3), metadata.number(2))
    if place != (int(named[1], 16), int(named[2], 16)):
        raise DataError(f"{name}: expected its term and index within, found {place}")
    voters, learners = _members(metadata.bytes(1))
    if not voters:
        raise DataError(f"{name}: expected members, found none")
    return ConfState(place[1], voters, learners)


def _behind_the_data(head: bytes, size: int) -> int:
    """Where raftpb's metadata begins. Raises DataError."""
    crc, at = varint(head, 0)
    if crc != 0x08:
        raise DataError("expected a checksum first")
    _, at = varint(head, at)
    outer, at = varint(head, at)
    length, at = varint(head, at)
    if outer != 0x12 or at + length != size:
        raise DataError(f"expected a snapshot of {size} bytes, found {at + length}")
    if head[at] != 0x0A:
        return at
    length, at = varint(head, at + 1)
    return at + length


def _members(conf_state: bytes) -> tuple[frozenset[int], frozenset[int]]:
    """Voters and learners; raftpb.ConfState repeats its fields. Raises DataError in the middle of a joint change."""
    found: dict[int, set[int]] = {1: set(), 2: set(), 5: set()}
    at = 0
    while at < len(conf_state):
        tag, at = varint(conf_state, at)
        value, at = varint(conf_state, at)
        if tag & 7 or tag >> 3 not in found:  # etcd makes one change at a time
            raise DataError(f"expected voters and learners, found field {tag >> 3}")
        found[tag >> 3].add(value)
    return frozenset(found[1]), frozenset(found[2])

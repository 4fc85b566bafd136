"""What tells a cluster that emptied hosts have founded from the one that was there before: its entries.

Both have the same IDs. Source: etcd's etcdserver/server.go (publish, updateClusterVersion) and raft_internal.proto.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from zlib import crc32

from requorum.facts.data_error import DataError
from requorum.facts.protobuf import parse
from requorum.facts.wal_samples import Samples

HOUSEKEEPING = frozenset({1, 100, 1300, 1301, 1302})
"""Fields of etcd's InternalRaftRequest that write no key: ID, header, and what members publish of themselves."""
_V2_WRITES = frozenset({b"PUT", b"POST", b"DELETE"})
V2_METHODS = _V2_WRITES | {b"GET", b"QGET", b"HEAD", b"SYNC"}
_OWN_V2_PATH = b"/0/"
"""Below it etcd keeps the members and its version in the v2 store; what clients write lies below /1 and /2."""

EVERY = 32
"""Of so many entries one is kept as a sample, and all of the first ones: a new cluster has few."""


@dataclass(slots=True)
class Witness:
    """Is shown every entry of a log, in the order of the file (`read_entries`).

    `wrote`: some entry may write for a client, by the v2 or the v3 API; what is not sure to write nothing counts.
    `samples`: term and checksum of some entries, by index.
    """

    wrote: bool = False
    samples: Samples = field(default_factory=Samples)

    def see(self, index: int, term: int, kind: int, data: bytes) -> None:
        """One more entry."""
        if index % EVERY == 0 or index <= EVERY:
            self.samples[index] = (term, crc32(data))
        self.wrote = self.wrote or _may_write(kind, data)


def _may_write(kind: int, data: bytes) -> bool:
    if kind or not data:  # a change of the membership, or a new leader's empty entry
        return False
    try:
        request = parse(data)
    except DataError:
        return True
    if request.bytes(2) in V2_METHODS:
        return request.bytes(2) in _V2_WRITES and not request.bytes(3).startswith(_OWN_V2_PATH)
    return not request.numbers.keys() | request.repeated.keys() <= HOUSEKEEPING

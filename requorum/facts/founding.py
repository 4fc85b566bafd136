"""Whether a log has ever held a write to the v3 store: an emptied host that starts makes one that has not.

Source: etcd's etcdserver/server.go (publish, updateClusterVersion) and raft_internal.proto.
"""

from __future__ import annotations

from collections.abc import Sequence

from requorum.facts.data_error import DataError
from requorum.facts.protobuf import parse
from requorum.facts.wal import ENTRY
from requorum.facts.wal_segment import read_segment

HOUSEKEEPING = frozenset({1, 100, 1300, 1301, 1302})
"""Fields of etcd's InternalRaftRequest that write no key: ID, header, and what members publish of themselves."""
V2_METHODS = frozenset({b"GET", b"QGET", b"HEAD", b"PUT", b"POST", b"DELETE", b"SYNC"})


def may_hold_writes(segments: Sequence[tuple[str, bytes]]) -> bool:
    """Whether an entry of these segments may write to the v3 store; what is not sure to write nothing counts.

    The segments have been read once already (`read_log`), so that they are known to be whole.
    """
    newest = max((name for name, _ in segments), default="")
    for name, content in segments:
        for kind, data in read_segment(name, content, None, newest=name == newest).records:
            if kind == ENTRY and _may_write(data):
                return True
    return False


def _may_write(entry: bytes) -> bool:
    message = parse(entry)
    data = message.bytes(4)
    if message.number(1) or not data:  # a change of the membership, or a new leader's empty entry
        return False
    try:
        request = parse(data)
    except DataError:
        return True
    if request.bytes(2) in V2_METHODS:
        return False
    return not request.numbers.keys() | request.repeated.keys() <= HOUSEKEEPING

"""Entries of a log, as etcd marshals them (raft_internal.proto, rpc.proto)."""

from __future__ import annotations

from wal_writer import number

from requorum.facts.wal import Entry


def numbered(tag: int, value: int) -> bytes:
    return number(tag << 3) + number(value % (1 << 64)) if value else b""


def framed(tag: int, data: bytes) -> bytes:
    return number(tag << 3 | 2) + number(len(data)) + data


def request(tag: int, data: bytes) -> bytes:
    """An InternalRaftRequest with its header, its ID and one field."""
    return framed(100, numbered(1, 7)) + numbered(1, 99) + framed(tag, data)


def a_put(
    key: bytes, value: bytes = b"v", *, lease: int = 0, keeps_value: bool = False, keeps_lease: bool = False
) -> bytes:
    return framed(1, key) + framed(2, value) + numbered(3, lease) + numbered(5, keeps_value) + numbered(6, keeps_lease)


def a_deletion(key: bytes, end: bytes = b"") -> bytes:
    return framed(1, key) + (framed(2, end) if end else b"")


UNION = {0: 4, 1: 5, 2: 6, 4: 8}


def a_compare(key: bytes, target: int, result: int, held_against: int | bytes, end: bytes = b"") -> bytes:
    own = 7 if target == 3 else UNION[target]
    union = framed(own, held_against) if isinstance(held_against, bytes) else number(own << 3) + number(held_against)
    return numbered(1, result) + numbered(2, target) + framed(3, key) + union + (framed(64, end) if end else b"")


def a_txn(compares: list[bytes], success: list[bytes], failure: list[bytes] | None = None) -> bytes:
    parts = [framed(1, one) for one in compares] + [framed(2, one) for one in success]
    return b"".join(parts + [framed(3, one) for one in failure or []])


def look(revision: int) -> bytes:
    return framed(1, framed(1, b"k") + numbered(4, revision))


def put(key: bytes, value: bytes = b"v", **more: int) -> bytes:
    return request(4, a_put(key, value, **more))  # type: ignore[arg-type]


def deletion(key: bytes, end: bytes = b"") -> bytes:
    return request(5, a_deletion(key, end))


def txn(compares: list[bytes], success: list[bytes], failure: list[bytes] | None = None) -> bytes:
    return request(6, a_txn(compares, success, failure))


def compaction(revision: int) -> bytes:
    return request(7, numbered(1, revision))


def grant(lease: int, seconds: int = 60) -> bytes:
    return request(8, numbered(1, seconds) + numbered(2, lease))


def revoke(lease: int) -> bytes:
    return request(9, numbered(1, lease))


def alarm(action: int, kind: int, member: int = 7) -> bytes:
    return request(10, numbered(1, action) + numbered(2, member) + numbered(3, kind))


def v2(method: str, path: str) -> bytes:
    return numbered(1, 5) + framed(2, method.encode()) + framed(3, path.encode()) + framed(4, b"v")


def entries(*data: bytes, first: int = 1) -> list[Entry]:
    return [Entry(first + at, 2, 0, one) for at, one in enumerate(data)]

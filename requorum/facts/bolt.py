"""etcd's v3 database (`member/snap/db`), a bbolt file: what it says of the member, read by a few ranges of bytes.

Buckets and keys: etcd's `schema` package (bucket.go, membership.go, cindex.go, alarm.go, auth.go) and `mvcc`
(revision.go, kvstore.go); seen with 3.3, 3.4 and 3.5.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Generator
from dataclasses import dataclass

from requorum.facts.bolt_pages import BUCKET, HEAD, Bucket, Item, bucket, newest_meta
from requorum.facts.bolt_reader import Image, Range, Reader, scan
from requorum.facts.data_error import DataError
from requorum.facts.protobuf import parse, varint

SMALL = (b"meta", b"members", b"members_removed", b"cluster", b"alarm", b"auth")
"""The buckets that are read whole: they hold a few items each."""

Held = tuple[int, bytes]
"""What a member holds of a key: the revision of its last change, and the SHA-256 of its value."""

ALARMS = {1: "NOSPACE", 2: "CORRUPT"}


@dataclass(frozen=True, slots=True)
class DbMember:
    """A member as the database has it."""

    id: int
    name: str
    peer_urls: tuple[str, ...]
    client_urls: tuple[str, ...]
    is_learner: bool


@dataclass(frozen=True, slots=True)
class Alarm:
    """An alarm that is raised; `kind` is NOSPACE or CORRUPT."""

    member_id: int
    kind: str


@dataclass(frozen=True, slots=True)
class Db:
    """What the database says. `consistent_index` is the last log entry applied to it; `term` is its term (3.5).

    `revision` is counted as etcd does at its start: an empty store has 1, and what was compacted counts.
    `compact_revision` is 0 where nothing was compacted. `cluster_version` is as etcd writes it (3.4.0).
    `learners` are Raft's own (from 3.5 on, else None). With 3.5.16 a member's other fields are as they were when it was
    added: a promotion, a changed URL, a published name or client URL did not reach the database (seen).
    """

    page_size: int
    txid: int
    consistent_index: int | None
    term: int | None
    revision: int
    compact_revision: int
    members: tuple[DbMember, ...]
    removed: tuple[int, ...]
    learners: tuple[int, ...] | None
    auth_enabled: bool
    cluster_version: str | None
    alarms: tuple[Alarm, ...]


def read_db() -> Generator[list[Range], list[bytes], Db]:
    """Read a database by asking for ranges of its bytes: yields them, is sent their bytes (shorter at the file's end).

    A range may lie beyond the file; the ranges of one round must be read in their order, for the last one is the meta
    pages again: they show whether etcd wrote meanwhile. Returns what the database says.
    Raises DataError for a damaged file, and for one that was changed while it was read: then read it again.
    """
    [head] = yield [(0, HEAD)]
    reader = Reader(head)
    buckets = buckets_of((yield from reader.items({b"": Bucket(reader.meta.root, None)}))[b""])
    found = yield from reader.items(
        {name: buckets[name] for name in (*SMALL, b"key") if name in buckets}, last_of=b"key"
    )
    items = {name: {key: value for _, key, value in found.get(name, [])} for name in SMALL}
    meta = items[b"meta"]
    compacted = _compacted(meta)
    newest = [key for _, key, _ in found.get(b"key", [])]
    return Db(
        page_size=reader.meta.page_size,
        txid=reader.meta.txid,
        consistent_index=_number(meta, b"consistent_index"),
        term=_number(meta, b"term"),
        revision=max(1, compacted, *(revision_of(key)[0] for key in newest)),
        compact_revision=compacted,
        members=tuple(_member(key, value) for key, value in items[b"members"].items()),
        removed=tuple(_member_id(key) for key in items[b"members_removed"]),
        learners=_learners(meta.get(b"confState")),
        auth_enabled=items[b"auth"].get(b"authEnabled") == b"\x01",
        cluster_version=_text(items[b"cluster"].get(b"clusterVersion")),
        alarms=tuple(_alarm(key) for key in items[b"alarm"]),
    )


def serve(read: Callable[[list[Range]], list[bytes]]) -> Db:
    """Run `read_db` with a function that reads the ranges, in their order. Raises what `read_db` raises."""
    parser = read_db()
    ranges = next(parser)
    while True:
        try:
            ranges = parser.send(read(ranges))
        except StopIteration as stop:
            db: Db = stop.value
            return db


def read_image(image: Image) -> Db:
    """What a whole database says: a fetched copy, or a snapshot of `etcdctl snapshot save`. Raises as `read_db`."""
    return serve(lambda ranges: [image[at : at + length] for at, length in ranges])


def keys_at(image: Image, revision: int | None = None) -> dict[bytes, int]:
    """Every key that lives at a revision, with the revision of its last change (mod_revision).

    Arguments: a whole database (not one that etcd has open for writing); the revision, by default the newest.
    Raises DataError for a damaged file, for a revision above the newest one, and for one below the last compaction.
    """
    db = read_image(image)
    return {key: main for key, (main, _) in _live_at(image, db, db.revision if revision is None else revision).items()}


def held_at(image: Image) -> tuple[dict[bytes, Held], int]:
    """Every key that lives at the newest revision, and that revision. Raises DataError for a damaged file."""
    db = read_image(image)
    live = _live_at(image, db, db.revision)
    digests = {key: (main, hashlib.sha256(parse(value).bytes(5)).digest()) for key, (main, value) in live.items()}
    return digests, db.revision


def _live_at(image: Image, db: Db, revision: int) -> dict[bytes, tuple[int, bytes]]:
    """Key → the revision of its last change, and the mvccpb.KeyValue. Raises as `keys_at`."""
    if revision > db.revision:
        raise DataError(f"expected a revision up to {db.revision}, the newest of this database, found {revision}")
    if revision < db.compact_revision:
        raise DataError(f"expected a revision from {db.compact_revision}, found {revision}: it was compacted away")
    live: dict[bytes, tuple[int, bytes]] = {}
    meta = newest_meta(image[:HEAD])
    buckets = buckets_of(list(scan(image, meta, Bucket(meta.root, None))))
    for _, item_key, value in scan(image, meta, buckets[b"key"]) if b"key" in buckets else ():
        main, tombstone = revision_of(item_key)
        if main > revision:
            break
        key = _user_key(value)
        if tombstone:
            live.pop(key, None)
        else:
            live[key] = main, value
    return live


def buckets_of(root: list[Item]) -> dict[bytes, Bucket]:
    """The buckets in the root bucket's items, by name."""
    return {name: bucket(name, value) for flags, name, value in root if flags & BUCKET}


def _compacted(meta: dict[bytes, bytes]) -> int:
    """The last compaction, also one that was cut off: its revisions may be gone already (mvcc/kvstore.go, restore)."""
    found = [meta[name] for name in (b"finishedCompactRev", b"scheduledCompactRev") if name in meta]
    return max((revision_of(key)[0] for key in found), default=0)


def revision_of(key: bytes) -> tuple[int, bool]:
    """Main revision, and whether this is a deletion (mvcc/revision.go: 8 bytes, `_`, 8 bytes, then perhaps `t`)."""
    if len(key) not in (17, 18) or key[8] != 0x5F:
        raise DataError(f"expected a revision of 17 or 18 bytes in the database, found {key[:20]!r}")
    return int.from_bytes(key[:8], "big"), len(key) == 18 and key[17] == 0x74


def _user_key(value: bytes) -> bytes:
    """The key in a mvccpb.KeyValue, its first field."""
    if value[:1] != b"\x0a":
        return parse(value).bytes(1)
    size, at = varint(value, 1)
    if at + size > len(value):
        raise DataError(f"expected a key of {size} bytes in the database, found {len(value) - at}")
    return value[at : at + size]


def _number(items: dict[bytes, bytes], key: bytes) -> int | None:
    value = items.get(key)
    if value is not None and len(value) != 8:
        raise DataError(f"expected 8 bytes for {key.decode()} in the database, found {value[:20]!r}")
    return None if value is None else int.from_bytes(value, "big")


def _member_id(key: bytes) -> int:
    try:
        return int(key, 16)
    except ValueError:
        raise DataError(f"expected a member's ID in the database, found {key[:40]!r}") from None


def _member(key: bytes, value: bytes) -> DbMember:
    try:
        fields = json.loads(value)
        return DbMember(
            id=_member_id(key),
            name=str(fields.get("name", "")),
            peer_urls=tuple(str(url) for url in fields.get("peerURLs") or ()),
            client_urls=tuple(str(url) for url in fields.get("clientURLs") or ()),
            is_learner=bool(fields.get("isLearner", False)),
        )
    except (ValueError, AttributeError, TypeError) as error:
        raise DataError(f"expected a member in JSON in the database, found {value[:80]!r} ({error})") from None


def _learners(conf_state: bytes | None) -> tuple[int, ...] | None:
    if conf_state is None:
        return None
    try:
        return tuple(int(found) for found in json.loads(conf_state).get("learners") or ())
    except (ValueError, AttributeError, TypeError) as error:
        raise DataError(f"expected Raft's members in JSON, found {conf_state[:80]!r} ({error})") from None


def _alarm(key: bytes) -> Alarm:
    message = parse(key)
    kind = message.number(2)
    return Alarm(message.number(1), ALARMS.get(kind, f"alarm {kind}"))


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("utf-8", "replace")

"""What the survivor will hold once its log is committed: its database, and the entries that it does not hold yet."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from requorum.facts.bolt import buckets_of, read_image, revision_of
from requorum.facts.bolt_pages import HEAD, Bucket, newest_meta
from requorum.facts.bolt_reader import Image, scan
from requorum.facts.data_error import DataError
from requorum.facts.keyspace import NOSPACE, Key, Keyspace, looked_at
from requorum.facts.protobuf import parse
from requorum.facts.requests import read_request
from requorum.facts.wal import Entry

ALARMS = {"NOSPACE": NOSPACE, "CORRUPT": 2}
SHOWN = 5


@dataclass(frozen=True)
class Prediction:
    """Every key at a revision. Told, and compared, by its checksum."""

    revision: int
    keys: Mapping[bytes, Key] = field(repr=False, compare=False)

    @cached_property
    def sha256(self) -> str:
        """The same for the same keys."""
        digest = hashlib.sha256()
        for name in sorted(self.keys):
            digest.update(repr((name, self.keys[name])).encode())
        return digest.hexdigest()

    def __repr__(self) -> str:
        return f"Prediction(revision={self.revision}, {len(self.keys)} keys, sha256={self.sha256})"

    def unlike(self, revision: int, held: Mapping[bytes, Key]) -> list[str]:
        """In what a store at a revision differs from this, for a reader; empty where it is as predicted.

        Since the start of an etcd leases may have ended by its clock: one revision for each, and its keys are gone.
        """
        if revision < self.revision:
            return [f"the revision is {revision}, {self.revision} was predicted"]
        gone = self.keys.keys() - held.keys()
        ended = {self.keys[name].lease for name in gone} - {0}
        expired = {name for name, key in self.keys.items() if key.lease in ended}
        if revision - self.revision != len(ended):
            ended, expired = set(), set()
        problems = [f"the key {_text(n)} is not there" for n in sorted(gone - expired)]
        problems += [f"the key {_text(n)} is there" for n in sorted(held.keys() - (self.keys.keys() - expired))]
        problems += [
            f"the key {_text(n)} has {held[n]}, {self.keys[n]} was predicted"
            for n in sorted(self.keys.keys() & held.keys())
            if held[n] != self.keys[n]
        ]
        if not problems and revision - self.revision != len(ended):
            problems.append(f"the revision is {revision}, {self.revision} was predicted")
        more = len(problems) - SHOWN
        return problems[:SHOWN] + ([f"and {more} more"] if more > 0 else [])


@dataclass(frozen=True)
class Proof:
    """What is known of a log that is to be committed: the sum of its newest segment's records, and what follows."""

    sha256: str
    prediction: Prediction


def predict(image: Image, entries: Iterable[Entry], commit: int) -> Prediction:
    """What a store holds once the log is applied up to an index.

    Arguments: the database; the entries that it does not hold, in order (any number of times, if there are transactions
    that look at values: then they are read twice); the index.
    Raises DataError for damage, and for a log whose effect cannot be said.
    """
    db = read_image(image)
    if db.auth_enabled:
        raise DataError("users and roles are switched on: what a write may do is not predicted")
    held = db.consistent_index or 0
    ranges = tuple(looked_at(read_request(e.data) for e in entries if held < e.index <= commit and not e.type))
    space = read_keyspace(image, lambda key: any(key in one for one in ranges))
    last = held
    for entry in entries:
        if not held < entry.index <= commit:
            continue
        if entry.index != last + 1:
            raise DataError(f"expected the entry {last + 1} of the log, found {entry.index}: older segments are needed")
        last = entry.index
        if not entry.type:
            try:
                space.apply(read_request(entry.data))
            except DataError as error:
                raise DataError(f"log entry {entry.index}: {error}") from None
    if last < commit:
        raise DataError(f"expected the log to reach entry {commit}, found {last} as the last one")
    return Prediction(space.revision, space.keys)


def read_keyspace(image: Image, wanted: Callable[[bytes], bool]) -> Keyspace:
    """The store in a whole database, at its newest revision, with the values of the wanted keys.

    Raises DataError for a damaged file.
    """
    db = read_image(image)
    meta = newest_meta(image[:HEAD])
    buckets = buckets_of(list(scan(image, meta, Bucket(meta.root, None))))
    alarms = {(alarm.member_id, ALARMS[alarm.kind]) for alarm in db.alarms if alarm.kind in ALARMS}
    space = Keyspace(db.revision, db.compact_revision, {}, alarms=alarms, wants_value=wanted)
    for _, item, value in scan(image, meta, buckets[b"key"]) if b"key" in buckets else ():
        main, tombstone = revision_of(item)
        found = parse(value)
        key = found.bytes(1)
        if tombstone:
            space.keys.pop(key, None)
            space.values.pop(key, None)
            continue
        lease = found.number(6)
        space.keys[key] = Key(found.number(2), main, found.number(4), lease)
        if wanted(key):
            space.values[key] = found.bytes(5)
    for _, item, _ in scan(image, meta, buckets[b"lease"]) if b"lease" in buckets else ():
        space.leases.add(int.from_bytes(item, "big"))
    return space


def read_answer(output: str) -> tuple[int, dict[bytes, Key]]:
    """Revision and keys, from `etcdctl get "" --prefix --keys-only -w json`. Raises ValueError for anything else."""
    try:
        answer = json.loads(output)
        keys = {
            base64.b64decode(kv["key"]): Key(
                int(kv["create_revision"]), int(kv["mod_revision"]), int(kv["version"]), int(kv.get("lease", 0))
            )
            for kv in answer.get("kvs", ())
        }
        return int(answer["header"]["revision"]), keys
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"expected keys in JSON, found {output[:200]!r} ({error})") from None


def mod_revisions(output: str) -> dict[bytes, int]:
    """Each key in the same output, with the revision that wrote it. Raises as `read_answer`."""
    return {key: held.changed for key, held in read_answer(output)[1].items()}


def _text(key: bytes) -> str:
    return key.decode(errors="backslashreplace")

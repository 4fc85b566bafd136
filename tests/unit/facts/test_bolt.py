"""The database of real members, whole and damaged, read at once and by ranges."""

from __future__ import annotations

import hashlib
import json
import random
import time
from collections.abc import Callable
from functools import cache

import pytest
from samples import RECORDED, VERSIONS, Sample, unpack

from requorum.facts.bolt import Alarm, Db, held_at, keys_at, read_db, read_image, serve
from requorum.facts.data_error import DataError

MEMBERS = ("m0", "m1", "m2")
WIDE = RECORDED / "3.4.23-wide"


@cache
def recorded(version: str, member: str) -> bytes:
    return Sample(version).db(member)


@cache
def wide() -> bytes:
    return unpack(WIDE / "snapshot.db.xz")


def rounds(image: bytes) -> tuple[Db, int, int]:
    """The database, in how many rounds it was read, and how many bytes."""
    count = total = 0

    def read(ranges: list[tuple[int, int]]) -> list[bytes]:
        nonlocal count, total
        count += 1
        answers = [image[at : at + length] for at, length in ranges]
        total += sum(map(len, answers))
        return answers

    return serve(read), count, total


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("member", MEMBERS)
def test_database_is_as_etcd_says(version: str, member: str) -> None:
    said = Sample(version).said
    db = read_image(recorded(version, member))
    status = said["members"][member]["status"]
    assert db.revision == status["header"]["revision"]
    assert db.compact_revision == said["compacted"]
    assert db.consistent_index is not None
    assert db.consistent_index <= status["raftIndex"]
    assert db.term == (status["raftTerm"] if version == "3.5.16" else None)
    assert db.cluster_version == version[:3] + ".0"
    assert not db.auth_enabled
    assert db.alarms == ()
    listed = {m["ID"]: m for m in said["list"]["members"]}
    assert {m.id for m in db.members} == set(listed)
    for found in db.members:
        assert found.name == listed[found.id].get("name", "")
        assert found.is_learner == listed[found.id].get("isLearner", False)
        if version != "3.5.16":  # whose database misses later changes of a member (see Db)
            assert list(found.peer_urls) == listed[found.id]["peerURLs"]
            assert list(found.client_urls) == listed[found.id].get("clientURLs", [])
    assert len(db.removed) == 1
    assert db.removed[0] not in listed
    learners = tuple(m for m in listed if listed[m].get("isLearner"))
    assert db.learners == (learners if version == "3.5.16" else None)


@pytest.mark.parametrize("version", VERSIONS)
def test_keys_are_as_etcd_says(version: str) -> None:
    sample = Sample(version)
    for revision, keys in sample.keys().items():
        assert len(keys) > 30
        assert keys_at(sample.snapshot(), revision) == keys
        for member in MEMBERS:
            assert keys_at(recorded(version, member), revision) == keys
    assert keys_at(sample.snapshot()) == sample.keys()[sample.said["snapshot"]["revision"]]


def test_revision_that_is_not_there() -> None:
    image = recorded("3.4.23", "m0")
    db = read_image(image)
    with pytest.raises(DataError, match="compacted away"):
        keys_at(image, db.compact_revision - 1)
    with pytest.raises(DataError, match="the newest of this database"):
        keys_at(image, db.revision + 1)


def test_wide_tree() -> None:
    said = json.loads((WIDE / "said.json").read_text())
    begin = time.monotonic()
    keys = keys_at(wide(), said["at"])
    assert time.monotonic() - begin < 3  # 0.1 s on a quiet machine
    assert len(keys) == said["count"] == 10_000
    lines = (f"{key.decode()} {changed}" for key, changed in keys.items())
    assert hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest() == said["sha256"]
    db = read_image(wide())
    assert db.revision == said["status"]["header"]["revision"]
    assert db.alarms == (Alarm(said["status"]["header"]["member_id"], "NOSPACE"),)
    assert db.auth_enabled


def test_few_rounds_and_few_bytes() -> None:
    db, count, total = rounds(wide())
    assert db == read_image(wide())
    assert count <= 6
    assert total < 700_000 < len(wide())
    assert rounds(recorded("3.4.23", "m0"))[1] <= 4


def changed_while_read(image: bytes, change: Callable[[bytearray], None]) -> Db:
    """Read the image; it is changed after the first round."""
    now = bytearray(image)

    def read(ranges: list[tuple[int, int]]) -> list[bytes]:
        answers = [bytes(now[at : at + length]) for at, length in ranges]
        change(now)
        return answers

    return serve(read)


def test_write_while_it_is_read_is_seen() -> None:
    image, db = wide(), read_image(wide())
    before = bytearray(image)
    newest = max((0, 1), key=lambda n: int.from_bytes(image[n * 4096 + 64 : n * 4096 + 72], "little"))
    before[newest * 4096 + 72 : newest * 4096 + 80] = bytes(8)  # the newest meta page is not written yet
    older = read_image(bytes(before))
    assert older.txid == db.txid - 1

    def commit(now: bytearray) -> None:
        now[:] = image

    with pytest.raises(DataError, match="changed while it was read"):
        changed_while_read(bytes(before), commit)


def test_meta_pages() -> None:
    image = bytearray(recorded("3.4.23", "m0"))
    for number in (0, 1):
        image[number * 4096 + 40] ^= 1
    with pytest.raises(DataError, match="expected a bbolt meta page"):
        read_image(bytes(image))
    one_left = bytearray(recorded("3.4.23", "m0"))
    one_left[40] ^= 1
    assert read_image(bytes(one_left)).page_size == 4096


def refusal(image: bytes) -> str:
    """Why the database is refused; empty where it is not."""
    try:
        keys_at(image)
    except DataError as error:
        return str(error)
    return ""


def test_damage_is_told_and_never_a_traceback() -> None:
    """Pages have no checksums: damage may go unseen, but what is raised is always an explanation."""
    image = recorded("3.4.23", "m0")
    chance = random.Random(11)
    refused = 0
    for _ in range(300):
        bad = bytearray(image)
        for _ in range(20):
            bad[chance.randrange(8192, len(bad))] = chance.randrange(256)
        refused += "expected" in refusal(bytes(bad))
    assert refused > 50
    for size in (0, 100, 5000, 70_000):
        with pytest.raises(DataError):
            read_image(chance.randbytes(size))
        with pytest.raises(DataError):
            keys_at(image[: min(size, 20_000)])


def test_database_without_etcds_buckets_is_an_empty_store() -> None:
    """A member killed in its first moments: bbolt made its file, etcd committed nothing yet."""
    image = bytearray(4 * 4096)
    for number in (0, 1):
        image[number * 4096 : number * 4096 + 8192 // 2] = recorded("3.4.23", "m0")[:4096]
    for number in (0, 1):
        at = number * 4096
        image[at : at + 8] = number.to_bytes(8, "little")
        image[at + 32 : at + 40] = (3).to_bytes(8, "little")
        image[at + 56 : at + 64] = (4).to_bytes(8, "little")
        image[at + 64 : at + 72] = number.to_bytes(8, "little")
        checksum = 0xCBF29CE484222325
        for byte in image[at + 16 : at + 72]:
            checksum = (checksum ^ byte) * 0x100000001B3 % 2**64
        image[at + 72 : at + 80] = checksum.to_bytes(8, "little")
    image[3 * 4096 : 3 * 4096 + 10] = (3).to_bytes(8, "little") + b"\x02\x00"
    db = read_image(bytes(image))
    assert (db.revision, db.consistent_index, db.members) == (1, None, ())
    assert keys_at(bytes(image)) == {}


def test_generator_asks_for_the_meta_pages_last() -> None:
    reader = read_db()
    ranges = next(reader)
    image = wide()
    while True:
        try:
            ranges = reader.send([image[at : at + length] for at, length in ranges])
        except StopIteration:
            break
        assert ranges[-1][0] == 0


def test_what_is_held_is_the_revision_and_the_value() -> None:
    sample = Sample("3.4.23")
    held, revision = held_at(sample.snapshot())
    assert revision == sample.said["snapshot"]["revision"]
    assert {key: main for key, (main, _) in held.items()} == sample.keys()[revision]
    assert {len(digest) for _, digest in held.values()} == {32}
    assert len({digest for _, digest in held.values()}) > 1

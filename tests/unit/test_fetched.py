"""Log and database of a member, brought here by what a host surely has, and what is said where that fails."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from builders import conf, facts
from facts.samples import RECORDED, VERSIONS, Sample, segments, unpack
from facts.wal_writer import Writer
from local_shell import LocalShell

from requorum.facts.bolt import read_image
from requorum.facts.data_error import DataError
from requorum.facts.host import HostFacts
from requorum.facts.wal import read_entries
from requorum.fetched import prove, read_data


def member(version: str, folder: Path) -> HostFacts:
    sample = Sample(version)
    (folder / "member/snap").mkdir(parents=True)
    (folder / "member/wal").mkdir()
    (folder / "member/snap/db").write_bytes(sample.db("m0"))
    for name, content in sample.segments("m0"):
        (folder / "member/wal" / name).write_bytes(content)
    return facts(0, conf=conf(0, ETCD_DATA_DIR=str(folder)))


@pytest.mark.parametrize("version", VERSIONS)
def test_what_a_member_will_hold(version: str, tmp_path: Path) -> None:
    one, sample = member(version, tmp_path), Sample(version)
    data = read_data(LocalShell(), one, read_image(sample.db("m0")))  # type: ignore[arg-type]
    assert data.error == ""
    proof = prove(LocalShell(), one, data, data.settled)  # type: ignore[arg-type]
    revision, keys = max(sample.keys().items())
    assert proof.prediction.revision == revision
    assert {name: key.changed for name, key in proof.prediction.keys.items()} == keys


class Cut(LocalShell):
    """Of a database only the first bytes arrive."""

    def fetch(self, script: str, to: Path, *, seconds: float) -> str:
        super().fetch(script, to, seconds=seconds)
        if to.name == "db.gz":
            to.write_bytes(to.read_bytes()[:100])
        return ""


def test_a_database_that_cannot_be_unpacked_is_told(tmp_path: Path) -> None:
    one = member("3.4.23", tmp_path)
    data = read_data(LocalShell(), one, read_image(Sample("3.4.23").db("m0")))  # type: ignore[arg-type]
    with pytest.raises(DataError, match="cannot be unpacked here"):
        prove(Cut(), one, data, data.settled)  # type: ignore[arg-type]


def test_a_log_that_has_changed_since_it_was_read_is_told(tmp_path: Path) -> None:
    one = member("3.4.23", tmp_path)
    data = read_data(LocalShell(), one, read_image(Sample("3.4.23").db("m0")))  # type: ignore[arg-type]
    assert data.log is not None
    before = replace(data, log=replace(data.log, commit=data.log.commit - 1))
    with pytest.raises(DataError, match="is etcd running"):
        prove(LocalShell(), one, before, data.settled)  # type: ignore[arg-type]


@pytest.mark.parametrize("version", VERSIONS)
def test_raft_s_own_list_is_read_where_the_log_does_not_begin_with_the_founders(version: str, tmp_path: Path) -> None:
    """A restored cluster whose first segment was purged: the database alone would count the old members, too."""
    where = RECORDED / "restored" / version / "ran"
    snap, wal = tmp_path / "member/snap", tmp_path / "member/wal"
    snap.mkdir(parents=True)
    wal.mkdir()
    [packed] = where.glob("*.snap.xz")
    (snap / packed.name.removesuffix(".xz")).write_bytes(unpack(packed))
    database = read_image(unpack(where / "db.xz"))
    [(name, content)] = segments(where)
    log, entries = read_entries([(name, content)], 3)
    writer = Writer()
    for entry in entries:
        writer.entry(entry.index, entry.term, entry.data, entry.type)
    writer.state(log.term, log.commit)
    (wal / f"{1:016x}-{4:016x}.wal").write_bytes(writer.content + bytes(4096))
    one = facts(0, conf=conf(0, ETCD_DATA_DIR=str(tmp_path)))
    data = read_data(LocalShell(), one, database)  # type: ignore[arg-type]
    assert (data.error, data.begins_at_founders) == ("", False)
    listed = {m["ID"] for m in json.loads((where / "said.json").read_text())["members"]}
    assert {m.id for m in data.members} == listed
    (snap / packed.name.removesuffix(".xz")).write_bytes(b"damaged")
    blind = read_data(LocalShell(), one, database)  # type: ignore[arg-type]
    assert (blind.raft, bool(blind.doubtful)) == (None, version != "3.5.16")

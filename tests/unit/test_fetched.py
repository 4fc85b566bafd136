"""Log and database of a member, brought here by what a host surely has, and what is said where that fails."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from builders import conf, facts
from facts.samples import VERSIONS, Sample
from local_shell import LocalShell

from requorum.facts.bolt import read_image
from requorum.facts.data_error import DataError
from requorum.facts.host import HostFacts
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

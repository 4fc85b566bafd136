"""Raft's own member list, from the ends of a snapshot's file. The files are real ones (`record_restored.py`)."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from samples import RECORDED, VERSIONS, unpack

from requorum.facts.data_error import DataError
from requorum.facts.snap_file import ConfState, command, newest, read

NAME = "0000000000000001-0000000000000003.snap"


def content(version: str) -> bytes:
    return unpack(RECORDED / "restored" / version / "ran" / f"{NAME}.xz")


def ids(version: str) -> set[int]:
    text = (RECORDED / "restored" / version / "ran" / "said.json").read_text()
    return {m["ID"] for m in json.loads(text)["members"]}


def printed(folder: Path) -> str:
    """What the command prints of the snapshots in folder/member/snap."""
    return subprocess.run(["bash", "-c", command(str(folder))], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("version", VERSIONS)
def test_it_is_read_from_both_ends(version: str) -> None:
    snap = content(version)
    found = read(NAME, len(snap), snap[:64], snap[-2048:])
    assert found == ConfState(3, frozenset(ids(version)), frozenset())
    assert read(NAME, len(snap), snap[:64], snap) == found


def test_a_learner_and_a_file_without_a_store() -> None:
    conf = bytes([0x08, 1, 0x08, 2, 0x10, 9, 0x28, 0])
    metadata = bytes([0x0A, len(conf)]) + conf + bytes([0x10, 7, 0x18, 2])
    inner = bytes([0x12, len(metadata)]) + metadata
    snap = bytes([0x08, 1, 0x12, len(inner)]) + inner
    name = "0000000000000002-0000000000000007.snap"
    assert read(name, len(snap), snap, snap) == ConfState(7, frozenset({1, 2}), frozenset({9}))


@pytest.mark.parametrize("damage", ["name", "size", "head", "tail", "short", "empty", "other index"])
def test_what_is_damaged_is_not_believed(damage: str) -> None:
    snap, name = content("3.4.23"), NAME
    size, head, tail = len(snap), snap[:64], snap[-2048:]
    name = {"name": "db", "other index": NAME.replace("3.snap", "4.snap")}.get(damage, name)
    size += damage == "size"
    head = {"head": b"{" + head[1:], "empty": b""}.get(damage, head)
    tail = {"tail": bytes(2048), "short": tail[-20:], "empty": b""}.get(damage, tail)
    with pytest.raises(DataError):
        read(name, size, head, tail)


def test_the_newest_one_that_is_committed_and_can_be_read_counts(tmp_path: Path) -> None:
    snap = tmp_path / "member/snap"
    snap.mkdir(parents=True)
    for other in ("db", "0000000000000001-0000000000000002.snap.broken", "0000000000000003.snap.db"):
        (snap / other).write_bytes(b"x")
    assert newest(printed(tmp_path), 99) is None
    (snap / NAME).write_bytes(content("3.4.23"))
    (snap / "0000000000000002-0000000000000009.snap").write_bytes(b"")
    found = newest(printed(tmp_path), 3)
    assert found is not None
    assert found.ids == ids("3.4.23")
    assert newest(printed(tmp_path), 2) is None

"""The membership of data that `etcdctl snapshot restore` made: up to 3.4 its database lists the old members, too.

The data was recorded (`record_restored.py`), and etcd's own list beside it.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from samples import RECORDED, VERSIONS, segments, unpack

from requorum.facts.bolt import read_image
from requorum.facts.data_dir import DataDir, judge

KEEPS_THE_OLD = ("3.3.25", "3.4.23")
RAN = ("ran", "scaled")


def folder(version: str, how: str) -> Path:
    return RECORDED / "restored" / version / how


def read(version: str, how: str) -> DataDir:
    where = folder(version, how)
    return judge(segments(where), read_image(unpack(where / "db.xz")))


def said(version: str, how: str) -> Any:
    return json.loads((folder(version, how) / "said.json").read_text())["members"]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("how", RAN)
def test_members_are_as_etcd_lists_them(version: str, how: str) -> None:
    data = read(version, how)
    assert data.error == ""
    found = {m.id: (list(m.peer_urls), m.is_learner) for m in data.members}
    assert found == {m["ID"]: (m["peerURLs"], False) for m in said(version, how)}
    assert data.members_to_be == data.members


@pytest.mark.parametrize("version", VERSIONS)
def test_before_its_first_start_the_founders_are_its_members(version: str) -> None:
    found = {m.id: m.peer_urls for m in read(version, "restored").members}
    assert found == {m["ID"]: tuple(m["peerURLs"]) for m in said(version, "ran")}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("how", ["restored", *RAN])
def test_only_up_to_3_4_the_old_list_stays_in_the_database(version: str, how: str) -> None:
    data = read(version, how)
    assert data.db is not None
    listed, members = {m.id for m in data.db.members}, {m.id for m in data.members}
    assert bool(listed - members) == bool(data.db.removed) == (version in KEEPS_THE_OLD)


@pytest.mark.parametrize("version", KEEPS_THE_OLD)
def test_a_founder_that_an_earlier_life_removed_is_a_member(version: str) -> None:
    """Its ID is a hash of its URL and the token: the same ones give it again."""
    data = read(version, "ran")
    assert data.db is not None
    again = replace(data, db=replace(data.db, removed=(*data.db.removed, *(m.id for m in data.members))))
    assert again.members == data.members
    gone = replace(again, db=replace(data.db, members=(), removed=tuple(m.id for m in data.members)))
    assert {m.id for m in gone.members} == {m.id for m in data.members}

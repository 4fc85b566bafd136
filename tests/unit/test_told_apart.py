"""What an old peer holds against the survivor, in words: both revisions, and the keys that differ, counted."""

from __future__ import annotations

import base64
import json
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from builders import data, emptied, name, stopped
from facts.samples import Sample

from requorum import returning
from requorum.facts.bolt import Held, held_at
from requorum.facts.host import HostFacts
from requorum.facts.shell import PROBE
from requorum.live import Cluster, EtcdMember
from requorum.remote import RemoteError
from requorum.returning import told_apart

OLD = stopped(1, data(1))
Keys = dict[str, tuple[int, str]]
"""Key → the revision of its last change, and its value."""


class Host:
    """A remote from which one file, or one answer, is fetched."""

    def __init__(self, content: bytes = b"", error: RemoteError | None = None) -> None:
        self.content, self.error, self.asked = content, error, list[str]()

    def fetch(self, script: str, to: Path, *, seconds: float) -> str:
        self.asked.append(script)
        if self.error:
            raise self.error
        to.write_bytes(self.content)
        return ""


def listed(keys: Keys) -> bytes:
    """As the survivor lists them."""
    coded = {key: [base64.b64encode(one.encode()).decode() for one in (key, value)] for key, (_, value) in keys.items()}
    kvs = [{"key": coded[key][0], "mod_revision": keys[key][0], "value": coded[key][1]} for key in keys]
    return json.dumps({"kvs": kvs} if kvs else {}).encode()


def apart(old: HostFacts, survivor: Host, *, now: int, database: bytes = b"") -> str:
    """What is told of an old peer on host 1, whose survivor is on host 0, at this revision."""
    remotes = {name(0): survivor, name(1): Host(database)}
    run, member = SimpleNamespace(remotes=remotes), SimpleNamespace(name=name(1), surveyed=old)
    forced = SimpleNamespace(name=name(0), revision=lambda: now)
    return told_apart(cast("Cluster", SimpleNamespace(survivor=forced, run=run)), cast("EtcdMember", member))


@pytest.fixture
def theirs(monkeypatch: pytest.MonkeyPatch) -> Keys:
    """What the old peer's database holds, at revision 50."""
    keys: Keys = {"a": (2, "1"), "b": (3, "2"), f"{PROBE}/etcd-1": (4, "x")}

    def read(*_: object) -> tuple[dict[bytes, Held], int]:
        return {key.encode(): (at, sha256(value.encode()).digest()) for key, (at, value) in keys.items()}, 50

    monkeypatch.setattr(returning, "_in_database", read)
    return keys


def test_an_old_peer_that_took_no_writes_of_its_own(theirs: Keys) -> None:
    """The survivor went on: it is asked what it held at the old peer's revision. The probes of a run are nobody's keys."""
    survivor = Host(listed({"a": (2, "1"), "b": (3, "2")}))
    said = apart(OLD, survivor, now=70)
    assert said == "it is at revision 50, the survivor at 70: no key differs at revision 50"
    assert "--rev=50 " in survivor.asked[0]


def test_an_old_peer_that_is_ahead_is_compared_at_the_survivors_revision(theirs: Keys) -> None:
    theirs.update({"only here": (49, "3"), "d": (50, "new")})
    survivor = Host(listed({"a": (2, "1"), "b": (3, "2"), "d": (40, "old"), "only there": (41, "4")}))
    assert apart(OLD, survivor, now=41) == (
        "it is at revision 50, the survivor at 41: 3 keys differ, 1 of them only here, 1 only on etcd-0.example.com, "
        "1 with another value; nothing is merged, its data is kept aside"
    )
    assert "--rev=41 " in survivor.asked[0]


def test_a_value_that_differs_under_one_revision_is_another(theirs: Keys) -> None:
    said = apart(OLD, Host(listed({"a": (2, "1"), "b": (3, "another")})), now=50)
    assert "1 keys differ, 0 of them only here, 0 only on etcd-0.example.com, 1 with another value" in said


def test_the_database_of_a_real_member_is_read() -> None:
    database = Sample("3.4.23").db("m0")
    held, revision = held_at(database)
    said = apart(OLD, Host(listed({})), now=7, database=database)
    assert said.startswith(
        f"it is at revision {revision}, the survivor at 7: {len(held)} keys differ, {len(held)} of them"
    )


def test_what_cannot_be_compared_is_said(theirs: Keys) -> None:
    gone = RemoteError(name(0), expected="its keys", found="mvcc: required revision has been compacted", advice="")
    assert apart(OLD, Host(error=gone), now=70) == (
        "what it holds cannot be compared with etcd-0.example.com: revision 50 was compacted away there; its data is kept aside"
    )
    assert "cannot be compared with" in apart(OLD, Host(b"no JSON"), now=70)


def test_a_database_that_is_damaged_is_said() -> None:
    said = apart(OLD, Host(), now=70, database=b"nothing of bbolt's" * 1000)
    assert said.startswith("what it holds cannot be compared with etcd-0.example.com: ")


def test_one_without_data_has_nothing_to_compare() -> None:
    assert apart(emptied(1), Host(), now=70) == "it has no database that can be read; its data is kept aside"
    unwritten = stopped(1, data(1, unwritten=True))
    assert apart(unwritten, Host(), now=70) == "it holds nothing: it was emptied, and its etcd had started by itself"

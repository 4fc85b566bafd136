"""The v2 API: what its commands print (recorded with 3.4.23), and in what two readings of a store may rightly differ."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from builders import answers, conf, members, process, unit
from local_shell import LocalShell, stand_in

from requorum.facts import v2, v2_keys
from requorum.facts.process import Process
from requorum.facts.shell import CTL
from requorum.facts.v2_keys import Node, V2Keys, unlike_living, unlike_member, unlike_values

MEMBER = "2e1259d415f2a040"
SAID = f"""\
knows=backup
knows=cluster-health
asked=yes
health=member {MEMBER} is healthy: got healthy result from http://127.0.0.1:2379
health=cluster is healthy
served=yes
member={MEMBER}: name=a peerURLs=http://127.0.0.1:2380 clientURLs=http://127.0.0.1:2379 isLeader=true
"""


def test_what_the_health_commands_say() -> None:
    found = v2.parse(SAID)
    assert (found.speaks, found.backs_up, found.asked, found.served) == (True, True, True, True)
    assert found.members == (v2.V2Member(int(MEMBER, 16), "a", ("http://127.0.0.1:2380",)),)
    assert found.health[-1] == "cluster is healthy"
    assert found.has_quorum


def test_no_quorum_behind_an_unhealthy_member() -> None:
    said = f"knows=cluster-health\nasked=yes\nserved=yes\nhealth=member {MEMBER} is unhealthy: got unhealthy result from x\n"
    assert not v2.parse(said).has_quorum


def test_an_unstarted_member() -> None:
    found = v2.parse("served=yes\nmember=a0[unstarted]: peerURLs=http://10.0.0.12:2380\n")
    assert found.members == (v2.V2Member(0xA0, "", ("http://10.0.0.12:2380",)),)


def test_the_api_that_is_off() -> None:
    found = v2.parse("knows=backup\nknows=cluster-health\nasked=yes\nerror=unexpected status code 404\n")
    assert (found.served, found.error) == (False, "unexpected status code 404")


@pytest.mark.parametrize("output", ["hello\n", "served=yes\nmember=nonsense\n"])
def test_anything_else_is_an_error(output: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        v2.parse(output)


def test_a_disagreement_of_the_member_lists_is_named() -> None:
    listed = answers(0, members(0, 1)).members
    same = "".join(
        f"member={m.hex_id}: name={m.name} peerURLs={m.peer_urls[0]} clientURLs=x isLeader=false\n"
        for m in members(0, 1)
    )
    assert v2.parse(f"served=yes\n{same}").unlike(listed) == []
    one = v2.parse("served=yes\n" + same.splitlines(keepends=True)[0])
    assert one.unlike(listed) == [
        "the member a1: the v2 API says nothing, the v3 API says m1 at http://10.0.0.11:2380",
    ]


@pytest.mark.parametrize(
    ("version", "variable", "start", "wanted"),
    [
        ("3.3.25", "", "/usr/bin/etcd", True),
        ("3.3.25", "false", "/usr/bin/etcd", False),
        ("3.4.23", "", "/usr/bin/etcd", False),
        ("3.4.23", "true", "/usr/bin/etcd", True),
        ("3.4.23", "", "/usr/bin/etcd --enable-v2", True),
        ("3.5.16", "true", "/usr/bin/etcd --enable-v2=false", False),
        ("3.5.16", "", "/usr/bin/etcd --enable-v2v3=/x", False),
        ("3.6.1", "true", "/usr/bin/etcd", False),
    ],
)
def test_whether_the_api_is_on(version: str, variable: str, start: str, wanted: bool) -> None:
    variables = {"ETCD_ENABLE_V2": variable} if variable else {}
    running = Process(1, 1, tuple(start.split()), variables)
    assert v2.enables(conf(0), unit(), (running,), version) is wanted
    assert v2.enables(conf(0, **variables), unit(), (process(),), version) is v2.enables(conf(0), unit(), (), version)
    ending = Process(1, 1, (), {})
    assert v2.enables(conf(0, **variables), unit(), (ending,), version) is v2.enables(
        conf(0, **variables), unit(), (), version
    )


def store(first: int, *, last: int | None = None, **keys: tuple[str | None, int]) -> V2Keys:
    """A reading; `a="v", 3` is the key /a with the value v of index 3."""
    nodes = {f"/{key}": Node(*node) for key, node in keys.items()}
    return V2Keys(first, first if last is None else last, nodes)


def test_keys_that_expire_are_left_out_with_what_lies_below() -> None:
    nodes = [
        {"key": "/a", "value": "x", "createdIndex": 4, "modifiedIndex": 4, "nodes": None},
        {"key": "/t", "value": "v", "createdIndex": 5, "modifiedIndex": 5, "ttl": 9, "expiration": "soon", "nodes": None},
        {
            "key": "/d", "dir": True, "value": "", "createdIndex": 6, "modifiedIndex": 6, "ttl": 9, "expiration": "soon",
            "nodes": [{"key": "/d/k", "value": "1", "createdIndex": 7, "modifiedIndex": 7, "nodes": None}],
        },
        {"key": "/bare", "dir": True, "value": "", "createdIndex": 8, "modifiedIndex": 8, "nodes": None},
    ]  # fmt: skip
    found = v2_keys.parse(
        "8\n" + json.dumps({"action": "get", "node": {"key": "", "dir": True, "nodes": nodes}}) + "\n8\n"
    )
    assert dict(found.nodes) == {"/a": Node("x", 4), "/bare": Node(None, 8)}
    assert found.expiring == {"/t", "/d"}


@pytest.mark.parametrize("output", ["", "8\n{}\n8\n", '8\n{"node": {"nodes": [{}]}}\n8\n', "8\nno JSON\n8\n"])
def test_a_reading_of_another_shape(output: str) -> None:
    with pytest.raises(ValueError, match="expected the keys of a v2 store"):
        v2_keys.parse(output)


def test_a_later_store_may_hold_newer_changes_and_no_older_ones() -> None:
    kept = store(9, a=("1", 3), b=("1", 4), c=("1", 5))
    assert kept.lost_in(store(12, a=("2", 10), b=("1", 4), c=("1", 5), d=("new", 11))) == []
    assert kept.lost_in(store(12, a=("2", 3), b=("1", 4), c=("1", 5)))[0].startswith("/a: ")
    assert kept.lost_in(store(12, a=("1", 2), b=("1", 4), c=("1", 5)))[0].startswith("/a: "), "it went back"
    assert kept.lost_in(store(12, a=("1", 3), b=("1", 4), c=("1", 5), d=("old", 4)))[0].startswith("/d: ")
    assert kept.gone_in(store(12, a=("1", 3))) == ["/b", "/c"]


def test_what_came_to_expire_is_not_gone() -> None:
    later = V2Keys(12, 12, {}, frozenset({"/d"}))
    assert store(9, **{"d/k": ("1", 3), "e": ("1", 4)}).gone_in(later) == ["/e"]


def test_values_are_compared_where_indexes_are_not_kept() -> None:
    assert unlike_values({"/a": "1", "/d": None}, {"/a": "1", "/d": None}) == []
    found = unlike_values({"/a": "1", "/x": ""}, {"/a": "2", "/b": None})
    assert [line.partition(":")[0] for line in found] == ["/a", "/b", "/x"]


def test_the_backup_of_a_living_store() -> None:
    before, after = store(9, a=("1", 3), b=("1", 4)), store(11, a=("1", 3), b=("2", 10), c=("new", 11))
    assert unlike_living(store(5, a=("1", 2), b=("2", 4)), before, after) == [], (
        "what was changed meanwhile may be either"
    )
    assert unlike_living(store(5, b=("2", 4)), before, after)[0].startswith("/a: it is not there")
    assert unlike_living(store(5, a=("0", 2), b=("2", 4)), before, after)[0].startswith("/a: ")
    steady = store(9, a=("1", 3))
    assert unlike_living(store(5, a=("1", 2), z=("1", 3)), steady, steady) == ["/z: it was never there"]


def test_members_of_one_cluster() -> None:
    survivor = store(9, a=("1", 3), b=("1", 4))
    assert unlike_member(survivor, store(9, a=("1", 3), b=("1", 4))) == []
    assert unlike_member(survivor, store(9, a=("1", 3))) == ["/b: it is not there"]
    assert unlike_member(survivor, store(9, a=("1", 3), b=("1", 4), c=("1", 5))) == ["/c: it is there"]
    assert unlike_member(survivor, store(12, a=("1", 3), c=("1", 11))) == [], "it is ahead, and b may have been deleted"
    assert unlike_member(survivor, store(7, a=("2", 3)))[0].startswith("/a: "), "it is behind"
    crossed = store(8, last=10, a=("9", 3), b=("x", 2))
    assert [line.partition(":")[0] for line in unlike_member(survivor, crossed)] == ["/a"]


def test_etcdctl_is_asked_for_a_while(tmp_path: Path) -> None:
    """In a shell of its own, which has to know every function that it needs."""
    shell = LocalShell(stand_in(tmp_path / "bin", "etcdctl", 'printf "<%s>" "${@: -3}"'))
    said = shell.run(f"{CTL}{v2.CTL2}ctl2_within 5 watch --after-index=7 '/a key'", seconds=10)
    assert (said.exit, said.stdout, said.stderr) == (0, "<watch><--after-index=7></a key>", "")

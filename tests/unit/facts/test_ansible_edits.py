"""The group [etcd] edited in INI and YAML: golden texts, and ansible-core itself reads what comes out."""

from __future__ import annotations

import random
import re
from pathlib import Path, PurePath

import pytest
from ansible_core import Ansible, assert_left

from requorum.facts.ansible_groups import Malformed, NotEditable
from requorum.facts.ansible_inventory import Inventory
from requorum.facts.ansible_names import BadPattern, expand, remaining

FULL_INI = """\
# Written by hand.\x20\x20
lonely.example.com

[OSEv3:children]
masters
etcd   # a group of ours
new_etcd

[OSEv3:vars]
ansible_user=root
openshift_master_identity_providers=[{'name': 'a', 'kind': 'B'}]

[masters]
m[1:2].example.com

[etcd] # the first has the CA
\te0.example.com etcd_ip=192.0.2.10   openshift_public_hostname="etcd zero"  # why\x20
; a comment of e1
e1.example.com:2222 etcd_ip=192.0.2.11

e2.example.com

[new_etcd]

[etcd:vars]
color=blue

[masters:vars]
x=1"""

FULL_YAML = """\
# comment
all:
  hosts:
    lonely.example.com:
  children:
    OSEv3:
      vars: {ansible_user: root}
      children:
        masters:
          hosts:
            m[1:2].example.com:
        etcd:
          vars:
            color: blue
          hosts:
            # the first
            e0.example.com:   # has the CA
              etcd_ip: 192.0.2.10
              text: |
                two
                lines

            "e1.example.com":
              {etcd_ip: 192.0.2.11,
               site: a}
            # the last
            e2.example.com:
        new_etcd:
    other:
"""


def edited(name: str, text: str, out: set[str]) -> str:
    return Inventory(PurePath(name), text).without(out)


@pytest.mark.parametrize(
    ("pattern", "keep", "expected"),
    [
        ("e[0:2].x", ("e0.x", "e2.x"), ["e0.x", "e2.x"]),
        ("e[0:4].x", ("e0.x", "e1.x", "e3.x", "e4.x"), ["e[0:1].x", "e[3:4].x"]),
        ("e[0:2].x", ("e1.x", "e2.x"), ["e[1:2].x"]),
        ("e[:2].x", ("e0.x", "e1.x"), ["e[0:1].x"]),
        ("e[08:11]", ("e08", "e09", "e11"), ["e[08:09]", "e11"]),
        ("e[0:8:2]", ("e0", "e2", "e4", "e8"), ["e[0:4:2]", "e8"]),
        ("e-[a:d].x:22", ("e-a.x", "e-b.x", "e-d.x"), ["e-[a:b].x:22", "e-d.x:22"]),
        ("r[1:2]e[0:2]", ("r1e0", "r1e2", "r2e0", "r2e1", "r2e2"), ["r1e0", "r1e2", "r2e[0:2]"]),
        ("r[1:3]e[0:1]", ("r1e0", "r1e1", "r2e0", "r2e1"), ["r[1:2]e[0:1]"]),
        ("e[0:2]", (), []),
        ("plain", ("plain",), ["plain"]),
    ],
)
def test_a_range_is_split_into_what_remains(pattern: str, keep: tuple[str, ...], expected: list[str]) -> None:
    assert remaining(pattern, keep) == expected
    assert tuple(name for one in expected for name in expand(one)) == keep


@pytest.mark.parametrize(
    "pattern", ["e[0:2", "e[0]", "e[2:0]", "e[0:1:0]", "e[01:2]", "e[c:a]", "e[a:3]", "e[0:99999]", "e|0", "e[0:99][0:999]"]
)  # fmt: skip
def test_no_range(pattern: str) -> None:
    with pytest.raises(BadPattern):
        expand(pattern)


GOLDEN = {
    "one of three": (
        "hosts", FULL_INI, {"e1.example.com"},
        lambda t: t.replace("e1.example.com:2222 etcd_ip=192.0.2.11\n", ""),
    ),
    "the first": (
        "hosts", FULL_INI, {"e0.example.com"},
        lambda t: re.sub("\te0.example.com.*\n", "", t),
    ),
    "nobody": ("hosts", FULL_INI, set(), lambda t: t),
    "a host that is not there": ("hosts", FULL_INI, {"e9.example.com", "m1.example.com"}, lambda t: t),
    "a range with variables, Windows line ends, no end of the last line": (
        "hosts.ini", "[etcd]\r\n  e[0:2].x  a=1 # b ", {"e1.x"},
        lambda _: "[etcd]\r\n  e0.x  a=1 # b \r\n  e2.x  a=1 # b ",
    ),
    "the group twice": (
        "hosts", "[etcd]\na\nb\n[x]\na\n[etcd]\nc\nb\n", {"b"}, lambda _: "[etcd]\na\n[x]\na\n[etcd]\nc\n",
    ),
    "everybody": ("hosts", "[etcd]\na\n\n[x]\nb\n", {"a"}, lambda _: "[etcd]\n\n[x]\nb\n"),
    "yaml": (
        "hosts", FULL_YAML, {"e0.example.com"},
        lambda t: re.sub(r" +e0.example.com:(.*\n){5}", "", t),
    ),
    "yaml, quoted, in braces over two lines": (
        "hosts.yml", FULL_YAML, {"e1.example.com"},
        lambda t: re.sub(r' +"e1.example.com":(.*\n){3}', "", t),
    ),
    "yaml, the last": (
        "hosts.yaml", FULL_YAML, {"e2.example.com"}, lambda t: t.replace("            e2.example.com:\n", "", 1),
    ),
    "yaml, a range": (
        "hosts.yml", "etcd:\n  hosts:\n    'e[0:2].x':  # all\n      a: 1\n", {"e1.x"},
        lambda _: "etcd:\n  hosts:\n    'e0.x':  # all\n      a: 1\n    'e2.x':  # all\n      a: 1\n",
    ),
    "yaml, everybody": ("hosts.yml", "etcd:\n  hosts:\n    a:\nx:\n", {"a"}, lambda _: "etcd:\n  hosts:\nx:\n"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "text", "host", "expected"),
    [
        ("hosts", "[etcd]\n# the CA\na v=1\nb\n\nc v=2 # copy", "c", "[etcd]\n# the CA\nc v=2 # copy\na v=1\nb\n\n"),
        ("hosts", "[etcd]\r\ne[0:2] v=1\r\n[x]\r\n", "e2", "[etcd]\r\ne2 v=1\r\ne[0:1] v=1\r\n[x]\r\n"),
        ("hosts.yml", "etcd:\n  hosts:\n    a:\n    'b': {v: 1}\n    c:\n      v: 2\n",
         "c", "etcd:\n  hosts:\n    c:\n      v: 2\n    a:\n    'b': {v: 1}\n"),
    ],
    ids=["ini", "a range", "yaml"],
)  # fmt: skip
def test_a_line_moves_to_the_front_and_back(name: str, text: str, host: str, expected: str) -> None:
    before = Inventory(PurePath(name), text)
    moved = before.moved(host, (host, *before.hosts))
    assert moved == expected
    again = Inventory(PurePath(name), moved).moved(host, before.hosts)
    assert Inventory(PurePath(name), again).hosts == before.hosts
    assert Inventory(PurePath(name), again).groups.variables(host) == before.groups.variables(host)


@pytest.mark.parametrize(
    ("text", "says"),
    [("[etcd]\na\nb\n[etcd]\nb v=1\n", "b does not stand in [etcd] once"), ("[etcd]\n a\nb\n", "indented")],
)
def test_a_line_that_is_not_moved(text: str, says: str) -> None:
    with pytest.raises(NotEditable, match=re.escape(says)):
        Inventory(PurePath("hosts"), text).moved("b", ("b", "a"))


@pytest.mark.parametrize("case", GOLDEN)
def test_nothing_else_changes(tmp_path: Path, case: str) -> None:
    name, text, out, expected = GOLDEN[case]
    result = edited(name, text, out)
    assert result == expected(text)
    (tmp_path / "before").mkdir()
    (tmp_path / "after").mkdir()
    before, after = tmp_path / "before" / name, tmp_path / "after" / name
    before.write_bytes(text.encode())
    after.write_bytes(result.encode())
    assert_left(Ansible(before), Ansible(after), out)


def test_what_ansible_reads_is_what_is_read_here(tmp_path: Path) -> None:
    for name, text in (("hosts", FULL_INI), ("hosts.yml", FULL_YAML)):
        (tmp_path / name).write_text(text)
        ansible = Ansible(tmp_path / name)
        ours = Inventory(PurePath(name), text)
        assert list(ours.hosts) == ansible.direct["etcd"]
        for group in ("masters", "etcd"):
            assert list(ours.groups.hosts(group)) == ansible.direct[group]
        assert ours.groups.variables("e0.example.com")["etcd_ip"] == {"192.0.2.10"}


@pytest.mark.parametrize("name", ["hosts", "hosts.yml"])
@pytest.mark.parametrize("seed", range(12))
def test_any_hosts_leave_and_come_back(tmp_path: Path, name: str, seed: int) -> None:
    """Drawn by chance; what is left is put back in any order into a file that somebody else has edited meanwhile."""
    chance = random.Random(seed)
    patterns = chance.sample(["a[0:4].x", "b[08:11:2].x", "c.x", "d[a:c]y[1:2].x", "e.x:22", "f.x"], 4)
    ini = "".join(f"{p}   v={n}  # {p}\n" + chance.choice(["", "\n", "; c\n"]) for n, p in enumerate(patterns))
    yaml = "".join(f"    '{p}':  # {p}\n      v: {n}\n" for n, p in enumerate(patterns))
    text = f"[x]\nq\n[etcd]\n{ini}[y]\nc.x\n" if name == "hosts" else f"x:\netcd:\n  hosts:\n{yaml}y:\n"
    original = Inventory(PurePath(name), text)
    out = set(chance.sample(original.hosts, chance.randint(1, len(original.hosts) - 1)))
    left = original.without(out)
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / name).write_text(text)
    (tmp_path / name).write_text(left)
    before = Ansible(tmp_path / "one" / name)
    assert_left(before, Ansible(tmp_path / name), out)

    foreign = Inventory(PurePath(name), "# somebody was here\n" + left)
    back = foreign.with_again(original, out)
    assert back.startswith("# somebody was here\n")
    (tmp_path / name).write_text(back)
    again = Ansible(tmp_path / name)
    assert sorted(again.direct["etcd"]) == sorted(before.direct["etcd"])
    assert again.variables == before.variables


def test_put_back_at_its_place_with_its_line() -> None:
    original = Inventory(PurePath("hosts"), "[etcd]\na v=1 # x\nb\nc\n")
    foreign = Inventory(PurePath("hosts"), "[etcd]\n# new\nb w=2\n[x]")
    assert foreign.with_again(original, {"a", "c"}) == "[etcd]\n# new\na v=1 # x\nb w=2\nc\n[x]"
    empty = Inventory(PurePath("hosts"), "[x]\n[etcd]")
    assert empty.with_again(original, {"a", "c"}) == "[x]\n[etcd]\na v=1 # x\nc"


@pytest.mark.parametrize(
    ("name", "text", "line", "says"),
    [
        ("hosts", "[etcd]\na\n[etcd:hosts]\nb\n", 0, ""),
        ("hosts", "[etcd]\na\n[etcd:what]\n", 3, "[etcd:what]"),
        ("hosts", "[etcd]\na\n[x y]\n", 3, "without spaces"),
        ("hosts", "[etcd]\na b\n", 2, "name=value behind a host name, found b"),
        ("hosts", "[etcd]\na v='1\n", 2, "No closing quotation"),
        ("hosts", "[etcd]\n\ne[0:2.x\n", 3, "no range"),
        ("hosts", "[etcd]\n'a'\n", 2, "without quotes"),
        ("hosts", "[etcd:vars]\nx\n", 2, "name=value"),
        ("hosts", "[etcd:vars]\nx=1\n", 1, "declared in this file, found etcd"),
        ("hosts", "[o:children]\netcd\n", 2, "declared in this file, found etcd"),
        ("hosts", "\ufeff[etcd]\n", 1, "byte order mark"),
        ("hosts", "[etcd]\na # \udce9\n", 2, "UTF-8"),
        ("hosts.yml", "etcd:\n  hosts: {a: [}\n", 2, "YAML"),
        ("hosts.yml", "etcd:\n  hosts:\n    - a\n", 3, "the hosts of etcd"),
        ("hosts.yml", "etcd:\n  hosts:\n    17:\n", 3, "numbers in quotes"),
        ("hosts.yml", "- etcd\n", 1, "a mapping of groups"),
        ("hosts.yml", "a:\n---\nb:\n", 2, "YAML"),
    ],
)
def test_malformed(name: str, text: str, line: int, says: str) -> None:
    if not line:
        Inventory(PurePath(name), text)
        return
    with pytest.raises(Malformed, match=re.escape(says)) as caught:
        Inventory(PurePath(name), text)
    assert caught.value.line == line


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("plugin: aws_ec2\n", "inventory plugin"),
        ("x: &x\n  a:\netcd:\n  hosts: *x\n", "alias"),
        ("x: &x {a: }\netcd:\n  hosts:\n    <<: *x\n", "merged"),
        ("etcd: {hosts: {a: , b: }}\n", "line of its own"),
        ("etcd:\n  hosts: a\n", "text"),
    ],
)
def test_yaml_that_lines_do_not_tell_apart(text: str, says: str) -> None:
    with pytest.raises(NotEditable, match=says):
        Inventory(PurePath("hosts.yml"), text)


def test_secrets_of_the_others_stay_as_they_are() -> None:
    secret = "      pw: !vault |\n        $ANSIBLE_VAULT;1.1;AES256\n        6162\n\n"
    text = f"etcd:\n  hosts:\n    a:\n{secret}    # b\n    b:\n{secret}x:\n"
    found = Inventory(PurePath("hosts.yml"), text)
    assert found.without({"a"}) == f"etcd:\n  hosts:\n\n    # b\n    b:\n{secret}x:\n"
    assert found.without({"b"}) == f"etcd:\n  hosts:\n    a:\n{secret}    # b\n\nx:\n"


def test_a_line_with_an_anchor_that_is_needed_elsewhere_stays() -> None:
    found = Inventory(PurePath("hosts.yml"), "etcd:\n  hosts:\n    a: &v {x: 1}\n    b: *v\n")
    with pytest.raises(NotEditable):
        found.without({"a"})
    assert found.without({"b"}) == "etcd:\n  hosts:\n    a: &v {x: 1}\n"

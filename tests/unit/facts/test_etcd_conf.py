"""etcd.conf: what is read, what an edit changes, and that the hosts' shell reads the same."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from requorum.facts import etcd_conf
from requorum.facts.etcd_conf import FORCE_LINES, PATH, ConfError, parse, parse_sourced
from requorum.facts.shell import CONF

INSTALLED = """\
ETCD_NAME=m1.example.com
ETCD_LISTEN_PEER_URLS=https://192.0.2.1:2380
ETCD_DATA_DIR=/var/lib/etcd/
#ETCD_WAL_DIR=
#ETCD_SNAPSHOT_COUNT=10000
ETCD_HEARTBEAT_INTERVAL=500
ETCD_CIPHER_SUITES="TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,TLS_RSA_WITH_AES_128_GCM_SHA256"


#[cluster]
ETCD_INITIAL_ADVERTISE_PEER_URLS=https://192.0.2.1:2380
ETCD_INITIAL_CLUSTER=m1.example.com=https://192.0.2.1:2380,m2.example.com=https://192.0.2.2:2380
ETCD_INITIAL_CLUSTER_STATE=new
ETCD_INITIAL_CLUSTER_TOKEN=etcd-cluster-1
#ETCD_DISCOVERY=
ETCD_ADVERTISE_CLIENT_URLS=https://192.0.2.1:2379

#[security]
ETCD_CERT_FILE=/etc/etcd/server.crt

#[logging]
ETCD_DEBUG=False
"""
"""As the installer of OpenShift 3.11 writes it."""

QUOTED = """\
  ETCD_NAME="m1"
ETCD_DATA_DIR='/var/lib/etcd'
; another kind of comment
ETCD_INITIAL_CLUSTER="m1=https://192.0.2.1:2380"
ETCD_NAME='again'  
ETCD_EMPTY=
ETCD_QUOTES=""
"""  # noqa: W291 the blanks at a line's end are meant

FILES = {
    "installed": INSTALLED,
    "quoted": QUOTED,
    "crlf": INSTALLED.replace("\n", "\r\n"),
    "no final newline": INSTALLED.rstrip("\n"),
    "not ASCII": "# Größe ☃\nETCD_NAME=m1\n",
    "empty": "",
    "blank": "\n\n   \n",
}


def test_what_the_installer_writes_is_read() -> None:
    conf = parse(INSTALLED)
    assert (conf.name, conf.data_dir, conf.wal_dir) == ("m1.example.com", "/var/lib/etcd", "/var/lib/etcd/member/wal")
    assert conf.peer_urls == ("https://192.0.2.1:2380",)
    assert conf.client_urls == ("https://192.0.2.1:2379",)
    assert conf.initial_cluster == (
        ("m1.example.com", "https://192.0.2.1:2380"),
        ("m2.example.com", "https://192.0.2.2:2380"),
    )
    assert conf.get("ETCD_CIPHER_SUITES").startswith("TLS_ECDHE")
    assert conf.get("ETCD_WAL_DIR", "none") == "none"


def test_a_member_with_two_peer_urls_that_is_named_alone() -> None:
    """In whatever order the file has them; etcd sorts what it lists."""
    urls = ("https://192.0.2.1:2380", "https://192.0.2.1:2381")
    text = "ETCD_NAME=m1\nETCD_INITIAL_ADVERTISE_PEER_URLS=" + ",".join(urls) + "\nETCD_INITIAL_CLUSTER="
    for order in (urls, urls[::-1]):
        conf = parse(text + ",".join(f"m1={url}" for url in order))
        assert set(conf.initial_cluster) == conf.itself
    for list_ in (
        "m1=https://192.0.2.1:2380",
        "m1=https://192.0.2.1:2380,m1=https://192.0.2.1:2381,m2=https://192.0.2.2:2380",
    ):
        conf = parse(text + list_)
        assert set(conf.initial_cluster) != conf.itself


def test_quotes_go_and_the_last_assignment_counts() -> None:
    conf = parse(QUOTED)
    assert (conf.name, conf.data_dir) == ("again", "/var/lib/etcd")
    assert (conf.get("ETCD_EMPTY", "x"), conf.get("ETCD_QUOTES", "x")) == ("", "")
    assert parse("").name == "default"


@pytest.mark.parametrize(("said", "read"), [("/", "/"), ("//", "/"), ("", ""), ("/srv/etcd//", "/srv/etcd")])
def test_the_data_directory_is_said_without_a_slash_at_its_end(said: str, read: str) -> None:
    assert parse(f"ETCD_DATA_DIR={said}\n").data_dir == read


def test_urls_are_compared_without_blanks_and_slashes() -> None:
    conf = parse("ETCD_INITIAL_ADVERTISE_PEER_URLS=https://a:2380/, https://b:2380\n")
    assert conf.peer_urls == ("https://a:2380", "https://b:2380")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ETCD_NAME=a\nnonsense\n", "line 2: expected NAME=VALUE"),
        ("export ETCD_NAME=a\n", "line 1: expected NAME=VALUE"),
        ('ETCD_NAME="a\n', "line 1: expected a closing"),
        ("ETCD_NAME='a\"\n", "line 1: expected a closing '"),
        ('ETCD_NAME="\n', "line 1: expected a closing"),
        ('ETCD_NAME="a" # why\n', "line 1: expected a closing"),
        ("ETCD_NAME=a\\\n", "line 1: continued by a backslash"),
        ("ETCD_NAME=a\\\r\nETCD_X=b\r\n", "line 1: continued by a backslash"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_line(text: str, words: str) -> None:
    with pytest.raises(ConfError, match=words):
        parse(text)


@pytest.mark.parametrize("which", FILES)
def test_an_edit_changes_its_lines_and_no_other_byte(which: str) -> None:
    old = FILES[which]
    key = "ETCD_INITIAL_CLUSTER"
    new = parse(old).edited({key: "m1=https://192.0.2.1:2380,m3=https://[2001:db8::3]:2380"})
    assert parse(new).get(key) == "m1=https://192.0.2.1:2380,m3=https://[2001:db8::3]:2380"
    assert [line for line in new.splitlines(True) if key + "=" not in line] == [
        line for line in ended(old, key) if key + "=" not in line
    ]
    assert parse(new).edited({key: parse(new).get(key)}) == new


def ended(text: str, key: str) -> list[str]:
    """The lines; the last one ended where a line is added behind it."""
    lines = text.splitlines(True)
    if lines and not lines[-1].endswith("\n") and f"\n{key}=" not in text:
        lines[-1] += "\n"
    return lines


def test_an_edit_of_the_last_line_adds_no_newline() -> None:
    assert parse("A=1\nB=2").edited({"B": "3"}) == "A=1\nB=3"


def test_an_edit_keeps_the_end_of_the_line() -> None:
    assert parse("A=1\r\nB=2\r\n").edited({"A": "3"}) == "A=3\r\nB=2\r\n"


def test_an_edit_changes_the_assignment_that_counts() -> None:
    assert parse("A=1\n#A=0\nA=2\n").edited({"A": "3"}) == "A=1\n#A=0\nA=3\n"


def test_an_edit_writes_bare_values() -> None:
    assert parse('A="1"\n').edited({"A": "2"}) == "A=2\n"


def test_a_missing_variable_comes_at_the_end() -> None:
    assert parse("A=1").edited({"B": "2", "C": "3"}) == "A=1\nB=2\nC=3\n"
    assert parse("").edited({"B": "2"}) == "B=2\n"


@pytest.mark.parametrize("value", ["a b", 'a"', "$(id)", "a\nB=1", "a\n", "a;b", "é", "a\\"])
def test_a_value_that_would_need_quotes_is_refused(value: str) -> None:
    with pytest.raises(ConfError, match="cannot be written without quotes"):
        parse("A=1\n").edited({"A": value})


@pytest.mark.parametrize("which", FILES)
def test_the_shell_on_the_hosts_reads_the_same(which: str, tmp_path: Path) -> None:
    path = tmp_path / "etcd.conf"
    path.write_bytes(FILES[which].encode())
    conf = parse(FILES[which])
    keys = [*conf.values, "ETCD_NOT_THERE", "ETCD_WAL_DIR"]
    script = CONF.replace(PATH, str(path)) + "".join(f"conf {key}; printf '\\0'\n" for key in keys)
    done = subprocess.run(["bash", "-c", script], capture_output=True, check=True)
    assert done.stdout.decode().split("\0")[:-1] == [conf.get(key) for key in keys]
    assert done.stderr == b""


def test_the_shell_reads_nothing_from_a_file_that_is_not_there(tmp_path: Path) -> None:
    script = CONF.replace(PATH, str(tmp_path / "gone")) + "conf ETCD_NAME"
    assert subprocess.run(["bash", "-c", script], capture_output=True, check=True).stdout == b""


def test_systemd_bash_and_this_agree_on_what_is_edited(tmp_path: Path) -> None:
    """The static pod sources the file as shell."""
    path = tmp_path / "etcd.conf"
    path.write_text(parse(INSTALLED).edited({"ETCD_INITIAL_CLUSTER": "a=https://[::1]:2380,b=https://x:1"}))
    said = subprocess.run(
        ["bash", "-c", f". {path}; printf %s $ETCD_INITIAL_CLUSTER"], capture_output=True, check=True, text=True
    )
    assert said.stdout == etcd_conf.parse(path.read_text()).get("ETCD_INITIAL_CLUSTER")


SOURCED = {
    "installed": (INSTALLED, ""),
    "forced": (FORCE_LINES + INSTALLED, ""),
    "comment": ("A=1\nETCD_X=/var/lib/etcd/   # ssd\n", "line 2"),
    "comment, tab": ("ETCD_X=/var/lib/etcd/\t#ssd\n", "line 1"),
    "no comment": ("ETCD_X=a#b\n", ""),
    "blanks behind": ("ETCD_X=a  \t\n", ""),
    "blank before": ("ETCD_X= a\n", "line 1"),
    "blank within": ("ETCD_X=a b\n", "line 1"),
    "indented": ("  ETCD_X=a\n", ""),
    "variable": ("ETCD_X=$HOME/etcd\n", "line 1"),
    "variable in quotes": ('ETCD_X="$HOME/etcd"\n', "line 1"),
    "variable in single quotes": ("ETCD_X='$HOME/etcd'\n", ""),
    "command": ("ETCD_X=`id`\n", "line 1"),
    "quoted": ("ETCD_X='a b'\nETCD_Y=\"c  d\"\n", ""),
    "quotes within": ('ETCD_X="a"b"c"\n', "line 1"),
    "quote within": ("ETCD_X=a'b'\n", "line 1"),
    "backslash": ("ETCD_X=a\\b\n", "line 1"),
    "home": ("ETCD_X=~/etcd\n", "line 1"),
    "two": ("ETCD_X=a;ETCD_X=b\n", "line 1"),
    "systemd's other comment": ("; ETCD_X=a\n", "line 1"),
    "windows": ("ETCD_X=a\r\n", "line 1"),
    "glob and brackets": ("ETCD_X=https://[::1]:2380,*,{a,b}?\n", ""),
    "empty": ("ETCD_X=\n", ""),
}


@pytest.mark.parametrize(("text", "refused"), SOURCED.values(), ids=list(SOURCED))
def test_what_the_shell_of_a_pod_reads_is_read_or_refused(text: str, refused: str, tmp_path: Path) -> None:
    path = tmp_path / "etcd.conf"
    path.write_bytes(text.encode())
    conf = parse(text)
    script = f". {path} 2>/dev/null\n" + "".join(f'printf "%s\\0" "${key}"\n' for key in conf.values)
    said = subprocess.run(["bash", "-c", script], capture_output=True, check=False, text=True).stdout.split("\0")[:-1]
    read = said == list(conf.values.values())
    if refused:
        with pytest.raises(ConfError, match=f"{PATH}, {refused}: expected what a shell reads as it stands"):
            parse_sourced(text)
    else:
        assert read
        assert parse_sourced(text) == conf

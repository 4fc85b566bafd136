"""What is read on the operator's machine, what is refused there, and what is written there."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from requorum import bastion
from requorum.changes import ChangeFailed, CopyHere, EditHere
from requorum.facts.ansible_kept import NAME, Kept
from requorum.remote import CommandEnded, ConnectionLost, Here

TEXT = b"# \xe9\n[etcd]\r\na ansible_ssh_pass=hush\nb\n"


@pytest.fixture
def here() -> tuple[Here, list[CommandEnded]]:
    told: list[CommandEnded] = []
    return Here("bastion", told.append), told


@pytest.fixture
def hosts(tmp_path: Path) -> Path:
    path = tmp_path / "hosts"
    path.write_bytes(TEXT)
    path.chmod(0o640)
    return path


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("spoil", "aside"),
    [
        (lambda path: path.chmod(0o755), "executable"),
        (lambda path: path.write_bytes(b"#!/bin/sh\n"), "executable"),
        (lambda path: path.write_bytes(b"$ANSIBLE_VAULT;1.1;AES256\n6162\n"), "ansible-vault"),
        (lambda path: path.write_bytes(b"plugin: aws_ec2\n"), "inventory plugin"),
    ],
)
def test_left_aside(hosts: Path, spoil: Callable[[Path], object], aside: str) -> None:
    spoil(hosts)
    found = bastion.read(hosts, hosts.parent)
    assert aside in found.aside
    assert not found.wrong
    assert not found.editable


@pytest.mark.parametrize(
    ("spoil", "wrong"),
    [
        (lambda path: path.unlink(), "cannot be read: No such file"),
        (folder, "no regular file"),
        (lambda path: path.write_bytes(b"[etcd]\na b\n"), "hosts:2: expected name=value"),
        (lambda path: path.write_bytes(b"[etcd]\na ansible_ssh_pass=hu'sh\n"), "a ansible_ssh_pass=[redacted]"),
        (lambda path: path.write_bytes(b"[etcd]\na\xe9\n"), "hosts:2: expected UTF-8"),
        (lambda path: (path.parent / NAME).write_text("{}"), "expected Requorum's note"),
    ],
)
def test_wrong(hosts: Path, spoil: Callable[[Path], object], wrong: str) -> None:
    spoil(hosts)
    found = bastion.read(hosts, hosts.parent)
    assert wrong in found.wrong
    assert found.advice


def test_read_with_its_bytes_and_its_original(hosts: Path) -> None:
    found = bastion.read(hosts, hosts.parent)
    assert found.editable
    assert found.sha256 == hashlib.sha256(TEXT).hexdigest()
    assert found.mode == "640"
    copy = hosts.parent / "copy"
    copy.write_bytes(TEXT)
    kept = Kept(str(hosts), "r1", "copy", found.sha256, "640", "0:0", ("a",))
    (hosts.parent / NAME).write_text(kept.text())
    assert bastion.read(hosts, hosts.parent).kept == kept
    copy.write_bytes(TEXT + b"#")
    assert "is not what was kept" in bastion.read(hosts, hosts.parent).wrong
    copy.unlink()
    assert "original cannot be read" in bastion.read(hosts, hosts.parent).wrong
    (hosts.parent / NAME).write_text(kept.text().replace(str(hosts), "/another"))
    assert bastion.read(hosts, hosts.parent).kept is None


def edit(hosts: Path, after: str = "[etcd]\na ansible_ssh_pass=hush\n") -> EditHere:
    return EditHere("bastion", str(hosts), after, before=TEXT.decode("utf-8", "surrogateescape"))


def test_written_with_every_byte_owner_and_mode_through_a_link(
    hosts: Path, here: tuple[Here, list[CommandEnded]]
) -> None:
    link = hosts.parent / "link"
    link.symlink_to(hosts)
    if os.geteuid() == 0:
        os.chown(hosts, 12345, 12346)
    after = TEXT.decode("utf-8", "surrogateescape").replace("b\n", "")
    change = edit(link, after)
    assert change.do(here[0]) is True
    assert change.do(here[0]) is False
    assert link.is_symlink()
    assert hosts.read_bytes() == TEXT.replace(b"b\n", b"")
    assert hosts.stat().st_mode & 0o777 == 0o640
    if os.geteuid() == 0:
        assert (hosts.stat().st_uid, hosts.stat().st_gid) == (12345, 12346)
    assert sorted(os.listdir(hosts.parent)) == ["hosts", "link"]


def test_a_file_of_any_size_is_written(hosts: Path, here: tuple[Here, list[CommandEnded]]) -> None:
    large = "[etcd]\na\n" + "# much\n" * 200_000
    edit(hosts, large).do(here[0])
    assert hosts.read_text() == large


def test_what_somebody_else_wrote_is_never_overwritten(hosts: Path, here: tuple[Here, list[CommandEnded]]) -> None:
    hosts.write_bytes(b"theirs")
    with pytest.raises(ChangeFailed, match="somebody else edits it"):
        edit(hosts).do(here[0])
    assert hosts.read_bytes() == b"theirs"


def test_no_password_is_shown_or_told(hosts: Path, here: tuple[Here, list[CommandEnded]]) -> None:
    change = edit(hosts)
    change.do(here[0])
    assert "ansible_ssh_pass=[redacted]" in change.shown()
    assert "hush" not in change.shown()
    assert "hush" not in here[1][0].command
    long = edit(hosts, "[etcd]\n" + "a ansible_ssh_pass=hush\n" * 50)
    assert "aHVzaA" not in "".join(told.command for told in here[1])
    assert "hush" not in long.shown()


def test_a_copy_is_proven(hosts: Path, here: tuple[Here, list[CommandEnded]]) -> None:
    to = hosts.parent / "run/backup/ansible-inventory"
    change = CopyHere("bastion", str(hosts), str(to), hashlib.sha256(TEXT).hexdigest())
    assert change.do(here[0]) is True
    assert change.do(here[0]) is False
    assert (to.read_bytes(), to.stat().st_mode & 0o777) == (TEXT, 0o640)
    other = CopyHere("bastion", str(hosts), str(to) + "2", "0" * 64)
    with pytest.raises(ChangeFailed, match="somebody else edits it"):
        other.do(here[0])
    assert os.listdir(to.parent) == ["ansible-inventory"]


def test_a_script_that_does_not_end_is_killed(here: tuple[Here, list[CommandEnded]]) -> None:
    with pytest.raises(ConnectionLost, match="it was killed"):
        here[0].run("sleep 100", seconds=0.2)

"""Changes of files, really made under bash in a folder of the test's own."""

from __future__ import annotations

import base64
import hashlib
import os
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from builders import conf, facts, mark, name
from local_shell import LocalShell, stand_in

from requorum.changes import (
    ChangeFailed,
    EditFile,
    MoveAside,
    RemoveFile,
    RemoveUnfinished,
    RestoreFile,
    Together,
    WriteFile,
)
from requorum.facts import etcd_conf
from requorum.facts import mark as marks

HOST = name(0)
AWKWARD = 'KEY=a\'b "c" $HOME `id` \\ %s\nñ — no final newline'


@pytest.fixture
def shell() -> LocalShell:
    return LocalShell()


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for 16 KiB. Needs root."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tiny", folder], capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"cannot mount a file system here: {done.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_write_makes_the_file_and_its_folder(tmp_path: Path, shell: LocalShell) -> None:
    path = tmp_path / "a folder" / "it's.conf"
    change = WriteFile(HOST, str(path), AWKWARD, mode="0600")
    assert change.do(shell)
    assert path.read_bytes() == AWKWARD.encode()
    assert path.stat().st_mode & 0o7777 == 0o600
    assert not change.do(shell)
    assert os.listdir(path.parent) == [path.name]


def test_write_keeps_owner_and_mode(tmp_path: Path, shell: LocalShell) -> None:
    path = tmp_path / "etcd.conf"
    path.write_text("A=1\n")
    path.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(path, 1234, 2345)
    before = path.stat()
    assert WriteFile(HOST, str(path), "A=2\n", before="A=1\n").do(shell)
    after = path.stat()
    assert path.read_text() == "A=2\n"
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    assert after.st_ino != before.st_ino  # replaced, never written into: a reader sees the old or the new


def test_write_touches_no_file_that_somebody_else_edited(tmp_path: Path, shell: LocalShell) -> None:
    path = tmp_path / "etcd.conf"
    path.write_text("A=theirs\n")
    with pytest.raises(ChangeFailed, match="somebody else edits it"):
        WriteFile(HOST, str(path), "A=2\n", before="A=1\n").do(shell)
    assert path.read_text() == "A=theirs\n"
    assert os.listdir(tmp_path) == ["etcd.conf"]


def test_write_that_is_there_already_holds_whatever_was_before(tmp_path: Path, shell: LocalShell) -> None:
    """A resumed run: the file is as it should be, and no more as it was when it was read."""
    path = tmp_path / "etcd.conf"
    path.write_text("A=2\n")
    assert not WriteFile(HOST, str(path), "A=2\n", before="A=1\n").do(shell)


def test_write_makes_no_file_where_the_one_that_was_read_is_gone(tmp_path: Path, shell: LocalShell) -> None:
    with pytest.raises(ChangeFailed):
        WriteFile(HOST, str(tmp_path / "etcd.conf"), "A=2\n", before="A=1\n").do(shell)
    assert os.listdir(tmp_path) == []


def test_write_on_a_full_disk_keeps_the_old_file_whole(tiny: Path, shell: LocalShell) -> None:
    path = tiny / "etcd.conf"
    path.write_text("A=1\n")
    with pytest.raises(ChangeFailed, match="No space left"):
        WriteFile(HOST, str(path), "A" * 40_000, before="A=1\n").do(shell)
    assert path.read_text() == "A=1\n"
    assert os.listdir(tiny) == ["etcd.conf"]


def test_write_keeps_a_link_and_writes_what_it_points_at(tmp_path: Path, shell: LocalShell) -> None:
    """/etc/etcd/etcd.conf may be a link into a folder that a tool of theirs manages."""
    target = tmp_path / "managed" / "etcd.conf"
    target.parent.mkdir()
    target.write_text("A=1\n")
    target.chmod(0o640)
    link = tmp_path / "etcd.conf"
    link.symlink_to("managed/etcd.conf")
    assert WriteFile(HOST, str(link), "A=2\n", before="A=1\n").do(shell)
    assert link.is_symlink()
    assert target.read_text() == "A=2\n"
    assert target.stat().st_mode & 0o7777 == 0o640


def test_write_removes_what_a_kill_left_beside_it(tmp_path: Path, shell: LocalShell) -> None:
    """And nothing else: the name of somebody's own copy may look like it."""
    path, copy = tmp_path / "etcd.conf", tmp_path / "etcd.conf.requorum.backup"
    left = tmp_path / "etcd.conf.requorum.new-Ab12Cd"
    for one in (copy, left):
        one.write_text("A=2\n")
    WriteFile(HOST, str(path), "A=2\n").do(shell)
    assert sorted(tmp_path.iterdir()) == [path, copy]


def labelled(folder: Path) -> None:
    """Commands as on a host with SELinux, where a new file gets another label than the one that it replaces."""
    stand_in(folder, "getenforce", "echo Enforcing")
    stand_in(folder, "stat", "case $3 in *.requorum.*) echo tmp_t;; *) echo etc_t;; esac")


def test_an_abort_removes_what_a_kill_left_of_a_write_that_nobody_makes_again(
    tmp_path: Path, shell: LocalShell
) -> None:
    conf, left = tmp_path / "etcd/etcd.conf", tmp_path / "etcd/etcd.conf.requorum.new-a1B2c3"
    conf.parent.mkdir()
    conf.write_text("A=1\n")
    left.write_text("A=")
    change = RemoveUnfinished(HOST, (str(tmp_path / "etcd"), str(tmp_path / "nowhere")))
    assert change.do(shell)
    assert (left.exists(), conf.read_text()) == (False, "A=1\n")
    assert not change.do(shell)


def test_write_keeps_the_selinux_label(tmp_path: Path) -> None:
    """No SELinux here: its commands are stood in for, and say what they were asked."""
    labelled(tmp_path / "bin")
    stand_in(tmp_path / "bin", "chcon", f'echo "$1" >> {tmp_path}/asked')
    path = tmp_path / "etcd.conf"
    path.write_text("A=1\n")
    assert WriteFile(HOST, str(path), "A=2\n").do(LocalShell(tmp_path / "bin"))
    assert (tmp_path / "asked").read_text() == f"--reference={path}\n"


def test_write_that_cannot_label_leaves_the_old_file(tmp_path: Path) -> None:
    """etcd.conf with a wrong label is one that etcd may not read."""
    labelled(tmp_path / "bin")
    stand_in(tmp_path / "bin", "chcon", "echo no >&2; exit 1")
    path = tmp_path / "etcd.conf"
    path.write_text("A=1\n")
    with pytest.raises(ChangeFailed):
        WriteFile(HOST, str(path), "A=2\n").do(LocalShell(tmp_path / "bin"))
    assert path.read_text() == "A=1\n"
    assert sorted(os.listdir(tmp_path)) == ["bin", "etcd.conf"]


def test_write_is_shown_as_a_difference() -> None:
    shown = WriteFile(HOST, "/etc/x", "a\nB\n", before="a\nb\n").shown()
    assert shown.splitlines()[:2] == ["--- /etc/x", "+++ /etc/x"]
    assert "-b\n+B" in shown
    assert WriteFile(HOST, "/etc/x", "new").shown().splitlines() == [
        "--- /dev/null",
        "+++ /etc/x",
        "@@ -0,0 +1 @@",
        "+new",
    ]


def test_after_write_and_remove() -> None:
    old = facts(0)
    text = conf(0, (0,)).text
    assert WriteFile(HOST, etcd_conf.PATH, text).after(old).conf == etcd_conf.parse(text)
    signed = WriteFile(HOST, marks.PATH, mark().text()).after(old)
    assert signed.mark == mark()
    assert RemoveFile(HOST, marks.PATH).after(signed) == old
    assert WriteFile(HOST, "/etc/other", "x").after(old) == old
    assert RemoveFile(HOST, "/etc/other").after(old) == old


def test_write_replaces_a_link_to_what_is_no_file(tmp_path: Path, shell: LocalShell) -> None:
    """A drop-in linked to /dev/null is one that somebody switched off; /dev/null itself must stay what it is."""
    link = tmp_path / "fence.conf"
    link.symlink_to("/dev/null")
    assert WriteFile(HOST, str(link), "[Unit]\n").do(shell)
    assert not link.is_symlink()
    assert link.stat().st_mode & 0o7777 == 0o644  # not that of /dev/null
    assert Path("/dev/null").is_char_device()


def test_remove(tmp_path: Path, shell: LocalShell) -> None:
    path = tmp_path / "it's a file"
    path.touch()
    change = RemoveFile(HOST, str(path))
    assert change.do(shell)
    assert not path.exists()
    assert not change.do(shell)
    assert change.shown() == f"rm {shlex.quote(str(path))}"


def test_remove_of_a_broken_link(tmp_path: Path, shell: LocalShell) -> None:
    path = tmp_path / "link"
    path.symlink_to("nowhere")
    assert RemoveFile(HOST, str(path)).do(shell)
    assert not path.is_symlink()


def test_move_aside_of_a_mount_point_moves_its_contents(tiny: Path, shell: LocalShell) -> None:
    (tiny / "member").mkdir()
    device = tiny.stat().st_dev
    to = tiny / "openshift-backup-requorum-r1"
    assert MoveAside(HOST, str(tiny), str(to)).do(shell)
    assert (to / "1" / "member").stat().st_dev == device
    assert os.listdir(tiny) == [to.name]


# -- undone


@pytest.fixture
def conf_and_backup(tmp_path: Path) -> tuple[Path, Path]:
    """An etcd.conf that was edited, and its copy in the backup, with another owner and mode."""
    path, backup = tmp_path / "etcd.conf", tmp_path / "backup"
    path.write_bytes(b"A=2\n")
    backup.write_bytes(b"A=1 # \xe9\n")
    backup.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(backup, 1234, 2345)
    return path, backup


def restore(path: Path, backup: Path, *, sha: bytes = b"A=1 # \xe9\n", instead: bytes = b"A=2\n") -> RestoreFile:
    sums = [hashlib.sha256(content).hexdigest() for content in (sha, instead)]
    return RestoreFile(HOST, str(path), str(backup), *sums)


def test_restore_puts_bytes_owner_and_mode_back(conf_and_backup: tuple[Path, Path], shell: LocalShell) -> None:
    path, backup = conf_and_backup
    change = restore(path, backup)
    assert change.do(shell)
    kept, found = backup.stat(), path.stat()
    assert path.read_bytes() == b"A=1 # \xe9\n"
    assert (found.st_mode, found.st_uid, found.st_gid) == (kept.st_mode, kept.st_uid, kept.st_gid)
    assert not change.do(shell)
    assert sorted(os.listdir(path.parent)) == ["backup", "etcd.conf"]


def test_restore_mends_the_mode_alone(conf_and_backup: tuple[Path, Path], shell: LocalShell) -> None:
    path, backup = conf_and_backup
    path.write_bytes(backup.read_bytes())
    path.chmod(0o600)
    assert restore(path, backup).do(shell)
    assert path.stat().st_mode & 0o7777 == 0o640


def test_restore_follows_a_link(conf_and_backup: tuple[Path, Path], shell: LocalShell) -> None:
    path, backup = conf_and_backup
    path.rename(path.parent / "real")
    path.symlink_to("real")
    assert restore(path, backup).do(shell)
    assert path.is_symlink()
    assert path.read_bytes() == backup.read_bytes()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [({"sha": b"A=7\n"}, "backup is not what was copied"), ({"instead": b"A=7\n"}, "somebody else edits it")],
)
def test_restore_guesses_nothing(
    conf_and_backup: tuple[Path, Path], shell: LocalShell, wrong: dict[str, bytes], said: str
) -> None:
    path, backup = conf_and_backup
    with pytest.raises(ChangeFailed, match=said):
        restore(path, backup, **wrong).do(shell)
    assert path.read_bytes() == b"A=2\n"


def test_remove_takes_an_empty_folder_away_and_no_other(tmp_path: Path, shell: LocalShell) -> None:
    folder = tmp_path / "etcd.service.d"
    folder.mkdir()
    (folder / "ours.conf").touch()
    (folder / "theirs.conf").touch()
    assert RemoveFile(HOST, str(folder / "ours.conf")).do(shell)
    assert os.listdir(folder) == ["theirs.conf"]
    assert RemoveFile(HOST, str(folder / "theirs.conf")).do(shell)
    assert not folder.exists()


@pytest.mark.parametrize("made", [0, 1, 2])
def test_what_is_made_in_one_round_trip_is_made_again_from_where_it_was_cut(
    tmp_path: Path, shell: LocalShell, made: int
) -> None:
    """A part that fails stops those behind it; what was made before it is there, and is not made twice."""
    one, two, three = (tmp_path / name for name in ("one", "two", "three"))
    three.write_text("somebody's\n")
    files = [WriteFile(HOST, str(one), "1\n"), WriteFile(HOST, str(two), "2\n")]
    change = Together(HOST, (*files, EditFile(HOST, str(three), "new\n", "old\n")))
    for part in files[:made]:
        part.do(shell)
    inodes = [path.stat().st_ino for path in (one, two)[:made]]
    with pytest.raises(ChangeFailed, match="three is not what it was when it was read"):
        change.do(shell)
    assert (one.read_text(), two.read_text(), three.read_text()) == ("1\n", "2\n", "somebody's\n")
    assert [path.stat().st_ino for path in (one, two)[:made]] == inodes
    three.write_text("old\n")
    asked = len(shell.asked)
    assert change.do(shell)
    assert (three.read_text(), len(shell.asked) - asked) == ("new\n", 1)
    assert not change.do(shell)
    assert change.shown().startswith(f"--- {three}\n")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("a\nb\nc\n", "a\nc\n"),
        ("a\nc\n", "a\nb\nc\n"),
        ("aa", "aaa"),
        ("aaa", "a"),
        ("ü\nsecret\n", "ö\nsecret\n"),
        ("x", "y"),
    ],
)
def test_an_edit_sends_only_what_differs(tmp_path: Path, old: str, new: str) -> None:
    path = tmp_path / "a file"
    path.write_text(old)
    path.chmod(0o600)
    shell = LocalShell()
    change = EditFile(HOST, str(path), new, old)
    assert change.do(shell)
    assert path.read_text() == new
    assert path.stat().st_mode & 0o7777 == 0o600
    assert not change.do(shell)
    assert base64.b64encode(b"secret").decode()[:6] not in shell.asked[0]


def test_an_edit_of_another_file_than_was_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("other\n")
    with pytest.raises(ChangeFailed, match="somebody else edits it"):
        EditFile(HOST, str(path), "new\n", "old\n").do(LocalShell())
    assert path.read_text() == "other\n"

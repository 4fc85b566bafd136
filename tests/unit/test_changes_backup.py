"""Copies, really made under bash in a folder of the test's own."""

from __future__ import annotations

import errno
import gzip
import hashlib
import io
import os
import random
import subprocess
import tarfile
from pathlib import Path

import pytest
from builders import facts, name
from local_shell import LocalShell, stand_in

from requorum.changes import ChangeFailed, CopyTree, FetchTree, SaveSnapshot

HOST = name(0)
SUMS = "SHA256SUMS"


@pytest.fixture
def shell() -> LocalShell:
    return LocalShell()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A data directory, with names and modes that a careless copy loses."""
    folder = tmp_path / "etcd data"
    (folder / "member" / "wal").mkdir(parents=True)
    (folder / "member" / "snap").mkdir()
    (folder / "member" / "snap" / "db").write_bytes(b"database" * 1000)
    (folder / "member" / "wal" / "0.wal").write_bytes(b"log")
    (folder / ".hidden").write_text("y")
    (folder / "it's a \\ name").write_text("x")
    (folder / "two\nlines").write_text("z")
    os.link(folder / ".hidden", folder / "hard link")
    (folder / "member" / "snap" / "db").chmod(0o600)
    (folder / "link").symlink_to("member/snap/db")
    (folder / "openshift-backup-20261105").mkdir()
    (folder / "openshift-backup-20261105" / "old").write_text("not again")
    return folder


def proven(copy: Path) -> bool:
    """What an operator types to check a copy."""
    return subprocess.run(["sha256sum", "-c", "--quiet", SUMS], cwd=copy, check=False).returncode == 0


def test_copy_is_whole_and_has_its_checksums(tmp_path: Path, source: Path, shell: LocalShell) -> None:
    to = tmp_path / "backup" / "etcd-data-r1"
    change = CopyTree(HOST, str(source), str(to))
    assert change.do(shell)
    assert sorted(os.listdir(to)) == sorted(
        [".hidden", "hard link", SUMS, "it's a \\ name", "link", "member", "two\nlines"]
    )
    assert (to / "member" / "snap" / "db").stat().st_mode & 0o7777 == 0o600
    assert (to / "link").is_symlink()
    assert to.stat().st_mode & 0o7777 == 0o700  # keys and secrets lie in it
    assert proven(to)
    assert os.listdir(to.parent) == [to.name]
    assert not change.do(shell)


def test_copy_leaves_out_what_is_only_room(tmp_path: Path, source: Path, shell: LocalShell) -> None:
    """etcd keeps 64 MB ready for its next segment; and most of a segment is zeros, which take no room in a copy."""
    wal = source / "member" / "wal"
    (wal / "0.tmp").write_bytes(bytes(1 << 20))
    (wal / "0.wal").write_bytes(b"log" + bytes(1 << 20))
    to = tmp_path / "copy"
    CopyTree(HOST, str(source), str(to)).do(shell)
    assert os.listdir(to / "member" / "wal") == ["0.wal"]
    assert (to / "member" / "wal" / "0.wal").read_bytes() == b"log" + bytes(1 << 20)
    assert (to / "member" / "wal" / "0.wal").stat().st_blocks * 512 < 1 << 20
    assert proven(to)


def test_copy_keeps_owners(tmp_path: Path, source: Path, shell: LocalShell) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    os.chown(source / "member", 1234, 2345)
    to = tmp_path / "copy"
    CopyTree(HOST, str(source), str(to)).do(shell)
    found = (to / "member").stat()
    assert (found.st_uid, found.st_gid) == (1234, 2345)


def test_an_interrupted_copy_is_begun_again(tmp_path: Path, source: Path, shell: LocalShell) -> None:
    to = tmp_path / "copy"
    part = tmp_path / "copy.part"
    (part / "member").mkdir(parents=True)
    (part / "member" / "half").write_text("of a file")
    assert CopyTree(HOST, str(source), str(to)).do(shell)
    assert not part.exists()
    assert not (to / "member" / "half").exists()
    assert proven(to)


def test_a_folder_without_checksums_is_no_copy(tmp_path: Path, source: Path, shell: LocalShell) -> None:
    """Somebody's folder of that name is neither believed nor overwritten."""
    to = tmp_path / "copy"
    to.mkdir()
    (to / "theirs").write_text("x")
    with pytest.raises(ChangeFailed):
        CopyTree(HOST, str(source), str(to)).do(shell)
    assert os.listdir(to) == ["theirs"]


def writing(bin_folder: Path, path: Path, times: int) -> LocalShell:
    """A shell whose `cp` is followed, a number of times, by a write to the original."""
    counter = bin_folder.parent / "copies"
    stand_in(
        bin_folder, "cp",
        f'/bin/cp "$@" || exit; echo >> {counter}; [ $(wc -l < {counter}) -gt {times} ] || echo more >> "{path}"',
    )  # fmt: skip
    return LocalShell(bin_folder)


def test_a_database_that_changes_meanwhile_is_copied_again(tmp_path: Path, source: Path) -> None:
    db = source / "member" / "snap" / "db"
    to = tmp_path / "copy"
    assert CopyTree(HOST, str(source), str(to)).do(writing(tmp_path / "bin", db, 2))
    assert (to / "member" / "snap" / "db").read_bytes() == db.read_bytes()
    assert (tmp_path / "copies").read_text() == "\n\n\n"


def test_a_database_that_never_rests_is_no_backup(tmp_path: Path, source: Path) -> None:
    db = source / "member" / "snap" / "db"
    with pytest.raises(ChangeFailed, match="went on changing while it was copied"):
        CopyTree(HOST, str(source), str(tmp_path / "copy")).do(writing(tmp_path / "bin", db, 99))
    assert not (tmp_path / "copy").exists()


def test_a_log_may_grow_meanwhile(tmp_path: Path, source: Path) -> None:
    """A member without quorum votes, and writes that into its log; the reader of the log proves that copy."""
    log = source / "member" / "wal" / "0.wal"
    to = tmp_path / "copy"
    assert CopyTree(HOST, str(source), str(to)).do(writing(tmp_path / "bin", log, 99))
    assert (tmp_path / "copies").read_text() == "\n"
    assert proven(to)


def test_a_copy_that_finds_no_room_is_tried_once_and_takes_none(tmp_path: Path, source: Path) -> None:
    tried = tmp_path / "tried"
    script = f'/bin/cp "$@"; echo >> {tried}; echo "cp: error writing: No space left on device" >&2; exit 1'
    with pytest.raises(ChangeFailed, match="No space left"):
        CopyTree(HOST, str(source), str(tmp_path / "copy")).do(LocalShell(stand_in(tmp_path / "bin", "cp", script)))
    assert tried.read_text() == "\n"
    assert not list(tmp_path.glob("copy*"))


def test_what_keeps_a_copy_from_being_made_is_told(tmp_path: Path, source: Path) -> None:
    shell = LocalShell(stand_in(tmp_path / "bin", "cp", 'echo "cp: Input/output error" >&2; exit 1'))
    with pytest.raises(ChangeFailed, match="five times: cp: Input/output error"):
        CopyTree(HOST, str(source), str(tmp_path / "copy")).do(shell)


def test_a_file_that_cannot_be_written_here_is_told(tmp_path: Path, copy: Path) -> None:
    class Full(LocalShell):
        def fetch(self, script: str, to: Path, *, seconds: float) -> str:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(ChangeFailed, match=r"data\.tar\.gz\.part cannot be written here: No space left on device"):
        FetchTree(HOST, str(copy), str(tmp_path / "run" / "data.tar.gz")).do(Full())


def test_a_source_that_is_not_there_is_no_backup(tmp_path: Path, shell: LocalShell) -> None:
    with pytest.raises(ChangeFailed):
        CopyTree(HOST, str(tmp_path / "gone"), str(tmp_path / "copy")).do(shell)
    assert not (tmp_path / "copy").exists()


@pytest.fixture
def copy(tmp_path: Path, source: Path, shell: LocalShell) -> Path:
    to = tmp_path / "copy"
    CopyTree(HOST, str(source), str(to)).do(shell)
    return to


def test_fetch_is_checked_file_by_file(tmp_path: Path, copy: Path, shell: LocalShell) -> None:
    to = tmp_path / "run" / "backup" / "etcd-0-data.tar.gz"
    change = FetchTree(HOST, str(copy), str(to))
    assert change.do(shell)
    with tarfile.open(to) as tar:
        stream = tar.extractfile("./member/snap/db")
        assert stream is not None
        assert stream.read() == b"database" * 1000
    assert not change.do(shell)
    assert os.listdir(to.parent) == [to.name]


def test_what_differs_from_the_checksums_is_no_backup(tmp_path: Path, copy: Path, shell: LocalShell) -> None:
    (copy / "member" / "snap" / "db").write_bytes(b"rotten")
    with pytest.raises(ChangeFailed, match=r"not what the host copied: member/snap/db"):
        FetchTree(HOST, str(copy), str(tmp_path / "it.tar.gz")).do(shell)
    assert not (tmp_path / "it.tar.gz").exists()


def test_what_is_missing_is_no_backup(tmp_path: Path, copy: Path, shell: LocalShell) -> None:
    (copy / ".hidden").unlink()
    with pytest.raises(ChangeFailed, match=r"[.]hidden"):
        FetchTree(HOST, str(copy), str(tmp_path / "it.tar.gz")).do(shell)


def test_what_was_put_beside_it_is_no_backup(tmp_path: Path, copy: Path, shell: LocalShell) -> None:
    (copy / "more").touch()
    with pytest.raises(ChangeFailed, match="more"):
        FetchTree(HOST, str(copy), str(tmp_path / "it.tar.gz")).do(shell)


class Cut(LocalShell):
    """A fetch that ends too early and says nothing."""

    def fetch(self, script: str, to: Path, *, seconds: float) -> str:
        super().fetch(script, to, seconds=seconds)
        data = to.read_bytes()
        to.write_bytes(data[: len(data) // 2])
        return ""


def test_an_archive_that_was_cut_off_is_no_backup(tmp_path: Path, copy: Path) -> None:
    with pytest.raises(ChangeFailed, match="no whole archive"):
        FetchTree(HOST, str(copy), str(tmp_path / "it.tar.gz")).do(Cut())
    assert not (tmp_path / "it.tar.gz").exists()


class Garbled(LocalShell):
    """A fetch whose stream is damaged in the middle."""

    def fetch(self, script: str, to: Path, *, seconds: float) -> str:
        super().fetch(script, to, seconds=seconds)
        data = bytearray(to.read_bytes())
        for at in range(len(data) // 2, len(data) // 2 + 1000):
            data[at] ^= 0x5A
        to.write_bytes(bytes(data))
        return ""


def test_an_archive_that_was_damaged_on_the_way_is_told_without_a_traceback(tmp_path: Path, shell: LocalShell) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "db").write_bytes(bytes(random.Random(1).choices(b"abcdefgh", k=300_000)))
    copy = tmp_path / "copy"
    CopyTree(HOST, str(tmp_path / "source"), str(copy)).do(shell)
    with pytest.raises(ChangeFailed, match="no whole archive|not what the host copied"):
        FetchTree(HOST, str(copy), str(tmp_path / "it.tar.gz")).do(Garbled())


def test_a_fetched_archive_that_rotted_is_fetched_again(tmp_path: Path, copy: Path, shell: LocalShell) -> None:
    to = tmp_path / "it.tar.gz"
    to.write_bytes(b"half of an archive")
    assert FetchTree(HOST, str(copy), str(to)).do(shell)
    with tarfile.open(to) as tar:
        assert f"./{SUMS}" in tar.getnames()


def test_an_archive_without_checksums_proves_nothing(tmp_path: Path, shell: LocalShell) -> None:
    folder = tmp_path / "bare"
    folder.mkdir()
    (folder / "file").write_text("x")
    with pytest.raises(ChangeFailed):
        FetchTree(HOST, str(folder), str(tmp_path / "it.tar.gz")).do(shell)


def test_an_archive_of_nothing_proves_nothing(tmp_path: Path) -> None:
    class Empty(LocalShell):
        def fetch(self, script: str, to: Path, *, seconds: float) -> str:
            buffer = io.BytesIO()
            tarfile.open(fileobj=buffer, mode="w").close()
            to.write_bytes(gzip.compress(buffer.getvalue()))
            return ""

    with pytest.raises(ChangeFailed):
        FetchTree(HOST, "/copy", str(tmp_path / "it.tar.gz")).do(Empty())


SAVES = """[ "$ETCDCTL_API" = 3 ] || exit 9
while [ "$1" != snapshot ]; do shift; done
printf snapshot > "$3.part" && mv "$3.part" "$3" && echo saved"""


def test_snapshot_is_saved_with_its_checksum(tmp_path: Path) -> None:
    shell = LocalShell(stand_in(tmp_path / "bin", "etcdctl", SAVES))
    to = tmp_path / "backup" / "etcd-snapshot"
    change = SaveSnapshot(HOST, str(to))
    assert change.do(shell)
    assert (to / SUMS).read_text() == f"{hashlib.sha256(b'snapshot').hexdigest()}  ./snapshot.db\n"
    assert proven(to)
    assert not change.do(shell)
    assert FetchTree(HOST, str(to), str(tmp_path / "snapshot.tar.gz")).do(shell)


def test_snapshot_after_an_interruption_is_saved_again(tmp_path: Path) -> None:
    shell = LocalShell(stand_in(tmp_path / "bin", "etcdctl", SAVES))
    to = tmp_path / "etcd-snapshot"
    to.mkdir()
    (to / "snapshot.db.part").write_text("half")
    (to / "snapshot.db").write_text("unproven")
    assert SaveSnapshot(HOST, str(to)).do(shell)
    assert sorted(os.listdir(to)) == [SUMS, "snapshot.db"]
    assert (to / "snapshot.db").read_text() == "snapshot"


def test_snapshot_that_etcd_refuses_is_told_and_takes_no_room(tmp_path: Path) -> None:
    script = "echo half > snapshot.db.part; echo 'context deadline exceeded' >&2; exit 1"
    shell = LocalShell(stand_in(tmp_path / "bin", "etcdctl", script))
    with pytest.raises(ChangeFailed, match="context deadline exceeded"):
        SaveSnapshot(HOST, str(tmp_path / "etcd-snapshot")).do(shell)
    assert os.listdir(tmp_path / "etcd-snapshot") == []


def test_backups_change_no_facts() -> None:
    old = facts(0)
    for change in (CopyTree(HOST, "/a", "/b"), FetchTree(HOST, "/b", "/c"), SaveSnapshot(HOST, "/d")):
        assert change.after(old) == old

"""A data directory is moved aside and back, under bash in a folder of the test's own."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from pathlib import Path

import pytest
from builders import facts, name
from local_shell import LocalShell, Said

from requorum.changes import ChangeFailed, MoveAside, MoveBack

HOST = name(0)


@pytest.fixture
def shell() -> LocalShell:
    return LocalShell()


def data_dir(folder: Path) -> Path:
    found = folder / "etcd data"
    (found / "member" / "wal").mkdir(parents=True)
    (found / "member" / "wal" / "0.wal").write_text("log")
    (found / ".hidden").write_text("x")
    (found / "openshift-backup-20261105").mkdir()
    found.chmod(0o700)
    return found


def test_move_aside_takes_everything_but_backups(tmp_path: Path, shell: LocalShell) -> None:
    folder = data_dir(tmp_path)
    if os.geteuid() == 0:
        os.chown(folder, 1234, 2345)
    to = folder / "openshift-backup-requorum-r1"
    change = MoveAside(HOST, str(folder), str(to))
    assert change.do(shell)
    assert sorted(os.listdir(folder)) == ["openshift-backup-20261105", "openshift-backup-requorum-r1"]
    assert (to / "1" / "member" / "wal" / "0.wal").read_text() == "log"
    assert (to / "1" / ".hidden").read_text() == "x"
    kept, made = folder.stat(), (to / "1").stat()
    assert (made.st_mode, made.st_uid, made.st_gid) == (kept.st_mode, kept.st_uid, kept.st_gid)
    assert not change.do(shell)


def test_move_aside_a_second_time_overwrites_nothing(tmp_path: Path, shell: LocalShell) -> None:
    """A joiner started and failed: it left files under the same names."""
    folder = data_dir(tmp_path)
    to = folder / "openshift-backup-requorum-r1"
    change = MoveAside(HOST, str(folder), str(to))
    change.do(shell)
    (folder / "member").mkdir()
    (folder / "member" / "second").touch()
    assert change.do(shell)
    assert (to / "1" / "member" / "wal" / "0.wal").read_text() == "log"
    assert (to / "2" / "member" / "second").exists()


def test_move_aside_goes_on_after_an_interrupted_pass(tmp_path: Path, shell: LocalShell) -> None:
    folder = data_dir(tmp_path)
    to = folder / "openshift-backup-requorum-r1"
    (to / "1").mkdir(parents=True)
    (folder / ".hidden").rename(to / "1" / ".hidden")
    assert MoveAside(HOST, str(folder), str(to)).do(shell)
    assert sorted(p.name for p in to.glob("*/*")) == [".hidden", "member"]


def test_move_aside_of_an_empty_folder_holds(tmp_path: Path, shell: LocalShell) -> None:
    assert not MoveAside(HOST, str(tmp_path), f"{tmp_path}/openshift-backup-requorum-r1").do(shell)
    assert os.listdir(tmp_path) == []


def test_move_aside_of_a_folder_that_is_not_there_is_told(tmp_path: Path, shell: LocalShell) -> None:
    gone = tmp_path / "gone"
    with pytest.raises(ChangeFailed, match="is not there"):
        MoveAside(HOST, str(gone), f"{gone}/openshift-backup-requorum-r1").do(shell)


def test_move_aside_leaves_what_the_file_system_keeps(tmp_path: Path, shell: LocalShell) -> None:
    folder = data_dir(tmp_path)
    (folder / "lost+found").mkdir()
    change = MoveAside(HOST, str(folder), f"{folder}/openshift-backup-requorum-r1")
    assert change.do(shell)
    assert sorted(os.listdir(folder)) == ["lost+found", "openshift-backup-20261105", "openshift-backup-requorum-r1"]
    assert not change.do(shell)


def test_move_aside_follows_a_link_to_the_data(tmp_path: Path, shell: LocalShell) -> None:
    """As where etcd's disk is mounted elsewhere; it was taken for empty."""
    folder, link = data_dir(tmp_path), tmp_path / "link"
    link.symlink_to(folder)
    assert MoveAside(HOST, str(link), f"{link}/openshift-backup-requorum-r1").do(shell)
    assert (folder / "openshift-backup-requorum-r1" / "1" / "member" / "wal" / "0.wal").read_text() == "log"
    assert sorted(os.listdir(folder)) == ["openshift-backup-20261105", "openshift-backup-requorum-r1"]


@dataclass
class OtherSystem(LocalShell):
    """A host whose /var/lib is this folder."""

    var_lib: Path = Path()

    def run(self, script: str, *, seconds: float, change: bool = False) -> Said:
        return super().run(script.replace("/var/lib", shlex.quote(str(self.var_lib))), seconds=seconds, change=change)


@pytest.mark.parametrize("linked", [False, True])
def test_move_aside_of_a_folder_of_the_system_is_refused(tmp_path: Path, linked: bool) -> None:
    """Whatever the survey saw, and where a link leads."""
    folder = data_dir(tmp_path)
    before = sorted(folder.rglob("*"))
    (tmp_path / "link").symlink_to(folder)
    data = tmp_path / "link" if linked else folder
    with pytest.raises(ChangeFailed, match="what the system needs") as failed:
        MoveAside(HOST, str(data), f"{data}/openshift-backup-requorum-r1").do(OtherSystem(var_lib=folder))
    assert f"{folder}/requorum" in str(failed.value)
    assert sorted(folder.rglob("*")) == before


def test_after_move_aside_there_is_no_data() -> None:
    moved = MoveAside(HOST, "/var/lib/etcd", "/var/lib/etcd/openshift-backup-requorum-r1").after(facts(0))
    assert not moved.has_data
    assert moved.machine.data_entries == ()


def test_move_back_undoes_move_aside(tmp_path: Path, shell: LocalShell) -> None:
    folder = data_dir(tmp_path)
    before = sorted(folder.rglob("*"))
    to = folder / "openshift-backup-requorum-r1"
    MoveAside(HOST, str(folder), str(to)).do(shell)
    change = MoveBack(HOST, str(folder), str(to))
    assert change.do(shell)
    assert sorted(folder.rglob("*")) == before
    assert not change.do(shell)


def test_move_back_goes_on_after_an_interrupted_one(tmp_path: Path, shell: LocalShell) -> None:
    folder = data_dir(tmp_path)
    before = sorted(folder.rglob("*"))
    to = folder / "openshift-backup-requorum-r1"
    MoveAside(HOST, str(folder), str(to)).do(shell)
    (to / "1" / ".hidden").rename(folder / ".hidden")
    assert MoveBack(HOST, str(folder), str(to)).do(shell)
    assert sorted(folder.rglob("*")) == before


def test_move_back_overwrites_nothing(tmp_path: Path, shell: LocalShell) -> None:
    folder = data_dir(tmp_path)
    to = folder / "openshift-backup-requorum-r1"
    MoveAside(HOST, str(folder), str(to)).do(shell)
    (folder / "member").mkdir()
    with pytest.raises(ChangeFailed, match="member is there by now"):
        MoveBack(HOST, str(folder), str(to)).do(shell)
    assert (to / "1" / "member" / "wal" / "0.wal").read_text() == "log"

"""A data directory is moved aside and back, under bash in a folder of the test's own."""

from __future__ import annotations

import contextlib
import os
import shlex
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from builders import STOPPED, conf, facts, machine, mark, name, unit
from local_shell import LocalShell, Said

from requorum import operations
from requorum.changes import ChangeFailed, MoveAside, MoveBack
from requorum.facts.host import HostFacts

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


def test_move_aside_goes_on_in_the_folder_of_a_pass_that_was_cut(tmp_path: Path, shell: LocalShell) -> None:
    """The first pass, and it alone, is what was found."""
    folder = data_dir(tmp_path)
    to = folder / "openshift-backup-requorum-r1"
    (to / "1.part").mkdir(parents=True)
    (folder / ".hidden").rename(to / "1.part" / ".hidden")
    change = MoveAside(HOST, str(folder), str(to))
    assert change.do(shell)
    assert sorted(str(p.relative_to(to)) for p in to.glob("*/*")) == ["1/.hidden", "1/member"]
    (to / "1").rename(to / "1.part")
    assert change.do(shell), "all was moved, and that was not written down"
    assert [p.name for p in to.iterdir()] == ["1"]


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


# -- moving back


@dataclass
class Cut(LocalShell):
    """A host that goes down once so many files and folders were moved; no etcd lives there."""

    moves: int = 0

    def run(self, script: str, *, seconds: float, change: bool = False) -> Said:
        left = shlex.quote(str(self.left))
        counted = f"""mv() {{
  local n; n=$(cat {left})
  [ "$n" -gt 0 ] || kill -9 $$ $BASHPID
  echo $((n - 1)) > {left}; command mv "$@"
}}"""
        self.left.write_text(str(self.moves))
        lives = "! etcd_lives ||"
        return super().run(f"{counted}\n{script.replace(lives, 'true ||')}", seconds=seconds, change=change)

    left: Path = Path()


@pytest.fixture
def alone() -> LocalShell:
    """Where no etcd lives, whatever this machine runs beside."""
    return LocalShell(alone=True)


class Moved:
    """A data directory, and a log elsewhere, that one recovery moves aside and back, as its operations say."""

    def __init__(self, folder: Path, alone: LocalShell) -> None:
        self.data, self.log, self.shell = data_dir(folder), folder / "log", alone
        self.log.mkdir()
        (self.log / "5.wal").write_text("log")
        (self.log / "6.wal").write_text("newer")
        self.aside = self.data / "openshift-backup-requorum-r1"
        self.after = self.data / "openshift-backup-requorum-r1-after"
        self.found = self.tree()

    def tree(self) -> dict[str, str]:
        """Every path but what a join has left, with its content."""
        paths = sorted(p for top in (self.data, self.log) for p in top.rglob("*") if self.after not in (p, *p.parents))
        return {str(path): path.read_text() if path.is_file() else "" for path in paths}

    def join(self) -> None:
        """A learner has started here, and was removed."""
        (self.data / "member" / "snap").mkdir(parents=True)
        (self.data / "member" / "snap" / "db").write_text("the learner's")
        (self.log / "0.wal").write_text("the learner's")
        (self.log / "5.wal").write_text("the learner's")

    def host(self) -> HostFacts:
        """As a survey sees it."""
        begun = replace(mark(), recovery="r1")
        there = {path.parent for path in self.aside.rglob("[0-9]*") if path.is_dir()}
        found = frozenset(str(path).partition("requorum-")[2] for path in there)
        settings = conf(0, ETCD_DATA_DIR=str(self.data), ETCD_WAL_DIR=str(self.log))
        here = machine(0, has_wal=any(self.log.glob("*.wal")), data_aside=found)
        return facts(0, unit=unit(STOPPED, fenced=True), conf=settings, machine=here, mark=begun)

    def out(self, shell: LocalShell | None = None) -> None:
        """Step 50. Raises ChangeFailed where it is cut."""
        for change in operations.etcd.move_data_aside(self.host(), "r1"):
            change.do(shell or self.shell)

    def back(self, shell: LocalShell | None = None) -> None:
        """Step 97. Raises ChangeFailed where it is cut."""
        for change in operations.etcd.move_data_back(self.host()):
            change.do(shell or self.shell)


@pytest.fixture
def moved(tmp_path: Path, alone: LocalShell) -> Moved:
    return Moved(tmp_path, alone)


def test_what_was_moved_aside_is_moved_back_log_and_all(moved: Moved) -> None:
    """The log went into the data directory, and the host was never as it was found."""
    moved.out()
    assert sorted(path.name for path in moved.aside.glob("log/1/*")) == ["5.wal", "6.wal"]
    moved.log.rmdir()  # as etcd does when it makes a log
    moved.back()
    assert moved.tree() == moved.found
    assert not moved.after.exists()
    assert operations.etcd.move_data_back(moved.host()) == []


@pytest.mark.parametrize("joins", [1, 2])
def test_what_a_join_has_left_makes_room_for_what_was_found(moved: Moved, joins: int) -> None:
    """It was taken back, once or twice: nothing was moved back, and the removed learner's data was called as found."""
    for _ in range(joins):
        moved.out()
        moved.join()
    moved.back()
    assert moved.tree() == moved.found
    kept = [path for path in moved.after.rglob("*") if path.is_file()]
    assert {path.read_text() for path in kept} == {"the learner's"}
    assert len(kept) == 3 * joins
    assert operations.etcd.move_data_back(moved.host()) == []


@pytest.mark.parametrize("moves", range(7))
@pytest.mark.parametrize("again", [False, True], ids=["aborted again", "carried on, and aborted again"])
def test_what_is_cut_in_the_middle_of_moving_back_is_carried_on(
    moved: Moved, tmp_path: Path, moves: int, again: bool
) -> None:
    """A second join was under way; wherever the abort is cut, what was found and what a join left are told apart."""
    moved.out()
    moved.join()
    moved.out()
    moved.join()
    with contextlib.suppress(ChangeFailed):
        moved.back(Cut(moves=moves, left=tmp_path / "left"))
    if again:
        moved.out()
    moved.back()
    assert moved.tree() == moved.found


@pytest.mark.parametrize("moves", range(6))
@pytest.mark.parametrize("again", [False, True], ids=["aborted", "carried on, and aborted"])
def test_what_is_cut_in_the_middle_of_moving_aside_is_whole_again(
    moved: Moved, tmp_path: Path, moves: int, again: bool
) -> None:
    with contextlib.suppress(ChangeFailed):
        moved.out(Cut(moves=moves, left=tmp_path / "left"))
    if again:
        moved.out()
        moved.join()
    moved.back()
    assert moved.tree() == moved.found


def test_a_copy_from_another_file_system_that_was_cut_is_made_again(tmp_path: Path, alone: LocalShell) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as elsewhere:
        log, data = Path(elsewhere), tmp_path / "data"
        if log.stat().st_dev == tmp_path.stat().st_dev:
            pytest.skip("/dev/shm is no file system of its own")
        part = data / "openshift-backup-requorum-r1" / "log" / "1.part"
        part.mkdir(parents=True)
        for name_, there in (("0.wal", "whole"), ("1.wal", "whole"), ("2.wal", "")):
            (log / name_).write_text("whole")
            (part / name_).write_text("whole") if there and name_ == "0.wal" else None
        (part / "requorum.tmp").write_text("who")
        aside = MoveAside(HOST, str(log), str(part.parent), needed=False)
        assert aside.do(alone)
        assert list(log.iterdir()) == []
        assert {path.name: path.read_text() for path in (part.parent / "1").glob("*.wal")} == dict.fromkeys(
            ("0.wal", "1.wal", "2.wal"), "whole"
        )
        assert MoveBack(HOST, str(log), str(part.parent), f"{data}/after/log").do(alone)
        assert {path.name: path.read_text() for path in log.iterdir()} == dict.fromkeys(
            ("0.wal", "1.wal", "2.wal"), "whole"
        )


def test_move_back_overwrites_nothing(moved: Moved) -> None:
    """Half of it is back, and somebody has made a file of the same name meanwhile."""
    moved.out()
    (moved.aside / "1").rename(moved.aside / "1.part")
    (moved.data / "member").mkdir()
    with pytest.raises(ChangeFailed, match="member is there by now"):
        moved.back()
    assert (moved.aside / "1.part" / "member" / "wal" / "0.wal").read_text() == "log"


def test_nothing_is_moved_back_under_a_living_etcd(moved: Moved) -> None:
    moved.out()
    living = LocalShell(alone=True)
    change = operations.etcd.move_data_back(moved.host())[0]
    script = (
        f"(exec -a etcd bash -c 'printf etcd > /proc/self/comm; sleep 2; :') &\nsleep 0.2\n{change.script()}\nkill $!"
    )
    said = living.run(script, seconds=60)
    assert "etcd runs: its data is not touched" in said.stderr
    assert (moved.aside / "1" / "member" / "wal" / "0.wal").exists()


def test_a_host_that_is_not_fenced_is_before_its_data_is_moved(moved: Moved) -> None:
    """A removed learner's etcd may live, or start with the next boot."""
    moved.out()
    host = replace(moved.host(), unit=unit(STOPPED))
    assert operations.etcd.move_data_back(host)[:-2] == operations.fence.raise_fence(host)

"""One run at a time: living owners, killed owners with living workers, zombies."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from requorum.changes import StartEtcd, StopEtcd
from requorum.locking import Lock, Locked
from requorum.remote import script as wire
from requorum.remote.remote import GRACE_SECONDS
from requorum.stages.controller import LOCK_SECONDS

OWNER = """
import sys
from pathlib import Path
from requorum.locking import Lock
held = Lock(Path(sys.argv[1])).{how}
print("has it", flush=True)
sys.stdin.readline()
"""
Start = Callable[[str], "subprocess.Popen[str]"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "locks" / "prod.lock"


@pytest.fixture
def start(path: Path) -> Iterator[Start]:
    """Starts a process that takes or shares the lock, and holds it until it is told to end."""
    started: list[subprocess.Popen[str]] = []

    def begin(how: str) -> subprocess.Popen[str]:
        words = [sys.executable, "-c", OWNER.format(how=how), str(path)]
        process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout
        assert process.stdout.readline() == "has it\n"
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


TAKE = 'take("bob@desk", seconds=1)'


def test_taken_shared_and_given_back(path: Path) -> None:
    lock = Lock(path)
    held = lock.take("ada@desk", seconds=1)
    shared = lock.share()
    assert path.read_text().endswith("ada@desk\n")
    held.close()
    shared.close()
    lock.take("eve@desk", seconds=1).close()
    assert path.read_text().splitlines()[-1].endswith("eve@desk")
    assert len(path.read_text().splitlines()) == 1


def test_a_living_owner_is_refused_at_once(path: Path, start: Start) -> None:
    owner = start(TAKE)
    begun = time.monotonic()
    with pytest.raises(Locked, match=f"bob@desk, process {owner.pid}"):
        Lock(path).take("ada@desk", seconds=30)
    assert time.monotonic() - begun < 5
    assert "bob@desk" in path.read_text()


def test_a_killed_owner_leaves_no_lock(path: Path, start: Start) -> None:
    owner = start(TAKE)
    owner.kill()
    owner.wait()
    Lock(path).take("ada@desk", seconds=1).close()


def test_workers_of_a_killed_owner_are_waited_for(path: Path, start: Start) -> None:
    owner, worker = start(TAKE), start("share()")
    owner.kill()
    owner.wait()
    with pytest.raises(Locked, match=r"workers of a killed run \(bob@desk\) did not end within 0 s"):
        Lock(path).take("ada@desk", seconds=0.3)
    worker.communicate("\n")
    Lock(path).take("ada@desk", seconds=5).close()


def test_a_zombie_is_no_living_owner(path: Path, start: Start) -> None:
    """Killed, and its parent has not looked yet."""
    owner, worker = start(TAKE), start("share()")
    owner.kill()
    os.waitid(os.P_PID, owner.pid, os.WEXITED | os.WNOWAIT)
    with pytest.raises(Locked, match="workers of a killed run"):
        Lock(path).take("ada@desk", seconds=0.2)
    worker.communicate("\n")
    Lock(path).take("ada@desk", seconds=5).close()


def test_another_process_with_the_owners_number_is_not_the_owner(path: Path, start: Start) -> None:
    path.parent.mkdir()
    start("share()")
    path.write_text(f"{os.getpid()} 1 bob@desk\n")
    with pytest.raises(Locked, match="workers of a killed run"):
        Lock(path).take("ada@desk", seconds=0.2)


def test_a_worker_that_comes_too_late_is_refused(path: Path, start: Start) -> None:
    path.parent.mkdir()
    start("path.open('a'); import fcntl; fcntl.flock(held, fcntl.LOCK_EX)")
    with pytest.raises(Locked, match="another has begun"):
        Lock(path).share()


def test_a_new_run_waits_longer_than_a_worker_can_start_or_stop_etcd() -> None:
    for change in (StopEtcd("a"), StartEtcd("a")):
        on_the_host = change.seconds + 30 + wire.KILL_SECONDS  # 30: what Change.do adds
        assert on_the_host + wire.LOCK_SECONDS + GRACE_SECONDS <= LOCK_SECONDS


def test_a_lock_that_cannot_be_written_is_told(path: Path) -> None:
    """A full disk, or a file of another operator; here a folder, which root cannot write either."""
    path.mkdir(parents=True)
    with pytest.raises(Locked, match=r"prod\.lock cannot be written: Is a directory"):
        Lock(path).take("ada@desk", seconds=1)

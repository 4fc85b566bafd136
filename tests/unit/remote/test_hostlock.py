"""The lock of a run on a host: held by a living connection, taken from the dead, and looked at before every change."""

from __future__ import annotations

import pickle
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from loopback_sshd import Sshd, eventually

from requorum import hostlock
from requorum.hostlock import FREE, HostLock, Owner
from requorum.inventory import EtcdHost
from requorum.remote import Remote, RemoteError
from requorum.remote import script as wire

DOCS = Path(__file__).parents[3] / "docs"
ADR = "adr/0014-the-lock-on-a-host-is-a-living-process.md"
Connect = Callable[[EtcdHost], Remote]
ADA = Owner("aaa", "r1", "ada@desk", "2026-11-05T03:00:00Z")
BOB = Owner("bbb", "r2", "bob@home office", "2026-11-05T03:05:00Z")


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The lock's file, in a folder of the test's own."""
    path = tmp_path / "requorum.lock"
    monkeypatch.setattr(wire, "LOCK", str(path))
    return path


def here(script: str, path: Path) -> str:
    return script.replace(hostlock.PATH, str(path))


def seen(remote: Remote, path: Path) -> HostLock:
    return hostlock.parse(remote.run(here(hostlock.COMMAND, path)).stdout)


def take(remote: Remote, owner: Owner, expected: HostLock, path: Path) -> str:
    return remote.hold(here(hostlock.claim(owner, expected.line), path))


def dropped(remote: Remote) -> None:
    """The connection ends while nobody uses it."""
    assert remote._connection is not None
    remote._connection.transport.close()


def test_looking_makes_no_file(remote: Remote, path: Path) -> None:
    assert seen(remote, path) == FREE
    assert not path.exists()


def test_taken_and_told(sshd: Sshd, connect_to: Connect, path: Path) -> None:
    ada, other = connect_to(sshd.host()), connect_to(sshd.host())
    assert take(ada, ADA, FREE, path) == "taken"
    lock = seen(other, path)
    assert (lock.alive, lock.busy, lock.run) == (True, False, "r1")
    assert lock.words == "run r1 by ada@desk, since 2026-11-05T03:00:00Z"


def test_the_end_of_a_connection_frees_it(sshd: Sshd, connect_to: Connect, path: Path) -> None:
    ada, bob = connect_to(sshd.host()), connect_to(sshd.host())
    take(ada, ADA, FREE, path)
    ada.close()
    assert eventually(lambda: not seen(bob, path).alive)
    assert take(bob, BOB, seen(bob, path), path) == "taken"
    assert seen(ada, path).words == "run r2 by bob@home office, since 2026-11-05T03:05:00Z"


def test_no_holder_lives_longer_than_is_told() -> None:
    """The longest time after which a lock is stale, whatever its connection seems to be."""
    limit = ["timeout", "-k", str(wire.KILL_SECONDS), "12h"]
    for sudo in (False, True):
        words = shlex.split(wire.hold("script", mark="mark", sudo=sudo))
        assert words[3 * sudo :][:4] == limit
    for page, told in (
        ("recover.md", "12 hours at most. Then the lock is stale"),
        (ADR, "A holder ends after 12 hours"),
    ):
        assert told in " ".join((DOCS / page).read_text(encoding="utf-8").split())


def test_the_end_of_its_time_frees_it(
    sshd: Sshd, connect_to: Connect, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its connection stands."""
    monkeypatch.setattr(hostlock, "HOURS", 1 / 3600)
    ada, bob = connect_to(sshd.host()), connect_to(sshd.host())
    assert take(ada, ADA, FREE, path) == "taken"
    assert eventually(lambda: not seen(bob, path).alive)
    assert take(bob, BOB, seen(bob, path), path) == "taken"


def test_it_is_taken_only_as_it_was_seen(sshd: Sshd, connect_to: Connect, path: Path) -> None:
    """Another run has been there between our look and our claim: what we know of the host is old."""
    ada, bob = connect_to(sshd.host()), connect_to(sshd.host())
    take(ada, ADA, FREE, path)
    line = seen(bob, path).line
    word, _, rest = take(bob, BOB, FREE, path).partition(" ")
    assert (word, hostlock.parse(rest).line) == ("other", line)
    assert seen(bob, path) == HostLock(line, alive=True, busy=False)


def test_a_lock_that_is_broken_ends_its_holder(sshd: Sshd, connect_to: Connect, path: Path) -> None:
    ada, bob = connect_to(sshd.host()), connect_to(sshd.host())
    take(ada, ADA, FREE, path)
    pid = int(path.read_text().split()[1])
    assert take(bob, BOB, seen(bob, path), path) == "taken"
    assert eventually(lambda: not Path(f"/proc/{pid}").exists())


def test_no_change_is_made_under_the_lock_of_another_run(
    sshd: Sshd, connect_to: Connect, path: Path, tmp_path: Path
) -> None:
    ada, bob = (Remote(sshd.host(), owner=owner.token) for owner in (ADA, BOB))
    assert ada.run("echo a", change=True).stdout == "a\n"  # nobody's
    take(bob, BOB, FREE, path)
    with pytest.raises(RemoteError) as refused:
        ada.run(f"touch {tmp_path}/no", change=True)
    assert refused.value.expected == "this run's own lock on the host"
    assert refused.value.found == "run r2 by bob@home office, since 2026-11-05T03:05:00Z"
    assert not (tmp_path / "no").exists()
    assert bob.run("echo b", change=True).stdout == "b\n"
    assert ada.run("echo read").stdout == "read\n"
    ada.close()
    bob.close()


@pytest.fixture
def ada(sshd: Sshd, path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Remote]:
    """A run that holds the lock, and keeps it."""
    again = hostlock.claim_again
    monkeypatch.setattr(hostlock, "claim_again", lambda owner: here(again(owner), path))
    remote = Remote(sshd.host(), connect_seconds=5, owner=ADA.token)
    assert take(remote, ADA, FREE, path) == "taken"
    remote.keep_lock(ADA)
    yield remote
    remote.close()


def test_a_run_that_connects_again_holds_the_lock_before_anything_else(
    ada: Remote, sshd: Sshd, connect_to: Connect, path: Path
) -> None:
    other = connect_to(sshd.host())
    dropped(ada)
    assert eventually(lambda: not seen(other, path).alive)
    assert ada.run(here(hostlock.COMMAND, path)).stdout.startswith(f"no yes {ADA.token} ")
    assert seen(other, path).alive


def test_a_run_that_connects_again_after_a_reboot_holds_the_lock(
    ada: Remote, sshd: Sshd, connect_to: Connect, path: Path
) -> None:
    dropped(ada)
    path.unlink()
    ada.run("true")
    assert seen(connect_to(sshd.host()), path).token == ADA.token


@pytest.mark.parametrize("change", [True, False], ids=["change", "read"])
def test_a_run_whose_lock_was_taken_meanwhile_does_nothing_there_any_more(
    ada: Remote, sshd: Sshd, connect_to: Connect, path: Path, tmp_path: Path, change: bool
) -> None:
    bob = connect_to(sshd.host())
    dropped(ada)
    assert eventually(lambda: not seen(bob, path).alive)
    assert take(bob, BOB, seen(bob, path), path) == "taken"
    for _ in range(2):
        with pytest.raises(RemoteError) as refused:
            ada.run(f"touch {tmp_path}/no", change=change)
        assert refused.value.expected == "this run's own lock on the host"
        assert refused.value.found == "run r2 by bob@home office, since 2026-11-05T03:05:00Z"
    assert not (tmp_path / "no").exists()
    assert (seen(bob, path).token, seen(bob, path).alive) == (BOB.token, True)


def test_a_change_that_goes_on_is_seen(sshd: Sshd, connect_to: Connect, path: Path) -> None:
    """Its run was killed, and nobody waits for it any more: what is surveyed meanwhile is not what will be."""
    other = connect_to(sshd.host())
    path.touch()
    with subprocess.Popen(["flock", "--no-fork", str(path), "sleep", "60"]) as changing:
        assert eventually(lambda: seen(other, path).busy)
        changing.terminate()
    assert eventually(lambda: not seen(other, path).busy)


def test_a_killed_operator_blocks_nobody(sshd: Sshd, connect_to: Connect, path: Path) -> None:
    host, other = sshd.host(), connect_to(sshd.host())
    code = (
        "import pickle, sys; from requorum.remote import Remote\n"
        "host, script = pickle.load(sys.stdin.buffer)\n"
        "print(Remote(host).hold(script), flush=True); import time; time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as operator:
        assert operator.stdin
        assert operator.stdout
        pickle.dump((host, here(hostlock.claim(ADA, ""), path)), operator.stdin)
        operator.stdin.close()
        assert operator.stdout.readline() == b"taken\n"
        assert seen(other, path).alive
        operator.kill()
    assert eventually(lambda: not seen(other, path).alive)


@pytest.mark.parametrize("output", ["perhaps no x", "yes maybe x"])
def test_what_is_no_lock_is_told(output: str) -> None:
    with pytest.raises(ValueError, match="expected the state of"):
        hostlock.parse(output)

"""A log that is put back, really, under bash; what etcd wrote since is never thrown away."""

from __future__ import annotations

import os
import struct
import subprocess
import time
from pathlib import Path

import pytest
from builders import name
from local_shell import LocalShell, stand_in

from requorum.changes import ChangeFailed, PutLogBack, RunEtcd, undo
from requorum.changes.undo import log_written_since
from requorum.facts.machine import COMMITTED

HOST = name(0)
SEGMENT, OFFSET, SIZE = "0000000000000001-0000000000000064.wal", 96, 4096
RECORDS = bytes(range(1, OFFSET + 1))


def record(body: bytes) -> bytes:
    """One frame as etcd writes it: length, with the padding in its highest byte, and the body."""
    padding = -len(body) % 8
    length = len(body) | ((0x80 | padding) << 56 if padding else 0)
    return struct.pack("<Q", length) + body + bytes(padding)


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch) -> LocalShell:
    """No etcd lives here, whatever else this machine runs."""
    monkeypatch.setattr(undo, "LIVES", "etcd_lives() { return 1; }\n")
    return LocalShell()


class Log:
    """A log whose newest segment got one record, and the segment as it was."""

    def __init__(self, folder: Path, body: bytes, *, since: bytes | None = None) -> None:
        self.wal, self.aside = folder / "member" / "wal", folder / "openshift-backup-requorum-r1" / "wal"
        self.wal.mkdir(parents=True)
        self.aside.mkdir(parents=True)
        self.kept = self.aside / f"{SEGMENT}.{OFFSET}"
        self.kept.write_bytes(RECORDS.ljust(SIZE, b"\0"))
        segment = self.wal / SEGMENT
        segment.write_bytes((RECORDS + record(body)).ljust(SIZE, b"\0"))
        known = subprocess.run(["stat", "-c", "%i %y", segment], capture_output=True, text=True, check=True)
        (self.aside / COMMITTED).write_text(known.stdout)
        if since is not None:
            time.sleep(0.01)  # a tick of the clock that files have
            segment.write_bytes((RECORDS + record(body) + since).ljust(SIZE, b"\0"))

    @property
    def change(self) -> PutLogBack:
        return PutLogBack(HOST, str(self.wal), str(self.aside))

    def written_since(self) -> str:
        script = log_written_since(str(self.wal), str(self.aside))
        return subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("body", [b"\x08\x02 hard state", b"eight by", b"\x08\x02\x10\n\x00\x00"])
def test_the_segment_is_what_it_was(tmp_path: Path, shell: LocalShell, body: bytes) -> None:
    log = Log(tmp_path, body)
    assert log.written_since() == ""
    assert log.change.do(shell)
    assert (log.wal / SEGMENT).read_bytes() == RECORDS.ljust(SIZE, b"\0")
    assert os.listdir(tmp_path) == ["member"]
    assert not log.change.do(shell)


@pytest.mark.parametrize("since", [record(b"a vote"), b""], ids=["a vote", "only a start"])
def test_what_etcd_wrote_since_stays(tmp_path: Path, shell: LocalShell, since: bytes) -> None:
    """With pre-votes (3.5) a start alone writes no record, and applies to the database what was committed."""
    log = Log(tmp_path, b"hard state", since=since)
    before = (log.wal / SEGMENT).read_bytes()
    assert log.written_since() == f"{SEGMENT}\n"
    with pytest.raises(ChangeFailed, match="etcd has written to its log since"):
        log.change.do(shell)
    assert (log.wal / SEGMENT).read_bytes() == before
    assert log.kept.exists()


@pytest.mark.parametrize("lives", [0, 1])
def test_where_somebody_has_put_it_back_the_folder_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lives: int
) -> None:
    """As the run says to: `mv -f … && systemctl start etcd`. What was replaced by nobody is put back by nobody either."""
    monkeypatch.setattr(undo, "LIVES", f"etcd_lives() {{ return {lives}; }}\n")
    log = Log(tmp_path, b"hard state")
    log.kept.rename(log.wal / SEGMENT)
    assert log.written_since() == ""
    assert log.change.do(LocalShell())
    assert (os.listdir(tmp_path), os.listdir(log.wal)) == (["member"], [SEGMENT])


def test_another_log_is_not_overwritten(tmp_path: Path, shell: LocalShell) -> None:
    log = Log(tmp_path, b"hard state")
    (log.wal / SEGMENT).write_bytes((b"x" * OFFSET + record(b"hard state")).ljust(SIZE, b"\0"))
    assert log.written_since() == f"{SEGMENT}\n"
    (log.wal / SEGMENT).unlink()
    assert log.written_since() == f"{SEGMENT} (it is gone)\n"


def test_a_segment_that_was_not_replaced_yet(tmp_path: Path, shell: LocalShell) -> None:
    """Killed between keeping it and replacing it: both names are one file, and there is a part of the new one."""
    log = Log(tmp_path, b"hard state")
    (log.wal / SEGMENT).unlink()
    (log.wal / SEGMENT).hardlink_to(log.kept)
    (log.wal / "requorum.tmp").touch()
    (log.aside / COMMITTED).touch()
    assert log.written_since() == ""
    assert log.change.do(shell)
    assert (log.wal / SEGMENT).read_bytes() == RECORDS.ljust(SIZE, b"\0")
    assert (os.listdir(tmp_path), os.listdir(log.wal)) == (["member"], [SEGMENT])


def test_not_while_etcd_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(undo, "LIVES", "etcd_lives() { return 0; }\n")
    log = Log(tmp_path, b"hard state")
    with pytest.raises(ChangeFailed, match="etcd runs"):
        log.change.do(LocalShell())
    assert log.kept.exists()


def test_run_etcd_does_not_wait_for_a_leader(tmp_path: Path) -> None:
    """Without a quorum systemd says *activating* for as long as it lives."""
    stand_in(
        tmp_path / "bin",
        "systemctl",
        f"""cd {tmp_path}
case "$*" in
  start*) touch started; (exec -a etcd sleep 5 >/dev/null 2>&1) & ;;
  *MainPID*) [ -e started ] && echo MainPID=7 || echo MainPID=0;;
esac""",
    )
    shell = LocalShell(tmp_path / "bin")
    change = RunEtcd(HOST)
    script = change.script().replace("[0-9]*/comm", "self/comm").replace('"$name" = etcd', '"$name" != etcd')
    assert 'echo "' not in change.act()
    first = shell.run(script, seconds=10)
    assert first.stdout.endswith("requorum: done\n"), first.stderr
    assert shell.run(script, seconds=10).stdout.endswith("requorum: it holds already\n")

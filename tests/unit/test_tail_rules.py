"""The rules for the record that keeps the tail, each by a log that asks for it, changed for real in a folder."""

from __future__ import annotations

import shlex
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import pytest
from builders import STOPPED, conf, data, facts, node, process, unit
from facts.samples import Sample
from facts.wal_writer import FIRST, Writer, field, number
from local_shell import LocalShell, stand_in

from requorum.causes import how_to_start
from requorum.changes import Change, ChangeFailed, CopyTree, KeepTail, ProveOnCopy, PutLogBack
from requorum.facts import machine
from requorum.facts.bolt import read_image
from requorum.facts.data_dir import DataDir, judge
from requorum.facts.host import HostFacts
from requorum.facts.machine import Machine
from requorum.facts.wal_changes import ConfChange
from requorum.fitness import SCRATCH_ROOM, unfit
from requorum.operations.backup import BackupPlace, keep_data
from requorum.operations.etcd import force_new_cluster, keep_tail, move_data_aside
from requorum.operations.fence import lift_fence, raise_fence
from requorum.ranking import candidates, loss_of, tail_of

SIZE = 1 << 16
BACKUP = PurePosixPath("/backup")


@dataclass
class Disk:
    """A data directory with one segment."""

    folder: Path

    @property
    def wal(self) -> Path:
        return self.folder / "member/wal" / FIRST

    @property
    def facts(self) -> HostFacts:
        return facts(0, conf=conf(0, ETCD_DATA_DIR=str(self.folder)))

    def read(self, held: int | None = None) -> DataDir:
        database = read_image(Sample("3.4.23").db("m0"))
        return judge([(FIRST, self.wal.read_bytes())], replace(database, consistent_index=held))

    def changes(self, *, whole: bool = True, held: int | None = None) -> list[Change]:
        return keep_tail(self.facts, self.read(held), BackupPlace(PurePosixPath("/backup"), "r1", None), whole=whole)


def log(entries: int = 9, commit: int = 6, vote: int = 7) -> Writer:
    writer = Writer()
    for index in range(1, entries + 1):
        writer.entry(index, 2, b"entry")
    writer.record(3, field(1, 5) + field(2, vote) + field(3, commit))
    return writer


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    found = Disk(tmp_path / "etcd")
    found.wal.parent.mkdir(parents=True)
    found.wal.write_bytes(log().content.ljust(SIZE, b"\0"))
    return found


@pytest.fixture
def shell() -> LocalShell:
    return LocalShell(alone=True)


def record_of(disk: Disk, **more: object) -> KeepTail:
    [change] = [c for c in disk.changes(**more) if isinstance(c, KeepTail)]  # type: ignore[arg-type]
    return change


def test_rule_1_the_commit_is_raised_to_the_end_of_the_log_and_never_lowered(disk: Disk, shell: LocalShell) -> None:
    assert record_of(disk).do(shell)
    assert (disk.read().commit, disk.read().tail.count if disk.read().tail else None) == (9, 0)
    assert disk.changes() == []
    received = log()
    received.snapshot(20, 5)
    received.state(5, 20)  # the entries end below the commit index now
    disk.wal.write_bytes(received.content.ljust(SIZE, b"\0"))
    assert disk.read().error == ""
    assert disk.changes() == []


def test_rule_2_stale_entries_above_a_received_snapshot_are_refused(disk: Disk) -> None:
    stale = log(entries=30, commit=6)
    stale.snapshot(20, 5)
    stale.state(5, 20)
    disk.wal.write_bytes(stale.content.ljust(SIZE, b"\0"))
    found = disk.read()
    assert found.log is not None
    assert found.log.stale
    [candidate] = candidates([facts(0, data=data(0, stale=True))], keep_tail=True)
    assert "stale entries" in candidate.refusal


def test_rule_3_a_damaged_record_is_no_end_of_the_log(disk: Disk) -> None:
    content = bytearray(disk.wal.read_bytes())
    content[len(log().content) - 100] ^= 1
    disk.wal.write_bytes(content)
    assert "damaged, not half written" in disk.read().error


def test_rule_4_what_lies_behind_becomes_zeros_and_the_segment_is_kept(disk: Disk, shell: LocalShell) -> None:
    whole = log().content
    torn = whole + struct.pack("<Q", 2000) + b"x" * 20
    before = torn.ljust(SIZE, b"\0")
    disk.wal.write_bytes(before)
    disk.wal.chmod(0o600)
    change = record_of(disk)
    assert change.do(shell)
    after = disk.wal.read_bytes()
    assert after[: len(whole)] == whole
    assert after == (whole + change.append.record).ljust(SIZE, b"\0")
    assert disk.wal.stat().st_mode & 0o777 == 0o600
    [kept] = (disk.folder / "openshift-backup-requorum-r1/wal").glob("*.wal.*")
    assert kept.read_bytes() == before


def test_rule_5_the_tail_ends_before_what_removes_the_survivor(disk: Disk, shell: LocalShell) -> None:
    writer = log(entries=8)
    removal = field(2, 1) + field(3, 7)  # of the member 7, which this log belongs to
    writer.record(2, field(1, 1) + field(2, 5) + field(3, 9) + b"\x22" + number(len(removal)) + removal)
    writer.entry(10, 5, b"behind it")
    writer.state(5, 6)
    disk.wal.write_bytes(writer.content.ljust(SIZE, b"\0"))
    found = disk.read()
    assert found.end_of_tail == 8
    assert "changes of the membership: remove 7" in (found.tail.words if found.tail else "")
    assert record_of(disk).do(shell)
    assert disk.read().commit == 8
    gone = ConfChange(9, "remove", node(0), "", ())
    refused = facts(0, data=data(0, last=(2, 10), commit=6, consistent=9, changes=(gone,)))
    [candidate] = candidates([refused], keep_tail=True)
    assert "not in its own member list" in candidate.refusal


def test_rule_6_what_the_database_holds_is_committed_even_without_the_tail(disk: Disk, shell: LocalShell) -> None:
    assert ProveOnCopy not in map(type, disk.changes(whole=False, held=8))
    assert record_of(disk, whole=False, held=8).do(shell)
    assert disk.read().commit == 8
    assert disk.changes(whole=False, held=8) == []
    ahead = disk.read(held=10)
    reached = "expected entry 10 in member/wal, found 9 as the last"
    assert ahead.error.startswith(f"its database (member/snap/db) is ahead of its log: {reached}")
    assert candidates([facts(0, data=ahead)], keep_tail=False) == []


def test_rule_7_first_on_a_copy_and_room_and_tools_for_it_are_looked_for(disk: Disk) -> None:
    kinds = [type(change) for change in disk.changes()]
    assert (kinds[0], kinds[-1]) == (ProveOnCopy, KeepTail)
    with_tail = facts(0, data=disk.read())
    need = 2 * with_tail.machine.data_used + SCRATCH_ROOM

    def problems(**more: object) -> list[str]:
        return unfit(replace(with_tail, machine=replace(with_tail.machine, **more)), BACKUP)  # type: ignore[arg-type]

    assert problems(backup_free=need) == []
    assert "scratch etcd" in problems(backup_free=need - 1)[0]
    assert "not installed: unshare" in problems(missing=("unshare",))[0]
    assert unfit(facts(0, machine=replace(with_tail.machine, backup_free=need - 1, missing=("unshare",))), BACKUP) == []


@pytest.mark.parametrize("whole", [True, False])
def test_the_fence_comes_before_the_record_and_goes_right_before_the_forced_start(disk: Disk, whole: bool) -> None:
    """What one member alone has committed may be nothing that its peers have: no reboot is to bring them together."""
    assert disk.changes(whole=whole, held=8)[-4:] == [*raise_fence(disk.facts), record_of(disk, whole=whole, held=8)]
    fenced = replace(disk.facts, unit=unit(STOPPED, fenced=True))
    forced = force_new_cluster(fenced)
    assert forced[-3:-1] == lift_fence(fenced)
    assert [change for change in forced if change not in lift_fence(fenced)] == force_new_cluster(disk.facts)


def test_rule_8_term_and_vote_stay(disk: Disk, shell: LocalShell) -> None:
    assert record_of(disk).do(shell)
    found = disk.read().log
    assert found is not None
    assert (found.term, found.vote, found.last_index) == (5, 7, 9)


def test_rule_8_a_log_elsewhere(disk: Disk, shell: LocalShell, tmp_path: Path) -> None:
    elsewhere = tmp_path / "wal"
    elsewhere.mkdir()
    moved = facts(0, conf=conf(0, ETCD_DATA_DIR=str(disk.folder), ETCD_WAL_DIR=f"{elsewhere}/"))
    place = BackupPlace(PurePosixPath("/backup"), "r1", None)
    assert [c.source for c in keep_data(moved, place) if isinstance(c, CopyTree)] == [str(disk.folder), str(elsewhere)]
    change = keep_tail(moved, disk.read(), place, whole=True)[-1]
    disk.wal.rename(elsewhere / FIRST)
    assert change.do(shell)
    disk = Disk(disk.folder)
    (elsewhere / FIRST).rename(disk.wal)
    assert disk.read().commit == 9
    disk.wal.rename(elsewhere / FIRST)
    for aside in move_data_aside(moved, "r1"):
        aside.do(shell)
    assert list(elsewhere.iterdir()) == []
    elsewhere.rmdir()
    assert [aside.do(shell) for aside in move_data_aside(moved, "r1")] == [False, False]
    assert list((disk.folder / "openshift-backup-requorum-r1").glob(f"log/1/{FIRST}"))


def test_rule_8_a_log_that_etcd_conf_does_not_name_is_refused() -> None:
    living = replace(process(), environ={"ETCD_WAL_DIR": "/elsewhere"})
    flagged = replace(process(), argv=("etcd", "--wal-dir=/elsewhere"))
    for one in (living, flagged):
        assert "set it there (ETCD_WAL_DIR), and no flag" in "".join(unfit(facts(0, processes=(one,)), BACKUP))
    named = conf(0, ETCD_WAL_DIR="/elsewhere")
    assert unfit(facts(0, conf=named, processes=(living,)), BACKUP) == []


def test_a_second_time_changes_nothing(disk: Disk, shell: LocalShell) -> None:
    change = record_of(disk)
    assert change.do(shell)
    after = disk.wal.read_bytes()
    assert not change.do(shell)
    assert disk.wal.read_bytes() == after


@pytest.mark.parametrize("change", ["the size", "a byte"])
def test_a_segment_that_is_not_as_it_was_read_is_left_alone(disk: Disk, shell: LocalShell, change: str) -> None:
    content = disk.wal.read_bytes()
    keep = record_of(disk)
    keep = replace(keep, append=replace(keep.append, sha256="0" * 64)) if change == "a byte" else keep
    if change == "the size":
        content = content + b"\0"
        disk.wal.write_bytes(content)
    with pytest.raises(ChangeFailed, match="not what it was when it was read"):
        keep.do(shell)
    assert disk.wal.read_bytes() == content


def test_never_while_etcd_runs(disk: Disk, shell: LocalShell, tmp_path: Path) -> None:
    before = disk.wal.read_bytes()
    etcd = stand_in(tmp_path / "bin", "never", "") / "etcd"
    etcd.write_bytes(Path("/bin/sleep").read_bytes())
    etcd.chmod(0o755)
    with subprocess.Popen([etcd, "60"]) as living:
        try:
            with pytest.raises(ChangeFailed, match="etcd runs"):
                record_of(disk).do(LocalShell())
        finally:
            living.kill()
    assert disk.wal.read_bytes() == before


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for the segment, and not for another one. Needs root."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=96k", "tiny", folder], capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"cannot mount a file system here: {done.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_on_a_full_disk_the_log_stays_as_it_was(tiny: Path, shell: LocalShell) -> None:
    disk = Disk(tiny / "etcd")
    disk.wal.parent.mkdir(parents=True)
    writer = log()
    writer.entry(10, 5, b"x" * 50_000)
    disk.wal.write_bytes(writer.content.ljust(SIZE, b"\0"))
    before = disk.wal.read_bytes()
    with pytest.raises(ChangeFailed):
        record_of(disk).do(shell)
    assert disk.wal.read_bytes() == before
    assert [path.name for path in disk.wal.parent.iterdir()] == [FIRST]


def test_until_etcd_runs_the_log_can_be_put_back(disk: Disk, shell: LocalShell) -> None:
    """The peers came back before the force: what one member alone has committed may be nothing that they have."""
    before = disk.wal.read_bytes()
    assert record_of(disk).do(shell)

    def seen() -> Machine:
        conf_of_disk = machine.command("/backup").replace("$(conf ETCD_DATA_DIR)", str(disk.folder))
        return machine.parse(shell.run(conf_of_disk, seconds=30).stdout)

    kept, ran = seen().kept_log, seen().ran_logs
    assert ran == ()
    assert kept.startswith(str(disk.folder / "openshift-backup-requorum-r1/wal" / FIRST))
    stopped = replace(disk.facts, unit=unit(STOPPED), machine=replace(disk.facts.machine, kept_log=kept))
    command, _, why = how_to_start(stopped).partition(" && systemctl start etcd ")
    assert "a recovery had committed its log" in why
    with disk.wal.open("ab") as log_of_etcd:
        log_of_etcd.write(b"it runs")
    assert (seen().kept_log, seen().ran_logs) == ("", ("r1",))
    assert shell.run(command, seconds=10).exit == 0
    assert disk.wal.read_bytes() == before
    assert (seen().kept_log, seen().ran_logs) == ("", ())


def test_of_two_originals_the_first_one_counts(disk: Disk, shell: LocalShell) -> None:
    """`keep_tail` was switched on in the middle of a recovery: two records were appended, two segments kept."""
    before = disk.wal.read_bytes()
    first, aside = record_of(disk), disk.folder / "openshift-backup-requorum-r1/wal"
    assert first.do(shell)
    offset = first.append.offset + len(first.append.record)
    assert first.append.offset < 1000 <= offset + 1000, "as text the longer one comes first"
    second = replace(first, append=replace(first.append, offset=offset + 1000, size=disk.wal.stat().st_size, sha256=""))
    assert second.do(shell)
    assert len(list(aside.glob("*.wal.*"))) == 2
    conf_of_disk = machine.command("/backup").replace("$(conf ETCD_DATA_DIR)", str(disk.folder))
    seen = machine.parse(shell.run(conf_of_disk, seconds=30).stdout)
    assert seen.kept_log == f"{aside}/{FIRST}.{first.append.offset}"
    assert PutLogBack(first.host, first.wal_dir, str(aside)).do(shell)
    assert disk.wal.read_bytes() == before
    assert not aside.exists()


def test_interrupted_and_made_again(disk: Disk, shell: LocalShell) -> None:
    """Killed after each of its commands: made again, it ends as if it had not been."""
    change = record_of(disk)
    before = disk.wal.read_bytes()
    script = change.script()
    for command in ("cp -a", "truncate -s", "dd of=", "ln ", "mv -fT", 'mv -fT "$new"'):
        assert f"{command}" in script
        killed = script.replace(command, f"kill -9 $$; {command}", 1)
        assert shell.run(f"bash -c {shlex.quote(killed)}", seconds=30).exit == 137
        assert disk.wal.read_bytes() == before, command
    assert change.do(shell)
    assert disk.read().commit == 9
    [kept] = (disk.folder / "openshift-backup-requorum-r1/wal").glob("*.wal.*")
    assert kept.read_bytes() == before


def test_the_words_of_the_loss() -> None:
    [one] = candidates([facts(0, data=replace(data(0, commit=98), leader_lost=1764062000.0))], keep_tail=True)
    assert loss_of(one) == (
        "nothing that the valid log of etcd-0.example.com holds: every acknowledged write in it is kept; what only "
        "lost members held is unknown (etcd-0.example.com lost its leader at 2025-11-25 09:13:20 UTC)"
    )
    assert "writes that clients saw time out, or that a lost majority overwrote, may appear" in tail_of(one)
    [other] = candidates([facts(0, data=data(0))], keep_tail=False)
    assert "because of `keep_tail: false`: 1 log entries" in loss_of(other)
    assert "when etcd-0.example.com last heard of its leader is not known" in loss_of(other)

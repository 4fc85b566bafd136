"""Which data must not become the new cluster. Rows of docs/hazards.md, *Survivor*."""

from __future__ import annotations

import base64
import gzip
import re
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hazards import (
    LATER,
    LOST,
    assert_never_forced,
    empty,
    naming_survivor,
    recovers,
    refused,
    remove_member,
    stale_runs,
    start,
    stop,
    whole,
    write_conf,
)
from runbook_runs import assert_told, assert_whole, broken, declared_lost, left_behind, run, written

from lab import Lab, wait, writer
from requorum.facts.protobuf import parse
from requorum.facts.wal import ENTRY

Labs = Callable[..., Lab]
full = pytest.mark.full


@full
def test_the_freshest_is_stopped_and_a_stale_one_runs(labs: Labs) -> None:
    lab5 = labs(members=5)
    writes = stale_runs(lab5)
    says = [
        "candidate etcd-4.example.com",
        "candidate etcd-0.example.com",
        "the survivor is etcd-0.example.com: no candidate holds more",
    ]
    recovers(lab5, writes, says)


@full
def test_the_inventory_names_a_stale_one(labs: Labs, tmp_path: Path) -> None:
    lab5 = labs(members=5)
    stale_runs(lab5)
    says = [f"it lacks {LATER} revisions", "etcd-0.example.com holds more", "accept_loss: true", "survivor: auto"]
    done = refused(lab5, "unproven", says, inventory=naming_survivor(lab5, tmp_path / "i.yaml", "etcd-4"))
    entries = re.search(r"and (\d+) log entries of etcd-0\.example\.com", done.output)
    assert entries, done.output
    assert int(entries[1]) >= LATER


@full
def test_the_loss_with_a_stale_one_is_accepted(labs: Labs, tmp_path: Path) -> None:
    """The word is in the inventory: the recovery goes on, and loses what it said, no more."""
    lab5 = labs(members=5)
    writes = stale_runs(lab5)[:-LATER]
    done = run(lab5, inventory=naming_survivor(lab5, tmp_path / "i.yaml", "etcd-4", "  accept_loss: true\n"))
    says = [f"it lacks {LATER} revisions", "accept", "5 of 5 members"]
    assert_told(done, exit=0, outcome="recovered", verdict="lost", says=says)
    assert_whole(lab5, writes)
    assert len(writer.read_all(lab5, "etcd-4")) == len(writes)


def _file(lab: Lab, kind: str) -> str:
    """A file of etcd-0's data: `db`, or the newest segment of its `log`."""
    member = f"{lab.record.spec.data_dir}/member"
    return f"{member}/snap/db" if kind == "db" else lab.run("etcd-0", f"ls {member}/wal/*.wal").stdout.split()[-1]


def _stop_all(lab: Lab) -> None:
    """The emptied hosts first: they would found a cluster of their own."""
    stop(lab, LOST)
    stop(lab, ["etcd-0"])


def _change(lab: Lab, kind: str, change: Callable[[bytes], bytes]) -> None:
    """Stop etcd everywhere, and change a file of etcd-0's data."""
    _stop_all(lab)
    path = _file(lab, kind)
    old = gzip.decompress(base64.b64decode(lab.run("etcd-0", f"gzip -1c {path} | base64 -w0").stdout))
    new = base64.b64encode(gzip.compress(change(old), 1)).decode()
    lab.run("etcd-0", f"base64 -d | gzip -d > {path}", stdin=new)


def _frames(log: bytes) -> Iterator[tuple[int, int, int]]:
    """Begin, end and type of each record of a segment (etcd's wal/encoder.go)."""
    at = 0
    while at + 8 <= len(log) and (size := struct.unpack_from("<Q", log, at)[0]):
        length = size & ((1 << 56) - 1)
        end = at + 8 + length + (size >> 56 & 7)
        yield at, end, parse(log[at + 8 : at + 8 + length]).number(1)
        at = end


def _cut_behind_entry(log: bytes, number: int) -> bytes:
    """The segment without what follows one of its entries, counted from the end: 1 is the last."""
    ends = [end for _, end, kind in _frames(log) if kind == ENTRY]
    return log[: ends[-number]] + bytes(len(log) - ends[-number])


def _flipped(log: bytes) -> bytes:
    """One bit of a record in the middle is another."""
    frames = list(_frames(log))
    at = frames[len(frames) // 2][0] + 20
    return log[:at] + bytes([log[at] ^ 1]) + log[at + 1 :]


AHEAD = "its database (member/snap/db) is ahead of its log: expected entry "

DAMAGES: dict[str, tuple[str, Callable[[bytes], bytes], list[str]]] = {
    "corrupt-database": (
        "db",
        lambda db: bytes(8192) + db[8192:],
        ["the database cannot be read: expected a bbolt meta page, found none"],
    ),
    "truncated-database": (
        "db",
        lambda db: db[: len(db) // 2],
        ["the database cannot be read: expected page ", ", found the end of the file"],
    ),
    "corrupt-log": (
        "log",
        _flipped,
        [".wal: at byte ", ": expected a whole record, found a record with the checksum "],
    ),
    "truncated-log": ("log", lambda log: log[:4096], [AHEAD]),
    "database-ahead-of-log": ("log", lambda log: _cut_behind_entry(log, 20), [AHEAD]),
}
"""What is wrong with the only data there is. Name → file, what becomes of it, what is said of it."""

QUICK_DAMAGES = ("corrupt-database", "corrupt-log", "database-ahead-of-log")


@pytest.mark.parametrize("damage", [d if d in QUICK_DAMAGES else pytest.param(d, marks=full) for d in DAMAGES])
def test_the_only_data_is_damaged(lab3: Lab, damage: str) -> None:
    kind, change, says = DAMAGES[damage]
    broken(lab3, LOST, "destroyed")
    _change(lab3, kind, change)
    refused(lab3, "unproven", ["etcd-0.example.com", *says])


@pytest.mark.parametrize("damage", ["corrupt-database", pytest.param("database-ahead-of-log", marks=full)])
def test_one_of_three_is_damaged(lab3: Lab, tmp_path: Path, damage: str) -> None:
    """It is no member to be started. Beside a quorum the operator's word has it taken in anew."""
    kind, change, says = DAMAGES[damage]
    writes = whole(lab3)
    _change(lab3, kind, change)
    refused(lab3, "restartable", ["etcd-1.example.com: systemctl start etcd", "do not start etcd on this data", *says])
    start(lab3, LOST)
    lab3.wait_healthy(LOST)
    refused(lab3, "degraded", ["do not start etcd on this data", "etcd-0.example.com: {…, lost: true}", *says])
    done = run(lab3, inventory=declared_lost(lab3, ["etcd-0"], tmp_path / "i.yaml"))
    assert_told(done, exit=0, outcome="recovered", verdict="degraded", says=["3 of 3 members"])
    assert_never_forced(done)
    assert_whole(lab3, writes)
    assert left_behind(lab3) == []


@full
def test_the_database_is_ahead_of_the_commit_index(lab3: Lab) -> None:
    """After a power loss it can be: the last commit-only records were not synced. Every write is kept."""
    writes = broken(lab3, LOST, "destroyed")
    _change(lab3, "log", lambda log: _cut_behind_entry(log, 1))
    done = run(lab3)
    assert_told(done, exit=0, outcome="recovered", verdict="lost", says=["3 of 3 members"])
    ahead = re.search(r"is ahead of its commit index on disk \((\d+) to (\d+)\)", done.output)
    assert ahead, done.output
    assert int(ahead[1]) > int(ahead[2])
    assert_whole(lab3, writes)


def test_a_database_without_a_log(lab3: Lab) -> None:
    """A snapshot that was put where the data was: it may be restored, not forced."""
    broken(lab3, LOST, "destroyed")
    _stop_all(lab3)
    lab3.run("etcd-0", f"mv {lab3.record.spec.data_dir}/member/wal /root/")
    says = ["etcd-0.example.com: its data is without a log", "restore the cluster from a snapshot"]
    refused(lab3, "unproven", says)


def _add_learner(lab: Lab) -> None:
    """etcd-2 is a learner that has caught up; etcd-0 and etcd-1 vote."""
    remove_member(lab, "etcd-2")
    empty(lab, ["etcd-2"])
    where = lab.host("etcd-2")
    words = ("member", "add", where.etcd_name, f"--peer-urls={where.peer_url}", "--learner")

    def added() -> bool:
        """After a removal etcd may refuse for some seconds, or have no leader; and an add that timed out may be made."""
        done = lab.etcdctl("etcd-0", *words, check=False).returncode == 0
        return done or where.peer_url in lab.etcdctl("etcd-0", "member", "list", check=False).stdout

    wait.until(added, "a learner is added", 30)
    write_conf(lab, "etcd-2", "ETCD_INITIAL_CLUSTER_STATE", "existing")
    start(lab, ["etcd-2"])

    def level() -> bool:
        client = lab.client("etcd-0")
        try:
            wanted = str(client.revision())
        finally:
            client.close()
        return f'"revision":{wanted},' in lab.etcdctl("etcd-2", "endpoint", "status", "-w", "json", check=False).stdout

    wait.until(level, "the learner has caught up", 30)


def test_only_a_learner_has_data(lab3: Lab) -> None:
    whole(lab3)
    _add_learner(lab3)
    stop(lab3, ["etcd-2"])
    empty(lab3, ["etcd-0", "etcd-1"])
    says = ["etcd-2.example.com cannot be the survivor: it is a learner", "restore from a snapshot"]
    refused(lab3, "unproven", says)


@full
def test_a_learner_outlives_the_force(lab3: Lab) -> None:
    """Beside it no other can be added: it is removed, and joins anew.

    A forced start removes the learners that its log names, and keeps those that its Raft snapshot has.
    """
    writes = whole(lab3)
    for host in lab3.hosts:
        lab3.run(host, "echo ETCD_SNAPSHOT_COUNT=50 >> /etc/etcd/etcd.conf; systemctl restart etcd")
        lab3.wait_healthy()
    _add_learner(lab3)
    writes += written(lab3, 100, ["etcd-0", "etcd-1"])
    empty(lab3, ["etcd-1"])
    done = run(lab3)
    assert_told(done, exit=0, outcome="recovered", verdict="lost", says=["3 of 3 members"])
    assert "etcdctl member remove" in done.journal.read_text(encoding="utf-8"), "of the learner"
    assert_whole(lab3, writes)
    assert left_behind(lab3) == []


def test_only_a_removed_member_has_data(lab3: Lab) -> None:
    whole(lab3)
    remove_member(lab3, "etcd-2")
    show = "systemctl show --property=ActiveState --value etcd"
    wait.until(lambda: lab3.run("etcd-2", show).stdout.strip() == "inactive", "etcd-2 has ended", 30)
    empty(lab3, ["etcd-0", "etcd-1"])
    says = ["etcd-2.example.com cannot be the survivor: it is not in its own member list (it was removed)"]
    refused(lab3, "unproven", [*says, "restore from a snapshot"])

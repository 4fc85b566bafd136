"""A member's log and database together."""

from __future__ import annotations

from dataclasses import replace

import pytest
from samples import VERSIONS, Sample
from wal_writer import FIRST, Writer

from requorum.facts.bolt import Db, DbMember, read_image
from requorum.facts.data_dir import DataDir, judge, unreadable
from requorum.facts.data_error import DataError
from requorum.facts.snap_file import ConfState
from requorum.facts.wal import Log, LogEnd
from requorum.facts.wal_changes import ConfChange, Kind

ONE = DbMember(1, "one", ("http://one:2380",), ("http://one:2379",), False)
TWO = DbMember(2, "two", ("http://two:2380",), (), True)
LOG = Log(
    node_id=1, cluster_id=5, term=3, vote=1, commit=20, commit_term=3, first_index=1, last_index=25, last_term=3,
    torn=False, stale=False, snapshot_index=0, snapshot_term=0, conf_changes=(), needs_more=False, end=LogEnd("", 0, 0, 0),
)  # fmt: skip
DB = Db(
    page_size=4096, txid=9, consistent_index=10, term=None, revision=7, compact_revision=0, members=(ONE, TWO),
    removed=(), learners=None, auth_enabled=False, cluster_version="3.4.0", alarms=(),
)  # fmt: skip


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("member", ["m0", "m1", "m2"])
def test_members_are_as_etcd_lists_them(version: str, member: str) -> None:
    sample = Sample(version)
    data = judge(sample.segments(member), read_image(sample.db(member)))
    assert data.error == ""
    assert data.unseen == 0
    found = {m.id: (list(m.peer_urls), m.is_learner) for m in data.members}
    assert found == {m["ID"]: (m["peerURLs"], m.get("isLearner", False)) for m in sample.said["list"]["members"]}
    status = sample.said["members"][member]["status"]
    assert data.node_id == status["header"]["member_id"]
    assert data.cluster_id == status["header"]["cluster_id"]
    assert data.revision == status["header"]["revision"]
    assert data.last is not None
    assert data.last >= (status["raftTerm"], status["raftIndex"])
    assert data.has_wal
    assert not data.empty
    assert f"{data.node_id:x}" in data.words


@pytest.mark.parametrize("version", VERSIONS)
def test_removed_member_is_not_in_its_own_list_once_it_knows(version: str) -> None:
    sample = Sample(version)
    data = judge(sample.segments("m3"), read_image(sample.db("m3")))
    assert data.error == ""
    assert data.node_id not in {m["ID"] for m in sample.said["list"]["members"]}


REMOVED = replace(DB, members=(ONE,), removed=(2,))


@pytest.mark.parametrize(
    ("changes", "half"),
    [
        pytest.param([("add", 3)], (2,), id="the log lost the removal"),
        pytest.param([("add", 3), ("remove", 21)], (2,), id="not committed"),
        pytest.param([("remove", 21)], (2,), id="not committed, added long ago"),
        pytest.param([("add", 3), ("remove", 20)], (), id="committed"),
        pytest.param([("add", 3), ("promote", 4), ("remove", 20)], (), id="a learner once"),
        pytest.param([("add", 21)], (), id="an addition that is not committed"),
        pytest.param([], (), id="removed long ago"),
    ],
)
def test_a_removal_is_half_done_until_the_log_holds_it(changes: list[tuple[Kind, int]], half: tuple[int, ...]) -> None:
    """LOG is committed up to 20."""
    log = replace(LOG, conf_changes=tuple(ConfChange(index, kind, 2, "two", ()) for kind, index in changes))
    assert DataDir(log, REMOVED, "").half_removed == half
    assert DataDir(log, DB, "").half_removed == ()
    assert DataDir(log, replace(DB, removed=(2,)), "").half_removed == ()  # removed before a restore


def changed(*changes: ConfChange, db: Db = DB) -> dict[int, DbMember]:
    return {m.id: m for m in DataDir(replace(LOG, conf_changes=changes), db, "").members}


def test_changes_that_are_committed_count() -> None:
    three = ConfChange(11, "add-learner", 3, "", ("http://three:2380",))
    alone = replace(DB, members=(ONE,))
    assert changed(three, db=alone)[3] == DbMember(3, "", ("http://three:2380",), (), True)
    assert 3 not in changed(replace(three, index=21), db=alone)
    assert changed(ConfChange(12, "promote", 2, "", ()))[2] == replace(TWO, is_learner=False)
    assert changed(ConfChange(12, "update", 1, "", ("http://new:2380",)))[1].peer_urls == ("http://new:2380",)
    assert set(changed(ConfChange(12, "remove", 2, "", ()))) == {1}
    assert changed(ConfChange(12, "promote", 9, "", ())) == {1: ONE, 2: TWO}
    # The database is ahead of the commit index: what it holds was committed.
    assert 2 not in changed(ConfChange(30, "remove", 2, "", ()), db=replace(DB, consistent_index=30))


def test_database_ahead_of_the_log_is_not_set_back() -> None:
    added = ConfChange(11, "add-learner", 2, "", ("http://two:2380",))
    promoted = replace(DB, members=(ONE, replace(TWO, is_learner=False)))
    assert changed(added, db=promoted)[2].is_learner is False
    removed = replace(DB, members=(ONE,), removed=(2,))
    assert set(changed(added, db=removed)) == {1}


def test_rafts_own_learners_win() -> None:
    """3.5.16 leaves a promoted member a learner in the database."""
    assert [m.is_learner for m in DataDir(LOG, replace(DB, learners=()), "").members] == [False, False]
    assert [m.is_learner for m in DataDir(LOG, replace(DB, learners=(2,)), "").members] == [False, True]


def test_entries_that_were_not_seen() -> None:
    assert DataDir(replace(LOG, first_index=11), DB, "").unseen == 0
    assert DataDir(replace(LOG, first_index=15), DB, "").unseen == 4
    assert DataDir(replace(LOG, first_index=15, snapshot_index=14), DB, "").unseen == 0
    assert DataDir(None, DB, "").unseen == 0


def test_nothing_there() -> None:
    data = judge([], None)
    assert data.empty
    assert data.words == "no data"
    assert (data.node_id, data.last, data.commit, data.revision, data.members) == (None, None, None, None, ())


def test_half_of_it_there() -> None:
    sample = Sample("3.4.23")
    only_db = judge([], read_image(sample.db("m0")))
    assert "expected a write-ahead log" in only_db.error
    assert not only_db.has_wal
    assert len(only_db.members) == 4
    only_log = judge(sample.segments("m0"), None)
    assert "expected a database" in only_log.error
    assert only_log.node_id
    broken = judge(sample.segments("m0"), DataError("expected x, found y"))
    assert broken.error == "the database cannot be read: expected x, found y"
    assert not broken.empty
    [(name, content)] = sample.segments("m0")
    damaged = bytearray(content)
    damaged[5000] ^= 1
    bad_log = judge([(name, bytes(damaged))], read_image(sample.db("m0")))
    assert "write-ahead log cannot be read" in bad_log.error
    assert name in bad_log.error
    assert bad_log.revision
    assert not bad_log.empty


def test_log_that_ends_below_its_commit_index() -> None:
    """A hard state that came with a snapshot, and a crash before the snapshot was recorded (etcd#10219)."""
    writer = Writer()
    writer.entry(1, 1)
    writer.state(3, 50)
    data = judge([(FIRST, writer.content)], DB)
    assert "found 1 as its last entry" in data.error


def test_unreadable() -> None:
    data = unreadable("permission denied")
    assert data.words == data.error == "permission denied"
    assert not data.empty


def test_log_that_needs_more() -> None:
    data = DataDir(replace(LOG, needs_more=True, last_term=0), DB, "")
    assert data.last is None


def test_a_log_that_nothing_was_ever_written_to() -> None:
    """What an emptied host leaves: it founded a cluster, or never got as far."""
    nothing = replace(DB, revision=1, consistent_index=0)
    never = Writer()
    assert judge([(FIRST, never.content + bytes(4096))], nothing).unwritten
    begun = Writer()
    begun.entry(1, 1)
    assert judge([(FIRST, begun.content + bytes(4096))], nothing).unwritten
    assert not judge([(FIRST, begun.content + bytes(4096))], DB).unwritten  # it has held writes
    later = Writer()
    later.entry(9, 1)
    assert not judge([("0000000000000001-0000000000000009.wal", later.content)], nothing).unwritten


PHANTOM = DbMember(7, "two", ("http://two:2380",), (), False)
BEHIND = replace(LOG, first_index=11, snapshot_index=10, snapshot_term=2)
RAFT = ConfState(10, frozenset({1, 2}), frozenset())


def test_a_list_that_contradicts_itself_is_doubtful_where_nothing_tells() -> None:
    twice, both = replace(DB, members=(ONE, TWO, PHANTOM)), replace(DB, removed=(2,))
    assert DataDir(BEHIND, twice, "").doubtful == "lists several members at http://two:2380"
    assert DataDir(BEHIND, both, "").doubtful == "lists 2 as a member, and as removed"
    assert DataDir(BEHIND, DB, "").doubtful == ""
    for db in (twice, both):
        told = DataDir(BEHIND, db, "", raft=RAFT)
        assert (told.doubtful, [m.id for m in told.members]) == ("", [1, 2])
        founders = replace(LOG, conf_changes=tuple(ConfChange(n, "add", n, "", (f"http://{n}",)) for n in (1, 2)))
        assert DataDir(founders, db, "").doubtful == ""
        # Entries between Raft's list and the log were not read.
        assert DataDir(replace(BEHIND, first_index=12), db, "", raft=RAFT).doubtful != ""


def test_raft_s_list_and_the_log_lack_changes_where_the_database_differs() -> None:
    gap = replace(BEHIND, first_index=15)
    assert not DataDir(gap, DB, "", raft=RAFT).lacks_changes
    assert DataDir(gap, replace(DB, members=(ONE, TWO, PHANTOM)), "", raft=RAFT).lacks_changes
    assert not DataDir(BEHIND, replace(DB, members=(ONE, TWO, PHANTOM)), "", raft=RAFT).lacks_changes
    # The same IDs, one of which was removed in an earlier life: older segments tell.
    both = replace(DB, removed=(2,))
    assert DataDir(gap, both, "", raft=RAFT).lacks_changes
    assert not DataDir(BEHIND, both, "", raft=RAFT).lacks_changes
    assert not DataDir(gap, both, "").lacks_changes  # Raft's list is not there: nor would it be beside older ones


def test_a_list_is_old_behind_a_snapshot_that_a_leader_sent() -> None:
    sent = replace(LOG, first_index=None, snapshot_index=25)
    assert DataDir(sent, DB, "").list_is_old
    assert not DataDir(sent, DB, "", raft=replace(RAFT, index=25)).list_is_old
    assert not DataDir(BEHIND, DB, "").list_is_old
    assert DataDir(replace(BEHIND, first_index=15), DB, "").list_is_old

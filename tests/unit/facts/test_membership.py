"""Changes of the membership that are committed, and rejected when etcd applies them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from requorum.facts.bolt import Db, DbMember
from requorum.facts.membership import membership, rejected
from requorum.facts.snap_file import ConfState
from requorum.facts.wal_changes import ConfChange, Kind


def url(n: int) -> tuple[str, ...]:
    return (f"http://10.0.0.{n}:2380",)


def member(n: int, *, learner: bool = False, at: int | None = None) -> DbMember:
    return DbMember(n, f"m{n}", url(n if at is None else at), (), learner)


def change(index: int, kind: Kind, n: int, at: int | None = None) -> ConfChange:
    """A change of the member n, which lives at `at`, by default at n."""
    return ConfChange(index, kind, n, "", () if kind in ("remove", "promote") else url(n if at is None else at))


def database(*members: DbMember, removed: tuple[int, ...] = (), applied: int = 10) -> Db:
    return Db(
        page_size=4096, txid=9, consistent_index=applied, term=None, revision=7, compact_revision=0, members=members,
        removed=removed, learners=None, auth_enabled=False, cluster_version="3.4.0", alarms=(),
    )  # fmt: skip


THREE = database(member(1), member(2), member(3))
LEARNER = database(member(1), member(2), member(3, learner=True))


def found(db: Db | None, *changes: ConfChange, committed: int = 99) -> dict[int, tuple[str, bool]]:
    """URL and whether a learner, by ID."""
    return {m.id: (m.peer_urls[0], m.is_learner) for m in membership(db, changes, committed).values()}


@pytest.mark.parametrize("index", [9, 20], ids=["below the database", "above it"])
@pytest.mark.parametrize(
    ("db", "rejected"),
    [
        pytest.param(THREE, change(0, "add", 4, at=2), id="ErrPeerURLexists"),
        pytest.param(THREE, change(0, "add-learner", 4, at=2), id="ErrPeerURLexists, a learner"),
        pytest.param(THREE, change(0, "update", 2, at=3), id="ErrPeerURLexists, an update"),
        pytest.param(THREE, change(0, "add", 2, at=5), id="ErrIDExists"),
        pytest.param(LEARNER, change(0, "add", 3, at=5), id="ErrIDExists, a learner"),
        pytest.param(replace(THREE, removed=(4,)), change(0, "add", 4), id="ErrIDRemoved"),
        pytest.param(LEARNER, change(0, "add-learner", 4), id="ErrTooManyLearners"),
        pytest.param(THREE, change(0, "promote", 4), id="ErrIDNotFound, promoted"),
        pytest.param(THREE, change(0, "update", 4), id="ErrIDNotFound, updated"),
        pytest.param(THREE, change(0, "remove", 4), id="ErrIDNotFound, removed"),
        pytest.param(THREE, change(0, "promote", 3), id="ErrMemberNotLearner"),
    ],
)
def test_what_etcd_rejects_changes_nothing(db: Db, rejected: ConfChange, index: int) -> None:
    assert found(db, replace(rejected, index=index)) == found(db)


def test_what_is_valid_after_a_change_before_it() -> None:
    """The rules are asked in the order of the log."""
    assert found(THREE, change(20, "remove", 3), change(21, "add", 4, at=3))[4] == (*url(3), False)
    assert found(THREE, change(20, "update", 3, at=5), change(21, "add", 4, at=3))[4] == (*url(3), False)
    assert 4 not in found(THREE, change(20, "add", 4, at=3), change(21, "remove", 3))
    second = found(LEARNER, change(20, "promote", 3), change(21, "add-learner", 4))
    assert (second[3], second[4]) == ((*url(3), False), (*url(4), True))
    assert 3 not in found(THREE, change(20, "remove", 3), change(21, "add", 3))
    assert 5 not in found(THREE, change(20, "add-learner", 4), change(21, "add-learner", 5))


def test_an_addition_that_the_database_has_applied_and_does_not_hold_was_rejected() -> None:
    """The URL was another member's, who has gone since."""
    gone = database(member(1), member(2), removed=(3,))
    assert set(found(gone, change(8, "add", 4, at=3), change(9, "remove", 3))) == {1, 2}
    moved = database(member(1), member(2), member(3, at=5))
    assert set(found(moved, change(8, "add", 4, at=3), change(9, "update", 3, at=5))) == {1, 2, 3}


def test_the_database_shows_a_later_change_than_its_index() -> None:
    """Before 3.5 a change of the membership does not move the consistent index, here 10."""
    rejected, removal = change(20, "add", 4, at=3), change(21, "remove", 3)
    gone = database(member(1), member(2), removed=(3,))
    assert set(found(gone, rejected, removal)) == {1, 2}
    assert set(found(gone, rejected, removal, committed=20)) == {1, 2}
    replaced = database(member(1), member(2), member(5, at=3), removed=(3,))
    assert set(found(replaced, rejected, removal, change(22, "add", 5, at=3))) == {1, 2, 5}
    # One that comes again shows nothing: it is rejected.
    assert set(found(gone, change(9, "remove", 3), change(20, "add", 6), change(21, "remove", 3))) == {1, 2, 6}


def test_a_promotion_and_an_update_that_did_not_reach_the_database() -> None:
    """3.5.16."""
    assert found(LEARNER, change(9, "promote", 3))[3] == (*url(3), False)
    assert found(THREE, change(9, "update", 3, at=5))[3] == (*url(5), False)


def test_where_the_log_begins_with_its_founders_nobody_else_is_a_member() -> None:
    """Up to 3.4 a restored database lists the old members, and who was removed then; test_restored.py has real ones."""
    founders = (change(1, "add", 1), change(2, "add", 2), change(3, "add", 3))
    later = change(9, "add", 4, at=3)
    assert set(found(database(), *founders)) == {1, 2, 3}
    assert set(found(database(member(1)), *founders, later)) == {1, 2, 3}
    assert set(found(None, *founders, later, change(11, "add", 5))) == {1, 2, 3, 5}
    old = database(member(1), member(7, at=1), member(8, at=4), removed=(2, 9))
    assert set(found(old, *founders)) == {1, 2, 3}
    # A phantom takes no URL away, and one that was removed in an earlier life can be removed again.
    assert set(found(old, *founders, change(20, "add", 4))) == {1, 2, 3, 4}
    again = database(member(1), member(2), member(7, at=1), removed=(2, 9))
    assert set(found(again, *founders, change(20, "remove", 2))) == {1, 3}
    assert set(found(again, *founders, change(20, "remove", 2), committed=19)) == {1, 2, 3}
    # What the database says of a founder's URLs may be from before, too.
    assert found(database(member(1, at=5)), *founders)[1] == (*url(1), False)
    # Without them a log does not begin: it was decided.
    assert set(found(database(), change(2, "add", 2))) == set()


RAFT = ConfState(50, frozenset({1, 2}), frozenset({3}))


def test_behind_a_snapshot_raft_s_own_list_says_who_is_a_member() -> None:
    db = database(member(1), member(2), member(7, at=2), removed=(2, 9), applied=90)

    def those(*changes: ConfChange, db: Db = db) -> dict[int, bool]:
        return {m.id: m.is_learner for m in membership(db, changes, 99, RAFT).values()}

    assert those() == {1: False, 2: False, 3: True}
    assert those(change(50, "add", 4), change(49, "remove", 1)) == {1: False, 2: False, 3: True}
    assert those(change(60, "promote", 3), change(95, "add", 4, at=7)) == {1: False, 2: False, 3: False, 4: False}
    assert those(change(60, "add", 4, at=7)) == {1: False, 2: False, 3: True}  # the database has rejected it
    gone = replace(db, members=(member(1),), removed=(2, 3))
    assert those(change(60, "remove", 2), change(61, "remove", 3), db=gone) == {1: False}
    # Half removed by a forced start that did not elect.
    assert those(change(100, "remove", 2), change(101, "remove", 3), db=gone) == {1: False}


def test_an_addition_that_is_rejected() -> None:
    assert rejected(THREE, [change(20, "add", 4, at=2), change(21, "add", 5)]) == {4}
    assert rejected(THREE, [change(20, "add", 4), change(21, "remove", 4)]) == frozenset()
    founders = (change(1, "add", 1), change(2, "add", 2))
    assert rejected(database(member(1), member(2), member(7, at=1)), founders) == {7}
    assert rejected(database(member(1), member(2)), [*founders, change(20, "remove", 2)]) == frozenset()

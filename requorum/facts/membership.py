"""The membership that etcd's applier makes of the database and the log: a change that it rejects is in the log, too.

etcd proposes and commits a change first, and looks whether it is valid when it applies it; Raft is then told of a change
of nobody. Source: etcdserver/server.go (applyConfChange), membership/cluster.go (ValidateConfigurationChange); the same
in 3.3, 3.4 and 3.5.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from requorum.facts.bolt import Db, DbMember
from requorum.facts.snap_file import ConfState
from requorum.facts.wal_changes import ConfChange

MAX_LEARNERS = 1
"""membership/cluster.go, maxLearners, of 3.4 and 3.5; 3.3 has no learners."""

_ADDS = ("add", "add-learner")


def membership(
    db: Db | None, changes: Sequence[ConfChange], committed: int, raft: ConfState | None = None
) -> dict[int, DbMember]:
    """The members by ID: the database's, and the changes in the log up to the entry `committed` laid over it.

    A change may be in both. An addition that the database has applied, and does not hold, was rejected; above that,
    etcd's rules decide. Promotions and updates are laid over the database anyway: with 3.5.16 they did not reach it
    (see `Db`). `raft` is Raft's own list at some entry above which no change is missing here.

    Where Raft's list is known, from the log's first entry on or from `raft`, nobody else is a member: of a database that
    `etcdctl snapshot restore` up to 3.4 made, the old cluster's members and removals are never taken out (saveDB empties
    the key space `members`, not the bucket; seen with 3.3.25 and 3.4.23).
    """
    founders = frozenset() if raft else founders_of(changes)
    later = [change for change in changes if raft is None or change.index > raft.index]
    found = _listed(db)
    removed = _gone(db)
    decided = _decided(db, later)
    if raft or founders:
        known = {change.node_id for change in later if change.kind in _ADDS} | (raft.ids if raft else set())
        found = {id_: member for id_, member in found.items() if id_ in known}
        removed &= {change.node_id for change in later if change.kind == "remove"}
    if raft:
        found |= {id_: _of_raft(id_, found.get(id_), raft) for id_ in raft.ids - removed}
    for change in later:
        if change.index > committed:
            break
        if change.node_id in removed:  # ErrIDRemoved, or the database is ahead
            continue
        if change.index in founders:
            found[change.node_id] = _founder(change, found.get(change.node_id), later)
        elif change.kind in _ADDS:
            if change.index > decided and _may_be_added(found, change):
                found.setdefault(change.node_id, _added(change))
        elif change.node_id not in found:  # ErrIDNotFound
            continue
        elif change.kind == "remove":
            del found[change.node_id]
            removed.add(change.node_id)
        elif change.kind == "promote":  # ErrMemberNotLearner changes nothing here
            found[change.node_id] = replace(found[change.node_id], is_learner=False)
        elif _urls_are_free(found, change):
            found[change.node_id] = replace(found[change.node_id], peer_urls=change.peer_urls)
    return found


def rejected(db: Db | None, changes: Sequence[ConfChange], raft: ConfState | None = None) -> frozenset[int]:
    """Who is none of the members, though nobody has removed it: etcd rejected its addition, or it is of an earlier life."""
    added = {change.node_id for change in changes if change.kind in _ADDS} | {m.id for m in (db.members if db else ())}
    removed = {change.node_id for change in changes if change.kind == "remove"}
    last = max((change.index for change in changes), default=0)
    return frozenset(added - removed - membership(db, changes, last, raft).keys())


def _gone(db: Db | None) -> set[int]:
    """The removed members. One that is listed, too, was removed in an earlier life of the cluster.

    A founder's ID is a hash of its URLs and the cluster's token, and a restore under the same ones gives it again.
    """
    return set(db.removed) - {m.id for m in db.members} if db else set()


def _of_raft(id_: int, listed: DbMember | None, raft: ConfState) -> DbMember:
    """A member that Raft has. The database of a restored cluster may lack one that has never run since."""
    return replace(listed or DbMember(id_, f"{id_:x}", (), (), False), is_learner=id_ in raft.learners)


def _founder(change: ConfChange, listed: DbMember | None, changes: Iterable[ConfChange]) -> DbMember:
    """A member with which the cluster began. What the database has under its ID counts if the log gave it those URLs.

    Otherwise it is of an earlier life. A database can be ahead of the commit index on disk, so an update counts anywhere.
    """
    given = [set(other.peer_urls) for other in changes if other.node_id == change.node_id]
    return replace(listed, is_learner=False) if listed and set(listed.peer_urls) in given else _added(change)


def _listed(db: Db | None) -> dict[int, DbMember]:
    if db is None:
        return {}
    learners = db.learners
    return {m.id: m if learners is None else replace(m, is_learner=m.id in learners) for m in db.members}


def _decided(db: Db | None, changes: Iterable[ConfChange]) -> int:
    """The last entry that the database is known to have applied, as far as a change of the membership can be one.

    Before 3.5 such a change does not move the consistent index (mvcc/kvstore.go, saveIndex: only a write does). But
    entries are applied in their order: where the database shows a change, it has decided on all before it.
    """
    if db is None:
        return 0
    gone = _gone(db)
    known = gone | {m.id for m in db.members}
    first: dict[tuple[bool, int], int] = {}  # one that comes again is rejected, and shows nothing
    for change in changes:
        removes = change.kind == "remove"
        if change.node_id in (gone if removes else known) and (removes or change.kind in _ADDS):
            first.setdefault((removes, change.node_id), change.index)
    return max(db.consistent_index or 0, *first.values(), 0)


def founders_of(changes: Iterable[ConfChange]) -> frozenset[int]:
    """The entries with which a cluster begins (raft's StartNode, `etcdctl snapshot restore`): they are always valid.

    A leader's own empty entry follows them, so no later addition is among them. None where the log does not begin with
    them: then changes are missing before it.
    """
    last = 0
    for change in changes:
        if change.kind != "add" or change.index != last + 1:
            break
        last = change.index
    return frozenset(range(1, last + 1))


def _may_be_added(members: Mapping[int, DbMember], change: ConfChange) -> bool:
    """Not ErrIDExists, ErrPeerURLexists or ErrTooManyLearners."""
    if change.node_id in members or not _urls_are_free(members, change):
        return False
    return change.kind != "add-learner" or sum(m.is_learner for m in members.values()) < MAX_LEARNERS


def _urls_are_free(members: Mapping[int, DbMember], change: ConfChange) -> bool:
    """Not ErrPeerURLexists: no other member has one of the URLs, letter by letter."""
    taken = {url for m in members.values() if m.id != change.node_id for url in m.peer_urls}
    return taken.isdisjoint(change.peer_urls)


def _added(change: ConfChange) -> DbMember:
    return DbMember(change.node_id, change.name, change.peer_urls, (), change.kind == "add-learner")

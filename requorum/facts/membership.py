"""The membership that etcd's applier makes of the database and the log: a change that it rejects is in the log, too.

etcd proposes and commits a change first, and looks whether it is valid when it applies it; Raft is then told of a change
of nobody. Source: etcdserver/server.go (applyConfChange), membership/cluster.go (ValidateConfigurationChange); the same
in 3.3, 3.4 and 3.5.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from requorum.facts.bolt import Db, DbMember
from requorum.facts.wal_changes import ConfChange

MAX_LEARNERS = 1
"""membership/cluster.go, maxLearners, of 3.4 and 3.5; 3.3 has no learners."""

_ADDS = ("add", "add-learner")


def membership(db: Db | None, changes: Sequence[ConfChange], committed: int) -> dict[int, DbMember]:
    """The members by ID: the database's, and the changes in the log up to the entry `committed` laid over it.

    A change may be in both. An addition that the database has applied, and does not hold, was rejected; above that,
    etcd's rules decide. Promotions and updates are laid over the database anyway: with 3.5.16 they did not reach it
    (see `Db`).
    """
    found = _listed(db)
    removed = set(db.removed) if db else set()
    decided = _decided(db, changes)
    founders = _founders(changes)
    for change in changes:
        if change.index > committed:
            break
        if change.node_id in removed:  # ErrIDRemoved, or the database is ahead
            continue
        if change.kind in _ADDS:
            # etcdctl before 3.5 restores a snapshot to a database that lists nobody, until each one has published itself.
            if change.index in founders or (change.index > decided and _may_be_added(found, change)):
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
    gone = set(db.removed)
    known = gone | {m.id for m in db.members}
    first: dict[tuple[bool, int], int] = {}  # one that comes again is rejected, and shows nothing
    for change in changes:
        removes = change.kind == "remove"
        if change.node_id in (gone if removes else known) and (removes or change.kind in _ADDS):
            first.setdefault((removes, change.node_id), change.index)
    return max(db.consistent_index or 0, *first.values(), 0)


def _founders(changes: Iterable[ConfChange]) -> frozenset[int]:
    """The entries with which a cluster begins (raft's StartNode, `etcdctl snapshot restore`): they are always valid.

    A leader's own empty entry follows them, so no later addition is among them.
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

"""What a member's data directory says of the member, without etcd: its log and its database together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from requorum.facts.bolt import Db, DbMember
from requorum.facts.data_error import DataError
from requorum.facts.founding import Witness
from requorum.facts.membership import founders_of, membership, rejected
from requorum.facts.snap_file import ConfState
from requorum.facts.tail import Tail, read_tail
from requorum.facts.wal import Log, read_entries
from requorum.facts.wal_changes import ConfChange
from requorum.facts.wal_layout import Content


@dataclass(frozen=True, slots=True)
class DataDir:
    """A member's data. `error` says why it cannot be judged, for a reader; it is empty where it can.

    `unread`: it did not come from the host (a slow line, a hanging disk); so it is known to be neither damaged nor gone.
    `unwritten`: nothing was ever written to the cluster of this log. An emptied host makes such data when it starts,
    under the IDs that it had before; so it is worth nothing where another member holds more. `samples`: term and
    checksum of some entries, by index: the same in every log of one cluster, as far as they are committed. `tail` is
    None where log or database could not be read; `leader_lost` is when the member lost its leader, in seconds since
    1970, None where that is not known. `raft` is Raft's own member list in its newest snapshot, read where the log does not
    begin with the cluster's founders.
    """

    log: Log | None
    db: Db | None
    error: str
    unwritten: bool = False
    samples: Mapping[int, tuple[int, int]] = field(default_factory=dict)
    tail: Tail | None = None
    leader_lost: float | None = None
    unread: bool = False
    raft: ConfState | None = None

    @property
    def has_wal(self) -> bool:
        """There is a write-ahead log that can be read; without one a data directory is worth nothing."""
        return self.log is not None

    @property
    def empty(self) -> bool:
        """Nothing is there, and nothing failed to be read."""
        return self.log is None and self.db is None and not self.error

    @property
    def node_id(self) -> int | None:
        """The member's ID, from the log: it says whose data this is, whatever etcd.conf says."""
        return self.log.node_id if self.log else None

    @property
    def cluster_id(self) -> int | None:
        """The cluster's ID, from the log. An emptied host that started by itself can have the same one."""
        return self.log.cluster_id if self.log else None

    @property
    def last(self) -> tuple[int, int] | None:
        """Term and index of the last log entry: Raft's own order among logs."""
        return (self.log.last_term, self.log.last_index) if self.log and not self.log.needs_more else None

    @property
    def before_force(self) -> tuple[int, int] | None:
        """Term and index of the last entry that a forced start has kept, where it did not elect.

        It cuts the log at its commit index. The removals that it appends there have the term of its hard state, which
        every vote in vain has raised, and no leader has written them: they are worth nothing beside another log.
        """
        return (self.log.commit_term, self.log.commit) if self.log and self.log.commit_term is not None else None

    @property
    def settled(self) -> int:
        """The last log entry that is known to be committed: by the commit index on disk, or because the database holds it.

        etcd does not sync a record that only moves the commit index: after a power loss the database can be ahead.
        """
        return max(self.commit or 0, self.consistent_index or 0)

    @property
    def end_of_tail(self) -> int:
        """The last log entry that can be kept: a forced etcd panics on one that removes the member itself."""
        if self.log is None:
            return 0
        removals = [
            c.index
            for c in self.log.conf_changes
            if c.kind == "remove" and c.node_id == self.log.node_id and c.index > self.settled
        ]
        return max(self.settled, min(removals, default=self.log.last_index + 1) - 1)

    @property
    def has_tail(self) -> bool:
        """There are log entries that a forced start would drop and that are to be kept."""
        return not self.error and self.end_of_tail > (self.commit or 0)

    @property
    def commit(self) -> int | None:
        """The commit index on disk; it lags behind (TAIL.md)."""
        return self.log.commit if self.log else None

    @property
    def consistent_index(self) -> int | None:
        """The last log index that the database holds; it can be ahead of the commit index. 0 if it says none."""
        return (self.db.consistent_index or 0) if self.db else None

    @property
    def revision(self) -> int | None:
        """The revision of the database. The log may hold newer ones."""
        return self.db.revision if self.db else None

    @property
    def members(self) -> tuple[DbMember, ...]:
        """The membership as far as it is committed, by name: the database's, and the changes in the log laid over it.

        A change that etcd rejected when it applied it does not count (see `membership`). While `unseen` is not 0, a
        change may be missing. Names and client URLs are only as good as the database's (see `Db`).
        """
        found = membership(self.db, self._changes, self.settled, self._base)
        return tuple(sorted(found.values(), key=lambda member: member.name))

    @property
    def members_to_be(self) -> tuple[DbMember, ...]:
        """The membership with every change that the log holds, committed or not, as far as etcd would apply it."""
        if self.log is None:
            return self.members
        return replace(self, log=replace(self.log, commit=max(self.log.commit, self.log.last_index))).members

    @property
    def rejected(self) -> frozenset[int]:
        """Who is listed, or added in the log, and is none of `members_to_be`, though nobody has removed it: see `rejected`."""
        return rejected(self.db, self._changes, self._base)

    @property
    def begins_at_founders(self) -> bool:
        """The log holds every change of the membership that there ever was in it."""
        return bool(founders_of(self._changes))

    @property
    def lacks_changes(self) -> bool:
        """Changes may be missing between Raft's own list and the log as it was read, and the database cannot stand in for them.

        It differs from Raft's list, or contradicts itself.
        """
        if self.raft is None or self.db is None or self._base is not None:
            return False
        return {m.id for m in self.db.members} != self.raft.ids or bool(self.doubtful)

    @property
    def list_is_old(self) -> bool:
        """The database is of before a snapshot that a leader sent, or of before entries that were not read."""
        if self._base is not None or self.log is None or self.begins_at_founders:
            return False
        return self.unseen > 0 or self.log.snapshot_index > (self.consistent_index or 0)

    @property
    def doubtful(self) -> str:
        """Why it is not known who is a member, for a reader; empty where it is.

        `etcdctl snapshot restore` up to 3.4 leaves the old cluster's members in the database. The log from its beginning
        tells them from today's, or Raft's own list; without both nothing does, and the list contradicts itself.
        """
        if self.db is None or self._base is not None or self.begins_at_founders:
            return ""
        listed = self.db.members
        urls = [url for m in listed for url in set(m.peer_urls)]
        if twice := sorted({url for url in urls if urls.count(url) > 1}):
            return f"lists several members at {', '.join(twice)}"
        both = sorted(f"{m.id:x}" for m in listed if m.id in self.db.removed)
        return f"lists {', '.join(both)} as a member, and as removed" if both else ""

    @property
    def _changes(self) -> tuple[ConfChange, ...]:
        return self.log.conf_changes if self.log else ()

    @property
    def _base(self) -> ConfState | None:
        """Raft's own list, where the log was read from there on."""
        if self.raft is None or self.log is None or self.begins_at_founders:
            return None
        first = self.log.last_index + 1 if self.log.first_index is None else self.log.first_index
        return self.raft if first <= self.raft.index + 1 else None

    @property
    def half_removed(self) -> tuple[int, ...]:
        """Members that the database no longer lists, and that the log, as far as it is committed, still does.

        A forced start that ends before its election leaves that (killed, a full disk): it has removed the others from
        its database already. etcd goes by its log: started plainly, it waits for their votes.
        """
        if self.log is None or self.db is None:
            return ()
        listed: set[int] = set()
        for change in self.log.conf_changes:
            removes, committed = change.kind == "remove", change.index <= self.log.commit
            if removes != committed:
                listed.add(change.node_id)
            elif removes:
                listed.discard(change.node_id)
        # One that the database lists, too, was removed in an earlier life (see `membership`).
        return tuple(sorted(listed & set(self.db.removed) - {m.id for m in self.db.members}))

    @property
    def unseen(self) -> int:
        """How many log entries between the database and the given segments were not looked at.

        Not 0 where older segments are needed, or where only v2 writes were made: they do not move the consistent index.
        """
        if self.log is None or self.db is None or self.log.first_index is None:
            return 0
        return max(0, self.log.first_index - 1 - max(self.db.consistent_index or 0, self.log.snapshot_index))

    @property
    def words(self) -> str:
        """The values that decide, for a reader."""
        if self.error:
            return self.error
        if self.log is None or self.db is None:
            return "no data"
        torn = ", last record torn" if self.log.torn else ""
        return (
            f"member {self.log.node_id:x} of cluster {self.log.cluster_id:x}: last entry {self.log.last_index} of term "
            f"{self.log.last_term}, commit index {self.log.commit}, consistent index {self.consistent_index}, "
            f"revision {self.db.revision}{torn}"
        )


def judge(segments: Sequence[tuple[str, Content]], db: Db | DataError | None) -> DataDir:
    """The member's data from the newest segments of its log and its database.

    Arguments: name and whole content of the newest segments (none: there is no log); the database as
    `read_db` gave it, or the error that it raised, or None if the file is not there.
    Never raises DataError: `error` says what is wrong, and whatever could be read is there beside it.
    """
    problems: list[str] = []
    log: Log | None = None
    tail: Tail | None = None
    witness = Witness()
    try:
        if segments:
            held = (db.consistent_index or 0) if isinstance(db, Db) else None
            log, entries = read_entries(segments, held, witness.see)
            if held is not None:
                settled = max(log.commit, held)
                tail = read_tail(entries.above(settled), settled, log.last_index, log.conf_changes)
    except DataError as error:
        problems.append(f"the write-ahead log cannot be read: {error}")
    if isinstance(db, DataError):
        problems.append(f"the database cannot be read: {db}")
        db = None
    elif db is None and segments:
        problems.append("expected a database (member/snap/db) beside the write-ahead log, found none")
    if db is not None and not segments:
        problems.append("expected a write-ahead log (member/wal) beside the database, found none")
    if log and log.needs_more:
        problems.append(
            f"expected an entry in the newest {len(segments)} segments of the write-ahead log, found none: "
            "more segments must be read"
        )
    if log and log.commit > log.last_index:
        problems.append(
            f"expected the log to reach its commit index {log.commit}, found {log.last_index} as its last entry: "
            "committed entries are missing, and etcd would panic"
        )
    if log and db and (db.consistent_index or 0) > log.last_index:
        problems.append(
            f"its database (member/snap/db) is ahead of its log: expected entry {db.consistent_index} in member/wal, "
            f"found {log.last_index} as the last; etcd would skip what a leader sends in their place"
        )
    # Known from its first entry on, and nothing in the store: anything else could be a member that lags behind.
    known = log is not None and (log.first_index == 1 or log.last_index == 0)
    fresh = not problems and known and db is not None and db.revision <= 1
    return DataDir(log, db, "; ".join(problems), fresh and not witness.wrote, witness.samples, tail)


def unreadable(reason: str, *, unread: bool = False) -> DataDir:
    """Data that is there and could not be read; `unread`: nothing of it has come."""
    return DataDir(None, None, reason, unread=unread)

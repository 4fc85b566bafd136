"""Which member holds the most: Raft's own order, over what was read from the data directories. Pure.

Source: PROCEDURE.md, stage 1, choice of the survivor; etcd's etcdserver/raft.go (restartAsStandaloneNode).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone

from requorum.facts.host import HostFacts
from requorum.facts.members import Member
from requorum.facts.tail import Tail
from requorum.lineage import half_forced


@dataclass(frozen=True)
class Candidate:
    """A member whose data could become the new cluster. `refusal` says why it must not; empty where it may.

    `settled` is the last log entry that is known to be committed, `kept` the last one that a forced start is to keep.
    `half_forced`: a forced start was begun on it and did not elect; what that has appended counts in none of them.
    """

    name: str
    node_id: int
    cluster_id: int
    members: tuple[Member, ...]
    last: tuple[int, int]
    commit: int
    consistent_index: int
    revision: int
    settled: int
    kept: int
    keep_tail: bool
    half_forced: bool
    tail: Tail | None
    leader_lost: float | None
    refusal: str

    @property
    def rank(self) -> tuple[int, ...]:
        """Raft's rule (term and index of the last entry), then what is known to be committed, then the revision.

        Greater is better. Without its tail a log is worth what is known to be committed.
        """
        if self.keep_tail:
            return (*self.last, self.settled, self.revision)
        return (self.settled, *self.last, self.revision)

    @property
    def words(self) -> str:
        """The values that decide, for a reader."""
        apart = " (without the removals of a forced start that did not elect)" if self.half_forced else ""
        return (
            f"{self.name}: last entry {self.last[1]} of term {self.last[0]}{apart}, commit index {self.commit}, "
            f"consistent index {self.consistent_index}, revision {self.revision}"
        )


def candidates(reached: Sequence[HostFacts], *, keep_tail: bool) -> list[Candidate]:
    """Every host with readable data of a member, best first."""
    found = []
    for facts in reached:
        data, begun = facts.data, half_forced(facts)
        if data is None or data.error or data.log is None or data.db is None:
            continue
        last = data.before_force if begun else data.last
        if last is None:
            continue
        candidate = Candidate(
            name=facts.name,
            node_id=data.log.node_id,
            cluster_id=data.log.cluster_id,
            members=tuple(Member(m.id, m.name, m.peer_urls, m.client_urls, m.is_learner) for m in data.members),
            last=last,
            commit=data.log.commit,
            consistent_index=data.db.consistent_index or 0,
            revision=data.db.revision,
            settled=data.log.commit if begun else data.settled,
            kept=last[1] if begun else data.end_of_tail if keep_tail else data.settled,
            keep_tail=keep_tail,
            half_forced=begun,
            tail=data.tail,
            leader_lost=data.leader_lost,
            refusal="",
        )
        found.append(_refused(candidate, data.log.stale))
    return sorted(found, key=lambda c: c.rank, reverse=True)


def best(able: Sequence[Candidate]) -> Candidate:
    """The one that holds the most; with equals the first of the inventory."""
    return max(able, key=lambda c: c.rank)


def loss_of(survivor: Candidate) -> str:
    """What is known of the loss, in words; what only lost members held is unknown, and never counted."""
    name = survivor.name
    above = survivor.last[1] - survivor.kept
    if not above:
        known = f"nothing that the valid log of {name} holds: every acknowledged write in it is kept"
    elif survivor.keep_tail:
        known = f"{above} log entries of {name}, from one on that removes it from the cluster"
    else:
        tail = survivor.tail.words if survivor.tail else f"{above} log entries"
        known = f"the tail of {name}, because of `keep_tail: false`: {tail}"
    return f"{known}; what only lost members held is unknown ({_contact(survivor)})"


def lacks(chosen: Candidate, top: Candidate) -> str:
    """What is lost with one candidate against the best one, in words. Revisions are those of the databases on disk."""
    revisions, entries = top.revision - chosen.revision, top.last[1] - chosen.last[1]
    return f"it lacks {max(0, revisions)} revisions and {max(0, entries)} log entries of {top.name}"


def _contact(survivor: Candidate) -> str:
    if survivor.leader_lost is None:
        return f"when {survivor.name} last heard of its leader is not known"
    at = datetime.fromtimestamp(survivor.leader_lost, timezone.utc)
    return f"{survivor.name} lost its leader at {at:%Y-%m-%d %H:%M:%S} UTC"


def tail_of(survivor: Candidate) -> tuple[str, ...]:
    """What becomes of the survivor's tail, in words; nothing where it has none."""
    lines = []
    if survivor.settled > survivor.commit:
        lines.append(
            f"the database of {survivor.name} is ahead of its commit index on disk ({survivor.consistent_index} to "
            f"{survivor.commit}): the index is raised to it, or joiners would lack those entries"
        )
    if survivor.tail is not None and survivor.tail.count:
        becomes = "is kept" if survivor.keep_tail else "is discarded (`keep_tail: false`)"
        lines.append(f"the tail of {survivor.name} {becomes}: {survivor.tail.words}")
    if survivor.keep_tail and survivor.kept > survivor.commit:
        lines.append("writes that clients saw time out, or that a lost majority overwrote, may appear")
    return tuple(lines)


def _refused(candidate: Candidate, stale: bool) -> Candidate:
    mine = next((m for m in candidate.members if m.id == candidate.node_id), None)
    if mine is None:
        return replace(candidate, refusal="it is not in its own member list (it was removed); etcd would panic")
    if mine.is_learner:
        return replace(candidate, refusal="it is a learner; etcd would panic")
    if stale:
        return replace(candidate, refusal="its log holds stale entries above a received snapshot")
    if candidate.keep_tail and candidate.tail is not None and candidate.tail.unread:
        why = f"its tail cannot be read ({candidate.tail.unread}); `keep_tail: false` discards it"
        return replace(candidate, refusal=why)
    return candidate

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
    """A member whose data could become the new cluster.

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
    stale: bool
    tail: Tail | None
    leader_lost: float | None

    @property
    def refusal(self) -> str:
        """Why it must not be the survivor; empty where it may."""
        mine = next((m for m in self.members if m.id == self.node_id), None)
        if mine is None:
            return "it is not in its own member list (it was removed); etcd would panic"
        if mine.is_learner:
            return "it is a learner; etcd would panic"
        if self.stale:
            return "its log holds stale entries above a received snapshot"
        if self.keep_tail and self.tail is not None and self.tail.unread:
            return f"its tail cannot be read ({self.tail.unread}); `keep_tail: false` discards it"
        return ""

    @property
    def end(self) -> tuple[int, ...]:
        """Whose is greater holds what the other lacks; with equals neither does: up to one entry all logs are the same.

        Term and index of the last entry, as in Raft. Without its tail a log is worth what is known to be committed.
        """
        return self.last if self.keep_tail else (self.settled,)

    @property
    def rank(self) -> tuple[int, ...]:
        """Who holds the most, then Raft's rule, then what is known to be committed, then the revision. Greater is better."""
        return (*self.end, *self.last, self.settled, self.revision)

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
            stale=data.log.stale,
            tail=data.tail,
            leader_lost=data.leader_lost,
        )
        found.append(candidate)
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
    revisions, entries = top.revision - chosen.revision, top.end[-1] - chosen.end[-1]
    older = f", and its log ends in term {chosen.last[0]}, the other in term {top.last[0]}"
    return (
        f"it lacks {max(0, revisions)} revisions and {max(0, entries)} log entries of {top.name}"
        f"{older if chosen.last[0] < top.last[0] else ''}"
    )


def ways_out(
    chosen: Candidate, able: Sequence[Candidate], ranked: Sequence[Candidate], *, named: bool, given_up: bool
) -> tuple[str, ...]:
    """What the operator can do where one of `ranked` holds more than the one of `able` that would survive.

    `able`: those that may. `named`: the inventory names `chosen`; `given_up`: it says `lost: true` of its host.
    """
    top, most = best(able), best(ranked)
    cut = best([replace(c, keep_tail=False) for c in ranked])
    ways = []
    if most.refusal and cut.name == most.name and not cut.refusal:
        auto = " and `survivor: auto`" * named
        ways.append(
            f"write `keep_tail: false`{auto} below `etcd:` in the inventory: {most.name} is the survivor then, and what "
            f"its log holds above entry {most.settled} is lost"
        )
    if chosen.end < top.end:
        worth = "it holds the most of those that can be forced" if top.end < most.end else "nothing is lost against it"
        ways.append(f"write `survivor: auto` (or {top.name}): {worth}")
    if most.refusal and chosen.revision < most.revision:
        ways.append(
            f"to keep what {most.name} holds, leave its data as it is, and restore the cluster by hand from its "
            f"member/snap/db (revision {most.revision}; etcdctl snapshot restore --skip-hash-check), or ask for help"
        )
    words = "" if named else f"`survivor: {chosen.name}` and "
    back = f", and remove `lost: true` of {chosen.name}" * given_up
    ways.append(
        f"if {chosen.name} is to be taken all the same, write {words}`accept_loss: true` below `etcd:` in the inventory"
        f"{back}: what it lacks is lost then; the data of the others is moved aside, and kept"
    )
    return tuple(ways)


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

"""Which member holds the most: Raft's own order, over what was read from the data directories. Pure.

Source: PROCEDURE.md, stage 1, choice of the survivor; etcd's etcdserver/raft.go (restartAsStandaloneNode).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from requorum.facts.host import HostFacts
from requorum.facts.members import Member


@dataclass(frozen=True)
class Candidate:
    """A member whose data could become the new cluster. `refusal` says why it must not; empty where it may."""

    name: str
    node_id: int
    cluster_id: int
    members: tuple[Member, ...]
    last: tuple[int, int]
    commit: int
    consistent_index: int
    revision: int
    refusal: str

    @property
    def kept(self) -> int:
        """The last log index that a forced start keeps."""
        return max(self.commit, self.consistent_index)

    @property
    def rank(self) -> tuple[int, tuple[int, int], int]:
        """What a forced start keeps, then Raft's rule, then the revision: greater is better."""
        return self.kept, self.last, self.revision

    @property
    def words(self) -> str:
        """The values that decide, for a reader."""
        return (
            f"{self.name}: last entry {self.last[1]} of term {self.last[0]}, commit index {self.commit}, "
            f"consistent index {self.consistent_index}, revision {self.revision}"
        )


def candidates(reached: Sequence[HostFacts]) -> list[Candidate]:
    """Every host with readable data of a member, best first."""
    found = []
    for facts in reached:
        data = facts.data
        if data is None or data.error or data.log is None or data.db is None or data.last is None:
            continue
        candidate = Candidate(
            name=facts.name,
            node_id=data.log.node_id,
            cluster_id=data.log.cluster_id,
            members=tuple(Member(m.id, m.name, m.peer_urls, m.client_urls, m.is_learner) for m in data.members),
            last=data.last,
            commit=data.log.commit,
            consistent_index=data.db.consistent_index or 0,
            revision=data.db.revision,
            refusal="",
        )
        found.append(_refused(candidate, data.log.stale))
    return sorted(found, key=lambda c: c.rank, reverse=True)


def best(able: Sequence[Candidate]) -> Candidate:
    """The one that holds the most; with equals the first of the inventory."""
    return max(able, key=lambda c: c.rank)


def loss_of(survivor: Candidate) -> str:
    """What is known of the loss, in words; what only lost members held is unknown."""
    above = survivor.last[1] - survivor.kept
    known = f"{above} log entries above its commit index" if above > 0 else "nothing that its log holds as committed"
    return f"the forced start discards {known} on {survivor.name}; what only lost members held is unknown"


def _refused(candidate: Candidate, stale: bool) -> Candidate:
    mine = next((m for m in candidate.members if m.id == candidate.node_id), None)
    if mine is None:
        return replace(candidate, refusal="it is not in its own member list (it was removed); etcd would panic")
    if mine.is_learner:
        return replace(candidate, refusal="it is a learner; etcd would panic")
    if stale:
        return replace(candidate, refusal="its log holds stale entries above a received snapshot")
    if candidate.consistent_index > candidate.last[1]:
        return replace(candidate, refusal="its database is ahead of its log")
    return candidate

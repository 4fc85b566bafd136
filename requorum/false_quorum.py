"""Why a quorum that answers is not to be believed, or not to be worked with. Pure; each doubt says what to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from requorum.facts.host import HostFacts
from requorum.facts.members import MemberList


@dataclass(frozen=True)
class Doubt:
    """What was found, and what to do."""

    proof: tuple[str, ...]
    advice: tuple[str, ...]


def doubt(anchor: HostFacts, listed: MemberList, reached: Sequence[HostFacts]) -> Doubt | None:
    """What speaks against the cluster that `anchor` answers for; None where nothing does."""
    return _another_cluster(listed, reached) or _knows_less(anchor, listed, reached)


def _another_cluster(listed: MemberList, reached: Sequence[HostFacts]) -> Doubt | None:
    strange = [
        f"{f.name} holds data of cluster {f.data.cluster_id:x}, and the members that answer are cluster "
        f"{listed.cluster_id:x}"
        for f in reached
        if f.data is not None and f.data.cluster_id not in (None, listed.cluster_id)
    ]
    if not strange:
        return None
    advice = "give each cluster its own inventory; a host whose data is of no use any more: move it aside by hand"
    return Doubt(tuple(strange), (advice,))


def _knows_less(anchor: HostFacts, listed: MemberList, reached: Sequence[HostFacts]) -> Doubt | None:
    """Data that is ahead of a quorum was never written by it: emptied hosts have founded a cluster under the old IDs.

    A survivor that was forced may know less than those that it left behind: they are no members any more.
    """
    if anchor.mark is not None and anchor.mark.survivor == anchor.name:
        return None
    members = {m.id for m in listed.members}
    status = anchor.api.status
    revision, index = (status.revision, status.raft_index) if status is not None else (0, 0)
    ahead = [
        f"{f.name} holds revision {f.data.revision} (committed up to entry {f.data.commit}), and the members that answer "
        f"are at revision {revision} (entry {index})"
        for f in reached
        if f.data is not None
        and not f.data.error
        and f.data.node_id in members
        and ((f.data.revision or 0) > revision or max(f.data.commit or 0, f.data.consistent_index or 0) > index)
    ]
    if not ahead:
        return None
    names = ", ".join(line.partition(" ")[0] for line in ahead)
    return Doubt(
        ("a quorum answers, and it knows less than a member that does not answer", *ahead),
        (
            f"do not start etcd on {names}: emptied hosts may have founded a cluster of their own under the old IDs",
            "find out which of them hold your data; stop etcd on those that were emptied and move their data aside "
            "(mv /var/lib/etcd/member to another place); then run the same command again",
        ),
    )


def alarms(answering: Sequence[HostFacts], kind: str) -> list[str]:
    """The hosts whose member reports an alarm of this kind."""
    return [f.name for f in answering if f.api.status and any(kind in error for error in f.api.status.errors)]

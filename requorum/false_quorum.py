"""Why a quorum that answers may not be the cluster that was lost. Pure; each doubt says what to do."""

from __future__ import annotations

from collections.abc import Sequence

from requorum.facts.host import HostFacts
from requorum.facts.members import MemberList


def doubts(anchor: HostFacts, listed: MemberList, reached: Sequence[HostFacts]) -> tuple[list[str], list[str]]:
    """What speaks against the quorum that `anchor` answers for, and what to do about it; empty where nothing does."""
    proof, advice = _another_cluster(listed, reached)
    return (proof, advice) if proof else _knows_less(anchor, listed, reached)


def _another_cluster(listed: MemberList, reached: Sequence[HostFacts]) -> tuple[list[str], list[str]]:
    strange = [
        f"{f.name} holds data of cluster {f.data.cluster_id:x}, and the members that answer are cluster "
        f"{listed.cluster_id:x}"
        for f in reached
        if f.data is not None and f.data.cluster_id not in (None, listed.cluster_id)
    ]
    return strange, [
        "give each cluster its own inventory; a host whose data is of no use any more: move it aside by hand"
    ]


def _knows_less(anchor: HostFacts, listed: MemberList, reached: Sequence[HostFacts]) -> tuple[list[str], list[str]]:
    """Data that is ahead of a quorum was never written by it: emptied hosts have founded a cluster under the old IDs.

    A survivor that was forced may know less than those that it left behind: they are no members any more.
    """
    if anchor.mark is not None and anchor.mark.survivor == anchor.name:
        return [], []
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
        return [], []
    names = ", ".join(line.partition(" ")[0] for line in ahead)
    return (
        ["a quorum answers, and it knows less than a member that does not answer", *ahead],
        [
            f"do not start etcd on {names}: emptied hosts may have founded a cluster of their own under the old IDs",
            "find out which of them hold your data; stop etcd on those that were emptied and move their data aside "
            "(mv /var/lib/etcd/member to another place); then run the same command again",
        ],
    )

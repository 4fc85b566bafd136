"""Signs of another cluster than the one that was lost, by its ID or its history. Pure; each sign says what to do."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from requorum.facts.data_dir import DataDir
from requorum.facts.host import HostFacts
from requorum.facts.members import MemberList

_FIND_OUT = (
    "find out which of them hold your data; stop etcd on those that were emptied and move their data aside "
    "(mv /var/lib/etcd/member to another place); then run the same command again"
)


def beside_a_quorum(anchor: HostFacts, listed: MemberList, reached: Sequence[HostFacts]) -> tuple[list[str], list[str]]:
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
        f"{f.name} holds revision {f.data.revision} (committed up to entry {_settled(f, f.data)}), and the members that answer "
        f"are at revision {revision} (entry {index})"
        for f in reached
        if f.data is not None
        and not f.data.error
        and f.data.node_id in members
        and ((f.data.revision or 0) > revision or _settled(f, f.data) > index)
    ]
    if not ahead:
        return [], []
    names = ", ".join(line.partition(" ")[0] for line in ahead)
    return (
        ["a quorum answers, and it knows less than a member that does not answer", *ahead],
        [
            f"do not start etcd on {names}: emptied hosts may have founded a cluster of their own under the old IDs",
            _FIND_OUT,
        ],
    )


def on_disk(reached: Sequence[HostFacts]) -> tuple[list[str], list[str]]:
    """Why the data of these hosts, of which none answers, is not that of one cluster; empty where nothing says so.

    Old peers are not among them: a forced survivor has removed them, and may rightly differ (`lineage.outlived`). What
    a forced start appended and did not elect for is not committed, so it is not compared.
    """
    held = [(f, f.data) for f in reached if f.data is not None and not f.data.error and f.data.log is not None]
    if len({data.cluster_id for _, data in held}) > 1:
        said = [f"{f.name} holds data of cluster {data.cluster_id:x}" for f, data in held]
        return ["the hosts hold data of different clusters", *said], ["give each cluster its own inventory"]
    proof = [
        f"{one[0].name} and {other[0].name} hold different entries under the number {index}, and each holds its own as "
        "committed"
        for one, other in combinations(held, 2)
        if not (one[1].unwritten or other[1].unwritten)  # that is worth nothing, and lifts no verdict
        if (index := _first_difference(one, other))
    ]
    if not proof:
        return [], []
    return (
        ["the hosts hold data of two clusters under the same IDs", *proof],
        [
            "do not start etcd on both: emptied hosts have founded a cluster of their own under the old IDs, and "
            "started together the two would be mixed",
            _FIND_OUT,
        ],
    )


def _settled(facts: HostFacts, data: DataDir) -> int:
    """The last entry that the member's cluster has committed, as far as its data says.

    What a recovery has committed in a log, for a cluster of one (step 41), the cluster has not.
    """
    return (data.consistent_index or 0) if facts.machine.kept_log else data.settled


def _first_difference(*two: tuple[HostFacts, DataDir]) -> int:
    """The first index at which two logs hold different entries, both as committed; 0 where the samples agree."""
    # A forced start that did not elect may have applied its removals; only its log says what is committed.
    known = min((data.commit or 0) if data.half_removed else _settled(facts, data) for facts, data in two)
    one, other = (data.samples for _, data in two)
    common = sorted(index for index in one.keys() & other.keys() if index <= known)
    return next((index for index in common if one[index] != other[index]), 0)

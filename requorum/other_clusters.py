"""Signs of another cluster than the one that was lost, by its ID or its history. Pure; each sign says what to do."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import combinations

from requorum.facts.data_dir import DataDir
from requorum.facts.etcd_conf import EtcdConf
from requorum.facts.host import HostFacts
from requorum.facts.members import MemberList
from requorum.lineage import half_forced, is_survivor, own_id, removals, settled


def beside_a_quorum(
    anchor: HostFacts, listed: MemberList, reached: Sequence[HostFacts], old: Collection[str]
) -> tuple[list[str], list[str]]:
    """What speaks against the quorum that `anchor` answers for, and what to do about it; empty where nothing does.

    `old`: the hosts of old peers (`lineage.outlived`), which this quorum has left behind.
    """
    current = [f for f in reached if f.name not in old]
    for proof, advice in (
        _another_cluster(listed, reached),
        _removed_by(current, anchor, listed),
        _knows_less(anchor, listed, reached, old),
    ):
        if proof:
            return proof, advice
    return [], []


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


def _knows_less(
    anchor: HostFacts, listed: MemberList, reached: Sequence[HostFacts], old: Collection[str]
) -> tuple[list[str], list[str]]:
    """Data that is ahead of a quorum was never written by it: emptied hosts have founded a cluster under the old IDs.

    Nor does a quorum know less than whom it has removed: its survivor was forced, apart from them. Where a recovery did
    that, they are rightly left behind. A learner that a recovery takes in, and that follows while clients write, is not
    compared: it was read later than the leader.
    """
    following = {f.name for f in reached if f.processes} if anchor.own_mark else set()
    members = {m.id: m for m in listed.members}
    status = anchor.api.status
    revision, index = (status.revision, status.raft_index) if status is not None else (0, 0)
    ahead = [
        (f, f.data)
        for f in reached
        if f.data is not None and not f.data.error and ((f.data.revision or 0) > revision or settled(f, f.data) > index)
    ]
    told = {
        f.name: f"{f.name} holds revision {data.revision} (committed up to entry {settled(f, data)}), and the members that "
        f"answer are at revision {revision} (entry {index})"
        for f, data in ahead
    }
    own = [
        f.name
        for f, data in ahead
        if data.node_id in members and not (f.name in following and members[data.node_id].is_learner)
    ]
    if own:
        return (
            ["a quorum answers, and it knows less than a member that does not answer", *(told[name] for name in own)],
            [
                f"do not start etcd on {', '.join(own)}: emptied hosts may have founded a cluster of their own under the old "
                "IDs",
                _find_out(reached),
            ],
        )
    forced = any(is_survivor(f) and not half_forced(f) for f in reached if own_id(f) in members)
    left = [f for f, _ in ahead if f.name in old and not forced]
    return [
        f"{told[f.name]}: its member was removed, and by no quorum that knew all of that, nor by a recovery: one history was "
        "forced apart from the other"
        for f in left
    ], _choose(left, "the members that answer") if left else []


def _removed_by(current: Sequence[HostFacts], anchor: HostFacts, listed: MemberList) -> tuple[list[str], list[str]]:
    """Data that has removed a member of this quorum for good is no part of its history: two clusters, one from before.

    Which of them has been forced rightly no data says; what both were told since would be lost on one side.
    """
    members = {m.id: m.name or m.hex_id for m in listed.members}
    at = f"at revision {anchor.api.status.revision}" if anchor.api.status else "at a revision that it does not say"
    apart = [
        (f, _names(members, f)) for f in current if not f.api.answers and _readable(f) and removals(f) & members.keys()
    ]
    return [
        f"the data of {f.name} (revision {_revision(f)}) has removed {names} from the cluster for good, and a quorum answers "
        f"that lists them ({anchor.name}, {at}): one history was forced apart from the other"
        for f, names in apart
    ], _choose([f for f, _ in apart], "the members that answer") if apart else []


def _removed_from_the_newest(held: Sequence[tuple[HostFacts, DataDir]]) -> tuple[list[str], list[str]]:
    """The same where no member answers. In one history the newest log holds every removal that is settled anywhere.

    Not where its own list is of before a snapshot that it was sent, or of before entries that were not read.
    """
    counting = [(f, data) for f, data in held if data.last and not data.unwritten and not half_forced(f)]
    if not counting:
        return [], []
    newest, log = max(counting, key=lambda one: one[1].last or (0, 0))
    if log.list_is_old:
        return [], []
    members = {m.id: m.name or f"{m.id:x}" for m in log.members_to_be}
    apart = [(f, _names(members, f)) for f, _ in counting if f is not newest and removals(f) & members.keys()]
    return [
        f"the data of {f.name} (revision {_revision(f)}) has removed {names} from the cluster for good, and the newest log, on "
        f"{newest.name} (revision {log.revision}), lists them: one history was forced apart from the other"
        for f, names in apart
    ], _choose([f for f, _ in apart], newest.name) if apart else []


def _of_an_earlier_life(held: Sequence[tuple[HostFacts, DataDir]]) -> tuple[list[str], list[str]]:
    """Data that does not say who is a member: a restored database lists the old members, too (`DataDir.doubtful`)."""
    proof = [f"the database of {f.name} {words}" for f, data in held if (words := data.doubtful)]
    if not proof:
        return [], []
    return [
        "who is a member is not known: a database that `etcdctl snapshot restore` made lists the old members, too, and "
        "neither the log, which no longer reaches back to its beginning, nor a snapshot of Raft tells them from today's",
        *proof,
    ], [
        "never force on this list: it may count members that are none",
        "see to it that member/snap/*.snap can be read on these hosts, and run the same command again",
        "or keep etcd stopped on every host whose data is gone, and start it on those that have theirs: if they elect a "
        "leader, nothing was lost, and the same command takes the others in; if they do not, restore from a snapshot, or "
        "ask for help",
    ]


def _names(members: dict[int, str], facts: HostFacts) -> str:
    return ", ".join(sorted(members[id_] for id_ in removals(facts) & members.keys()))


def _readable(facts: HostFacts) -> bool:
    return facts.data is not None and not facts.data.error


def _revision(facts: HostFacts) -> int | None:
    return facts.data.revision if facts.data is not None else None


def _choose(apart: Sequence[HostFacts], others: str) -> list[str]:
    """What to do about two histories of which only one can be the cluster's."""
    names = ", ".join(f.name for f in apart)
    aside = "; ".join(f"{f.name}: {_aside(f.conf)}, and keep it" for f in apart)
    return [
        f"do not start etcd on {names}, nor anywhere else beside it: the two would not be one cluster; find out which of them "
        f"your clients have written to last, {names} or {others}",
        f"if that is {others}: {aside}; then run the same command again",
        f"if that is {names}: stop and disable etcd on the hosts of the other one, move their data aside in the same way, and "
        f"keep it; then start etcd on {names}, and run the same command again",
    ]


def _find_out(hosts: Sequence[HostFacts]) -> str:
    """What to do where emptied hosts have founded a cluster, with the hosts whose data is elsewhere than is usual."""
    other = [f"on {f.name}: {_aside(f.conf)}" for f in hosts if _aside(f.conf) != _USUAL]
    return (
        "find out which of them hold your data; stop etcd on those that were emptied and move their data aside "
        f"({'; '.join([_USUAL, *other])}); then run the same command again"
    )


def _aside(conf: EtcdConf) -> str:
    """How a member's data is moved aside by hand: a log in a directory of its own would be left behind, and be read again."""
    log = f", and what is in {conf.own_wal_dir}," if conf.own_wal_dir else ""
    return f"mv {conf.data_dir.rstrip('/')}/member{log} to another place"


_USUAL = _aside(EtcdConf("", {"ETCD_DATA_DIR": "/var/lib/etcd"}))


def on_disk(reached: Sequence[HostFacts]) -> tuple[list[str], list[str]]:
    """Why the data of these hosts, of which none answers, is not that of one cluster; empty where nothing says so.

    Old peers are not among them: a forced survivor has removed them, and may rightly differ (`lineage.outlived`). What
    a forced start appended and did not elect for is not committed, so it is not compared.
    """
    held = [(f, f.data) for f in reached if f.data is not None and not f.data.error and f.data.log is not None]
    if len({data.cluster_id for _, data in held}) > 1:
        said = [f"{f.name} holds data of cluster {data.cluster_id:x}" for f, data in held]
        return ["the hosts hold data of different clusters", *said], ["give each cluster its own inventory"]
    for found, cure in (_of_an_earlier_life(held), _removed_from_the_newest(held)):
        if found:
            return found, cure
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
            _find_out([facts for facts, _ in held]),
        ],
    )


def _first_difference(*two: tuple[HostFacts, DataDir]) -> int:
    """The first index at which two logs hold different entries, both as committed; 0 where the samples agree."""
    # A forced start that did not elect may have applied its removals; only its log says what is committed.
    known = min((data.commit or 0) if data.half_removed else settled(facts, data) for facts, data in two)
    one, other = (data.samples for _, data in two)
    common = sorted(index for index in one.keys() & other.keys() if index <= known)
    return next((index for index in common if one[index] != other[index]), 0)

"""Whether the survivor may be forced once more, after a join has cost the cluster its quorum."""

from __future__ import annotations

from requorum.facts import mark
from requorum.facts.data_dir import DataDir
from requorum.facts.members import Member
from requorum.lineage import host_of
from requorum.live import Cluster, EtcdMember
from requorum.remote import RemoteError
from requorum.survey import Unexpected


def dropped_voter(cluster: Cluster) -> tuple[Member, EtcdMember]:
    """The other one of two voters, which the survivor leaves behind when it is forced once more, and its host.

    Raises Unexpected where that may not be: it happens once in a recovery, to a survivor that a recovery has forced; and
    two voters have to be all there are, of which the other one does not answer. Then the survivor's log has every write
    that was acknowledged.
    """
    survivor = cluster.survivor
    forced, marked, voters = survivor.forced_by, survivor.mark, _voters(survivor)
    others = [m for m in voters if not set(m.peer_urls) & set(survivor.surveyed.conf.peer_urls)]
    if forced is None:
        raise _not_again(survivor, f"no record that it was ever forced ({mark.FORCED_PATH})")
    if marked is None:
        raise _not_again(survivor, "no mark of a recovery")
    if marked.way_back:
        raise _not_again(survivor, "the record that this was done once in this recovery")
    if len(voters) != 2 or len(others) != 1:
        raise _not_again(survivor, f"{len(voters)} voters: {', '.join(m.name or m.hex_id for m in voters)}")
    refuse_more_voters(survivor, survivor.data, others[0])
    host = host_of(others[0], cluster.run.inventory, cluster.run.survey)
    if host not in cluster.run.reached:
        raise _not_again(survivor, f"a voter whose host is not reached: {others[0].name or others[0].hex_id}")
    if _stands_in_a_quorum(cluster.member(host)):
        raise _not_again(survivor, f"that {host} answers a linearizable read")
    return others[0], cluster.member(host)


def more_voters(data: DataDir, dropped: Member) -> list[str]:
    """Who else votes by the survivor's log, applied or not: they and the dropped one may be a quorum that it does not hear."""
    if data.error or data.log is None:
        return []
    voters = (m for m in data.members_to_be if not m.is_learner and m.id not in (data.node_id, dropped.id))
    return sorted(m.name or f"{m.id:x}" for m in voters)


def refuse_more_voters(survivor: EtcdMember, data: DataDir, dropped: Member) -> None:
    """Raises Unexpected where there are any. A log that is being written to may not be readable: then it says nothing."""
    if more := more_voters(data, dropped):
        raise _not_again(survivor, f"two voters in its member list, and {', '.join(more)} in its log")


def _voters(survivor: EtcdMember) -> tuple[Member, ...]:
    """The voters as the survivor lists them; from its disk where it does not say: from 3.5 on that takes a quorum."""
    try:
        return survivor.members.voters
    except Unexpected as error:
        data = survivor.data
        if data.error:
            raise _not_again(survivor, f"no member list: {error.found}; nor one on its disk: {data.error}") from None
        return tuple(Member(m.id, m.name, m.peer_urls, m.client_urls, False) for m in data.members if not m.is_learner)


def _stands_in_a_quorum(voter: EtcdMember) -> bool:
    """And says so; False also where its host is out of reach: alone it cannot be a quorum of two."""
    try:
        return voter.answers()
    except RemoteError:
        return False


def _not_again(survivor: EtcdMember, found: str) -> Unexpected:
    return Unexpected(
        survivor.name,
        expected="a survivor that may be forced once more: two voters, one of them silent, and not done before",
        found=found,
        advice="start the members that do not answer; or declare their hosts lost, and run the same command again",
    )

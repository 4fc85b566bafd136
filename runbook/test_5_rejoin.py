"""Stage 5 · Add the members back (38.1.4), one at a time."""

from __future__ import annotations

from functools import partial

from requorum import operations
from requorum.authority import Authority
from requorum.live import Cluster, EtcdMember
from requorum.records import WRITABLE
from requorum.stages import ACTS, Hand, action, eventually, note, postcondition, precondition, step
from requorum.way_back import dropped_voter, refuse_more_voters

MEND = "mend what is named on the host, then run the same command again"


@step(50, "Move the old data aside", on="newcomers", when=ACTS, parallel=True)
def test_move_data_aside(etcd: EtcdMember, cluster: Cluster) -> None:
    """38.1.4 says `rm -Rf /var/lib/etcd/*`; nothing is deleted here."""
    with precondition("no etcd runs here", after=30):
        assert etcd.is_fenced()
    with action("move the contents of the data directory aside") as hand:
        hand.make(operations.etcd.move_data_aside(etcd.surveyed, cluster.recovery))
    with postcondition("the data directory holds nothing that etcd would read"):
        assert etcd.left_in_data_directory() == []


@step(51, "Join the cluster", on="joiners", when=ACTS)
def test_join(etcd: EtcdMember, cluster: Cluster, authority: Authority) -> None:
    """38.1.4: one host at a time, as a learner first: a joiner that does not start cannot take the quorum away.

    From the first promotion until the third voter, losing either voter stops all writes: the way back stays armed.
    etcd 3.3 has no learners: there the host is added as a voter, and only when all else is ready for its start.
    """
    survivor = cluster.survivor
    with precondition("the survivor runs", after=44):
        assert survivor.processes
    with precondition("this host still could be a member", after=39):
        problems = authority.problems_now(etcd)
        assert not problems, "\n".join(problems)
    with precondition("the survivor takes this host's certificate for a peer's", after=44, otherwise=MEND):
        refused = authority.untaken(etcd, survivor)
        assert not refused, refused
    with action(
        "add the member, write its etcd.conf, lift its fence, start it, and promote it once it is proven",
        otherwise=MEND,
        way_back=partial(go_back, etcd, cluster),
    ) as hand:
        hand.make(operations.etcd.put_log_back_to_meet(etcd.surveyed))
        hand.make(operations.membership.add_learner(survivor.surveyed, etcd.surveyed))
        hand.make(operations.etcd.never_force(etcd.surveyed))
        listed = survivor.now("members")
        hand.make(operations.etcd.name_joiner(etcd.now("conf"), listed))
        hand.make(operations.fence.lift_fence(etcd.surveyed))
        hand.make(operations.membership.add_voter(survivor.surveyed, etcd.surveyed))
        hand.make(operations.marking.forget_force(etcd.surveyed, listed))  # its data is given up: no abort needs it
        hand.make(operations.etcd.start(etcd.surveyed))
        hand.make(operations.membership.promote(survivor.surveyed, etcd.surveyed))
    with postcondition("it answers a linearizable read", otherwise=MEND):
        assert eventually(etcd.answers, within=60) == True  # noqa: E712 (read again until it is)
    with postcondition("it is in the survivor's cluster, and holds the survivor's data", otherwise=MEND):
        revision = survivor.revision()
        assert eventually(lambda: etcd.hash_at(revision), within=60) == survivor.hash_at(revision)


@step(58, "Forget how the certificates were made", on="issued", when=ACTS)
def test_forget_issuing(etcd: EtcdMember) -> None:
    """The requests, and the second copy of the keys; certificates that were replaced stay aside."""
    with action("remove the folder") as hand:
        hand.make(operations.certificates.forget(etcd.surveyed))
    with postcondition("it is not there"):
        assert not etcd.now("issuing").issuing.there


def go_back(etcd: EtcdMember, cluster: Cluster, hand: Hand) -> str:
    """The way back from a join that failed: the cluster takes writes, and the joiner is out, its data kept."""
    if eventually(cluster.survivor.answers, within=30) == True:  # noqa: E712 (read again until it does)
        return take_out_again(etcd, cluster, hand)
    return force_again(etcd, cluster, hand)


def take_out_again(etcd: EtcdMember, cluster: Cluster, hand: Hand) -> str:
    """A quorum answers: what the join has added is removed by its ID. A member that voted before this run stays one."""
    survivor = cluster.survivor
    hand.make(operations.membership.take_out(survivor.now("members"), survivor.surveyed, etcd.surveyed))
    writes = eventually(survivor.writes, within=30) == survivor.surveyed.machine.hostname
    assert writes, f"{survivor.name} takes no writes"
    if cluster.lists(etcd):
        return f"{etcd.name} stays a member, as it was before this run; {survivor.name} takes writes"
    unfenced = hand.attempt(operations.fence.raise_fence(etcd.surveyed))
    return f"{etcd.name} is no member any more, {kept(unfenced)}; {survivor.name} takes writes"


def force_again(etcd: EtcdMember, cluster: Cluster, hand: Hand) -> str:
    """Two voters, and one does not answer: no write is possible. The survivor is forced once more, and only once.

    Nothing is lost: what two of two voters acknowledged is in the log of each.
    """
    survivor, (dropped, voter) = cluster.survivor, dropped_voter(cluster)
    hand.make(operations.marking.take_way_back(survivor.surveyed, cluster.mark, dropped))
    unfenced = hand.attempt(operations.fence.raise_fence(voter.surveyed))
    hand.attempt(operations.fence.raise_fence(etcd.surveyed))
    hand.make(operations.etcd.stop(survivor.surveyed))
    refuse_more_voters(survivor, survivor.data, dropped)  # once more, now that nobody writes to its log
    hand.make(operations.backup.keep_data(survivor.surveyed, cluster.backup.before_way_back))
    data, place = survivor.data, cluster.backup.before_way_back
    proof = cluster.proof_of_tail(data)
    hand.make(operations.etcd.keep_tail(survivor.surveyed, data, place, whole=cluster.keeps_tail, proof=proof))
    assert cluster.refusal_of_survivor() == "", cluster.refusal_of_survivor()
    hand.make(operations.etcd.force_new_cluster(survivor.now("unit")))
    alone = eventually(survivor.voter_names, within=60) == [survivor.surveyed.conf.name]
    assert alone, f"the survivor is not the only voting member: {survivor.voter_names()}"
    hand.make(operations.membership.remove_all_but_itself(survivor.now("api")))
    hand.make(operations.etcd.take_force_away(survivor.now("process")))
    writes = eventually(survivor.writes, within=30) == survivor.surveyed.machine.hostname
    assert writes, f"{survivor.name} takes no writes"
    note(WRITABLE)
    return f"{survivor.name} was forced once more and takes writes; {voter.name} was dropped, {kept(unfenced)}"


def kept(unfenced: str) -> str:
    """What became of a host that was taken out, in words."""
    if unfenced:
        return f"and could not be fenced ({unfenced}): the same command does so first; its data is kept"
    return "and is fenced; its data is kept"

"""Stage 5 · Add the members back (38.1.4), one at a time."""

from __future__ import annotations

from requorum import operations
from requorum.live import Cluster, EtcdMember
from requorum.stages import ACTS, action, eventually, postcondition, precondition, step


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
def test_join(etcd: EtcdMember, cluster: Cluster) -> None:
    """38.1.4: one host at a time, as a learner first: a joiner that does not start cannot take the quorum away."""
    survivor = cluster.survivor
    with precondition("the cluster answers", after=44):
        assert eventually(survivor.answers, within=30) == True  # noqa: E712 (read again until it does)
    with precondition("this host still could be a member"):
        assert not etcd.certificate_problems(), "\n".join(etcd.certificate_problems())
    with action(
        "add the member, write its etcd.conf, lift its fence, start it, and promote it once it has caught up"
    ) as hand:
        hand.make(operations.membership.add(survivor.surveyed, etcd.surveyed))
        hand.make(operations.etcd.name_members(etcd.now("conf"), survivor.now("api"), state="existing"))
        hand.make(operations.fence.lift_fence(etcd.surveyed))
        hand.make(operations.etcd.start(etcd.surveyed))
        hand.make(operations.membership.promote(survivor.surveyed, etcd.surveyed))
    with postcondition("it answers a linearizable read"):
        assert eventually(etcd.answers, within=60) == True  # noqa: E712 (read again until it is)
    with postcondition("it is in the survivor's cluster, and holds the survivor's data"):
        assert etcd.members.cluster_id == survivor.members.cluster_id
        revision = survivor.revision()
        assert eventually(lambda: etcd.hash_at(revision), within=60) == survivor.hash_at(revision)

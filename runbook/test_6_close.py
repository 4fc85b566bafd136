"""Stage 6 · Close: the proof that the cluster is whole, and that nothing is left behind."""

from __future__ import annotations

from requorum import operations
from requorum.ansible import AnsibleGroup
from requorum.live import Cluster, EtcdMember
from requorum.stages import ACTS, action, eventually, note, postcondition, proven, step


@step(60, "Name all members in etcd.conf", on="whole", when=ACTS, parallel=True)
def test_name_all_members(etcd: EtcdMember, cluster: Cluster) -> None:
    """38.1.2 and 38.1.4: ETCD_INITIAL_CLUSTER names every member, on every member."""
    with action("edit ETCD_INITIAL_CLUSTER") as hand:
        hand.make(operations.etcd.name_members(etcd.now("conf"), cluster.survivor.now("api")))
    with postcondition("etcd.conf names every member"):
        assert {url for _, url in etcd.conf.initial_cluster} == cluster.listed_peer_urls()


@step(61, "Prove the member", on="whole", when=ACTS, parallel=True)
def test_member(etcd: EtcdMember) -> None:
    """It votes, it writes; no start path forces, no fence is left, and it starts at boot."""
    with postcondition("no start path forces, no fence is left, etcd starts at boot"):
        unit = etcd.unit
        assert not etcd.forced()
        assert not unit.forced
        assert not unit.fenced
        assert unit.file_state == "enabled", f"systemctl is-enabled etcd says {unit.file_state}"
    with postcondition("it writes and reads"):
        assert eventually(etcd.writes, within=30) == etcd.surveyed.machine.hostname


@step(62, "Prove equal data", on="bastion", when=ACTS)
def test_equal_data(cluster: Cluster) -> None:
    """Health is not enough: all members hold the same at one revision (etcd issue 14009)."""
    with postcondition("one hash on all members"):
        assert eventually(cluster.differing_members, within=15) == []


@step(63, "Save a fresh snapshot", on="survivor", when=ACTS)
def test_fresh_snapshot(etcd: EtcdMember, cluster: Cluster) -> None:
    """38.1.1.2, of the whole cluster."""
    with action("have a member save a snapshot, and fetch it") as hand:
        hand.make(operations.backup.save_snapshot(etcd.surveyed, cluster.backup, "after"))
    with postcondition("etcd's own tool reads it"):
        revision = cluster.snapshot_revision(etcd, "after")
        copy = cluster.backup.fetched_copy(etcd.name, "snapshot-after")
        proven(cluster.backup.snapshot("after"), copy, f"revision {revision}")


@step(64, "Put the hosts back into the Ansible inventory", on="ansible", when=ACTS)
def test_rejoin_group(ansible: AnsibleGroup, cluster: Cluster) -> None:
    """38.1.4: who is a member again is in the group [etcd] again; with all of them back the file is what it was."""
    with action("edit the group [etcd]") as hand:
        hand.make(ansible.put_back(cluster))
    with postcondition("every member that was taken out of the group is in it"):
        assert ansible.still_out(cluster) == []
        if lacking := ansible.first_without_ca(cluster):
            note(lacking)


@step(69, "Strike the mark", on="touched", when=ACTS, parallel=True)
def test_strike(etcd: EtcdMember, cluster: Cluster) -> None:
    """Nothing is owed here any more."""
    with action("remove the mark of the recovery") as hand:
        hand.make(operations.marking.strike(etcd.now("mark"), whole=cluster.whole))
    with postcondition("no mark is left"):
        assert etcd.mark is None

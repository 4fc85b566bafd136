"""Stage 6 · Close: the proof that the cluster is whole, and that nothing is left behind."""

from __future__ import annotations

from requorum import operations
from requorum.ansible import AnsibleGroup
from requorum.clients import Client
from requorum.flannel import MEND as MEND_FLANNEL
from requorum.flannel import FlannelHosts
from requorum.live import Cluster, EtcdMember
from requorum.masters import MEND, Masters
from requorum.stages import ACTS, action, eventually, note, postcondition, proven, step
from requorum.v2_store import V2Store
from requorum.wellness import not_at_boot, perhaps_at_boot


@step(59, "Return the liveness probe to the manifest", on="whole pods", when=ACTS)
def test_return_probe(etcd: EtcdMember, cluster: Cluster) -> None:
    """38.2: one pod after the other, since each restarts. Not before every host is a member: till then it may kill etcd."""
    if not cluster.whole:
        note("the liveness probe stays out of the manifest until every host is a member")
    with action("put the manifest back as it was found, if every host is a member") as hand:
        hand.make(operations.probe.give_back(etcd.now("unit", "process")) if cluster.whole else [])
    with postcondition("etcd answers a linearizable read, with its probe, if every host is a member"):
        assert eventually(etcd.answers, within=60) == True  # noqa: E712 (read again until it is)
        assert not cluster.whole or not etcd.unit.probe_is_out


@step(60, "Name all members in etcd.conf", on="whole", when=ACTS, parallel=True)
def test_name_all_members(etcd: EtcdMember, cluster: Cluster) -> None:
    """38.1.2 and 38.1.4: ETCD_INITIAL_CLUSTER names every member, on every member."""
    with action("edit ETCD_INITIAL_CLUSTER") as hand:
        hand.make(operations.etcd.name_members(etcd.now("conf"), cluster.survivor.now("members")))
    with postcondition("etcd.conf names every member"):
        assert {url for _, url in etcd.conf.initial_cluster} == cluster.listed_peer_urls()


@step(61, "Prove the member", on="whole", when=ACTS, parallel=True)
def test_member(etcd: EtcdMember) -> None:
    """It votes, it writes; no start path forces, no fence is left, and it starts at boot."""
    with action("take away a force or a fence that was left; have a member that is disabled start at boot") as hand:
        found = etcd.now("unit")
        hand.make(operations.etcd.let_start(found))
        hand.make(operations.etcd.start_at_boot(found))
    with postcondition("no start path forces, no fence is left, etcd starts at boot"):
        now = etcd.now("unit")
        unit = now.unit
        assert not etcd.forced(), "etcd runs with a forced new cluster"
        assert not unit.forced, "a force is on the start path"
        assert not unit.fenced, "a fence is there"
        assert not not_at_boot(now), not_at_boot(now)
        if unknown := perhaps_at_boot(now):
            note(unknown)
    with postcondition("it writes and reads"):
        assert eventually(etcd.writes, within=30) == etcd.surveyed.machine.hostname


@step(62, "Prove equal data", on="bastion", when=ACTS)
def test_equal_data(cluster: Cluster, v2: V2Store) -> None:
    """Health is not enough: all members hold the same at one revision (etcd issue 14009)."""
    with postcondition("one hash on all members"):
        assert eventually(cluster.differing_members, within=15) == []
    with postcondition("the same v2 keys on all members that are to serve them"):
        assert eventually(v2.differing, within=15) == []


@step(63, "Save a fresh snapshot", on="survivor", when=ACTS)
def test_fresh_snapshot(etcd: EtcdMember, cluster: Cluster, masters: Masters) -> None:
    """38.1.1.2, of the whole cluster."""
    with action("have a member save a snapshot, and fetch it") as hand:
        hand.make(operations.backup.save_snapshot(etcd.surveyed, cluster.backup, "after"))
    with postcondition("etcd's own tool reads it"):
        revision = cluster.snapshot_revision(etcd, "after")
        copy = cluster.backup.fetched_copy(etcd.name, "snapshot-after")
        proven(cluster.backup.snapshot("after", etcd.surveyed), copy, f"revision {revision}")
        if fallback := masters.saved_without_oc(etcd.surveyed, cluster.backup.snapshot("after", etcd.surveyed)):
            note(fallback)


@step(64, "Put the hosts back into the Ansible inventory", on="ansible", when=ACTS)
def test_rejoin_group(ansible: AnsibleGroup, cluster: Cluster) -> None:
    """38.1.4: who is a member again is in the group [etcd] again; with all of them back the file is what it was."""
    with action("edit the group [etcd]") as hand:
        hand.make(ansible.put_back(cluster))
    with postcondition("every member that was taken out of the group is in it"):
        assert ansible.still_out(cluster) == []
        if lacking := ansible.first_without_ca(cluster):
            note(lacking)


@step(65, "Name all members in master-config.yaml", on="masters", when=ACTS, parallel=True)
def test_name_all_in_master_config(client: Client, masters: Masters) -> None:
    """What the chapter forgets: every member is named again, in the order that each master had."""
    with action("edit master-config.yaml; note that API and controllers are to be restarted") as hand:
        hand.make(operations.masters.name_members(client.now("master"), masters.listed(), masters.urls, masters.places))
    with postcondition("it names every member, and nobody else"):
        assert masters.disagreements(client) == []


@step(66, "Restart the API again", on="masters", when=ACTS)
def test_restart_api_again(client: Client, masters: Masters) -> None:
    """With all members; one master at a time, each proven by a write before the next."""
    with action("restart the API; write, read, watch and delete through it", otherwise=MEND) as hand:
        hand.make(operations.masters.restart(client.now("master"), "api"))
    with postcondition("it writes, reads, tells of it in a watch, and deletes, restarted or not", otherwise=MEND):
        assert eventually(lambda: masters.writes(client), within=30) == ""
    with postcondition("what it lists from its memory is what etcd holds", otherwise=MEND):
        assert eventually(lambda: masters.stale(client), within=30) == []


@step(67, "Restart the controllers again", on="masters", when=ACTS)
def test_restart_controllers_again(client: Client, masters: Masters) -> None:
    """One master at a time."""
    with action("restart the controllers, and wait until they are well", otherwise=MEND) as hand:
        hand.make(operations.masters.restart(client.now("master"), "controllers"))
    with postcondition("no restart is owed", otherwise=MEND):
        assert masters.now(client).owes == ()


@step(68, "Forget how master-config.yaml was found", on="masters", when=ACTS, parallel=True)
def test_forget_found(client: Client, cluster: Cluster, masters: Masters) -> None:
    """While a host is still missing the note stays: each master's own order of members is in it."""
    with action("remove the note, if every host is a member") as hand:
        hand.make(operations.masters.forget_found(client.now("master"), whole=cluster.whole))
    with postcondition("no note is left, if every host is a member"):
        assert not cluster.whole or masters.now(client).found is None


@step(70, "Name all members to Flannel", on="flannel", when=ACTS, parallel=True)
def test_name_all_to_flannel(client: Client, flannel: FlannelHosts) -> None:
    """Every member is named again, in the order that each host had."""
    with action(
        "edit /etc/sysconfig/flanneld; note which leases there are, and that flanneld is to be restarted"
    ) as hand:
        hand.make(
            operations.flannel.name_members(flannel.facts(client), flannel.listed(), flannel.urls, flannel.places)
        )
    with postcondition("it names every member, and nobody else"):
        assert flannel.disagreements(client) == []


@step(71, "Restart flanneld", on="flannel", when=ACTS)
def test_restart_flannel(client: Client, cluster: Cluster, flannel: FlannelHosts) -> None:
    """Where it runs; one host after the other, and once: docker, and with it a member in a container, may go along."""
    with action("restart flanneld, and find its lease in etcd", otherwise=MEND_FLANNEL) as hand:
        hand.make(operations.flannel.restart(client.now("flannel")))
    with postcondition("a quorum answers", otherwise=MEND_FLANNEL):
        assert eventually(cluster.survivor.answers, within=60) == True  # noqa: E712 (read again until it does)
    with postcondition("every lease that was there is there, or has ended by itself", otherwise=MEND_FLANNEL):
        assert eventually(lambda: flannel.lost_leases(client), within=15) == []
        for line in flannel.ended_leases(client):
            note(line)


@step(72, "Forget how Flannel was found", on="flannel", when=ACTS, parallel=True)
def test_forget_flannel(client: Client, cluster: Cluster, flannel: FlannelHosts) -> None:
    """While a host is still missing the note of the configuration stays: the order of members is in it."""
    with action("remove the notes: of the leases, and, if every host is a member, of the configuration") as hand:
        hand.make(operations.flannel.forget_leases(client.now("flannel")))
        hand.make(operations.flannel.forget_found(client.now("flannel"), whole=cluster.whole))
    with postcondition("no note is left, if every host is a member"):
        assert not cluster.whole or flannel.now(client).found is None


@step(73, "Tell what is left to be done by hand", on="bastion", when=ACTS)
def test_left_to_do(masters: Masters) -> None:
    """The service catalog, Calico and Nuage name members, too, and are not edited; who watches the API may have missed events."""
    with postcondition("it is told, as far as it can be read"):
        for line in masters.left_to_do():
            note(line)


@step(79, "Strike the mark", on="touched", when=ACTS, parallel=True)
def test_strike(etcd: EtcdMember, cluster: Cluster) -> None:
    """Nothing is owed here any more."""
    with action("remove the mark of the recovery") as hand:
        hand.make(operations.tools.forget(etcd.surveyed))
        hand.make(operations.marking.strike(etcd.now("mark"), whole=cluster.whole, reached=cluster.run.all_reached))
    with postcondition("no mark is left"):
        assert etcd.mark is None

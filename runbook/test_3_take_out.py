"""Stage 3 · Take the other members out (38.1.2)."""

from __future__ import annotations

from dataclasses import replace

from requorum import operations
from requorum.ansible import AnsibleGroup
from requorum.authority import Authority
from requorum.clients import Client
from requorum.diagnosis import Verdict
from requorum.flannel import FlannelHosts
from requorum.live import Cluster, EtcdMember
from requorum.masters import EDIT, Masters
from requorum.runtimes import wants_every_member
from requorum.stages import ACTS, LOST, QUORUM, action, eventually, postcondition, precondition, step


@step(30, "Fence the host", on="others", when=ACTS, parallel=True)
def test_fence(etcd: EtcdMember) -> None:
    """38.1.2: down, and no reboot brings it up. Emptied peers would found a cluster while the survivor is stopped."""
    with action("raise the fence, stop etcd; a pod starts without its liveness probe later") as hand:
        hand.make(operations.fence.raise_fence(etcd.surveyed))
        hand.make(operations.probe.take_out(etcd.surveyed))
    with postcondition("no etcd runs here, its ports are closed, and systemd knows the fence"):
        assert eventually(etcd.is_fenced, within=30) == True  # noqa: E712 (read again until it is)


@step(31, "Remove the failed members", on="speaker", when=QUORUM)
def test_remove_failed(etcd: EtcdMember, cluster: Cluster) -> None:
    """38.1.2: with a quorum, by ID. Without one the forced start drops them."""
    removals = cluster.diagnosis.removals
    with action("remove the members that do not come back") as hand:
        hand.make(operations.membership.remove(etcd.surveyed, removals))
    with postcondition("none of them is listed"):
        assert not {member.id for member in etcd.members.members} & {member.id for member in removals}


@step(32, "Drop the others from etcd.conf", on="survivor", when=LOST)
def test_drop_others(etcd: EtcdMember) -> None:
    """38.1.2: ETCD_INITIAL_CLUSTER names the survivor alone. No restart is needed."""
    with action("edit ETCD_INITIAL_CLUSTER") as hand:
        hand.make(operations.etcd.name_only_itself(etcd.now("conf")))
    with postcondition("etcd.conf names the survivor alone"):
        conf = etcd.conf
        assert set(conf.initial_cluster) == conf.itself  # a member may have several peer URLs, in any order


@step(33, "Name the remaining members in master-config.yaml", on="masters", when=ACTS, parallel=True)
def test_name_remaining(client: Client, cluster: Cluster, masters: Masters) -> None:
    """38.1.2: etcdClientInfo.urls, and etcd-servers where that is set. The restart follows when there is a quorum."""
    restart = cluster.diagnosis.verdict is Verdict.LOST or client.was_unseen
    with action("edit master-config.yaml; note that API and controllers are to be restarted", otherwise=EDIT) as hand:
        hand.make(
            operations.masters.name_members(
                client.now("master"), masters.remaining, masters.urls, masters.places, restart=restart
            )
        )
    with postcondition("it names the remaining members, and nobody else"):
        assert masters.named(client) == set(masters.remaining)


@step(34, "Take the hosts out of the Ansible inventory", on="ansible", when=ACTS)
def test_leave_group(ansible: AnsibleGroup) -> None:
    """38.1.2: they leave the group [etcd], so that a playbook does not undo the recovery. No other byte changes."""
    with precondition("the file as this run found it", otherwise="run the same command again: it looks anew"):
        assert not ansible.changed_since(), f"somebody has edited {ansible} since this run looked"
    with action("edit the group [etcd]") as hand:
        hand.make(ansible.take_out())
    with postcondition("none of them is in the group"):
        assert ansible.still_in() == []


@step(35, "Name the remaining members to Flannel", on="flannel", when=ACTS, parallel=True)
def test_flannel_names_remaining(client: Client, cluster: Cluster, flannel: FlannelHosts) -> None:
    """38.1.2: on every host that has it. The restart follows when every host that can be is a member again."""
    restart = cluster.diagnosis.verdict is Verdict.LOST or client.was_unseen
    with action(
        "edit /etc/sysconfig/flanneld; note which leases there are, and that flanneld is to be restarted",
        otherwise=EDIT,
    ) as hand:
        hand.make(
            operations.flannel.name_members(
                flannel.facts(client), flannel.remaining, flannel.urls, flannel.places, restart=restart
            )
        )
    with postcondition("it names the remaining members, and nobody else"):
        assert flannel.named(client) == set(flannel.remaining)


@step(37, "Take out a liveness probe that wants every member", on="probed", when=QUORUM)
def test_take_probe_out(etcd: EtcdMember) -> None:
    """With the etcdctl of 3.3 or later it kills the voters while a joiner does not serve. One pod at a time: each restarts.

    After the removal: where three voters are left, two of them answer meanwhile; where two are left, writes wait for it.
    """
    with precondition("a quorum answers"):
        assert eventually(etcd.answers, within=60) == True  # noqa: E712 (read again until it does)
    with action("take the probe out of the manifest; how it was is kept until step 59") as hand:
        hand.make(operations.probe.take_out_of_living(etcd.now("unit", "process")))
    with postcondition("the pod runs without that probe, and answers a linearizable read"):
        assert eventually(etcd.answers, within=60) == True  # noqa: E712 (read again until it does)
        assert not wants_every_member(replace(etcd.surveyed, unit=etcd.unit))


@step(39, "Make the host's certificates", on="uncertified", when=ACTS)
def test_make_certificates(etcd: EtcdMember, cluster: Cluster, authority: Authority) -> None:
    """For a new host, as the installer does it; but the keys are made here, and do not leave this host."""
    with precondition("no etcd runs here", after=30):
        assert etcd.processes == ()
    with action("make keys and requests, have them signed by the CA, put the certificates in place") as hand:
        order, signer = authority.order(etcd), authority.signer(etcd)
        hand.make(operations.certificates.request(etcd.surveyed, order))
        hand.make(operations.certificates.sign(signer.surveyed, etcd.now("issuing"), order))
        hand.make(operations.certificates.bring(etcd.surveyed, order, authority.signed(etcd)))
        hand.make(operations.certificates.place(etcd.surveyed, order, cluster.recovery))
    with postcondition("they name this host, are trusted here and by the survivor, and their keys are beside them"):
        assert eventually(lambda: authority.problems_now(etcd), within=30) == []

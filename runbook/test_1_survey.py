"""Stage 1 · Survey and confirm the loss (chapter 38, introduction).

Read-only, but for one thing: old peers of a cluster that was forced are fenced at first contact, before anything else.
"""

from __future__ import annotations

from requorum import operations
from requorum.ansible import AnsibleGroup
from requorum.authority import Authority
from requorum.clients import Client
from requorum.fitness import cannot_join, unfit, unread_notes
from requorum.flannel import FlannelHosts
from requorum.live import Cluster, EtcdMember
from requorum.masters import Masters
from requorum.stages import ACTS, ALWAYS, ANSWERS, action, eventually, note, postcondition, precondition, step

MEND = "mend each of these on its host, then run the same command again"
OPEN = "open port 2380 between the hosts, in both directions; then run the same command again"


@step(10, "Prove the verdict", on="bastion", when=ALWAYS)
def test_verdict(cluster: Cluster, masters: Masters, authority: Authority) -> None:
    """38: the verdict, from every host's facts, allows the runbook to go on."""
    found = cluster.diagnosis
    with precondition(
        f"a verdict that allows to go on; it is {found.verdict.value}", otherwise="\n".join(found.advice)
    ):
        assert found.path, "\n".join(found.proof)
    if found.acts:
        note(f"survivor {found.survivor}; loss: {found.loss}")
        for line in (*masters.silence, *authority.lost):
            note(line)


@step(11, "Fence the host of a removed member", on="old_peers", when=ACTS, parallel=True)
def test_fence_old_peer(etcd: EtcdMember) -> None:
    """38.1.2: its member was removed. Where it does not reach the survivor, it makes the old quorum with its like."""
    with action("raise the fence, stop etcd") as hand:
        hand.make(operations.fence.raise_fence(etcd.surveyed))
    with postcondition("no etcd runs here, its ports are closed, and systemd knows the fence"):
        assert eventually(etcd.is_fenced, within=30) == True  # noqa: E712 (read again until it is)


@step(12, "Check that the host may be changed", on="touched", when=ACTS, parallel=True)
def test_fit(etcd: EtcdMember, cluster: Cluster) -> None:
    """Root, etcdctl, a service that reads etcd.conf, room for the backup, nobody has forced it by hand.

    The survivor's etcd also has to start again: on its data, with its certificates, by its unit.
    """
    with precondition("a host that can be changed safely", otherwise=MEND):
        problems = unfit(etcd.surveyed, cluster.backup.directory, survivor=cluster.diagnosis.survivor)
        assert not problems, "\n".join(problems)
    for line in unread_notes(etcd.surveyed):
        note(line)


@step(13, "Check that the host can join", on="joiners", when=ACTS, parallel=True)
def test_can_join(etcd: EtcdMember, cluster: Cluster, authority: Authority) -> None:
    """38.1.4, before anything is touched: certificates, version, name, clock, and the way to the survivor.

    Certificates that are not there are made in step 39, where the CA is at hand.
    """
    survivor = cluster.survivor
    with precondition("a host that can become a member"):
        made = authority.kinds(etcd)
        problems = cannot_join(etcd.surveyed, survivor.surveyed, authority.problems(etcd), made=made)
        assert not problems, "\n".join(problems)
    for line in authority.notes(etcd):
        note(line)
    with precondition("a way to the peer port of the other, from here and from the survivor", otherwise=OPEN):
        there, here = etcd.unreached(survivor), survivor.unreached(etcd)
        assert not there, f"{', '.join(there)} (of {survivor.name}) cannot be reached from {etcd.name}"
        assert not here, f"{', '.join(here)} (of {etcd.name}) cannot be reached from {survivor.name}"


@step(14, "Compare the members that answer", on="bastion", when=ANSWERS)
def test_same_data(cluster: Cluster) -> None:
    """A quorum that answers is not believed: an emptied member may have rejoined under its old identity (etcd 10254)."""
    advice = "do not go on by hand either: find out which members hold your data, and stop the others"
    with precondition("one hash on all members that answer", otherwise=advice):
        assert eventually(cluster.differing_members, within=15) == []


@step(15, "Check that the master may be changed", on="masters", when=ACTS, parallel=True)
def test_master(client: Client, masters: Masters) -> None:
    """38.1.2: what names members in its configuration is understood, and what its API is asked with is there."""
    with precondition("a master whose configuration names hosts of the inventory, with its tools and certificates"):
        problems = masters.problems(client.name)
        assert not problems, "\n".join(problems)
    for line in masters.notes(client.name):
        note(line)


@step(16, "Check the Ansible inventory", on="ansible", when=ACTS)
def test_ansible_inventory(ansible: AnsibleGroup) -> None:
    """The group [etcd] is to follow the member list, so that a later playbook does not undo the recovery."""
    with precondition("a group [etcd] in which every host that is to leave it can be told", otherwise=ansible.advice):
        problems = ansible.problems()
        assert not problems, "\n".join(problems)
    with precondition("the file as this run found it", otherwise="run the same command again: it looks anew"):
        assert not ansible.changed_since(), f"somebody has edited {ansible} since this run looked"
    for line in ansible.notes():
        note(line)


@step(17, "Check Flannel's configuration", on="flannel", when=ACTS, parallel=True)
def test_flannel(client: Client, flannel: FlannelHosts) -> None:
    """Flannel finds etcd by a list of members, too, and keeps its data in the v2 store."""
    with precondition("a flanneld whose endpoints are hosts of the inventory"):
        problems = flannel.problems(client)
        assert not problems, "\n".join(problems)
    for line in flannel.notes(client):
        note(line)

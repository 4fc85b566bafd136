"""Do the other places that name the members agree with the member list? Read-only; of use every day."""

from __future__ import annotations

from requorum.ansible import AnsibleGroup
from requorum.clients import Client
from requorum.flannel import FlannelHosts
from requorum.live import Cluster, EtcdMember
from requorum.masters import Masters
from requorum.naming import places
from requorum.stages import ANSWERS, note, postcondition, step
from requorum.wellness import members_not_in_conf, no_members_in_conf


@step(30, "The Ansible inventory names the members", on="ansible", when=ANSWERS)
def test_ansible_inventory(ansible: AnsibleGroup, cluster: Cluster) -> None:
    """A playbook that finds another group [etcd] than there are members undoes what keeps the cluster well."""
    if ansible.aside:
        note(f"{ansible} is not looked at: {ansible.aside}")
    with postcondition(
        "one host in [etcd] for each member, and no other", otherwise=f"edit the group [etcd] in {ansible}"
    ):
        assert not ansible.disagreements(), "\n".join(ansible.disagreements())
    with postcondition(
        "a first host that holds the key of the CA, if any member does", otherwise="see docs/ansible.md"
    ):
        lacking = "" if ansible.surveyed.wrong else ansible.first_without_ca(cluster)
        assert not lacking, lacking


@step(31, "The master names the members", on="masters", when=ANSWERS, parallel=True)
def test_master_names_members(client: Client, masters: Masters) -> None:
    """An API that knows too few members is gone with them; one that knows former members waits for them."""
    advice = "edit master-config.yaml on that master, then master-restart api, and when it is there, controllers"
    with postcondition("every member, and nobody else, in each list of master-config.yaml", otherwise=advice):
        found = masters.disagreements(client)
        assert not found, "\n".join(found)


@step(32, "Flannel names the members", on="flannel", when=ANSWERS, parallel=True)
def test_flannel_names_members(client: Client, flannel: FlannelHosts) -> None:
    """A flanneld that knows too few members is gone with them, and its host's containers at its next restart."""
    advice = "edit /etc/sysconfig/flanneld on that host, then systemctl restart flanneld"
    with postcondition("every member, and nobody else, in the endpoints of flanneld", otherwise=advice):
        found = flannel.disagreements(client)
        assert not found, "\n".join(found)


@step(33, "etcd.conf names members alone", on="members", when=ANSWERS, parallel=True)
def test_etcd_conf_names_members(etcd: EtcdMember, cluster: Cluster) -> None:
    """A member that loses its data starts by this list, beside hosts that are gone. Who joined later may be missing in it."""
    listed, known = cluster.survivor.now("members").members, places(cluster.run.inventory, cluster.run.survey)
    advice = (
        "take it out of ETCD_INITIAL_CLUSTER in /etc/etcd/etcd.conf on that host; etcd need not be restarted for it"
    )
    with postcondition("nobody but members in ETCD_INITIAL_CLUSTER", otherwise=advice):
        found = no_members_in_conf(etcd.surveyed, listed, known)
        assert not found, "\n".join(found)
    for line in members_not_in_conf(etcd.surveyed, listed, known):
        note(line)

"""Could this cluster be recovered, if it lost its quorum today? Read-only; of use every day."""

from __future__ import annotations

from requorum.clients import Client
from requorum.fitness import unfit, unread_notes
from requorum.live import Cluster, EtcdMember
from requorum.masters import Masters
from requorum.stages import ALWAYS, note, precondition, step
from requorum.wellness import misfits


@step(20, "The host could be recovered", on="reached", when=ALWAYS, parallel=True)
def test_fit(etcd: EtcdMember, cluster: Cluster) -> None:
    """Root, etcdctl, a service that reads etcd.conf, room for a backup of twice the data."""
    with precondition("a host that can be changed safely"):
        problems = unfit(etcd.surveyed, cluster.backup.directory)
        assert not problems, "\n".join(problems)
    for line in unread_notes(etcd.surveyed):
        note(line)


@step(21, "The host could join the others", on="reached", when=ALWAYS, parallel=True)
def test_could_join(etcd: EtcdMember, cluster: Cluster) -> None:
    """One version, names of their own, clocks within some seconds."""
    with precondition("a host that can become a member beside any other"):
        problems = misfits(etcd.surveyed, cluster.reached)
        assert not problems, "\n".join(problems)


@step(22, "The host reaches the others", on="reached", when=ALWAYS, parallel=True)
def test_reaches_others(etcd: EtcdMember, cluster: Cluster) -> None:
    """Peers talk on port 2380, both ways; a port that is closed is reached, one behind a firewall is not."""
    with precondition("a way to every other host's peer port", otherwise="open port 2380 between the hosts"):
        others = [cluster.member(facts.name) for facts in cluster.reached if facts.name != etcd.name]
        unreached = [place for other in others for place in etcd.unreached(other)]
        assert not unreached, f"not reached from here: {', '.join(unreached)}"


@step(23, "The master could be taken along", on="masters", when=ALWAYS, parallel=True)
def test_master_fit(client: Client, masters: Masters) -> None:
    """What names members in its configuration is understood, and what its API is asked with is there."""
    with precondition("a master whose configuration names hosts of the inventory, with its tools and certificates"):
        problems = masters.problems(client.name)
        assert not problems, "\n".join(problems)

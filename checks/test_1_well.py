"""Is this cluster well? Read-only; of use every day."""

from __future__ import annotations

from requorum.clients import Client
from requorum.diagnosis import Verdict
from requorum.live import Cluster, EtcdMember
from requorum.stages import ALWAYS, ANSWERS, eventually, note, postcondition, precondition, step
from requorum.wellness import (
    CERTIFICATE_DAYS,
    left_behind,
    member_lists,
    not_at_boot,
    out_of_reach,
    owed_here,
    perhaps_at_boot,
    still_declared_lost,
)

DRY_RUN = (
    "`pytest runbook/ --preconditions` with this inventory says whether the runbook can mend it; it changes nothing"
)


@step(10, "Every host is reached", on="inventory", when=ALWAYS, parallel=True)
def test_reached(cluster: Cluster, target: str) -> None:
    """A host that nobody can log in to cannot be recovered either."""
    beside = cluster.run.beside.get(target)
    facts, lost = beside or cluster.run.survey[target], beside is None and cluster.declared_lost(target)
    silence, advice = out_of_reach(facts, lost=lost)
    with precondition("a host that can be logged in to", otherwise=advice):
        assert not silence, silence
    if told := still_declared_lost(facts, cluster.diagnosis.members, lost=lost):
        note(told)


@step(11, "The verdict is healthy", on="bastion", when=ALWAYS)
def test_healthy(cluster: Cluster) -> None:
    """Every member answers a linearizable read, and no recovery owes anything."""
    found = cluster.diagnosis
    with postcondition("the verdict healthy", otherwise="\n".join((*found.advice, DRY_RUN))):
        assert found.verdict is Verdict.HEALTHY, "\n".join((f"the verdict {found.verdict.value}", *found.proof))


@step(12, "The member answers", on="reached", when=ALWAYS, parallel=True)
def test_answers(etcd: EtcdMember) -> None:
    """A linearizable read: only a member that reaches a leader with quorum answers it."""
    facts = etcd.surveyed
    with postcondition("an answer to a linearizable read", otherwise="look at etcd's log: journalctl -u etcd"):
        assert facts.api.answers, f"no answer; etcd is {facts.unit.state}: {facts.api.error}"


@step(13, "The members agree on who they are", on="bastion", when=ANSWERS)
def test_same_member_list(cluster: Cluster) -> None:
    """Two lists are two clusters, whatever each of them answers."""
    advice = "find out which members hold your data, and stop the others"
    with postcondition("one member list on all members that answer", otherwise=advice):
        lists = member_lists(cluster.reached)
        assert len(set(lists.values())) <= 1, "\n".join(f"{name} says {said}" for name, said in lists.items())


@step(14, "The members hold the same", on="bastion", when=ANSWERS)
def test_same_data(cluster: Cluster) -> None:
    """Health is not enough: members that answer may hold different data (etcd issue 14009)."""
    advice = "find out which members hold your data; do not restart anything before"
    with postcondition("one hash at one revision on all members that answer", otherwise=advice):
        assert eventually(cluster.differing_members, within=15) == []


@step(15, "No alarm is raised", on="members", when=ANSWERS, parallel=True)
def test_no_alarm(etcd: EtcdMember) -> None:
    """With NOSPACE etcd refuses every write; CORRUPT says that members hold different data."""
    advice = "NOSPACE: compact and defragment, then `etcdctl alarm disarm`. CORRUPT: compare the members first"
    with postcondition("no alarm", otherwise=advice):
        status = etcd.surveyed.api.status
        assert status is not None, etcd.surveyed.api.error
        assert not status.errors, "\n".join(status.errors)


@step(16, "Nothing of a recovery is left", on="reached", when=ALWAYS, parallel=True)
def test_nothing_left(etcd: EtcdMember) -> None:
    """A force that stays throws every other member out at the next start; a fence keeps etcd down."""
    advice = f"where a recovery is under way, carry on with it: {DRY_RUN}. What was done by hand, take away by hand"
    with postcondition("no fence, no force, no mark", otherwise=advice):
        assert not left_behind(etcd.surveyed), "\n".join(left_behind(etcd.surveyed))


@step(17, "Etcd starts at boot", on="reached", when=ALWAYS, parallel=True)
def test_starts_at_boot(etcd: EtcdMember) -> None:
    """Quorum is lost at the second reboot where it does not."""
    with postcondition("etcd.service enabled", otherwise="systemctl enable etcd (unmask it first where it is masked)"):
        assert not not_at_boot(etcd.surveyed), not_at_boot(etcd.surveyed)
    if unknown := perhaps_at_boot(etcd.surveyed):
        note(unknown)


@step(18, "The certificates hold", on="reached", when=ALWAYS, parallel=True)
def test_certificates(etcd: EtcdMember) -> None:
    """When they end, every connection that is opened anew fails, on all members on the same day."""
    with postcondition("certificates that clients and peers trust today", otherwise="renew or replace them"):
        assert not etcd.certificate_problems(), "\n".join(etcd.certificate_problems())
    with postcondition(f"certificates that are valid for {CERTIFICATE_DAYS} more days", otherwise="renew them"):
        ending = etcd.certificates_ending(CERTIFICATE_DAYS)
        assert not ending, "\n".join(ending)


@step(19, "No restart is owed beside the cluster", on="beside", when=ALWAYS, parallel=True)
def test_nothing_left_beside(client: Client) -> None:
    """A master or a flanneld that was edited and not restarted goes on with the members of before."""
    with postcondition("no restart is owed", otherwise=f"carry on with the recovery: {DRY_RUN}"):
        assert not owed_here(client.surveyed), "\n".join(owed_here(client.surveyed))

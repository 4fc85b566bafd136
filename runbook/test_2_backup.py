"""Stage 2 · Back up (38.1.1). A backup counts only when it is proven."""

from __future__ import annotations

from pathlib import PurePosixPath

from requorum import operations
from requorum.ansible import AnsibleGroup
from requorum.fitness import of_host, unlike_surveyed
from requorum.live import Cluster, EtcdMember
from requorum.masters import NO_OC, Masters
from requorum.stages import ACTS, LOST, QUORUM, Hand, action, note, postcondition, proven, step
from requorum.v2_store import V2Store

MEND = "mend each of these on its host, then run the same command again"


@step(20, "Sign the host", on="touched", when=ACTS, parallel=True)
def test_sign(etcd: EtcdMember, cluster: Cluster) -> None:
    """Another operator's machine can carry on from this mark, or undo: it says what was found here."""
    removed = etcd.name in cluster.diagnosis.old_peers  # fenced since the survey, and to stay so
    with action("write down which recovery is under way; have etcd's own tools at hand") as hand:
        hand.make(operations.marking.sign(etcd.surveyed, cluster.mark, removed=removed))
        keep_tools(etcd, cluster, hand)
    with postcondition("the mark is there"):
        assert etcd.mark == operations.marking.signed(etcd.surveyed, cluster.mark, removed=removed)
    if to_be_judged(etcd, cluster):
        with postcondition(
            "the image's etcd, of which the survey could not tell, is one to go on with", otherwise=MEND
        ):
            found, joins = etcd.now("versions"), etcd.name in cluster.diagnosis.joiners
            problems = unlike_surveyed(found, cluster.survivor.surveyed, joins=joins)
            assert not problems, "\n".join(problems)
            note(of_host(found) or f"etcd {found.machine.etcd_version} in the image {found.image}")


def to_be_judged(etcd: EtcdMember, cluster: Cluster) -> bool:
    """Step 12 or 13 left its version, or the survivor's beside which it joins, to this one. Only where etcd is to be started."""
    here, found = etcd.surveyed.version_open, cluster.diagnosis
    if etcd.name == found.survivor:
        return here
    return etcd.name in found.joiners and (here or cluster.survivor.surveyed.version_open)


def keep_tools(etcd: EtcdMember, cluster: Cluster, hand: Hand) -> None:
    """Where no data is read, and no etcd started of which the survey could not tell, nobody needs them: no reason to stop."""
    tools, facts = operations.tools.keep(etcd.surveyed), etcd.surveyed
    if facts.has_data or (facts.version_open and to_be_judged(etcd, cluster)):
        hand.make(tools)
    elif failed := hand.attempt(tools):
        note(f"etcd and etcdctl of the image could not be kept, and are not needed now: {failed}")


@step(21, "Back up the configuration", on="touched", when=ACTS, parallel=True)
def test_back_up_configuration(etcd: EtcdMember, cluster: Cluster) -> None:
    """38.1.1.1: certificates and configuration differ per member; all of them, and a copy away from the host."""
    with action("copy /etc/etcd, and fetch the copy") as hand:
        hand.make(operations.backup.keep_configuration(etcd.surveyed, cluster.backup))
    with postcondition("the copy is this member's, and holds every file as it was copied"):
        # Not as it is now: a recovery that is carried on has edited etcd.conf since.
        assert etcd.damaged_in(cluster.backup.configuration) == []
        assert etcd.conf_in(cluster.backup.configuration).name == etcd.surveyed.conf.name
        copy = cluster.backup.fetched_copy(etcd.name, "config")
        proven(cluster.backup.configuration, copy, "the configuration as surveyed")


@step(22, "Back up the data", on="touched", when=LOST, parallel=True)
def test_back_up_data(etcd: EtcdMember, cluster: Cluster) -> None:
    """38.1.1.2: database and write-ahead log of every member that has any, and a copy away from the host."""
    if etcd.surveyed.by_oc and etcd.surveyed.has_data:
        note(NO_OC)
    with action("copy the data directory, where it holds any, and fetch the copy") as hand:
        hand.make(operations.backup.keep_data(etcd.surveyed, cluster.backup))
    with postcondition(
        "etcd's own tool reads the copy, if there was data, at a revision that the survey read or passed"
    ):
        # Below it where the copy is an interrupted run's: since then a clean stop may have written into the database
        # what the copied log holds.
        copied, surveyed = cluster.copied_revision(etcd), cluster.surveyed_revision(etcd)
        assert min(1, surveyed) <= copied <= surveyed, f"the copy is at revision {copied}, the survey read {surveyed}"
        if copied:
            proven(
                cluster.backup.data(etcd.surveyed), cluster.backup.fetched_copy(etcd.name, "data"), f"revision {copied}"
            )


@step(23, "Save a snapshot", on="speaker", when=QUORUM)
def test_save_snapshot(etcd: EtcdMember, cluster: Cluster, masters: Masters) -> None:
    """38.1.1.2: a quorum answers, so etcd itself writes the backup."""
    with action("have a member save a snapshot, and fetch it") as hand:
        hand.make(operations.backup.save_snapshot(etcd.surveyed, cluster.backup, "before"))
    with postcondition("etcd's own tool reads it"):
        revision = cluster.snapshot_revision(etcd, "before")
        copy = cluster.backup.fetched_copy(etcd.name, "snapshot-before")
        proven(cluster.backup.snapshot("before", etcd.surveyed), copy, f"revision {revision}")
        if fallback := masters.saved_without_oc(etcd.surveyed, cluster.backup.snapshot("before", etcd.surveyed)):
            note(fallback)


@step(24, "Keep the Ansible inventory", on="ansible", when=ACTS)
def test_keep_ansible_inventory(ansible: AnsibleGroup) -> None:
    """On the machine that runs this, in the run's folder, with its owner and mode."""
    with action(
        "copy the Ansible inventory", otherwise="look at it on this machine, then run the same command again"
    ) as hand:
        hand.make(ansible.keep())
    with postcondition("the copy holds every byte of it"):
        assert ansible.aside or ansible.kept()
        if not ansible.aside:
            proven(PurePosixPath(ansible.surveyed.path), ansible.copy, "the Ansible inventory as found")


@step(25, "Back up the CA", on="authority", when=ACTS)
def test_back_up_ca(etcd: EtcdMember, cluster: Cluster) -> None:
    """It may lie on a member that nothing else is done to; its database changes where certificates are made."""
    with action("copy /etc/etcd, and fetch the copy") as hand:
        hand.make(operations.backup.keep_configuration(etcd.surveyed, cluster.backup))
    with postcondition("the copy holds every file as it was copied"):
        assert etcd.damaged_in(cluster.backup.configuration) == []
        copy = cluster.backup.fetched_copy(etcd.name, "config")
        proven(cluster.backup.configuration, copy, "the configuration and the CA as surveyed")


@step(26, "Back up the v2 data", on="v2", when=ACTS)
def test_back_up_v2(etcd: EtcdMember, cluster: Cluster, v2: V2Store) -> None:
    """38.1.1.2: `etcdctl backup`; a snapshot does not hold what the v2 API has written, Flannel's configuration for one."""
    for line in v2.notes():
        note(line)
    with action("back up the v2 store, read every key of the copies in a scratch etcd, and fetch them") as hand:
        hand.make(operations.backup.keep_v2(etcd.surveyed, cluster.backup, running=not v2.lost))
    with postcondition("every copy, if there is one, holds every v2 key, as the member serves them"):
        assert v2.damaged(etcd) == []
        proven(v2.place(etcd), cluster.backup.fetched_copy(etcd.name, "v2"), v2.proven_by(etcd))
    for line in v2.not_kept(etcd):
        note(line)


@step(27, "Back up the data that is taken out", on="newcomers", when=QUORUM, parallel=True)
def test_back_up_old_data(etcd: EtcdMember, cluster: Cluster) -> None:
    """38.1.1.2: of a host that joins anew, what it still holds; step 50 moves it aside, and this is another copy."""
    with action("copy the data directory, where it holds any, and fetch the copy") as hand:
        hand.make(operations.backup.keep_data(etcd.surveyed, cluster.backup))
    with postcondition("etcd's own tool reads the copy, where the survey could read the data"):
        copied = cluster.copied_revision(etcd)
        assert copied >= min(1, cluster.surveyed_revision(etcd))
        if copied:
            proven(
                cluster.backup.data(etcd.surveyed), cluster.backup.fetched_copy(etcd.name, "data"), f"revision {copied}"
            )

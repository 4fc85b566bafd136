"""Stage 9 · Abort: what an unfinished recovery did is undone, last things first. These steps, and no others, are --abort.

What cannot be undone is a change of the member list: step 42, or, with a quorum, steps 31 and 51.
"""

from __future__ import annotations

from requorum import operations
from requorum.ansible import AnsibleGroup
from requorum.clients import Client
from requorum.former import FormerClients, FormerHost
from requorum.live import Cluster, EtcdMember
from requorum.stages import ABORT, action, eventually, note, postcondition, precondition, step

BY_HAND = (
    "etcd.conf, master-config.yaml, flanneld: compare it with the backup, or with how it was found, put right by hand what is "
    "to be in it, and abort again; the log: finish the recovery, with the same command without --abort"
)


@step(90, "Prove that the recovery can be undone", on="bastion", when=ABORT)
def test_can_be_undone(cluster: Cluster, former_clients: FormerClients) -> None:
    """The member list is the one that the recovery found: the point of no return is not behind it."""
    undoing = cluster.run.undoing
    with precondition("a recovery that can still be undone", otherwise="\n".join(undoing.advice)):
        assert not undoing.problems, "\n".join(undoing.problems)
    if cluster.run.ansible is not None:
        with precondition("an Ansible inventory that can be put back", otherwise=cluster.run.ansible.advice):
            problems = AnsibleGroup(cluster.run).cannot_undo()
            assert not problems, "\n".join(problems)
    with precondition("what names members beside the cluster can be put back", otherwise=BY_HAND):
        edited = former_clients.problems()
        assert not edited, "\n".join(edited)
    for line in undoing.left:
        note(line)


@step(91, "Check what is to be put back", on="signed", when=ABORT, parallel=True)
def test_what_is_put_back(former: FormerHost) -> None:
    """Nothing is guessed: what was found is in the mark, and what was edited in the backup."""
    with precondition("etcd.conf and the log as they were found, or as the recovery left them", otherwise=BY_HAND):
        problems = former.problems()
        assert not problems, "\n".join(problems)


@step(92, "Take the force off the start path", on="signed", when=ABORT, parallel=True)
def test_clear_start_path(etcd: EtcdMember) -> None:
    """Undoes step 42 up to the forced start."""
    with precondition("no process forces a new cluster"):
        assert not etcd.forced()
    with action("remove the force") as hand:
        hand.make(operations.etcd.clear_start_path(etcd.surveyed))
    with postcondition("no start path forces"):
        assert not etcd.unit.forced


@step(93, "Put the log back", on="signed", when=ABORT, parallel=True)
def test_restore_log(etcd: EtcdMember) -> None:
    """Undoes step 41, where that kept the segment to which it appended; else its record says what is true anyway."""
    with action("put the original segment back, where there is one") as hand:
        hand.make(operations.etcd.put_log_back(etcd.surveyed))


@step(94, "Put etcd.conf back", on="signed", when=ABORT, parallel=True)
def test_restore_configuration(etcd: EtcdMember, former: FormerHost) -> None:
    """Undoes steps 32, 33, 35, 39, and what 30 and 40 took out of a manifest, before etcd starts; and what 61 enabled.

    A manifest that the node service runs waits for step 96: put back on all hosts at once, all members would restart.
    """
    kept = former.conf
    with action(
        "restore what was edited or enabled: etcd.conf from the backup, master-config.yaml, Flannel's, manifest, certificates"
    ) as hand:
        hand.make(operations.backup.restore_configuration(etcd.surveyed, former.place, kept))
        hand.make(operations.masters.put_back(etcd.surveyed))
        hand.make(operations.flannel.put_back(etcd.surveyed))
        hand.make(operations.certificates.put_back(etcd.surveyed))
        hand.make(operations.probe.give_back_parked(etcd.surveyed))
        hand.make(operations.etcd.boot_as_found(etcd.surveyed))
    with postcondition("etcd.conf is what the recovery found"):
        assert etcd.conf.sha256 == former.found.conf


@step(95, "Start the survivor as it was", on="kept", when=ABORT)
def test_start_survivor(etcd: EtcdMember, former: FormerHost) -> None:
    """Undoes step 40. Before any fence is lifted: emptied peers found a new cluster while nobody answers them."""
    with action("start etcd, if it ran when the recovery came") as hand:
        hand.make(operations.fence.lower_fence(etcd.surveyed))
        hand.make(operations.etcd.start_as_found(etcd.surveyed))
    with postcondition("it answers its peers, if it ran when the recovery came"):
        assert not former.found.starts or eventually(lambda: len(etcd.listeners()), within=60) == 1


@step(96, "Return the liveness probe of a pod that runs", on="signed", when=ABORT)
def test_return_probe_of_living(etcd: EtcdMember) -> None:
    """Undoes step 37. One pod after the other, since each restarts: beside the others a quorum goes on."""
    with action("put the manifest back as it was found, where the node service runs it") as hand:
        hand.make(operations.probe.give_back(etcd.now("unit", "process")))
    with postcondition("it answers a linearizable read, if it did when this abort began"):
        assert not etcd.surveyed.api.answers or eventually(etcd.answers, within=60) == True  # noqa: E712 (read again)


@step(97, "Move the data back", on="set aside", when=ABORT, parallel=True)
def test_move_data_back(etcd: EtcdMember, former: FormerHost) -> None:
    """Undoes step 50, which comes before the point of no return only where a quorum answers and nobody was removed.

    A join that was taken back (step 51) has left data of its own there, which is kept, too.
    """
    with action(
        "move back what was moved aside, fenced meanwhile; what a join has left there is kept beside it"
    ) as hand:
        hand.make(operations.etcd.move_data_back(etcd.now("unit", "process")))
    with postcondition("the data directory holds what it held"):
        now = etcd.now("machine")
        assert now.has_data == former.found.data
        assert not now.moved_aside


@step(98, "Lift the fence", on="set aside", when=ABORT, parallel=True)
def test_lift_fence(etcd: EtcdMember) -> None:
    """Undoes step 30; and step 51, where that has lifted a fence that the recovery found: it is raised again."""
    with action("lift the fence, or raise the one that was found; start etcd, if it ran then and has its data") as hand:
        hand.make(operations.fence.lower_fence(etcd.now("unit")))
        hand.make(operations.etcd.start_as_found(etcd.surveyed))


@step(99, "Prove that the host is as it was found", on="signed", when=ABORT, parallel=True)
def test_as_found(former: FormerHost) -> None:
    """Against what the first survey of the recovery saw, as its mark has it."""
    with postcondition("the configuration, the unit, the data and etcd itself are as they were found"):
        assert eventually(former.differences, within=30) == []


@step(100, "Put the Ansible inventory back", on="ansible", when=ABORT)
def test_restore_group(ansible: AnsibleGroup) -> None:
    """Undoes step 34, before the marks go: an abort that is cut off here is carried on."""
    with action("put the group [etcd] back as it was found") as hand:
        hand.make(ansible.undo())


@step(101, "Put masters and Flannel back beside the cluster", on="beside", when=ABORT)
def test_restore_beside(client: Client, former_clients: FormerClients) -> None:
    """Undoes steps 33 and 35 there, and 48 and 49 with a quorum, before the marks go."""
    with action("restore master-config.yaml and Flannel's configuration, where they were edited") as hand:
        hand.make(operations.masters.put_back(client.surveyed))
        hand.make(operations.flannel.put_back(client.surveyed))
        hand.make(operations.marking.clear_unfinished(client.surveyed))
    with postcondition("nothing is noted down any more"):
        assert former_clients.differences(client) == []


@step(102, "Strike the mark", on="signed", when=ABORT, parallel=True)
def test_strike_after_abort(etcd: EtcdMember) -> None:
    """Undoes step 20: the recovery is over. The backups stay."""
    with action("remove the mark of the recovery") as hand:
        hand.make(operations.tools.forget(etcd.surveyed))
        hand.make(operations.marking.strike_undone(etcd.surveyed))
    with postcondition("no mark is left"):
        assert etcd.mark is None

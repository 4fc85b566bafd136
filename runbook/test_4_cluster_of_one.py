"""Stage 4 · A cluster of one (38.1.3)."""

from __future__ import annotations

from requorum import operations
from requorum.clients import Client
from requorum.diagnosis import Verdict
from requorum.fitness import forces
from requorum.forced_data import LOOK, not_made, unlike_backup
from requorum.lineage import led_since
from requorum.live import WITHOUT_TAIL, Cluster, EtcdMember
from requorum.masters import MEND, Masters
from requorum.records import WRITABLE
from requorum.returning import returned, told_apart
from requorum.stages import ACTS, LOST, action, eventually, note, postcondition, precondition, step
from requorum.v2_store import V2Store

LOOK_ANEW = "run the same command again: it looks anew, and compares the logs of all hosts"
START_THEM = "start what has come back, as said above, and do not force; `--abort` undoes what was done until here"


@step(40, "Stop etcd on the survivor", on="survivor", when=LOST)
def test_stop_survivor(etcd: EtcdMember, cluster: Cluster) -> None:
    """38.1.3. Not before every fence is proven: emptied peers would found a new cluster under the old IDs."""
    with precondition("every other host that can be reached is fenced", after=30):
        assert cluster.unfenced() == []
    with precondition("quorum is still lost, and the survivor is still the best", otherwise=START_THEM):
        found = cluster.diagnosed_again()
        assert (found.verdict, found.survivor) == (Verdict.LOST, etcd.name), "\n".join((*found.proof, *found.advice))
    with precondition(
        "no host has come back since the survey", otherwise="run the same command again: it is fenced first"
    ):
        assert found.others == cluster.diagnosis.others
    with action("stop etcd, so that it writes its commit index; a pod starts without its liveness probe later") as hand:
        hand.make(operations.etcd.stop(etcd.surveyed))
        hand.make(operations.probe.take_out(etcd.surveyed))
    with postcondition("no etcd runs here"):
        assert eventually(etcd.open_ports, within=30) == set()


@step(41, "Keep the tail", on="survivor", when=LOST)
def test_keep_the_tail(etcd: EtcdMember, cluster: Cluster) -> None:
    """A forced start cuts the log at its commit index on disk, which lags behind: acknowledged writes may lie above."""
    with precondition("etcd is stopped on the survivor", after=40):
        assert etcd.processes == ()
    data, proof, whole = etcd.data, None, cluster.keeps_tail
    with precondition("its log ends where the survey found it to end: nobody has led it since", otherwise=LOOK_ANEW):
        assert led_since(etcd.surveyed.data, data) == "", led_since(etcd.surveyed.data, data)
    with precondition("what the survivor will hold can be told from its log", after=40, otherwise=WITHOUT_TAIL):
        proof = cluster.proof_of_tail(data)
    if proof and data.tail and data.tail.count:
        note(
            f"kept: {data.tail.words}; writes that clients saw time out, or that a lost majority overwrote, may appear"
        )
    with action(
        "commit the survivor's log; first on a copy, where a scratch etcd is held against what the log says",
        otherwise=WITHOUT_TAIL,
    ) as hand:
        hand.make(operations.etcd.keep_tail(etcd.surveyed, data, cluster.backup, whole=whole, proof=proof))
    with postcondition("the log is whole, and its commit index is where the tail ends"):
        found = etcd.data
        assert not found.error, found.error
        assert (found.commit or 0) >= (data.end_of_tail if whole else data.settled), found.words
        if proof and etcd.tries_hosts_own():
            note("tried with the host's own etcd, of the same version: that of the image could not be had")


@step(42, "Force a new cluster on the survivor", on="survivor", when=LOST, destructive=True)
def test_force_new_cluster(etcd: EtcdMember, cluster: Cluster) -> None:
    """38.1.3: etcd starts forced: it keeps its data and forgets the other members. The point of no return."""
    with precondition("etcd is stopped on the survivor", after=40):
        assert etcd.processes == ()
    with precondition("every other host that can be reached is fenced", after=30):
        assert cluster.unfenced() == []
    with precondition("no silent host has come back", otherwise=START_THEM):
        back = returned(cluster)
        assert not back, "\n".join(back)
    with precondition("the survivor's data can be forced without losing what its database holds", after=40):
        assert cluster.refusal_of_survivor() == "", cluster.refusal_of_survivor()
    with action("start etcd, forcing a new cluster") as hand:
        hand.make(operations.marking.remember_force(etcd.surveyed, cluster.mark))
        hand.make(operations.etcd.force_new_cluster(etcd.now("unit")))
    with postcondition("the force reached the live process"):
        assert etcd.forced()
    with postcondition("the survivor is the only voting member"):
        assert eventually(etcd.voter_names, within=60) == [etcd.surveyed.conf.name]


@step(43, "Remove learners that outlived the force", on="survivor", when=LOST)
def test_remove_leftovers(etcd: EtcdMember) -> None:
    """A forced start keeps learners (3.4, 3.5), and beside one no other can be added."""
    with action("remove every other member that is listed") as hand:
        hand.make(operations.membership.remove_all_but_itself(etcd.now("api")))
    with postcondition("the member list holds exactly the survivor"):
        assert etcd.member_names() == [etcd.surveyed.conf.name]


@step(44, "Take the force away", on="survivor", when=ACTS)
def test_take_force_away(etcd: EtcdMember) -> None:
    """38.1.3, what the chapter forgets: the next forced start would throw every new member out.

    Only this proves the force: killed before its election, the removals are not committed.
    """
    with precondition("a process that forces has no other voting member beside it", after=43):
        assert not etcd.forced() or etcd.voter_names() == [etcd.surveyed.conf.name]
    with action("remove the force, start etcd without it") as hand:
        hand.make(operations.etcd.take_force_away(etcd.now("process")))
    with postcondition("no start path and no live process forces"):
        assert forces(etcd.now("unit", "process")) == []
    with postcondition("the survivor writes"):
        assert eventually(etcd.writes, within=30) == etcd.surveyed.machine.hostname
        note(WRITABLE)


@step(45, "Prove the survivor's data against the backup", on="unproven", when=ACTS)
def test_data_is_the_backups(etcd: EtcdMember, cluster: Cluster, v2: V2Store) -> None:
    """38.1.3: what the survivor holds at the backup's revision is what the backup holds, key by key.

    Where the run that forced it did not come so far, the same command proves it, before anybody joins.
    """
    with postcondition("no key differs at the backup's revision, as far as that can still be told", otherwise=LOOK):
        differing, why = unlike_backup(cluster)
        assert differing == []
        if why:
            note(not_made(why))
    with postcondition("no v2 key differs, or is gone, unless it was written to since", otherwise=LOOK):
        assert v2.unlike_backup(etcd) == []
        if v2.used and not v2.lost:
            note(not_made("its v2 keys are compared by the run that forces only"))


@step(46, "Advertise the peer URL", on="survivor", when=ACTS)
def test_peer_urls(etcd: EtcdMember) -> None:
    """38.1.3: after a force the listed peer URL can read http://localhost:2380."""
    with action("update the listed peer URL where it is not the advertised one") as hand:
        hand.make(operations.membership.advertise(etcd.now("api")))
    with postcondition("the listed peer URLs are the advertised ones"):
        assert etcd.peer_urls() == set(etcd.surveyed.conf.peer_urls)


@step(47, "Tell what the removed member holds", on="old_peers", when=ACTS, parallel=True)
def test_old_peer(etcd: EtcdMember, cluster: Cluster) -> None:
    """Whether it took writes of its own while the survivor was away is shown; nothing is merged."""
    with postcondition("its data is compared with the survivor's, key by key"):
        note(told_apart(cluster, etcd))


@step(48, "Restart the API", on="masters", when=ACTS, blocks=False)
def test_restart_api(client: Client, masters: Masters) -> None:
    """38.1.2, now that there is an etcd to connect to; one master at a time, each proven by a write and a watch before the next.

    Without a restart it goes on watching from revisions that the survivor may never have had. A master that cannot be
    proven does not keep etcd from being made whole: the restart stays owed, and comes again in stage 6.
    """
    with precondition("every master before this one is proven", after=48, otherwise=MEND):
        assert masters.unproven_before(client) == []
    with action("restart the API; write, read, watch and delete through it", otherwise=MEND) as hand:
        hand.make(operations.masters.restart(client.now("master"), "api"))
    with postcondition("what it lists from its memory is what etcd holds", otherwise=MEND):
        assert eventually(lambda: masters.stale(client), within=30) == []


@step(49, "Restart the controllers", on="masters", when=ACTS, blocks=False)
def test_restart_controllers(client: Client, masters: Masters) -> None:
    """38.1.2; one master at a time, once its API is proven."""
    with precondition("no restart of its API is owed", after=48, otherwise=MEND):
        assert "api" not in masters.now(client).owes
    with action("restart the controllers, and wait until they are well", otherwise=MEND) as hand:
        hand.make(operations.masters.restart(client.now("master"), "controllers"))
    with postcondition("no restart is owed", otherwise=MEND):
        assert masters.now(client).owes == ()

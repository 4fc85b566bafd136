"""Two histories of one cluster, of which one was forced apart by hand. Rows of docs/hazards.md, *Survivor*."""

from __future__ import annotations

from hazards import LOST, put, refused, start, stop
from runbook_runs import Done, assert_told, assert_whole, run, state, written

from lab import Lab
from lab.writer import Write

DROP_IN = "/etc/systemd/system/etcd.service.d/temp.conf"


def _force_by_hand(lab: Lab) -> None:
    """The chapter's steps on etcd-0: forced, then started plainly. Nothing on the host says so afterwards."""
    put(lab, "etcd-0", DROP_IN, "[Service]\nEnvironment=ETCD_FORCE_NEW_CLUSTER=true\n")
    lab.run("etcd-0", "systemctl daemon-reload && systemctl restart etcd")
    lab.run("etcd-0", f"rm {DROP_IN} && systemctl daemon-reload && systemctl restart etcd")
    lab.wait_healthy(["etcd-0"])


def _forced_by_hand(lab: Lab) -> list[Write]:
    """etcd-0 was forced as the chapter says, took 20 writes and is stopped; the others are a quorum of their own since.

    Returns what the others must hold: they have taken 100 writes that etcd-0 never had.
    """

    def make() -> list[Write]:
        writes = written(lab)
        stop(lab, LOST)
        _force_by_hand(lab)
        for number in range(20):
            lab.etcdctl("etcd-0", "put", f"apart/{number}", "x")
        stop(lab, ["etcd-0"])
        start(lab, LOST)
        lab.wait_healthy(LOST)
        return writes + written(lab, 100, LOST)

    return state(lab, "hazard-forced-by-hand-and-stopped", make)


def _unproven(lab: Lab, *says: str) -> Done:
    done = refused(
        lab,
        "unproven",
        [
            "the data of etcd-0.example.com (revision 221) has removed ",
            "one history was forced apart from the other",
            "do not start etcd on etcd-0.example.com",
            "find out which of them your clients have written to last",
            *says,
        ],
    )
    assert "systemctl start" not in done.output
    return done


def test_forced_by_hand_then_stopped_while_the_old_quorum_answers(lab3: Lab) -> None:
    """Started, etcd-0 would serve as a second cluster, and tell the others that they were removed. No counter shows it."""
    writes = _forced_by_hand(lab3)
    done = _unproven(lab3, "and a quorum answers that lists them")
    command = "mv /var/lib/etcd/member to another place"
    assert f"etcd-0.example.com: {command}" in done.output
    lab3.run("etcd-0", "mkdir /root/aside && mv /var/lib/etcd/member /root/aside/")
    again = run(lab3)
    assert_told(again, exit=0, outcome="recovered", verdict="degraded", says=["3 of 3 members"])
    assert_whole(lab3, writes)


def test_forced_by_hand_and_all_are_stopped(lab3: Lab) -> None:
    """Each of the three has its data, and Raft would take the old quorum's for the newer."""
    _forced_by_hand(lab3)
    stop(lab3, LOST)
    _unproven(lab3, "and the newest log, on etcd-")


def test_a_member_that_lagged_was_forced_by_hand_and_answers(lab3: Lab) -> None:
    """It serves as a cluster of one; those that it has removed hold what it never had, and are merely stopped."""

    def make() -> list[Write]:
        writes = written(lab3)
        stop(lab3, ["etcd-0"])
        lab3.wait_healthy(LOST)
        writes += written(lab3, 100, LOST)
        stop(lab3, LOST)
        _force_by_hand(lab3)
        return writes

    writes = state(lab3, "hazard-lagged-and-forced-by-hand", make)
    names = ", ".join(f"{host}.example.com" for host in LOST)
    holds = "holds revision 301 (committed up to entry "
    says = [f"{host}.example.com {holds}" for host in LOST]
    way = f"if that is {names}: stop and disable etcd on the hosts of the other one, move their data aside"
    refused(lab3, "unproven", [*says, "the members that answer are at revision 201", way])
    lab3.run("etcd-0", "systemctl disable --now etcd && mkdir /root/aside && mv /var/lib/etcd/member /root/aside/")
    start(lab3, LOST)
    lab3.wait_healthy(LOST)
    again = run(lab3)
    assert_told(again, exit=0, outcome="recovered", verdict="degraded", says=["3 of 3 members"])
    assert_whole(lab3, writes)

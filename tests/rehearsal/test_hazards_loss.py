"""What could be taken for a lost quorum, and is not; and the other way round. Rows of docs/hazards.md, *Loss*."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hazards import (
    LOST,
    assert_never_forced,
    change_a_value,
    edited,
    empty,
    firewall,
    healthy,
    holding,
    line_of,
    put,
    recovers,
    refused,
    refused_for_other_data,
    remove_member,
    start,
    stop,
    wait_state,
    whole,
    write_conf,
)
from not_running import CAUSES
from runbook_runs import assert_told, assert_whole, broken, declared_lost, left_behind, run

from lab import Lab, wait
from lab.parallel import in_parallel

Labs = Callable[..., Lab]
full = pytest.mark.full


@pytest.mark.parametrize("declared", [False, pytest.param(True, marks=full)])
def test_a_disk_that_is_not_mounted(lab3: Lab, tmp_path: Path, declared: bool) -> None:
    """What lies below the mount point is not the member's data; a host that is taken in would lose it at its next boot.

    Whoever declares the hosts lost gives up what cannot be read: the verdict is *lost*, and no host is taken in.
    """
    whole(lab3)
    data = lab3.record.spec.data_dir
    script = f"""systemctl stop etcd; mv {data} /srv/disk
mkdir {data} && chown etcd: {data} && chmod 700 {data}
echo "/srv/disk {data} none bind,nofail 0 0" >> /etc/fstab; systemctl daemon-reload"""
    in_parallel(lambda host: lab3.run(host, script), LOST)
    inventory = declared_lost(lab3, LOST, tmp_path / "inventory.yaml") if declared else None
    says = [f"no file system is mounted at {data}, and one should be: `mount {data}`"]
    refused(lab3, "lost" if declared else "unproven", says, inventory=inventory)


@pytest.mark.parametrize(
    ("drop_in", "said"),
    [
        ("EnvironmentFile=/etc/etcd/local.conf", "ETCD_DATA_DIR in /etc/etcd/local.conf"),
        pytest.param("ExecStart=\nExecStart=/usr/bin/etcd --data-dir /srv/real", "--data-dir /srv/real", marks=full),
    ],
    ids=["file", "flag"],
)
def test_the_data_is_not_where_etcd_conf_says(lab3: Lab, drop_in: str, said: str) -> None:
    """Two members that are merely stopped; their old, empty directory must not count."""
    whole(lab3)
    data = lab3.record.spec.data_dir
    script = f"""systemctl stop etcd; mv {data} /srv/real; mkdir {data} && chown etcd: {data} && chmod 700 {data}
echo ETCD_DATA_DIR=/srv/real > /etc/etcd/local.conf
mkdir -p /etc/systemd/system/etcd.service.d
printf '[Service]\n{drop_in}\n' > /etc/systemd/system/etcd.service.d/local.conf; systemctl daemon-reload"""
    in_parallel(lambda host: lab3.run(host, script), LOST)
    refused(lab3, "unproven", ["etcd-1.example.com", said, "etcd.conf"])


@full
def test_members_that_answer_and_differ(lab3: Lab) -> None:
    """All healthy, one revision, and one value is another on etcd-2."""
    whole(lab3)
    change_a_value(lab3, "etcd-2")
    refused_for_other_data(lab3, "etcd-2")


def _deaf_to_ssh(lab: Lab, hosts: list[str]) -> None:
    for host in hosts:
        lab.run(host, "systemctl stop ssh.socket ssh.service")


def _heard(lab: Lab) -> list[str]:
    return [f"https://{lab.host(host).address}:2380 listens, as seen from etcd-0.example.com" for host in LOST]


def test_a_lost_host_without_ssh_whose_etcd_lives(lab3: Lab, tmp_path: Path) -> None:
    """The other two take writes, and SSH does not reach them: forcing here would be a second cluster."""
    whole(lab3)
    stop(lab3, ["etcd-0"])
    _deaf_to_ssh(lab3, LOST)
    inventory = declared_lost(lab3, LOST, tmp_path / "inventory.yaml")
    says = ["alive, whatever is declared", *_heard(lab3), "mend SSH", "or take the host's power"]
    refused(lab3, "unproven", says, inventory=inventory)
    assert lab3.healthy("etcd-1")


@full
def test_silent_hosts_whose_etcd_lives(lab3: Lab) -> None:
    """As above, and nobody has declared anything: the advice is not to do so."""
    whole(lab3)
    stop(lab3, ["etcd-0"])
    _deaf_to_ssh(lab3, LOST)
    says = ["the etcd of etcd-1.example.com lives", *_heard(lab3), "mend SSH", "or take the host's power"]
    done = refused(lab3, "unproven", says)
    assert "lost: true" not in done.output


@full
def test_no_host_is_reached_by_ssh_while_etcd_answers(lab3: Lab) -> None:
    whole(lab3)
    _deaf_to_ssh(lab3, [host.short for host in lab3.hosts])
    each = [f"{host.name}: {host.address} port 22 refuses connections; " for host in lab3.hosts]
    refused(lab3, "unproven", ["no host of the inventory could be reached", *each, "systemctl status sshd"])
    assert all(map(lab3.healthy, lab3.hosts))


def test_a_partition_with_the_quorum_on_the_other_side(lab3: Lab) -> None:
    whole(lab3)
    firewall(lab3, "etcd-0", both_ways=True)
    wait.until(lambda: not lab3.healthy("etcd-0"), "etcd-0 has lost its leader", 30)
    lab3.wait_healthy(LOST)
    says = ["2 of 3 voting members answer", "etcd-0.example.com has its data"]
    refused(lab3, "degraded", says)


@full
def test_a_partition_that_leaves_every_member_alone(lab3: Lab) -> None:
    whole(lab3)
    for host in lab3.hosts:
        firewall(lab3, host.short, both_ways=True)
    wait.until(lambda: not any(map(lab3.healthy, lab3.hosts)), "no member has a leader", 30)
    refused(lab3, "restartable", ["3 members have their data", "finds no leader"])


QUICK_CAUSES = ("foreign-data",)


@pytest.mark.parametrize("cause", [c if c in QUICK_CAUSES else pytest.param(c, marks=full) for c in CAUSES])
def test_members_with_their_data_that_do_not_run(lab3: Lab, cause: str) -> None:
    break_it, words = CAUSES[cause]
    whole(lab3)
    stop(lab3, ["etcd-2"])
    break_it(lab3)
    wait.until(lambda: not any(map(lab3.healthy, lab3.hosts)), "the quorum is lost", 30)
    says = ["never force", *words, "etcd-2.example.com: systemctl start etcd"]
    refused(lab3, "restartable", says)


@full
def test_an_addition_that_etcd_rejected(lab3: Lab) -> None:
    """etcd commits it before it rejects it, so it is in every log: with a fourth voter two of three would be too few."""
    whole(lab3)
    add = f"member add another --peer-urls={lab3.host('etcd-1').peer_url}"

    def rejected() -> bool:  # for 5 s after the members have met the cluster counts as unhealthy, and proposes nothing
        return "Peer URLs already exists" in lab3.etcdctl("etcd-0", add, check=False).stderr

    wait.until(rejected, "etcd rejects the URL of another member", 30)
    stop(lab3, ["etcd-0", "etcd-1"])
    empty(lab3, ["etcd-2"])
    says = ["never force", "etcd-0.example.com: systemctl start etcd", "etcd-1.example.com: systemctl start etcd"]
    refused(lab3, "restartable", says)


@full
def test_the_space_of_etcd_is_used_up(lab3: Lab) -> None:
    """The NOSPACE alarm: a quorum answers every read, and refuses every write."""
    whole(lab3)
    for host in lab3.hosts:
        write_conf(lab3, host, "ETCD_QUOTA_BACKEND_BYTES", "16384")
    in_parallel(lambda host: lab3.run(host, "systemctl restart etcd"), lab3.hosts)
    lab3.wait_healthy()
    assert "database space exceeded" in lab3.etcdctl("etcd-0", "put one more", check=False).stderr
    refused(lab3, "restartable", ["NOSPACE", "etcdctl compact", "etcdctl defrag", "etcdctl alarm disarm"])


@full
def test_one_of_three_is_emptied(lab3: Lab) -> None:
    writes = broken(lab3, ["etcd-1"], "destroyed")
    done = run(lab3)
    assert_told(done, exit=0, outcome="recovered", verdict="degraded", says=["3 of 3 members"])
    assert_never_forced(done)
    assert_whole(lab3, writes)
    assert left_behind(lab3) == []


@full
def test_two_of_five_are_emptied(labs: Labs) -> None:
    lab5 = labs(members=5)
    writes = broken(lab5, ["etcd-1", "etcd-3"], "destroyed")
    done = run(lab5)
    assert_told(done, exit=0, outcome="recovered", verdict="degraded", says=["5 of 5 members"])
    assert_never_forced(done)
    assert_whole(lab5, writes)


@full
def test_a_lost_host_that_answers_with_its_data(lab3: Lab, tmp_path: Path) -> None:
    whole(lab3)
    stop(lab3, LOST)
    empty(lab3, ["etcd-2"])
    inventory = declared_lost(lab3, LOST, tmp_path / "inventory.yaml")
    says = ["its data is intact on etcd-1.example.com", "etcd-1.example.com: systemctl start etcd"]
    refused(lab3, "restartable", says, inventory=inventory)


@pytest.mark.parametrize("quorum", [True, pytest.param(False, marks=full)])
def test_the_line_breaks_while_the_log_is_read(lab3: Lab, tmp_path: Path, quorum: bool) -> None:
    """The stopped member was given up. What it holds is not known: it is neither removed, nor is there a force without it."""
    whole(lab3)
    stop(lab3, ["etcd-1"] if quorum else LOST)
    if not quorum:
        empty(lab3, ["etcd-2"])
    put(lab3, "etcd-1", "/usr/local/bin/cmp", "#!/bin/sh\npkill -KILL -f '^sshd: root'\nsleep 9\n", mode="0755")
    inventory = declared_lost(lab3, LOST, tmp_path / "inventory.yaml")
    says = ["the data of etcd-1.example.com was not read: ", "run the same command again"]
    refused(lab3, "unproven", says, inventory=inventory)


@full
def test_a_lost_host_that_answers_and_runs(lab3: Lab, tmp_path: Path) -> None:
    whole(lab3)
    inventory = declared_lost(lab3, LOST, tmp_path / "inventory.yaml")
    healthy(lab3, ["3 of 3 members"], inventory=inventory)


@full
def test_a_lost_host_that_answers_without_its_data(lab3: Lab, tmp_path: Path) -> None:
    """The members are given up, and not the hosts: they are taken in again. Their etcd, which tries again and again, may leave
    a database there.
    """
    writes = broken(lab3, LOST, "destroyed")
    inventory = declared_lost(lab3, LOST, tmp_path / "inventory.yaml")
    done = recovers(lab3, writes, ["the survivor is etcd-0.example.com"], inventory=inventory)
    assert re.search(r"etcd-1\.example\.com: its data is (gone|without a log)", done.output), done.output


@full
def test_an_even_number_of_members(lab3: Lab) -> None:
    """Two are listed; a quorum of two is both."""
    writes = whole(lab3)
    remove_member(lab3, "etcd-2")
    wait_state(lab3, "etcd-2", "inactive")
    empty(lab3, ["etcd-1"])
    says = ["has 2 voting members", "a quorum is 2", "the survivor is etcd-0.example.com"]
    recovers(lab3, writes, says)


@full
def test_more_members_than_the_inventory_names(lab3: Lab, tmp_path: Path) -> None:
    broken(lab3, LOST, "destroyed")
    inventory = edited(lab3, tmp_path / "inventory.yaml", (f"    {line_of(lab3, 'etcd-2')}\n", ""))
    member = f"etcd-2.example.com ({lab3.host('etcd-2').peer_url})"
    says = [member, "a host that the inventory does not have", "to etcd.hosts in the inventory"]
    refused(lab3, "unproven", says, inventory=inventory)


@full
def test_a_host_that_the_cluster_does_not_know(lab3: Lab) -> None:
    """It was removed, and its data emptied: it is owed to the cluster, with its quorum and without a force."""
    writes = whole(lab3)
    remove_member(lab3, "etcd-2")
    empty(lab3, ["etcd-2"])
    done = run(lab3)
    assert_told(done, exit=0, outcome="recovered", verdict="unfinished", says=["3 of 3 members"])
    assert_never_forced(done)
    assert_whole(lab3, writes)


def _second_cluster(lab: Lab) -> None:
    empty(lab, ["etcd-2"])
    where = lab.host("etcd-2")
    write_conf(lab, "etcd-2", "ETCD_INITIAL_CLUSTER", f"{where.etcd_name}={where.peer_url}")
    write_conf(lab, "etcd-2", "ETCD_INITIAL_CLUSTER_TOKEN", "another")
    start(lab, ["etcd-2"])
    lab.wait_healthy(["etcd-2"])
    lab.etcdctl("etcd-2", "put", "only", "here")


@full
def test_two_clusters_that_answer(lab3: Lab) -> None:
    holding(lab3, "two-clusters", lambda: _second_cluster(lab3))
    says = [
        "do not agree on who is in the cluster",
        *(f"{host.name} says cluster " for host in lab3.hosts),
        "find out which of them your clients write to",
    ]
    refused(lab3, "unproven", says)


@full
@pytest.mark.parametrize("stopped", [["etcd-2"], ["etcd-0", "etcd-1", "etcd-2"]], ids=["one", "both"])
def test_two_clusters_of_which_one_or_none_answers(lab3: Lab, stopped: list[str]) -> None:
    holding(lab3, "two-clusters", lambda: _second_cluster(lab3))
    stop(lab3, stopped)
    says = ["etcd-2.example.com holds data of cluster", "give each cluster its own inventory"]
    refused(lab3, "unproven", says)

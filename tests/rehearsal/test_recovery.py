"""Quorum is lost on real hosts, and one command brings the cluster back with every write."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from runbook_runs import (
    Done,
    assert_told,
    assert_whole,
    broken,
    chance,
    declared_lost,
    keep,
    left_behind,
    run,
    state,
    written,
)

from lab import Lab, checksums
from lab.spec import Host
from lab.writer import Write

Labs = Callable[..., Lab]


def lost_hosts(lab: Lab) -> list[str]:
    """One more than the cluster can lose, drawn by chance; the same for all tests, which share the broken state."""
    short = [host.short for host in lab.hosts]
    return sorted(chance("lost", len(short)).sample(short, len(short) // 2 + 1))


def assert_recovered(lab: Lab, done: Done, writes: list[Write]) -> None:
    number = len(lab.hosts)
    assert_told(done, exit=0, outcome="recovered", verdict="lost", says=[f"{number} of {number} members"])
    summary = done.summary
    assert summary["healthy"] == [host.name for host in lab.hosts]
    assert summary["missing"] == []
    assert summary["unknown_changes"] == []
    assert set(summary["steps"]) <= {"passed"}  # type: ignore[call-overload]
    assert summary["writable_at"]
    assert_whole(lab, writes)
    assert left_behind(lab) == []


def recovered(lab: Lab) -> list[Write]:
    """The lab as a recovery leaves it. Returns the writes."""

    def make() -> list[Write]:
        writes = broken(lab, lost_hosts(lab), "destroyed")
        assert run(lab).exit == 0
        return writes

    return state(lab, "recovered", make)


def test_two_of_three_lose_power_and_data(lab3: Lab) -> None:
    writes = broken(lab3, lost_hosts(lab3), "destroyed")
    assert_recovered(lab3, run(lab3), writes)
    keep(lab3, "recovered", writes)


def test_the_survivor_was_rebooted_and_is_deaf(lab3: Lab) -> None:
    writes = broken(lab3, lost_hosts(lab3), "destroyed", reboot_survivor=True)
    assert_recovered(lab3, run(lab3), writes)


def test_other_hosts_than_the_usual(labs: Labs, tmp_path: Path) -> None:
    """A user with sudo, another port and data directory, names that are not the hosts', quotes, a plain ExecStart, and
    backups below /mnt.

    The lab's usual shape is the other one: root, and etcd behind `/bin/bash -c`.
    """
    lab = labs(user="ops", ssh_port=2222, data_dir="/srv/etcd", etcd_names="other", quoted=True, exec_start="plain")
    writes = broken(lab, lost_hosts(lab), "destroyed")
    inventory = tmp_path / "inventory.yaml"
    inventory.write_text(lab.inventory_path.read_text().replace("directory: /backup", "directory: /mnt/backup"))
    assert_recovered(lab, run(lab, inventory=inventory), writes)
    conf = lab.run(lost_hosts(lab)[0], "cat /etc/etcd/etcd.conf").stdout
    assert "ETCD_DATA_DIR=" in conf


@pytest.mark.system("5 members, 3 lost")
def test_three_of_five_with_workers(labs: Labs) -> None:
    lab = labs(members=5)
    writes = broken(lab, lost_hosts(lab), "destroyed")
    assert_recovered(lab, run(lab, "-n", "3"), writes)


@pytest.mark.parametrize(
    "release", ["bookworm", *(pytest.param(r, marks=pytest.mark.full) for r in ("bullseye", "trixie"))]
)
@pytest.mark.parametrize("deaf", [False, pytest.param(True, marks=pytest.mark.full)], ids=["", "deaf"])
def test_a_log_that_begins_with_a_snapshot(labs: Labs, release: str, deaf: bool) -> None:
    """As that of every cluster that has lived for a while: the survivor starts from it, and joiners are sent one."""
    lab = labs(release=release)
    for host in lab.hosts:
        lab.run(host, "echo ETCD_SNAPSHOT_COUNT=50 >> /etc/etcd/etcd.conf; systemctl restart etcd")
        lab.wait_healthy()
    writes = written(lab)
    for host in lab.hosts:
        assert ".snap" in lab.run(host, f"ls {lab.record.spec.data_dir}/member/snap").stdout
    lab.break_hosts(lost_hosts(lab), "destroyed", reboot_survivor=deaf)
    assert_recovered(lab, run(lab), writes)


@pytest.mark.full
def test_four_of_seven(labs: Labs) -> None:
    lab = labs(members=7)
    writes = broken(lab, lost_hosts(lab), "destroyed")
    assert_recovered(lab, run(lab), writes)


@pytest.mark.parametrize("back", ["wiped", pytest.param("new", marks=pytest.mark.full)])
def test_two_stay_dead_and_come_back_later(lab3: Lab, tmp_path: Path, back: str) -> None:
    """Declared lost, they do not hold the cluster back; the same command takes them in when they are there again."""
    lost = lost_hosts(lab3)
    survivor = next(host.short for host in lab3.hosts if host.short not in lost)
    inventory = declared_lost(lab3, lost, tmp_path / "inventory.yaml")
    writes = broken(lab3, lost, "dead")
    alone = run(lab3, inventory=inventory)
    sentence = f"1 of 3 members; run the same command when {', '.join(lost)} are back"
    assert_told(alone, exit=0, outcome="recovered", verdict="lost", says=[sentence])
    assert alone.summary["missing"] == [lab3.host(one).name for one in lost]
    assert_whole(lab3, writes, [survivor])
    writes += written(lab3, 20, [survivor])

    again = run(lab3, inventory=inventory)  # while they are still away
    assert_told(again, exit=0, outcome="healthy", verdict="healthy", says=[sentence])

    checked = run(lab3, "checks/", inventory=inventory)
    assert_told(
        checked, exit=1, outcome="failed", verdict="healthy", says=["declared lost", "remove it from etcd.hosts"]
    )

    lab3.boot(*lost, wipe=back == "wiped", new=back == "new")
    done = run(lab3, inventory=inventory)
    assert_told(done, exit=0, outcome="recovered", verdict="unfinished", says=["3 of 3 members"])
    assert_whole(lab3, writes)
    assert left_behind(lab3) == []


def test_afterwards_nothing_forces_and_every_boot_is_well(lab3: Lab) -> None:
    """Restarts and reboots after a recovery: what a force left on a start path would destroy the cluster now."""
    writes = recovered(lab3)
    assert left_behind(lab3) == []
    for host in lab3.hosts:
        lab3.run(host, "systemctl restart etcd")
        lab3.wait_healthy()
    for host in lab3.hosts:
        lab3.reboot(host)
        lab3.wait_healthy()
    lab3.reboot(*lab3.hosts)
    assert_whole(lab3, writes)
    assert left_behind(lab3) == []


def test_run_again_on_the_recovered_cluster(lab3: Lab) -> None:
    writes = recovered(lab3)
    before = lab3.checksums()
    done = run(lab3)
    assert checksums.changes(before, lab3.checksums()) == []
    said = ["3 of 3 members; nothing to do, nothing was changed"]
    assert_told(done, exit=0, outcome="healthy", verdict="healthy", says=said)
    assert done.summary["changes_made"] == 0
    assert_whole(lab3, writes)


def test_a_list_in_etcd_conf_that_differs_from_the_member_list(lab3: Lab) -> None:
    """A host that is gone fails the check, a member that joined later is told; the runbook has nothing to do with either."""
    recovered(lab3)
    first, last = lab3.hosts[0], lab3.hosts[2]
    lab3.run(first, "sed -i '/^ETCD_INITIAL_CLUSTER=/s|$|,old=https://192.0.2.9:2380|' /etc/etcd/etcd.conf")
    lab3.run(
        last, f"sed -i '/^ETCD_INITIAL_CLUSTER=/s|=.*|={last.name}=https://{last.address}:2380|' /etc/etcd/etcd.conf"
    )
    checked = run(lab3, "checks/")
    assert_told(checked, exit=1, outcome="failed", verdict="healthy", says=[
        f"FAILED   33  {first.name}", "names old (https://192.0.2.9:2380), which is no member",
        f"does not name the member {first.name}", f"ok       33  {last.name}",
    ])  # fmt: skip
    assert run(lab3).summary["verdict"] == "healthy"


@pytest.mark.full
def test_an_etcd_conf_that_cannot_be_read_is_refused(lab3: Lab) -> None:
    """Of a service, whose etcd goes on with what it has read; a static pod's is in test_runtimes.py."""
    lost = lost_hosts(lab3)
    survivor = next(host for host in lab3.hosts if host.short not in lost)
    broken(lab3, lost, "destroyed")
    lab3.run(survivor, "sed -i '2i nonsense' /etc/etcd/etcd.conf")
    before = lab3.checksums()
    done = run(lab3)
    assert done.exit == 6, done.output
    assert "/etc/etcd/etcd.conf, line 2: expected NAME=VALUE or a comment, found 'nonsense'" in done.output
    assert survivor.name in done.output
    assert "Traceback" not in done.output
    assert checksums.changes(before, lab3.checksums()) == []


@pytest.mark.full
def test_members_with_two_peer_urls(lab3: Lab) -> None:
    """The survivor, and one that is lost. Their etcd.conf names them in another order than etcd, which sorts them."""
    two = [lab3.host(short) for short in ("etcd-0", "etcd-2")]
    for host in two:
        both = f"{second_peer_url(host)},{host.peer_url}"
        for key in ("LISTEN_PEER_URLS", "INITIAL_ADVERTISE_PEER_URLS"):
            lab3.run(host, f"sed -i 's#^ETCD_{key}=.*#ETCD_{key}={both}#' /etc/etcd/etcd.conf")
        listed = lab3.etcdctl(host, "member list").stdout.splitlines()
        [number] = [line.split(",")[0] for line in listed if host.etcd_name in line]
        lab3.etcdctl(host, f"member update {number} --peer-urls={both}")
        lab3.run(host, "systemctl restart etcd")
        lab3.wait_healthy(lab3.hosts)
    writes = written(lab3)
    lab3.break_hosts(["etcd-1", "etcd-2"], "destroyed")
    done = run(lab3)
    assert_recovered(lab3, done, writes)
    listed = lab3.etcdctl("etcd-0", "member list").stdout.splitlines()
    for host in two:  # as etcd was told: the lab's update of the survivor in one order, the joiner's in another
        [line] = [line for line in listed if host.etcd_name in line]
        assert {host.peer_url, second_peer_url(host)} <= set(line.replace(" ", "").split(",")), line


def second_peer_url(host: Host) -> str:
    return host.peer_url.replace(":2380", ":2381")

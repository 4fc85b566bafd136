"""A quorum answers and a member is gone: it is removed and taken in again while clients write, and no write fails."""

from __future__ import annotations

import html
import json
import re
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hazards import refused, remove_member, start, wait_state
from killed_runs import Point, changes, stopped
from runbook_runs import Done, assert_told, assert_whole, declared_lost, left_behind, not_undone, run, written
from steady_load import SteadyLoad, errors, longest_wait, unlike_a_leader_change

from lab import Lab, images, masters, pods, wait, writer
from lab.spec import ON_MASTERS

Labs = Callable[..., Lab]

IMAGE = f"/{images.FIRST_IN_PATH}"
"""What lies here comes first in a container of etcd."""
OF_3_3 = '#!/bin/sh\nETCDCTL_API="${ETCDCTL_API:-2}" exec /usr/bin/etcdctl "$@"\n'
"""An etcdctl whose `cluster-health` wants every member healthy: Debian's own, where the lab's answers as 3.2's does."""
SLOW = """#!/bin/sh
trap 'exit 143' TERM
[ -d /var/lib/etcd/member ] || { sleep 60 & wait $!; }
exec /usr/bin/etcd "$@"
"""
"""An etcd whose first start takes longer than three probes."""
UNAUTHORIZED = "error: unable to upgrade connection: Unauthorized"
NO_EXEC = f"""#!/bin/sh
case " $* " in *" exec "*) echo '{UNAUTHORIZED}' >&2; exit 1;; esac
exec /usr/local/bin/oc.real "$@"
"""
"""An `oc` that does all but `exec`."""
KILLED = f"journalctl -u {pods.UNIT} -o cat --no-pager | grep 'Killing container k8s_etcd_' | grep -c 'failed liveness probe'"


def term(lab: Lab, host: str) -> int:
    """The Raft term: another one means that there was an election."""
    status = json.loads(lab.etcdctl(host, "endpoint status -w json").stdout)
    return int(status[0]["Status"]["raftTerm"])


def follower(lab: Lab) -> str:
    """The short name of a host that does not lead, the last one."""
    leader = lab.leader()
    return next(host.short for host in reversed(lab.hosts) if host != leader)


def others(lab: Lab, gone: list[str]) -> list[str]:
    """The short names of the hosts that are left."""
    return [host.short for host in lab.hosts if host.short not in gone]


class Undisturbed:
    """A load on the members that are left, from before a loss on; during each run it must see nothing at all."""

    def __init__(self, lab: Lab, gone: list[str]) -> None:
        self.lab, self.left = lab, others(lab, gone)
        self.load = SteadyLoad(lab, self.left)

    def lose(self, gone: list[str], how: str) -> None:
        """Break hosts under load; what the clients see of it is what a leader change shows."""
        self.lab.break_hosts(gone, how)
        self.lab.wait_healthy(self.left)
        self.load.wait_for(20)
        assert unlike_a_leader_change(self.load.puts) == []

    def run(self, *arguments: str, verdict: str, inventory: Path | None = None, says: list[str]) -> Done:
        """A run, while which no write failed; etcd's own elections apart, which nobody of us has caused."""
        before, began = term(self.lab, self.left[0]), time.monotonic()
        done = run(self.lab, *arguments, inventory=inventory, timeout=400)
        self.load.wait_for(20)
        during = [one for one in self.load.puts if one.ended >= began]
        failed, elected = errors(during), term(self.lab, self.left[0]) != before
        print(
            f"\n{verdict}: {done.seconds:.0f} s, {len(during)} writes, {len(failed)} errors, the slowest took "
            f"{longest_wait(during):.2f} s, {'an election' if elected else 'no election'}"
        )
        assert_told(done, exit=0, outcome="recovered", verdict=verdict, says=says)
        assert "test_force_new_cluster" not in done.journal.read_text(encoding="utf-8")
        if elected:
            assert unlike_a_leader_change(during) == []
        else:
            assert failed == []
        return done

    def assert_all_there(self, hosts: list[str] | None = None) -> None:
        """The load has ended: every acknowledged write is on every member, with its revision; the members are equal."""
        wanted = [host.short for host in self.lab.hosts] if hosts is None else hosts
        self.lab.wait_healthy(wanted, within=15)
        acknowledged = [one for one in self.load.puts if one.revision is not None]
        assert len(acknowledged) > 200
        for host in wanted:
            held = writer.read_all(self.lab, host)
            for one in acknowledged:
                there = held.get(one.key.encode())
                assert there is not None, f"{one} is lost on {host}"
                assert (there.value.decode(), there.mod_revision) == (one.value, one.revision), one
        assert writer.differences(self.lab, wanted) == []


def assert_untouched(lab: Lab, pids: dict[str, str]) -> None:
    """The etcd of these hosts is the process that it was: nobody has restarted it."""
    assert {host: lab.run(host, "pidof etcd").stdout for host in pids} == pids


def processes(lab: Lab, hosts: list[str]) -> dict[str, str]:
    """The process of etcd on each host."""
    return {host: lab.run(host, "pidof etcd").stdout for host in hosts}


@pytest.mark.system("degraded: 1 member of 3 gone")
@pytest.mark.parametrize(
    ("topology", "release", "role"),
    [
        pytest.param("external", "bookworm", "follower"),
        pytest.param("external", "bookworm", "leader", marks=pytest.mark.full),
        pytest.param("external", "bullseye", "leader", marks=pytest.mark.full),
        pytest.param("external", "trixie", "leader", marks=pytest.mark.full),
        pytest.param("container", "bookworm", "leader", marks=pytest.mark.full),
        pytest.param("static-pod", "bookworm", "leader", marks=pytest.mark.full),
    ],
)
def test_one_of_three_is_back_empty(labs: Labs, topology: str, release: str, role: str) -> None:
    lab = labs(topology=topology, release=release)
    if topology in ON_MASTERS:
        masters.wait_ready(lab)
    gone = [lab.leader().short if role == "leader" else follower(lab)]
    clients = Undisturbed(lab, gone)
    with clients.load:
        clients.lose(gone, "destroyed")
        pids = processes(lab, clients.left)
        clients.run(verdict="degraded", says=["3 of 3 members"])
    assert_untouched(lab, pids)
    clients.assert_all_there()
    assert left_behind(lab) == []


@pytest.mark.full
@pytest.mark.parametrize("role", ["follower", "leader"])
@pytest.mark.parametrize("back", ["empty", "with its data"])
def test_one_of_three_is_silent_and_back_later(labs: Labs, tmp_path: Path, role: str, back: str) -> None:
    """Declared lost: it is removed, and fenced when it is back. What it still holds is told, kept, and backed up."""
    lab = labs()
    gone = [lab.leader().short if role == "leader" else follower(lab)]
    inventory = declared_lost(lab, gone, tmp_path / "inventory.yaml")
    clients = Undisturbed(lab, gone)
    with clients.load:
        clients.lose(gone, "dead")
        pids = processes(lab, clients.left)
        said = f"2 of 3 members; run the same command when {gone[0]} is back"
        clients.run(verdict="degraded", inventory=inventory, says=[said])
        lab.boot(*gone, wipe=back == "empty")
        if back == "with its data":
            wait_state(lab, gone[0], "inactive")
        told = ["holds old data", "note     47", "no key differs"] if back == "with its data" else []
        clients.run(verdict="unfinished", inventory=inventory, says=["3 of 3 members", *told])
    assert_untouched(lab, pids)
    clients.assert_all_there()
    assert left_behind(lab) == []
    if back == "with its data":
        assert lab.run(gone[0], "ls /var/lib/etcd/openshift-backup-requorum-*/1/member/snap/db").stdout
        assert lab.run(gone[0], "ls /backup/etcd-data-*/member/snap/db").stdout


@pytest.mark.system("degraded: 2 members of 5 gone")
@pytest.mark.full
def test_two_of_five_are_back_empty(labs: Labs) -> None:
    lab = labs(members=5)
    gone = sorted([lab.leader().short, follower(lab)])
    clients = Undisturbed(lab, gone)
    with clients.load:
        clients.lose(gone, "destroyed")
        pids = processes(lab, clients.left)
        clients.run(verdict="degraded", says=["5 of 5 members"])
    assert_untouched(lab, pids)
    clients.assert_all_there()
    assert left_behind(lab) == []


def urls_changed(done: Done, step: str) -> dict[str, list[str]]:
    """The urls in the lines that a step took away and added, each behind its sign, on each host where it did so."""
    lines = {one.host: one.shown for one in changes(done) if one.step.startswith(step)}
    return {
        host: ["".join(found) for found in re.findall(r"^([-+]).*(https://\S+)", shown, re.MULTILINE)]
        for host, shown in lines.items()
    }


@pytest.mark.system("degraded: 1 member of 3 gone")
@pytest.mark.full
@pytest.mark.parametrize("arguments", [(), ("-n", "3")], ids=["", "-n 3"])
def test_a_master_of_three_is_back_empty(labs: Labs, arguments: tuple[str, ...]) -> None:
    """The masters that are left are edited and restarted one at a time, twice; etcd's own clients see nothing of it."""
    lab = labs(topology="colocated")
    masters.wait_ready(lab)
    before = {host.short: lab.run(host, f"sha256sum {masters.CONFIG}").stdout for host in lab.hosts}
    gone = [lab.leader().short]
    clients = Undisturbed(lab, gone)
    with clients.load:
        clients.lose(gone, "destroyed")
        pids = processes(lab, clients.left)
        done = clients.run(*arguments, verdict="degraded", says=["3 of 3 members"])
    url = f"https://{lab.host(gone[0]).name}:2379"
    assert urls_changed(done, "test_name_remaining[") == {host.name: [f"-{url}"] for host in lab.hosts}
    assert urls_changed(done, "test_name_all_in_master_config[") == {host.name: [f"+{url}"] for host in lab.hosts}
    assert_untouched(lab, pids)
    clients.assert_all_there()
    assert left_behind(lab) == []
    assert {host.short: lab.run(host, f"sha256sum {masters.CONFIG}").stdout for host in lab.hosts} == before
    masters.wait_ready(lab, within=30)


@pytest.mark.full
def test_a_stopped_member_that_was_given_up(labs: Labs, tmp_path: Path) -> None:
    """Its etcd was only stopped, and the member given up: with its data there it is started, and nothing is removed."""
    lab = labs()
    gone = [follower(lab)]
    clients = Undisturbed(lab, gone)
    inventory = declared_lost(lab, gone, tmp_path / "inventory.yaml")
    with clients.load:
        lab.break_hosts(gone, "stopped")
        clients.load.wait_for(20)
        says = ["has its data", "systemctl start etcd"]
        refused(lab, "degraded", says, inventory=inventory, by_itself=["etcd revision"])  # clients write
        start(lab, gone)
        lab.wait_healthy()
    assert errors(clients.load.puts) == []
    clients.assert_all_there()


def strict(lab: Lab) -> None:
    """The pods' probes want every member healthy from now on."""
    for host in lab.hosts:
        lab.run(host, f"cat > {IMAGE}/etcdctl", stdin=OF_3_3)


@pytest.mark.full
def test_a_probe_that_wants_every_member_kills_nobody_while_a_host_joins(labs: Labs) -> None:
    """Etcdctl of 3.3 or later: it has killed both voters before the run, and would again during a join that takes long."""
    lab = labs(topology="static-pod")
    masters.wait_ready(lab)
    manifest = f"/{pods.FOLDER}/etcd.yaml"
    before = {host.short: lab.run(host, f"sha256sum {manifest}").stdout for host in lab.hosts}
    writes, gone = written(lab), follower(lab)
    left = others(lab, [gone])

    def kills() -> dict[str, int]:
        return {host: int(lab.run(host, KILLED, check=False).stdout) for host in left}

    strict(lab)
    lab.run(gone, f"cat > {IMAGE}/etcd && chmod +x {IMAGE}/etcd", stdin=SLOW)
    lab.break_hosts([gone], "destroyed")
    wait.until(lambda: all(kills().values()), "the probe kills both voters", 90)
    lab.wait_healthy(left, within=60)  # until the next time, in a minute
    already = kills()
    done = run(lab, timeout=600)
    assert_told(done, exit=0, outcome="recovered", verdict="degraded", says=["3 of 3 members"])
    assert kills() == already
    journal = done.journal.read_text(encoding="utf-8")
    assert all(f"test_take_probe_out[{lab.host(host).name}]" in journal for host in left)
    assert_whole(lab, writes)
    assert left_behind(lab) == []
    assert {host.short: lab.run(host, f"sha256sum {manifest}").stdout for host in lab.hosts} == before


@pytest.mark.full
def test_an_abort_returns_the_probes_that_were_taken_out(labs: Labs, tmp_path: Path) -> None:
    """Somebody has removed the member already: until the joiner is added, the run has not passed the point of no return.

    What was removed stays fenced: its emptied etcd would found a cluster of its own.
    """
    lab = labs(topology="static-pod")
    masters.wait_ready(lab)
    writes, gone = written(lab), follower(lab)
    left = others(lab, [gone])
    lab.break_hosts([gone], "destroyed")
    lab.wait_healthy(left)
    remove_member(lab, gone)
    strict(lab)
    before = lab.checksums()
    first = stopped(lab, "kill-group", Point("test_take_probe_out", 2).reached, output=tmp_path / "first")
    assert "test_take_probe_out" in first.journal.read_text(encoding="utf-8")
    done = run(lab, "--abort", timeout=600)
    assert_told(done, exit=0, outcome="aborted", verdict=str(done.summary["verdict"]), says=["as it was found"])
    assert "test_return_probe_of_living" in done.journal.read_text(encoding="utf-8")
    lab.wait_healthy(left)
    assert [one for one in not_undone(before, lab.checksums()) if "/etc/" in one and not one.startswith(gone)] == []
    assert_whole(lab, writes, left)
    assert [one for one in left_behind(lab) if not one.startswith(gone)] == []


@pytest.mark.full
def test_oc_exec_fails_and_the_host_saves_the_snapshot(labs: Labs) -> None:
    """A quorum answers, so the chapter's way is tried, of a member that lives; the report says that it was not that one."""
    lab = labs(topology="static-pod")
    masters.wait_ready(lab)
    writes, gone = written(lab), follower(lab)
    for host in lab.hosts:
        lab.run(host, "cd /usr/local/bin && mv oc oc.real && cat > oc && chmod 755 oc", stdin=NO_EXEC)
    lab.break_hosts([gone], "destroyed")
    done = run(lab, timeout=600)
    assert_told(done, exit=0, outcome="recovered", verdict="degraded", says=["3 of 3 members"])
    assert_whole(lab, writes)
    assert left_behind(lab) == []
    (saver,) = [host for host in lab.hosts if lab.run(host, "ls /backup/*/saved-on-the-host.txt", check=False).stdout]
    words = f"oc exec in the pod master-etcd-{saver.name} saved nothing ({UNAUTHORIZED}): etcdctl is run on the host instead"
    assert html.unescape(done.report.read_text(encoding="utf-8")).count(words) >= 2  # before and after
    told = lab.run(saver, "cat /backup/*/saved-on-the-host.txt").stdout.splitlines()
    assert told == [words, words]
    (fetched,) = done.report.parent.glob(f"**/{saver.name}-snapshot-before.tar.gz")
    with tarfile.open(fetched) as archive:
        assert {"./snapshot.db", "./saved-on-the-host.txt"} <= set(archive.getnames())
    for host in lab.hosts:
        assert lab.run(host, "ls /var/lib/etcd | grep snapshot", check=False).stdout == ""

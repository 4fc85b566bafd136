"""Masters and a node beside the cluster: etcd on hosts of its own, and its clients elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from runbook_runs import (
    Done,
    assert_told,
    assert_undone,
    assert_whole,
    broken,
    chance,
    declared_lost,
    left_behind,
    run,
    written,
)
from sabotage import sabotaged
from test_flannel import STARTED, endpoints
from test_masters import NOTES, assert_masters_serve, create, named

from lab import Lab, checksums, flannel, masters
from lab.parallel import in_parallel
from lab.spec import Host

Labs = Callable[..., Lab]
API_STARTED = f"; systemctl show {masters.API} -p ExecMainStartTimestampMonotonic --value"
EDITED = f"sha256sum {masters.CONFIG} {flannel.CONF} 2>/dev/null; stat -c '%U %a' {masters.CONFIG} {flannel.CONF} 2>/dev/null"


@pytest.fixture
def apart(labs: Labs) -> Lab:
    """Three members on hosts of their own; two masters and a node beside them, a flanneld on each of those."""
    lab = labs(masters=2, nodes=1, flannel=True)
    masters.wait_ready(lab)
    flannel.wait_ready(lab)
    return lab


def lost_hosts(lab: Lab) -> list[str]:
    short = [host.short for host in lab.hosts]
    return sorted(chance("lost apart", len(short)).sample(short, 2))


def the_survivor(lab: Lab) -> Host:
    return next(host for host in lab.hosts if host.short not in lost_hosts(lab))


def beside(lab: Lab, command: str) -> list[str]:
    """What each host beside the cluster that has power answers."""
    return in_parallel(lambda host: lab.run(host, command, check=False).stdout,
                       [host for host in lab.record.beside if lab.is_on(host)])  # fmt: skip


def assert_at_rest(lab: Lab, done: Done, before: list[str]) -> None:
    """Every file is what it was, byte for byte, and nothing is noted down anywhere."""
    assert beside(lab, EDITED) == before, done.output
    assert beside(lab, NOTES) == [""] * len(lab.record.beside)
    assert left_behind(lab) == []
    assert in_parallel(lambda host: lab.run(host, NOTES).stdout, lab.hosts) == [""] * len(lab.hosts)


def test_two_of_three_hosts_of_etcd_lose_power_and_data(apart: Lab) -> None:
    """No API is restarted but in the recovery, and each is proven by a write; a second run changes nothing."""
    lab, before, kept = apart, beside(apart, EDITED), ["before"]
    create(lab, lab.record.masters[0], "before")
    leases, started = flannel.leases(lab, lab.hosts[0]), beside(lab, STARTED)
    assert sorted(leases.values()) == sorted(host.address for host in lab.record.beside)
    writes = written(lab)
    lab.break_hosts(lost_hosts(lab), "destroyed")  # not `broken`: the ConfigMap would go into its state
    planned = run(lab, "--plan")
    assert planned.exit == 0, planned.output
    page = planned.report.read_text(encoding="utf-8")
    for words in ("-FLANNEL_ETCD", "master-restart api", "systemctl restart flanneld.service", "master-1.example.com"):
        assert words in page
    looked = run(lab, "--preconditions")
    assert looked.exit == 0, looked.output

    done = run(lab)
    assert_told(done, exit=0, outcome="recovered", verdict="lost", says=["3 of 3 members"])
    assert "where no reached master is known" not in done.output
    assert_whole(lab, writes)
    assert_at_rest(lab, done, before)
    assert_masters_serve(lab, list(lab.record.masters), kept, "after")
    flannel.wait_ready(lab, within=15)
    assert flannel.leases(lab, lab.hosts[0]) == leases
    assert not set(started) & set(beside(lab, STARTED)), "each flanneld was restarted"
    for words in ("flannel-leases.json", "not-a-real-password"):
        assert (words in done.journal.read_text(encoding="utf-8")) == (words == "flannel-leases.json")

    calm = lab.checksums()
    again = run(lab)
    assert_told(again, exit=0, outcome="healthy", verdict="healthy", says=["nothing to do, nothing was changed"])
    checked = run(lab, "checks/")
    assert checked.exit == 0, checked.output
    # A controller that leads says so in etcd.
    assert [line for line in checksums.changes(calm, lab.checksums()) if "etcd revision" not in line] == []


@pytest.mark.full
def test_two_hosts_of_etcd_stay_dead_and_come_back_later(apart: Lab, tmp_path: Path) -> None:
    """Declared lost: the masters and flanneld know of one member; later all is as it was."""
    lab, lost, survivor = apart, lost_hosts(apart), the_survivor(apart)
    before, kept = beside(lab, EDITED), ["before"]
    create(lab, lab.record.masters[0], "before")
    inventory = declared_lost(lab, lost, tmp_path / "inventory.yaml")
    writes = written(lab)
    lab.break_hosts(lost, "dead")
    alone = run(lab, inventory=inventory)
    assert_told(alone, exit=0, outcome="recovered", verdict="lost", says=["1 of 3 members"])
    for host in lab.record.masters:
        assert named(lab, host) == [f"https://{survivor.name}:2379"]
    for host in lab.record.beside:
        assert "," not in endpoints(lab, host)
    assert_masters_serve(lab, list(lab.record.masters), kept, "alone")
    writes += written(lab, 20, [survivor.short])

    again = run(lab, inventory=inventory)  # while they are still away
    assert_told(again, exit=0, outcome="healthy", verdict="healthy", says=["1 of 3 members"])

    lab.boot(*lost, wipe=True)
    done = run(lab, "-n", "3", inventory=inventory, reports=tmp_path / "another machine")
    assert_told(done, exit=0, outcome="recovered", verdict="unfinished", says=["3 of 3 members"])
    assert_whole(lab, writes)
    assert_at_rest(lab, done, before)
    assert_masters_serve(lab, list(lab.record.masters), kept, "back")


@pytest.mark.full
@pytest.mark.parametrize("etcd", ["back", "dead"])
def test_a_master_and_the_node_are_silent_and_come_back_later(apart: Lab, tmp_path: Path, etcd: str) -> None:
    """They hold nothing up. Back, they are taken along by the same command: also where every file is right by itself.

    A master that only SSH does not reach has run all the while, and may list what the survivor never had. Beside members that
    stay dead they lose power.
    """
    lab, lost, survivor = apart, lost_hosts(apart), the_survivor(apart)
    away, there = [lab.host("master-1"), lab.host("node-0")], lab.host("master-0")
    before, kept = beside(lab, EDITED), ["before"]
    create(lab, there, "before")
    inventory = declared_lost(lab, lost, tmp_path / "inventory.yaml") if etcd == "dead" else lab.inventory_path
    writes = written(lab)
    lab.break_hosts(lost, "dead" if etcd == "dead" else "destroyed")
    processes = in_parallel(lambda host: lab.run(host, STARTED + API_STARTED).stdout, away)
    if etcd == "dead":
        lab.power_off(*away)
    else:
        no_ssh = "systemctl stop ssh.socket ssh; systemctl mask --runtime ssh"
        in_parallel(lambda host: lab.run(host, no_ssh, check=False), away)
    done = run(lab, inventory=inventory)
    count = "1" if etcd == "dead" else "3"
    assert_told(done, exit=0, outcome="recovered", verdict="lost", says=[
        f"{count} of 3 members",
        f"the master {away[0].name} is silent: its master-config.yaml is edited when the host is back, by this command",
        f"the node {away[1].name} is silent",
        "master-1, node-0 are back",
    ])  # fmt: skip
    assert_masters_serve(lab, [there], kept, "alone")
    waiting = run(lab, inventory=inventory)
    assert_told(waiting, exit=0, outcome="healthy", verdict="healthy", says=[f"{count} of 3 members", "are back"])

    if etcd == "dead":
        lab.boot(*away)
    else:
        in_parallel(lambda host: lab.run(host, "systemctl unmask --runtime ssh && systemctl start ssh"), away)
    assert len(named(lab, away[0])) == 3
    back = run(lab, inventory=inventory)
    assert_told(back, exit=0, outcome="recovered", verdict="unfinished", says=[f"{count} of 3 members"])
    assert "is silent" not in back.output
    now = in_parallel(lambda host: lab.run(host, STARTED + API_STARTED).stdout, away)
    for old, new in zip(processes, now, strict=True):
        assert not ({*old.split()} - {"0"}) & {*new.split()}, "each flanneld and the API were restarted"
    journal = back.journal.read_text(encoding="utf-8")
    assert "master-restart api" in journal
    assert "systemctl restart flanneld" in journal
    if etcd == "dead":
        assert named(lab, away[0]) == [f"https://{survivor.name}:2379"]
        assert_masters_serve(lab, list(lab.record.masters), kept, "seen")
        lab.boot(*lost, wipe=True)
        back = run(lab, inventory=inventory)
        assert_told(back, exit=0, outcome="recovered", verdict="unfinished", says=["3 of 3 members"])
    assert_whole(lab, writes)
    assert_at_rest(lab, back, before)
    assert_masters_serve(lab, list(lab.record.masters), kept, "back")


@pytest.mark.full
def test_a_recovery_is_undone_before_the_force(apart: Lab) -> None:
    lab, lost = apart, lost_hosts(apart)
    broken(lab, lost, "destroyed", reboot_survivor=True)
    before = lab.checksums()
    killed = sabotaged(lab, {"point": f"test_stop_survivor[{the_survivor(lab).name}] change 1", "how": "after"})
    assert killed.returncode == -9, killed.stdout
    edited = checksums.changes(before, lab.checksums())
    for host in lab.record.masters:
        assert [line for line in edited if line.startswith(f"{host.name}: {masters.CONFIG}")]
    for host in lab.record.beside:
        assert [line for line in edited if line.startswith(f"{host.name}: {flannel.CONF}")]
    done = assert_undone(lab, before)
    assert "systemctl restart flanneld" not in done.journal.read_text(encoding="utf-8"), "it was never restarted"


@pytest.mark.full
@pytest.mark.parametrize(
    "point",
    [
        "test_name_remaining[master-1.example.com] change 1",
        "test_flannel_names_remaining[node-0.example.com] change 2",
        "test_restart_api[master-1.example.com] change 1",
        "test_restart_flannel[node-0.example.com] change 1",
    ],
)
@pytest.mark.parametrize("how", ["before", "after"])
def test_a_killed_run_forgets_no_host_beside_the_cluster(apart: Lab, tmp_path: Path, point: str, how: str) -> None:
    """Typed again, on another operator's machine, too: it restarts what has to be restarted, and puts all together again."""
    lab, before = apart, beside(apart, EDITED)
    leases = flannel.leases(lab, lab.hosts[0])
    writes = broken(lab, lost_hosts(lab), "destroyed")
    killed = sabotaged(lab, {"point": point, "how": how})
    assert killed.returncode == -9, killed.stdout
    done = run(lab, reports=tmp_path / "another machine" if how == "after" else None)
    assert done.exit == 0, done.output
    assert_whole(lab, writes)
    assert_at_rest(lab, done, before)
    masters.wait_ready(lab, within=15)
    flannel.wait_ready(lab, within=15)
    assert flannel.leases(lab, lab.hosts[0]) == leases
    for host in lab.record.masters:
        create(lab, host, f"after-{host.short}")


@pytest.mark.full
@pytest.mark.parametrize(
    ("short", "path", "text", "says"),
    [
        ("master-1", masters.CONFIG, "etcdClientInfo:\n  urls: [\n", f"{masters.CONFIG}, line 3: expected YAML"),
        ("node-0", flannel.CONF, '# mine\nFLANNEL_ETCD_ENDPOINTS="https://e\n', f"{flannel.CONF}, line 2: expected a closing"),
    ],
    ids=["master-config.yaml", "flanneld"],
)  # fmt: skip
def test_a_configuration_that_cannot_be_read_is_refused(
    apart: Lab, short: str, path: str, text: str, says: str
) -> None:
    lab, host = apart, apart.host(short)
    broken(lab, lost_hosts(lab), "destroyed")
    lab.run(host, f"cat > {path}", stdin=text)
    before = lab.checksums()
    done = run(lab)
    assert done.exit == 6, done.output
    assert says in done.output
    assert host.name in done.output
    assert "Traceback" not in done.output
    assert checksums.changes(before, lab.checksums()) == []

"""Flannel on every host: its endpoints follow the members, its leases outlive the recovery, and it is restarted."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from hazards import refused
from runbook_runs import (
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

from lab import Lab, checksums, flannel, masters
from lab.parallel import in_parallel
from lab.spec import ON_MASTERS, Host

Labs = Callable[..., Lab]
NOTES = "ls /var/lib/requorum 2>/dev/null || true"
STARTED = f"systemctl show {flannel.UNIT} -p ExecMainStartTimestampMonotonic --value"


@pytest.fixture
def flannel3(labs: Labs) -> Lab:
    """Three members on hosts of their own, a flanneld on each."""
    lab = labs(flannel=True)
    flannel.wait_ready(lab)
    return lab


def lost_hosts(lab: Lab) -> list[str]:
    short = [host.short for host in lab.hosts]
    return sorted(chance("lost with Flannel", len(short)).sample(short, 2))


def confs(lab: Lab) -> dict[str, str]:
    """Each host's flanneld file as a checksum, with owner and mode."""
    shown = f"sha256sum {flannel.CONF}; stat -c '%U %a' {flannel.CONF}"
    return {host.short: lab.run(host, shown).stdout for host in lab.hosts if lab.is_on(host)}


def endpoints(lab: Lab, host: Host) -> str:
    """The variable that names members, as it stands in the file."""
    return lab.run(host, f"grep -E '^FLANNEL_ETCD(_ENDPOINTS)?=' {flannel.CONF}").stdout.strip()


def running_with(lab: Lab, host: Host) -> str:
    """The endpoints that the living flanneld was started with."""
    script = f"tr '\\0' '\\n' < /proc/$(systemctl show {flannel.UNIT} -p MainPID --value)/cmdline | grep endpoints"
    return lab.run(host, script).stdout.strip()


def notes(lab: Lab) -> list[str]:
    return in_parallel(lambda host: lab.run(host, NOTES).stdout, lab.hosts)


def assert_flannel_serves(lab: Lab, hosts: Iterable[Host], before: dict[str, str], named: Iterable[Host]) -> None:
    """flanneld is ready, and runs with the endpoints of these members; every lease is there, the host's own too."""
    hosts, named = list(hosts), list(named)
    flannel.wait_ready(lab, hosts, within=15)
    for host in hosts:
        assert flannel.leases(lab, host) == before
        words = running_with(lab, host)
        urls = words.partition("=")[2].split(",")
        assert len(urls) == len(named), words
        assert all(any(one.name in url or one.address in url for url in urls) for one in named), words
        shown = lab.run(host, "sed -n 's/^FLANNEL_SUBNET=//p' /run/flannel/subnet.env").stdout
        lease = shown.replace(".1/24\n", ".0-24")
        assert before[lease] == host.address


@pytest.mark.system("Flannel")
def test_two_of_three_lose_power_and_data(flannel3: Lab) -> None:
    """Three shapes of the file: it is in the end what it was, byte for byte, and no lease is lost."""
    lab, before = flannel3, confs(flannel3)
    leases = flannel.leases(lab, lab.hosts[0])
    assert sorted(leases.values()) == sorted(host.address for host in lab.hosts)
    writes = broken(lab, lost_hosts(lab), "destroyed")
    planned = run(lab, "--plan")
    assert planned.exit == 0, planned.output
    for words in ("-FLANNEL_ETCD", "systemctl restart flanneld.service"):
        assert words in planned.report.read_text(encoding="utf-8")
    done = run(lab)
    assert_told(done, exit=0, outcome="recovered", verdict="lost", says=["3 of 3 members"])
    assert_whole(lab, writes)
    assert left_behind(lab) == []
    assert confs(lab) == before
    assert notes(lab) == ["", "", ""]
    assert_flannel_serves(lab, lab.hosts, leases, lab.hosts)
    checked = run(lab, "checks/")
    assert checked.exit == 0, checked.output


UNUSED = 'FLANNEL_ETCD_ENDPOINTS="http://127.0.0.1:2379"\nFLANNEL_ETCD_PREFIX="/atomic.io/network"\n'


def test_a_package_that_nobody_uses_is_left_as_it_is(labs: Labs) -> None:
    """Installed, never started: the cluster owes it nothing, checks are green, and a recovery does not touch it."""
    lab = labs()
    unit = "[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n"
    for host in lab.hosts:
        files = f"mkdir -p /etc/sysconfig\nprintf %s '{UNUSED}' > {flannel.CONF}"
        lab.run(host, f"{files}\nprintf %s '{unit}' > /etc/systemd/system/{flannel.UNIT}\nsystemctl daemon-reload")
    checked = run(lab, "checks/")
    assert checked.exit == 0, checked.output
    assert_told(run(lab), exit=0, outcome="healthy", verdict="healthy")
    before, writes = confs(lab), written(lab)  # not `broken`: other tests put that state back, without these files
    lab.break_hosts(lost_hosts(lab), "destroyed")
    assert_told(run(lab), exit=0, outcome="recovered", verdict="lost", says=["3 of 3 members"])
    assert_whole(lab, writes)
    assert confs(lab) == before
    assert run(lab, "checks/").exit == 0


@pytest.mark.full
def test_two_hosts_stay_dead_and_come_back_later(flannel3: Lab, tmp_path: Path) -> None:
    """Declared lost: the survivor's flanneld knows of no other member; later all is as it was."""
    lab, lost, before = flannel3, lost_hosts(flannel3), confs(flannel3)
    leases = flannel.leases(lab, lab.hosts[0])
    survivor = next(host for host in lab.hosts if host.short not in lost)
    inventory = declared_lost(lab, lost, tmp_path / "inventory.yaml")
    writes = broken(lab, lost, "dead")
    alone = run(lab, inventory=inventory)
    assert_told(alone, exit=0, outcome="recovered", verdict="lost", says=["1 of 3 members"])
    assert_flannel_serves(lab, [survivor], leases, [survivor])
    writes += written(lab, 20, [survivor.short])

    again = run(lab, inventory=inventory)  # while they are still away
    assert_told(again, exit=0, outcome="healthy", verdict="healthy", says=["1 of 3 members"])

    lab.run(survivor, f"sed -i '1i # ticket 4711' {flannel.CONF}")  # somebody else's
    lab.boot(*lost, wipe=True)
    done = run(lab, "-n", "3", inventory=inventory)
    assert_told(done, exit=0, outcome="recovered", verdict="unfinished", says=["3 of 3 members"])
    assert_whole(lab, writes)
    assert lab.run(survivor, f"head -n 1 {flannel.CONF}").stdout == "# ticket 4711\n"
    lab.run(survivor, f"sed -i 1d {flannel.CONF}")
    assert confs(lab) == before
    assert notes(lab) == ["", "", ""]
    assert_flannel_serves(lab, lab.hosts, leases, lab.hosts)


@pytest.mark.full
def test_a_recovery_is_undone_before_the_force(flannel3: Lab) -> None:
    lab, lost = flannel3, lost_hosts(flannel3)
    survivor = next(host for host in lab.hosts if host.short not in lost)
    broken(lab, lost, "destroyed", reboot_survivor=True)
    before = lab.checksums()
    killed = sabotaged(lab, {"point": f"test_stop_survivor[{survivor.name}] change 1", "how": "after"})
    assert killed.returncode == -9, killed.stdout
    assert [line for line in checksums.changes(before, lab.checksums()) if flannel.CONF in line]
    done = assert_undone(lab, before)
    assert "systemctl restart flanneld" not in done.journal.read_text(encoding="utf-8"), "it was never restarted"


@pytest.mark.full
@pytest.mark.parametrize(
    "point",
    [
        "test_flannel_names_remaining[{survivor}] change 3",
        "test_name_all_to_flannel[{survivor}] change 1",
        "test_restart_flannel[{survivor}] change 1",
    ],
)
@pytest.mark.parametrize("how", ["before", "after"])
def test_a_killed_run_forgets_no_flanneld(flannel3: Lab, point: str, how: str) -> None:
    """Between the edit and the restart, and later: the same command restarts what has to be restarted.

    The survivor was restarted, too, and tells nobody which leases there are.
    """
    lab, before = flannel3, confs(flannel3)
    leases = flannel.leases(lab, lab.hosts[0])
    writes = broken(lab, ["etcd-1", "etcd-2"], "destroyed", reboot_survivor=True)
    started = in_parallel(lambda host: lab.run(host, STARTED).stdout, lab.hosts)
    killed = sabotaged(lab, {"point": point.format(survivor=lab.hosts[0].name), "how": how})
    assert killed.returncode == -9, killed.stdout
    assert "flanneld does not run here" not in killed.stdout  # it waits for etcd, or fails and is started again
    done = run(lab)
    assert done.exit == 0, done.output
    assert "does not answer by the v2 API now" in killed.stdout + done.output, done.output
    assert_whole(lab, writes)
    assert confs(lab) == before
    assert left_behind(lab) == []
    assert notes(lab) == ["", "", ""]
    assert_flannel_serves(lab, lab.hosts, leases, lab.hosts)
    now = in_parallel(lambda host: lab.run(host, STARTED).stdout, lab.hosts)
    assert not set(started) & set(now), "each was restarted"


@pytest.mark.parametrize(
    ("line", "verdict", "says"),
    [
        ('FLANNEL_ETCD_ENDPOINTS="https://etcd-0', "", f"{flannel.CONF}, line 2: expected a closing"),
        pytest.param(
            "FLANNEL_ETCD_ENDPOINTS=https://vip.example.com:2379",
            "lost",
            f"{flannel.CONF}, line 2: it names https://vip.example.com:2379, which is no host of the inventory",
            marks=pytest.mark.full,
        ),
    ],
    ids=["malformed", "stranger"],
)
def test_refused_before_anything_is_changed(flannel3: Lab, line: str, verdict: str, says: str) -> None:
    """What cannot be read ends the survey, before there is a verdict; what can, and names nobody, is refused by step 17."""
    lab = flannel3
    broken(lab, lost_hosts(lab), "destroyed")
    lab.run(lab.hosts[0], f"cat > {flannel.CONF}", stdin=f"# mine\n{line}\n")
    refused(lab, verdict, [says, lab.hosts[0].name])


@pytest.mark.full
def test_the_v2_data_is_gone(flannel3: Lab) -> None:
    """etcd is recovered; flanneld is not restarted into nothing, and the run says why, and goes on later."""
    lab, lost, before = flannel3, lost_hosts(flannel3), confs(flannel3)
    survivor = next(host for host in lab.hosts if host.short not in lost)
    flannel.v2(lab, lab.hosts[0], "-X DELETE", f"{flannel.PREFIX}?recursive=true")
    lab.run(survivor, "sync")
    started = lab.run(survivor, STARTED).stdout
    lab.break_hosts(lost, "destroyed")
    done = run(lab)
    assert done.exit == 1, done.output
    why = "etcd here has no network of Flannel below /openshift.com/network"
    says = ["FAILED   71", why, "flanneld was not restarted"]
    assert_told(done, exit=1, outcome="failed", verdict="lost", says=says)
    lab.wait_healthy(within=15)
    assert confs(lab) == before
    assert lab.run(survivor, STARTED).stdout == started

    flannel.write_network(lab)
    again = run(lab)
    assert_told(again, exit=0, outcome="recovered", verdict="unfinished", says=["3 of 3 members"])
    flannel.wait_ready(lab)
    assert left_behind(lab) == []
    assert lab.run(survivor, STARTED).stdout != started


@pytest.mark.full
def test_an_endpoint_that_is_missing_is_found(flannel3: Lab) -> None:
    """A healthy cluster of which one flanneld knows only two members: said by the checks, and mended by the runbook."""
    lab, host, before = flannel3, flannel3.hosts[2], confs(flannel3)
    lab.run(host, f"sed -i 's!,{lab.hosts[2].client_url}!!' {flannel.CONF}")
    checked = run(lab, "checks/")
    assert checked.exit == 1, checked.output
    assert f"{host.name}: FLANNEL_ETCD does not name the member on {host.name}" in checked.output
    done = run(lab)
    assert_told(done, exit=0, outcome="recovered", verdict="unfinished", says=["3 of 3 members"])
    assert confs(lab) == before
    assert left_behind(lab) == []
    assert host.client_url in running_with(lab, host)


@pytest.mark.full
def test_a_member_is_replaced_with_quorum(flannel3: Lab) -> None:
    lab, before = flannel3, confs(flannel3)
    leases = flannel.leases(lab, lab.hosts[0])
    writes = broken(lab, ["etcd-1"], "destroyed")
    done = run(lab)
    assert_told(done, exit=0, outcome="recovered", verdict="degraded", says=["3 of 3 members"])
    assert_whole(lab, writes)
    assert confs(lab) == before
    assert notes(lab) == ["", "", ""]
    assert_flannel_serves(lab, lab.hosts, leases, lab.hosts)


@pytest.mark.system("Flannel")
@pytest.mark.full
@pytest.mark.parametrize("topology", ["colocated", "container"])
def test_other_topologies(labs: Labs, topology: str) -> None:
    lab = labs(topology=topology, flannel=True)
    if topology in ON_MASTERS:
        masters.wait_ready(lab)
    flannel.wait_ready(lab)
    before, leases = confs(lab), flannel.leases(lab, lab.hosts[0])
    writes = broken(lab, lost_hosts(lab), "destroyed")
    done = run(lab)
    assert_told(done, exit=0, outcome="recovered", verdict="lost", says=["3 of 3 members"])
    assert_whole(lab, writes)
    assert confs(lab) == before
    assert left_behind(lab) == []
    assert_flannel_serves(lab, lab.hosts, leases, lab.hosts)


@pytest.mark.system("Flannel")
@pytest.mark.full
@pytest.mark.parametrize("release", ["bullseye", "trixie"])
def test_other_generations_of_etcd(labs: Labs, release: str) -> None:
    lab = labs(release=release, flannel=True)
    flannel.wait_ready(lab)
    before, leases = confs(lab), flannel.leases(lab, lab.hosts[0])
    writes = broken(lab, lost_hosts(lab), "destroyed")
    done = run(lab)
    assert_told(done, exit=0, outcome="recovered", verdict="lost", says=["3 of 3 members"])
    assert_whole(lab, writes)
    assert confs(lab) == before
    assert_flannel_serves(lab, lab.hosts, leases, lab.hosts)

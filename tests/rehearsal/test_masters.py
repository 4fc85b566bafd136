"""Etcd on OpenShift masters: the recovery takes their configuration, their APIs and their controllers along."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
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

from lab import Lab, checksums, masters
from lab.parallel import in_parallel
from lab.spec import Host

Labs = Callable[..., Lab]
TICKET = "# ticket 4711: reviewed"
NOTES = "ls /var/lib/requorum 2>/dev/null || true"


@pytest.fixture
def colocated(labs: Labs) -> Lab:
    lab = labs(topology="colocated")
    masters.wait_ready(lab)
    return lab


def lost_hosts(lab: Lab) -> list[str]:
    short = [host.short for host in lab.hosts]
    return sorted(chance("lost masters", len(short)).sample(short, 2))


def configs(lab: Lab) -> dict[str, str]:
    return {host.short: lab.run(host, f"sha256sum {masters.CONFIG}; stat -c '%U %a' {masters.CONFIG}").stdout
            for host in lab.hosts if lab.is_on(host)}  # fmt: skip


def create(lab: Lab, host: Host, name: str) -> None:
    """A ConfigMap through this master's own API; it must be acknowledged."""
    metadata = {"name": name, "namespace": "default"}
    body = json.dumps({"kind": "ConfigMap", "apiVersion": "v1", "metadata": metadata, "data": {"by": host.short}})
    lab.run(host, masters.oc(host, "create -f -"), stdin=body)


def listed(lab: Lab, host: Host) -> list[str]:
    """The ConfigMaps of `default` as this API has them in its memory."""
    path = "/api/v1/namespaces/default/configmaps?resourceVersion=0"
    items = json.loads(lab.run(host, masters.oc(host, f"get --raw '{path}'")).stdout)["items"]
    return sorted(item["metadata"]["name"] for item in items)


def held(lab: Lab) -> list[str]:
    """The same, as etcd itself has them: a member says so by a linearizable read."""
    place, member = "/kubernetes.io/configmaps/default/", next(host for host in lab.hosts if lab.is_on(host))
    keys = lab.etcdctl(member, f"get {place} --prefix --keys-only").stdout.split()
    return sorted(key.removeprefix(place) for key in keys)


def named(lab: Lab, host: Host) -> list[str]:
    found = lab.run(host, f"sed -n '/^  urls:/,/^etcdStorage/p' {masters.CONFIG} | grep -o 'https://[^ ]*'").stdout
    return found.split()


def assert_masters_serve(lab: Lab, hosts: list[Host], kept: list[str], tag: str) -> None:
    """API and controllers are well; each API writes; what it lists is what was acknowledged, and what etcd holds."""
    masters.wait_ready(lab, hosts, within=15)
    new = [f"{tag}-{host.short}" for host in hosts]
    for host in hosts:
        create(lab, host, f"{tag}-{host.short}")
    kept += new
    assert held(lab) == sorted(kept)
    for host in hosts:
        assert listed(lab, host) == sorted(kept)


def test_two_of_three_masters_lose_power_and_data(colocated: Lab) -> None:
    """One of them has an explicit list of servers, too, which wins over etcdClientInfo."""
    lab, explicit = colocated, colocated.host(lost_hosts(colocated)[0])
    servers = ",".join(f"https://{host.address}:2379" for host in lab.hosts)
    masters.edit_config(
        lab, explicit, f"c['kubernetesMasterConfig']['apiServerArguments']['etcd-servers'] = ['{servers}']"
    )
    before, kept = configs(lab), ["before"]
    create(lab, lab.hosts[0], "before")
    stored(lab, "calico-config", lab.hosts)
    stored(lab, "nuage-master-config", lab.hosts[:2])
    for address in (lab.hosts[0].address, "10.99.0.1"):
        leased(lab, address)
    writes = written(lab)
    lab.break_hosts(lost_hosts(lab), "destroyed")  # not `broken`: the edit would go into every test that asks for that
    planned = run(lab, "--plan")
    assert planned.exit == 0, planned.output
    for words in (f"-    - {servers}", "master-restart api", "master-restart controllers"):
        assert words in planned.report.read_text(encoding="utf-8")
    done = run(lab)
    assert_told(done, exit=0, outcome="recovered", verdict="lost", says=[
        "3 of 3 members", "restart the node service on every node",
        f"Nuage (ConfigMap kube-system/nuage-master-config) does not name the member on {lab.hosts[2].name}",
        "an API server at 10.99.0.1, where no reached master",
    ])  # fmt: skip
    assert "Calico" not in done.output
    assert f"an API server at {lab.hosts[0].address}" not in done.output
    assert_whole(lab, writes)
    assert left_behind(lab) == []
    assert configs(lab) == before
    assert_masters_serve(lab, list(lab.hosts), kept, "after")
    assert in_parallel(lambda host: lab.run(host, NOTES).stdout, lab.hosts) == ["", "", ""]
    journal = done.journal.read_text(encoding="utf-8")
    assert "bindPassword" in journal
    assert "not-a-real-password" not in journal

    checked = run(lab, "checks/")
    assert checked.exit == 0, checked.output


@pytest.mark.full
def test_masters_whose_kernel_has_a_name_without_its_domain(colocated: Lab) -> None:
    """`hostname` says master-0, the certificate of its API master-0.example.com, as the installer's `hostname -f` does."""
    lab, lost = colocated, lost_hosts(colocated)
    for host in lab.hosts:
        lab.run(host, f"hostname {host.short} && echo {host.short} > /etc/hostname")
    writes = written(lab)
    lab.break_hosts(lost, "destroyed")
    done = run(lab)
    assert_told(done, exit=0, outcome="recovered", verdict="lost", says=["3 of 3 members"])
    assert_whole(lab, writes)
    assert left_behind(lab) == []


@pytest.mark.full
def test_an_api_with_a_certificate_of_another_name_is_refused(colocated: Lab) -> None:
    """Nothing is changed: an API that oc does not trust would be found out after the force only."""
    lab, lost = colocated, lost_hosts(colocated)
    broken(lab, lost, "destroyed")
    lab.run(
        lab.hosts[0],
        "cd /etc/origin/master && openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=other.example.com -days 9 "
        "-keyout master.server.key -out master.server.crt 2>/dev/null",
    )
    before = lab.checksums()
    done = run(lab)
    assert_told(done, exit=6, outcome="refused", verdict="lost", says=[
        f"names other.example.com, and none of {lab.hosts[0].name}, {lab.hosts[0].address}", "nothing was changed",
    ])  # fmt: skip
    assert checksums.changes(before, lab.checksums()) == []


def leased(lab: Lab, address: str) -> None:
    """An API server at this address has said that it lives."""
    client = lab.client(lab.hosts[0])
    client.put(f"/kubernetes.io/masterleases/{address}".encode(), b"k8s", client.grant(600))
    client.close()


def stored(lab: Lab, name: str, hosts: Sequence[Host]) -> None:
    """A ConfigMap that names members, as an API server stores it: protobuf, with bytes that are no text around the urls."""
    urls = ",".join(f"https://{host.name}:2379" for host in hosts)
    client = lab.client(lab.hosts[0])
    value = b"k8s\x00\n\x02v1\x12\tConfigMap\xff\x22" + urls.encode() + b"\x1a\x00\xfe"
    client.put(f"/kubernetes.io/configmaps/kube-system/{name}".encode(), value)
    client.close()


@pytest.mark.full
def test_two_masters_stay_dead_and_come_back_later(colocated: Lab, tmp_path: Path) -> None:
    """Declared lost: the survivor's API writes, and knows of no other member; later all is as it was."""
    lab, lost = colocated, lost_hosts(colocated)
    before, kept = configs(lab), ["before"]
    survivor = next(host for host in lab.hosts if host.short not in lost)
    create(lab, survivor, "before")
    inventory = declared_lost(lab, lost, tmp_path / "inventory.yaml")
    writes = broken(lab, lost, "dead")
    alone = run(lab, inventory=inventory)
    told = [f"the master {lab.host(one).name} is silent" for one in lost]
    assert_told(alone, exit=0, outcome="recovered", verdict="lost", says=["1 of 3 members", *told])
    assert named(lab, survivor) == [f"https://{survivor.name}:2379"]
    assert_masters_serve(lab, [survivor], kept, "alone")
    writes += written(lab, 20, [survivor.short])

    again = run(lab, inventory=inventory)  # while they are still away
    assert_told(again, exit=0, outcome="healthy", verdict="healthy", says=["1 of 3 members"])

    lab.run(survivor, f"echo '{TICKET}' >> {masters.CONFIG}")  # somebody else's
    lab.boot(*lost, wipe=True)
    done = run(lab, "-n", "3", inventory=inventory)
    assert_told(done, exit=0, outcome="recovered", verdict="unfinished", says=["3 of 3 members"])
    assert_whole(lab, writes)
    assert lab.run(survivor, f"tail -n 1 {masters.CONFIG}").stdout == f"{TICKET}\n"
    lab.run(survivor, f"sed -i '$d' {masters.CONFIG}")
    assert configs(lab) == before
    assert_masters_serve(lab, list(lab.hosts), kept, "back")
    assert in_parallel(lambda host: lab.run(host, NOTES).stdout, lab.hosts) == ["", "", ""]


@pytest.mark.full
def test_a_recovery_is_undone_before_the_force(colocated: Lab) -> None:
    lab, lost = colocated, lost_hosts(colocated)
    survivor = next(host.name for host in lab.hosts if host.short not in lost)
    broken(lab, lost, "destroyed", reboot_survivor=True)
    before = lab.checksums()
    killed = sabotaged(lab, {"point": f"test_stop_survivor[{survivor}] change 1", "how": "after"})
    assert killed.returncode == -9, killed.stdout
    assert [line for line in checksums.changes(before, lab.checksums()) if "master-config.yaml" in line]
    assert_undone(lab, before)


@pytest.mark.full
@pytest.mark.parametrize(
    "point",
    [
        "test_name_remaining[{last}] change 1",
        "test_restart_api[{last}] change 1",
        "test_name_all_in_master_config[{last}] change 1",
        "test_restart_controllers_again[{last}] change 1",
    ],
)
@pytest.mark.parametrize("how", ["before", "after"])
def test_a_killed_run_forgets_no_master(colocated: Lab, point: str, how: str) -> None:
    """Typed again, the same command restarts what has to be restarted, and puts every configuration together again."""
    lab, lost = colocated, lost_hosts(colocated)
    writes = broken(lab, lost, "destroyed")
    before = configs(lab)
    killed = sabotaged(lab, {"point": point.format(last=lab.hosts[-1].name), "how": how})
    assert killed.returncode == -9, killed.stdout
    done = run(lab)
    assert done.exit == 0, done.output
    assert_whole(lab, writes)
    assert configs(lab) == before
    assert left_behind(lab) == []
    assert in_parallel(lambda host: lab.run(host, NOTES).stdout, lab.hosts) == ["", "", ""]
    masters.wait_ready(lab, within=15)
    for host in lab.hosts:
        create(lab, host, f"after-{host.short}")


def rolled_back(lab: Lab) -> None:
    """Etcd's revision goes back under the running APIs, by 200, and each object is again what it was."""

    def each(command: str) -> None:
        in_parallel(lambda one: lab.run(one, command), lab.hosts)

    each(f"systemctl stop {masters.CONTROLLERS} etcd && cp -a /var/lib/etcd /var/lib/etcd-then")
    each("systemctl start --no-block etcd")
    lab.wait_healthy()
    client = lab.client(lab.hosts[0])
    for _ in range(200):
        client.put(b"/kubernetes.io/configmaps/default/passing", b'{"metadata": {"name": "passing"}}')
    client.close()
    lab.etcdctl(lab.hosts[0], "del /kubernetes.io/configmaps/default/passing")
    each("systemctl stop etcd && rm -rf /var/lib/etcd && mv /var/lib/etcd-then /var/lib/etcd")
    each(f"systemctl start --no-block etcd {masters.CONTROLLERS}")
    lab.wait_healthy()
    masters.wait_ready(lab)


@pytest.mark.full
def test_a_stale_watch_cache_is_found_by_a_watch(colocated: Lab) -> None:
    """What each API lists is what etcd holds, and yet it tells nobody of what is written: only a watch shows that."""
    lab, lost, kept = colocated, lost_hosts(colocated), ["before"]
    create(lab, lab.hosts[0], "before")
    writes = written(lab)
    lab.break_hosts(lost, "destroyed")
    point = f"test_restart_controllers_again[{lab.hosts[-1].name}] change 1"
    killed = sabotaged(lab, {"point": point, "how": "before"})
    assert killed.returncode == -9, killed.stdout
    rolled_back(lab)
    assert [listed(lab, host) for host in lab.hosts] == [kept] * 3
    done = run(lab)
    assert_told(done, exit=1, outcome="failed", verdict="unfinished", says=[
        f"as ADDED in a watch through the API of {lab.hosts[0].name}, within 5 s; found no event",
        "its watch cache is stale", "master-restart api there",
    ])  # fmt: skip
    assert f"FAILED   66  {lab.hosts[0].name}" in done.output
    for host in lab.hosts:
        lab.run(host, "master-restart api")
    masters.wait_ready(lab)
    again = run(lab)
    assert_told(again, exit=0, outcome="recovered", verdict="unfinished", says=["3 of 3 members"])
    assert_whole(lab, writes)
    assert left_behind(lab) == []
    assert_masters_serve(lab, list(lab.hosts), kept, "after")


@pytest.mark.full
def test_a_master_that_cannot_be_proven_does_not_keep_etcd_from_being_made_whole(colocated: Lab) -> None:
    """Its API does not start any more: told at 48 and 66, owed until it is mended; no other API is risked."""
    lab, lost, broken_one = colocated, lost_hosts(colocated), colocated.hosts[0]
    before, kept, drop_in = configs(lab), ["before"], "/etc/systemd/system/origin-master-api.service.d/test.conf"
    create(lab, broken_one, "before")
    writes = written(lab)
    lab.break_hosts(lost, "destroyed")
    lab.run(
        broken_one,
        f"mkdir -p $(dirname {drop_in}) && printf '[Service]\\nExecStartPre=/bin/false\\n' > {drop_in} && "
        "systemctl daemon-reload",
    )
    done = run(lab, timeout=900)
    assert_told(done, exit=1, outcome="failed", verdict="lost", says=["master-restart api"])
    assert [host.short for host in lab.hosts if f"FAILED   48  {host.name}" in done.output] == [
        h.short for h in lab.hosts
    ]
    assert f"ok       51  {lab.host(lost[0]).name}" in done.output
    assert f"FAILED   66  {broken_one.name}" in done.output
    assert_whole(lab, writes)
    assert "restart-master-api" in lab.run(broken_one, NOTES).stdout

    lab.run(broken_one, f"rm {drop_in} && systemctl daemon-reload")
    again = run(lab)
    assert_told(again, exit=0, outcome="recovered", verdict="unfinished", says=["3 of 3 members"])
    assert configs(lab) == before
    assert_masters_serve(lab, list(lab.hosts), kept, "after")
    assert in_parallel(lambda host: lab.run(host, NOTES).stdout, lab.hosts) == ["", "", ""]


def test_a_configuration_that_cannot_be_read_is_refused(colocated: Lab) -> None:
    lab, lost = colocated, lost_hosts(colocated)
    broken(lab, lost, "destroyed")
    lab.run(lab.hosts[0], f"printf 'etcdClientInfo:\\n  urls: [\\n' > {masters.CONFIG}")
    before = lab.checksums()
    done = run(lab)
    assert done.exit == 6, done.output
    assert f"{masters.CONFIG}, line 3: expected YAML" in done.output
    assert lab.hosts[0].name in done.output
    assert "Traceback" not in done.output
    assert checksums.changes(before, lab.checksums()) == []

"""etcd in a container that a systemd unit runs, and the stand-in for docker: they keep to what the real ones do."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lab import Lab, LabError, docker, wait

Labs = Callable[..., Lab]


@pytest.fixture
def lab(labs: Labs) -> Lab:
    return labs(topology="container")


def state(lab: Lab, host: str, unit: str = docker.ETCD_UNIT) -> str:
    return lab.run(host, f"systemctl is-active {unit}", check=False).stdout.strip()


def identity(lab: Lab, host: str) -> str:
    return lab.run(host, "docker inspect --format '{{.Id}}' etcd_container", check=False).stdout.strip()


def test_the_unit_and_its_container(lab: Lab) -> None:
    """etcd is not the unit's own process; a stop is clean; the unit starts again what ends; docker takes it along."""
    host = "etcd-1"
    groups = lab.run(host, "tail -n 1 /proc/$(pidof etcd)/cgroup").stdout.strip()
    assert groups.endswith(f"/docker-{identity(lab, host)}.service")
    assert "ETCD_ELECTION_TIMEOUT=2500" in lab.run(host, "xargs -0n1 < /proc/$(pidof etcd)/environ").stdout.split()
    refused = lab.run(host, f"systemctl mask {docker.ETCD_UNIT}", check=False)
    assert refused.returncode == 1
    assert "already exists" in refused.stderr
    lab.run(host, f"systemctl stop {docker.ETCD_UNIT}")
    assert state(lab, host) == "inactive"
    assert lab.run(host, "docker ps -aq; pidof etcd", check=False).stdout == ""
    lab.run(host, f"systemctl start {docker.ETCD_UNIT}")
    lab.wait_healthy()
    before = identity(lab, host)
    lab.run(host, "kill -KILL $(pidof etcd)")
    wait.until(lambda: identity(lab, host) not in ("", before), "the unit starts another container", 30)
    before = identity(lab, host)
    lab.run(host, f"systemctl restart {docker.UNIT}")
    wait.until(lambda: identity(lab, host) not in ("", before), "etcd is restarted with docker", 30)
    lab.wait_healthy()


@pytest.mark.full
def test_quotes_stay_in_the_environment(lab: Lab) -> None:
    host = "etcd-2"
    lab.run(host, "sed -i 's/^ETCD_HEARTBEAT_INTERVAL=.*/ETCD_HEARTBEAT_INTERVAL=\"500\"/' /etc/etcd/etcd.conf")
    lab.run(host, f"systemctl restart {docker.ETCD_UNIT}")
    log = f"journalctl -u {docker.ETCD_UNIT} -o cat --no-pager"
    wait.until(lambda: "invalid value" in lab.run(host, log).stdout, "etcd refuses the quotes", 30)
    lab.run(host, "sed -i 's/\"//g' /etc/etcd/etcd.conf")
    lab.run(host, f"systemctl restart {docker.ETCD_UNIT}")
    lab.wait_healthy()


@pytest.mark.full
def test_docker_says_what_the_real_one_says(lab: Lab) -> None:
    run = "docker run --net=host"
    image = "registry.access.redhat.com/rhel7/etcd"
    refusals = {
        "docker stop nobody": (1, "Error response from daemon: No such container: nobody\n"),
        "docker exec nobody true": (1, "Error: No such container: nobody\n"),
        "docker inspect nobody": (1, "Error: No such object: nobody\n"),
        f"{run} --env-file=/nowhere {image} true": (125, "docker: open /nowhere: no such file or directory.\n"),
        "docker exec -t etcd_container true": (1, "the input device is not a TTY\n"),
        f"{run} --name etcd_container {image} true": (125, None),
        f"{run} nothing true": (125, None),
    }
    for line, (code, words) in refusals.items():
        said = lab.run("etcd-0", line, check=False)
        assert said.returncode == code, line
        assert words in (None, said.stderr), line
    assert lab.run("etcd-0", "docker exec etcd_container cat", stdin="x").stdout == ""
    assert lab.run("etcd-0", "docker exec -i etcd_container cat", stdin="x").stdout == "x"
    assert lab.run("etcd-0", "docker exec etcd_container sh -c 'exit 7'", check=False).returncode == 7
    once = lab.run("etcd-0", f"{run} --rm --name once -e A=b {image} sh -c 'echo $A; echo $A >&2; exit 5'", check=False)
    assert (once.returncode, once.stdout, once.stderr) == (5, "b\n", "b\n")
    assert lab.run("etcd-0", "docker ps -a --format '{{.Names}}'").stdout == "etcd_container\n"
    assert lab.run("etcd-0", "docker ps -q --filter name=^/etcd_container$ | wc -c").stdout == "13\n"
    lab.run("etcd-0", f"systemctl stop {docker.UNIT}")
    down = lab.run("etcd-0", "docker ps", check=False)
    assert (down.returncode, down.stderr.split(" at ")[0]) == (1, "Cannot connect to the Docker daemon")
    assert state(lab, "etcd-0") == "inactive"
    lab.run("etcd-0", f"systemctl start {docker.UNIT} {docker.ETCD_UNIT}")
    lab.wait_healthy()


@pytest.mark.full
def test_the_lab_breaks_keeps_and_heals_them(lab: Lab) -> None:
    with pytest.raises(LabError, match="cannot be masked"):
        lab.break_hosts(["etcd-1"], "masked")
    lab.break_hosts(["etcd-1", "etcd-2"], "stopped")
    lab.save("stopped")
    lab.restore("stopped")
    wait.until(lambda: state(lab, "etcd-0") == "active", "the one that ran is started", 20)
    assert [state(lab, host) for host in ("etcd-1", "etcd-2")] == ["inactive", "inactive"]
    enabled = lab.run("etcd-1", f"systemctl is-enabled {docker.ETCD_UNIT} etcd", check=False).stdout.split()
    assert enabled == ["enabled", "masked"]
    lab.heal()
    lab.break_hosts(["etcd-1", "etcd-2"], "destroyed")
    log = f"journalctl -u {docker.ETCD_UNIT} -o cat --no-pager"
    wait.until(lambda: "already been bootstrapped" in lab.run("etcd-1", log).stdout, "they fail", 60)
    lab.heal()
    lab.reboot(*lab.hosts)
    lab.wait_healthy()


@pytest.mark.full
@pytest.mark.parametrize("release", ["bullseye", "trixie"])
def test_the_other_generations_of_etcd(labs: Labs, release: str) -> None:
    lab = labs(topology="container", release=release)
    said = lab.run("etcd-0", ". /etc/profile.d/etcdctl.sh; etcdctl2 cluster-health; etcdctl3 endpoint status")
    assert "cluster is healthy" in said.stdout
    assert "etcdctl version" in lab.run("etcd-0", "docker exec etcd_container etcdctl --version").stdout
    lab.run("etcd-1", f"systemctl stop {docker.ETCD_UNIT}")
    assert state(lab, "etcd-1") == "inactive"

"""The stand-ins for static pods keep to what the real ones do, good and bad; on masters with a real etcd."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest

from lab import Lab, LabError, images, masters, pods, wait
from lab.parallel import in_parallel
from lab.shell import Completed
from lab.spec import Host

Labs = Callable[..., Lab]
FOLDER = f"/{pods.FOLDER}"
IMAGE = f"/{images.FIRST_IN_PATH}"
"""What lies here comes first in a container of etcd."""
COUNTED = '#!/bin/sh\necho >> /var/lib/etcd/probed\nexec /usr/local/bin/etcdctl.lab "$@"\n'
"""An etcdctl that leaves a line for each time it was asked: of a probe that succeeds the node service says nothing."""
STUBBORN = {
    "kind": "Pod",
    "apiVersion": "v1",
    "metadata": {"name": "stubborn", "labels": {"openshift.io/component": "stubborn"}},
    "spec": {
        "containers": [
            {
                "name": "stubborn",
                "image": "registry.redhat.io/rhel7/etcd:3.2.26",
                "command": ["/bin/sh", "-c", "trap 'echo ignored' TERM; echo begun; while :; do sleep 1; done"],
            }
        ]
    },
}
LIST = "docker ps --no-trunc --filter label=io.kubernetes.container.name={} --format '{{{{.ID}}}}'"


@pytest.fixture
def lab(labs: Labs) -> Lab:
    lab = labs(topology="static-pod")
    masters.wait_ready(lab)
    return lab


def container(lab: Lab, host: Host, name: str = "etcd") -> str:
    """The id of the one that runs; empty if there is none."""
    return lab.run(host, LIST.format(name)).stdout.strip()


def runs(lab: Lab, host: Host) -> bool:
    return lab.run(host, "pidof etcd", check=False).returncode == 0


def set_times(lab: Lab, *hosts: Host, **seconds: float) -> None:
    """Shorter times than the real ones; the node service is started again, which leaves containers alone."""
    text = str(pods.timing(**seconds).content)
    for host in hosts:
        lab.run(host, f"mkdir -p $(dirname /{pods.TIMING}) && cat > /{pods.TIMING}", stdin=text)
        lab.run(host, f"systemctl restart {pods.UNIT}")


def log_of_the_node_service(lab: Lab, host: Host) -> str:
    return lab.run(host, f"journalctl -u {pods.UNIT} -o cat --no-pager").stdout


def oc(lab: Lab, host: Host, words: str) -> Completed:
    return lab.run(host, f"oc {words}", check=False)


def test_the_folder_decides_what_runs(lab: Lab) -> None:
    """A name with a dot in front hides a manifest; any other name is run, a backup's too."""
    host = lab.hosts[2]
    first, api = container(lab, host), container(lab, host, "api")
    lab.run(host, f"cd {FOLDER} && mv etcd.yaml .etcd.yaml")
    wait.until(lambda: not runs(lab, host), "etcd ends", 20)
    assert lab.run(host, f"docker wait {first}").stdout == "0\n"
    gone = lab.run(host, "master-exec etcd etcd true", check=False)
    assert (gone.returncode, gone.stderr.split()[-3:]) == (1, ["is", "not", "running"])  # it is there, and has ended
    of_etcd = "docker ps -q --filter label=openshift.io/component=etcd"
    wait.until(lambda: lab.run(host, of_etcd).stdout == "", "the pause container ends", 20)
    lab.run(host, "docker rm $(docker ps -aq --filter status=exited)")
    for tool in ("master-exec etcd etcd true", "master-logs etcd etcd"):
        nothing = lab.run(host, tool)
        assert (nothing.stdout, nothing.stderr) == ("", "Component etcd is stopped or not running\n")
    silent = lab.run(host, ". /etc/profile.d/etcdctl.sh; etcdctl3 endpoint health")
    assert silent.stdout == ""
    assert container(lab, host, "api") == api
    lab.run(host, f"cd {FOLDER} && mkdir folder && echo 'kind: [' > broken.yaml && cp .etcd.yaml etcd.yaml.bak")
    wait.until(lambda: runs(lab, host), "the copy is run", 20)
    said = log_of_the_node_service(lab, host)
    assert f'Can\'t process manifest file "{FOLDER}/broken.yaml"' in said
    copy = container(lab, host)
    lab.run(host, f"cd {FOLDER} && mv .etcd.yaml etcd.yaml")  # the same pod twice: the first name is taken
    wait.until(lambda: container(lab, host) not in ("", copy), "etcd.yaml is run instead of its copy", 40)
    assert 'duplicate pod name "master-etcd-' in log_of_the_node_service(lab, host)
    lab.run(host, f"cd {FOLDER} && rm etcd.yaml.bak broken.yaml && rmdir folder")
    lab.wait_healthy()


def test_what_is_in_the_container_and_what_is_not(lab: Lab) -> None:
    host = lab.hosts[1]
    assert lab.run(host, "command -v etcd etcdctl", check=False).stdout == ""
    assert (
        lab.run(host, "systemctl start etcd", check=False).stderr
        == "Failed to start etcd.service: Unit etcd.service is masked.\n"
    )
    assert "etcdctl version" in lab.run(host, "master-exec etcd etcd etcdctl --version").stdout
    variables = lab.run(host, "xargs -0n1 < /proc/$(pidof etcd)/environ").stdout.splitlines()
    assert f"ETCD_NAME={host.name}" in variables
    assert lab.run(
        host, "cat /proc/$(pidof etcd)/comm; stat -c %U /proc/$(pidof etcd) /var/lib/etcd"
    ).stdout.split() == [
        "etcd",
        "root",
        "root",
    ]
    refused = lab.run(host, "master-exec etcd etcd touch /etc/etcd/x", check=False)
    assert "Read-only file system" in refused.stderr
    lab.run(host, "master-exec etcd etcd touch /lost /var/lib/etcd/kept")
    assert lab.run(host, "ls /lost /var/lib/etcd/kept", check=False).stdout == "/var/lib/etcd/kept\n"
    assert lab.run(host, "master-exec etcd etcd cat", stdin="no input").stdout == ""
    log = lab.run(host, "master-logs etcd etcd --tail 1")
    assert (log.stdout, log.stderr.count("\n")) == ("", 1)
    before = container(lab, host)
    said = lab.run(host, "master-restart etcd and more", timeout=90)
    assert said.stdout.startswith("Stopping container ")
    assert said.stdout.endswith("\n0\n")
    wait.until(lambda: container(lab, host) not in ("", before), "a new container", 20)
    assert lab.run(host, "master-exec etcd etcd ls /lost", check=False).returncode == 2
    assert lab.run(host, "master-restart controller").stderr == "Component controller is already stopped\n"
    lab.wait_healthy()


@pytest.mark.full
def test_the_probe_kills_etcd_without_quorum_and_only_then(lab: Lab) -> None:
    first, second, third = lab.hosts
    lab.break_hosts([third], "stopped")
    lab.run(first, f"cd {IMAGE} && mv etcdctl etcdctl.lab && cat > etcdctl && chmod 755 etcdctl", stdin=COUNTED)
    set_times(lab, first, second, probe_delay=2, probe_period=1, backoff_first=1)
    before = container(lab, first)

    def probed() -> int:
        return len(lab.run(first, "cat /var/lib/etcd/probed", check=False).stdout)

    wait.until(lambda: probed() >= 5, "five probes, of which three in a row would end the container", 60)
    assert container(lab, first) == before
    health = lab.run(first, ". /etc/profile.d/etcdctl.sh; etcdctl2 cluster-health")
    assert "cluster is degraded" in health.stdout
    assert lab.healthy(first)
    lab.break_hosts([second], "stopped")
    wait.until(lambda: container(lab, first) not in ("", before), "etcd is killed, and started again", 60)
    again = container(lab, first)
    wait.until(lambda: container(lab, first) not in ("", before, again), "and once more", 60)
    said = log_of_the_node_service(lab, first)
    assert said.count("container failed liveness probe, container will be killed and recreated") >= 2
    assert "Back-off" in said
    lab.run(first, f"rm /{pods.TIMING} && systemctl restart {pods.UNIT}")
    lab.heal()


@pytest.mark.full
def test_a_pod_that_ignores_sigterm_is_killed_after_its_grace(lab: Lab) -> None:
    """Which is 30 s where the manifest says nothing of it."""
    host = lab.hosts[0]
    lab.run(host, f"cat > {FOLDER}/stubborn", stdin=json.dumps(STUBBORN))
    wait.until(lambda: container(lab, host, "stubborn") != "", "the pod is run", 20)
    one = container(lab, host, "stubborn")

    def says(word: str) -> bool:
        return word in lab.run(host, f"docker logs {one}").stdout

    wait.until(lambda: says("begun"), "it catches SIGTERM", 20)
    since = time.monotonic()
    lab.run(host, f"rm {FOLDER}/stubborn")
    wait.until(lambda: says("ignored"), "SIGTERM comes first", 20)
    wait.until(lambda: container(lab, host, "stubborn") == "", "it is killed", 60)
    assert 29 < time.monotonic() - since < 45
    # Docker itself says 137: the stand-in's units do not tell which signal ended a first process that ignores others.
    assert lab.run(host, f"docker wait {one}").stdout not in {"0\n", "143\n"}


@pytest.mark.full
def test_a_stopped_node_service_leaves_containers_alone(lab: Lab) -> None:
    host = lab.hosts[1]
    before = container(lab, host)
    lab.run(host, f"systemctl stop {pods.UNIT} && mv {FOLDER}/etcd.yaml /etc/origin/node/")
    assert lab.healthy(host)
    lab.run(host, f"mv /etc/origin/node/etcd.yaml {FOLDER}/ && systemctl start {pods.UNIT}")
    node_of(lab, host)
    assert container(lab, host) == before
    lab.run(
        host, f"systemctl stop {pods.UNIT} && mv {FOLDER}/etcd.yaml /etc/origin/node/ && systemctl start {pods.UNIT}"
    )
    wait.until(lambda: not runs(lab, host), "what nobody asks for is stopped", 20)
    lab.run(host, f"mv /etc/origin/node/etcd.yaml {FOLDER}/")
    lab.wait_healthy()


def node_of(lab: Lab, host: Host) -> None:
    """Wait until the node service is at work: a command reaches a container through it."""
    pod = f"master-etcd-{host.name}"
    command = f"exec -n kube-system {pod} -- true"
    wait.until(lambda: oc(lab, host, command).returncode == 0, f"the node service of {host.name}", 30)


@pytest.mark.full
def test_oc_needs_api_quorum_and_the_node(lab: Lab) -> None:
    first, second, third = lab.hosts
    node_of(lab, second)

    def table() -> list[list[str]]:
        lines = oc(lab, first, "get pods -n kube-system -o wide | grep etcd").stdout.splitlines()
        return [line.split()[:3] for line in lines]

    expected = [[f"master-etcd-{host.name}", "1/1", "Running"] for host in lab.hosts]
    wait.until(lambda: table() == expected, "every node has told of its pods", 30)
    pod = f"exec -n kube-system master-etcd-{second.name}"
    done = oc(lab, first, f"{pod} -- /bin/sh -c 'hostname > /var/lib/etcd/by-oc; echo out; echo err >&2; exit 3'")
    assert (done.returncode, done.stdout) == (3, "out\n")
    assert done.stderr == "err\ncommand terminated with exit code 3\n"
    assert lab.run(second, "cat /var/lib/etcd/by-oc").stdout == f"{second.name}\n"
    assert oc(lab, first, "login -u system:admin").returncode == 0
    lab.run(second, f"systemctl stop {pods.UNIT}")
    assert "error dialing backend" in oc(lab, first, f"{pod} -- true").stderr
    lab.run(second, f"systemctl start {pods.UNIT}")
    lab.break_hosts([second, third], "stopped")
    for words in ("get pods -n kube-system", f"{pod} -- true"):
        said = oc(lab, first, words)
        assert (said.returncode, said.stderr) == (1, "Error from server: etcdserver: request timed out\n")
    lab.run(first, f"mv {FOLDER}/apiserver.yaml /etc/origin/node/")
    refused = f"The connection to the server {first.name}:8443 was refused - did you specify the right host or port?\n"
    wait.until(lambda: oc(lab, first, "get pods").stderr == refused, "the API is gone", 45)
    assert "connection refused - verify you have" in oc(lab, first, "login -u system:admin").stderr
    assert oc(lab, first, f"{pod} -- true").stderr == refused
    lab.run(first, f"mv /etc/origin/node/apiserver.yaml {FOLDER}/")
    lab.heal()
    masters.wait_ready(lab)


@pytest.mark.full
def test_master_restart_with_the_node_service_down(lab: Lab) -> None:
    host = lab.hosts[0]
    lab.run(host, f"systemctl stop {pods.UNIT}")
    assert lab.run(host, "master-restart controllers", timeout=120, check=False).returncode == 124
    assert container(lab, host, "controllers")
    lab.run(host, f"systemctl start {pods.UNIT}")
    masters.wait_ready(lab)


@pytest.mark.full
def test_back_off_with_the_real_times(lab: Lab) -> None:
    """At once, then 10 s after the end, then 20 s; a restart of the service forgets that, a manifest that is moved does not."""
    host = lab.hosts[0]
    text = "kind: Pod\napiVersion: v1\nmetadata: {name: crash, namespace: default, labels: {openshift.io/component: crash}}\n"
    text += (
        "spec: {containers: [{name: crash, image: 'registry.redhat.io/rhel7/etcd:3.2.26', command: [/bin/false]}]}\n"
    )
    lab.run(host, f"cat > {FOLDER}/crash", stdin=text)
    attempts = "docker ps -a --filter label=io.kubernetes.container.name=crash --format '{{.Names}}' | head -1"

    def attempt() -> int:
        name = lab.run(host, attempts).stdout.strip()
        return int(name.rpartition("_")[2]) if name else -1

    begun: dict[int, float] = {}

    def reached(number: int) -> bool:
        now = attempt()
        begun.setdefault(now, time.monotonic())
        return now >= number

    wait.until(lambda: reached(3), "the fourth attempt", 60)
    assert begun[1] - begun[0] < 5
    assert 9 < begun[2] - begun[1] < 16
    assert 18 < begun[3] - begun[2] < 28
    lab.run(host, f"mv {FOLDER}/crash /root/ && mv /root/crash {FOLDER}/")
    wait.until(lambda: "Back-off" in log_of_the_node_service(lab, host).splitlines()[-1], "back-off goes on", 20)
    since = time.monotonic()
    lab.run(host, f"systemctl restart {pods.UNIT}")
    wait.until(lambda: reached(4), "the service has forgotten the back-off", 15)
    assert time.monotonic() - since < 15
    lab.run(host, f"rm {FOLDER}/crash")


@pytest.mark.full
def test_the_lab_breaks_keeps_and_heals_them(lab: Lab) -> None:
    first, second, third = lab.hosts
    with pytest.raises(LabError, match="cannot be masked"):
        lab.break_hosts([second], "masked")
    lab.break_hosts([second, third], "stopped")
    before = lab.checksums()
    lab.save("parked")
    assert [one for one in lab.checksums()[second.name] if one.endswith("pods-stopped/etcd.yaml")]
    lab.restore("parked")
    assert not runs(lab, second)
    files = {name for name in before[second.name] if name.startswith("/etc/origin/node")}
    assert {name: before[second.name][name] for name in files} == {
        name: text for name, text in lab.checksums()[second.name].items() if name in files
    }
    lab.heal()
    lab.break_hosts([second, third], "destroyed")
    wait.until(lambda: "already been bootstrapped" in lab.run(second, "master-logs etcd etcd").stderr, "they fail", 60)
    lab.heal()
    lab.reboot(*lab.hosts)
    lab.wait_healthy()
    masters.wait_ready(lab)
    assert json.loads(lab.run(first, f"docker inspect {container(lab, first)}").stdout)[0]["State"]["Running"]


@pytest.mark.full
@pytest.mark.parametrize("release", ["bullseye", "trixie"])
def test_the_other_generations_of_etcd(labs: Labs, release: str) -> None:
    lab = labs(topology="static-pod", release=release)
    masters.wait_ready(lab)
    health = in_parallel(
        lambda host: lab.run(host, ". /etc/profile.d/etcdctl.sh; etcdctl2 cluster-health; etcdctl3 endpoint status"),
        lab.hosts,
    )
    assert all("cluster is healthy" in one.stdout for one in health)
    for host in lab.hosts:
        node_of(lab, host)
    lab.break_hosts(lab.hosts[1:], "stopped")
    said = lab.run(lab.hosts[0], ". /etc/profile.d/etcdctl.sh; etcdctl2 cluster-health", check=False)
    assert said.returncode != 0
    lab.heal()

"""The stand-ins for OpenShift keep to what the real ones do, good and bad; on a lab with a real etcd behind them."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable

import pytest

from lab import Lab, masters, wait
from lab.parallel import in_parallel
from lab.shell import Completed
from lab.spec import Host

Labs = Callable[..., Lab]
LIST = "get --raw '/api/v1/namespaces/default/configmaps?resourceVersion=0'"
WATCH = "/api/v1/namespaces/default/configmaps?watch=true"
POST = (
    f"cd /{masters.FOLDER} && curl -sS --max-time 30 -w '\\n%{{http_code}} %{{time_total}}' -H 'Content-Type: application/json' "
    "--cacert ca.crt --cert master.kubelet-client.crt --key master.kubelet-client.key --data-binary @- "
)
LEADER = "get configmap openshift-master-controllers -n kube-system"


@pytest.fixture
def colocated(labs: Labs) -> Lab:
    lab = labs(topology="colocated")
    masters.wait_ready(lab)
    return lab


def oc(lab: Lab, host: Host, words: str, stdin: str | None = None) -> Completed:
    return lab.run(host, masters.oc(host, words), stdin=stdin, check=False)


def config_map(name: str) -> str:
    body = {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": name, "namespace": "default"}, "data": {}}
    return json.dumps(body)


def create(lab: Lab, host: Host, name: str) -> Completed:
    return oc(lab, host, "create -f -", config_map(name))


def posted(lab: Lab, host: Host, name: str) -> tuple[str, str, float]:
    """As `create`, without oc: the answer's message and code, and how long it took."""
    url = f"https://{host.name}:8443/api/v1/namespaces/default/configmaps"
    body, _, told = lab.run(host, f"{POST}{url}", stdin=config_map(name)).stdout.rpartition("\n")
    code, seconds = told.split()
    return json.loads(body)["message"], code, float(seconds)


def lock(lab: Lab) -> tuple[str, str]:
    """Who leads the controllers, and when it said so the last time; empty where nobody does."""
    said = oc(lab, lab.hosts[0], LEADER)
    held = json.loads(said.stdout)["metadata"]["annotations"] if said.returncode == 0 else {}
    return held.get("holder", ""), held.get("renewed", "")


def listed(lab: Lab, host: Host) -> set[str]:
    return {item["metadata"]["name"] for item in json.loads(oc(lab, host, LIST).stdout)["items"]}


def watched(lab: Lab, host: Host, **query: object) -> list[tuple[str, str]]:
    """What a watch says for a second: type and name."""
    path = "".join([WATCH, "&timeoutSeconds=1", *(f"&{key}={value}" for key, value in query.items())])
    said = oc(lab, host, f"get --raw '{path}'")
    assert said.returncode == 0, said.stderr
    events = map(json.loads, said.stdout.splitlines())
    return [(event["type"], event["object"].get("metadata", {}).get("name", "")) for event in events]


def test_a_master_without_quorum(colocated: Lab) -> None:
    """It says that it is well, and does nothing; restarted, it stays away until there is a quorum."""
    lab, (first, second, third) = colocated, colocated.hosts
    assert create(lab, first, "one").stdout == "configmap/one created\n"
    assert create(lab, second, "one").stderr == 'Error from server (AlreadyExists): configmaps "one" already exists\n'
    wait.until(lambda: listed(lab, third) == {"one"}, "the watch of another API brings the ConfigMap", 5)
    assert lock(lab)[0] in {host.name for host in lab.hosts}

    for host in (second, third):
        lab.run(host, "systemctl stop etcd")
    assert oc(lab, first, "get --raw /healthz").stdout == "ok"
    refused = create(lab, first, "two")
    assert (refused.returncode, refused.stderr) == (1, "Error from server: etcdserver: request timed out\n")
    message, code, seconds = posted(lab, first, "two")
    assert (message, code) == ("etcdserver: request timed out", "500")
    assert 9 < seconds < 13
    assert oc(lab, first, "get configmap one").stderr == "Error from server: etcdserver: request timed out\n"
    assert listed(lab, first) == {"one"}
    assert watched(lab, first) == [("ADDED", "one")]

    said = lab.run(first, "master-restart api api controllers")
    assert (said.stdout, said.stderr) == ("", "")
    down = oc(lab, first, "get --raw /healthz")
    words = f"The connection to the server {first.name}:8443 was refused - did you specify the right host or port?\n"
    assert (down.returncode, down.stderr) == (1, words)
    gave_up = f"journalctl -u {masters.API} -o cat --no-pager"
    wait.until(lambda: "could not reach etcd(v3)" in lab.run(first, gave_up).stdout, "the API gives up", 60)
    for host in (second, third):
        lab.run(host, "systemctl start etcd")
    masters.wait_ready(lab)


def test_master_restart_says_nothing_of_what_it_did(colocated: Lab) -> None:
    host = colocated.hosts[0]
    before = colocated.run(host, "systemctl show etcd -p MainPID").stdout
    for word in ("etcd", "controller", "nonsense"):
        said = colocated.run(host, f"master-restart {word}")
        assert (said.returncode, said.stderr) == (0, f"Component {word} is already stopped\n")
    assert colocated.run(host, "systemctl show etcd -p MainPID").stdout == before
    assert colocated.run(host, "master-restart", check=False).returncode == 1
    # Without static pods, whether their folder is there or not, the one runs on the host, and the other reads the unit's journal.
    for folder in ("! ls", "mkdir -p"):
        colocated.run(host, f"{folder} /etc/origin/node/pods")
        assert colocated.run(host, "master-exec etcd etcd cat", stdin="x").stdout == "x"
    assert "Stand-in for the master API" in colocated.run(host, "master-logs api api --no-pager").stdout
    assert colocated.run(host, "master-logs etcd etcd").stderr == "Component etcd is stopped or not running\n"
    assert colocated.run(host, "master-exec etcd", check=False).returncode == 1
    unnamed = colocated.run(
        host, "oc --config=/nowhere --server=https://localhost:8443 get --raw /healthz", check=False
    )
    assert unnamed.stderr == "error: stat /nowhere: no such file or directory\n"


@pytest.mark.full
def test_of_the_controllers_one_leads_until_it_is_gone(colocated: Lab) -> None:
    lab, first = colocated, lock(colocated)
    wait.until(lambda: lock(lab) not in (first, ("", "")), "somebody leads, and renews its lock", 40, every=1)

    def keeps_it() -> str:
        """The leader, which is the same for longer than a lock holds that is not renewed (15 s)."""
        seen: set[tuple[str, str]] = set()

        def renewed() -> bool:
            seen.add(lock(lab))
            return len(seen) > 4

        wait.until(renewed, "four times, 5 s apart, it says that it leads", 60, every=1)
        (leader,) = {holder for holder, _ in seen}
        return leader

    leader = keeps_it()
    lab.run(leader, f"systemctl stop {masters.CONTROLLERS}")
    wait.until(lambda: lock(lab)[0] != leader, "another takes the lock over", 60, every=1)
    other = lock(lab)[0]
    assert other in {host.name for host in lab.hosts}
    lab.run(leader, f"systemctl start {masters.CONTROLLERS}")
    masters.wait_ready(lab)
    assert keeps_it() == other


def test_a_watch_says_what_is_held_and_then_what_comes(colocated: Lab) -> None:
    """As it comes, and from the memory of any API: etcd has told each of them."""
    lab, (first, second, _) = colocated, colocated.hosts
    assert create(lab, first, "one").returncode == 0
    wait.until(lambda: listed(lab, second) == {"one"}, "the other API has it", 5)
    held = int(json.loads(oc(lab, second, LIST).stdout)["metadata"]["resourceVersion"])
    waits = masters.oc(second, f"get --raw '{WATCH}&timeoutSeconds=60'")
    lab.run(second, f"touch /root/seen; systemd-run -q --unit=watching bash -c {shlex.quote(f'{waits} > /root/seen')}")
    wait.until(lambda: "one" in lab.run(second, "cat /root/seen").stdout, "what is held comes first", 5)
    assert create(lab, first, "two").returncode == 0
    assert oc(lab, first, "delete configmap two").returncode == 0
    wait.until(lambda: "DELETED" in lab.run(second, "cat /root/seen").stdout, "each event comes at once", 5)
    seen = [json.loads(line) for line in lab.run(second, "cat /root/seen").stdout.splitlines()]
    assert [(event["type"], event["object"]["metadata"]["name"]) for event in seen] == [
        ("ADDED", "one"), ("ADDED", "two"), ("DELETED", "two"),
    ]  # fmt: skip
    assert lab.run(second, "systemctl is-active watching").stdout == "active\n"
    lab.run(second, "systemctl stop watching")
    assert watched(lab, second) == watched(lab, second, resourceVersion=0) == [("ADDED", "one")]
    assert watched(lab, second, resourceVersion=held) == [("ADDED", "two"), ("DELETED", "two")]
    assert watched(lab, second, resourceVersion=held, fieldSelector="metadata.name=one") == []
    assert watched(lab, second, resourceVersion=1) == [("ERROR", "")]
    unknown = oc(lab, second, f"get --raw '{WATCH}&fieldSelector=data=x'")
    assert "is not a known field selector" in unknown.stderr


@pytest.mark.full
def test_a_list_from_memory_goes_stale_when_the_revision_goes_back(colocated: Lab) -> None:
    lab, host = colocated, colocated.hosts[0]
    assert create(lab, host, "old").returncode == 0

    def each(command: str) -> None:
        in_parallel(lambda one: lab.run(one, command), lab.hosts)

    each(f"systemctl stop {masters.CONTROLLERS} etcd && cp -a /var/lib/etcd /var/lib/etcd-then")
    each("systemctl start --no-block etcd")
    lab.wait_healthy()
    assert create(lab, host, "young").returncode == 0
    wait.until(lambda: listed(lab, host) == {"old", "young"}, "the API lists what it wrote", 20)
    each("systemctl stop etcd && rm -rf /var/lib/etcd && cp -a /var/lib/etcd-then /var/lib/etcd")
    each("systemctl start --no-block etcd")
    lab.wait_healthy()
    assert oc(lab, host, "get configmap young").stderr == 'Error from server (NotFound): configmaps "young" not found\n'
    assert oc(lab, host, "get configmap old").returncode == 0
    assert listed(lab, host) == {"old", "young"}  # stale
    assert create(lab, host, "again").returncode == 0  # at the revision of "young", and no watch tells
    assert watched(lab, host) == [("ADDED", "old"), ("ADDED", "young")]
    assert oc(lab, host, "delete configmap again").returncode == 0
    lab.run(host, "master-restart api")
    wait.until(lambda: oc(lab, host, "get --raw /healthz/ready").stdout == "ok", "the API is back", 60)
    assert listed(lab, host) == {"old"}
    assert create(lab, host, "again").returncode == 0
    assert watched(lab, host) == [("ADDED", "again"), ("ADDED", "old")]


@pytest.mark.full
def test_an_explicit_list_of_servers_wins(colocated: Lab) -> None:
    lab, host = colocated, colocated.hosts[0]
    masters.edit_config(
        lab,
        host,
        "c['etcdClientInfo']['urls'] = ['https://gone.example.com:2379']\n"
        "c['kubernetesMasterConfig']['apiServerArguments']['etcd-servers'] = "
        f"['https://{lab.hosts[1].name}:2379,https://{lab.hosts[2].name}:2379']",
    )
    lab.run(host, "master-restart api")
    wait.until(lambda: oc(lab, host, "get --raw /healthz/ready").stdout == "ok", "the API is back", 60)
    assert create(lab, host, "explicit").returncode == 0

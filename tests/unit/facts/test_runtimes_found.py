"""How etcd runs, as the unit's command tells it; manifests of static pods, and the force in etcd.conf."""

from __future__ import annotations

import base64
import re

import pytest
import yaml

from lab import pods
from lab.spec import Host
from requorum.facts import contact, etcd_conf, manifest, unit
from requorum.facts.etcd_conf import FORCE_LINES
from requorum.facts.manifest import ManifestError
from requorum.facts.runtime import ASIDE, MANIFEST, PARKED, Runtime, docker_run

HOSTS = [Host(n, f"master-{n}.example.com", f"master-{n}", f"10.0.0.{10 + n}", f"m{n}") for n in (0, 1)]
TEXTS = [pods.etcd_manifest(host) for host in HOSTS]
IMAGE = "registry.access.redhat.com/rhel7/etcd"
RUN = (
    "/usr/bin/docker run --name etcd_container --rm -v /var/lib/etcd/:/var/lib/etcd/:z -v /etc/etcd:/etc/etcd:ro "
    f"--env-file=/etc/etcd/etcd.conf --net=host --entrypoint=/usr/bin/etcd {IMAGE}"
)


def of_unit(kind: str, name: str, exec_start: str, *more: str) -> str:
    shown = (
        "LoadState=loaded", "ActiveState=active", "SubState=running", "UnitFileState=enabled", "MainPID=7",
        f"FragmentPath=/etc/systemd/system/{name}", "DropInPaths=",
        f"ExecStart={{ path=/usr/bin/docker ; argv[]={exec_start} ; ignore_errors=no ; start_time=[n/a] }}",
        "EnvironmentFiles=/etc/etcd/etcd.conf (ignore_errors=no)", "User=",
    )  # fmt: skip
    return "\n".join((f"Runtime={kind} {name}", *shown, *more))


def of_pod(at: str = MANIFEST, text: str = TEXTS[0], *more: str) -> str:
    shown = (
        "LoadState=loaded", "ActiveState=active", "SubState=running", "UnitFileState=enabled", f"FragmentPath={at}",
        "DropInPaths=", "EnvironmentFiles=/etc/etcd/etcd.conf (ignore_errors=no)", f"Manifest={at}", "Node=active",
        f"Text={base64.b64encode(text.encode()).decode()}",
    )  # fmt: skip
    return "\n".join(("Runtime=static-pod origin-node.service", *shown, *more))


def test_a_container_that_a_unit_runs() -> None:
    found = unit.parse(of_unit("container", "etcd_container.service", RUN))
    runtime = found.runtime
    assert (runtime.kind, runtime.unit, runtime.container, runtime.image) == (
        "container", "etcd_container.service", "etcd_container", IMAGE,
    )  # fmt: skip
    assert runtime.fence == "/etc/systemd/system/etcd_container.service.d/requorum-fence.conf"
    assert found.overriding_flags == (), "what stands before the image is docker's"
    assert "etcd_container.service runs a container" in runtime.why


def test_a_container_under_the_name_of_the_service() -> None:
    assert unit.parse(of_unit("service", "etcd.service", RUN)).runtime.kind == "container"


def test_a_flag_behind_the_image_is_of_etcd() -> None:
    found = unit.parse(of_unit("container", "etcd_container.service", f"{RUN} --data-dir /elsewhere"))
    assert found.overriding_flags == ("--data-dir /elsewhere",)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("/usr/bin/docker run --rm IMAGE", ("", "IMAGE", "")),
        ("/usr/bin/podman run --name=e -e A=b IMAGE --x y", ("e", "IMAGE", "--x y")),
        ("/usr/bin/etcd --name a", ("", "", "")),
        ("/usr/bin/docker ps", ("", "", "")),
        ("", ("", "", "")),
    ],
)
def test_docker_run(line: str, told: tuple[str, str, str]) -> None:
    assert docker_run(line) == told


@pytest.mark.parametrize("other", ["etcd.service", "etcd_container.service"])
def test_another_way_that_is_switched_on_is_told(other: str) -> None:
    assert unit.parse(of_pod(MANIFEST, TEXTS[0], f"Beside={other}")).runtime.beside == (other,)


@pytest.mark.parametrize("text", TEXTS, ids=["template", "yedit"])
def test_a_static_pod(text: str) -> None:
    found = unit.parse(of_pod(MANIFEST, text))
    assert (found.runtime.kind, found.runtime.node, found.runtime.manifest) == ("static-pod", "active", MANIFEST)
    assert (found.fenced, found.probed, found.probe_is_out, found.forced) == (False, True, False, False)
    assert "source /etc/etcd/etcd.conf exec etcd" in found.exec_start
    assert found.overriding_flags == ()


@pytest.mark.parametrize(("at", "fenced"), [(PARKED, True), (ASIDE, False)])
def test_a_manifest_that_is_moved_out(at: str, fenced: bool) -> None:
    assert unit.parse(of_pod(at)).fenced == fenced


@pytest.mark.parametrize("text", TEXTS, ids=["template", "yedit"])
def test_a_manifest_without_its_probe(text: str) -> None:
    edited = manifest.parse(text, MANIFEST).without_probe
    before, after = yaml.safe_load(text), yaml.safe_load(edited)
    assert before["spec"]["containers"][0].pop("livenessProbe")
    assert before == after
    removed = set(text.splitlines()) - set(edited.splitlines())
    assert removed
    assert edited.replace("\n", "") in "".join(text.splitlines()) or len(edited) < len(text)
    assert manifest.parse(edited, MANIFEST).without_probe == edited


FIRST = "spec:\n  containers:\n  - livenessProbe:\n      exec: {command: [a]}\n    name: etcd\n    image: b\n"
BRACES = "spec:\n  containers:\n  - name: etcd\n    livenessProbe: {exec: {command: [a]}}"
LAST = "spec:\n  containers:\n  - name: etcd\n    livenessProbe:\n      exec:\n        command:\n        - a"


@pytest.mark.parametrize(
    ("text", "edited"),
    [
        (FIRST, "spec:\n  containers:\n  - name: etcd\n    image: b\n"),
        (LAST, "spec:\n  containers:\n  - name: etcd\n"),
        (f"{LAST}\n", "spec:\n  containers:\n  - name: etcd\n"),
        (f"{LAST}\n  hostNetwork: true\n", "spec:\n  containers:\n  - name: etcd\n  hostNetwork: true\n"),
        (BRACES, "spec:\n  containers:\n  - name: etcd\n"),
        (f"{BRACES}  # until etcd is slow\n", "spec:\n  containers:\n  - name: etcd\n"),
        (f"{BRACES}\n  hostNetwork: true\n", "spec:\n  containers:\n  - name: etcd\n  hostNetwork: true\n"),
        (f"{BRACES[:-1]},\n      periodSeconds: 9}}\n\n", "spec:\n  containers:\n  - name: etcd\n\n"),
    ],
    ids=[
        "first",
        "last, no newline",
        "last",
        "last of its container",
        "braces, no newline",
        "braces, comment",
        "braces, last of its container",
        "braces on two lines",
    ],
)
def test_the_probe_may_stand_anywhere(text: str, edited: str) -> None:
    assert manifest.parse(text, MANIFEST).without_probe == edited


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("spec:\n  containers: [\n", f"{MANIFEST}, line 3: expected YAML"),
        ("- a\n", f"{MANIFEST}, line 1: expected a pod"),
        ("spec: {}\n", "expected the field containers, found 0 of it"),
        ("spec:\n  containers:\n  - name: a\n  - name: b\n", "line 3: expected one container"),
        (FIRST + "    name: c\n", "expected name once"),
    ],
)
def test_a_manifest_that_is_none(text: str, words: str) -> None:
    with pytest.raises(ManifestError, match=re.escape(words)):
        manifest.parse(text, MANIFEST)


@pytest.mark.parametrize(
    "text",
    [
        "spec:\n  containers:\n  - {name: etcd, livenessProbe: {exec: {command: [a]}}}\n",
        '{"spec": {"containers": [{"name": "etcd", "livenessProbe": {"exec": {"command": ["a"]}}}]}}',
    ],
)
def test_a_container_in_braces_keeps_its_probe(text: str) -> None:
    with pytest.raises(ManifestError, match="lines of its own"):
        _ = manifest.parse(text, MANIFEST).without_probe


CONF = "ETCD_NAME=a\nETCD_DATA_DIR=/var/lib/etcd/\n"


def test_our_force_in_etcd_conf() -> None:
    """Everything else goes by the text without it: what an abort compares, what is edited."""
    forced, plain = etcd_conf.parse(FORCE_LINES + CONF), etcd_conf.parse(CONF)
    assert (forced.forced, plain.forced) == (True, False)
    assert (forced.text, forced.sha256, forced.values) == (plain.text, plain.sha256, plain.values)


@pytest.mark.parametrize("text", [CONF + FORCE_LINES, f"ETCD_FORCE_NEW_CLUSTER=true\n{CONF}", f"\n{FORCE_LINES}{CONF}"])
def test_somebody_elses_force_in_etcd_conf_is_not_ours(text: str) -> None:
    found = etcd_conf.parse(text)
    assert (found.forced, found.get("ETCD_FORCE_NEW_CLUSTER")) == (False, "true")


def test_what_docker_takes_as_part_of_a_value_is_told() -> None:
    text = 'A="x"\nB=y\nC=\'z\'\nA=x\n#D="w"\nE=v \nF= u\r\n'
    assert etcd_conf.parse(text).not_bare == ((3, "C='z'"), (6, "E=v "), (7, "F= u"))


@pytest.mark.parametrize(
    "line",
    [
        "2026-11-29T01:02:03+0000 etcd-0 etcd[7]: raft.node: 8e9e lost leader 91bc at term 4",
        "2026-11-29T01:02:03.123456789Z 2026-11-29 01:02:03.12 I | raft: raft.node: 8e9e lost leader 91bc at term 4",
    ],
    ids=["journal", "docker"],
)
def test_when_a_member_lost_its_leader(line: str) -> None:
    assert contact.parse(line) == 1795914123.0


def test_the_fence_of_each_way() -> None:
    assert Runtime().fence == unit.FENCE
    assert Runtime("static-pod", "origin-node.service", manifest=PARKED).fence == PARKED

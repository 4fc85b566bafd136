"""The command that finds how etcd runs, on files below a folder that stands for the host's root."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
import yaml

from lab import pods
from lab.spec import Host
from requorum.facts import manifest, unit
from requorum.facts.etcd_conf import FORCE_LINES
from requorum.facts.etcd_conf import PATH as CONF
from requorum.facts.manifest import KEPT
from requorum.facts.pod import Pod
from requorum.facts.runtime import ASIDE, MANIFEST, PARKED, PODS
from requorum.facts.unit import MANAGER, Unit

TEXT = pods.etcd_manifest(Host(0, "etcd-0.example.com", "etcd-0", "10.0.0.10", "m0"))
CONTAINER = "/etc/systemd/system/etcd_container.service"
SYSTEMCTL = r"""
cd %s
case "$*" in
  "is-enabled"*) exit 0;;
  show-environment) printf 'LANG=C.UTF-8\n'; cat environment 2>/dev/null;;
  "show etcd.service --no-pager -p LoadState -p ActiveState -p UnitFileState")
    printf '%%s\n' LoadState=loaded ActiveState=$(cat etcd 2>/dev/null || echo inactive) UnitFileState=disabled;;
  *node*) echo ActiveState=$(cat node 2>/dev/null || echo active);;
  *) cat <<EOF
LoadState=loaded
ActiveState=active
SubState=running
UnitFileState=enabled
MainPID=7
FragmentPath=
DropInPaths=
ExecStart={ path=/x ; argv[]=/usr/bin/etcd ; ignore_errors=no ; }
$(cat environment-files 2>/dev/null)
User=etcd
EOF
;;
esac
"""


class Asked:
    """A host below a folder; `lives`: whether an etcd process is there."""

    def __init__(self, root: Path) -> None:
        self.root, self.lives = root, True
        (root / "bin").mkdir()
        (root / "bin/systemctl").write_text(f"#!/bin/bash\n{SYSTEMCTL % root}")
        (root / "bin/systemctl").chmod(0o755)
        self.put(CONF, "ETCD_NAME=m0\n")

    def put(self, path: str, text: str) -> Path:
        at = self.root / path.lstrip("/")
        at.parent.mkdir(parents=True, exist_ok=True)
        at.write_text(text)
        return at

    def say(self, what: str, word: str) -> None:
        (self.root / what).write_text(word)

    @property
    def unit(self) -> Unit:
        script = unit.COMMAND.replace("$folder/systemd", f"{self.root}$folder/systemd")
        script = script.replace("{/etc,/run,/usr/lib}", f"{self.root}{{/etc,/run,/usr/lib}}")
        for path in ("/etc/etcd", "/etc/origin", "/var/lib/requorum"):
            script = script.replace(path, f"{self.root}{path}")
        script = script.replace("in /proc/[0-9]*/comm", f"in {self.root}/proc/[0-9]*/comm")
        script = script.replace(
            "\netcd_lives() {", f"\netcd_lives() {{ {'true' if self.lives else 'false'}; }}\n_lives() {{"
        )
        path = f"{self.root}/bin:{os.environ['PATH']}"
        done = subprocess.run(["bash"], input=script, capture_output=True, text=True, env={"PATH": path}, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        return unit.parse(done.stdout.replace(str(self.root), ""))


@pytest.fixture
def host(tmp_path: Path) -> Asked:
    return Asked(tmp_path)


def test_a_service_is_what_is_left(host: Asked) -> None:
    assert (host.unit.runtime.kind, host.unit.runtime.unit) == ("service", "etcd.service")


def test_a_unit_of_a_container(host: Asked) -> None:
    host.put(CONTAINER, "")
    assert (host.unit.runtime.kind, host.unit.runtime.unit) == ("container", "etcd_container.service")
    assert host.unit.runtime.beside == ()
    host.say("etcd", "active")
    assert host.unit.runtime.beside == ("etcd.service",)


def test_a_masked_unit_of_a_container_is_none(host: Asked) -> None:
    host.put(CONTAINER, "").unlink()
    (host.root / CONTAINER.lstrip("/")).symlink_to("/dev/null")
    assert host.unit.runtime.kind == "service"


@pytest.mark.parametrize(
    ("lives", "node", "state", "running"),
    [
        (True, "active", "active (running)", True),
        (False, "active", "activating (no process: the node service starts it, or waits in back-off)", True),
        (False, "inactive", "inactive (the node service does not run)", False),
        (True, "inactive", "active (running)", True),
    ],
)
def test_a_static_pod_that_is_to_run(host: Asked, lives: bool, node: str, state: str, running: bool) -> None:
    host.put(MANIFEST, TEXT)
    host.say("node", node)
    host.lives = lives
    found = host.unit
    assert (found.runtime.kind, found.runtime.unit, found.runtime.node) == ("static-pod", "origin-node.service", node)
    assert (found.state, found.is_running, found.probed, found.file_state) == (state, running, True, "enabled")


@pytest.mark.parametrize(("at", "fenced"), [(PARKED, True), (ASIDE, False)])
@pytest.mark.parametrize("lives", [True, False])
def test_a_manifest_that_is_moved_out(host: Asked, at: str, fenced: bool, lives: bool) -> None:
    host.put(at, TEXT)
    host.lives = lives
    found = host.unit
    assert (found.runtime.manifest, found.fenced, found.is_running) == (at, fenced, lives)


def test_the_products_name_of_the_node_service(host: Asked) -> None:
    host.put(MANIFEST, TEXT)
    host.put("/usr/lib/systemd/system/atomic-openshift-node.service", "")
    assert host.unit.runtime.unit == "atomic-openshift-node.service"


def test_a_copy_in_the_folder_is_told(host: Asked) -> None:
    host.put(MANIFEST, TEXT)
    host.put(f"{PODS}/etcd.yaml.bak", TEXT)
    host.put(f"{PODS}/.etcd.yaml.bak", TEXT)
    host.put(f"{PODS}/apiserver.yaml", "metadata:\n  name: master-api\n")
    assert host.unit.runtime.strays == (f"{PODS}/etcd.yaml.bak",)


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(yaml.safe_load(TEXT)),
        json.dumps(yaml.safe_load(TEXT), indent=2),
        json.dumps(yaml.safe_load(TEXT), separators=(",", ":")),
        "metadata:\n  labels:\n    openshift.io/component: 'etcd'\n",
        'metadata:\n  labels:\n    "openshift.io/component": "etcd"\n',
        'metadata:\n  name: "master-etcd"\n',
        "metadata: {name: master-etcd, namespace: kube-system}\n",
        "metadata:\n  name:\n    master-etcd\n",
        "metadata: [\nname: master-etcd\n",
        "metadata: {name: master-etcd}\n---\nmetadata: {name: other}\n",
    ],
    ids=[
        "JSON",
        "JSON in lines",
        "JSON without blanks",
        "quotes",
        "key in quotes",
        "name in quotes",
        "braces",
        "lines",
        "what cannot be read",
        "the first of two documents",
    ],
)
def test_a_copy_in_the_folder_is_told_however_it_is_written(host: Asked, text: str) -> None:
    host.put(MANIFEST, TEXT)
    host.put(f"{PODS}/copy.json", text)
    assert host.unit.runtime.strays == (f"{PODS}/copy.json",)


@pytest.mark.parametrize(
    "text",
    [
        pods.master_manifest("api", 8443),
        json.dumps(yaml.safe_load(pods.master_manifest("controllers", 8444))),
        "# a copy of the pod whose\n#  name: master-etcd\nmetadata:\n  name: other\n",
        "metadata:\n  name: other\nspec:\n  volumes:\n  - name: of-master-etcd\n",
        "",
        "metadata:\n  name: master-etcd-exporter\n  labels: {openshift.io/component: etcd-metrics}\n",
        "metadata:\n  name: backup\nspec:\n  containers:\n  - name: master-etcd-backup\n  volumes:\n  - name: master-etcd\n",
        "metadata: {name: a}\nspec: {affinity: {podAntiAffinity: {matchLabels: {openshift.io/component: etcd}}}}\n",
        "- name: master-etcd\n",
        "metadata: master-etcd\nname: master-etcd\n",
    ],
    ids=[
        "API",
        "controllers in JSON",
        "a comment",
        "another name",
        "empty",
        "an exporter",
        "a backup's container and volume",
        "an affinity",
        "a list",
        "no metadata",
    ],
)
def test_another_pod_in_the_folder_is_none_of_etcd(host: Asked, text: str) -> None:
    host.put(MANIFEST, TEXT)
    host.put(f"{PODS}/other.yaml", text)
    assert host.unit.runtime.strays == ()


@pytest.mark.parametrize(
    ("there", "at", "further"),
    [
        ((MANIFEST, PARKED), MANIFEST, (PARKED,)),
        ((MANIFEST, ASIDE), MANIFEST, (ASIDE,)),
        ((PARKED, ASIDE), PARKED, (ASIDE,)),
        ((MANIFEST, PARKED, ASIDE), MANIFEST, (PARKED, ASIDE)),
    ],
)
def test_every_further_manifest_is_told(host: Asked, there: tuple[str, ...], at: str, further: tuple[str, ...]) -> None:
    for path in there:
        host.put(path, TEXT)
    found = host.unit.runtime
    assert (found.manifest, found.further, found.over_fence) == (at, further, at == MANIFEST and PARKED in further)


@pytest.mark.parametrize(
    ("programs", "probing"),
    [
        ({"usr/bin": "3.4.23", "usr/local/bin": "3.2.26"}, "3.2.26"),
        ({"usr/bin": "3.4.23"}, "3.4.23"),
        ({}, ""),
    ],
    ids=["the first in PATH", "the only one", "none"],
)
def test_the_etcdctl_that_a_probe_runs(host: Asked, programs: dict[str, str], probing: str) -> None:
    """Not the host's, and not that of another process."""
    host.put(MANIFEST, TEXT)
    host.put("/proc/6/comm", "etcd-other\n")
    host.put("/proc/7/comm", "etcd\n")
    for folder, version in programs.items():
        says = f'[ "$ETCDCTL_API $*" = "2 --version" ] && printf "etcdctl version: {version}\\nAPI version: 2\\n"'
        host.put(f"/proc/7/root/{folder}/etcdctl", f"#!/bin/sh\n{says}\n").chmod(0o755)
    assert host.unit.pod == Pod(manifest.parse(TEXT, MANIFEST), probing=probing)


def test_without_a_probe_of_the_cluster_no_etcdctl_is_asked(host: Asked) -> None:
    host.put(MANIFEST, TEXT.replace("- cluster-health\n", "- member\n        - list\n"))
    host.put("/proc/7/comm", "etcd\n")
    host.put("/proc/7/root/usr/bin/etcdctl", "#!/bin/sh\necho etcdctl version: 3.4.23\n").chmod(0o755)
    assert host.unit.pod is not None
    assert (host.unit.pod.probing, host.unit.pod.manifest.of_cluster) == ("", False)


def test_a_kept_manifest(host: Asked) -> None:
    host.put(MANIFEST, TEXT)
    host.put(KEPT, TEXT)
    assert host.unit.probe_is_out


@pytest.mark.parametrize("of", [MANIFEST, CONTAINER])
def test_our_force_is_told_from_somebody_elses(host: Asked, of: str) -> None:
    host.put(of, TEXT)
    conf = host.put(CONF, f"{FORCE_LINES}ETCD_NAME=m0\n")
    assert host.unit.forced
    if of == MANIFEST:  # of a unit, systemd names the file; here it has none
        assert host.unit.forces == ()
        conf.write_text(f"ETCD_NAME=m0\n{FORCE_LINES}")
        assert (host.unit.forced, host.unit.forces) == (False, (CONF,))


def test_a_force_in_the_manifest_is_somebody_elses(host: Asked) -> None:
    host.put(MANIFEST, TEXT.replace("exec etcd\n", "exec etcd --force-new-cluster\n", 1))
    assert host.unit.forces == (MANIFEST,)


@pytest.mark.parametrize(
    ("said", "forces"),
    [
        ("ETCD_FORCE_NEW_CLUSTER=true\n", (MANAGER,)),
        ("ETCD_FORCE_NEW_CLUSTER=1\nETCD_NAME=m0\n", (MANAGER,)),
        ("ETCD_FORCE_NEW_CLUSTER=false\n", ()),
        ("ETCD_FORCE_NEW_CLUSTER=\n", ()),
        ("NO_ETCD_FORCE_NEW_CLUSTER=true\n", ()),
        ("", ()),
    ],
)
def test_a_force_in_the_environment_that_systemd_gives_to_all(host: Asked, said: str, forces: tuple[str, ...]) -> None:
    host.say("environment", said)
    assert host.unit.forces == forces


@pytest.mark.parametrize(
    "path", ["/etc/systemd/system.conf", "/etc/systemd/system.conf.d/x.conf", "/run/systemd/system.conf.d/x.conf"]
)
def test_a_force_in_the_configuration_of_systemd(host: Asked, path: str) -> None:
    """The next daemon-reload reads it."""
    host.put(path, "[Manager]\nDefaultEnvironment=A=b ETCD_FORCE_NEW_CLUSTER=true\n")
    assert host.unit.forces == (path,)
    host.put(path, "[Manager]\n#DefaultEnvironment=ETCD_FORCE_NEW_CLUSTER=true\n")
    assert host.unit.forces == ()


@pytest.mark.parametrize("spelled", ["EnvironmentFiles", "EnvironmentFile"])
def test_files_of_variables_by_either_name_that_systemd_gives_them(host: Asked, spelled: str) -> None:
    """219, of RHEL 7, prints the property EnvironmentFiles under its other name, and an empty line behind it."""
    later = host.put("/etc/sysconfig/etcd", "ETCD_DATA_DIR=/srv/etcd\nETCD_FORCE_NEW_CLUSTER=true\n")
    lines = [f"{spelled}={path} (ignore_errors=yes)" for path in (host.root / CONF.lstrip("/"), later)]
    host.say("environment-files", "\n".join([*lines, "\n"]))
    found = host.unit
    assert found.environment_files == (CONF, "/etc/sysconfig/etcd")
    assert found.overrides == ("ETCD_DATA_DIR in /etc/sysconfig/etcd",)
    assert found.forces == ("/etc/sysconfig/etcd",)

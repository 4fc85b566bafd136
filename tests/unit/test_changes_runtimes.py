"""Changes of containers and static pods: their scripts below a folder that stands for the host's root."""

from __future__ import annotations

import hashlib
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from builders import conf, data, facts, machine, members, name, unit
from local_shell import LocalShell, Said, stand_in
from pods import POD, pod_unit

from requorum.changes import (
    AwaitPod,
    Change,
    ChangeFailed,
    EditManifest,
    KeepManifest,
    KeepTools,
    ParkManifest,
    RemoveTools,
    SaveSnapshotByOc,
    SetForce,
    StartEtcd,
    StartPod,
    StopEtcd,
)
from requorum.changes.oc import FALLBACK
from requorum.facts.etcd_conf import FORCE_LINES
from requorum.facts.etcd_conf import PATH as CONF
from requorum.facts.manifest import KEPT
from requorum.facts.runtime import ASIDE, MANIFEST, PARKED, TOOLS

HOST = name(0)
NODE = "origin-node.service"
TEXT = "# a comment\nETCD_NAME=m0"


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass
class Rooted:
    """A host whose files lie below a folder. Whether etcd lives is told by the file `lives` there."""

    root: Path
    shell: LocalShell = field(init=False)

    def __post_init__(self) -> None:
        self.shell = LocalShell(self.root / "bin")
        stand_in(
            self.root / "bin",
            "systemctl",
            f'cd {self.root}; echo "$*" >> asked; [ "$1" != is-active ] || [ ! -e down ]',
        )
        stand_in(self.root / "bin", "sleep", f"cd {self.root}; [ ! -e leaving ] || rm -f lives; exec /bin/sleep 0.01")
        stand_in(self.root / "bin", "master-logs", "echo panic: the log says why")

    def run(self, script: str, *, seconds: float, change: bool = False) -> Said:
        for path in ("/etc/etcd", "/etc/origin", "/var/lib/requorum"):
            script = script.replace(path, f"{self.root}{path}")
        before, there, rest = script.partition("holds() {\n")
        lives = f"etcd_lives() {{ [ -e {self.root}/lives ]; }}\nserves() {{ [ -e {self.root}/serves ]; }}\n"
        rest = rest.replace("\netcd_lives() {", "\n_etcd_lives() {").replace("\nserves() {", "\n_serves() {")
        return self.shell.run(f"{before}{lives}{there}{rest}" if there else script, seconds=seconds)

    def fetch(self, script: str, to: Path, *, seconds: float) -> str:
        raise NotImplementedError

    def put(self, path: str, text: str = "", mode: int = 0o600) -> Path:
        at = self.root / path.lstrip("/")
        at.parent.mkdir(parents=True, exist_ok=True)
        at.write_text(text)
        at.chmod(mode)
        return at

    def there(self, *paths: str) -> list[bool]:
        return [(self.root / path.lstrip("/")).exists() for path in paths]


@pytest.fixture
def host(tmp_path: Path) -> Rooted:
    return Rooted(tmp_path)


@pytest.mark.parametrize("text", [TEXT, TEXT + "\n", ""], ids=["no newline at the end", "newline", "empty"])
def test_the_force_comes_and_goes_byte_for_byte(host: Rooted, text: str) -> None:
    at = host.put(CONF, text, 0o640)
    assert SetForce(HOST, present=True).do(host)
    assert at.read_text() == FORCE_LINES + text
    assert not SetForce(HOST, present=True).do(host)
    assert SetForce(HOST, present=False).do(host)
    assert at.read_text() == text
    assert not SetForce(HOST, present=False).do(host)
    assert at.stat().st_mode & 0o777 == 0o640
    assert [path.name for path in at.parent.iterdir()] == ["etcd.conf"]


def test_somebody_elses_force_is_not_taken_away(host: Rooted) -> None:
    at = host.put(CONF, f"{TEXT}\n{FORCE_LINES}")
    assert not SetForce(HOST, present=False).do(host)
    assert at.read_text() == f"{TEXT}\n{FORCE_LINES}"


def test_etcd_is_stopped_by_moving_its_manifest(host: Rooted) -> None:
    at = host.put(MANIFEST, "pod")
    host.put("lives")
    host.put("leaving")
    assert ParkManifest(HOST, NODE).do(host)
    assert host.there(MANIFEST, PARKED, "lives") == [False, True, False]
    assert not ParkManifest(HOST, NODE).do(host)
    assert at.parent.exists()


def test_what_an_operator_moved_out_becomes_our_fence(host: Rooted) -> None:
    host.put(ASIDE, "pod")
    assert ParkManifest(HOST, NODE).do(host)
    assert host.there(ASIDE, PARKED, str(Path(ASIDE).parent)) == [False, True, False]


def test_without_the_node_service_nothing_is_moved(host: Rooted) -> None:
    host.put(MANIFEST, "pod")
    host.put("lives")
    host.put("down")
    with pytest.raises(ChangeFailed, match=f"expected {NODE} running"):
        ParkManifest(HOST, NODE).do(host)
    assert host.there(MANIFEST, PARKED) == [True, False]


def test_of_two_manifests_none_is_overwritten(host: Rooted) -> None:
    host.put(MANIFEST, "new")
    kept = host.put(PARKED, "old")
    with pytest.raises(ChangeFailed, match="expected one manifest of etcd, found two"):
        ParkManifest(HOST, NODE).do(host)
    with pytest.raises(ChangeFailed, match="found two"):
        StartPod(HOST, NODE, patience=1).do(host)
    assert kept.read_text() == "old"


@pytest.mark.parametrize("change", [ParkManifest(HOST, NODE), StartPod(HOST, NODE)], ids=["stop", "start"])
@pytest.mark.parametrize("at", [MANIFEST, PARKED])
def test_an_old_copy_that_an_operator_has_put_aside_is_in_nobodys_way(host: Rooted, change: Change, at: str) -> None:
    """Whatever the pod did before: it lives although its manifest is out, or does not serve although it is in."""
    host.put(at, "the pod")
    old = host.put(ASIDE, "an old copy")
    for sign in ("lives", "leaving") if isinstance(change, ParkManifest) else ("serves",):
        host.put(sign)
    stand_in(host.root / "bin", "systemctl", f'cd {host.root}; [ "$1" != restart ] || touch lives')
    script = change.script().replace("-ge 15 ]", "-ge 0 ]")
    assert host.run(script, seconds=20).exit == 0
    to = PARKED if isinstance(change, ParkManifest) else MANIFEST
    assert (host.root / to.lstrip("/")).read_text() == "the pod"
    assert old.read_text() == "an old copy"


def test_no_manifest_at_all(host: Rooted) -> None:
    with pytest.raises(ChangeFailed, match="expected a manifest of etcd"):
        StartPod(HOST, NODE, patience=1).do(host)


@pytest.mark.parametrize("at", [PARKED, ASIDE])
def test_etcd_is_started_by_moving_its_manifest_back(host: Rooted, at: str) -> None:
    host.put(at, "pod")
    host.put("lives")
    host.put("serves")
    assert StartPod(HOST, NODE).do(host)
    assert host.there(MANIFEST, at) == [True, False]
    assert not StartPod(HOST, NODE).do(host)


def test_a_start_that_does_not_serve_shows_the_log(host: Rooted) -> None:
    host.put(PARKED, "pod")
    host.put("lives")
    with pytest.raises(ChangeFailed, match="the log says why"):
        StartPod(HOST, NODE, patience=1).do(host)


def test_the_manifest_is_edited_under_a_name_that_is_not_run(host: Rooted) -> None:
    at = host.put(MANIFEST, "a\nb\nc\n")
    assert KeepManifest(HOST, MANIFEST, sha256("a\nb\nc\n")).do(host)
    change = EditManifest(HOST, MANIFEST, "a\nc\n", "a\nb\nc\n")
    assert '/.etcd".requorum.new-XXXXXX)' in change.act()
    assert change.do(host)
    assert at.read_text() == "a\nc\n"
    assert at.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in at.parent.iterdir()] == ["etcd.yaml"]
    assert (host.root / KEPT.lstrip("/")).read_text() == "a\nb\nc\n"


def test_a_manifest_that_somebody_edits_meanwhile_is_left_alone(host: Rooted) -> None:
    at = host.put(MANIFEST, "theirs")
    with pytest.raises(ChangeFailed, match="somebody else edits it"):
        EditManifest(HOST, MANIFEST, "ours", "before").do(host)
    assert at.read_text() == "theirs"


def test_a_pod_in_back_off_is_started_by_its_node_service(host: Rooted) -> None:
    host.put(PARKED, "pod")
    host.put("serves")
    script = StartPod(HOST, NODE, patience=3).script().replace("-ge 15 ]", "-ge 1 ]")
    stand_in(host.root / "bin", "systemctl", f'cd {host.root}; [ "$1" != restart ] || touch lives restarted')
    said = host.run(script, seconds=20)
    assert (said.exit, host.there("restarted")) == (0, [True]), said.stderr
    assert f"{NODE} is restarted, which ends a back-off" in said.stdout


@pytest.mark.parametrize(
    ("oc", "words"),
    [
        ("echo snapshot > {file}", "saved by oc exec in the pod master-etcd-"),
        ("exit 0", "it said nothing): etcdctl is run on the host instead"),
        ("echo 'error: dial tcp' >&2; exit 1", "saved nothing (error: dial tcp): etcdctl is run on the host instead"),
    ],
)
def test_a_snapshot_through_the_api_or_else_from_the_host(host: Rooted, oc: str, words: str) -> None:
    folder, data = host.root / "backup", host.root / "data"
    data.mkdir()
    stand_in(host.root / "bin", "oc", oc.format(file=f"{data}/requorum-snapshot.db"))
    stand_in(host.root / "bin", "etcdctl", 'echo by the host > "${@: -1}"')
    change = SaveSnapshotByOc(HOST, str(folder), "https://etcd-0:8443", str(data))
    said = host.run(change.script(), seconds=20)
    assert (said.exit, words in said.stderr) == (0, True), said.stderr
    assert (folder / "snapshot.db").read_text() in ("snapshot\n", "by the host\n")
    fallback = folder / FALLBACK
    assert fallback.exists() == (
        "on the host" in words
    )  # for a note in the report; fetched and checked with the snapshot
    assert not fallback.exists() or words in fallback.read_text()
    summed = [line.split("  ./")[1] for line in (folder / "SHA256SUMS").read_text().splitlines()]
    assert sorted([*summed, "SHA256SUMS"]) == sorted(path.name for path in folder.iterdir())
    assert list(data.iterdir()) == []


def test_the_pod_has_the_name_that_its_container_says(host: Rooted) -> None:
    """The kubelet may go by another name than the kernel: `m1.example.com`, where that one says `m1`."""
    (host.root / "data").mkdir()
    stand_in(host.root / "bin", "docker", "echo master-etcd-m1.example.com")
    stand_in(host.root / "bin", "oc", f"echo snapshot > {host.root}/data/requorum-snapshot.db")
    change = SaveSnapshotByOc(HOST, str(host.root / "backup"), "https://etcd-0:8443", str(host.root / "data"))
    assert "saved by oc exec in the pod master-etcd-m1.example.com\n" in host.run(change.script(), seconds=20).stderr


def test_tools_come_out_of_the_image_by_docker(host: Rooted) -> None:
    """No etcd lives, and the host has none."""
    program = "#!/bin/bash\necho version\n"
    copies = f"""for name in etcd etcdctl; do printf '%s' '{program}' > {host.root}{TOOLS}/$name.part; done"""
    stand_in(host.root / "bin", "docker", f'{copies}\necho "$*" > {host.root}/ran')
    said = host.run(kept_tools(), seconds=20)
    assert (said.exit, said.stdout.splitlines()[-1]) == (0, "requorum: done"), said.stderr
    ran = (host.root / "ran").read_text()
    assert f"{TOOLS}:z --entrypoint=/bin/sh IMAGE -c" in ran, "with SELinux a container writes to no other folder"
    assert sorted(path.name for path in (host.root / TOOLS.lstrip("/")).iterdir()) == ["etcd", "etcdctl", "image"]
    assert host.run(kept_tools(), seconds=20).stdout == "requorum: it holds already\n"
    assert host.run(kept_tools("ANOTHER"), seconds=20).stdout == "requorum: done\n", "the image has been changed"
    assert RemoveTools(HOST).do(host)
    assert host.there(TOOLS) == [False]


def kept_tools(image: str = "IMAGE") -> str:
    return KeepTools(HOST, image).script().replace("/proc/[0-9]*/comm", "/nowhere")


def test_tools_of_the_host_do_only_where_those_of_the_image_cannot_be_had(host: Rooted) -> None:
    """A package may have brought them, of another version; so each run tries again."""
    for name_ in ("etcd", "etcdctl"):
        stand_in(host.root / "bin", name_, "echo the host's own")
        host.put(f"{TOOLS}/{name_}", "#!/bin/bash\necho of another image\n", 0o755)
    stand_in(host.root / "bin", "docker", "echo asked >> " + str(host.root / "ran") + "; exit 125")
    for _ in range(2):
        said = host.run(kept_tools(), seconds=20)
        assert (said.exit, said.stdout) == (0, "requorum: done\n"), said.stderr
        assert host.there(f"{TOOLS}/etcd", f"{TOOLS}/etcdctl") == [False, False]
    assert (host.root / "ran").read_text() == "asked\nasked\n"
    (host.root / "bin/etcdctl").unlink()
    said = host.run(kept_tools(), seconds=20)
    assert said.exit == 1
    assert (
        "expected etcd and etcdctl beside a living etcd, in the image IMAGE, or on the host; found neither"
        in said.stderr
    )


def test_a_docker_that_hangs_does_not_keep_the_host_s_own_from_being_tried(host: Rooted) -> None:
    for name_ in ("etcd", "etcdctl"):
        stand_in(host.root / "bin", name_, "echo the host's own")
    stand_in(host.root / "bin", "docker", f'echo "$*" > {host.root}/ran; exec /bin/sleep 60')
    script = kept_tools()
    assert "timeout -k 5 240 docker " in script
    said = host.run(script.replace("-k 5 240", "-k 1 1"), seconds=20)
    assert (said.exit, said.stdout) == (0, "requorum: done\n"), said.stderr
    assert (host.root / "ran").read_text().startswith("run --rm --user=0 ")


def test_without_docker_a_container_that_crashes_is_met(host: Rooted) -> None:
    """On CRI-O nothing can run the image; its container lives for a moment, now and then."""
    host.put(MANIFEST, "pod")
    for name_ in ("etcd", "etcdctl"):
        stand_in(host.root / "image", name_, "echo of the image")
    beside = f'beside_etcd() {{ [ -e {host.root}/met ] && echo "{host.root}/image/$1"; }}\nmkdir -p -m 0755'
    stand_in(host.root / "bin", "sleep", f"touch {host.root}/met; exec /bin/sleep 0.01")
    script = kept_tools().replace("mkdir -p -m 0755", beside, 1).replace("type -P docker", "false")
    said = host.run(script, seconds=20)
    assert (said.exit, host.there(f"{TOOLS}/etcd", f"{TOOLS}/etcdctl")) == (0, [True, True]), said.stderr


@pytest.mark.parametrize(
    "change",
    [
        SetForce(HOST, True), ParkManifest(HOST, NODE), StartPod(HOST, NODE), KeepManifest(HOST, MANIFEST, "0"),
        EditManifest(HOST, MANIFEST, "a", "b"), AwaitPod(HOST, 7, 9), KeepTools(HOST, "IMAGE"), RemoveTools(HOST),
        StopEtcd(HOST, unit="etcd_container.service", container="etcd_container"),
        StartEtcd(HOST, unit="etcd_container.service", asked=True),
    ],
    ids=lambda change: type(change).__name__,
)  # fmt: skip
def test_every_script_is_good_bash(change: Change) -> None:
    done = subprocess.run(["bash", "-n"], input=change.script(), text=True, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert change.shown()


def test_after_the_manifest_is_parked_it_is_a_fence() -> None:
    found = ParkManifest(HOST, NODE).after(facts(0, unit=pod_unit()))
    assert (found.fenced, found.processes, found.unit.is_running, found.unit.file_state) == (
        True,
        (),
        False,
        "disabled",
    )
    forced = SetForce(HOST, present=True).after(found)
    assert (forced.unit.forced, forced.conf.forced) == (True, True)
    run = StartPod(HOST, NODE).after(forced)
    assert (run.fenced, run.forced, run.unit.state) == (False, True, "active (running)")
    assert SetForce(HOST, present=False).after(run).unit.forced is False


def test_after_a_forced_start_the_pod_is_alone() -> None:
    stopped = facts(0, unit=pod_unit(PARKED), processes=(), data=data(0), conf=conf(0), machine=machine(0))
    found = StartPod(HOST, NODE).after(SetForce(HOST, present=True).after(stopped))
    assert found.members == members(0)


def test_after_the_edit_the_probe_is_out() -> None:
    found = KeepManifest(HOST, MANIFEST, POD.manifest.sha256).after(facts(0, unit=pod_unit()))
    found = EditManifest(HOST, MANIFEST, POD.manifest.without_probe, POD.manifest.text).after(found)
    assert (found.unit.probed, found.unit.probe_is_out) == (False, True)
    assert EditManifest(HOST, MANIFEST, "a", "b").after(facts(0, unit=unit())) == facts(0, unit=unit())
    assert AwaitPod(HOST, 7, 9).after(found) == found

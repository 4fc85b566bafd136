"""The stand-ins for docker and the node service, as far as they need no host."""

from __future__ import annotations

import ctypes
import re
import time
from pathlib import Path
from threading import Event
from typing import ClassVar

import pytest
import yaml

from lab import LabError, Spec, etcd_files, inventory, pods, runtimes, state
from lab.spec import hosts_of
from lab.standins import containers, docker, docker_show, manifests, node_service

HOSTS = hosts_of(Spec(topology="static-pod"), 3)


def test_both_shapes_of_the_manifest_say_the_same() -> None:
    said = yaml.safe_load(pods.etcd_manifest(HOSTS[1]))
    assert said == yaml.safe_load(pods.etcd_manifest(HOSTS[0]).replace(HOSTS[0].address, HOSTS[1].address))
    container = said["spec"]["containers"][0]
    assert container["args"] == ["#!/bin/sh\nset -o allexport\nsource /etc/etcd/etcd.conf\nexec etcd\n"]
    # What the chapter does to find the address.
    lines = [line for line in pods.etcd_manifest(HOSTS[1]).splitlines() if "https" in line]
    assert [line.split("/")[2] for line in lines] == [f"{HOSTS[1].address}:2379"]


def test_a_folder_is_read_as_the_kubelet_reads_it(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    text = pods.etcd_manifest(HOSTS[0])
    (tmp_path / "etcd.yaml").write_text(text)
    (tmp_path / ".hidden.yaml").write_text(text)
    (tmp_path / "folder").mkdir()
    (tmp_path / "zz.bak").write_text(text.replace("name: master-etcd", "name: other"))
    (tmp_path / "etcd.yaml.old").write_text(text)
    (tmp_path / "broken").write_text("kind: [")
    (tmp_path / "list").write_text("- a\n")
    (tmp_path / "poor").write_text("kind: Pod\napiVersion: v1\nmetadata: {}\n")
    found = manifests.read_folder(tmp_path)
    assert [re.sub(r"^(master-etcd|other)-.*", r"\1", pod.name) for pod in found] == ["master-etcd", "other"]
    said = capfd.readouterr().err
    assert said.count("Can't process manifest file") == 3
    assert said.count("duplicate pod name") == 1
    assert manifests.read_folder(tmp_path / "absent") == []


def test_a_pod_is_another_one_when_it_says_something_else(tmp_path: Path) -> None:
    path = tmp_path / "etcd.yaml"
    path.write_text(pods.etcd_manifest(HOSTS[0]))
    first = manifests.read(path)
    path.write_text("# a comment\n" + pods.etcd_manifest(HOSTS[0]))
    assert manifests.read(path) == first
    path.write_text(pods.etcd_manifest(HOSTS[0]).replace("initialDelaySeconds: 45", "initialDelaySeconds: 46"))
    assert manifests.read(path).uid != first.uid
    program = first.programs[0]
    assert program.command[:2] == ("/bin/sh", "-c")
    assert program.volumes[0] == ("/etc/etcd/", "/etc/etcd/", True)
    assert program.probe is not None
    assert (program.probe.delay, program.probe.period, program.probe.failures) == (45, 10, 3)
    assert program.probe.command[-1] == "cluster-health"


def test_back_off_doubles_up_to_its_most(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("time.time", lambda: now)
    backoff = node_service.Backoff(10, 300)
    waits = []
    for _ in range(8):
        left = backoff.left(now)  # it ends at once
        waits.append(left)
        now += left
        backoff.started()
    assert waits == [0, 10, 20, 40, 80, 160, 300, 300]
    assert backoff.left(now + 601) == 0  # it ran for more than ten minutes


class NoInotify:
    """A kernel that has no instance left for us; it is asked for nothing else."""

    def inotify_init1(self, flags: int) -> int:
        return -1


def test_without_inotify_the_folder_is_read_again_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: NoInotify())
    monkeypatch.setattr(time, "sleep", waited.append)
    node_service.Folder().wait(node_service.times()["rescan"])
    assert waited == [20]


class Stopped(Exception):
    """The node service has waited as often as the test has something to say."""


class Recorded:
    """A worker that runs nothing."""

    known: ClassVar[list[Recorded]] = []

    def __init__(self, pod: manifests.Pod, timing: dict[str, object]) -> None:
        self.pod, self.unwanted = pod, Event()
        self.known.append(self)

    def start(self) -> None:
        """It would run the pod."""

    def end(self) -> None:
        self.unwanted.set()

    def is_alive(self) -> bool:
        return True


def test_a_move_that_no_event_told_is_noticed_when_the_folder_is_read_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As when an event is lost, or was before the service watched: at the latest after 20 s."""
    manifest, waited = tmp_path / "etcd.yaml", []
    manifest.write_text(pods.etcd_manifest(HOSTS[0]))
    monkeypatch.setattr(Recorded, "known", [])
    monkeypatch.setattr(node_service, "FOLDER", tmp_path)
    monkeypatch.setattr(node_service, "Worker", Recorded)
    monkeypatch.setattr(node_service.containers, "SOCKET", tmp_path)
    monkeypatch.setattr(node_service.containers, "STATE", tmp_path / "none")
    monkeypatch.setattr(node_service.node_exec, "serve", lambda: None)
    monkeypatch.setattr(node_service.node_mirror, "keep", lambda wanted: None)

    def wait(self: object, seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 2:
            raise Stopped
        manifest.unlink()

    monkeypatch.setattr(node_service.Folder, "wait", wait)
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: NoInotify())
    with pytest.raises(Stopped):
        node_service.main()
    assert [one.unwanted.is_set() for one in Recorded.known] == [True]
    assert waited == [20, 0.5]  # what is being ended is looked after more often


def test_an_env_file_is_read_as_docker_reads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "etcd.conf"
    path.write_text('A="1"\n  B=2 # not a comment\n#C=3\n\nD=\nE\nF\nexport_G=a=b\n')
    monkeypatch.setenv("E", "from outside")
    monkeypatch.delenv("F", raising=False)
    assert docker.read_env_file(str(path)) == {
        "A": '"1"',
        "B": "2 # not a comment",
        "D": "",
        "E": "from outside",
        "export_G": "a=b",
    }
    path.write_text("export A=1\n")
    with pytest.raises(docker.Refused, match="variable 'export A' has white spaces") as caught:
        docker.read_env_file(str(path))
    assert caught.value.code == 125


def test_options_as_docker_takes_them() -> None:
    flags, values = "a,all q,quiet", "f,filter n,last t,time"
    given, rest = docker_show.options_of(
        ["-aq", "--filter", "x=1", "-fy=2", "--filter=z", "-n3", "name"], flags, values
    )
    assert given == {"a": ["true"], "q": ["true"], "f": ["x=1", "y=2", "z"], "n": ["3"]}
    assert rest == ["name"]
    given, rest = docker_show.options_of(["-t", "30", "id", "--all"], flags, values, first_only=True)
    assert (given, rest) == ({"t": ["30"]}, ["id", "--all"])
    for words in (["-x"], ["--nonsense"], ["--filter"]):
        with pytest.raises(docker_show.Refused):
            docker_show.options_of(words, flags, values)


def test_what_a_container_is_found_by_and_shown_as(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "STATE", tmp_path)
    one = containers.Container("ab" * 32, "etcd_container", "etcd", ["etcd", "a b"], {}, 0.0, {"x/y": "1"})
    one.place.mkdir()
    assert one.running
    assert docker_show._matches(one, "label=x/y")
    assert docker_show._matches(one, "label=x/y=1")
    assert not docker_show._matches(one, "label=x/y=2")
    assert docker_show._matches(one, "name=^/etcd_container$")
    assert docker_show._render('{{.ID}} {{ .Label "x/y" }}|{{.Label "z"}}', one, False) == f"{'ab' * 6} 1|"
    (one.place / "ended").write_text("killed TERM\n")
    assert one.ended is not None
    assert one.ended[0] == 143
    assert docker_show._matches(one, "status=exited")
    with pytest.raises(docker_show.Refused):
        docker_show._render("{{.Nonsense}}", one, False)
    with pytest.raises(docker_show.Refused):
        docker_show._matches(one, "nonsense=1")


def test_topologies_in_containers() -> None:
    for topology in ("static-pod", "container"):
        Spec(topology=topology, release="bullseye").validate()
        with pytest.raises(LabError, match=r"data_dir (.|\n)*exec_start"):
            Spec(topology=topology, data_dir="/srv/etcd", exec_start="plain").validate()
        assert "\nETCD_ENABLE_V2=true\n" in etcd_files.conf(Spec(topology=topology), HOSTS, HOSTS[0])
    with pytest.raises(LabError, match="quoted"):
        Spec(topology="container", quoted=True).validate()
    assert runtimes.of(Spec(topology="colocated")) == runtimes.of(Spec()) == runtimes.SERVICE
    written = inventory.text(state.Record(Spec(topology="static-pod"), 3, "/"))
    assert list(yaml.safe_load(written)["masters"]["hosts"]) == [host.name for host in HOSTS]
    assert "masters" not in yaml.safe_load(inventory.text(state.Record(Spec(topology="container"), 3, "/")))


def test_a_lab_of_another_version_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUORUM_LAB_STATE", str(tmp_path))
    record = state.Record(Spec(), 7, "/")
    record.save()
    path = record.directory / "lab.json"
    path.write_text(path.read_text().replace('"members"', '"mumbers"'))
    with pytest.raises(LabError, match="another version"):
        state.load("lab")
    assert state.networks() == {7}

"""How a restart of a master's API or controllers is proven: the change itself, made under bash, with tools that stand in."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from builders import name
from local_shell import LocalShell, Said, stand_in

from requorum.changes import ChangeFailed, RestartMaster
from requorum.facts import master, master_api
from requorum.facts.runtime import PODS

EVENT = """printf '{"type":"%s","object":%s}\\n'"""
"""Shell: what a watch says, of a type and an object."""


@dataclass
class Elsewhere(LocalShell):
    """What lies in /var/lib/requorum on a host lies in a folder of the test's own; an event is waited for less long."""

    folder: Path = Path()

    def run(self, script: str, *, seconds: float, change: bool = False) -> Said:
        words = f"read -r -t {master_api.EVENT_SECONDS} "
        script = script.replace("/var/lib/requorum", str(self.folder)).replace(words, "read -r -t 1 ")
        return super().run(script, seconds=seconds, change=change)


@pytest.fixture
def host(tmp_path: Path) -> Elsewhere:
    """A master whose API is restarted by writing another process number."""
    tools = tmp_path / "tools"
    pid, configmap = tmp_path / "pid", tmp_path / "configmap"
    pid.write_text("100")
    stand_in(tools, "ss", f'echo "LISTEN users:((\\"x\\",pid=$(cat {pid}),fd=3))"')
    stand_in(tools, "systemctl", "exit 0")
    stand_in(tools, "curl", "printf ok")
    stand_in(tools, "master-restart", f'[ "$1" = api ] || [ "$1" = controllers ] && echo 200 > {pid}; exit 0')
    oc = f"""case "$*" in
*ready) printf ok;;
*watch=true*)
  until [ -e {configmap} ]; do sleep 0.05; done; {EVENT} ADDED "$(cat {configmap})"
  while [ -e {configmap} ]; do sleep 0.05; done; {EVENT} DELETED "$(cat {configmap}.was)"; exec sleep 30;;
*create*) cat > {configmap}; cp {configmap} {configmap}.was;;
*"get configmap"*) grep -o '"probe":"[^"]*"' {configmap} | cut -d '"' -f 4 | tr -d '\\n';;
*delete*) [ -e {configmap} ] && rm {configmap};;
esac"""
    stand_in(tools, "oc", oc)
    folder = tmp_path / "notes"
    folder.mkdir()
    return Elsewhere(stands_in=tools, folder=folder)


def owe(host: Elsewhere, component: str) -> Path:
    path = host.folder / f"restart-master-{component}"
    path.write_text("")
    return path


API = RestartMaster(name(0), "api", "https://etcd-0.example.com:8443", 8443)


@pytest.mark.parametrize("component", master.COMPONENTS)
def test_a_restart_is_proven_before_its_note_goes(
    host: Elsewhere, monkeypatch: pytest.MonkeyPatch, component: master.Component
) -> None:
    """Its time begins when master-restart returns: that may stop a container for longer than the proof has."""
    monkeypatch.setattr("requorum.changes.masters._PATIENCE", {component: 1})
    restart = (host.stands_in or Path()) / "master-restart"
    restart.write_text(restart.read_text().replace("echo 200", "sleep 2; echo 200"))
    note = owe(host, component)
    change = replace(API, component=component)
    assert change.do(host)
    assert not note.exists()
    assert not change.do(host)


def test_a_process_that_stays_is_no_restart(host: Elsewhere, monkeypatch: pytest.MonkeyPatch) -> None:
    """The exit code of master-restart is 0 also where it did nothing."""
    monkeypatch.setattr("requorum.changes.masters._PATIENCE", {"api": 1})
    assert host.stands_in is not None
    stand_in(host.stands_in, "master-restart", "echo 'Component api is already stopped' >&2; exit 0")
    note = owe(host, "api")
    with pytest.raises(ChangeFailed, match="before pid=100, now pid=100.*already stopped"):
        API.do(host)
    assert note.exists()


@pytest.mark.parametrize("component", master.COMPONENTS)
def test_what_is_told_to_be_waited_for_is_when_it_gives_up(
    host: Elsewhere, monkeypatch: pytest.MonkeyPatch, component: master.Component
) -> None:
    monkeypatch.setattr("requorum.changes.masters._PATIENCE", {component: 2})
    monkeypatch.setattr("requorum.changes.masters._RESTART", 1)
    stand_in(host.stands_in or Path(), "master-restart", "sleep 60")
    change, note, began = replace(API, component=component), owe(host, component), time.monotonic()
    assert change.seconds == 3
    with pytest.raises(ChangeFailed, match="within 2 s; found: before pid=100"):
        change.do(host)
    assert time.monotonic() - began < change.seconds + 5
    assert note.exists()


def test_an_api_that_writes_at_the_second_try_is_up(host: Elsewhere) -> None:
    """Its watch of etcd has only begun."""
    assert host.stands_in is not None
    oc = host.stands_in / "oc"
    once = f"[ -e {host.folder}/tried ] || {{ touch {host.folder}/tried; exit 1; }}"
    oc.write_text(oc.read_text().replace("*create*)", f"*create*) {once};", 1))
    note = owe(host, "api")
    assert API.do(host)
    assert not note.exists()


def test_a_pod_in_back_off_is_started_by_its_node_service(host: Elsewhere, tmp_path: Path) -> None:
    """Without a quorum the API has failed again and again: master-restart has nothing to restart."""
    tools, pid, asked = host.stands_in, tmp_path / "pid", tmp_path / "asked"
    assert tools is not None
    pid.unlink()
    stand_in(tools, "ss", f'[ ! -e {pid} ] || echo "LISTEN users:((x,pid=$(cat {pid}),fd=3))"')
    stand_in(tools, "master-restart", "echo 'Component api is already stopped' >&2; exit 0")
    restart = f'[ "$1" != restart ] || {{ echo "$2" >> {asked}; echo 300 > {pid}; }}'
    stand_in(tools, "systemctl", f"case $* in *atomic*) exit 3;; esac; {restart}")
    owe(host, "api")
    (tmp_path / "pods").mkdir()
    said = host.run(API.script().replace(PODS, str(tmp_path / "pods")), seconds=30)
    assert (said.exit, said.stdout.splitlines()[-1]) == (0, "requorum: done"), said.stderr
    assert "origin-node.service is restarted, which ends a back-off" in said.stdout
    assert asked.read_text() == "origin-node.service\n"


@pytest.mark.parametrize("word", ["create", "get configmap", "delete"])
def test_an_api_that_is_ready_and_does_not_write_is_not_up(
    host: Elsewhere, monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    assert host.stands_in is not None
    oc = host.stands_in / "oc"
    timeout = 'echo "Error from server: etcdserver: request timed out" >&2; exit 1;;'
    oc.write_text(oc.read_text().replace('case "$*" in', f'case "$*" in\n*"{word}"*) {timeout}', 1))
    note = owe(host, "api")
    monkeypatch.setattr("requorum.changes.masters._PATIENCE", {"api": 1})
    with pytest.raises(ChangeFailed, match="with quorum: Error from server: etcdserver: request timed out"):
        API.do(host)
    assert note.exists()


@pytest.mark.parametrize(
    ("watch", "missing", "found"),
    [
        ("exec sleep 30", "ADDED", "no event"),
        (f"""{EVENT} ADDED '{{"probe":"of another run"}}'; exec sleep 30""", "ADDED", "of another run"),
        ("echo 'Error from server (Forbidden)' >&2; exit 1", "ADDED", r"Error from server \(Forbidden\)"),
        (f'{EVENT} ADDED "$(cat CONFIGMAP)"; exec sleep 30', "DELETED", "no event"),
    ],
    ids=["stale", "another", "refused", "deaf"],
)
def test_an_api_that_writes_and_does_not_tell_of_it_is_not_up(
    host: Elsewhere, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, watch: str, missing: str, found: str
) -> None:
    """What it reads is etcd's, and what it watches is its own memory: told with what to do, and nothing is left there."""
    monkeypatch.setattr("requorum.changes.masters._PATIENCE", {"api": 1})
    oc, configmap = (host.stands_in or Path()) / "oc", tmp_path / "configmap"
    told = watch.replace("CONFIGMAP", str(configmap))
    oc.write_text(oc.read_text().replace('case "$*" in', f'case "$*" in\n*watch=true*) {told};;', 1))
    note = owe(host, "api")
    words = f"as {missing} in a watch through the API of .*, within 5 s; found .*{found}.*master-restart api there"
    with pytest.raises(ChangeFailed, match=words):
        API.do(host)
    assert note.exists()
    assert not configmap.exists()


def test_the_proof_leaves_no_watch_behind(host: Elsewhere, tmp_path: Path) -> None:
    """It would go on until its time is over."""
    oc, ids = (host.stands_in or Path()) / "oc", tmp_path / "ids"
    oc.write_text(oc.read_text().replace("*watch=true*)", f"*watch=true*) echo $$ > {ids};", 1))
    owe(host, "api")
    assert API.do(host)
    deadline = time.monotonic() + 5
    while (watcher := Path("/proc") / ids.read_text().strip()).exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not watcher.exists()

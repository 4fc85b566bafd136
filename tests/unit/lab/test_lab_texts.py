"""What the lab writes, without hosts."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import yaml

from lab import (
    LabError,
    Spec,
    checksums,
    cli,
    etcd_files,
    inotify,
    inventory,
    masters,
    requirements,
    rootfs,
    state,
    writer,
)
from lab.client import KeyValue
from lab.spec import hosts_of
from lab.state import Record

PROJECT = Path(__file__).parents[3]


def test_hosts_follow_from_the_spec() -> None:
    hosts = hosts_of(Spec(members=5, etcd_names="short"), 7)
    assert [host.address for host in hosts] == [f"10.213.7.{10 + index}" for index in range(5)]
    assert hosts[4].name == "etcd-4.example.com"
    assert hosts[4].etcd_name == "etcd-4"
    assert hosts_of(Spec(etcd_names="other"), 7)[1].etcd_name == "m1"


def test_every_wrong_field_is_named_at_once() -> None:
    wrong = Spec(name="A b", members=2, user="bob", ssh_port=2379, data_dir="/", topology="pods", release="sid")
    with pytest.raises(LabError) as caught:
        wrong.validate()
    for field in ("name", "members", "user", "ssh_port", "data_dir", "topology 'pods'", "release"):
        assert f"\n  {field}" in str(caught.value)
    Spec().validate()


@pytest.mark.parametrize("path", ["var/lib/etcd", "/var", "/var/../etc", "/var/lib/e tcd", ""])
def test_data_directories_that_would_be_dangerous(path: str) -> None:
    with pytest.raises(LabError, match="data_dir"):
        Spec(data_dir=path).validate()


def test_etcd_conf_has_the_installers_shape() -> None:
    spec = Spec()
    hosts = hosts_of(spec, 3)
    text = etcd_files.conf(spec, hosts, hosts[1])
    lines = text.splitlines()
    assert lines[0] == "ETCD_NAME=etcd-1.example.com"
    assert lines[2] == "ETCD_DATA_DIR=/var/lib/etcd/"
    cluster = ",".join(f"etcd-{n}.example.com=https://10.213.3.{10 + n}:2380" for n in range(3))
    assert f"ETCD_INITIAL_CLUSTER={cluster}" in lines
    assert lines.index("#[cluster]") < lines.index("ETCD_INITIAL_CLUSTER_STATE=new") < lines.index("#[security]")
    assert '"' not in "".join(line for line in lines if not line.startswith("#"))


def test_quoted_values() -> None:
    spec = Spec(quoted=True)
    hosts = hosts_of(spec, 3)
    lines = etcd_files.conf(spec, hosts, hosts[0]).splitlines()
    assert all(line.endswith('"') and '="' in line for line in lines if line.startswith("ETCD_"))


def test_shapes_of_exec_start() -> None:
    assert 'ExecStart=/bin/bash -c "GOMAXPROCS=$(nproc) exec /usr/bin/etcd"\n' in etcd_files.unit(Spec())
    assert "ExecStart=/usr/bin/etcd\n" in etcd_files.unit(Spec(exec_start="plain"))
    rhel = Spec(exec_start="rhel", release="bullseye")
    rhel.validate()
    line = (
        r'ExecStart=/bin/bash -c "GOMAXPROCS=$(nproc) /usr/bin/etcd --name=\"${ETCD_NAME}\" '
        r'--data-dir=\"${ETCD_DATA_DIR}\" --listen-client-urls=\"${ETCD_LISTEN_CLIENT_URLS}\""'
    )
    assert f"{line}\n" in etcd_files.unit(rhel)


@pytest.mark.parametrize("release", ["bookworm", "trixie"])
def test_flags_beside_their_variables_are_for_etcd_before_3_4(release: str) -> None:
    with pytest.raises(LabError, match=f"etcd of {release} refuses flags that repeat variables"):
        Spec(exec_start="rhel", release=release).validate()


def test_masters_are_hosts_of_etcd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUORUM_LAB_STATE", str(tmp_path))
    record = state.Record(spec=Spec(topology="colocated"), network=9, root="/nowhere")
    written = yaml.safe_load(inventory.text(record))
    assert list(written["masters"]["hosts"]) == list(written["etcd"]["hosts"])
    assert [host.short for host in record.hosts] == ["master-0", "master-1", "master-2"]
    assert "masters" not in yaml.safe_load(inventory.text(state.Record(Spec(), 9, "/nowhere")))


def test_only_masters_have_a_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The runbook may not need one; a host of etcd alone keeps its root file system."""
    monkeypatch.setenv("REQUORUM_LAB_STATE", str(tmp_path))
    assert "python3" not in rootfs.packages("external")
    assert "python3" in rootfs.packages("colocated")
    assert rootfs.path_of("bookworm") != rootfs.path_of("bookworm", "colocated")


def test_master_config_has_the_installers_shapes() -> None:
    lab = Record(Spec(topology="colocated"), 3, "/")
    template, yedit = (masters.config(lab, host) for host in lab.hosts[:2])
    assert "  urls:\n    - https://master-0.example.com:2379\n" in template
    assert "  urls:\n  - https://master-1.example.com:2379\n  - https://master-0.example.com:2379\n" in yedit
    for said in map(yaml.safe_load, (template, yedit)):
        info = said["etcdClientInfo"]
        assert (info["ca"], info["certFile"]) == ("master.etcd-ca.crt", "master.etcd-client.crt")
        assert said["servingInfo"]["bindAddress"] == "0.0.0.0:8443"


def test_masters_apart_name_the_members_each_in_an_order_of_its_own() -> None:
    lab = Record(Spec(masters=2, nodes=1, flannel=True), 3, "/")
    assert [host.short for host in lab.machines] == ["etcd-0", "etcd-1", "etcd-2", "master-0", "master-1", "node-0"]
    assert [host.short for host in lab.masters] == ["master-0", "master-1"]
    assert lab.with_flannel == lab.beside
    assert len({host.address for host in lab.machines}) == 6
    said = [yaml.safe_load(masters.config(lab, host)) for host in lab.masters]
    urls = [[url.split("/")[2].split(".")[0] for url in one["etcdClientInfo"]["urls"]] for one in said]
    assert urls == [["etcd-0", "etcd-1", "etcd-2"], ["etcd-1", "etcd-2", "etcd-0"]]
    assert "masters:\n  hosts:\n    master-0.example.com: {address: 10.213.3.13}\n" in inventory.text(lab)
    assert "nodes:\n  hosts:\n    node-0.example.com: {address: 10.213.3.15}\n" in inventory.text(lab)
    with pytest.raises(LabError, match="beside the cluster are of topology 'external'"):
        Spec(topology="colocated", masters=1).validate()
    with pytest.raises(LabError, match="they have Flannel alone"):
        Spec(nodes=1).validate()


@pytest.mark.parametrize(
    ("words", "exit_code", "stderr"),
    [
        ([], 1, "must be specified"),
        (["api"], 0, ""),
        (["api", "controllers"], 0, ""),
        (["etcd"], 0, "Component etcd is already stopped"),
        (["controller"], 0, "Component controller is already stopped"),
    ],
)
def test_master_restart_reads_its_first_word_only(
    tmp_path: Path, words: list[str], exit_code: int, stderr: str
) -> None:
    asked = tmp_path / "asked"
    systemctl = tmp_path / "systemctl"
    known = '[ "$1" = cat ] && case "$2" in origin-master-api.service) exit 0;; *) exit 1;; esac'
    systemctl.write_text(f'#!/bin/bash\n{known}\necho "$*" >> {asked}\n')
    systemctl.chmod(0o755)
    script = PROJECT / "lab/standins/master-restart"
    done = subprocess.run(
        ["bash", script, *words], capture_output=True, text=True, check=False, env={"PATH": f"{tmp_path}:/usr/bin:/bin"}
    )
    assert done.returncode == exit_code
    assert stderr in done.stderr
    assert (asked.read_text() if asked.exists() else "") == (
        "restart origin-master-api.service\n" if words[:1] == ["api"] else ""
    )


def test_the_inventory_is_yaml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUORUM_LAB_STATE", str(tmp_path))
    record = state.Record(spec=Spec(user="ops", ssh_port=2222), network=9, root="/nowhere")
    written = yaml.safe_load(inventory.text(record))
    assert written["ssh"]["user"] == "ops"
    assert written["ssh"]["port"] == 2222
    assert written["ssh"]["sudo"] is True
    assert list(written["etcd"]["hosts"]) == [f"etcd-{n}.example.com" for n in range(3)]
    assert written["confirm"] is False


def test_a_record_survives_writing_and_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUORUM_LAB_STATE", str(tmp_path))
    record = state.Record(spec=Spec(name="other", members=7, quoted=True), network=9, root="/nowhere")
    record.save()
    assert state.load("other") == record
    assert state.all_names() == ["other"]


def test_what_was_never_recorded_is_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUORUM_LAB_STATE", str(tmp_path))
    state.directory_of("early").mkdir(parents=True)
    assert state.forget_unmade("early")
    assert not state.directory_of("early").exists()
    assert not state.forget_unmade("early")


@pytest.mark.parametrize("words", [["ssh", "etcd-0"], ["down"], ["restore", "x"], ["break", "--hosts=a", "--how=dead"]])
def test_an_unknown_lab_is_said_plainly(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("REQUORUM_LAB_STATE", str(tmp_path))
    assert cli.main(words) == 1
    assert "there is no lab 'lab' (labs here: none); run: python -m lab up" in capsys.readouterr().err


def test_one_sentence_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requirements.os, "geteuid", lambda: 1000)
    assert requirements.missing() == (
        "The lab must be run as root: it boots hosts, mounts file systems and makes a bridge."
    )
    monkeypatch.setattr(requirements, "impossible", lambda: None)
    monkeypatch.setattr(requirements.shutil, "which", lambda program: None if program == "mmdebstrap" else "/bin/it")
    monkeypatch.setattr(requirements, "KEYRING", Path("/"))
    assert requirements.missing() == "Not installed here: mmdebstrap; run: python -m lab install"
    monkeypatch.setattr(requirements.shutil, "which", lambda program: None if program in ("ip", "apt-get") else "/it")
    sentence = "Not installed here: iproute2; there is no apt-get here that could install it"
    assert requirements.missing() == sentence
    with pytest.raises(LabError, match=sentence):
        requirements.install()


@pytest.mark.parametrize("words", [["install"], ["check"], ["rehearse"], ["up"]])
def test_where_no_lab_can_run_nothing_is_installed(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise AssertionError(arguments)

    monkeypatch.setenv("REQUORUM_LAB_STATE", str(tmp_path / "state"))
    monkeypatch.setattr(inotify, "require", lambda hosts: None)
    monkeypatch.setattr(requirements, "missing_packages", lambda: ["mmdebstrap"])
    monkeypatch.setattr(requirements, "impossible", lambda: "The lab cannot run here: no namespaces.")
    monkeypatch.setattr(requirements, "run", refuse)
    assert cli.main(words) == 1
    assert capsys.readouterr() == ("", "lab: The lab cannot run here: no namespaces.\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("allowed", "hosts", "enough"), [(12, 2, True), (11, 2, False), (0, 1, False), (0, 0, True)])
def test_hosts_are_refused_where_the_kernel_has_no_room_for_them(
    tmp_path: Path, allowed: int, hosts: int, enough: bool
) -> None:
    """In a user namespace with a limit of its own: its count begins at nothing, and nobody else is in it."""
    script = (
        "import pathlib, sys; from lab import LabError, inotify, state\n"
        "state.MACHINE_LOCK = pathlib.Path(sys.argv[2])\n"
        "try: inotify.require(int(sys.argv[1]))\n"
        "except LabError as error: print(error)\n"
    )
    limit = 'echo "$1" > /proc/sys/user/max_inotify_instances || exit 77; shift; exec "$@"'
    words = [sys.executable, "-c", script, str(hosts), str(tmp_path / "lock")]
    command = ["unshare", "--user", "--map-root-user", "sh", "-c", limit, "sh", str(allowed), *words]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, encoding="utf-8", check=False)
    if done.returncode == 77 or done.stderr.startswith("unshare: "):
        pytest.skip(f"no user namespaces here: {done.stderr}")
    assert (done.returncode, done.stderr) == (0, "")
    if enough:
        assert done.stdout == ""
        return
    room = f"no room for {hosts} more host{'s' if hosts > 1 else ''}: they need {hosts * 6} inotify instances"
    assert done.stdout.startswith(room)
    assert f"{allowed} are free" in done.stdout
    assert "sysctl -w fs.inotify.max_user_instances=" in done.stdout


def test_lost_writes_are_found(tmp_path: Path) -> None:
    kept = writer.Write("/a", "1", 5, "192.0.2.1")
    unknown = replace(kept, key="/b", revision=None)
    lost = replace(kept, key="/c", revision=7)
    path = tmp_path / "writes.jsonl"
    path.write_text("".join(json.dumps(asdict(one)) + "\n" for one in (kept, unknown, lost)), encoding="utf-8")
    writes = writer.read(path)
    assert writes == [kept, unknown, lost]
    held = {b"/a": KeyValue(b"1", 5, 5, 1)}
    assert writer.missing(writes, held) == ["/c: acknowledged at revision 7 by 192.0.2.1, not there"]
    held[b"/c"] = KeyValue(b"other", 7, 7, 1)
    assert len(writer.missing(writes, held)) == 1


def test_changes_are_told_in_words() -> None:
    before = {"etcd-0": {"boot": "a", "/etc/x": "f 644"}, "etcd-1": {"power": "off"}}
    after = {"etcd-0": {"boot": "a", "/etc/y": "f 600"}, "etcd-1": {"power": "off"}}
    assert checksums.changes(before, before) == []
    assert checksums.changes(before, after) == [
        "etcd-0: /etc/x: f 644 → absent",
        "etcd-0: /etc/y: absent → f 600",
    ]

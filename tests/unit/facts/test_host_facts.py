"""The nouns of a host, read from what real hosts printed (record_hosts.py), and from what no host should print."""

from __future__ import annotations

import base64
import json
import shlex
import subprocess
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from requorum.facts import certificates, etcd_conf, machine, mark, members, process, unit
from requorum.facts.host import commands
from requorum.facts.mark import Found, Mark
from requorum.facts.members import Api
from requorum.facts.unit import FENCE, Unit

RECORDED = Path(__file__).parent / "recorded"
STATES = ("healthy", "stopped", "masked", "fenced", "emptied", "deaf")


def printed(state: str, noun: str, stream: str = "stdout") -> str:
    said = json.loads((RECORDED / "hosts" / f"{state}.json").read_text(encoding="utf-8"))
    return str(said[noun][stream])


def unit_of(state: str) -> Unit:
    return unit.parse(printed(state, "unit"))


def api_of(state: str) -> Api:
    return members.parse_api(printed(state, "api"), printed(state, "api", "stderr"))


@pytest.mark.parametrize(
    ("state", "words", "running", "masked", "fenced"),
    [
        ("healthy", "active (running)", True, False, False),
        ("stopped", "inactive (dead)", False, False, False),
        ("masked", "inactive (dead), masked", False, True, False),
        ("fenced", "inactive (dead), fenced", False, False, True),
        ("deaf", "activating (start)", True, False, False),
    ],
)
def test_unit(state: str, words: str, running: bool, masked: bool, fenced: bool) -> None:
    found = unit_of(state)
    assert (found.state, found.is_running, found.masked, found.fenced) == (words, running, masked, fenced)
    assert not found.forced
    if not masked:
        assert found.environment_files == (etcd_conf.PATH,)
        assert (found.user, found.load, found.file_state) == ("etcd", "loaded", "enabled")
        assert found.exec_start == "/bin/bash -c GOMAXPROCS=$(nproc) exec /usr/bin/etcd"
    assert found.drop_ins == ((FENCE,) if fenced else ())
    assert (found.main_pid > 0) == (state in ("healthy", "deaf"))


def test_a_unit_that_crash_loops_counts_as_running() -> None:
    """It is about to start again, and must be stopped like one that runs."""
    found = unit_of("emptied")
    assert found.state in ("activating (auto-restart)", "activating (start)")
    assert found.is_running


@pytest.mark.parametrize("gone", ["LoadState", "ActiveState", "DropInPaths"])
def test_a_unit_without_a_property_is_told(gone: str) -> None:
    lines = [line for line in printed("healthy", "unit").splitlines() if not line.startswith(gone)]
    with pytest.raises(ValueError, match=gone):
        unit.parse("\n".join(lines))


@pytest.mark.parametrize("state", ["healthy", "deaf"])
def test_a_living_process(state: str) -> None:
    [found] = process.parse(printed(state, "process"))
    assert found.argv == ("/usr/bin/etcd",)
    assert found.environ["ETCD_NAME"] == "etcd-0.example.com"
    assert all(key.startswith("ETCD_") for key in found.environ)
    assert (found.forced, found.config_file) == (False, "")
    assert found.started > 0


@pytest.mark.parametrize("state", ["stopped", "masked", "fenced"])
def test_no_process(state: str) -> None:
    assert process.parse(printed(state, "process")) == ()


def line(argv: str, environ: str = "") -> str:
    def packed(text: str) -> str:
        return base64.b64encode(text.replace(" ", "\0").encode()).decode()

    return f"7 100 {packed(argv)} {packed(environ)}\n"


@pytest.mark.parametrize(
    ("argv", "environ", "forced"),
    [
        ("etcd --force-new-cluster", "", True),
        ("etcd -force-new-cluster", "", True),
        ("etcd --force-new-cluster=true", "", True),
        ("etcd --force-new-cluster=false", "", False),
        ("etcd", "ETCD_FORCE_NEW_CLUSTER=true", True),
        ("etcd", "ETCD_FORCE_NEW_CLUSTER=1 ETCD_NAME=a", True),
        ("etcd", "ETCD_FORCE_NEW_CLUSTER=false", False),
        ("etcd", "ETCD_FORCE_NEW_CLUSTER=", False),
        ("etcd --name force-new-cluster", "", False),
        ("etcd --force-new-cluster --force-new-cluster=false", "", False),
    ],
)
def test_forced(argv: str, environ: str, forced: bool) -> None:
    [found] = process.parse(line(argv, environ))
    assert found.forced is forced


@pytest.mark.parametrize(
    ("argv", "environ", "path"),
    [
        ("etcd --config-file /etc/etcd.yaml", "", "/etc/etcd.yaml"),
        ("etcd --config-file=/etc/etcd.yaml", "", "/etc/etcd.yaml"),
        ("etcd", "ETCD_CONFIG_FILE=/etc/etcd.yaml", "/etc/etcd.yaml"),
        ("etcd --name config-file", "", ""),
    ],
)
def test_config_file(argv: str, environ: str, path: str) -> None:
    [found] = process.parse(line(argv, environ))
    assert found.config_file == path


@pytest.mark.parametrize(
    ("argv", "environ", "path"),
    [
        ("etcd --data-dir /srv/etcd/", "ETCD_DATA_DIR=/var/lib/etcd", "/srv/etcd"),
        ("etcd", "ETCD_DATA_DIR=/var/lib/etcd/", "/var/lib/etcd"),
        ("etcd", "", ""),
    ],
)
def test_data_directory_of_a_process(argv: str, environ: str, path: str) -> None:
    [found] = process.parse(line(argv, environ))
    assert found.data_dir == path


@pytest.mark.parametrize(
    ("argv", "flags"),
    [
        ("/usr/bin/etcd", ()),
        ("/usr/bin/etcd --data-dir /srv/etcd --debug", ("--data-dir /srv/etcd",)),
        ("/usr/bin/etcd -name=m7 --listen-peer-urls=http://[::]:1", ("--name m7", "--listen-peer-urls http://[::]:1")),
        ('/bin/bash -c "exec etcd --name=\\"${ETCD_NAME}\\" --data-dir=\\"${ETCD_DATA_DIR}\\""', ()),
        ("/usr/bin/etcd --config-file /etc/etcd.yaml", ()),
    ],
)
def test_flags_that_override_the_configuration(argv: str, flags: tuple[str, ...]) -> None:
    assert replace(unit_of("healthy"), exec_start=argv).overriding_flags == flags


@pytest.mark.parametrize(
    "text", ["7 100 x", "seven 100 eA== eA==", "7 x eA== eA==", "a banner", "7 100 !! eA==", "7 1 a a"]
)
def test_a_process_of_another_shape_is_told(text: str) -> None:
    with pytest.raises(ValueError):
        process.parse(text)


def test_machine() -> None:
    found = machine.parse(printed("healthy", "machine"))
    assert (found.uid, found.hostname, found.etcd_version, found.etcdctl_version) == (
        0, "etcd-0.example.com", "3.4.23", "3.4.23",
    )  # fmt: skip
    assert {machine.CLIENT_PORT, machine.PEER_PORT} <= found.ports
    assert (found.data_there, found.data_has_wal, found.data_entries) == (True, True, ("member",))
    assert min(found.data_free, found.data_used, found.backup_free) > 0


GENERATIONS = ("3.3.25", "3.5.16")


@pytest.mark.parametrize("version", GENERATIONS)
def test_the_machine_of_another_generation(version: str) -> None:
    found = machine.parse(printed(version, "machine"))
    assert (found.etcd_version, found.etcdctl_version) == (version, version)
    later = "\n".join(text for text in printed(version, "machine").splitlines() if not text.startswith("etcd"))
    assert machine.parse(later, found) == found


@pytest.mark.parametrize("version", GENERATIONS)
def test_a_member_of_another_generation(version: str) -> None:
    assert unit_of(version) == replace(
        unit_of("healthy"), main_pid=unit_of(version).main_pid, fragment=unit_of(version).fragment
    )
    [living] = process.parse(printed(version, "process"))
    assert (living.data_dir, living.forced) == ("/var/lib/etcd", False)
    found = api_of(version)
    assert found.answers
    assert found.members is not None
    assert found.status is not None
    assert (found.members.quorum, found.status.version, found.status.errors) == (2, version, ())
    assert {m.name for m in found.members.members} == {f"etcd-{n}.example.com" for n in range(3)}


@pytest.mark.parametrize("version", GENERATIONS)
def test_a_member_of_another_generation_that_is_alone(version: str) -> None:
    found = members.parse_api(printed(version, "api-alone"), printed(version, "api-alone", "stderr"))
    assert (found.members, found.linear, found.answers) == (None, False, False)
    assert found.error == "it knows no leader"
    assert found.status is not None
    assert found.status.leader == 0


def test_an_emptied_machine_has_a_folder_and_no_log() -> None:
    """etcd makes `member` before it sees that it was bootstrapped already."""
    found = machine.parse(printed("emptied", "machine"))
    assert (found.data_there, found.data_has_wal) == (True, False)


@pytest.mark.parametrize("gone", ["uid", "boot", "ports", "clock", "data_free", "backup_free"])
@pytest.mark.parametrize("instead", [None, "none"])
def test_a_machine_without_a_value_is_told(gone: str, instead: str | None) -> None:
    lines = [found for found in printed("healthy", "machine").splitlines() if not found.startswith(gone + "=")]
    if instead is not None and gone not in ("boot", "ports"):
        lines.append(f"{gone}={instead}")
    with pytest.raises(ValueError, match="expected the facts of a machine"):
        machine.parse("\n".join(lines))


def test_the_backup_directory_is_quoted() -> None:
    done = subprocess.run(
        ["bash", "-n"], input=machine.command("/it's a folder"), capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert shlex.quote("/it's a folder") in machine.command("/it's a folder")


@pytest.mark.parametrize("noun", commands("/backup"))
def test_every_command_is_good_bash(noun: str) -> None:
    done = subprocess.run(["bash", "-n"], input=commands("/backup")[noun], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_healthy_member_answers() -> None:
    found = api_of("healthy")
    assert found.answers
    assert found.members is not None
    assert found.status is not None
    assert {m.name for m in found.members.members} == {f"etcd-{n}.example.com" for n in range(3)}
    assert found.members.quorum == 2
    assert (found.status.version, found.status.errors, found.status.cluster_id) == (
        "3.4.23",
        (),
        found.members.cluster_id,
    )
    own = found.members.of(etcd_conf.parse(printed("healthy", "conf")).peer_urls)
    assert own is not None
    assert own.id == found.status.member_id


@pytest.mark.parametrize("state", ["stopped", "masked", "fenced", "emptied", "deaf"])
def test_who_has_no_leader_is_not_asked(state: str) -> None:
    assert api_of(state) == Api(None, None, linear=False, error="etcd is not active")


@pytest.mark.parametrize(("version", "learner"), [("3.3.25", False), ("3.4.23", True), ("3.5.16", True)])
def test_etcdctl_of_every_version(version: str, learner: bool) -> None:
    said = json.loads((RECORDED / "etcdctl" / f"{version}.json").read_text(encoding="utf-8"))
    listed = members.parse_list(json.dumps(said["list"]))
    status = members.parse_status(json.dumps(said["status"]))
    one = next(m for m in listed.members if m.name == "m0")
    new = next(m for m in listed.members if m.name == "")
    assert (new.peer_urls, new.client_urls, new.is_learner) == (("http://127.0.0.1:1",), (), learner)
    assert (status.version, status.member_id, status.leader) == (version, one.id, one.id)
    held = members.parse_hash(json.dumps(said["hash"]))
    assert (held.cluster_id, held.value > 0) == (listed.cluster_id, True)
    assert status.cluster_id == listed.cluster_id
    assert (status.raft_term, status.revision) == (2, 1)
    assert min(status.raft_index, status.db_bytes) > 0
    assert listed.quorum == (1 if learner else 2)
    assert one.hex_id == f"{one.id:x}"


READERS: tuple[Callable[[str], object], ...] = (members.parse_list, members.parse_status, members.parse_hash)


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize(
    "text", ["", "null", "[]", "{}", "[1]", '"x"', "no json", '{"members": 1}', '[{"Status": null}]']
)
def test_an_answer_of_another_shape_is_told(read: Callable[[str], object], text: str) -> None:
    with pytest.raises(ValueError, match="in JSON, found"):
        read(text)


def test_an_answer_with_a_banner_is_told() -> None:
    with pytest.raises(ValueError, match="expected status, list and linear"):
        members.parse_api("Welcome to this host\n", "")


def test_the_last_line_of_the_error_is_kept() -> None:
    assert members.parse_api("status=null\n", "a warning\nit knows no leader\n").error == "it knows no leader"


SIGNED = Mark("r1", "prod", "etcd-0", "ada@desk", "2026-11-05T03:00:00Z")


def test_mark() -> None:
    assert mark.parse(SIGNED.text()) == SIGNED
    assert mark.parse(replace(SIGNED, earlier=SIGNED).text()) == replace(SIGNED, earlier=SIGNED)
    assert mark.parse_both(printed("healthy", "mark")) == (None, None)


def test_a_mark_of_another_version_is_read() -> None:
    """An older one does not write `forces`: that is as if it had; a newer one may write what this one does not know."""
    fields = json.loads(replace(SIGNED, found=Found("active", "enabled", False, True, True, "0")).text())
    assert "forces" not in fields
    assert mark.parse(json.dumps({**fields, "since_then": [1], "found": {**fields["found"], "more": 1}})) == replace(
        SIGNED, found=Found("active", "enabled", False, True, True, "0")
    )
    not_forced = replace(SIGNED, forces=False)
    assert mark.parse(not_forced.text()) == not_forced


def test_a_mark_says_nothing_that_is_as_usual() -> None:
    """An older version reads it then: one without a key refuses a mark that has it."""
    assert set(json.loads(SIGNED.text())) == {"recovery", "cluster", "survivor", "operator", "since"}
    assert set(json.loads(replace(SIGNED, earlier=SIGNED).text())["earlier"]) == set(json.loads(SIGNED.text()))


@pytest.mark.parametrize("text", ["[]", "{}", "null", "no json", '{"recovery": "r1"}', SIGNED.text()[:-3]])
def test_a_mark_of_another_shape_is_told(text: str) -> None:
    with pytest.raises(ValueError, match="expected the mark of a recovery"):
        mark.parse(text)


CONF = etcd_conf.parse(printed("healthy", "conf"))
FOUND = certificates.parse(printed("healthy", "certificates"))
NOW = datetime.fromtimestamp(machine.parse(printed("healthy", "machine")).clock, timezone.utc)


def test_good_certificates_have_no_problem() -> None:
    assert {f.variable for f in FOUND.files} >= {"ETCD_CERT_FILE", "ETCD_PEER_KEY_FILE", "ETCD_PEER_TRUSTED_CA_FILE"}
    assert all(f.readable for f in FOUND.files)
    assert FOUND.problems(CONF, NOW) == ()
    assert FOUND.ending(NOW) == ()


def test_no_private_key_leaves_its_host() -> None:
    text = printed("healthy", "certificates")
    assert not any(b"PRIVATE" in base64.b64decode(found.split(" ")[3]) for found in text.splitlines())


@pytest.mark.parametrize(
    ("edit", "days", "words"),
    [
        ({}, 36_500, "is valid from"),
        ({}, -10, "is valid from"),
        ({"ETCD_ADVERTISE_CLIENT_URLS": "https://192.0.2.77:2379"}, 0, "does not name 192.0.2.77"),
        ({"ETCD_INITIAL_ADVERTISE_PEER_URLS": "https://other.example.com:2380"}, 0, "does not name other.example.com"),
    ],
)
def test_what_is_wrong_with_certificates(edit: dict[str, str], days: int, words: str) -> None:
    conf = etcd_conf.parse(CONF.edited(edit))
    assert any(words in problem for problem in FOUND.problems(conf, NOW + timedelta(days=days)))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("ETCD_PEER_KEY_FILE yes", "ETCD_PEER_KEY_FILE no", "not there or not readable for etcd"),
        ("ETCD_PEER_CERT_FILE ", "", "etcd.conf does not set ETCD_PEER_CERT_FILE"),
    ],
)
def test_what_is_wrong_with_the_files(old: str, new: str, words: str) -> None:
    lines = printed("healthy", "certificates").splitlines()
    changed = [found.replace(old, new) if new else found for found in lines if new or not found.startswith(old)]
    problems = certificates.parse("\n".join(changed)).problems(CONF, NOW)
    assert any(words in problem for problem in problems)


def test_a_key_of_another_certificate_is_told() -> None:
    lines = {found.split(" ")[0]: found.split(" ") for found in printed("healthy", "certificates").splitlines()}
    lines["ETCD_PEER_KEY_FILE"][3] = base64.b64encode(b"-----BEGIN PUBLIC KEY-----\nAAAA\n").decode()
    text = "\n".join(" ".join(words) for words in lines.values())
    assert any("is not the key of" in problem for problem in certificates.parse(text).problems(CONF, NOW))


@pytest.mark.parametrize(
    "text", ["a banner\n", "ETCD_NAME yes /x eA==\n", "ETCD_CERT_FILE yes /a path with blanks eA==\n"]
)
def test_certificates_of_another_shape_are_told(text: str) -> None:
    with pytest.raises(ValueError, match="expected variable, readable, path and content"):
        certificates.parse(text)


def test_a_certificate_that_is_no_base64_is_told() -> None:
    with pytest.raises(ValueError, match="expected a certificate file in base64"):
        certificates.parse("ETCD_CERT_FILE yes /x !!!\n")

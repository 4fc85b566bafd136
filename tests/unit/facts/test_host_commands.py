"""What the commands of a host's nouns see when they run here: processes, and the places of data and backups."""

from __future__ import annotations

import base64
import getpass
import os
import socket
import subprocess
from pathlib import Path

import pytest

from requorum.facts import etcd_conf, machine, process


def line_of(pid: int, *argv: str, **environ: str) -> str:
    """A process as COMMAND prints it."""
    words = "".join(f"{word}\0" for word in argv), "".join(f"{k}={v}\0" for k, v in environ.items())
    return f"{pid} 100 " + " ".join(base64.b64encode(one.encode()).decode() for one in words)


@pytest.mark.parametrize("flag", ["--version", "-version", "--help"])
def test_an_etcd_that_says_its_version_and_ends_is_no_member(flag: str) -> None:
    """The survey asks so itself, at the same time; its variables are not those of the member."""
    asked, member = line_of(7, "/usr/bin/etcd", flag), line_of(8, "/usr/bin/etcd", ETCD_ENABLE_V2="true")
    assert [p.pid for p in process.parse(f"{asked}\n{member}\n")] == [8]


def test_a_process_that_begins_or_ends_tells_nothing_and_is_there() -> None:
    [ending] = process.parse("7 100  \n")
    assert (ending.pid, ending.told, ending.forced) == (7, False, False)


@pytest.mark.parametrize(
    ("group", "unit", "belongs"),
    [
        ("/system.slice/etcd.service", "etcd.service", True),
        ("/lab/machine.scope/system.slice/etcd.service/deeper", "etcd.service", True),
        ("/system.slice/handmade.service", "handmade.service", False),
        ("/user.slice/user-0.slice/session-3.scope", "session-3.scope", False),
        ("/system.slice/not-etcd.service", "not-etcd.service", False),
        ("", "", True),
    ],
)
def test_what_systemd_runs_a_process_for(group: str, unit: str, belongs: bool) -> None:
    [found] = process.parse(f"{line_of(8, 'etcd')} {group}\n")
    assert (found.unit, found.belongs_to("etcd.service")) == (unit, belongs)


def test_the_command_sees_processes_by_their_name(tmp_path: Path) -> None:
    """A living process called etcd, started here; others of the machine may be there as well."""
    fake = tmp_path / "etcd"
    fake.symlink_to("/bin/cat")
    with subprocess.Popen([fake], stdin=subprocess.PIPE, env={"ETCD_NAME": "here"}) as living:
        said = subprocess.run(["bash", "-c", process.COMMAND], capture_output=True, check=True, text=True)
        found = {p.pid: p for p in process.parse(said.stdout)}
        assert found[living.pid].environ == {"ETCD_NAME": "here"}
        assert found[living.pid].argv == (str(fake),)
        groups = Path(f"/proc/{living.pid}/cgroup").read_text(encoding="utf-8").splitlines()
        assert found[living.pid].group in {"", *(line.split(":", 2)[2] for line in groups)}


def surveyed(tmp_path: Path, conf_text: str, *, backup: str = "/backup", unit: str = "") -> machine.Machine:
    """This machine, with an etcd.conf of the test's own, and, where `unit` says it, what systemd shows of etcd's."""
    conf = tmp_path / "etcd.conf"
    conf.write_text(conf_text, encoding="utf-8")
    environ = dict(os.environ)
    if unit:
        systemctl = tmp_path / "systemctl"
        systemctl.write_text(f"#!/bin/bash\necho {unit}\n", encoding="utf-8")
        systemctl.chmod(0o755)
        environ = {"PATH": f"{tmp_path}:{environ['PATH']}"}
    script = machine.command(backup, versions=False).replace(etcd_conf.PATH, str(conf))
    said = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False, timeout=30, env=environ)
    return machine.parse(f"etcd=\netcdctl=\n{said.stdout}")


@pytest.mark.parametrize(("lives", "others"), [("1 1", True), ("0 0", False), ("0 1", False), ("1 0", False)])
def test_the_ports_of_an_etcd_that_comes_or_goes_are_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lives: str, others: bool
) -> None:
    """`lives`: what etcd_lives returns, before and after the ports are looked at."""
    monkeypatch.setattr(
        machine, "LIVES", f"asked=({lives})\netcd_lives() {{ local n=${{turn:-0}}; turn=1; return ${{asked[n]}}; }}\n"
    )
    with socket.create_server(("127.0.0.1", 0)) as listening:
        assert (listening.getsockname()[1] in surveyed(tmp_path, "").ports) is others


@pytest.mark.parametrize(
    ("backup", "inside"),
    [
        ("data", "data"), ("data/backup/deeper", "data"), ("link/backup", "data"), ("link", "data"), ("wal/x", "wal"),
        ("backup", ""), ("data-2", ""), ("away", ""),
    ],
)  # fmt: skip
def test_a_backup_directory_that_lies_in_what_it_is_to_keep(tmp_path: Path, backup: str, inside: str) -> None:
    """Whatever links lead there; `data` is a link itself, as where etcd's disk is mounted elsewhere."""
    for folder in ("disk", "wal", "elsewhere"):
        (tmp_path / folder).mkdir()
    for link, to in {"data": "disk", "link": "data", "away": "elsewhere"}.items():
        (tmp_path / link).symlink_to(to)
    real = {"data": f"{tmp_path}/disk", "wal": f"{tmp_path}/wal", "": ""}[inside]
    text = f"ETCD_DATA_DIR={tmp_path}/data\nETCD_WAL_DIR={tmp_path}/wal\n"
    assert surveyed(tmp_path, text, backup=str(tmp_path / backup)).backup_inside == real


def test_what_a_recovery_has_moved_aside_is_seen(tmp_path: Path) -> None:
    """`wal` holds segments that were replaced, and nothing that was moved."""
    data = tmp_path / "data"
    for folder in ("r1/1/member", "r1/wal", "r1/log/2.part", "r2/wal", "r1-after/1", "r3"):
        (data / f"openshift-backup-requorum-{folder}").mkdir(parents=True)
    text = f"ETCD_DATA_DIR={data}\nETCD_WAL_DIR={tmp_path}/wal\n"
    assert surveyed(tmp_path, text).data_aside == {"r1", "r1/log", "r1-after"}
    assert surveyed(tmp_path, "").data_aside == frozenset()


def test_what_a_cut_off_change_left_beside_the_log_is_not_foreign(tmp_path: Path) -> None:
    """It is made by root, and given to etcd's user at its end; the next run makes it anew."""
    (tmp_path / "data/member/wal").mkdir(parents=True)
    unit = f"User={getpass.getuser()}; echo LoadState=loaded"
    for left, foreign in (("requorum.tmp", False), ("0.wal", True)):
        (tmp_path / "data/member/wal" / left).touch(mode=0o000)
        assert bool(surveyed(tmp_path, f"ETCD_DATA_DIR={tmp_path}/data\n", unit=unit).data_foreign) == foreign


@pytest.mark.parametrize(
    ("directory", "needed"),
    [("/var/lib", "/var/lib/requorum"), ("/var//", "/var/lib"), ("/", "/usr"), ("//", "/etc/etcd"), ("/srv", "/srv")],
)
@pytest.mark.parametrize("linked", [False, True])
def test_a_data_directory_that_the_system_needs(tmp_path: Path, directory: str, needed: str, linked: bool) -> None:
    """It is there, and its size is not asked: that could take minutes."""
    (tmp_path / "link").symlink_to(directory)
    found = surveyed(tmp_path, f"ETCD_DATA_DIR={tmp_path / 'link' if linked else directory}\n")
    assert needed in found.data_needed
    assert (found.data_there, found.data_used, found.wal_needed) == (True, 0, ())


@pytest.mark.parametrize("data", ["/var/lib/etcd", "/var/lib/etcd-2/", "/srv/etcd", "{}/data", "", "/usr/local/etcd"])
def test_a_data_directory_of_etcd_s_own(tmp_path: Path, data: str) -> None:
    assert surveyed(tmp_path, f"ETCD_DATA_DIR={data.format(tmp_path)}\n").data_needed == ()


def test_a_directory_of_the_log(tmp_path: Path) -> None:
    for folder in ("a/data", "b", "c/wal"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "b/www").touch()
    text = f"ETCD_DATA_DIR={tmp_path}/a/data\nETCD_WAL_DIR={tmp_path}"
    above, own, inside = (surveyed(tmp_path, f"{text}/{at}\n") for at in ("a", "b/", "a/data/wal"))
    assert (above.wal_needed, above.data_needed) == ((f"{tmp_path}/a/data",), ())
    assert (own.wal_needed, own.wal_entries) == ((), ("www",))
    assert (inside.wal_needed, inside.wal_entries) == ((), ())
    assert surveyed(tmp_path, f"ETCD_DATA_DIR={tmp_path}/c\nETCD_WAL_DIR=/var/log\n").wal_needed == ("/var/log",)


@pytest.mark.parametrize(("load", "foreign"), [("loaded", True), ("masked", False), ("not-found", False)])
def test_a_unit_that_is_masked_does_not_say_whose_the_data_is(tmp_path: Path, load: str, foreign: bool) -> None:
    """It was told as root's, with the advice to take it away from etcd."""
    (tmp_path / "data").mkdir()
    found = surveyed(tmp_path, f"ETCD_DATA_DIR={tmp_path}/data\n", unit=f"User=nobody; echo LoadState={load}")
    assert bool(found.data_foreign) == foreign

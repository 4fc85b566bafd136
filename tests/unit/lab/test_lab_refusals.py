"""What the lab refuses, in a sentence, and what it leaves behind then: nothing."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from lab import Lab, LabError, Spec, cli, inotify, machine, requirements, rootfs, saved, state
from lab.spec import Host

ROOT_ONLY = "lab: The lab must be run as root: it boots hosts, mounts file systems and makes a bridge."


@pytest.mark.parametrize("words", [["rehearse"], ["status"], ["check"], ["up"], ["install"]], ids=" ".join)
def test_without_root_one_sentence_is_said(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing of root's is touched before: the lock of this machine cannot be opened, either."""

    def locked(*arguments: object, **options: object) -> None:
        raise PermissionError(13, "Permission denied", str(state.MACHINE_LOCK))

    monkeypatch.setenv("REQUORUM_LAB_STATE", str(tmp_path / "state"))
    monkeypatch.setattr(requirements.os, "geteuid", lambda: 65534)
    monkeypatch.setattr(state, "locked", locked)
    assert cli.main(words) == 1
    assert capsys.readouterr() == ("", f"{ROOT_ONLY}\n")
    assert list(tmp_path.iterdir()) == []


def test_what_only_root_may_read_is_said_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def load(name: str) -> None:
        raise PermissionError(13, "Permission denied", "lab.json")

    monkeypatch.setattr(requirements.os, "geteuid", lambda: 65534)
    monkeypatch.setattr(state, "load", load)
    assert cli.main(["heal"]) == 1
    assert capsys.readouterr().err == f"{ROOT_ONLY} (lab.json: Permission denied)\n"
    monkeypatch.setattr(requirements.os, "geteuid", lambda: 0)
    with pytest.raises(PermissionError):
        cli.main(["heal"])


def test_a_lab_that_is_refused_for_want_of_room_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise LabError("no room")

    monkeypatch.setenv("REQUORUM_LAB_STATE", str(tmp_path))
    monkeypatch.setattr(requirements, "require", lambda: None)
    monkeypatch.setattr(inotify, "require", refuse)
    monkeypatch.setattr(rootfs, "build", refuse)
    with pytest.raises(LabError, match="no room"):
        Lab.up(Spec(name="small"))
    assert list((tmp_path / "labs").iterdir()) == []
    monkeypatch.setattr(inotify, "require", lambda hosts: None)
    with pytest.raises(LabError, match="no room"):
        Lab.up(Spec(name="small"), say=lambda text: None)
    assert list((tmp_path / "labs").iterdir()) == []


def test_a_host_that_goes_off_while_it_is_asked_is_told_as_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another host of the lab is asked all the same, and so is every other lab."""
    monkeypatch.setenv("REQUORUM_LAB_STATE", str(tmp_path))
    monkeypatch.setattr(requirements, "forbidden", lambda: None)
    for number, name in enumerate(("alpha", "beta")):
        state.Record(Spec(name=name), number, "/").save()
    on = [True]  # alpha's first host is on at the first look only

    def is_on(record: state.Record, host: Host) -> bool:
        return on.pop() if on else (record.spec.name, host.short) != ("alpha", "etcd-0")

    def run_inside(record: state.Record, host: Host, *arguments: object, **options: object) -> SimpleNamespace:
        if (record.spec.name, host.short) == ("alpha", "etcd-0"):
            raise LabError(f"{host.name} is switched off")
        return SimpleNamespace(stdout="active\nrunning\n")

    monkeypatch.setattr(machine, "is_on", is_on)
    monkeypatch.setattr(machine, "run_inside", run_inside)
    monkeypatch.setattr(saved, "names", lambda lab: [])
    monkeypatch.setattr(Lab, "healthy", lambda lab, host: True)
    assert cli.main(["status"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[-1] for line in shown if line.startswith("  etcd-0")] == [
        "without power",
        "on; etcd.service active/running; answers linearizable reads",
    ]
    assert len([line for line in shown if "answers linearizable reads" in line]) == 5


@pytest.mark.parametrize(
    "path",
    ["/etc/etcd", "/etc/etcd/", "/usr/lib", "/proc/etcd", "/run/etcd", "/tmp/etcd", "/sys/x", "/dev/shm", "/boot/etcd",
     "/var/lib", "/var/log/etcd", "/var/run/etcd", "/var/lib/dpkg", "/var/lib/requorum/etcd", "/backup/etcd", "/./etc/x"],
)  # fmt: skip
def test_a_place_of_others_is_none_for_data(path: str) -> None:
    with pytest.raises(LabError, match="data_dir .*: (no place for data|an absolute path)"):
        Spec(data_dir=path).validate()


@pytest.mark.parametrize("path", ["/var/lib/etcd", "/var/lib/etcd/", "/var/lib/etcd/data", "/srv/etcd", "/data/etcd"])
def test_a_place_for_data(path: str) -> None:
    Spec(data_dir=path).validate()

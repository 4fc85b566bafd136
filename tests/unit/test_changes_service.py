"""Changes of the service: their scripts against a stand-in for systemctl, and what they set in the facts.

On a real systemd they are seen by the rehearsals. The script of StopEtcd looks at every process of the machine, which
here is not the tests' own: only its text is looked at.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from builders import CRASHED, DEAF, STARTING, STOPPED, conf, data, emptied, facts, member, members, name, process, unit
from local_shell import LocalShell, stand_in

from requorum.changes import Change, ChangeFailed, EnableEtcd, ReloadUnits, StartEtcd, StopEtcd
from requorum.facts.unit import FENCE, FORCE

HOST = name(0)


def systemctl(folder: Path, script: str) -> LocalShell:
    """A host whose systemctl is `script`; what it is asked to do lands in the file `asked`, questions do not."""
    asked = folder / "asked"
    asked.touch()
    stand_in(
        folder / "bin", "systemctl", f'cd {folder}; case $1 in show|is-*) ;; *) echo "$*" >> {asked};; esac\n{script}'
    )
    stand_in(folder / "bin", "journalctl", "echo the log says why")
    return LocalShell(folder / "bin")


def asked(folder: Path) -> list[str]:
    return (folder / "asked").read_text().splitlines()


RELOADS = """case "$*" in
  *DropInPaths*) echo "DropInPaths=/etc/a.conf $(cat seen)";;
  *NeedDaemonReload*) echo NeedDaemonReload=no;;
  daemon-reload) cat files > seen;;
esac"""


def test_reload_until_systemd_knows_of_a_drop_in(tmp_path: Path) -> None:
    shell = systemctl(tmp_path, RELOADS)
    (tmp_path / "seen").touch()
    (tmp_path / "files").write_text(FENCE)
    change = ReloadUnits(HOST, FENCE, present=True)
    assert change.do(shell)
    assert not change.do(shell)
    (tmp_path / "files").write_text("")
    change = ReloadUnits(HOST, FENCE, present=False)
    assert change.do(shell)
    assert not change.do(shell)
    assert asked(tmp_path) == ["daemon-reload", "daemon-reload"]


def test_a_drop_in_with_a_longer_name_is_another(tmp_path: Path) -> None:
    shell = systemctl(tmp_path, RELOADS)
    (tmp_path / "seen").write_text(f"{FENCE}.conf /x{FENCE}")
    (tmp_path / "files").touch()
    assert not ReloadUnits(HOST, FENCE, present=False).do(shell)


def test_files_that_systemd_has_not_read_are_read(tmp_path: Path) -> None:
    shell = systemctl(
        tmp_path,
        f"""case "$*" in
  *DropInPaths*) echo DropInPaths={FENCE};;
  *NeedDaemonReload*) [ -e read ] && echo NeedDaemonReload=no || echo NeedDaemonReload=yes;;
  daemon-reload) touch read;;
esac""",
    )
    assert ReloadUnits(HOST, FENCE, present=True).do(shell)


STARTS = """case $1 in
  show) echo ActiveState=$(cat state);;
  start) echo activating > state; ( sleep 0.3; echo {end} > state ) >/dev/null 2>&1 & ;;
esac"""


def test_start_waits_until_etcd_is_ready(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("inactive")
    shell = systemctl(tmp_path, STARTS.replace("{end}", "active"))
    assert StartEtcd(HOST).do(shell)
    assert asked(tmp_path) == ["reset-failed etcd.service", "start --no-block etcd.service"]
    assert not StartEtcd(HOST).do(shell)


def test_a_start_that_fails_shows_the_log(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("inactive")
    with pytest.raises(ChangeFailed, match="the log says why"):
        StartEtcd(HOST).do(systemctl(tmp_path, STARTS.replace("{end}", "failed")))


def test_a_start_that_hangs_ends_at_its_deadline(tmp_path: Path) -> None:
    """etcd without a quorum: activating, for good."""
    (tmp_path / "state").write_text("inactive")
    with pytest.raises(ChangeFailed, match="the log says why"):
        StartEtcd(HOST, patience=1).do(systemctl(tmp_path, STARTS.replace("{end}", "activating")))


def test_activating_is_not_active(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("activating")
    assert StartEtcd(HOST).do(systemctl(tmp_path, STARTS.replace("{end}", "active")))


def test_enable(tmp_path: Path) -> None:
    shell = systemctl(tmp_path, "case $1 in is-enabled) [ -e on ];; enable) touch on;; esac")
    assert EnableEtcd(HOST).do(shell)
    assert not EnableEtcd(HOST).do(shell)
    assert asked(tmp_path) == ["enable etcd.service"]


@pytest.mark.parametrize("change", [StopEtcd(HOST), StartEtcd(HOST), EnableEtcd(HOST), ReloadUnits(HOST, FORCE, True)])
def test_every_script_is_good_bash(change: Change) -> None:
    done = subprocess.run(["bash", "-n"], input=change.script(), text=True, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "etcd" in change.shown() or "daemon-reload" in change.shown()


def test_after_stop_nothing_runs() -> None:
    found = StopEtcd(HOST).after(facts(0, unit=unit(fenced=True)))
    assert (found.unit.active, found.processes, found.fenced) == ("inactive", (), True)
    assert StopEtcd(HOST).after(facts(0, unit=unit(CRASHED))).unit.active == "failed"
    waiting = StopEtcd(HOST).after(facts(0, unit=unit("activating/auto-restart"), processes=()))
    assert waiting.unit.active == "inactive"


def test_after_reload_systemd_knows() -> None:
    fenced = ReloadUnits(HOST, FENCE, True).after(facts(0))
    assert fenced.unit.fenced
    assert ReloadUnits(HOST, FENCE, False).after(fenced) == facts(0)


def test_after_a_plain_start_etcd_runs_unforced() -> None:
    found = StartEtcd(HOST).after(facts(0, unit=unit(STOPPED)))
    assert (found.unit.active, found.forced, len(found.processes)) == ("active", False, 1)
    assert StartEtcd(HOST).after(facts(0, unit=unit(STARTING))).unit.active == "active"


def test_after_a_forced_start_it_is_alone() -> None:
    old = facts(0, unit=unit(STOPPED, forced=True), data=data(0), conf=conf(0))
    found = StartEtcd(HOST).after(old)
    assert found.forced
    assert found.members == members(0)
    assert found.member_id == member(0).id
    assert found.api.answers


def test_a_running_etcd_stays_the_same_process() -> None:
    running = facts(0, processes=(process(started=77),))
    assert StartEtcd(HOST).after(running) == running


def test_a_forced_start_without_known_data_says_nothing_of_members() -> None:
    assert StartEtcd(HOST).after(facts(0, unit=unit(STOPPED, forced=True))).api == DEAF


def test_after_enable_it_starts_at_boot() -> None:
    assert EnableEtcd(HOST).after(facts(0, unit=unit(file_state="disabled"))).unit.file_state == "enabled"
    assert EnableEtcd(HOST).after(emptied(0)) == emptied(0)

"""Changes of the service: their scripts against a stand-in for systemctl, and what they set in the facts.

On a real systemd they are seen by the rehearsals. The script of StopEtcd looks at every process of the machine, which
here is not the tests' own: it is told what holds.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from builders import (
    CRASHED,
    DEAF,
    STARTING,
    STOPPED,
    conf,
    data,
    emptied,
    facts,
    member,
    members,
    name,
    process,
    stopped,
    unit,
)  # fmt: skip
from local_shell import LocalShell, Said, stand_in

from requorum.changes import Change, ChangeFailed, DisableEtcd, EnableEtcd, ReloadUnits, StartEtcd, StopEtcd, service
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


STOPS = """case $1 in
  show) echo ActiveState=$(cat state); echo SubState=stop-sigterm;;
  stop) [ "$2" = --no-block ] || sleep 60;;  # the unit's own TimeoutStopSec, which can be infinity
  kill) [ -e immortal ] || echo failed > state;;
esac"""
SOCKETS = """State    Recv-Q Send-Q Local Address:Port  Peer Address:Port Process
ESTAB    0 0    10.0.0.1:35316 10.0.0.1:2379  users:(("etcd",pid=26,fd=24)) timer:(keepalive,2.140ms,0)
ESTAB    0 126  10.0.0.1:50866 10.0.0.2:2380  users:(("etcd",pid=26,fd=21)) timer:(on,4.472ms,5)
ESTAB    0 90   10.0.0.1:50868 10.0.0.3:2380  users:(("etcd",pid=26,fd=22)) timer:(on,190ms,0)
SYN-SENT 0 1    10.0.0.1:44860 10.0.0.3:2380  users:(("etcd",pid=26,fd=23)) timer:(on,704ms,2)
ESTAB    0 2086 [::1]:2380     [::2]:46716    users:(("etcd",pid=26,fd=16)) timer:(on,888ms,10)
ESTAB    0 44   10.0.0.1:22    10.0.0.9:37772 users:(("sshd",pid=52,fd=4)) timer:(on,888ms,7)
FIN-WAIT-1 0 25 10.0.0.1:57810 10.0.0.3:2380  timer:(on,5.496ms,5)"""
STALLED = [
    "src 10.0.0.1:50866 dst 10.0.0.2:2380",
    "src 10.0.0.1:44860 dst 10.0.0.3:2380",
    "src [::1]:2380 dst [::2]:46716",
]


def stopping(folder: Path, change: StopEtcd, *, ss: str) -> Said:
    """What the script of a stop says on a host whose etcd ends only when `ss` or a kill ends it."""
    shell = systemctl(folder, STOPS)
    (folder / "state").write_text("deactivating")
    (folder / "sockets").write_text(SOCKETS)
    stand_in(folder / "bin", "ss", f"cd {folder}; {ss}")
    return shell.run(f"holds() {{ ! grep -q deact {folder}/state; }}\nact() {{\n{change.act()}\n}}\nact", seconds=30)


def test_a_stop_cuts_what_nobody_acknowledges_and_nothing_else(tmp_path: Path) -> None:
    cuts = 'case $1 in -K*) shift; echo "$*" >> cut; echo "0 1 $2 $4"; echo inactive > state;; *) cat sockets;; esac'
    said = stopping(tmp_path, StopEtcd(HOST), ss=cuts)
    assert (said.exit, said.stderr) == (0, "")
    assert (tmp_path / "cut").read_text().splitlines() == STALLED
    assert said.stdout.splitlines() == ["cut: 10.0.0.1:50866 10.0.0.2:2380", "cut: [::1]:2380 [::2]:46716"]
    assert asked(tmp_path) == ["stop --no-block etcd.service"]


@pytest.mark.parametrize("ss", ["exit 1", "case $1 in -K*) ;; *) cat sockets;; esac"], ids=["no ss", "an old kernel"])
def test_etcd_that_does_not_end_is_killed(tmp_path: Path, ss: str) -> None:
    said = stopping(tmp_path, StopEtcd(HOST, patience=1), ss=ss)
    assert (said.exit, said.stderr) == (0, "")
    assert said.stdout == "etcd has not ended 1 s after SIGTERM: SIGKILL\n"
    assert asked(tmp_path) == ["stop --no-block etcd.service", "kill -s KILL etcd.service"]


def test_etcd_that_no_kill_ends_is_an_error_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "_GONE_SECONDS", 1)
    (tmp_path / "immortal").touch()
    said = stopping(tmp_path, StopEtcd(HOST, patience=1), ss="exit 1")
    assert said.exit == 1
    assert "expected etcd.service stopped and no etcd process 2 s after SIGTERM, found:" in said.stderr
    assert "ActiveState=deactivating SubState=stop-sigterm" in said.stderr
    assert "next: " in said.stderr


def test_a_stop_that_systemd_refuses_ends_at_once(tmp_path: Path) -> None:
    shell = systemctl(tmp_path, "echo no such unit >&2; exit 5")
    said = shell.run(f"holds() {{ return 1; }}\nact() {{\n{StopEtcd(HOST).act()}\n}}\nact", seconds=30)
    assert (said.exit, said.stderr) == (1, "no such unit\n")


def test_disable(tmp_path: Path) -> None:
    shell = systemctl(tmp_path, "case $1 in is-enabled) [ ! -e off ];; disable) touch off;; esac")
    assert DisableEtcd(HOST).do(shell)
    assert not DisableEtcd(HOST).do(shell)
    assert asked(tmp_path) == ["disable etcd.service"]


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


def test_a_survivor_that_was_forced_and_is_down_starts_alone() -> None:
    found = StartEtcd(name(0)).after(stopped(0, data(0, members(0))))
    assert [m.name for m in found.members] == ["m0"]
    assert StartEtcd(name(0)).after(stopped(0)).api.members is None


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

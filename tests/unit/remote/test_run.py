"""One command: its answer whole, its deadline on the host too, and nothing repeated that may have changed something."""

from __future__ import annotations

import hashlib
import os
import pickle
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import paramiko
import pytest
from loopback_sshd import NAME, Sshd, Start, eventually

from requorum.inventory import EtcdHost
from requorum.remote import CommandEnded, ConnectionLost, DeadlinePassed, Remote, RemoteError, SudoRefused, Unreachable
from requorum.remote import script as wire
from requorum.remote.session import open_session

Connect = Callable[[EtcdHost], Remote]

# Climbs from the script to the sshd process of its own connection, and kills it: what a dropped connection is.
CUT = """
pid=$$
while [ "$(cat /proc/$pid/comm)" != sshd ]; do pid=$(awk '/^PPid/ {print $2}' /proc/$pid/status); done
kill -9 $pid
"""


NAP = f"47{os.getpid()}.25"  # seconds; no other test run sleeps as long


def running(marker: str) -> list[int]:
    """The processes that have `marker` as an argument of their own."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                arguments = (folder / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if marker.encode() in arguments:
                found.append(int(folder.name))
    return found


def test_answer(remote: Remote, told: list[CommandEnded]) -> None:
    result = remote.run("echo out; echo err >&2; exit 7")
    assert (result.exit, result.stdout, result.stderr, result.truncated) == (7, "out\n", "err\n", False)
    assert [(e.host, e.command, e.exit, e.stdout, e.stderr, e.change) for e in told] == [
        (NAME, "echo out; echo err >&2; exit 7", 7, "out\n", "err\n", False)
    ]


def test_what_clients_wrote_is_told_by_size_and_digest(remote: Remote, told: list[CommandEnded]) -> None:
    result = remote.run("echo value; echo err >&2", clients_data=True)
    assert (result.stdout, result.stderr) == ("value\n", "err\n")
    digest = hashlib.sha256(b"value\n").hexdigest()
    assert [(e.stdout, e.stderr) for e in told] == [(f"[6 bytes, SHA-256 {digest}]", "err\n")]


@pytest.mark.parametrize(
    "script", ['echo "it\'s $((1+1)) \\\\ `echo x` !"', "cat <<'X'\na 'b' \"c\"\nX", "[[ a == a ]] && echo bash", "if"]
)
def test_scripts_arrive_as_they_are(remote: Remote, script: str) -> None:
    expected = {"if": ""}.get(script)
    if expected is None:
        expected = subprocess.run(["bash", "-c", script], capture_output=True, text=True).stdout
    result = remote.run(script)
    assert result.stdout == expected
    assert (result.exit != 0) == (script == "if")  # a syntax error is the script's own failure


def test_environment(remote: Remote) -> None:
    result = remote.run("echo $LC_ALL; echo $PATH; tty; cat")
    assert result.stdout.startswith("C\n")
    assert ":/usr/local/bin:" in result.stdout
    assert "not a tty" in result.stdout


def test_output_that_is_not_utf8(remote: Remote) -> None:
    result = remote.run(r"printf 'caf\351 \000 \303\251'")
    assert result.stdout == "caf\\xe9 \0 é"
    assert result.stdout_bytes == b"caf\xe9 \0 \xc3\xa9"


def test_much_on_both_streams(remote: Remote) -> None:
    result = remote.run("head -c 3000000 /dev/zero >&2; head -c 5000000 /dev/zero; echo end >&2", seconds=60)
    assert (len(result.stdout_bytes), len(result.stderr_bytes), result.exit) == (5_000_000, 3_000_004, 0)


def test_output_above_the_cap_is_cut_and_says_so(remote: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("requorum.remote.remote.OUTPUT_BYTES", 1000)
    result = remote.run("head -c 5000 /dev/zero")
    assert (len(result.stdout_bytes), result.truncated, result.exit) == (1000, True, 0)


def test_what_is_told_is_capped(remote: Remote, told: list[CommandEnded], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("requorum.remote.remote.SHOWN_BYTES", 10)
    assert len(remote.run("seq 1000").stdout) > 1000
    assert told[0].stdout == "1\n2\n3\n[… 3883 characters left out …]\n1000\n"


def test_stdin(remote: Remote) -> None:
    data = bytes(range(256)) * 20_000
    result = remote.run("sha256sum; echo done", stdin=data, seconds=60)
    assert result.stdout == f"{hashlib.sha256(data).hexdigest()}  -\ndone\n"
    assert remote.run("cat", stdin=b"").stdout == ""
    assert remote.run("head -c 1", stdin=data).stdout_bytes == b"\0"  # a script may leave the rest


def test_long_script_leaves_stdin_to_its_commands(remote: Remote) -> None:
    script = "x=" + "y" * 200_000 + "\necho ${#x}\ncat\n"
    assert remote.run(script, stdin=b"rest").stdout == "200000\nrest"
    assert remote.run(script).stdout == "200000\n"


def test_noise_of_banner_and_profile_is_cut_off(start_sshd: Start, connect_to: Connect, tmp_path: Path) -> None:
    banner = tmp_path / "banner"
    banner.write_text("Authorized use only!\n" * 20)
    server = start_sshd(config=f"Banner {banner}", force="echo noise; printf 'no newline' >&2")
    remote = connect_to(server.host())
    result = remote.run("echo out; echo err >&2")
    assert (result.stdout, result.stderr) == ("out\n", "err\n")
    assert remote.batch({"a": "echo out"})["a"].stdout == "out\n"


def test_deadline_stops_the_command_and_its_children_on_the_host(remote: Remote, told: list[CommandEnded]) -> None:
    began = time.monotonic()
    with pytest.raises(DeadlinePassed, match="within 1 s") as caught:
        remote.run(f"echo before; bash -c 'trap \"\" TERM; sleep {NAP}' & sleep {NAP}", seconds=1)
    assert time.monotonic() - began < 10
    assert caught.value.host == NAME
    assert eventually(lambda: not running(NAP))
    assert [(e.exit, e.stdout) for e in told] == [(124, "before\n")]


def test_command_that_ignores_the_request_to_end_is_killed(remote: Remote) -> None:
    with pytest.raises(DeadlinePassed):
        remote.run(f"trap '' TERM; while :; do sleep {NAP}; done", seconds=0.5)
    assert eventually(lambda: not running(NAP))


def test_exit_code_124_of_the_script_is_its_own(remote: Remote) -> None:
    assert remote.run("exit 124").exit == 124
    assert remote.run("kill -9 $$").exit == 137


def test_read_whose_connection_drops_is_repeated_once(remote: Remote, tmp_path: Path) -> None:
    log = tmp_path / "log"
    script = f"echo x >> {log}; echo half; if [ $(wc -l < {log}) = 1 ]; then {CUT} sleep 5; fi; echo whole"
    assert remote.run(script).stdout == "half\nwhole\n"
    assert log.read_text() == "x\nx\n"


def test_read_that_always_drops_ends(remote: Remote, tmp_path: Path, told: list[CommandEnded]) -> None:
    with pytest.raises(ConnectionLost, match="may or may not have run"):
        remote.run(f"echo x >> {tmp_path / 'log'}; echo half; {CUT} sleep 5")
    assert (tmp_path / "log").read_text() == "x\nx\n"
    assert [event.exit for event in told] == [None]
    assert "half" in told[0].stdout


def test_change_whose_connection_drops_is_never_repeated(
    remote: Remote, tmp_path: Path, told: list[CommandEnded]
) -> None:
    log = tmp_path / "log"
    with pytest.raises(ConnectionLost, match="may or may not have run"):
        remote.run(f"echo x >> {log}; {CUT} sleep 0.5; echo y >> {log}", change=True)
    assert eventually(lambda: log.read_text() == "x\ny\n")  # it went on: unknown is the right word
    assert [(event.exit, event.change) for event in told] == [(None, True)]
    assert remote.run("echo again", change=True).stdout == "again\n"


def test_connection_that_dropped_while_idle_is_opened_again_also_for_a_change(remote: Remote, tmp_path: Path) -> None:
    with pytest.raises(ConnectionLost):
        remote.run(CUT + "sleep 1", change=True)
    assert remote.run(f"echo x >> {tmp_path / 'log'}", change=True).exit == 0
    assert (tmp_path / "log").read_text() == "x\n"


def test_connection_that_drops_before_a_change_is_sent(
    remote: Remote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The session was open: a run that stood still meanwhile said *unknown* of what the host never had."""
    sessions: list[paramiko.Channel] = []

    def open_and_drop(transport: paramiko.Transport, seconds: float) -> paramiko.Channel:
        sessions.append(open_session(transport, seconds))
        if len(sessions) <= drops:
            transport.close()
            assert eventually(lambda: sessions[-1].closed)
        return sessions[-1]

    monkeypatch.setattr("requorum.remote.remote.open_session", open_and_drop)
    drops = 1
    assert remote.run(f"echo x >> {tmp_path / 'log'}", change=True).exit == 0
    assert (tmp_path / "log").read_text() == "x\n"
    drops = 4
    with pytest.raises(Unreachable, match="the command was not sent"):
        remote.run(f"echo y >> {tmp_path / 'log'}", change=True)
    assert (tmp_path / "log").read_text() == "x\n"


def test_host_that_is_gone_when_the_read_is_repeated(start_sshd: Start, connect_to: Connect) -> None:
    server = start_sshd()
    remote = connect_to(server.host())
    remote.connect()
    with pytest.raises(Unreachable, match="refuses"):
        remote.run(f"kill {server.process.pid}; {CUT} sleep 5")


def test_frozen_host_is_not_waited_for_without_end(
    start_sshd: Start, connect_to: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped, not killed: the connection stands and nothing answers, as after a loss of power."""
    monkeypatch.setattr("requorum.remote.remote.GRACE_SECONDS", 0)
    monkeypatch.setattr(wire, "KILL_SECONDS", 1)
    remote = connect_to(start_sshd().host())
    freeze = CUT.replace("kill -9 $pid", "echo $pid; (sleep 4; kill -CONT $pid) >/dev/null 2>&1 & kill -STOP $pid")
    with pytest.raises(ConnectionLost, match="no answer in 2 s"):
        remote.run(freeze, seconds=1)


def test_two_changes_never_run_at_once(
    sshd: Sshd, connect_to: Connect, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(wire, "LOCK", str(tmp_path / "lock"))
    first, second = connect_to(sshd.host()), connect_to(sshd.host())
    log = tmp_path / "log"
    script = f"echo begin >> {log}; sleep 0.3; echo end >> {log}"
    threads = [
        threading.Thread(target=remote.run, args=(script,), kwargs={"change": True}) for remote in (first, second)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert log.read_text() == "begin\nend\n" * 2


def test_change_that_waits_too_long_for_another(
    sshd: Sshd, connect_to: Connect, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    lock = tmp_path / "lock"
    monkeypatch.setattr(wire, "LOCK", str(lock))
    monkeypatch.setattr(wire, "LOCK_SECONDS", 1)
    holder, other = connect_to(sshd.host()), connect_to(sshd.host())
    thread = threading.Thread(target=holder.run, args=(f"touch {tmp_path / 'held'}; sleep 3",), kwargs={"change": True})
    thread.start()
    assert eventually((tmp_path / "held").exists)
    with pytest.raises(RemoteError, match="another change still running") as caught:
        other.run(f"touch {tmp_path / 'no'}", change=True)
    assert str(lock) in caught.value.advice
    assert not (tmp_path / "no").exists()
    assert other.run("echo read").stdout == "read\n"  # a read does not wait
    thread.join()


FAKE_SUDO = """
folder=$(mktemp -d); trap 'rm -r $folder' EXIT
cat > $folder/sudo <<'SUDO'
#!/bin/bash
{body}
SUDO
chmod +x $folder/sudo; PATH=$folder:$PATH /bin/bash -c "$SSH_ORIGINAL_COMMAND"; exit $?
"""
ADMITS = '[ "$1 $2" = "-n --" ] || exit 99; shift 2; RQ_SUDO=yes exec "$@"'


def test_sudo_runs_the_whole_command(start_sshd: Start, connect_to: Connect) -> None:
    remote = connect_to(start_sshd(force=FAKE_SUDO.format(body=ADMITS)).host(sudo=True))
    assert remote.run("cat; echo $RQ_SUDO", stdin=b"in ").stdout == "in yes\n"
    assert remote.run("echo $RQ_SUDO", change=True).stdout == "yes\n"
    assert remote.batch({"a": "echo $RQ_SUDO"})["a"].stdout == "yes\n"


@pytest.mark.parametrize(
    ("said", "advice"),
    [
        ("sudo: a password is required", "NOPASSWD"),
        ("sudo: sorry, you must have a tty to run sudo", "!requiretty"),
        ("Sorry, user etcd is not allowed to execute '/bin/bash' as root on etcd-0.", "NOPASSWD"),
        ("bash: line 1: sudo: command not found", "install sudo"),
        ("sh: 1: sudo: not found", "install sudo"),
    ],
)
def test_sudo_that_refuses(start_sshd: Start, connect_to: Connect, said: str, advice: str, tmp_path: Path) -> None:
    remote = connect_to(start_sshd(force=FAKE_SUDO.format(body=f'echo "{said}" >&2; exit 1')).host(sudo=True))
    with pytest.raises(SudoRefused, match=advice) as caught:
        remote.run(f"touch {tmp_path / 'no'}")
    assert caught.value.found == said
    assert not (tmp_path / "no").exists()
    with pytest.raises(SudoRefused):
        remote.batch({"a": "true"})


def test_login_shell_that_lets_nobody_in(start_sshd: Start, connect_to: Connect) -> None:
    remote = connect_to(start_sshd(force="echo This account is currently not available.; exit 1").host())
    with pytest.raises(RemoteError, match="This account is currently not available") as caught:
        remote.run("true")
    assert type(caught.value) is RemoteError


def test_secrets_are_not_told(remote: Remote, told: list[CommandEnded]) -> None:
    remote.run("echo --user root:hunter2; echo ETCD_INITIAL_CLUSTER_TOKEN=etcd-cluster-1")
    assert "hunter2" not in told[0].command + told[0].stdout
    assert "etcd-cluster-1" in told[0].stdout


def test_more_commands_than_sessions(remote: Remote) -> None:
    results: list[int] = []
    threads = [threading.Thread(target=lambda: results.append(remote.run("sleep 0.2").exit)) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [0] * 20


def test_interrupt_is_told_as_unknown(remote: Remote, told: list[CommandEnded]) -> None:
    remote.connect()
    timer = threading.Timer(0.7, signal.raise_signal, (signal.SIGINT,))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        remote.run("echo before; sleep 2")
    assert [(event.exit, event.stderr) for event in told] == [(None, "KeyboardInterrupt")]


def test_errors_cross_process_borders() -> None:
    error = SudoRefused("h", expected="e", found="f", advice="a")
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy)) == (SudoRefused, "h: expected e; found f. Next: a")

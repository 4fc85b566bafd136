"""Nothing is trusted on first use, and what stops says what to compare and how to go on."""

from __future__ import annotations

import pickle
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from loopback_sshd import NAME, Sshd, Start, fingerprint, keygen, public

from requorum.facts.host import Silent
from requorum.inventory import EtcdHost
from requorum.remote import ChangedHostKey, Remote, UnknownHostKey
from requorum.remote.known_hosts import lookup
from requorum.survey import Surveyor

Connect = Callable[[EtcdHost], Remote]


def trust(advice: str) -> None:
    """Type what the advice tells the operator to type."""
    subprocess.run(["sh", "-c", advice.split("if it is the same: ")[1]], check=True, capture_output=True)


def test_unknown_key_stops_and_the_command_given_trusts_it(sshd: Sshd, connect_to: Connect, tmp_path: Path) -> None:
    known = tmp_path / "known"
    known.touch()
    with pytest.raises(UnknownHostKey) as caught:
        connect_to(sshd.host(known_hosts=known)).run("true")
    error = caught.value
    assert error.host == NAME
    assert fingerprint(sshd.host_key) in error.found
    assert str(known) in error.expected
    trust(error.advice)
    assert connect_to(sshd.host(known_hosts=known)).run("echo in").stdout == "in\n"


def test_changed_key_stops_and_the_command_given_replaces_it(sshd: Sshd, connect_to: Connect, tmp_path: Path) -> None:
    known, other = tmp_path / "known", keygen(tmp_path / "other")
    known.write_text(f"[127.0.0.1]:{sshd.port} {public(other)}\n")
    with pytest.raises(ChangedHostKey) as caught:
        connect_to(sshd.host(known_hosts=known)).run("true")
    error = caught.value
    assert "line 1" in error.expected
    assert error.found == f"the ssh-ed25519 key {fingerprint(sshd.host_key)}, where {fingerprint(other)} is known"
    trust(error.advice)
    connect_to(sshd.host(known_hosts=known)).connect()


def through_jump(home: Path, jump: Sshd, known: Path) -> None:
    """The host is reached through a jump host, whose key is looked for in `known`."""
    (home / ".ssh/config").write_text(
        f"Host {NAME}\n  ProxyJump jump\nHost jump\n  HostName 127.0.0.1\n  Port {jump.port}\n"
        f"  IdentityFile {jump.user_key}\n  UserKnownHostsFile {known}\n"
    )


@pytest.mark.parametrize("changed", [False, True], ids=["unknown", "changed"])
def test_the_key_of_a_jump_host_is_told_as_its_own(
    sshd: Sshd, start_sshd: Start, connect_to: Connect, operator_home: Path, tmp_path: Path, changed: bool
) -> None:
    """Compared on the host's console, it would never be the same."""
    known, jump = tmp_path / "known", start_sshd()
    known.write_text(f"[127.0.0.1]:{jump.port} {public(keygen(tmp_path / 'other'))}\n" if changed else "")
    through_jump(operator_home, jump, known)
    with pytest.raises(ChangedHostKey if changed else UnknownHostKey) as caught:
        connect_to(sshd.host()).run("true")
    error = caught.value
    whose = f"the jump host jump (127.0.0.1 port {jump.port}), on the way to {NAME}, shows the ssh-ed25519 key "
    assert (error.host, error.jump) == (NAME, True)
    assert error.found.startswith(f"{whose}{fingerprint(jump.host_key)}")
    assert "compare it on the console of jump with" in error.advice
    assert pickle.loads(pickle.dumps(error)).jump  # under xdist it comes from a worker
    trust(error.advice)
    assert connect_to(sshd.host()).run("echo in").stdout == "in\n"


def test_a_host_behind_a_jump_host_of_another_key_is_said_to_be_behind_it(
    sshd: Sshd, start_sshd: Start, operator_home: Path, tmp_path: Path
) -> None:
    """Nothing is known of the host: neither that it answers, nor that it is lost."""
    known, jump = tmp_path / "known", start_sshd()
    known.touch()
    through_jump(operator_home, jump, known)
    found = Surveyor({NAME: Remote(sshd.host(), connect_seconds=5)}, "/backup").one_or_silent(NAME)
    assert isinstance(found, Silent)
    assert (found.alive, found.answers) == (True, "is behind a jump host that answers")
    assert found.reason.startswith("the jump host jump (")


def test_the_key_of_a_host_behind_a_jump_host_is_its_own(
    sshd: Sshd, start_sshd: Start, connect_to: Connect, operator_home: Path, tmp_path: Path
) -> None:
    known, jump = tmp_path / "known", start_sshd()
    known.touch()
    through_jump(operator_home, jump, jump.known_hosts)
    with pytest.raises(UnknownHostKey) as caught:
        connect_to(sshd.host(known_hosts=known)).run("true")
    assert (caught.value.jump, caught.value.found.startswith("the ssh-ed25519 key")) == (False, True)


def test_revoked_key_stops(sshd: Sshd, connect_to: Connect, tmp_path: Path) -> None:
    known = tmp_path / "known"
    known.write_text(f"@revoked * {public(sshd.host_key)}\n")
    with pytest.raises(ChangedHostKey, match="revoked"):
        connect_to(sshd.host(known_hosts=known)).connect()


def test_the_name_decides_before_the_address(sshd: Sshd, connect_to: Connect, tmp_path: Path) -> None:
    """The address has gone to another host whose key is known too: it must not pass for the one that was meant."""
    known = tmp_path / "known"
    other = keygen(tmp_path / "other")
    known.write_text(f"[127.0.0.1]:{sshd.port} {public(sshd.host_key)}\n[{NAME}]:{sshd.port} {public(other)}\n")
    with pytest.raises(ChangedHostKey):
        connect_to(sshd.host(known_hosts=known)).connect()


@pytest.mark.parametrize("line", ["{name} {key}", "[{name}]:{port} {key}", "*.example.com,!x.example.com {key} note"])
def test_known_by_name(sshd: Sshd, connect_to: Connect, tmp_path: Path, line: str) -> None:
    known = tmp_path / "known"
    known.write_text("# comment\n\n" + line.format(name=NAME, port=sshd.port, key=public(sshd.host_key)) + "\n")
    connect_to(sshd.host(known_hosts=known)).connect()


def test_hashed_entries(sshd: Sshd, connect_to: Connect, tmp_path: Path) -> None:
    known = tmp_path / "known"
    known.write_text(f"[127.0.0.1]:{sshd.port} {public(sshd.host_key)}\n")
    subprocess.run(["ssh-keygen", "-H", "-f", str(known)], check=True, capture_output=True)
    assert "127.0.0.1" not in known.read_text()
    connect_to(sshd.host(known_hosts=known)).connect()


@pytest.mark.parametrize("kind", ["rsa", "ecdsa", "ed25519"])
def test_the_kind_of_key_that_is_known_is_asked_for(
    start_sshd: Start, connect_to: Connect, tmp_path: Path, kind: str
) -> None:
    server = start_sshd(keys=("rsa", "ecdsa", "ed25519"))
    known = tmp_path / "known"
    known.write_text(f"[127.0.0.1]:{server.port} {public(server.folder / f'host_{kind}')}\n")
    connect_to(server.host(known_hosts=known)).connect()


def test_the_operators_own_file_counts_where_the_inventory_names_none(
    sshd: Sshd, connect_to: Connect, operator_home: Path
) -> None:
    (operator_home / ".ssh/known_hosts").write_text(sshd.known_hosts.read_text())
    connect_to(sshd.host(known_hosts=None)).connect()


def test_negated_and_damaged_lines_know_nothing(tmp_path: Path) -> None:
    known = tmp_path / "known"
    known.write_text(
        "!a.example.com,* ssh-ed25519 AAAA\na.example.com ssh-ed25519 not-base64\n@cert-authority * ssh-ed25519 AAAA\n"
        "|1|damaged|hash ssh-ed25519 AAAA\na.example.com\n"
    )
    assert lookup([known], ["a.example.com"], 22) is None
    found = lookup([known], ["b.example.com"], 22)
    assert found is not None
    assert [key.line for key in found.keys] == [1]

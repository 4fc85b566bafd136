"""Ways to a host that fail, with the reason; and ways that ssh_config describes."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from loopback_sshd import NAME, Sshd, Start, eventually, free_port, keygen

from requorum.facts.host import Silent
from requorum.inventory import EtcdHost
from requorum.remote import CommandEnded, NotAdmitted, Remote, RemoteError, Unreachable
from requorum.remote.endpoint import resolve
from requorum.survey import Surveyor

Connect = Callable[[EtcdHost], Remote]


def test_wrong_port(sshd: Sshd, connect_to: Connect, told: list[CommandEnded]) -> None:
    port = free_port()
    with pytest.raises(Unreachable) as caught:
        connect_to(sshd.host(port=port)).run("true")
    assert f"127.0.0.1 port {port} refuses" in caught.value.found
    assert "`port:`" in caught.value.advice
    assert [event.exit for event in told] == [None]  # also what did not begin is told


def test_name_that_does_not_resolve(sshd: Sshd, connect_to: Connect) -> None:
    with pytest.raises(Unreachable, match="does not resolve"):
        connect_to(replace(sshd.host(), address="no-such-host.invalid")).run("true")


def test_a_port_that_accepts_and_says_nothing(sshd: Sshd) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        remote = Remote(sshd.host(port=silent.getsockname()[1]), connect_seconds=1)
        began = time.monotonic()
        with pytest.raises(Unreachable, match="no SSH handshake"):
            remote.connect()
        assert time.monotonic() - began < 5


def test_key_that_is_not_accepted(
    sshd: Sshd, connect_to: Connect, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stranger = keygen(tmp_path / "stranger")
    with caplog.at_level(logging.DEBUG), pytest.raises(NotAdmitted) as caught:
        connect_to(sshd.host(identity_file=stranger)).run("true")
    assert str(stranger) in caught.value.found
    assert f"ssh -p {sshd.port}" in caught.value.advice
    assert isinstance(caught.value, Unreachable)
    assert not [record for record in caplog.records if record.name.startswith("paramiko")]


def test_no_key_at_all(sshd: Sshd, connect_to: Connect) -> None:
    with pytest.raises(NotAdmitted, match="no key to try"):
        connect_to(sshd.host(identity_file=None)).connect()


@pytest.mark.parametrize(
    ("content", "problem"), [(None, "there is no such file"), ("garbage", "is no private key that can be used")]
)
def test_key_file_that_cannot_be_used(
    sshd: Sshd, connect_to: Connect, tmp_path: Path, content: str | None, problem: str
) -> None:
    file = tmp_path / "key"
    if content is not None:
        file.write_text(content)
    with pytest.raises(NotAdmitted, match=problem):
        connect_to(sshd.host(identity_file=file)).connect()


def test_locked_key_and_then_the_agent_that_holds_it(
    start_sshd: Start, connect_to: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = start_sshd()
    locked = keygen(tmp_path / "locked", passphrase="secret")
    (server.folder / "authorized_keys").write_text(Path(f"{locked}.pub").read_text())
    with pytest.raises(NotAdmitted, match="locked with a passphrase: unlock it with ssh-add"):
        connect_to(server.host(identity_file=locked)).connect()
    agent = tmp_path / "agent"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", str(agent)], stdout=subprocess.DEVNULL)
    try:
        assert eventually(agent.exists)
        monkeypatch.setenv("SSH_AUTH_SOCK", str(agent))
        ask = tmp_path / "ask"
        ask.write_text("#!/bin/sh\necho secret\n")
        ask.chmod(0o700)
        environment = {**os.environ, "SSH_ASKPASS": str(ask), "SSH_ASKPASS_REQUIRE": "force", "DISPLAY": ":0"}
        subprocess.run(["ssh-add", str(locked)], check=True, env=environment, capture_output=True)
        connect_to(server.host(identity_file=locked)).connect()
        connect_to(server.host(identity_file=None)).connect()
    finally:
        process.terminate()
        process.wait()


def test_usual_key_files(sshd: Sshd, connect_to: Connect, operator_home: Path) -> None:
    (operator_home / ".ssh/id_ed25519").write_bytes(sshd.user_key.read_bytes())
    connect_to(sshd.host(identity_file=None)).connect()


def test_hosts_that_are_silent_cost_one_deadline_together(sshd: Sshd) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        hosts = [replace(sshd.host(port=port), name=f"host-{i}") for i in range(5)]
        remotes = {host.name: Remote(host, connect_seconds=1) for host in hosts}
        began = time.monotonic()
        found = Surveyor(remotes, "/backup").all()
        assert [type(facts) for facts in found.values()] == [Silent] * 5
        assert time.monotonic() - began < 4


def config(home: Path, text: str) -> None:
    (home / ".ssh/config").write_text(text)


def through_config(sshd: Sshd) -> EtcdHost:
    """The host as an inventory has it that leaves everything to ssh_config."""
    return replace(sshd.host(port=None, identity_file=None, known_hosts=None), address=NAME)


def test_ssh_config_fills_what_the_inventory_leaves_open(sshd: Sshd, connect_to: Connect, operator_home: Path) -> None:
    config(operator_home, "Include more/*.conf\nHost *\n  Port 1\n")
    (operator_home / ".ssh/more").mkdir()
    (operator_home / ".ssh/more/etcd.conf").write_text(
        f"Host etcd-0.*\n  HostName 127.0.0.1\n  Port {sshd.port}\n  IdentityFile {sshd.user_key}\n"
        f"  UserKnownHostsFile {sshd.known_hosts}\n"
    )
    assert connect_to(through_config(sshd)).run("echo in").stdout == "in\n"


def test_the_inventory_wins_over_ssh_config(sshd: Sshd, connect_to: Connect, operator_home: Path) -> None:
    config(operator_home, "Host *\n  HostName 192.0.2.1\n  Port 1\n  IdentityFile /nowhere\n  UserKnownHostsFile /x\n")
    connect_to(sshd.host()).connect()


@pytest.mark.parametrize(
    ("said", "configured", "user"),
    [(None, "  User ops\n", "ops"), ("ada", "  User ops\n", "ada"), (None, "", "root")],
    ids=["ssh_config", "the inventory wins", "nobody says"],
)
def test_who_logs_in(sshd: Sshd, operator_home: Path, said: str | None, configured: str, user: str) -> None:
    config(operator_home, f"Host {NAME}\n{configured}")
    assert resolve(sshd.host(user=said)).user == user


@pytest.mark.parametrize("hops", [1, 2])
def test_proxy_jump(sshd: Sshd, connect_to: Connect, operator_home: Path, hops: int) -> None:
    jump = ",".join(["jump"] * hops)
    config(
        operator_home,
        f"Host {NAME}\n  ProxyJump {jump}\nHost jump\n  HostName 127.0.0.1\n"
        f"Host *\n  HostName 127.0.0.1\n  Port {sshd.port}\n  IdentityFile {sshd.user_key}\n"
        f"  UserKnownHostsFile {sshd.known_hosts}\n",
    )
    remote = connect_to(through_config(sshd))
    assert len(resolve(remote.host).jumps) == hops
    assert remote.run("echo in").stdout == "in\n"


def test_jump_host_that_refuses_is_named(sshd: Sshd, connect_to: Connect, operator_home: Path) -> None:
    config(operator_home, f"Host {NAME}\n  ProxyJump nobody@127.0.0.1:{free_port()}\n")
    with pytest.raises(
        Unreachable, match=r"found the jump host 127\.0\.0\.1 \(.*\), on the way to etcd-0\.example\.com: .* refuses"
    ):
        connect_to(sshd.host()).connect()


def test_target_that_the_jump_host_cannot_reach(sshd: Sshd, connect_to: Connect, operator_home: Path) -> None:
    config(
        operator_home,
        f"Host {NAME}\n  ProxyJump jump\nHost jump\n  HostName 127.0.0.1\n  Port {sshd.port}\n"
        f"  IdentityFile {sshd.user_key}\n  UserKnownHostsFile {sshd.known_hosts}\n",
    )
    with pytest.raises(Unreachable, match="jump host cannot reach"):
        connect_to(sshd.host(port=free_port())).connect()


def test_jump_that_leads_to_itself(sshd: Sshd, connect_to: Connect, operator_home: Path) -> None:
    config(operator_home, "Host *\n  ProxyJump jump\n")
    with pytest.raises(RemoteError, match="may lead to itself"):
        connect_to(sshd.host()).connect()


def test_proxy_command(sshd: Sshd, connect_to: Connect, operator_home: Path, tmp_path: Path) -> None:
    relay = tmp_path / "relay.py"
    relay.write_text(
        "import socket, sys, threading, os\n"
        "s = socket.create_connection((sys.argv[1], int(sys.argv[2])))\n"
        "def up():\n"
        "    while data := os.read(0, 65536): s.sendall(data)\n"
        "threading.Thread(target=up, daemon=True).start()\n"
        "while data := s.recv(65536): os.write(1, data)\n"
    )
    config(operator_home, f"Host {NAME}\n  ProxyCommand python3 {relay} %h %p\n")
    remote = connect_to(sshd.host())
    assert remote.run("echo in").stdout == "in\n"
    remote.close()


def test_proxy_command_that_fails(sshd: Sshd, connect_to: Connect, operator_home: Path) -> None:
    config(operator_home, f"Host {NAME}\n  ProxyCommand false\n")
    with pytest.raises(Unreachable, match="no SSH handshake"):
        connect_to(sshd.host()).connect()


def test_ssh_config_that_makes_no_sense(sshd: Sshd, connect_to: Connect, operator_home: Path) -> None:
    config(operator_home, "Host *\n  Port many\n")
    with pytest.raises(RemoteError, match="ssh_config that can be read"):
        connect_to(sshd.host(port=None)).connect()

"""Testinfra's modules work through a Remote, and only through it."""

from __future__ import annotations

import pytest
import testinfra

import requorum.remote as r
from requorum.remote import CommandEnded, Remote, RemoteError


def test_modules(remote: Remote, told: list[CommandEnded]) -> None:
    host = r.testinfra_host(remote)
    assert host.file("/etc/passwd").exists
    assert host.file("/etc/passwd").user == "root"
    assert "root:" in host.file("/etc/passwd").content_string
    assert not host.file("/no/such file's").exists
    assert host.package("openssh-server").is_installed
    assert not host.service("no-such-service").is_running
    assert host.user("root").uid == 0
    assert host.process.filter(comm="sshd")
    assert host.check_output("echo %s", "it's") == "it's"
    assert host.exists("bash")
    assert all(event.host == remote.name for event in told)
    assert host.backend.get_pytest_id() == f"requorum://{remote.name}"
    assert isinstance(host, testinfra.host.Host)


def test_results(remote: Remote) -> None:
    host = r.testinfra_host(remote)
    result = host.run(r"printf 'caf\351'; echo err >&2; exit 4")
    assert (result.rc, result.stdout, result.stdout_bytes, result.stderr) == (4, "caf\\xe9", b"caf\xe9", "err\n")
    assert host.run("echo é").stdout == "é\n"
    with pytest.raises(AssertionError):
        host.check_output("false")


def test_sudo_never_asks(remote: Remote) -> None:
    backend = r.testinfra_host(remote).backend
    assert backend.get_sudo_command("id -u", None) == "sudo -n -- /bin/sh -c 'id -u'"
    assert backend.get_sudo_command("id -u", "etcd") == "sudo -n -u etcd -- /bin/sh -c 'id -u'"


def test_errors_are_ours(remote: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("requorum.remote.backend.COMMAND_SECONDS", 0.5)
    with pytest.raises(RemoteError, match="to end within"):
        r.testinfra_host(remote).run("sleep 20")

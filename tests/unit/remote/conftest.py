"""Servers to connect to, and an operator's home without settings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from loopback_sshd import Sshd, Start, launch

from requorum.inventory import EtcdHost
from requorum.remote import CommandEnded, Remote


@pytest.fixture(scope="session")
def start_sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Starts servers as `launch` does, and ends them."""
    started: list[Sshd] = []

    def start(**options: object) -> Sshd:
        started.append(launch(tmp_path_factory.mktemp("sshd"), **options))  # type: ignore[arg-type]
        return started[-1]

    yield start
    for server in started:
        server.process.terminate()
        server.process.wait()


@pytest.fixture(scope="session")
def sshd(start_sshd: Start) -> Sshd:
    return start_sshd()


@pytest.fixture(autouse=True)
def operator_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty ~/.ssh and no agent: the machine's own settings stay out."""
    home = tmp_path / "home"
    (home / ".ssh").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return home


@pytest.fixture
def told() -> list[CommandEnded]:
    return []


@pytest.fixture
def connect_to(told: list[CommandEnded]) -> Iterator[Callable[[EtcdHost], Remote]]:
    remotes: list[Remote] = []

    def make(host: EtcdHost) -> Remote:
        remotes.append(Remote(host, connect_seconds=5, on_command=told.append))
        return remotes[-1]

    yield make
    for remote in remotes:
        remote.close()


@pytest.fixture
def remote(sshd: Sshd, connect_to: Callable[[EtcdHost], Remote]) -> Remote:
    return connect_to(sshd.host())

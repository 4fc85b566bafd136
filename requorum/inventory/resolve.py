"""Asks the resolver about every address, all at once and with a deadline. Contacts no host."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from paramiko.config import SSHConfig
from paramiko.ssh_exception import SSHException

from requorum.inventory.address import same_place
from requorum.inventory.model import EtcdHost, Inventory, MasterHost, NodeHost
from requorum.inventory.problem import Problem, printable, shown

_SSH_PORT = 22

_Host = EtcdHost | MasterHost | NodeHost

Resolver = Callable[[str], frozenset[str]]
"""From a name to its addresses; raises OSError where there are none."""


@dataclass(frozen=True, slots=True)
class _Target:
    """What this machine has to resolve to reach a host, and the port there."""

    name: str
    port: int


@dataclass(frozen=True, slots=True)
class _Answer:
    """What came of one question; neither field is set while the resolver is still at it."""

    addresses: frozenset[str] = frozenset()
    fault: str = ""


def ask_system(name: str) -> frozenset[str]:
    """The addresses of a name, as this machine's resolver gives them; OSError where it has none."""
    return frozenset(same_place(str(found[4][0])) for found in socket.getaddrinfo(name, None, type=socket.SOCK_STREAM))


def unresolvable(inventory: Inventory, *, deadline: float = 10.0, ask: Resolver = ask_system) -> tuple[Problem, ...]:
    """A problem for every host whose address does not resolve here, or resolves to that of another host.

    deadline: seconds for all answers together. A host that ssh_config reaches through a jump host or a proxy command
    is not asked about: its name is resolved there. A HostName in ssh_config is asked about instead of the address.
    A lost host need not resolve.
    """
    targets = _targets(inventory)
    answers = _ask_all(sorted({target.name for target in targets.values()}), deadline, ask)
    problems: list[Problem] = []
    earlier: list[_Host] = []
    for host in (*inventory.etcd.hosts, *inventory.beside):
        target = targets.get(host.name)
        if target is None:
            continue
        answer = answers[target.name]
        lost = isinstance(host, EtcdHost) and host.lost
        if not answer.addresses and not lost:  # the name service may have forgotten a host that is given up
            fault = answer.fault or f"no answer from the resolver within {deadline:g} s"
            fix = "correct the name, write an IP address in the field 'address', or add the name to /etc/hosts"
            problems.append(
                Problem(
                    inventory.path,
                    host.line,
                    _field(host),
                    "an address that resolves on this machine",
                    f"{shown(target.name)}: {printable(fault)}",
                    fix,
                )
            )
        for other in earlier:
            same = answer.addresses & answers[targets[other.name].name].addresses
            if same and target.port == targets[other.name].port:
                found = f"{shown(target.name)}, at {min(same)} like {shown(other.name)} in line {other.line}"
                problems.append(
                    Problem(
                        inventory.path,
                        host.line,
                        _field(host),
                        "a machine of its own for every host",
                        found,
                        "correct one of the two addresses, or the name service",
                    )
                )
                break
        earlier.append(host)
    return tuple(problems)


def _field(host: _Host) -> str:
    section = {EtcdHost: "etcd", MasterHost: "masters", NodeHost: "nodes"}[type(host)]
    return f"{section}.hosts[{host.name}].address"


def _ssh_config() -> SSHConfig:
    """The user's ssh_config before the machine's, as ssh reads them: the first value wins."""
    parts: list[str] = []
    for path in (Path.home() / ".ssh/config", Path("/etc/ssh/ssh_config")):
        with contextlib.suppress(FileNotFoundError):
            parts.append(path.read_text(errors="replace"))
    return SSHConfig.from_text("\nHost *\n".join(parts))


def _targets(inventory: Inventory) -> dict[str, _Target]:
    """By host, what this machine has to resolve; hosts whose name another machine resolves are left out."""
    hosts = (*inventory.etcd.hosts, *inventory.beside)
    targets: dict[str, _Target] = {}
    try:
        config = _ssh_config()
        for host in hosts:
            found = config.lookup(host.address)
            if found.get("proxyjump", "none") == "none" and (found.get("proxycommand") or "none") == "none":
                targets[host.name] = _Target(found["hostname"], host.ssh.port or int(found.get("port", _SSH_PORT)))
        return targets
    except (OSError, RuntimeError, ValueError, KeyError, ImportError, SSHException):
        # What is wrong with ssh_config is told by the connection that needs it; names can be asked about without it.
        return {host.name: _Target(host.address, host.ssh.port or _SSH_PORT) for host in hosts}


def _ask_all(names: list[str], deadline: float, ask: Resolver) -> dict[str, _Answer]:
    """Daemon threads: the resolver's own waiting (minutes, with the name server gone) must not hold up the end."""
    answers = {name: _Answer() for name in names}

    def one(name: str) -> None:
        try:
            answers[name] = _Answer(addresses=ask(name))
        except (OSError, UnicodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else None
            answers[name] = _Answer(fault=reason or str(error) or "no answer")

    threads = [threading.Thread(target=one, args=(name,), daemon=True) for name in names]
    for thread in threads:
        thread.start()
    ends = time.monotonic() + deadline
    for thread in threads:
        thread.join(max(0.0, ends - time.monotonic()))
    return dict(answers)

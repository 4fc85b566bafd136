"""Where and how to log in: the inventory's settings, filled up from ssh_config (ssh_config(5))."""

from __future__ import annotations

import getpass
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import paramiko

from requorum.inventory.model import Ssh
from requorum.remote.errors import RemoteError
from requorum.remote.known_hosts import DEFAULT_FILES

USER_CONFIG = Path("~/.ssh/config")
SYSTEM_CONFIG = Path("/etc/ssh/ssh_config")
DEFAULT_IDENTITIES = (Path("~/.ssh/id_ed25519"), Path("~/.ssh/id_ecdsa"), Path("~/.ssh/id_rsa"))
DEFAULT_USER = "root"  # unlike ssh, which takes the name of whoever runs it: most commands need root
MAX_INCLUDES = 16  # OpenSSH's own limit on nested Include
MAX_JUMPS = 8


class Host(Protocol):
    """A host as the inventory declares it: `EtcdHost`, `MasterHost`, `NodeHost`."""

    @property
    def name(self) -> str:
        """Its name in the inventory."""

    @property
    def address(self) -> str:
        """What to connect to: an IP address or a name."""

    @property
    def ssh(self) -> Ssh:
        """How to log in."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One sshd, and all that is needed to log in to it; `host` is its name in the inventory, or in ssh_config.

    `names` are what its key may be known under, in the order in which they are looked up. `identities` are key files
    to try before the agent's; with `only_identities` nothing else is tried. `jumps` are passed through first.
    """

    host: str
    address: str
    port: int
    user: str
    names: tuple[str, ...]
    known_hosts: tuple[Path, ...]
    identities: tuple[Path, ...]
    only_identities: bool
    proxy_command: str | None = None
    jumps: tuple[Endpoint, ...] = ()


def _lines(file: Path, depth: int) -> Iterator[str]:
    """The file's lines with its Includes in their places, which paramiko's parser does not know."""
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        match = re.fullmatch(r"\s*include(?:\s*=\s*|\s+)(.+?)\s*", line, re.IGNORECASE)
        if match is None:
            yield line
            continue
        if depth >= MAX_INCLUDES:
            raise OSError(f"{file}: Include is nested more than {MAX_INCLUDES} times")
        home = USER_CONFIG.expanduser().parent
        for pattern in shlex.split(match.group(1)):
            # A relative pattern belongs to ~/.ssh, or to /etc/ssh in the system's file.
            path = Path(pattern).expanduser()
            folder = file.parent if file.parent == SYSTEM_CONFIG.parent else home
            where = folder / path
            for included in sorted(where.parent.glob(where.name)):
                yield from _lines(included, depth + 1)


def _config(host: Host) -> paramiko.SSHConfig:
    """What the inventory says, then both files, the user's first: the first value wins, also for `Match` and ``%h``."""
    texts = [f"Host {host.name} {host.address}"]
    if host.ssh.user is not None:
        texts.append(f"User {host.ssh.user}")
    if host.address != host.name:
        texts.append(f"HostName {host.address}")
    if host.ssh.port is not None:
        texts.append(f"Port {host.ssh.port}")
    for file in (USER_CONFIG.expanduser(), SYSTEM_CONFIG):
        if file.is_file():
            texts += ["Host *", *_lines(file, 0)]
    return paramiko.SSHConfig.from_text("\n".join(texts))


@dataclass(frozen=True, slots=True)
class _Settings:
    """ssh_config's answers for the names of one host; the first name that has one wins."""

    found: tuple[paramiko.SSHConfigDict, ...]

    def get(self, key: str) -> str | None:
        for settings in self.found:
            value = settings.get(key)
            if isinstance(value, str):
                return value
        return None

    def port(self) -> int | None:
        value = self.get("port")
        return None if value is None else int(value)

    def identities(self) -> tuple[Path, ...]:
        files = [file for settings in self.found for file in settings.get("identityfile") or ()]
        return tuple(Path(file).expanduser() for file in dict.fromkeys(files) if file.lower() != "none")

    def known_hosts(self) -> tuple[Path, ...]:
        user, everyone = self.get("userknownhostsfile"), self.get("globalknownhostsfile")
        return (
            *(map(Path, shlex.split(user)) if user else DEFAULT_FILES[:2]),
            *(map(Path, shlex.split(everyone)) if everyone else DEFAULT_FILES[2:]),
        )


def _split_jump(jump: str) -> tuple[str | None, str, int | None]:
    """``[user@]host[:port]`` or ``ssh://…``, as ProxyJump has it."""
    match = re.fullmatch(r"(?:ssh://)?(?:(.+)@)?(?:\[([^]]+)]|([^:@]+))(?::(\d+))?/?", jump.strip())
    if match is None:
        raise ValueError(f"ProxyJump {jump!r} is not [user@]host[:port]")
    user, bracketed, plain, port = match.groups()
    return user, bracketed or plain, None if port is None else int(port)


def _jump(config: paramiko.SSHConfig, jump: str, depth: int) -> tuple[Endpoint, ...]:
    user, name, port = _split_jump(jump)
    if depth >= MAX_JUMPS:
        raise ValueError(f"ProxyJump leads through more than {MAX_JUMPS} hosts: {name} may lead to itself")
    settings = _Settings((config.lookup(name),))
    address = settings.get("hostname") or name
    endpoint = Endpoint(
        host=name,
        address=address,
        port=port or settings.port() or 22,
        user=user or settings.get("user") or getpass.getuser(),
        names=tuple(filter(None, dict.fromkeys((settings.get("hostkeyalias"), name, address)))),
        known_hosts=settings.known_hosts(),
        identities=settings.identities(),
        only_identities=settings.get("identitiesonly") == "yes",
        proxy_command=settings.get("proxycommand"),
    )
    return (*_jumps(config, settings, depth + 1), endpoint)


def _jumps(config: paramiko.SSHConfig, settings: _Settings, depth: int) -> tuple[Endpoint, ...]:
    value = settings.get("proxyjump")
    if value is None or value.lower() == "none":
        return ()
    first, *rest = value.split(",")
    # Only the first of a chain may itself need a jump: the others are reached from the one before.
    chain = list(_jump(config, first, depth))
    for jump in rest:
        chain.append(_jump(config, jump, depth)[-1])
    return tuple(chain)


def resolve(host: Host) -> Endpoint:
    """All that is needed to log in to a host of the inventory.

    What the inventory says wins. The rest comes from ssh_config, read for the host's name and then for its address.
    With an identity_file in the inventory only that key is tried; with a known_hosts only that file counts.

    Raises RemoteError where ssh_config cannot be read or makes no sense.
    """
    try:
        config = _config(host)
        settings = _Settings(tuple(config.lookup(name) for name in dict.fromkeys((host.name, host.address))))
        address = settings.get("hostname") or host.address
        ssh = host.ssh
        identity, known = ssh.identity_file, ssh.known_hosts
        return Endpoint(
            host=host.name,
            address=address,
            port=settings.port() or 22,
            user=settings.get("user") or DEFAULT_USER,
            names=tuple(filter(None, dict.fromkeys((settings.get("hostkeyalias"), host.name, address)))),
            known_hosts=settings.known_hosts() if known is None else (known,),
            identities=settings.identities() if identity is None else (identity.expanduser(),),
            only_identities=identity is not None or settings.get("identitiesonly") == "yes",
            proxy_command=settings.get("proxycommand"),
            jumps=_jumps(config, settings, 0),
        )
    except (OSError, ValueError, KeyError, ImportError, paramiko.SSHException) as error:
        # ImportError: `Match exec` needs a package (invoke) that we do without
        raise RemoteError(
            host.name,
            expected="an ssh_config that can be read",
            found=f"{type(error).__name__}: {error}",
            advice=f"correct {USER_CONFIG} or {SYSTEM_CONFIG}; `ssh -G {host.name}` shows how ssh reads them",
        ) from None

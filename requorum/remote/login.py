"""Logging in with a key: those of the inventory and of ssh_config first, then the agent's, then the usual files."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import paramiko
from cryptography.exceptions import UnsupportedAlgorithm
from paramiko.pkey import UnknownKeyType

from requorum.remote.endpoint import DEFAULT_IDENTITIES, Endpoint
from requorum.remote.errors import NotAdmitted
from requorum.remote.known_hosts import fingerprint


@dataclass(frozen=True, slots=True)
class _Offer:
    """A key to try, or why it cannot be; `name` tells the reader which it is."""

    name: str
    key: paramiko.PKey | None
    problem: str = ""


def _public_half(file: Path) -> bytes | None:
    """The public key beside a private one: how the agent's copy of a locked key is found."""
    try:
        return base64.b64decode(Path(f"{file}.pub").read_text(encoding="utf-8").split()[1])
    except (OSError, ValueError, IndexError):
        return None


def _load(file: Path) -> _Offer:
    try:
        return _Offer(str(file), paramiko.PKey.from_path(file))
    except FileNotFoundError:
        problem = "there is no such file"
    except OSError as error:
        problem = f"cannot be read ({error.strerror})"
    except (paramiko.PasswordRequiredException, TypeError):
        # cryptography reports a missing passphrase as a TypeError
        problem = "is locked with a passphrase: unlock it with ssh-add"
    except (paramiko.SSHException, UnknownKeyType, ValueError, UnsupportedAlgorithm) as error:
        problem = f"is no private key that can be used ({error or type(error).__name__})"
    return _Offer(str(file), None, problem)


def _offers(endpoint: Endpoint, agent: paramiko.Agent) -> Iterator[_Offer]:
    held = {key.asbytes(): key for key in agent.get_keys()}
    files = endpoint.identities or (() if endpoint.only_identities else DEFAULT_IDENTITIES)
    explicit = bool(endpoint.identities)

    def from_file(file: Path) -> _Offer:
        public = _public_half(file)
        mine = held.pop(public, None) if public else None
        return _Offer(f"{file} (by the agent)", mine) if mine else _load(file)

    def from_agent() -> Iterator[_Offer]:
        if not endpoint.only_identities:
            for blob, key in list(held.items()):
                yield _Offer(f"{key.comment or key.get_name()} {fingerprint(blob)} (by the agent)", key)

    if explicit:
        yield from map(from_file, files)
        yield from from_agent()
    else:
        yield from from_agent()
        yield from map(from_file, (file for file in (path.expanduser() for path in files) if file.exists()))


def log_in(endpoint: Endpoint, transport: paramiko.Transport) -> None:
    """Prove who we are to a host whose key has been checked.

    Raises NotAdmitted with every key that was tried and what became of it.
    """
    agent = paramiko.Agent()
    tried: list[str] = []
    try:
        for offer in _offers(endpoint, agent):
            if offer.key is None:
                tried.append(f"{offer.name} {offer.problem}")
                continue
            try:
                needed = transport.auth_publickey(endpoint.user, offer.key)
            except paramiko.BadAuthenticationType as error:
                tried.append(f"the host wants {', '.join(error.allowed_types)}, which is not a key")
                break
            except (paramiko.SSHException, EOFError, OSError) as error:
                tried.append(f"{offer.name} was refused ({error or type(error).__name__})")
                if not transport.is_active():
                    tried.append("then the host hung up")
                    break
                continue
            if transport.is_authenticated():
                return
            tried.append(f"{offer.name} was accepted, but the host also wants {', '.join(needed)}")
    except paramiko.SSHException as error:
        tried.append(f"the agent did not answer as one ({error})")
    finally:
        agent.close()
    banner = transport.get_banner()
    said = f"; the host says: {banner.decode(errors='replace').strip()}" if banner else ""
    raise NotAdmitted(
        endpoint.host,
        expected=f"a login as {endpoint.user} at {endpoint.address} port {endpoint.port} with a key",
        found=("; ".join(tried) or "no key to try: no agent, no identity_file, nothing in ~/.ssh") + said,
        advice=f"check `user:` and `identity_file:` in the inventory, and try"
        f" `ssh -p {endpoint.port} {endpoint.user}@{endpoint.address} true`",
    )

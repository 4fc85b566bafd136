"""The host keys that this machine knows: OpenSSH's known_hosts files, read strictly (sshd(8), SSH_KNOWN_HOSTS)."""

from __future__ import annotations

import base64
import binascii
import fnmatch
import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

DEFAULT_FILES = (
    Path("~/.ssh/known_hosts"),
    Path("~/.ssh/known_hosts2"),
    Path("/etc/ssh/ssh_known_hosts"),
    Path("/etc/ssh/ssh_known_hosts2"),
)


@dataclass(frozen=True, slots=True)
class KnownKey:
    """One line of a known_hosts file that names a host: its key type, the key's bytes, and where it was read."""

    type: str
    blob: bytes
    revoked: bool
    file: Path
    line: int


@dataclass(frozen=True, slots=True)
class KnownKeys:
    """The keys known for `name`, as it stands in the files: ``host``, or ``[host]:port`` off port 22."""

    name: str
    keys: tuple[KnownKey, ...]


def fingerprint(blob: bytes) -> str:
    """The key's fingerprint as `ssh-keygen -l` shows it: ``SHA256:…``."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def with_port(name: str, port: int) -> str:
    """The host as known_hosts files name it."""
    return name if port == 22 else f"[{name}]:{port}"


def _matches(patterns: str, name: str) -> bool:
    if patterns.startswith("|1|"):
        salt, _, digest = patterns[3:].partition("|")
        try:
            expected, key = base64.b64decode(digest), base64.b64decode(salt)
        except binascii.Error:
            return False
        return hmac.compare_digest(hmac.new(key, name.encode(), hashlib.sha1).digest(), expected)
    found = False
    for pattern in patterns.lower().split(","):
        # Only * and ? are wildcards in these files; a [ begins a host with a port.
        glob = pattern.removeprefix("!").replace("[", "[[]")
        if fnmatch.fnmatchcase(name, glob):
            if pattern.startswith("!"):
                return False
            found = True
    return found


def _keys(file: Path, name: str) -> Iterable[KnownKey]:
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return  # the default files need not exist; the inventory has checked the one it names
    for number, line in enumerate(lines, start=1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        marker = words.pop(0) if words[0].startswith("@") else ""
        # Host certificates are not supported: a line for a CA says nothing about the host's own key.
        if marker not in ("", "@revoked") or len(words) < 3 or not _matches(words[0], name):
            continue
        try:
            blob = base64.b64decode(words[2], validate=True)
        except binascii.Error:
            continue  # as OpenSSH does: a damaged line names no key, and a host without one is refused
        yield KnownKey(words[1], blob, marker == "@revoked", file, number)


def lookup(files: Iterable[Path], names: Iterable[str], port: int) -> KnownKeys | None:
    """The keys known for the first of `names` that has any; None where none has.

    The first name that is known decides alone, as OpenSSH's HostKeyAlias does: when an address has gone to another
    host whose key is known too, that key must not pass for the host that was meant. Off port 22 a line for the bare
    host counts where there is none with the port, as in OpenSSH.

    Raises OSError where a file is there and cannot be read.
    """
    paths = [file.expanduser() for file in files]
    for name in names:
        for known_as in dict.fromkeys((with_port(name.lower(), port), name.lower())):
            keys = tuple(key for path in paths for key in _keys(path, known_as))
            if keys:
                return KnownKeys(known_as, keys)
    return None

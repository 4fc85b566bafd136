"""The `ssh:` settings, for all hosts or for one, and how the two come together."""

from __future__ import annotations

import base64
import binascii
import stat
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_ssh_private_key

from requorum.inventory.model import Ssh
from requorum.inventory.problem import printable
from requorum.inventory.value import Value

_PUBLIC = (b"ssh-", b"ecdsa-sha2-", b"sk-", b"---- BEGIN SSH2 PUBLIC KEY")
_LARGEST_KEY = 1 << 16


@dataclass(frozen=True, slots=True)
class Login:
    """What one `ssh:` mapping says; None where it says nothing."""

    user: str | None = None
    port: int | None = None
    identity_file: Path | None = None
    known_hosts: Path | None = None
    sudo: bool | None = None

    def over(self, general: Login) -> Ssh:
        """These settings, and the general ones where these say nothing."""
        return Ssh(
            user=self.user or general.user,
            port=self.port or general.port,
            identity_file=self.identity_file or general.identity_file,
            known_hosts=self.known_hosts or general.known_hosts,
            sudo=next((said for said in (self.sudo, general.sudo) if said is not None), False),
        )


def read_login(value: Value | None, folder: Path) -> Login:
    """The settings of an `ssh:` mapping; relative paths start at `folder`."""
    fields = value.fields(("user", "port", "identity_file", "known_hosts", "sudo")) if value else None
    if fields is None:
        return Login()
    user, port, sudo = fields.get("user"), fields.get("port"), fields.get("sudo")
    identity, known = fields.get("identity_file"), fields.get("known_hosts")
    return Login(
        user=_user(user) if user else None,
        port=port.port() if port else None,
        identity_file=_identity(identity, folder) if identity else None,
        known_hosts=_known_hosts(known, folder) if known else None,
        sudo=sudo.truth() if sudo else None,
    )


def behind_forwarding(one: Ssh, other: Ssh) -> bool:
    """Whether one address can stand for two machines: both ports are given, and differ (forwarded ports)."""
    return one.port is not None and other.port is not None and one.port != other.port


def read_path(value: Value, folder: Path, expected: str, fix: str) -> Path | None:
    """A path to a regular file on this machine that can be read: `~` stands for a home, else relative to `folder`."""
    text = value.text(expected)
    if text is None:
        return None
    try:
        path = folder / Path(text).expanduser()
        mode = path.stat().st_mode
        is_regular = stat.S_ISREG(mode)
        if is_regular:  # opening a pipe would wait for its other end
            with path.open("rb") as file:
                file.read(1)
    except RuntimeError:  # expanduser: no such user
        value.complain(expected, "write the whole path")
        return None
    except FileNotFoundError:
        value.complain(expected, fix, f"nothing at {printable(str(path))}")
        return None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        value.complain(expected, fix, f"{printable(str(path))}, which cannot be read ({printable(reason or '')})")
        return None
    if not is_regular:
        value.complain(
            expected, fix, f"{printable(str(path))}, which is {'a folder, ' * stat.S_ISDIR(mode)}no regular file"
        )
        return None
    return path


def _user(value: Value) -> str | None:
    user = value.text("a user name")
    # `anna@corp.example.com` is the name of an account where hosts belong to a domain; root is never in one.
    at_host = user is not None and user.startswith("root@")
    if user is not None and (at_host or user.startswith("-") or any(c.isspace() or c in ":/'\"" for c in user)):
        fix = (
            "write the name that ssh logs in with" + ", without '@' and the host: that is named in etcd.hosts" * at_host
        )
        value.complain("a user name", fix)
        return None
    return user


def _identity(value: Value, folder: Path) -> Path | None:
    expected = "the file of a private key"
    fix = "write the path of a key that the hosts accept; without this field ssh_config, ssh-agent and ~/.ssh are used"
    path = read_path(value, folder, expected, fix)
    if path is None:
        return None
    with path.open("rb") as file:
        data = file.read(_LARGEST_KEY)
    where = printable(str(path))
    if data.startswith(_PUBLIC):
        fix = "name the private half: the same path without .pub"
        value.complain(expected, fix, f"a public key, {where}")
    elif not data.strip():
        value.complain(expected, fix, f"{where}, which is empty")
    elif data.startswith(b"PuTTY-User-Key-File"):
        fix = "name a key of OpenSSH's kind: `puttygen KEY.ppk -O private-openssh -o KEY` makes one"
        value.complain(expected, fix, f"a key of PuTTY's kind, {where}")
    elif not _has_private_key(data):
        value.complain(expected, fix, f"{where}, which holds no private key, or a damaged one")
    else:
        return path
    return None


def _has_private_key(data: bytes) -> bool:
    """Whether there is a private key in it. Nobody is asked for a passphrase: a locked key is one."""
    for load in (load_ssh_private_key, load_pem_private_key):
        try:
            load(data, password=None)
        except ValueError:
            continue
        except (TypeError, UnsupportedAlgorithm):
            return True  # locked, or of a kind that the agent may have (a security key)
        return True
    return False


def _known_hosts(value: Value, folder: Path) -> Path | None:
    expected = "a known_hosts file"
    fix = (
        "write the path of the file with the hosts' keys; without this field ~/.ssh/known_hosts and "
        "/etc/ssh/ssh_known_hosts are used"
    )
    path = read_path(value, folder, expected, fix)
    if path is None:
        return None
    lines = [line for line in path.read_bytes().splitlines() if line.strip() and not line.lstrip().startswith(b"#")]
    if lines and not any(map(_names_key, lines)):
        value.complain(expected, fix, f"{printable(str(path))}, in which no line names the key of a host")
        return None
    return path


def _names_key(line: bytes) -> bool:
    """Whether it is a line of a known_hosts file: hosts, type, key (sshd(8)), perhaps behind a mark such as @revoked."""
    words = line.split()[line.lstrip().startswith(b"@") :]
    try:
        return len(words) > 2 and base64.b64decode(words[2], validate=True)[4:].startswith(words[1])
    except binascii.Error:
        return False

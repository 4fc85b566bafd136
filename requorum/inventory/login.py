"""The `ssh:` settings, for all hosts or for one, and how the two come together."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from pathlib import Path

from requorum.inventory.model import Ssh
from requorum.inventory.problem import printable
from requorum.inventory.value import Value

_PUBLIC = (b"ssh-", b"ecdsa-sha2-", b"sk-", b"---- BEGIN SSH2 PUBLIC KEY")


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


def read_path(value: Value, folder: Path, expected: str, fix: str, *, folders: bool = False) -> Path | None:
    """A path to a regular file on this machine that can be read: `~` stands for a home, else relative to `folder`.

    `folders`: a folder will do, too.
    """
    text = value.text(expected)
    if text is None:
        return None
    try:
        path = folder / Path(text).expanduser()
        mode = path.stat().st_mode
        if folders and stat.S_ISDIR(mode):
            return path
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
        value.complain(expected, fix, f"{printable(str(path))}, which is no regular file")
        return None
    return path


def _user(value: Value) -> str | None:
    user = value.text("a user name")
    if user is not None and (user.startswith("-") or any(char.isspace() or char in ":/'\"" for char in user)):
        value.complain("a user name", "write the name that ssh logs in with")
        return None
    return user


def _identity(value: Value, folder: Path) -> Path | None:
    expected = "the file of a private key"
    fix = "write the path of a key that the hosts accept; without this field ssh_config, ssh-agent and ~/.ssh are used"
    path = read_path(value, folder, expected, fix)
    if path is None:
        return None
    with path.open("rb") as file:
        start = file.read(32)
    if start.startswith(_PUBLIC):
        found = f"a public key, {printable(str(path))}"
        value.complain(expected, "name the private half: the same path without .pub", found)
        return None
    return path


def _known_hosts(value: Value, folder: Path) -> Path | None:
    fix = (
        "write the path of the file with the hosts' keys; without this field ~/.ssh/known_hosts and "
        "/etc/ssh/ssh_known_hosts are used"
    )
    return read_path(value, folder, "a known_hosts file", fix)

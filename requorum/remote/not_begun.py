"""Why a command did not begin on a host, and what to do about it."""

from __future__ import annotations

import re

from requorum.remote import script as wire
from requorum.remote.endpoint import Host
from requorum.remote.errors import RemoteError, SudoRefused

# A missing command behind sudo is not meant: `sudo: flock: command not found`.
_NO_SUDO = re.compile(r"\bsudo: (command )?not found")  # as the login shell says it: bash, dash
_SUDO_SAYS_NO = re.compile(r"^(?!.*command not found).*(sudo|sorry|password)", re.IGNORECASE)


def not_begun(host: str, found: str, advice: str) -> RemoteError:
    """It did not, for this reason."""
    return RemoteError(host, expected="the command to begin", found=found, advice=advice)


def lock_of_another(host: str, found: str) -> RemoteError:
    """The host's lock is that of another run, told in these words."""
    advice = "leave it to that run; when it has ended, run the same command again"
    return RemoteError(host, expected="this run's own lock on the host", found=found, advice=advice)


def still_busy(host: str) -> RemoteError:
    """A change of whichever run has the lock's file, and does not end."""
    found = f"another change still running on this host after {wire.LOCK_SECONDS} s"
    return not_begun(host, found, f"`lslocks -u | grep {wire.LOCK}` on the host shows which; then run the same again")


def why_not_begun(host: Host, exit_code: int, said: str, user: str) -> RemoteError:
    """What the wrapper around it said: sudo, or a shell that lacks something."""
    if host.ssh.sudo and _NO_SUDO.search(said):
        advice = "install sudo there, or log in as root (`user: root`, `sudo: false` under ssh)"
        return SudoRefused(host.name, expected="sudo on the host", found=said, advice=advice)
    if host.ssh.sudo and _SUDO_SAYS_NO.search(said):
        advice = f"allow it: `{user} ALL=(root) NOPASSWD: ALL` in /etc/sudoers.d/, or log in as root"
        if "tty" in said:
            advice = f"`Defaults:{user} !requiretty` in /etc/sudoers.d/: a terminal would mix both outputs"
        expected = f"`sudo -n` to work for {user} without a password"
        return SudoRefused(host.name, expected=expected, found=said, advice=advice)
    advice = f"log in as {user} by hand: bash, timeout and flock must be there, the shell a POSIX one"
    return not_begun(host.name, f"exit code {exit_code} before it: {said}", advice)

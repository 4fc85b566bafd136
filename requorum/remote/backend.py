"""Testinfra on our connections: its modules run their commands through `Remote`, and nowhere else.

It derives from testinfra's base, not from its paramiko backend: nothing of that one would be left. It hangs on a full
stderr, takes a dropped connection for exit code -1, only warns of unknown host keys and ignores ProxyJump (all seen).
"""

from __future__ import annotations

from testinfra.backend.base import BaseBackend, CommandResult
from testinfra.host import Host

from requorum.remote.remote import Remote
from requorum.remote.result import as_text

COMMAND_SECONDS = 30


class Backend(BaseBackend):
    """A testinfra backend over one `Remote`. For reads: a command whose connection drops is run once more."""

    NAME = "requorum"

    def __init__(self, remote: Remote) -> None:
        super().__init__(remote.name)
        self.remote = remote

    @property
    def encoding(self) -> str:
        """Always UTF-8: the stock backend starts Python on the host to ask."""
        return "utf-8"

    def decode(self, data: bytes) -> str:
        """UTF-8, other bytes escaped: output in another encoding must not end a run."""
        return as_text(data)

    def encode(self, data: str) -> bytes:
        """UTF-8."""
        return data.encode()

    def get_sudo_command(self, command: str, sudo_user: str | None) -> str:
        """For `host.sudo()`: never asks for a password, which would hang."""
        if sudo_user is None:
            return str(self.quote("sudo -n -- /bin/sh -c %s", command))
        return str(self.quote("sudo -n -u %s -- /bin/sh -c %s", sudo_user, command))

    def run(self, command: str, *args: str, **kwargs: object) -> CommandResult:
        """Run one command (`%s` in it are quoted from `args`) and return its result, whatever its exit code.

        Raises the errors of `Remote.run`.
        """
        full = str(self.get_command(command, *args))
        result = self.remote.run(full, seconds=COMMAND_SECONDS)
        return self.result(result.exit, full.encode(), result.stdout_bytes, result.stderr_bytes)


def testinfra_host(remote: Remote) -> Host:
    """Testinfra's view of the host: `.file(…)`, `.service(…)`, `.run(…)`, through `remote`."""
    backend = Backend(remote)
    host = Host(backend)
    backend.set_host(host)
    return host

"""What can go wrong on the way to a host: what was expected, what was found, and what to do next."""

from __future__ import annotations


class RemoteError(Exception):
    """A command on a host did not give an answer that can be used.

    `host` is its name in the inventory; `expected`, `found` and `advice` are for a reader at 3 a.m. `jump`: what was
    found is of a jump host on the way to it.
    Where it is not one of the subclasses, the command did not begin on the host; or it ended with an exit code that
    `fetch` cannot use.
    """

    def __init__(self, host: str, *, expected: str, found: str, advice: str, jump: bool = False) -> None:
        super().__init__(host, expected, found, advice)
        self.host = host
        self.expected = expected
        self.found = found
        self.advice = advice
        self.jump = jump

    def __str__(self) -> str:
        return f"{self.host}: expected {self.expected}; found {self.found}. Next: {self.advice}"

    def __reduce__(self) -> tuple[object, tuple[type[RemoteError], tuple[str, str, str, str], bool]]:
        # Exceptions cross process borders under xdist; the keyword-only arguments need help with that.
        return _rebuild, (type(self), (self.host, self.expected, self.found, self.advice), self.jump)


def _rebuild(kind: type[RemoteError], fields: tuple[str, str, str, str], jump: bool) -> RemoteError:
    host, expected, found, advice = fields
    return kind(host, expected=expected, found=found, advice=advice, jump=jump)


class Unreachable(RemoteError):
    """No connection: the name does not resolve, or the port refuses, is silent or has no route. Nothing was sent."""


class NotAdmitted(Unreachable):
    """The host is there, and lets none of our keys in. Nothing was run."""


class UnknownHostKey(RemoteError):
    """No key of this host is known, so it could be anyone. Nothing was sent but the first handshake."""


class ChangedHostKey(RemoteError):
    """The host shows another key than the known one: reinstalled, another machine, or an attack."""


class SudoRefused(RemoteError):
    """The user may not run the command as root without a password. The command did not begin."""


class DeadlinePassed(RemoteError):
    """The command was stopped on the host, with its children, because its time was up. It may have done a part."""


class ConnectionLost(RemoteError):
    """The answer did not arrive. The command may or may not have run: its outcome is unknown."""

"""A script that lives as long as a connection: the holder of a host's lock."""

from __future__ import annotations

from dataclasses import dataclass

import paramiko

from requorum.remote import script as wire
from requorum.remote.result import as_text
from requorum.remote.session import Marked, Memory, begin

_BYTES = 64 * 1024
_GRACE_SECONDS = 10  # on top of what the script itself may wait for the lock


@dataclass(frozen=True, slots=True)
class Holder:
    """One that has begun; `line` is what it said first, None where it said nothing. It lives while `channel` is kept."""

    channel: paramiko.Channel
    line: str | None
    stderr: str


def begun(channel: paramiko.Channel, script: str, *, sudo: bool) -> Holder:
    """Begin the script, and wait for its first line. Raises SessionLostError, SessionRefusedError."""
    mark, memory, stderr = wire.new_mark(), Memory(_BYTES), Memory(_BYTES)
    stdout, command = Marked(mark, memory), wire.hold(script, mark=mark, sudo=sudo)
    wait = wire.LOCK_SECONDS + _GRACE_SECONDS
    begin(channel, command, stdout=stdout, stderr=stderr, said=lambda: b"\n" in memory.data, seconds=wait)
    line, newline, _ = as_text(memory.data).partition("\n")
    return Holder(channel, line if newline else None, as_text(stderr.data))

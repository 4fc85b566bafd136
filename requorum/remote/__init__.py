"""The one way to a host: commands over SSH with deadlines, strict host keys, and a word to the journal about each."""

from requorum.remote.backend import Backend, testinfra_host
from requorum.remote.errors import (
    ChangedHostKey,
    ConnectionLost,
    DeadlinePassed,
    NotAdmitted,
    RemoteError,
    SudoRefused,
    UnknownHostKey,
    Unreachable,
)
from requorum.remote.here import Here
from requorum.remote.redact import redact
from requorum.remote.remote import Remote
from requorum.remote.result import CommandEnded, OnCommand, Output, Result

__all__ = [
    "Backend",
    "ChangedHostKey",
    "CommandEnded",
    "ConnectionLost",
    "DeadlinePassed",
    "Here",
    "NotAdmitted",
    "OnCommand",
    "Output",
    "Remote",
    "RemoteError",
    "Result",
    "SudoRefused",
    "UnknownHostKey",
    "Unreachable",
    "redact",
    "testinfra_host",
]

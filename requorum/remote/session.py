"""One command on an open connection: both streams at once, with a deadline."""

from __future__ import annotations

import hashlib
import select
import threading
import time
from collections.abc import Callable
from typing import Protocol

import paramiko

CHUNK = 256 * 1024
NOISE_BYTES = 64 * 1024


class SessionLostError(Exception):
    """The answer did not arrive whole; `silent` where the connection seems to stand and the host says nothing.

    `sent`: the host may have the command; where it has not, it is safe to try once more.
    """

    def __init__(self, found: str, *, silent: bool = False, sent: bool = True) -> None:
        super().__init__(found)
        self.silent, self.sent = silent, sent


class SessionRefusedError(Exception):
    """The host did not begin the command, and said so."""


class Sink(Protocol):
    """Where a stream goes."""

    def write(self, data: bytes) -> None:
        """Take the next bytes."""


class Memory:
    """Keeps the first `cap` bytes and drops the rest: a host must not fill our memory."""

    def __init__(self, cap: int) -> None:
        self._cap = cap
        self._parts: list[bytes] = []
        self._size = 0

    def write(self, data: bytes) -> None:
        """Keep what still fits."""
        self._parts.append(data[: max(0, self._cap - self._size)])
        self._size += len(data)

    @property
    def data(self) -> bytes:
        """What was kept."""
        return b"".join(self._parts)

    @property
    def truncated(self) -> bool:
        """Whether more came than was kept."""
        return self._size > self._cap


class Digest:
    """Hands every byte on and hashes it."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write = write
        self._hash = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> None:
        """Hand on, hash, count."""
        self._write(data)
        self._hash.update(data)
        self.size += len(data)

    @property
    def sha256(self) -> str:
        """Of all bytes so far, in hexadecimal."""
        return self._hash.hexdigest()


class Marked:
    """Passes on what follows the mark; what came before is noise: banners, profiles, the wrapper's own errors."""

    def __init__(self, mark: str, sink: Sink) -> None:
        self._mark = f"\n{mark}\n".encode()
        self._sink = sink
        self.noise = b""
        self.began = False

    def write(self, data: bytes) -> None:
        """Look for the mark, or pass on."""
        if self.began:
            self._sink.write(data)
            return
        before, mark, after = (self.noise + data).partition(self._mark)
        self.began = bool(mark)
        self.noise = before[-NOISE_BYTES:]
        if after:
            self._sink.write(after)


def open_session(transport: paramiko.Transport, seconds: float) -> paramiko.Channel:
    """A channel for one command. Nothing was run where it raises SessionLostError or SessionRefusedError."""
    try:
        return transport.open_session(timeout=seconds)
    except paramiko.ChannelException as error:
        raise SessionRefusedError(f"the host opens no more sessions on this connection ({error.text})") from None
    except (paramiko.SSHException, EOFError, OSError) as error:
        raise SessionLostError(
            f"no new session in {seconds:g} s: {error or type(error).__name__}", sent=False
        ) from None


def _send(channel: paramiko.Channel, data: bytes) -> None:
    try:
        channel.sendall(data)
        channel.shutdown_write()
    except (OSError, EOFError, paramiko.SSHException):
        # The script ended without reading all of it, or the connection is gone: the reading side tells which.
        return


def _start(channel: paramiko.Channel, transport: paramiko.Transport, command: str, seconds: float) -> None:
    if channel.closed:
        raise SessionLostError("the connection ended before the command was sent", sent=False)
    # Paramiko waits for the host's word without a deadline; a host without power never gives it.
    watch = threading.Timer(seconds, transport.close)
    watch.daemon = True
    watch.start()
    try:
        channel.exec_command(command)
    except (paramiko.SSHException, EOFError, OSError) as error:
        if transport.is_active():
            raise SessionRefusedError("the host refuses to run a command") from None
        raise SessionLostError(
            f"the connection ended as the command was sent ({error or type(error).__name__})"
        ) from None
    finally:
        watch.cancel()


def _drain(ready: Callable[[], bool], receive: Callable[[int], bytes], sink: Sink) -> None:
    while ready():
        sink.write(receive(CHUNK))


def begin(
    channel: paramiko.Channel, command: str, *, stdout: Sink, stderr: Sink, said: Callable[[], bool], seconds: float
) -> None:
    """Run a command that goes on; returns when `said` holds of its output, or it has ended.

    Raises SessionRefusedError where it did not begin, SessionLostError where nothing came in time.
    """
    transport = channel.get_transport()
    until = time.monotonic() + seconds
    poll = select.poll()
    poll.register(channel.fileno(), select.POLLIN)
    _start(channel, transport, command, seconds)
    while not said():
        left = until - time.monotonic()
        if left <= 0:
            raise SessionLostError(f"no answer in {seconds:g} s", silent=True)
        poll.poll(left * 1000)
        ended = bool(channel.eof_received or channel.closed)
        _drain(channel.recv_ready, channel.recv, stdout)
        _drain(channel.recv_stderr_ready, channel.recv_stderr, stderr)
        if ended:
            return


def execute(
    channel: paramiko.Channel, command: str, stdin: bytes, *, stdout: Sink, stderr: Sink, seconds: float
) -> int:
    """Run `command` on a fresh channel and return its exit code; `seconds` is the last resort, not the host's deadline.

    Raises SessionRefusedError where it did not begin, SessionLostError where its outcome is unknown.
    """
    transport = channel.get_transport()
    until = time.monotonic() + seconds
    poll = select.poll()
    poll.register(channel.fileno(), select.POLLIN)
    try:
        _start(channel, transport, command, seconds)
        if stdin:
            threading.Thread(target=_send, args=(channel, stdin), daemon=True).start()
        ended = False
        while not ended:
            left = until - time.monotonic()
            if left <= 0:
                raise SessionLostError(f"no answer in {seconds:g} s", silent=True)
            poll.poll(left * 1000)
            ended = bool(channel.eof_received or channel.closed)  # looked at before the last bytes are taken
            _drain(channel.recv_ready, channel.recv, stdout)
            _drain(channel.recv_stderr_ready, channel.recv_stderr, stderr)
        if not channel.status_event.wait(max(0.0, until - time.monotonic())):
            raise SessionLostError(f"no exit code in {seconds:g} s", silent=True)
        if channel.exit_status < 0:
            # Also when the host's sshd was stopped or the outermost shell killed: nobody saw the command end.
            raise SessionLostError("the connection ended before the command's exit code came")
        return channel.exit_status
    finally:
        channel.close()

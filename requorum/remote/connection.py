"""One SSH connection: reach the host, prove its key, log in. Nothing is trusted on first use."""

from __future__ import annotations

import base64
import logging
import shlex
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import paramiko

from requorum.remote.endpoint import Endpoint
from requorum.remote.errors import ChangedHostKey, RemoteError, UnknownHostKey, Unreachable
from requorum.remote.known_hosts import KnownKeys, fingerprint, lookup, with_port
from requorum.remote.login import log_in

KEEPALIVE_SECONDS = 15
SILENCE_SECONDS = 30  # after this long without an acknowledgement the kernel gives the connection up

# Paramiko logs tracebacks from its own thread, which Python prints to the terminal and pytest into its reports. The
# same errors reach us as exceptions, and are told in our words. (pytest also listens to loggers that do not propagate.)
logging.getLogger("paramiko").setLevel(logging.CRITICAL)


@dataclass(slots=True)
class Connection:
    """A connection that is logged in, with what it goes through; `close` ends all of it."""

    transport: paramiko.Transport
    through: Connection | None = None
    proxy: subprocess.Popen[bytes] | None = None

    @property
    def user(self) -> str:
        """Who is logged in."""
        return str(self.transport.get_username())

    @property
    def alive(self) -> bool:
        """Whether it still stands, as far as this side knows."""
        return self.transport.is_active()

    def close(self) -> None:
        """End it; safe to call twice."""
        self.transport.close()
        if self.proxy is not None:
            self.proxy.terminate()
            self.proxy.wait()
        if self.through is not None:
            self.through.close()


def _tune(sock: socket.socket) -> None:
    """No waiting for full packets (42 ms a command), and a dead peer is noticed by the kernel."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENCE_SECONDS * 1000)


def _unreachable(endpoint: Endpoint, found: str, advice: str) -> Unreachable:
    where = f"{endpoint.address} port {endpoint.port}"
    return Unreachable(endpoint.host, expected=f"an SSH server at {where}", found=found, advice=advice)


def _dial(endpoint: Endpoint, seconds: float) -> socket.socket:
    where = f"{endpoint.address} port {endpoint.port}"
    console = "is the host up, and is this its address? Look at its console"
    try:
        sock = socket.create_connection((endpoint.address, endpoint.port), timeout=seconds)
    except socket.gaierror as error:
        found = f"the name {endpoint.address!r} does not resolve ({error.strerror})"
        advice = "give the host an `address:` in the inventory, or correct its name"
        raise _unreachable(endpoint, found, advice) from None
    except ConnectionRefusedError:
        found = f"{where} refuses connections"
        advice = "the host is up and no sshd listens there: check `port:` in the inventory, and `systemctl status sshd`"
        raise _unreachable(endpoint, found, advice) from None
    except TimeoutError:
        raise _unreachable(endpoint, f"no answer from {where} in {seconds:g} s", console) from None
    except OSError as error:
        raise _unreachable(endpoint, f"{where}: {error.strerror or error}", console) from None
    _tune(sock)
    return sock


def _run_proxy(endpoint: Endpoint, command: str) -> tuple[socket.socket, subprocess.Popen[bytes]]:
    ours, theirs = socket.socketpair()
    with theirs:
        # Its own session: Ctrl-C in our terminal must not cut the connections while we end in order.
        proxy = subprocess.Popen(
            ["/bin/sh", "-c", f"exec {command}"],
            stdin=theirs.fileno(), stdout=theirs.fileno(), stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
    return ours, proxy


def _prefer_known(transport: paramiko.Transport, known: KnownKeys | None) -> None:
    """Ask for the kinds of key that we know first, so that a host is not refused for showing another of its keys."""
    if known is None:
        return
    ours = {key.type for key in known.keys if not key.revoked}
    options = transport.get_security_options()

    def is_known(kind: str) -> bool:
        return kind in ours or (kind.startswith("rsa-sha2-") and "ssh-rsa" in ours)

    options.key_types = tuple(sorted(options.key_types, key=lambda kind: not is_known(kind)))


def _check_key(endpoint: Endpoint, key: paramiko.PKey, known: KnownKeys | None) -> None:
    blob, kind = key.asbytes(), key.get_name()
    same = [entry for entry in known.keys if entry.blob == blob] if known else []
    if same and not any(entry.revoked for entry in same):
        return
    shown = f"the {kind} key {fingerprint(blob)}"
    own = next((file for file in endpoint.known_hosts), Path("~/.ssh/known_hosts"))
    names = ",".join(dict.fromkeys(with_port(name, endpoint.port) for name in endpoint.names))
    trust = f"echo {shlex.quote(f'{names} {kind} {base64.b64encode(blob).decode()}')} >> {own}"
    keys = "`for k in /etc/ssh/ssh_host_*_key.pub; do ssh-keygen -lf $k; done`"
    check = f"compare it on the console of {endpoint.host} with {keys}"
    if same:
        entry = same[0]
        raise ChangedHostKey(
            endpoint.host,
            expected="a host key that is not revoked",
            found=f"{shown}, revoked in {entry.file} line {entry.line}",
            advice="do not log in: whoever revoked the key knows why; then give the host a new one",
        )
    if known is None or all(entry.type != kind for entry in known.keys):
        others = sorted({entry.type for entry in known.keys}) if known else []
        but = f" (only {', '.join(others)} of it is known)" if others else ""
        raise UnknownHostKey(
            endpoint.host,
            expected=f"a host key known for {names} in {', '.join(map(str, endpoint.known_hosts))}",
            found=f"{shown}, which is not known{but}",
            advice=f"{check}; if it is the same: {trust}",
        )
    entry = next(entry for entry in known.keys if entry.type == kind)
    raise ChangedHostKey(
        endpoint.host,
        expected=f"the {kind} key known for {known.name} from {entry.file} line {entry.line}",
        found=f"{shown}, where {fingerprint(entry.blob)} is known",
        advice=f"was the host reinstalled, or is its address another machine's now? If not, somebody may be listening."
        f" {check}; only if it is the same: ssh-keygen -R {shlex.quote(known.name)} -f {entry.file} && {trust}",
    )


def _shake_hands(endpoint: Endpoint, transport: paramiko.Transport, seconds: float) -> None:
    transport.banner_timeout = transport.handshake_timeout = seconds
    transport.auth_timeout = transport.channel_timeout = seconds
    try:
        known = lookup(endpoint.known_hosts, endpoint.names, endpoint.port)
    except OSError as error:
        raise RemoteError(
            endpoint.host,
            expected="a known_hosts file that can be read",
            found=f"{error.filename}: {error.strerror}",
            advice="make it readable for you, or name another in the inventory (`ssh: {known_hosts: …}`)",
        ) from None
    _prefer_known(transport, known)
    try:
        transport.start_client(timeout=seconds)
        key = transport.get_remote_server_key()  # start_client returns in silence when its time is up; this raises
    except (paramiko.SSHException, EOFError, OSError) as error:
        found = f"no SSH handshake in {seconds:.0f} s: {error or type(error).__name__}"
        advice = "is it sshd that listens there, and is it well? Look at `journalctl -u ssh -u sshd` on the host"
        raise _unreachable(endpoint, found, advice) from None
    _check_key(endpoint, key, known)


def _open_one(endpoint: Endpoint, through: Connection | None, seconds: float) -> Connection:
    began = time.monotonic()
    proxy: subprocess.Popen[bytes] | None = None
    sock: socket.socket | paramiko.Channel
    if through is not None:
        try:
            sock = through.transport.open_channel(
                "direct-tcpip", (endpoint.address, endpoint.port), ("127.0.0.1", 0), timeout=seconds
            )
        except (paramiko.SSHException, EOFError, OSError) as error:
            found = f"the jump host cannot reach {endpoint.address} port {endpoint.port}: {error}"
            raise _unreachable(endpoint, found, "is the host up? Look at it from the jump host") from None
    elif endpoint.proxy_command:
        sock, proxy = _run_proxy(endpoint, endpoint.proxy_command)
    else:
        sock = _dial(endpoint, seconds)
    transport = paramiko.Transport(sock)
    transport.daemon = True
    connection = Connection(transport, through, proxy)
    try:
        _shake_hands(endpoint, transport, max(1.0, seconds - (time.monotonic() - began)))
        log_in(endpoint, transport)
    except BaseException:
        transport.close()
        if proxy is not None:
            proxy.terminate()
            proxy.wait()
        raise
    transport.set_keepalive(KEEPALIVE_SECONDS)
    return connection


@contextmanager
def _telling_whose(jump: Endpoint, endpoint: Endpoint) -> Iterator[None]:
    """What goes wrong at a jump host is told of it, and not of the host to which it leads."""
    try:
        yield
    except RemoteError as error:
        says = ", shows" if isinstance(error, (UnknownHostKey, ChangedHostKey)) else ":"
        whose = f"the jump host {jump.host} ({jump.address} port {jump.port}), on the way to {endpoint.host}"
        raise type(error)(
            endpoint.host,
            expected=error.expected,
            found=f"{whose}{says} {error.found}",
            advice=error.advice,
            jump=True,
        ) from None


def connect(endpoint: Endpoint, seconds: float) -> Connection:
    """A connection to the endpoint, through its jump hosts, logged in.

    `seconds` is the deadline for each of: reaching the host, the handshake, each key that is tried.

    Raises Unreachable, NotAdmitted, UnknownHostKey, ChangedHostKey; RemoteError for files here that cannot be read.
    """
    through: Connection | None = None
    try:
        for jump in endpoint.jumps:
            with _telling_whose(jump, endpoint):
                through = _open_one(jump, through, seconds)
        return _open_one(endpoint, through, seconds)
    except BaseException:
        if through is not None:
            through.close()
        raise

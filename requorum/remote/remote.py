"""The one way to a host: every command of a run goes through `Remote`."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import paramiko

from requorum import hostlock
from requorum.hostlock import Owner
from requorum.remote import script as wire
from requorum.remote.connection import Connection, connect
from requorum.remote.endpoint import Host, resolve
from requorum.remote.errors import ConnectionLost, DeadlinePassed, RemoteError, Unreachable
from requorum.remote.holder import Holder, begun
from requorum.remote.not_begun import lock_of_another, not_begun, still_busy, why_not_begun
from requorum.remote.redact import redact
from requorum.remote.result import CommandEnded, OnCommand, Output, Result, as_text
from requorum.remote.session import (
    Digest,
    Marked,
    Memory,
    SessionLostError,
    SessionRefusedError,
    Sink,
    execute,
    open_session,
)
from requorum.remote.whole_file import whole_file

OUTPUT_BYTES = 64 * 1024 * 1024  # kept of each stream
SHOWN_BYTES = 1024 * 1024  # told of each stream to `on_command`
# At once on a connection. sshd's own limit, MaxSessions, is 10, and it may count the ones just closed (with 8, seen:
# "open failed"), so half of it.
SESSIONS = 5
GRACE_SECONDS = 10  # for the way there and back, on top of the host's own deadline


@dataclass(frozen=True, slots=True)
class _Call:
    """What is to be run: `shown` is told to the journal, `script` is sent."""

    shown: Sequence[str]
    script: str
    mark: str
    seconds: float
    stdin: bytes | None = None
    change: bool = False


@dataclass(frozen=True, slots=True)
class _Answer:
    """An exit code, and how long it took to come."""

    exit: int
    seconds: float


def _shown(text: str) -> str:
    text = redact(text)
    if len(text) <= SHOWN_BYTES:
        return text
    half = SHOWN_BYTES // 2
    return f"{text[:half]}\n[… {len(text) - 2 * half} characters left out …]\n{text[-half:]}"


class Remote:
    """One host. Safe to use from several threads; at most one connection, opened when it is first needed."""

    def __init__(
        self, host: Host, *, connect_seconds: float = 10, on_command: OnCommand | None = None, owner: str = ""
    ) -> None:
        """`connect_seconds` bounds each part of connecting; `on_command` is told of every command, from any thread.

        `owner` is the run's token in the host's lock: no change is made there while the lock is another run's.
        """
        self.host = host
        self.name = host.name
        self._connect_seconds = connect_seconds
        self._on_command = on_command
        self._lock = threading.Lock()
        self._sessions = threading.BoundedSemaphore(SESSIONS)
        self._connection: Connection | None = None
        self._owner = owner
        self._held: Holder | None = None
        self._keeps: Owner | None = None
        self._lost = False

    def connect(self) -> None:
        """Connect unless connected.

        Raises Unreachable, NotAdmitted, UnknownHostKey, ChangedHostKey.
        """
        self._connected()

    def close(self) -> None:
        """End the connection, and with it the hold on the lock; the next command opens another."""
        with self._lock:
            connection, self._connection = self._connection, None
            self._held = self._keeps = None
        if connection is not None:
            connection.close()

    def hold(self, script: str) -> str:
        """Begin a script that lives as long as this connection, and return the line that it says first.

        Raises the errors of `connect`; RemoteError where it says none.
        """
        return self._hold(script, self._fresh_session)

    def _hold(self, script: str, session: Callable[[], paramiko.Channel]) -> str:
        began = time.monotonic()
        try:
            held = begun(session(), script, sudo=self.host.ssh.sudo)
        except (SessionLostError, SessionRefusedError) as error:
            raise not_begun(self.name, str(error), "run the same command again") from None
        self._tell(script, None if held.line is None else 0, time.monotonic() - began, held.line or "", held.stderr)
        if held.line is None:
            raise not_begun(self.name, f"no answer: {held.stderr.strip()}", "run the same command again")
        self._held = held
        return held.line

    def keep_lock(self, owner: Owner) -> None:
        """From now on a connection that takes the place of a lost one holds the host's lock, before anything else.

        Where another run has taken the lock meanwhile, every command raises RemoteError, and none is run.
        """
        self._keeps = owner

    def _hold_again(self, connection: Connection, owner: Owner) -> None:
        """Take the lock again whose holder ended with the connection before this one. Raises RemoteError."""
        answer = self._hold(
            hostlock.claim_again(owner), lambda: open_session(connection.transport, self._connect_seconds)
        )
        word, _, rest = answer.partition(" ")
        if word == hostlock.BUSY:
            raise still_busy(self.name)
        if word != hostlock.TAKEN:
            raise lock_of_another(self.name, hostlock.parse(rest).words)

    def _fresh_session(self) -> paramiko.Channel:
        """A session, on a new connection where the old one died while the operator was asked."""
        connection = self._connected()
        try:
            return open_session(connection.transport, self._connect_seconds)
        except SessionLostError:
            self._drop(connection)
            return open_session(self._connected().transport, self._connect_seconds)

    def run(
        self,
        script: str,
        *,
        seconds: float = 30,
        stdin: bytes | None = None,
        change: bool = False,
        clients_data: bool = False,
    ) -> Result:
        """Run a bash script as root (`sudo: true`) or as the user who logs in, and return what it gave back.

        A non-zero exit code is returned, not raised. After `seconds` the host stops the script and its children.
        A read whose connection drops is repeated once; a change (`change=True`) never, and no two changes run on a
        host at the same time, whoever began them.
        The script can be seen in the host's process list: what is secret goes through `stdin`. What it leaves running
        in the background must not hold its output. Of what may hold values that clients wrote (`clients_data=True`)
        `on_command` is told size and SHA-256: an audit trail is no second copy of every Secret.

        Raises DeadlinePassed; ConnectionLost where the outcome is unknown; SudoRefused, RemoteError and the errors of
        `connect` where the script did not begin.
        """
        call = _Call((script,), script, wire.new_mark(), seconds, stdin, change)
        stdout, stderr = Memory(OUTPUT_BYTES), Memory(OUTPUT_BYTES)

        def sinks() -> tuple[Sink, Sink]:
            nonlocal stdout, stderr
            stdout, stderr = Memory(OUTPUT_BYTES), Memory(OUTPUT_BYTES)
            return stdout, stderr

        def shown() -> tuple[str, str]:
            out = stdout.data
            told = f"[{len(out)} bytes, SHA-256 {sha256(out).hexdigest()}]" if clients_data else as_text(out)
            return told, as_text(stderr.data)

        answer = self._told(call, sinks, shown)
        out, err = stdout.data, stderr.data
        cut = stdout.truncated or stderr.truncated
        return Result(script, answer.exit, as_text(out), as_text(err), round(answer.seconds * 1000), cut, out, err)

    def batch(
        self, commands: Mapping[wire.Key, str], *, seconds: float = 15, together: Collection[wire.Key] = ()
    ) -> dict[wire.Key, Output]:
        """Run all commands at the same time in one round trip; reads only, nothing is written on the host.

        Each is bash, has `seconds` and its own output and exit code; one that hangs costs only its own answer (124).
        Those `together` run one after the other, and have their `seconds` and their cap in common: a command of its own
        costs ten processes. Each stream is cut at 8 MiB, and the Output says so. One alone is run as it is.

        Raises what `run` raises, but DeadlinePassed; ValueError for a command of more than 96 KiB.
        """
        if len(commands) == 1:
            return {key: self._alone(command, seconds) for key, command in commands.items()}
        mark = wire.new_mark()
        small = [key for key in commands if key in together]
        jobs: dict[str, str] = {key: text for key, text in commands.items() if key not in small}
        if small:
            jobs[""] = wire.together([commands[key] for key in small], mark=mark)
        script = wire.batch(tuple(jobs.values()), mark=mark, seconds=seconds)
        # The batch outlives each of its commands, which may take two seconds to be killed.
        call = _Call(tuple(commands.values()), script, mark, seconds + 4)
        stdout = Memory(2 * OUTPUT_BYTES)

        def sinks() -> tuple[Sink, Sink]:
            nonlocal stdout
            stdout = Memory(2 * OUTPUT_BYTES)
            return stdout, Memory(SHOWN_BYTES)

        began = time.monotonic()
        try:
            answer = self._execute(call, sinks)
        except BaseException as error:
            for command in call.shown:
                self._tell(command, None, time.monotonic() - began, "", str(error) or type(error).__name__)
            raise
        answers = wire.frames(stdout.data, tuple(jobs), mark=mark, seconds=seconds)
        if small:
            answers |= wire.apart(answers[""], small, mark=mark)
        outputs = {key: answers[key] for key in commands}
        for key, output in outputs.items():
            self._tell(commands[key], output.exit, answer.seconds, output.stdout, output.stderr)
        return outputs

    def _alone(self, command: str, seconds: float) -> Output:
        try:
            found = self.run(command, seconds=seconds)
        except DeadlinePassed as error:
            return Output(124, "", error.found)
        return Output(found.exit, found.stdout, found.stderr, found.truncated, found.stdout_bytes)

    def fetch(self, script: str, to: Path, *, seconds: float) -> str:
        """Write what the script prints to a local file, and return its SHA-256.

        The file is whole or not there: mode 0600, on disk before it gets its name.

        Raises what `run` raises, RemoteError for a non-zero exit code, OSError where the file cannot be written here.
        """
        call = _Call((script,), script, wire.new_mark(), seconds)
        stderr = Memory(OUTPUT_BYTES)
        with whole_file(to) as file:
            digest = Digest(file.write)

            def sinks() -> tuple[Sink, Sink]:
                nonlocal digest, stderr
                file.seek(0)
                file.truncate()
                digest, stderr = Digest(file.write), Memory(OUTPUT_BYTES)
                return digest, stderr

            def shown() -> tuple[str, str]:
                return f"[{digest.size} bytes, SHA-256 {digest.sha256}, to {to}]", as_text(stderr.data)

            answer = self._told(call, sinks, shown)
            if answer.exit != 0:
                raise RemoteError(
                    self.name,
                    expected=f"exit code 0 from `{redact(script)}`",
                    found=f"exit code {answer.exit}: {redact(as_text(stderr.data)).strip() or 'and no word'}",
                    advice="nothing was kept here; run the command on the host to see more",
                )
        return digest.sha256

    def _tell(
        self, command: str, exit_code: int | None, seconds: float, out: str, err: str, change: bool = False
    ) -> None:
        if self._on_command is not None:
            told = CommandEnded(
                self.name, redact(command), exit_code, round(seconds * 1000), _shown(out), _shown(err), change
            )
            self._on_command(told)

    def _told(
        self, call: _Call, sinks: Callable[[], tuple[Sink, Sink]], shown: Callable[[], tuple[str, str]]
    ) -> _Answer:
        """Execute, tell `on_command` whatever happens, and raise where the host's deadline passed."""
        began = time.monotonic()
        try:
            answer = self._execute(call, sinks)
        except BaseException as error:  # also when we are interrupted: the command may be running
            out, err = shown()
            why = str(error) or type(error).__name__
            self._tell(call.shown[0], None, time.monotonic() - began, out, f"{err}\n{why}".lstrip(), call.change)
            raise
        self._tell(call.shown[0], answer.exit, answer.seconds, *shown(), call.change)
        if answer.exit in (124, 137) and answer.seconds >= call.seconds:
            raise DeadlinePassed(
                self.name,
                expected=f"`{redact(call.shown[0])}` to end within {call.seconds:g} s",
                found="that it did not; the host has stopped it, with its children",
                advice="it may have done a part: look what it changed" if call.change else "is the host overloaded?",
            )
        return answer

    def _connected(self) -> Connection:
        with self._lock:
            if self._connection is not None and not self._connection.alive:
                self._connection.close()
                self._connection, self._lost = None, True
            if self._connection is None:
                connection = connect(resolve(self.host), self._connect_seconds)
                if self._keeps is not None and self._lost:
                    try:
                        self._hold_again(connection, self._keeps)
                    except BaseException:
                        connection.close()
                        raise
                self._connection = connection
            return self._connection

    def _drop(self, connection: Connection) -> None:
        with self._lock:
            if self._connection is connection:
                self._connection, self._lost = None, True
        connection.close()

    def _execute(self, call: _Call, sinks: Callable[[], tuple[Sink, Sink]]) -> _Answer:
        """One attempt, and one more on a new connection where the first cannot have changed anything."""
        again = True
        while True:
            try:
                return self._attempt(call, *sinks())
            except SessionLostError as error:
                if not error.sent and not again:
                    raise Unreachable(
                        self.name,
                        expected="a session on a new connection",
                        found=str(error),
                        advice="the command was not sent. Is the host well? Look at its console",
                    ) from None
                # A host that said nothing until long after the command's deadline would take as long again.
                if error.sent and (not again or call.change or error.silent):
                    raise ConnectionLost(
                        self.name,
                        expected=f"the answer to `{redact(call.shown[0])}`",
                        found=f"{error}: the command may or may not have run",
                        advice="run the same again: every step looks at the host's state before it acts",
                    ) from None
            again = False

    def _attempt(self, call: _Call, stdout: Sink, stderr: Sink) -> _Answer:
        out, err = Marked(call.mark, stdout), Marked(call.mark, stderr)
        command, stdin = wire.wrap(
            call.script,
            mark=call.mark,
            seconds=call.seconds,
            sudo=self.host.ssh.sudo,
            stdin=call.stdin,
            locked=call.change,
            owner=self._owner,
        )
        wait = call.seconds + wire.KILL_SECONDS + GRACE_SECONDS + (wire.LOCK_SECONDS if call.change else 0)
        connection = self._connected()
        with self._sessions:
            try:
                channel = open_session(connection.transport, self._connect_seconds)
            except SessionLostError:
                self._drop(connection)
                raise
            except SessionRefusedError as error:
                raise not_begun(self.name, str(error), "raise MaxSessions in the host's sshd_config") from None
            began = time.monotonic()
            try:
                exit_code = execute(channel, command, stdin, stdout=out, stderr=err, seconds=wait)
            except SessionRefusedError as error:
                raise not_begun(
                    self.name, str(error), "is there a ForceCommand for this user in sshd_config?"
                ) from None
            except SessionLostError:
                self._drop(connection)
                raise
            answer = _Answer(exit_code, time.monotonic() - began)
        if not out.began:
            said = " ".join(f"{as_text(err.noise)} {as_text(out.noise)}".split()) or "no word"
            if call.change and hostlock.LOST in said:
                raise lock_of_another(self.name, said.partition(hostlock.LOST)[2].strip())
            if call.change and answer.exit == 1 and answer.seconds >= wire.LOCK_SECONDS:
                raise still_busy(self.name)
            raise why_not_begun(self.host, answer.exit, said, connection.user)
        return answer

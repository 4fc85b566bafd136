"""What is sent to a host: the wrapper around a script, the batch script, and its frames. Text only, no I/O.

Every script is bash, runs with LC_ALL=C and root's usual PATH, has no terminal, and is stopped by the host itself
(`timeout`, with all its children) when its time is up: closing an SSH channel leaves a command running.
The login shell must be a POSIX shell, for it reads the command line; what its profile prints is cut off.
"""

from __future__ import annotations

import base64
import binascii
import secrets
import shlex
from collections.abc import Sequence
from typing import TypeVar

from requorum import hostlock
from requorum.remote.result import Output, as_text

Key = TypeVar("Key", bound=str)

LOCK = hostlock.PATH
LOCK_SECONDS = hostlock.WAIT_SECONDS
KILL_SECONDS = 5  # between asking a script to end and making it
ARGUMENT_BYTES = 96 * 1024  # Linux refuses a single argument of 128 KiB
STREAM_BYTES = 8 * 1024 * 1024  # of each stream of a batch's command

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# `timeout` is content when the script itself has ended; a child that ignores the request to end is killed here, by
# the process group that timeout made. This shell also gives an exit code for a script that had to be killed.
# (A shell gives /dev/null to what it starts with &; hence the detour for standard input.)
_GUARD = (
    "exec 3<&0; %s <&3 3<&- & p=$!; exec 3<&-; wait $p; r=$?; [ $r != 124 ] || kill -s KILL -- -$p 2>/dev/null; exit $r"
)

# A frame is MARK:number:stdout:stderr:exit, streams in base64. Each command has its own deadline, so that one that
# hangs does not cost the others' answers. Frames leave whole, one at a time: a byte in a pipe is the permit to write.
_BATCH = r"""
exec {rq_permit}<> <(:)
printf . >&"$rq_permit"
rq_job() {
  local frame
  frame=$(
    {
      rq_errors=$(
        {
          timeout -k 2 %(seconds)s bash -c "$2" </dev/null 3>&- {rq_permit}>&- | head -c %(cap)d | base64 -w0 >&3
          exit "${PIPESTATUS[0]}"
        } 2>&1 | head -c %(cap)d | base64 -w0
        exit "${PIPESTATUS[0]}"
      )
      printf ':%%s:%%d' "$rq_errors" "$?"
    } 3>&1
  )
  read -r -N 1 -u "$rq_permit"
  printf '%%s:%%s:%%s\n' %(mark)s "$1" "$frame"
  printf . >&"$rq_permit"
}
"""

# Each in a shell of its own; behind its output the mark, on both streams, and its exit code.
_TOGETHER = r"""
for rq_one; do
  (eval "$rq_one")
  printf '\n%(mark)s=%%d\n' $?; printf '\n%(mark)s=\n' >&2
done
"""


def new_mark() -> str:
    """A word that no output holds by chance."""
    return f"requorum-{secrets.token_hex(8)}"


def _began(mark: str) -> str:
    return f"printf '\\n%s\\n' {mark}; printf '\\n%s\\n' {mark} >&2; export LC_ALL=C PATH=\"$PATH:{_PATH}\""


def hold(script: str, *, mark: str, sudo: bool) -> str:
    """The command line of a script that lives as long as its standard input, and some hours at most."""
    words = ["sudo", "-n", "--"] if sudo else []
    limited = ["timeout", "-k", str(KILL_SECONDS), f"{hostlock.HOURS}h", "bash", "--norc", "-c"]
    return shlex.join([*words, *limited, f"{_began(mark)}\n{script}"])


def wrap(
    script: str, *, mark: str, seconds: float, sudo: bool, stdin: bytes | None, locked: bool, owner: str = ""
) -> tuple[str, bytes]:
    """The command line that runs `script`, and what to send on its standard input.

    The mark, alone on a line, begins both streams once the script itself begins: without it nothing ran, and the
    wrapper says why. `locked` waits for another change on this host, of whichever run; it does not begin where the host's
    lock is of another run than `owner`.
    A long script goes through standard input, before `stdin`.
    """
    began = _began(mark)
    if locked and owner:
        began = f"{hostlock.guard(owner, LOCK)}; {began}"
    words = ["sudo", "-n", "--"] if sudo else []
    if locked:
        words += ["flock", "-w", str(LOCK_SECONDS), LOCK]
    # Without --norc bash takes itself for sshd's shell and reads ~/.bashrc again: 150 ms where that runs pyenv.
    limited = ["timeout", "-k", str(KILL_SECONDS), _seconds(seconds), "bash", "--norc", "-c"]

    def line(body: str) -> str:
        return shlex.join([*words, "/bin/sh", "-c", _GUARD % shlex.join([*limited, body, "requorum"])])

    quiet = "" if stdin else "exec </dev/null; "
    short = line(f"{quiet}{began}\n{script}")
    if len(short.encode()) <= ARGUMENT_BYTES:
        return short, stdin or b""
    data = script.encode()
    return line(f'{began}; rq_script=$(head -c {len(data)}); eval "$rq_script"'), data + (stdin or b"")


def _seconds(seconds: float) -> str:
    return f"{seconds:.3f}".rstrip("0").rstrip(".")


def batch(scripts: Sequence[str], *, mark: str, seconds: float) -> str:
    """One script that runs all of them at the same time, each for at most `seconds`, and writes nothing on the host.

    Raises ValueError for a script too long for one argument of a command.
    """
    for script in scripts:
        if len(script.encode()) > ARGUMENT_BYTES:
            raise ValueError(f"a command of a batch may have {ARGUMENT_BYTES} bytes: {script[:60]!r}…")
    jobs = (f"rq_job {number} {shlex.quote(script)} &" for number, script in enumerate(scripts))
    head = _BATCH % {"seconds": _seconds(seconds), "cap": STREAM_BYTES + 1, "mark": mark}
    return "\n".join((head.strip(), *jobs, "wait"))


def together(scripts: Sequence[str], *, mark: str) -> str:
    """One command of a batch that runs all of these one after the other, at a tenth of the processes of as many."""
    return shlex.join(["set", "--", *scripts]) + _TOGETHER % {"mark": mark}


def apart(whole: Output, keys: Sequence[Key], *, mark: str) -> dict[Key, Output]:
    """The answers in that of `together`. One that is not whole has the exit code of the whole: its time was up."""
    out = whole.stdout_bytes.split(f"\n{mark}=".encode())
    err = whole.stderr.split(f"\n{mark}=\n")
    found: dict[Key, Output] = {}
    begin = 0
    for number, key in enumerate(keys):
        code, newline, _ = out[number + 1].partition(b"\n") if number + 1 < len(out) else (b"", b"", b"")
        stdout = out[number][begin:] if number < len(out) else b""
        stderr = err[number] if number < len(err) else whole.stderr
        exit_code = int(code) if newline else whole.exit or 124
        found[key] = Output(exit_code, as_text(stdout), stderr, whole.truncated and not newline, stdout)
        begin = len(code) + 1
    return found


def _frame(line: bytes) -> tuple[int, Output] | None:
    try:
        number, stdout, stderr, exit_code = line.split(b":")
        out, err = base64.b64decode(stdout, validate=True), base64.b64decode(stderr, validate=True)
        cut = max(len(out), len(err)) > STREAM_BYTES
        out, err = out[:STREAM_BYTES], err[:STREAM_BYTES]
        return int(number), Output(int(exit_code), as_text(out), as_text(err), cut, out)
    except (ValueError, binascii.Error):
        return None  # cut off in the middle: the same as missing


def frames(stdout: bytes, keys: Sequence[Key], *, mark: str, seconds: float) -> dict[Key, Output]:
    """The batch's answers by their keys, in the order of `keys`.

    A command without one could not even be killed (its disk or network file system hangs): exit 124, and says so.
    """
    prefix = f"{mark}:".encode()
    found = dict(
        frame
        for line in stdout.split(b"\n")
        if line.startswith(prefix) and (frame := _frame(line.removeprefix(prefix))) is not None
    )
    stuck = Output(124, "", f"no answer in {seconds:g} s, and it could not be stopped: does a disk of the host hang?")
    return {key: found.get(number, stuck) for number, key in enumerate(keys)}

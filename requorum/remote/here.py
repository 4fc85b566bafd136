"""The machine that runs this, asked and changed in the way of a host: by scripts under bash, each told to the journal."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from requorum.remote.errors import ConnectionLost
from requorum.remote.redact import redact
from requorum.remote.result import CommandEnded, OnCommand, Result, as_text

_CONTENT = re.compile(r"[A-Za-z0-9+/]{120,}={0,2}")
"""Base64 of a file's content, which may hold passwords; the change's own difference is what is shown."""


@dataclass(frozen=True)
class Here:
    """Runs scripts on this machine."""

    name: str
    on_command: OnCommand

    def run(self, script: str, *, seconds: float, change: bool = False) -> Result:
        """Run a script; Ctrl-C does not reach it, so that a change comes to its end. Raises ConnectionLost."""
        began = time.monotonic()
        process = subprocess.Popen(
            ["bash", "-c", 'eval "$(cat)"'],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "LC_ALL": "C"},
            start_new_session=True,
        )
        try:
            out, err = process.communicate(script.encode(), timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            raise ConnectionLost(
                self.name,
                expected=f"an end within {seconds:.0f} s on this machine",
                found="none; it was killed",
                advice="look whether this machine's disk answers (df -h, dmesg), then run the same command again",
            ) from None
        took = round((time.monotonic() - began) * 1000)
        result = Result(script, process.returncode, as_text(out), as_text(err), took)
        told = redact(_CONTENT.sub("[content]", script))
        self.on_command(
            CommandEnded(self.name, told, result.exit, took, redact(result.stdout), redact(result.stderr), change)
        )
        return result

    def fetch(self, script: str, to: Path, *, seconds: float) -> str:
        """Nothing is fetched from this machine to itself. Raises NotImplementedError."""
        raise NotImplementedError(f"a fetch of {to} from this machine")

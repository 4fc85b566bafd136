"""A host that is this machine: what a change asks of a host, done by bash here, without a connection."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Said:
    exit: int
    stdout: str
    stderr: str


@dataclass
class LocalShell:
    """Runs scripts under bash; `stands_in` is a folder before all others in PATH. It keeps what it was asked.

    `alone`: a script sees no process but its own, where root runs the tests; others may run an etcd on this machine.
    """

    stands_in: Path | None = None
    alone: bool = False
    asked: list[str] = field(default_factory=list)

    def run(self, script: str, *, seconds: float, change: bool = False, clients_data: bool = False) -> Said:
        self.asked.append(script)
        path = "/usr/sbin:/usr/bin:/sbin:/bin"
        if self.stands_in is not None:
            path = f"{self.stands_in}:{path}"
        words = ["unshare", "--mount", "--pid", "--fork", "--mount-proc"] if self.alone and os.geteuid() == 0 else []
        done = subprocess.run(
            [*words, "bash"], input=script, capture_output=True, text=True, timeout=seconds, check=False,
            env={"PATH": path, "LC_ALL": "C"},
        )  # fmt: skip
        return Said(done.returncode, done.stdout, done.stderr)

    def fetch(self, script: str, to: Path, *, seconds: float) -> str:
        self.asked.append(script)
        with to.open("wb") as stream:
            subprocess.run(["bash"], input=script.encode(), stdout=stream, timeout=seconds, check=True)
        return ""


def stand_in(folder: Path, name: str, script: str) -> Path:
    """A command of our own in `folder`, for a PATH."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/bash\n{script}\n")
    path.chmod(0o755)
    return folder

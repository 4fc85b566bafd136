"""Run a command on this machine, and say plainly what went wrong."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Mapping, Sequence

from lab.errors import LabError

Completed = subprocess.CompletedProcess[str]

# What a command is given: no more, so that the operator's environment does not leak into the hosts.
CLEAN_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "LC_ALL": "C.UTF-8",
}


def run(
    command: Sequence[str],
    *,
    timeout: float = 60,
    stdin: str | None = None,
    check: bool = True,
    extra_environment: Mapping[str, str] | None = None,
    keep_open: Sequence[int] = (),
) -> Completed:
    """Run `command` to its end.

    Args:
        command: program and arguments, never a shell line.
        timeout: seconds until it is killed.
        stdin: text for its standard input; nothing otherwise.
        check: raise if it exits with anything but 0.
        extra_environment: variables added to a clean environment.
        keep_open: file descriptors that it inherits.

    Returns:
        The completed process, with both streams as text.

    Raises:
        LabError: the program is missing, ran too long or failed.
    """
    shown = shlex.join(command)
    environment = {**CLEAN_ENVIRONMENT, **(extra_environment or {})}
    # Package tools on this machine may need its proxy.
    environment.update({name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")})
    try:
        done = subprocess.run(
            list(command),
            input=stdin if stdin is not None else "",
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=timeout,
            env=environment,
            pass_fds=tuple(keep_open),
            check=False,
        )
    except FileNotFoundError as error:
        raise LabError(f"{command[0]} is not installed here; run: python -m lab install") from error
    except subprocess.TimeoutExpired as error:
        raise LabError(f"no end after {timeout:g} s: {shown}") from error
    if check and done.returncode != 0:
        raise LabError(f"exit code {done.returncode}: {shown}\n{(done.stderr or done.stdout).strip()[-2000:]}")
    return done

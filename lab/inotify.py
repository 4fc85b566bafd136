"""Room for the inotify instances of booting hosts.

The kernel counts them for each user, and all hosts of all labs are root's. A guest's init that gets none ends with 255
and says nothing (seen); with too few it goes on and misses what it watches.
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

from lab import state
from lab.errors import LabError

EACH = 6
"""For one host: the five that its init keeps open (counted, systemd 252), and one to spare."""
LIMIT = Path("/proc/sys/fs/inotify/max_user_instances")


def require(hosts: int) -> None:
    """Raise LabError unless there is room for `hosts` more hosts. Nothing is changed: the limit is the machine's."""
    needed = EACH * max(0, hosts)
    room = _room(needed)
    if room == needed:
        return
    limit = int(LIMIT.read_text(encoding="ascii"))
    raise LabError(
        f"no room for {hosts} more host{'s' if hosts > 1 else ''}: they need {needed} inotify instances, and of the "
        f"{limit} that the kernel gives to one user {room} are free. Take a lab down (python -m lab status names "
        f"them), or raise the limit: sysctl -w {LIMIT.relative_to('/proc/sys').as_posix().replace('/', '.')}="
        f"{max(1024, 2 * limit)}"
    )


def _room(wanted: int) -> int:
    """How many of `wanted` instances can be had: they are taken, and given back at once. Nothing else knows."""
    library = ctypes.CDLL(None, use_errno=True)
    taken: list[int] = []
    # Two that try at once would take each other's.
    with state.locked(state.MACHINE_LOCK, "the count of inotify instances"):
        try:
            while len(taken) < wanted:
                descriptor = library.inotify_init1(os.O_CLOEXEC)
                if descriptor < 0:
                    break
                taken.append(descriptor)
        finally:
            for descriptor in taken:
                os.close(descriptor)
    return len(taken)

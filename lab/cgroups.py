"""One control group for each host: what is in it is the host, and nothing else.

Works with cgroup v2 alone and with the hybrid of a v1 `name=systemd` tree and a v2 tree; a host's group then exists in
both, under the same path. Guests are told to use v2 only, so they never touch the machine's v1 controllers.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

from lab import state, wait
from lab.errors import LabError

TOP = "requorum-lab"


def trees() -> tuple[Path, ...]:
    """Mount points of the trees that a host's group must exist in: v2 first, then v1 `name=systemd` where there is one.

    Raises:
        LabError: no cgroup v2 is mounted.
    """
    unified: list[Path] = []
    named: list[Path] = []
    with open("/proc/self/mountinfo", encoding="utf-8") as stream:
        for line in stream:
            left, _, right = line.partition(" - ")
            mount_point = Path(left.split()[4])
            kind, _, options = right.split()[:3]
            if kind == "cgroup2":
                unified.append(mount_point)
            elif kind == "cgroup" and "name=systemd" in options.split(","):
                named.append(mount_point)
    if not unified:
        raise LabError("no cgroup v2 tree is mounted here; the lab's hosts need one")
    return tuple(unified[:1] + named[:1])


def group_of(lab: str, network: int, member: str) -> str:
    """Path of a group below each tree, unique on the machine because the network number is."""
    return f"{TOP}/{network}-{lab}/{member}"


def create(group: str) -> tuple[Path, ...]:
    """Make the group in every tree; return its directories."""
    directories = tuple(tree / group for tree in trees())
    with state.locked(state.MACHINE_LOCK, "the list of control groups"):
        for directory in directories:
            directory.mkdir(parents=True, exist_ok=True)
    return directories


def pids(group: str) -> set[int]:
    """All processes in the group and below it, in any tree."""
    found: set[int] = set()
    for tree in trees():
        for folder, _, _ in os.walk(tree / group):
            try:
                found.update(int(word) for word in Path(folder, "cgroup.procs").read_text(encoding="ascii").split())
            except (FileNotFoundError, OSError):
                continue  # the group went away, or is a threaded one whose root is listed above it
    found.discard(0)
    return found


def kill(group: str, within: float = 10) -> None:
    """SIGKILL everything in the group until it is proven empty.

    Raises:
        LabError: something survives for `within` seconds.
    """

    def empty() -> bool:
        left = pids(group)
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        return not left

    wait.until(empty, f"all processes in the control group {group} are gone", within, every=0.01)


def freeze(group: str, frozen: bool) -> None:
    """Stop (or let go on) all processes of the group at one instant."""
    path = trees()[0] / group / "cgroup.freeze"
    path.write_text("1" if frozen else "0", encoding="ascii")
    if frozen:
        events = path.with_name("cgroup.events")
        wait.until(lambda: "frozen 1" in events.read_text(encoding="ascii"), f"{group} is frozen", 5, every=0.005)


def remove(group: str) -> None:
    """Remove the empty group with everything below it, in every tree; and the top if it was the last."""
    with state.locked(state.MACHINE_LOCK, "the list of control groups"):
        for tree in trees():
            for folder, _, _ in os.walk(tree / group, topdown=False):
                os.rmdir(folder)
            top = tree / TOP
            if top.is_dir() and not any(path.is_dir() for path in top.iterdir()):
                top.rmdir()

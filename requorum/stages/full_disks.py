"""Where a disk is full, asked once a word of a step has failed: a full disk has many ways to say so, and some say less."""

from __future__ import annotations

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from requorum.facts import disk
from requorum.journal import JournalError
from requorum.remote import RemoteError
from requorum.run import Run

HERE = "the machine that runs this"
PLACES = ("/etc/etcd", "/etc/systemd/system", "/run", "/var/lib")
"""Beside the data directory and the backup directory."""
BESIDE = ("/etc/origin/master", "/etc/sysconfig", "/run", "/var/lib")
"""On a host beside the cluster."""


@dataclass(frozen=True)
class FullDisks:
    """What to add to a failure's words: what was found, and what to do first; both empty where no disk is full."""

    found: str = ""
    advice: str = ""


def look(run: Run, host: str, said: str) -> FullDisks:
    """Ask every host that the survey reached, all at once, and look here; `said` is what the failure says of `host`."""
    places = _places(run)
    with ThreadPoolExecutor(max_workers=max(1, len(places))) as pool:
        found = pool.map(lambda name: _full_on(run, name, places[name]), places)
        full = {name: paths for name, paths in zip(places, found, strict=True) if paths}
    if _full_here(run):
        full[HERE] = [str(run.folder)]
    if full:
        lines = [f"the disk of {', '.join(paths)} on {name} is full" for name, paths in full.items()]
        return FullDisks("\n".join(lines), _advice(full))
    if any(words in said for words in disk.SAID):
        return FullDisks(f"a disk on {host} was full", _advice([host]))
    return FullDisks()


def _advice(hosts: Iterable[str]) -> str:
    return f"make room on {', '.join(hosts)} first (df, df -i): what is half written there is not used"


def _places(run: Run) -> dict[str, list[str]]:
    """Where a recovery writes, for each host that the survey reached."""
    backup = str(run.inventory.backup.directory)
    found = {name: [*PLACES, facts.conf.data_dir, backup] for name, facts in run.reached.items()}
    return found | {name: [*BESIDE] for name in run.hosts("beside")}


def _full_on(run: Run, name: str, places: Iterable[str]) -> list[str]:
    """The full ones; none where the host cannot be asked: that is told already."""
    try:
        return disk.parse(run.remotes[name].run(disk.command(places), seconds=10).stdout)
    except (RemoteError, JournalError, ValueError):
        return []


def _full_here(run: Run) -> bool:
    found = os.statvfs(run.folder)
    return disk.is_full(found.f_bavail * found.f_frsize, found.f_files, found.f_favail)

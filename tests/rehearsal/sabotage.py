"""The kill matrix: every command of a recovery as a point, what is done to the run there, and the round that proves it.

A round: the lab is broken afresh, a run is sabotaged at its point, and the same command is typed again. It ends as an
undisturbed run does: the same survivor, every acknowledged write, nothing left behind.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from runbook_runs import (
    PROJECT,
    Done,
    assert_told,
    assert_whole,
    broken,
    broken_name,
    command,
    environment,
    left_behind,
    run,
)

from lab import Lab, disks, saved, wait
from lab.writer import Write

LOST = ("etcd-1", "etcd-2")
POINTS = Path(__file__).with_name("points.txt")
"""The points of an undisturbed recovery that count: step, its host, what for, ordinal, and the host that is asked."""

KILLS = ("before", "after", "elsewhere")
"""kill -9 of the run: a change's intent is on disk and nothing sent; it is made and its outcome not written down; the
same, and it is another operator's machine, without the journal, that carries on."""
FAULTS = ("cut", "reboot", "etcd-killed")
"""As soon as the script of a change runs on its host: the connection is cut before the answer is read; the host loses
power and boots; every etcd on it is killed, where there is one. A short change may have ended by then: `one_round` says
which it was."""
FULL = ("disk-full", "reports-full")
"""Right before a change no block is left on the disk of its host, or on that of the run's own folder."""
DISK_MIB = 1024
_OWN_DISK_MIB = 64

FETCHING = ("test_back_up_configuration", "test_back_up_data", "test_fresh_snapshot")
"""Steps whose last change brings something here."""


@dataclass(frozen=True, slots=True)
class Point:
    """One command of a run."""

    step: str
    kind: str
    ordinal: int
    host: str

    def __str__(self) -> str:
        return f"{self.step} {self.kind} {self.ordinal}"

    @property
    def counts(self) -> bool:
        """It is in the matrix: a change, or the first read of a step on a host; not the last look, after the end."""
        return self.step != "end" and (self.kind == "change" or self.ordinal == 1)


def recorded() -> list[Point]:
    """The points as they are committed."""
    return parse(POINTS.read_text(encoding="utf-8"))


def parse(text: str) -> list[Point]:
    """The points from what the saboteur writes."""
    words = (line.split() for line in text.splitlines())
    return [Point(step, kind, int(ordinal), host) for step, kind, ordinal, host in words]


def rounds() -> list[tuple[Point, str]]:
    """Every change by every means, and a kill before the first read of each step on each host.

    The run's own folder is written to at every change in the same way: full at the first of each step, and at whatever
    is fetched into it.
    """
    points = recorded()
    changes = [point for point in points if point.kind == "change"]
    own = [point for point in changes if point.ordinal == 1 or point.step.startswith(FETCHING)]
    return [
        *((point, how) for point in changes for how in (*KILLS, *FAULTS, "disk-full")),
        *((point, "reports-full") for point in own),
        *((point, "before") for point in points if point.kind == "read"),
    ]


def lost(lab: Lab) -> list[Write]:
    """Two of three hosts lose power and their data, and boot; the survivor loses power too, and boots deaf."""
    if broken_name(LOST, "destroyed", reboot_survivor=True) not in saved.names(lab):
        lab.restore("whole")
    return broken(lab, LOST, "destroyed", reboot_survivor=True)


def sabotaged(
    lab: Lab,
    wanted: dict[str, str],
    *arguments: str,
    inventory: Path | None = None,
    reports: Path | None = None,
    timeout: float = 300,
) -> subprocess.CompletedProcess[str]:
    """A run with the saboteur in it, to its end."""
    beside = {"PYTHONPATH": str(Path(__file__).parent), "REQUORUM_SABOTAGE": json.dumps(wanted)}
    return subprocess.run(
        command(lab, *arguments, "-p", "saboteur", inventory=inventory, reports=reports),
        cwd=PROJECT,
        env=environment() | beside,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=timeout,
        check=False,
    )


def one_round(lab: Lab, point: Point, how: str, folder: Path, broken_by: Callable[[Lab], list[Write]] = lost) -> str:
    """Break, sabotage at the point, type the command again, and hold the end against an undisturbed one.

    `broken_by` leaves etcd-0 as the one that is to survive, and returns the writes that it holds.
    Returns when the fault came, and what there was; empty for what is not one of FAULTS.
    """
    writes = broken_by(lab)
    reports = _small_disk(lab) if how == "reports-full" else None
    with _meeting(lab, point, how, folder):
        kind = {"elsewhere": "after"}.get(how, how if how in (*KILLS, "cut") else "meet")
        first = sabotaged(lab, {"point": str(point), "how": kind, "meet": str(folder)}, reports=reports)
    assert "Traceback" not in first.stdout, first.stdout
    assert (folder / "reached").exists(), f"the point was not reached:\n{first.stdout}"
    if how in KILLS:
        assert first.returncode == -9, f"the run was not killed:\n{first.stdout}"
    came = ""
    if how in FAULTS:
        noted = folder / how
        assert noted.exists(), f"the script of the change did not begin:\n{first.stdout}"
        came = noted.read_text(encoding="utf-8")
    if how in FULL:
        _assert_told_of_full_disk(lab, first, point.host if how == "disk-full" else "the machine that runs this")
    again = run(lab, reports=folder / "elsewhere" if how == "elsewhere" else reports, timeout=300)
    _assert_ended(first, again)
    assert_whole(lab, writes)
    assert left_behind(lab) == []
    return came


def _assert_ended(first: subprocess.CompletedProcess[str], again: Done) -> None:
    said = f"it ended with {again.exit}; the sabotaged run said:\n{first.stdout}\nthe same command again said:\n{again.output}"
    assert again.exit == 0, said
    verdict = str(again.summary["verdict"])
    assert verdict in ("lost", "unfinished", "healthy", "degraded"), said
    assert_told(again, exit=0, outcome="healthy" if verdict == "healthy" else "recovered", verdict=verdict)
    if verdict != "healthy":
        assert again.summary["survivor"] == "etcd-0.example.com", said


def _assert_told_of_full_disk(lab: Lab, first: subprocess.CompletedProcess[str], where: str) -> None:
    """What did not need the room went well; whatever stopped the run says which disk, what was changed, what to do."""
    if first.returncode == 0:
        return
    for words in (f"on {where} is full", "changed:", "make room"):
        assert words in first.stdout, f"expected {words!r} in:\n{first.stdout}"


@contextmanager
def _meeting(lab: Lab, point: Point, how: str, folder: Path) -> Iterator[None]:
    """Do to the host what is to be done while the run waits at its point; room is made once the run has ended."""
    own = _small_disk(lab) if how == "reports-full" else None

    def meet() -> None:
        wait.until((folder / "reached").exists, f"the run comes to {point}", within=120, every=0.02)
        if how == "disk-full":
            lab.fill_disk(point.host)
        elif own is not None:
            disks.fill(own)
        (folder / "go").touch()
        if how in FAULTS:
            _strike(lab, point, how, folder)

    if how not in ("reboot", "etcd-killed", *FULL):
        yield
        return
    try:
        with ThreadPoolExecutor(max_workers=1) as pool:
            done = pool.submit(meet)
            yield
        done.result()
    finally:
        if how == "disk-full":
            lab.make_room(point.host)
        elif own is not None:
            disks.make_room(own)


def _strike(lab: Lab, point: Point, how: str, folder: Path) -> None:
    """Once the script of the change runs: take the host's power, or kill its etcd; and write down when that came.

    An etcd that the change itself starts is killed as soon as it is seen.
    """
    wait.until((folder / "begun").exists, f"the script of {point} runs", within=60, every=0.001)
    ended, struck, began = folder / "ended", False, time.time()
    while not struck:
        last, began = ended.exists(), time.time()
        if how == "reboot":
            lab.power_off(point.host)
        struck = how == "reboot" or lab.run(point.host, "pkill -9 -x etcd", check=False).returncode == 0
        if last:
            break
    came = _when(ended, began, time.time()) if struck else "no etcd was there"
    (folder / how).write_text(came, encoding="utf-8")
    if how == "reboot":
        lab.boot(point.host)


def _when(ended: Path, began: float, struck: float) -> str:
    """When a fault came, by the time at which the change's answer was here: a fault can itself end a change."""
    at = ended.stat().st_mtime if ended.exists() else struck
    if at < began:
        return "right after the change"
    return "while the change ran" if at >= struck else "as the change ended"


def _small_disk(lab: Lab) -> Path:
    """A folder for reports on a disk of its own, which holds none of earlier rounds; it goes with the lab."""
    place = lab.record.directory / "small-reports"
    if not place.is_mount():
        disks.make(place, _OWN_DISK_MIB)
    shutil.rmtree(place / lab.record.spec.name, ignore_errors=True)
    return place

"""The kill matrix: every command of a recovery as a point, what is done to the run there, and the round that proves it.

A round: the lab is broken afresh, a run is sabotaged at its point, and the same command is typed again. It ends as an
undisturbed run does: the same survivor, every acknowledged write, nothing left behind.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from runbook_runs import PROJECT, Done, assert_told, assert_whole, broken, command, environment, left_behind, run

from lab import Lab, wait
from lab.writer import Write

LOST = ("etcd-1", "etcd-2")
POINTS = Path(__file__).with_name("points.txt")
"""The points of an undisturbed recovery that count: step, its host, what for, ordinal, and the host that is asked."""

KILLS = ("before", "after", "elsewhere")
"""kill -9 of the run: a change's intent is on disk and nothing sent; it is made and its outcome not written down; the
same, and it is another operator's machine, without the journal, that carries on."""
FAULTS = ("cut", "reboot", "etcd-killed")
"""In the middle of a change: its connection is cut; its host loses power and boots; its host's etcd is killed."""


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


def lost(lab: Lab) -> list[Write]:
    """Two of three hosts lose power and their data, and boot; the survivor loses power too, and boots deaf."""
    return broken(lab, LOST, "destroyed", reboot_survivor=True)


def sabotaged(
    lab: Lab, wanted: dict[str, str], *arguments: str, timeout: float = 240
) -> subprocess.CompletedProcess[str]:
    """A run with the saboteur in it, to its end."""
    beside = {"PYTHONPATH": str(Path(__file__).parent), "REQUORUM_SABOTAGE": json.dumps(wanted)}
    return subprocess.run(
        command(lab, *arguments, "-p", "saboteur"),
        cwd=PROJECT,
        env=environment() | beside,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=timeout,
        check=False,
    )


def one_round(lab: Lab, point: Point, how: str, folder: Path) -> None:
    """Break, sabotage at the point, type the command again, and hold the end against an undisturbed one."""
    writes = broken(lab, LOST, "destroyed", reboot_survivor=True)
    with _meeting(lab, point, how, folder):
        kind = {"elsewhere": "after"}.get(how, how if how in (*KILLS, "cut") else "meet")
        first = sabotaged(lab, {"point": str(point), "how": kind, "meet": str(folder)})
    assert "Traceback" not in first.stdout, first.stdout
    if how in KILLS:
        assert first.returncode == -9, f"the point was not reached:\n{first.stdout}"
    again = run(lab, reports=folder / "elsewhere" if how == "elsewhere" else None)
    _assert_ended(first, again)
    assert_whole(lab, writes)
    assert left_behind(lab) == []


def _assert_ended(first: subprocess.CompletedProcess[str], again: Done) -> None:
    said = f"the sabotaged run said:\n{first.stdout}\nthe same command again said:\n{again.output}"
    assert again.exit == 0, said
    verdict = str(again.summary["verdict"])
    assert verdict in ("lost", "unfinished", "healthy", "degraded"), said
    assert_told(again, exit=0, outcome="healthy" if verdict == "healthy" else "recovered", verdict=verdict)
    if verdict != "healthy":
        assert again.summary["survivor"] == "etcd-0.example.com", said


@contextmanager
def _meeting(lab: Lab, point: Point, how: str, folder: Path) -> Iterator[None]:
    """Do to the host what is to be done while the run waits at its point."""

    def meet() -> None:
        wait.until((folder / "reached").exists, f"the run comes to {point}", within=120, every=0.02)
        if how == "etcd-killed":
            lab.run(point.host, "pkill -9 -x etcd; true")
        (folder / "go").touch()
        if how == "reboot":
            lab.power_off(point.host)
            lab.boot(point.host)

    if how not in ("reboot", "etcd-killed"):
        yield
        return
    with ThreadPoolExecutor(max_workers=1) as pool:
        done = pool.submit(meet)
        yield
    done.result()

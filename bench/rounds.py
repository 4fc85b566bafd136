"""One round: the same loss is recovered once by the bare commands and once by the runbook."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from bench import floor, runbook, tail
from bench.first_write import FirstWrite
from bench.runbook import Spent
from lab import Lab, LabError, wait, writer

WRITTEN = "bench-written"
KEYS = 200
IDLE = 0.7
"""The machine counts as quiet when this share of its processors' time was idle for half a second."""
SETTLE = 20.0
"""Seconds until a recovery begins all the same; the load is in the result."""


@dataclass(frozen=True, slots=True)
class Leg:
    """One recovery, proven.

    Attributes:
        seconds: in all.
        cpu: seconds that it computed on the machine that runs it; the hosts' own are not in it.
        first_write: seconds to the first acknowledged write.
        load: the machine's, when it began.
        spent: where the time went.
    """

    seconds: float
    cpu: float
    first_write: float
    load: float
    spent: tuple[Spent, ...]


@dataclass(frozen=True, slots=True)
class Round:
    """Both recoveries of one round."""

    floor: Leg
    runbook: Leg

    @property
    def ratio(self) -> float:
        """The runbook's time to the floor's."""
        return self.runbook.seconds / self.floor.seconds


class Bench:
    """A lab with a state to recover from: the first host survives, the others lost power and their data.

    What is put back is the whole cluster, which is then broken in the same way each time. A broken state that is put
    back has a survivor that lost power as well, and there the bare commands lose: its commit index on disk is behind
    its database, and the joiners lacked the last write (seen with 3.4).
    """

    def __init__(self, lab: Lab, folder: Path, reports: Path, *, tail: bool = False) -> None:
        """Write keys to the lab and keep that state; the runs of the runbook leave theirs in `reports`.

        `tail`: each time the survivor has a tail that nobody acknowledged, which the runbook keeps, and the floor cuts.
        """
        self.lab = lab
        self.tail = tail
        self.survivor = lab.hosts[0]
        self.reports = reports
        record = folder / "acknowledged.jsonl"
        lab.restore("whole")
        client = writer.Writer(lab, record)
        self.writes = client.write(KEYS)
        client.close()
        wait.until(lambda: not writer.differences(lab), "every member holds what was written", within=30)
        lab.save(WRITTEN)

    def round(self, *, floor_first: bool) -> Round:
        """Recover twice from the same loss, in the given order. Raises LabError where a recovery is not whole."""
        if floor_first:
            bare, ours = self.floor(), self.runbook()
        else:
            ours, bare = self.runbook(), self.floor()
        return Round(bare, ours)

    def floor(self) -> Leg:
        """One recovery by the bare commands."""
        load = self._broken()
        with FirstWrite(self.lab, self.survivor) as first:
            done = floor.recover(self.lab, self.survivor)
        self._prove()
        parts = tuple(Spent(what, seconds, seconds, 0) for what, seconds in floor.phases(done.output))
        return Leg(done.seconds, done.cpu, first.seconds, load, parts)

    def runbook(self) -> Leg:
        """One recovery by the runbook."""
        load = self._broken()
        with FirstWrite(self.lab, self.survivor) as first:
            done = runbook.recover(self.lab, self.reports)
        if self.tail:
            tail.require_kept(done.output)
        self._prove()
        return Leg(done.seconds, done.cpu, first.seconds, load, tuple(runbook.spent(self.reports, done.seconds)))

    def _broken(self) -> float:
        self.lab.restore(WRITTEN)
        if self.tail:
            tail.grow(self.lab, self.survivor)
        self.lab.break_hosts(self.lab.hosts[1:], "destroyed")
        # Its last leader may be itself, and it goes on to say so for an election timeout or two: nobody is that quick.
        wait.until(self._leaderless, f"{self.survivor.name} knows that it has no leader", within=30, every=0.2)
        _settle()
        return os.getloadavg()[0]

    def _leaderless(self) -> bool:
        return "no leader" in self.lab.etcdctl(self.survivor, "endpoint", "status", "-w", "json", check=False).stdout

    def _prove(self) -> None:
        self.lab.wait_healthy(within=15)
        wait.until(lambda: not writer.differences(self.lab), "every member holds the same", within=15)
        listed = self.lab.etcdctl(self.survivor, "member list").stdout.splitlines()
        whole = [line for line in listed if ", started, " in line and line.endswith("false")]
        if len(listed) != len(self.lab.hosts) or whole != listed:
            raise LabError("expected every host as a voting member, found:\n" + "\n".join(listed))
        for host in self.lab.hosts:
            wrong = writer.missing(self.writes, writer.read_all(self.lab, host))
            if wrong:
                raise LabError(f"{host.name} lacks what was acknowledged:\n" + "\n".join(wrong[:20]))


def _settle() -> None:
    """Wait until the machine is quiet; at most SETTLE seconds."""
    deadline = time.monotonic() + SETTLE
    while _idle_share(0.5) < IDLE and time.monotonic() < deadline:
        pass


def _idle_share(seconds: float) -> float:
    """The share of all processors' time that is idle in the next `seconds`."""
    idle, whole = _cpu_times()
    time.sleep(seconds)
    idle_then, whole_then = _cpu_times()
    return (idle_then - idle) / max(1, whole_then - whole)


def _cpu_times() -> tuple[int, int]:
    """Idle (with waiting for disks) and whole time of all processors since boot, in ticks; proc(5)."""
    with open("/proc/stat", encoding="ascii") as stream:
        ticks = [int(word) for word in stream.readline().split()[1:9]]
    return ticks[3] + ticks[4], sum(ticks)

"""Journals as real runs write them, made with a fixed clock: recoveries, refusals, interruptions, hostile output."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from unittest import mock

from requorum.journal import Journal
from requorum.records import (
    BackupProven,
    ChangeEnded,
    ChangeIntended,
    CommandRan,
    Confirmed,
    Ended,
    HostSurveyed,
    Mode,
    Noted,
    Planned,
    PlannedStep,
    Record,
    Run,
    StepBegan,
    StepEnded,
    VerdictGiven,
    WaitBegan,
    Word,
    WordBegan,
    WordEnded,
)

HOSTS = ("etcd-0.example.com", "etcd-1.example.com", "etcd-2.example.com")
SURVIVOR, *OTHERS = HOSTS
Timed = tuple[float, Record]
"""Seconds since the event before, and the record."""

DIFF = """--- etcd-1.example.com:/etc/etcd/etcd.conf
+++ etcd-1.example.com:/etc/etcd/etcd.conf
@@ -12,5 +12,5 @@
 ETCD_DATA_DIR=/var/lib/etcd/
-ETCD_INITIAL_CLUSTER=etcd-0=https://192.168.55.8:2380,etcd-1=https://192.168.55.12:2380,etcd-2=https://192.168.55.13:2380
-ETCD_INITIAL_CLUSTER_STATE=new
+ETCD_INITIAL_CLUSTER=etcd-0=https://192.168.55.8:2380,etcd-1=https://192.168.55.12:2380
+ETCD_INITIAL_CLUSTER_STATE=existing
 ETCD_INITIAL_CLUSTER_TOKEN=etcd-cluster-1
 # keep <this> comment & its "quotes"
"""
HOSTILE = (
    "<script>alert('x')</script><img src=https://evil.example/x.png onerror=f(1)>\x1b[31mred\x1b[0m\x1b[2J\x00\u202egpj"
)


class Scribe:
    """Writes a journal with a clock that moves only as told."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.journal = Journal(folder / "journal.jsonl")
        self.now = datetime(2026, 11, 23, 2, 41, 7, 120_000, tzinfo=timezone.utc)

    def write(self, events: Iterable[Timed]) -> None:
        with (
            mock.patch("requorum.journal.utc_now", self._stamp),
            mock.patch("requorum.journal.os.getpid", return_value=4711),
            mock.patch("requorum.journal.os.fsync"),
        ):
            for after, record in events:
                self.now += timedelta(seconds=after)
                self.journal.add(record)

    def _stamp(self) -> str:
        return self.now.isoformat(timespec="microseconds").replace("+00:00", "Z")


def interleaved(*streams: Iterable[Timed]) -> Iterator[Timed]:
    """The streams of several workers, one record of each in turn."""
    alive = [iter(stream) for stream in streams]
    while alive:
        for stream in list(alive):
            if (event := next(stream, None)) is None:
                alive.remove(stream)
            else:
                yield event


PLAN: tuple[tuple[int, str, str, str, tuple[str, ...]], ...] = (
    (10, "Every member is reached and known", "1 · Survey", "38", HOSTS),
    (11, "Quorum is lost, and the survivor is the best one", "1 · Survey", "38", (SURVIVOR,)),
    (20, "Copy the configuration", "2 · Back up", "38.1.1.1", HOSTS),
    (21, "Copy the survivor's data", "2 · Back up", "38.1.1.2", (SURVIVOR,)),
    (22, "Fetch the backup and prove it", "2 · Back up", "38.1.1.2", (SURVIVOR,)),
    (30, "Fence the other members", "3 · Take the others out", "38.1.2", tuple(OTHERS)),
    (31, "Drop the lost members from etcd.conf", "3 · Take the others out", "38.1.2", (SURVIVOR,)),
    (40, "Force a new cluster on the survivor", "4 · A cluster of one", "38.1.3", (SURVIVOR,)),
    (41, "Take the force away again", "4 · A cluster of one", "38.1.3", (SURVIVOR,)),
    (50, "Move the old data aside", "5 · Add the members back", "38.1.4", tuple(OTHERS)),
    (51, "Join the member", "5 · Add the members back", "38.1.4", tuple(OTHERS)),
    (52, "Promote the learner", "5 · Add the members back", "38.1.4", tuple(OTHERS)),
    (60, "All members hold the same data", "6 · Close", "38.1.4", HOSTS),
    (61, "Nothing forces a new cluster, no fence is left", "6 · Close", "", HOSTS),
    (62, "A fresh backup", "6 · Close", "38.1.1.2", (SURVIVOR,)),
)


def step_id(number: int, host: str) -> str:
    return f"test_{number}[{host}]"


def planned() -> Planned:
    return Planned(
        tuple(
            PlannedStep(step_id(number, host), number, title, host, stage, section)
            for number, title, stage, section, hosts in PLAN
            for host in hosts
        )
    )


def opening(mode: Mode = "recovery", verdict: str = "lost") -> Iterator[Timed]:
    argv: tuple[str, ...] = ("/usr/bin/pytest", "runbook/", "--inventory", "prod site.yaml", "-n", "3")
    if mode != "recovery":
        argv += (f"--{mode}",)
    yield 0, Run(
        "20261123T024107Z-4f2a", "9c31d7", "prod", mode, "anna (via sudo)", "bastion.example.com", argv,
        ("requorum 0.1.0", "pytest 9.2.0", "etcd 3.4.23"), "prod site.yaml", "ab" * 32,
    )  # fmt: skip
    for index, host in enumerate(HOSTS):
        yield 0.2, CommandRan("", host, f"requorum-survey {host}", 0, 312 + index, f"id {index}\n", "")
        yield (
            0,
            HostSurveyed(
                host,
                host != OTHERS[1],
                (
                    ("etcd name", host.split(".")[0]),
                    ("version", "3.4.23"),
                    ("unit", "activating (start)" if index == 0 else "failed"),
                    ("member id", f"8e9e05c52164694{index}"),
                    ("last entry", "term 4, index 1317" if index == 0 else "data directory is empty"),
                    ("revision", "214" if index == 0 else "–"),
                    ("data", "/var/lib/etcd/, 41 MB, 18 GB free"),
                )
                if host != OTHERS[1]
                else (("error", "no route to host within 5 s"),),
            ),
        )
    proof = (
        "the member list in etcd-0's log names 3 voting members: quorum is 2",
        "etcd-1 answers and its data directory is empty",
        "etcd-2 is declared lost and does not answer",
        "so at most 1 of 3 members can ever answer",
    )
    advice = ("Bring up etcd-2 or declare it lost: write `lost: true` under etcd.hosts.etcd-2.example.com",)
    yield 0.1, VerdictGiven(
        verdict, proof, () if verdict == "lost" else advice, SURVIVOR if verdict == "lost" else "",
        "nothing that the survivor holds; what only lost members held is unknown; last contact 02:13:55 UTC", HOSTS,
    )  # fmt: skip


def word(step: str, host: str, kind: Word, text: str, inside: Iterable[Timed] = ()) -> Iterator[Timed]:
    yield 0.01, WordBegan(step, host, kind, text)
    yield from inside
    yield 0.01, WordEnded(step, host, kind, text, "passed", "", "", "")


def change(step: str, host: str, name: str, shown: str, command: str) -> Iterator[Timed]:
    yield 0.01, ChangeIntended(step, host, name, shown)
    yield 0.4, CommandRan(step, host, command, 0, 391, "ok\n", "")
    yield 0.01, ChangeEnded(step, host, name, shown, "done", "")


def step(number: int, host: str) -> Iterator[Timed]:
    """One step on one host, from begin to end, all well."""
    name = step_id(number, host)
    yield 0.02, StepBegan(name, host)
    read: list[Timed] = [(0.03, CommandRan(name, host, "etcdctl member list -w json", 0, 28, '{"members":[]}\n', ""))]
    yield from word(name, host, "precondition", "every other member is fenced or declared lost", read)
    if number in (20, 21, 30, 31, 40, 41, 50, 51, 52, 62):
        difference = number in (31, 51)
        shown = DIFF if difference else f"systemctl do-{number} etcd.service"
        inside = [*change(name, host, f"{'edit' if difference else 'run'} {number} on {host}", shown, f"do {number}")]
        if number == 30:
            inside.append(
                (0.01, ChangeEnded(name, host, f"mask etcd on {host}", "systemctl mask etcd", "held", "masked already"))
            )
        yield from word(name, host, "action", f"do what step {number} is for", inside)
    polls: list[Timed] = [(0.01, WaitBegan(name, host, "the member to answer a linearizable read", 60.0))] * (
        number >= 40
    )
    polls += [
        (0.9, CommandRan(name, host, "etcdctl endpoint health", 1, 880, "", "context deadline exceeded\n"))
        for _ in range(5 * (number in (40, 51)))
    ]
    yield from word(name, host, "postcondition", "the member list holds exactly what it must", polls)
    if number == 40:
        yield 0, Noted(name, host, "writes are possible again")
    if number == 22:
        yield (
            0,
            BackupProven(
                name, host, "/backup/etcd-20261123/snap.db", "backup/snap.db", "cd" * 32, "revision 214, 200 keys"
            ),
        )
    yield 0.01, StepEnded(name, host, "passed", "")


def recovery() -> Iterator[Timed]:
    """A complete recovery by three workers, their records interleaved."""
    yield from opening()
    yield 0.1, planned()
    yield 11.2, Confirmed("typed at the terminal", "anna", True)
    for number, _, _, _, hosts in PLAN:
        if number in (40, 41, 50, 51):
            for host in hosts:
                yield from step(number, host)
        else:
            yield from interleaved(*(step(number, host) for host in hosts))
    yield 0.2, Ended("recovered", 0, "lost", SURVIVOR, HOSTS, (), "2026-11-23T02:41:31.500000Z", "")


def refused() -> Iterator[Timed]:
    """An unproven verdict: stage 1 fails, nothing is changed, all else is blocked."""
    yield from opening(verdict="unproven")
    yield 0.1, planned()
    yield from interleaved(*(step(10, host) for host in HOSTS))
    name, text = step_id(11, SURVIVOR), "quorum is proven lost"
    yield 0.1, StepBegan(name, SURVIVOR)
    yield 0.1, WordBegan(name, SURVIVOR, "precondition", text)
    expected = "fewer than 2 of 3 members can ever answer"
    found = "2 hosts do not answer and could still hold quorum:\netcd-1.example.com, etcd-2.example.com"
    advice = "Bring them up, or write `lost: true` under etcd.hosts in prod site.yaml"
    yield 0.1, WordEnded(name, SURVIVOR, "precondition", text, "failed", expected, found, advice)
    yield 0.1, StepEnded(name, SURVIVOR, "failed", f"expected {expected}, found {found}")
    for number, _, _, _, hosts in PLAN[2:]:
        for host in hosts:
            reason = f"BLOCKED: step 11 failed on {SURVIVOR}"
            yield 0, StepEnded(step_id(number, host), host, "blocked", reason)
    yield 0.1, Ended("unproven", 1, "unproven", "", (), (), "", "")


def interrupted() -> Iterator[Timed]:
    """Killed in the middle of the action of step 30 on one host, while the other host's worker finished."""
    yield from opening()
    yield 0.1, planned()
    yield 9.0, Confirmed("--confirm prod", "anna", True)
    for number, _, _, _, hosts in PLAN[:5]:
        yield from interleaved(*(step(number, host) for host in hosts))
    name = step_id(30, OTHERS[0])
    cut: list[Timed] = [
        (0.02, StepBegan(name, OTHERS[0])),
        (0.02, WordBegan(name, OTHERS[0], "action", "stop etcd so that a reboot does not start it")),
        (0.02, ChangeIntended(name, OTHERS[0], "mask etcd", "systemctl mask --now etcd.service")),
    ]
    yield from interleaved(cut, step(30, OTHERS[1]))


def hostile() -> Iterator[Timed]:
    """A recovery whose every text tries to be markup, and a command that says a megabyte."""
    yield 0, Run(HOSTILE, HOSTILE, HOSTILE, "recovery", HOSTILE, HOSTILE, (HOSTILE,), (HOSTILE,), HOSTILE, HOSTILE)
    yield 0, HostSurveyed(HOSTILE, True, ((HOSTILE, HOSTILE),))
    yield 0, VerdictGiven("lost", (HOSTILE,), (HOSTILE,), HOSTILE, HOSTILE, (HOSTILE,))
    yield 0, Confirmed(HOSTILE, HOSTILE, True)
    yield 0, Planned((PlannedStep(HOSTILE, 1, HOSTILE, HOSTILE, HOSTILE, HOSTILE),))
    yield 0, StepBegan(HOSTILE, HOSTILE)
    yield 0, WordBegan(HOSTILE, HOSTILE, "action", HOSTILE)
    yield 0, ChangeIntended(HOSTILE, HOSTILE, HOSTILE, DIFF + f"+{HOSTILE}\n")
    yield 0, CommandRan(HOSTILE, HOSTILE, HOSTILE, None, 5, HOSTILE + "x" * 1_000_000 + "END", HOSTILE)
    yield 0, ChangeEnded(HOSTILE, HOSTILE, HOSTILE, HOSTILE, "failed", HOSTILE)
    yield 0, WaitBegan(HOSTILE, HOSTILE, HOSTILE, 5.0)
    yield 0, Noted(HOSTILE, HOSTILE, HOSTILE)
    yield 0, BackupProven(HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE)
    yield 90, WordEnded(HOSTILE, HOSTILE, "action", HOSTILE, "failed", HOSTILE, HOSTILE, HOSTILE)
    yield 0, StepEnded(HOSTILE, HOSTILE, "failed", HOSTILE)
    yield 0, Ended(HOSTILE, 1, HOSTILE, HOSTILE, (HOSTILE,), (HOSTILE,), "", HOSTILE)

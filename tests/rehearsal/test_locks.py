"""One run at a time on the hosts of a cluster, whichever machine it runs on; a dead operator blocks nobody."""

from __future__ import annotations

import getpass
import os
import pty
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import STDOUT, Popen

import pytest
from hazards import LOST, edited, start, stop, whole
from killed_runs import started
from runbook_runs import (
    PROJECT,
    Done,
    assert_told,
    assert_whole,
    command,
    environment,
    folders,
    left_behind,
    run,
)
from sabotage import lost

from lab import Lab, checksums, wait
from lab.parallel import in_parallel
from requorum.journal import Journal
from requorum.records import ChangeIntended, StepBegan
from requorum.stages.confirmation import FRESH_SECONDS

LOCK = "/run/lock/requorum.lock"
OTHERS = ["another run is under way on etcd-0.example.com, etcd-1.example.com, etcd-2.example.com: run ", "since 20"]


@contextmanager
def standing_still(lab: Lab, output: Path) -> Iterator[tuple[Popen[bytes], str]]:
    """A run that has begun to change hosts and was stopped (SIGSTOP) there, and its name; killed at the end."""
    before = folders(lab)
    with started(lab, output=output) as process:
        _until(lambda: _changes(folders(lab) - before), process, output)
        os.killpg(process.pid, signal.SIGSTOP)
        (folder,) = folders(lab) - before
        yield process, folder.name


def _until(condition: Callable[[], object], process: Popen[bytes], output: Path) -> None:
    def reached() -> bool:
        assert process.poll() is None, output.read_text(encoding="utf-8")
        return bool(condition())

    wait.until(reached, "the first run begins to change hosts", 60, every=0.02)


def _changes(new: set[Path]) -> bool:
    return any(isinstance(e.record, ChangeIntended) for f in new for e in Journal(f / "journal.jsonl").entries())


def assert_refused(done: Done, says: list[str]) -> None:
    assert (done.exit, done.summary["class"]) == (6, "refused"), done.output
    assert "Traceback" not in done.output, done.output
    for words in [*says, "result    nothing was changed"]:
        assert words in done.output, done.output


def _at_rest(lab: Lab) -> dict[str, dict[str, str]]:
    """The hosts, once what the run that stands still had asked of them is done."""
    seen = [lab.checksums()]

    def still() -> bool:
        seen.append(lab.checksums())
        return checksums.changes(seen[-2], seen[-1]) == []

    wait.until(still, "the hosts are at rest", 30)
    return seen[-1]


@pytest.mark.full
def test_another_run_is_under_way(lab3: Lab, tmp_path: Path) -> None:
    """On this machine, with this folder of reports; the first one stands still in its first step."""
    lost(lab3)
    before = folders(lab3)
    with started(lab3, output=tmp_path / "first") as first:

        def began() -> bool:
            new = folders(lab3) - before
            return any(isinstance(e.record, StepBegan) for f in new for e in Journal(f / "journal.jsonl").entries())

        wait.until(began, "the first run has begun a step", 60)
        os.killpg(first.pid, signal.SIGSTOP)
        try:
            at_rest = lab3.checksums()
            second = run(lab3)
            assert checksums.changes(at_rest, lab3.checksums()) == []
        finally:
            os.killpg(first.pid, signal.SIGCONT)
        assert (second.exit, second.summary["class"]) == (6, "refused"), second.output
        (folder,) = folders(lab3) - before - {second.folder}
        words = f"another run is under way: run {folder.name} by {getpass.getuser()}@"
        assert words in second.output, second.output
        assert f"process {first.pid}" in second.output, second.output
        assert "nothing was changed" in second.output
        assert first.wait(120) == 0, (tmp_path / "first").read_text(encoding="utf-8")


def test_a_second_operator_is_refused_by_name(lab3: Lab, tmp_path: Path) -> None:
    """On another machine: the first run goes on and ends well. Looking is allowed, and locks nothing."""
    writes = lost(lab3)
    with standing_still(lab3, tmp_path / "first") as (first, name):
        at_rest = _at_rest(lab3)
        for arguments in ((), ("--abort",)):
            second = run(lab3, *arguments, reports=tmp_path / "elsewhere")
            assert_refused(second, [*OTHERS, f"run {name} by ", f"--break-lock {name}"])
        for look, exit in (("--plan", 0), ("checks/", 1)):  # the cluster is not well
            seen = run(lab3, look, reports=tmp_path / "looking")
            assert seen.exit == exit, seen.output
            assert f"locked   etcd-0.example.com, etcd-1.example.com, etcd-2.example.com: run {name}" in seen.output
        assert list((tmp_path / "looking").rglob(".lock")) == []
        assert checksums.changes(at_rest, lab3.checksums()) == []
        os.killpg(first.pid, signal.SIGCONT)
        assert first.wait(120) == 0, (tmp_path / "first").read_text(encoding="utf-8")
    assert_whole(lab3, writes)
    assert left_behind(lab3) == []


@pytest.mark.full
def test_a_stale_lock_is_broken_by_name(lab3: Lab, tmp_path: Path) -> None:
    """The first operator's machine says nothing any more, and its connections stand; its run, awake again, changes nothing."""
    writes = lost(lab3)
    with standing_still(lab3, tmp_path / "first") as (first, name):
        wrong = run(lab3, "--break-lock", "20200101T000000Z", reports=tmp_path / "elsewhere")
        assert_refused(wrong, [f"run {name} by "])
        done = run(lab3, "--break-lock", name, reports=tmp_path / "elsewhere")
        assert_told(
            done, exit=0, outcome="recovered", verdict="lost", says=["3 of 3 members", "Broken:    the lock of run"]
        )
        at_rest = lab3.checksums()
        os.killpg(first.pid, signal.SIGCONT)
        assert first.wait(120) == 1, (tmp_path / "first").read_text(encoding="utf-8")
        said = (tmp_path / "first").read_text(encoding="utf-8")
        assert f"expected this run's own lock on the host; found run {done.summary['run']} by " in said, said
        assert checksums.changes(at_rest, lab3.checksums()) == []
    assert_whole(lab3, writes)


@contextmanager
def asking(lab: Lab, folder: Path) -> Iterator[Callable[[], Done]]:
    """A run on another machine, by the time it asks for the cluster's name on a terminal; called, the name is typed."""
    inventory = edited(lab, folder / "asking.yaml", ("confirm: false", "confirm: true"))
    reports, output = folder / "elsewhere", folder / "asking"
    ours, terminal = pty.openpty()
    with output.open("wb") as stream:
        words = command(lab, inventory=inventory, reports=reports)
        process = Popen(words, cwd=PROJECT, env=environment(), stdin=terminal, stdout=stream, stderr=STDOUT)

    def said() -> str:
        return output.read_text(encoding="utf-8")

    def typed() -> Done:
        os.write(ours, f"{lab.record.spec.name}\n".encode())
        code = process.wait(180)
        (made,) = folders(lab, reports)
        return Done(code, said(), made, 0)

    try:
        _until(lambda: "Type the cluster's name" in said(), process, output)
        yield typed
    finally:
        process.kill()
        process.wait()
        os.close(ours)
        os.close(terminal)


@pytest.mark.full
def test_a_run_whose_connections_dropped_goes_on_beside_one_that_asks(lab3: Lab, tmp_path: Path) -> None:
    """Nobody seems to hold the lock when the second one looks; the first has recovered the cluster when its name is typed."""
    writes = lost(lab3)
    with standing_still(lab3, tmp_path / "first") as (first, name):
        _at_rest(lab3)
        in_parallel(lambda host: lab3.run(host, "pkill -9 -f '^sshd: root@notty'; true"), lab3.hosts)
        with asking(lab3, tmp_path) as typed:
            os.killpg(first.pid, signal.SIGCONT)
            assert first.wait(120) == 0, (tmp_path / "first").read_text(encoding="utf-8")
            assert_refused(typed(), ["has changed since it was surveyed", f"it is of run {name} by "])
    assert_whole(lab3, writes)
    assert left_behind(lab3) == []


@pytest.mark.full
def test_members_come_back_while_the_operator_is_asked(lab3: Lab, tmp_path: Path) -> None:
    """Their data was elsewhere. The name is typed after a while: to fence them then would end the writes."""
    writes = whole(lab3)
    data, aside = lab3.record.spec.data_dir, "/srv/aside"
    stop(lab3, LOST)
    in_parallel(lambda host: lab3.run(host, f"mkdir {aside} && mv {data}/* {aside}/"), LOST)
    with asking(lab3, tmp_path) as typed:
        in_parallel(lambda host: lab3.run(host, f"mv {aside}/* {data}/"), LOST)
        start(lab3, LOST)
        lab3.wait_healthy()
        at_rest = lab3.checksums()
        time.sleep(FRESH_SECONDS)
        says = ["what was agreed to is no longer what there is; found now: Cluster ", ": healthy."]
        assert_refused(typed(), [*says, "run the same command again: it looks anew, and asks again"])
    assert checksums.changes(at_rest, lab3.checksums()) == []
    assert_whole(lab3, writes)


@pytest.mark.full
def test_a_killed_run_blocks_nobody(lab3: Lab, tmp_path: Path) -> None:
    """kill -9, and at once the same command on another machine."""
    writes = lost(lab3)
    with standing_still(lab3, tmp_path / "first") as (first, _):
        os.killpg(first.pid, signal.SIGKILL)
        done = run(lab3, reports=tmp_path / "elsewhere")
    assert done.exit == 0, done.output
    assert_whole(lab3, writes)


@pytest.mark.full
def test_looking_locks_nothing(lab3: Lab, tmp_path: Path) -> None:
    """Neither the hosts nor this machine."""
    lost(lab3)
    for argument in ("checks/", "--plan", "--preconditions"):
        assert run(lab3, argument, reports=tmp_path).summary["verdict"] == "lost"
    assert list(tmp_path.rglob(".lock")) == []
    for host in lab3.hosts:
        lab3.run(host, f"[ ! -e {LOCK} ]")

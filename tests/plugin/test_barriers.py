"""Order and barriers, with real pytest processes: one, and xdist's controller with its workers."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast
from unittest.mock import Mock

import pytest
import small_runbook
from small_runbook import Rehearsal

from requorum.stages.order import Place, Placed, groups_of
from requorum.stages.permits import CONTROLLER, FOLDER, Gate, Permits

PLAIN, WORKERS = ("-p", "no:xdist"), ("-n3",)
ORDER = [f"{number} {host}" for number in (10, 20, 30, 40) for host in "bac"]
AFTER_20 = [f"test_{name}[{host}]" for name in ("three", "four") for host in "bac"]
both = pytest.mark.parametrize("args", [PLAIN, WORKERS], ids=["plain", "n3"])


@pytest.fixture
def rehearsal(tmp_path: Path) -> Iterator[Rehearsal]:
    run = small_runbook.make(tmp_path)
    yield run
    run.kill_what_is_left()


def alive(pid: int) -> bool:
    """Whether the process runs; one that ended and was not yet collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except FileNotFoundError:
        return False


def assert_barriers_hold(run: Rehearsal) -> None:
    """A step begins when the one before has ended everywhere; a serial step is on one host at a time."""
    running: list[tuple[int, str]] = []
    for event in run.events:
        if event.what == "end":
            running.remove((event.number, event.host))
            continue
        assert all(number == event.number for number, _ in running), run.events
        assert event.number in (20, 40) or not running, run.events
        running.append((event.number, event.host))


def assert_blocked(run: Rehearsal, names: list[str], *reasons: str) -> None:
    skipped = run.reports("skipped")
    assert sorted(skipped) == sorted(names)
    for text in skipped.values():
        assert "BLOCKED: " in text
        assert all(reason in text for reason in reasons), text


def test_a_parallel_step_is_one_group_and_a_serial_one_a_group_for_each_host() -> None:
    plan = [
        Placed(f"test_x[{host}]", ("x.py", 0, "x"), Place(number, host, rank, number == 20))
        for number in (10, 20, 30) for rank, host in enumerate("bac")
    ]  # fmt: skip
    assert groups_of(plan) == ((0,), (1,), (2,), (3, 4, 5), (6,), (7,), (8,))
    assert groups_of([]) == ()


def test_a_permit_is_used_once(tmp_path: Path) -> None:
    permits = Permits(tmp_path)
    assert not permits.take(7)
    permits.grant(7)
    assert permits.take(7)
    assert not permits.take(7)


@pytest.mark.parametrize(("controller", "passed_over"), [(os.getppid(), None), (1 << 30, True)], ids=["alive", "dead"])
def test_a_permit_of_a_dead_controller_is_void(tmp_path: Path, controller: int, passed_over: bool | None) -> None:
    handed = {FOLDER: str(tmp_path), CONTROLLER: controller, "workerid": "gw0"}
    config = SimpleNamespace(workerinput=handed, option=SimpleNamespace(maxfail=1))
    item = Mock(nodeid="x.py::test_x[b]", location=("x.py", 0, "test_x"))
    gate = Gate(cast(pytest.Config, config), lambda item: Place(10, "b", 0, False))
    gate.pytest_collection_finish(cast(pytest.Session, SimpleNamespace(items=[item])))
    Permits(tmp_path).grant(0)
    assert gate.pytest_runtest_protocol(item) is passed_over


@pytest.mark.parametrize(
    "args", [PLAIN, ("-n0",), ("-n1",), ("-n2",), ("-n5", "--dist=worksteal")], ids=lambda args: args[-1]
)
def test_the_order_is_the_same_however_it_runs(rehearsal: Rehearsal, args: tuple[str, ...]) -> None:
    """Every process shuffles its items in its own way first; a skipped item is no failure."""
    assert rehearsal.run(*args, **{"10_a": "skip"}) == 0, rehearsal.output
    begun = rehearsal.stamps("begin")
    if args in (PLAIN, ("-n0",), ("-n1",)):
        assert begun == ORDER
    assert sorted(begun) == sorted(ORDER)
    assert [stamp for stamp in begun if stamp[:2] in ("10", "30")] == [s for s in ORDER if s[:2] in ("10", "30")]
    assert list(rehearsal.reports("skipped")) == ["test_one[a]"]
    assert len(rehearsal.reports("passed")) == 11
    assert_barriers_hold(rehearsal)


def test_hosts_of_a_parallel_step_run_at_once_and_stay_with_their_worker(rehearsal: Rehearsal) -> None:
    faults = {f"{number}_{host}": "meet" for number in (20, 40) for host in "bac"}
    assert rehearsal.run(*WORKERS, **faults) == 0, rehearsal.output
    assert_barriers_hold(rehearsal)
    assert len({(event.host, event.pid) for event in rehearsal.events}) == 3


@pytest.mark.parametrize("args", [PLAIN, ("-n2",)], ids=["plain", "n2"])
def test_a_failure_lets_the_siblings_finish_and_blocks_what_comes_after(
    rehearsal: Rehearsal, args: tuple[str, ...]
) -> None:
    assert rehearsal.run(*args, **{"20_b": "fail"}) == 1
    assert sorted(rehearsal.stamps("end")) == sorted(ORDER[:6])
    assert list(rehearsal.reports("failed")) == ["test_two[b]"]
    assert_blocked(rehearsal, AFTER_20, "step 20 (test_two) failed on b")
    assert re.search(r"1 failed, 5 passed, 6 skipped", rehearsal.output), rehearsal.output


@both
def test_a_failure_in_a_serial_step_blocks_the_hosts_after(rehearsal: Rehearsal, args: tuple[str, ...]) -> None:
    assert rehearsal.run(*args, **{"30_a": "fail"}) == 1
    assert sorted(rehearsal.stamps("begin")) == sorted(ORDER[:8])
    assert_blocked(rehearsal, ["test_three[c]", *AFTER_20[3:]], "step 30 (test_three) failed on a")


@both
def test_a_failure_in_a_step_that_does_not_block_lets_the_rest_go_on(
    rehearsal: Rehearsal, args: tuple[str, ...]
) -> None:
    for steps in rehearsal.folder.glob("test_*.py"):
        steps.write_text(steps.read_text().replace("place(30)", "place(30, blocks=False)"))
    assert rehearsal.run(*args, **{"30_a": "fail", "40_b": "fail"}) == 1
    assert sorted(rehearsal.stamps("begin")) == sorted(ORDER)
    assert_barriers_hold(rehearsal)
    assert sorted(rehearsal.reports("failed")) == ["test_four[b]", "test_three[a]"]
    assert rehearsal.reports("skipped") == {}


@both
def test_x_stops_after_the_present_step(rehearsal: Rehearsal, args: tuple[str, ...]) -> None:
    assert rehearsal.run(*args, "-x", **{"20_b": "fail"}) == 1
    assert sorted(rehearsal.stamps("end")) == sorted(ORDER[:6])
    assert rehearsal.reports("skipped") == {}
    assert sorted(nodeid.rpartition("::")[2] for nodeid in rehearsal.not_run) == sorted(AFTER_20)
    assert "stopping after 1 failures" in rehearsal.output
    assert set(rehearsal.not_run.values()) == {"stopping after 1 failures"}


@both
def test_without_blocking_a_failure_keeps_nothing_from_running(rehearsal: Rehearsal, args: tuple[str, ...]) -> None:
    assert rehearsal.run(*args, "--preconditions", **{"10_b": "fail", "20_a": "fail"}) == 1
    assert sorted(rehearsal.stamps("end")) == sorted(ORDER)
    assert_barriers_hold(rehearsal)
    assert sorted(rehearsal.reports("failed")) == ["test_one[b]", "test_two[a]"]


def test_an_expected_failure_blocks_too(rehearsal: Rehearsal) -> None:
    steps = rehearsal.folder / "test_z.py"
    steps.write_text(steps.read_text().replace("@pytest.mark.place(10)", "@pytest.mark.xfail\n@pytest.mark.place(10)"))
    assert rehearsal.run(*PLAIN, **{"10_b": "fail"}) == 1, rehearsal.output
    assert rehearsal.stamps("begin") == ["10 b"]


@both
def test_what_cannot_be_collected_lets_nothing_begin(rehearsal: Rehearsal, args: tuple[str, ...]) -> None:
    (rehearsal.folder / "test_m.py").write_text("import no_such_module\n")
    assert rehearsal.run(*args, "--continue-on-collection-errors") != 0
    assert rehearsal.events == []
    assert "test_m.py could not be collected" in " ".join(rehearsal.reports("skipped").values())


def test_workers_that_collect_different_steps_begin_nothing(rehearsal: Rehearsal) -> None:
    assert rehearsal.run("-n2", **{"collection_gw1": "fewer"}) == 1, rehearsal.output
    assert rehearsal.events == []
    assert "collected other steps than worker" in rehearsal.output


def test_a_worker_that_dies_before_the_first_step_lets_nothing_begin(rehearsal: Rehearsal) -> None:
    assert rehearsal.run("-n2", **{"collection_gw1": "die"}) not in (0, 5), rehearsal.output
    assert rehearsal.events == []


@pytest.mark.parametrize("args", [("-n2",), WORKERS], ids=["n2", "n3"])
def test_a_step_whose_worker_died_is_interrupted_and_never_run_again(
    rehearsal: Rehearsal, args: tuple[str, ...]
) -> None:
    assert rehearsal.run(*args, "--max-worker-restart=5", **{"20_b": "die"}) == 1
    begun = rehearsal.stamps("begin")
    assert begun.count("20 b") == 1
    assert set(begun) <= set(ORDER[:6])
    assert sorted(rehearsal.stamps("end")) == sorted(stamp for stamp in begun if stamp != "20 b")
    failed = rehearsal.reports("failed")
    assert list(failed) == ["test_two[b]"]
    assert failed["test_two[b]"].startswith("INTERRUPTED: step 20 (test_two) began on b and did not end")
    ended = {f"test_two[{stamp[3:]}]" for stamp in rehearsal.stamps("end") if stamp.startswith("20")}
    left = {f"test_two[{host}]" for host in "ac"} - ended
    assert_blocked(rehearsal, [*left, *AFTER_20], "step 20 (test_two) was interrupted on b")
    assert "maxworkerrestart" not in rehearsal.output


def test_workers_whose_controller_is_killed_finish_their_item_and_begin_no_other(rehearsal: Rehearsal) -> None:
    """With two workers one of three hosts waits its turn: it does not get it."""
    controller = rehearsal.start("-n2", **{f"20_{host}": "wait" for host in "bac"})
    rehearsal.until(lambda: len(rehearsal.stamps("begin")) == 5, "the parallel step to begin")
    pids = {event.pid for event in rehearsal.events}
    os.kill(controller.pid, signal.SIGKILL)
    controller.wait(timeout=10)
    (rehearsal.folder / "go").touch()
    rehearsal.until(lambda: not any(alive(pid) for pid in pids), "the workers to end")
    assert len(rehearsal.stamps("begin")) == 5
    assert sorted(rehearsal.stamps("end")) == sorted(rehearsal.stamps("begin"))


@pytest.mark.parametrize("args", [PLAIN, ("-n2",)], ids=["plain", "n2"])
@pytest.mark.parametrize("whole_group", [False, True], ids=["controller", "terminal"])
def test_after_ctrl_c_nothing_begins(rehearsal: Rehearsal, args: tuple[str, ...], whole_group: bool) -> None:
    at_once = 1 if args == PLAIN else int(args[0][2:])
    process = rehearsal.start(*args, **{f"20_{host}": "wait" for host in "bac"})
    rehearsal.until(lambda: len(rehearsal.stamps("begin")) == 3 + at_once, "the parallel step to begin")
    (os.killpg if whole_group else os.kill)(process.pid, signal.SIGINT)
    rehearsal.until(lambda: len(rehearsal.not_run) == 9 - at_once, "the controller to account for what was not run")
    (rehearsal.folder / "go").touch()
    assert rehearsal.finish(process) == 2, rehearsal.output
    assert len(rehearsal.stamps("begin")) == 3 + at_once
    assert set(rehearsal.not_run.values()) == {"the run was interrupted by Ctrl-C, SIGTERM or a hang-up"}
    failed = rehearsal.reports("failed")
    assert len(failed) == at_once
    assert all(text.startswith("INTERRUPTED: ") for text in failed.values())


def test_a_worker_that_is_interrupted_alone_stops_the_run(rehearsal: Rehearsal) -> None:
    assert rehearsal.run(*WORKERS, **{"30_b": "interrupt"}) == 2, rehearsal.output
    assert "30 a" not in rehearsal.stamps("begin")
    assert list(rehearsal.reports("failed")) == ["test_three[b]"]

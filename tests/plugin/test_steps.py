"""Steps and their three words, what is printed and the exit codes: the real plugin, hosts left out."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from small_project import ORDER, Project

from requorum.changes import Change
from requorum.diagnosis import Diagnosis, Verdict
from requorum.facts.host import HostFacts
from requorum.hand import Hand
from requorum.inventory import load
from requorum.records import ChangeEnded, ChangeIntended, Ended, Mode, Noted, StepEnded, WordEnded
from requorum.run import Run
from requorum.stages import action, note, postcondition, precondition
from requorum.stages.step import NotToday, Now, StepFailed, enter

LINE = re.compile(r"\d\d:\d\d:\d\dZ (ok|FAILED|UNKNOWN|later|waiting|note|plan) +\d+  \S+: \S.*")
"""What the follower prints for a step."""


# One process, no pytest below: the words


class Touch(Change):
    """A change that only counts."""

    made = 0

    def shown(self) -> str:
        return "touch /x"

    def test(self) -> str:
        return "false"

    def act(self) -> str:
        return "true"

    def after(self, facts: HostFacts) -> HostFacts:
        return facts

    def do(self, shell: object) -> bool:
        Touch.made += 1
        return True


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Callable[[Mode], Now]]:
    """Begin a step on host a of a cluster that lost its quorum."""
    file = tmp_path / "inventory.yaml"
    file.write_text("cluster: small\netcd: {hosts: {a: {address: 127.0.0.1}}}\n")
    Touch.made = 0

    def step(mode: Mode) -> Now:
        found = Diagnosis(Verdict.LOST, ("as the test says",), survivor="a")
        run = Run(mode, load(file), tmp_path, "run", "op@here", os.getpid(), (), {}, found)
        at = Now(run, "test_x[a]", "a")
        enter(at)
        return at

    yield step
    enter(None)


def test_precondition_action_postcondition_is_the_order(begin: Callable[[Mode], Now]) -> None:
    begin("recovery")
    with precondition("it may begin"):
        pass
    with action("do it") as hand:
        hand.make([Touch("a")])
    with postcondition("it is done"):
        pass
    assert Touch.made == 1


@pytest.mark.parametrize("first", [action, postcondition])
def test_a_precondition_comes_first(begin: Callable[[Mode], Now], first: type[action] | type[postcondition]) -> None:
    begin("recovery")
    with first("something"):
        pass
    with pytest.raises(RuntimeError, match="a precondition after the action or a postcondition"), precondition("late"):
        raise AssertionError("it was entered")


@pytest.mark.parametrize("first", [action, postcondition])
def test_there_is_one_action_before_the_postconditions(
    begin: Callable[[Mode], Now], first: type[action] | type[postcondition]
) -> None:
    begin("recovery")
    with first("something"):
        pass
    with pytest.raises(RuntimeError, match="a second action in one step, or one after a postcondition"), action("two"):
        raise AssertionError("it was entered")


def test_no_word_is_inside_of_another(begin: Callable[[Mode], Now]) -> None:
    begin("recovery")
    with pytest.raises(RuntimeError, match="an? action inside of a precondition"), precondition("a"), action("b"):
        raise AssertionError("it was entered")
    begin("recovery")
    with pytest.raises(RuntimeError, match="a postcondition inside of an action"), action("a"), postcondition("b"):
        raise AssertionError("it was entered")


def test_no_word_is_said_outside_of_a_step() -> None:
    for word in (precondition("a"), action("a"), postcondition("a")):
        with pytest.raises(RuntimeError, match="outside of a step"), word:
            raise AssertionError("it was entered")
    with pytest.raises(RuntimeError, match="outside of a step"):
        note("x")


def test_the_writer_is_of_no_use_outside_of_the_action(begin: Callable[[Mode], Now]) -> None:
    begin("recovery")
    with action("do it") as hand:
        hand.make([])
    with pytest.raises(RuntimeError, match="a change outside of the step's action: touch /x"):
        hand.make([Touch("a")])
    assert Touch.made == 0


@pytest.mark.parametrize("mode", ["preconditions", "checks"])
def test_an_action_is_not_entered_where_nothing_is_to_be_changed(begin: Callable[[Mode], Now], mode: Mode) -> None:
    begin(mode)
    with pytest.raises(NotToday), action("do it"):
        raise AssertionError("it was entered")


def test_a_precondition_without_after_is_never_deferred(begin: Callable[[Mode], Now]) -> None:
    begin("preconditions")
    with pytest.raises(StepFailed) as failed, precondition("it may begin"):
        raise AssertionError("it may not")
    assert failed.value.failure == "nothing changed"


def test_in_a_recovery_nothing_is_deferred(begin: Callable[[Mode], Now]) -> None:
    begin("recovery")
    with pytest.raises(StepFailed), precondition("it may begin", after=10):
        raise AssertionError("it may not")


def test_a_change_that_is_made_and_cannot_be_written_down_is_unknown(
    begin: Callable[[Mode], Now], monkeypatch: pytest.MonkeyPatch
) -> None:
    at = begin("recovery")
    add = at.run.journal.add

    def full(record: object) -> None:
        if isinstance(record, ChangeEnded):
            from requorum.journal import JournalError

            raise JournalError("no space left")
        add(record)  # type: ignore[arg-type]

    monkeypatch.setattr(at.run.journal, "add", full)
    with pytest.raises(StepFailed) as failed, action("do it") as hand:
        hand.make([Touch("a"), Touch("a")])
    assert failed.value.failure == "state unknown"
    assert "it was made, and that cannot be written down: no space left" in failed.value.found
    assert Touch.made == 1


# The way back


def failing(text: str) -> Callable[[Hand], str]:
    def way_back(hand: Hand) -> str:
        hand.make([Touch("a")])
        if text:
            raise AssertionError(text)
        return "a is out again"

    return way_back


@pytest.mark.parametrize("word", ["action", "postcondition"])
def test_the_way_back_is_taken_where_the_step_fails(begin: Callable[[Mode], Now], word: str) -> None:
    at = begin("recovery")

    def step() -> None:
        with action("do it", way_back=failing("")):
            assert word != "action", "it cannot be done"
        with postcondition("it is done"):
            raise AssertionError("it is not")

    with pytest.raises(StepFailed) as failed:
        step()
    assert failed.value.failure == "taken back"
    assert failed.value.found.endswith("\nthe way back was taken: a is out again")
    assert Touch.made == 1
    notes = [entry.record.text for entry in at.run.journal.entries() if isinstance(entry.record, Noted)]
    assert notes == ["the way back was taken: a is out again"]


def test_a_way_back_that_fails_says_where(begin: Callable[[Mode], Now]) -> None:
    begin("recovery")
    with pytest.raises(StepFailed) as failed, action("do it", way_back=failing("no quorum")):
        raise AssertionError("it cannot be done")
    assert failed.value.failure == "state unknown"
    assert "it cannot be done\nTHE WAY BACK DID NOT COME TO ITS END" in failed.value.found
    assert "found no quorum" in failed.value.found


def test_no_way_back_is_taken_from_a_step_that_passes(begin: Callable[[Mode], Now]) -> None:
    begin("recovery")
    with action("do it", way_back=failing("")):
        pass
    with postcondition("it is done"):
        pass
    assert Touch.made == 0


# Whole runs: what fails, and what is said of it


def test_a_run_goes_through_its_steps_in_order(project: Project) -> None:
    answer = project.run()
    answer.assert_told(0, "3 of 3 members", "report.html")
    assert project.made == ORDER
    assert [record.host for record in project.records(StepEnded)] == ["bastion", "b", "c", "a", "b", "c"]
    assert [(record.result, record.exit) for record in project.records(Ended)] == [("recovered", 0)]


@pytest.mark.parametrize("args", [("-p", "no:xdist"), ("-n3",)], ids=["plain", "n3"])
def test_lines_are_whole_in_order_and_without_colour(project: Project, args: tuple[str, ...]) -> None:
    """In a file, with workers: nothing is mixed up, nothing is cut."""
    answer = project.run(*args)
    assert answer.exit == 0, answer.output
    assert "\x1b" not in answer.output
    lines = [line for line in answer.output.splitlines() if re.match(r"\d\d:\d\d:\d\dZ", line)]
    assert len(lines) == 7, answer.output  # six steps, and the note of the point of no return
    assert all(LINE.fullmatch(line) for line in lines), lines
    numbers = [int(line.split()[2]) for line in lines]
    assert numbers == sorted(numbers)


def test_a_failing_precondition_says_what_where_and_what_next(project: Project) -> None:
    answer = project.run(at_10_bastion="precondition")
    answer.assert_told(
        6, "precondition does not hold on the machine that runs this", "expected: a verdict that allows to go on",
        "found:    too few hosts", "This step changed nothing. This run has changed nothing so far.",
        "next:     bring up more hosts", "blocked  5 further steps", "result    stopped; nothing was changed",
    )  # fmt: skip
    assert project.made == []
    assert project.records(ChangeIntended) == []
    assert [record.outcome for record in project.records(StepEnded)] == ["failed", *["blocked"] * 5]


END = "the point of no return: the old cluster ends here"


@pytest.mark.parametrize(
    ("fault", "said"), [("precondition", []), ("cut before", []), ("failed", [END]), ("postcondition", [END])]
)
def test_the_point_of_no_return_is_told_when_its_action_begins(project: Project, fault: str, said: list[str]) -> None:
    """Not before: the preconditions may wait for a minute, and refuse."""
    answer = project.run(at_30_a=fault)
    assert answer.exit in (1, 2), answer.output
    assert [record.text for record in project.records(Noted)] == said
    assert (END in answer.output) == bool(said)


@pytest.mark.parametrize(("mode", "said"), [("--plan", 1), ("--preconditions", 0)])
def test_the_plan_tells_the_point_of_no_return_and_the_preconditions_do_not_come_to_it(
    project: Project, mode: str, said: int
) -> None:
    answer = project.run(mode)
    assert answer.output.count("the point of no return: the old cluster would end here") == said, answer.output


def test_a_precondition_that_fails_on_one_host_lets_its_siblings_finish(project: Project) -> None:
    answer = project.run(at_20_b="precondition")
    answer.assert_told(
        1, "precondition does not hold on b", "found:    b is not ready", "next:     make it ready, and run again"
    )
    assert project.made == ["20 c"]


def test_a_failing_postcondition_says_that_the_step_changed_something(project: Project) -> None:
    answer = project.run(at_30_a="postcondition")
    answer.assert_told(
        1, "postcondition does not hold on a", "expected: it is touched", "found:    it is gone again",
        "This step changed what it had to, and the result is not as required. This run made 3 changes; see the report.",
    )  # fmt: skip
    assert project.made == ["20 b", "20 c", "30 a"]


@pytest.mark.parametrize("fault", ["failed", "unknown"])
def test_an_action_that_does_not_come_to_its_end_leaves_an_unknown_state(project: Project, fault: str) -> None:
    answer = project.run(at_30_a=fault)
    answer.assert_told(
        1, "action does not hold on a", "touch /30", "The state is UNKNOWN", "run the same command again"
    )
    assert [record.result for record in project.records(ChangeEnded)] == ["done", "done", fault]
    assert project.made == ["20 b", "20 c"]


def test_preconditions_defers_what_an_earlier_step_establishes(project: Project) -> None:
    answer = project.run("--preconditions", at_20_b="precondition")
    answer.assert_told(0, "later    20  b: the host is ready: step 10 establishes it", "nothing was changed")
    assert project.made == []
    assert {record.word for record in project.records(WordEnded)} == {"precondition"}
    deferred = [record for record in project.records(StepEnded) if record.outcome == "deferred"]
    assert [record.step for record in deferred] == ["test_others[b]"]


def test_preconditions_looks_at_every_step_whatever_fails(project: Project) -> None:
    answer = project.run("--preconditions", at_10_bastion="precondition")
    answer.assert_told(6, "found:    too few hosts")
    assert [record.outcome for record in project.records(StepEnded)] == ["failed", *["passed"] * 5]


@pytest.mark.parametrize(("verdict", "steps"), [("healthy", 1), ("degraded", 1), ("lost", 6)])
def test_a_step_belongs_to_the_run_where_the_verdict_calls_for_it(project: Project, verdict: str, steps: int) -> None:
    answer = project.run(verdict=verdict)
    assert answer.exit == 0, answer.output
    assert len(project.records(StepEnded)) == steps
    assert len(project.made) == steps - 1


# A run that cannot go on


def test_a_second_run_is_refused_while_the_first_goes_on(project: Project) -> None:
    first = project.start("--confirm=small", at_20_b="wait")
    first.until(lambda: "20 b" in project.made, "the action")
    second = project.run()
    second.assert_told(6, "another run is under way", "nothing was changed")
    (project.folder / "go").touch()
    assert first.finish().exit == 0


def test_a_full_disk_stops_before_the_change(project: Project) -> None:
    """No record, no change: the journal lies on a file system that is full when the intent is to be written."""
    project.reports.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "none", str(project.reports)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr!r}")
    try:
        answer = project.run(at_30_a="full")
    finally:
        subprocess.run(["umount", "-l", str(project.reports)], check=True)
    assert project.made == ["20 b", "20 c"]
    answer.assert_told(1, "journal.jsonl cannot be written: No space left on device")
    answer.assert_told(1, "next:     make room on the machine that runs this first")


@pytest.mark.parametrize("left", ["report.html", ""], ids=["the page was made", "nothing was made"])
def test_a_report_that_a_killed_run_owes_is_made_or_told(project: Project, left: str) -> None:
    """The disk was full, or the folder is somebody else's: who recovers a cluster is not held up by it."""
    project.run()
    [report] = project.reports.glob("small/*/report.html")
    shutil.rmtree(report.parent / "allure-results")
    for name in {"report.html", "summary.json"} - {left}:
        (report.parent / name).unlink()
    hindrance = report.parent / "report.html.new"
    hindrance.mkdir()
    answer = project.run()
    answer.assert_told(
        0, f"report    of run {report.parent.name}: not written: ", f"python -m requorum.audit {report.parent}"
    )
    hindrance.rmdir()
    project.run().assert_told(0)
    assert {"report.html", "summary.json", "allure-results"} <= {one.name for one in report.parent.iterdir()}


def test_no_room_for_reports_is_a_usage_error(project: Project) -> None:
    project.reports.write_text("a file, no folder")
    answer = project.run()
    answer.assert_told(4, f"no folder for this run can be made in {project.reports}", "--reports FOLDER")

"""What is printed and written down, in which order, and of steps that were cut off."""

from __future__ import annotations

import os
import re
import select
import signal
import time
from pathlib import Path

import pytest
from small_project import STEPS, Project

from requorum.journal import Journal
from requorum.records import Ended, Planned, StepBegan, StepEnded

both = pytest.mark.parametrize("args", [(), ("-n2",)], ids=["plain", "n2"])

SLOW = """
import json
import os
import time
from pathlib import Path

import pytest


def pytest_collection_finish(session):
    \"\"\"Worker gw0 has told its steps (xdist's hook comes first), and is slow: another one begins before it goes on.\"\"\"
    if os.environ.get("PYTEST_XDIST_WORKER") != "gw0":
        return
    journal = next(Path(os.environ["DISK"]).glob("small/*/journal.jsonl"))
    end = time.monotonic() + 20
    while '"kind":"step-ended"' not in journal.read_text():
        if time.monotonic() > end:
            raise TimeoutError("waited 20 s for another worker")
        time.sleep(0.01)
"""


@pytest.mark.parametrize(
    ("args", "to_file"), [((), True), (("-n3",), True), (("-s",), False)], ids=["file", "n3-file", "s-pipe"]
)
def test_a_log_is_in_order(project: Project, tmp_path: Path, args: tuple[str, ...], to_file: bool) -> None:
    """Pytest's own lines and ours come through different streams."""
    answer = project.real(*args, log=tmp_path / "log" if to_file else None, at_30_a="postcondition")
    assert answer.exit == 1, answer.output
    parts = ["cluster  small: lost", "= test session starts =", "3 workers [" if args == ("-n3",) else "collected 9",
             " 10  bastion: Look", " 20  b: Touch", " 30  a: Touch", "blocked  2 further", "= FAILURES =",
             "expected: it is touched", "verdict   lost", "result    stopped", "report    ", " 1 failed, 3 passed"]  # fmt: skip
    places = [answer.output.find(part) for part in parts]
    assert -1 not in places, answer.output
    assert places == sorted(places), answer.output


def test_a_look_that_takes_its_time_is_told(project: Project) -> None:
    """A silent host is waited for; a blank screen at 3 a.m. looks like a hang."""
    started = project.start("--confirm=small", look="wait")
    said = "looking  at a, b, c; who is silent is waited for"
    started.until(lambda: said in started.output, "a word of the look")
    (project.folder / "go").touch()
    answer = started.finish()
    answer.assert_told(0, said)
    assert answer.output.count("looking") == 1
    assert "looking" not in project.run().output, "of a quick one nothing is told"


@both
def test_with_v_each_step_has_one_line(project: Project, args: tuple[str, ...]) -> None:
    answer = project.run("-v", *args)
    assert answer.exit == 0, answer.output
    assert "::" not in answer.output, answer.output
    assert answer.output.count(": Touch the survivor (") == 1


@pytest.mark.parametrize(("args", "said"), [((), "lost (at the start)"), (("--plan",), "lost")], ids=["run", "plan"])
def test_whose_verdict_it_is_that_stands_above_the_result(project: Project, args: tuple[str, ...], said: str) -> None:
    assert f"\nverdict   {said}\n" in project.run(*args).output


def test_no_more_workers_than_hosts(project: Project) -> None:
    answer = project.run("-n99")
    assert answer.exit == 0, answer.output
    assert "3 workers [" in answer.output


def test_a_plan_is_believed_in_one_process(project: Project) -> None:
    """A step sees what the steps before it would leave, whoever runs them."""
    answer = project.run("--plan", "-n3")
    assert answer.exit == 0, answer.output
    assert "1 worker [" in answer.output
    assert answer.output.count(" plan    ") == 5


@both
def test_what_was_found_is_told_whole(project: Project, args: tuple[str, ...]) -> None:
    """pytest cuts what it compared; whoever reads the failure has nothing else to go by."""
    steps = project.folder / "runbook" / "test_1_all.py"
    found = [f"etcd-{number}.a-long-name.example.com: its data differs" for number in range(20)]
    said = f'    with precondition("all the same"):\n        assert {found!r} == []\n    go_through(20, etcd.name)'
    steps.write_text(STEPS.replace("    go_through(20, etcd.name)", said))
    answer = project.run(*args)
    answer.assert_told(6, "found:    this, and nothing of it was expected:", *found)
    assert "..." not in answer.output


@both
def test_what_a_host_said_moves_no_cursor(project: Project, args: tuple[str, ...]) -> None:
    """etcd's own errors name buckets with NUL bytes in them; a log with one is binary to grep."""
    steps = project.folder / "runbook" / "test_1_all.py"
    said = (
        '    note("bucket \\0\\x1b[2J\\x07")\n    with precondition("a bucket"):\n'
        '        assert not "found \\0\\x1b[2J", "found \\0\\x1b[2J"\n    go_through(20, etcd.name)'
    )
    text = STEPS.replace("    go_through(20, etcd.name)", said).replace("LOST, action,", "LOST, action, note,")
    steps.write_text(text)
    answer = project.run(*args)
    answer.assert_told(6, "bucket ⟨U+0000⟩⟨U+001B⟩[2J⟨U+0007⟩", "found:    found ⟨U+0000⟩⟨U+001B⟩[2J")
    (journal,) = project.reports.glob("small/*/journal.jsonl")
    for written in (answer.output.encode(), journal.read_bytes()):
        assert set(written) & (set(range(32)) - set(b"\n\r\t")) <= set(), written


def test_the_plan_is_there_before_any_worker_begins(project: Project) -> None:
    """The worker that writes it may be the last to go on after the collection."""
    (project.folder / "runbook" / "conftest.py").write_text(SLOW)
    first, rest = STEPS.index("@step(10"), STEPS.index("@step(20")
    (project.folder / "runbook" / "test_1_all.py").write_text(STEPS[:first] + STEPS[rest:])
    answer = project.run("-n3")
    assert answer.exit == 0, answer.output
    (journal,) = project.reports.glob("small/*/journal.jsonl")
    kinds = [type(entry.record) for entry in Journal(journal).entries()]
    assert kinds.index(Planned) < kinds.index(StepBegan)
    assert " 20  b: Touch the others" in answer.output


# Cut off


@both
@pytest.mark.parametrize(
    ("fault", "word", "changed"),
    [
        ("cut before", "stopped", "this step had changed nothing"),
        ("interrupt", "UNKNOWN", "it is not known whether this was done: touch /30"),
        ("cut after", "stopped", "the one change that it began is made"),
    ],
)
def test_a_step_that_was_cut_off_says_what_it_had_changed(
    project: Project, args: tuple[str, ...], fault: str, word: str, changed: str
) -> None:
    answer = project.run(*args, at_30_a=fault)
    assert answer.exit == 2, answer.output
    assert re.search(rf"Z {word}  30  a: Touch the survivor \(.* s\): {changed}; interrupted", answer.output)
    assert f"changed:  {changed}" in answer.output  # pytest's own account of the failure says the same
    assert "What it did there is unknown" not in answer.output
    ends = [record.outcome for record in project.records(StepEnded) if record.step == "test_survivor[a]"]
    assert ends == ["interrupted"]


@both
def test_ctrl_c_in_an_action_is_written_down_as_interrupted(project: Project, args: tuple[str, ...]) -> None:
    started = project.start("--confirm=small", *args, at_30_a="wait")
    started.until(lambda: "30 a" in project.made, "the action")
    assert started.process.pid is not None
    os.killpg(started.process.pid, signal.SIGINT)
    if args:
        (project.folder / "go").touch()  # a worker is between two bytecodes only when the test lets it
    answer = started.finish()
    answer.assert_told(2, "interrupted: run the same command again", "members   not looked at")
    assert "!!!" not in answer.output, answer.output  # pytest's own account of Ctrl-C
    assert project.made == ["20 b", "20 c", "30 a"]
    ends = {record.step: record.outcome for record in project.records(StepEnded)}
    assert ends["test_survivor[a]"] in ("interrupted", "passed") if args else ends["test_survivor[a]"] == "interrupted"
    assert ends["test_joiners[b]"] == ends["test_joiners[c]"] == "blocked"
    assert len(project.records(StepEnded)) == len(ends) == 6
    (ended,) = project.records(Ended)
    assert (ended.result, ended.exit, ended.healthy, ended.missing) == ("interrupted", 2, (), ())


NEVER_BEGINS = """
import time

import pytest


@pytest.fixture(autouse=True)
def ready(request):
    while request.node.name == "test_others[c]":
        time.sleep(0.05)
"""


def test_a_step_whose_turn_had_come_and_that_never_began_is_not_called_interrupted(project: Project) -> None:
    (project.folder / "runbook" / "conftest.py").write_text(NEVER_BEGINS)
    started = project.start("--confirm=small", "-n2", at_20_b="wait")
    started.until(lambda: "20 b" in project.made, "the action")
    assert started.process.pid is not None
    os.killpg(started.process.pid, signal.SIGINT)
    (project.folder / "go").touch()
    answer = started.finish()
    answer.assert_told(2, "interrupted: run the same command again", "its turn had come on c", "ended before it began")
    assert {record.step: record.outcome for record in project.records(StepEnded)}["test_others[c]"] == "blocked"
    assert "began on c" not in answer.output


def test_a_second_ctrl_c_does_not_cost_the_report(project: Project) -> None:
    """While a worker is still in its action: the run waits for it, whatever else is pressed."""
    started = project.start("--confirm=small", "-n2", at_30_a="wait")
    started.until(lambda: "30 a" in project.made, "the action")
    assert started.process.pid is not None
    os.kill(started.process.pid, signal.SIGINT)
    started.until(lambda: len(project.records(StepEnded)) >= 5, "the account of what was not begun")
    os.kill(started.process.pid, signal.SIGINT)
    (project.folder / "go").touch()
    started.finish().assert_told(2, "interrupted: run the same command again", "report.html")


@both
def test_a_terminal_that_hangs_up_costs_neither_report_nor_exit_code(project: Project, args: tuple[str, ...]) -> None:
    """As where the operator's SSH session drops: whatever is written to that terminal is an error from then on."""
    pid, terminal = project.on_a_terminal("--confirm=small", *args, at_30_a="wait")
    shown, deadline = b"", time.monotonic() + 30
    while "30 a" not in project.made and time.monotonic() < deadline:
        if select.select([terminal], [], [], 0.05)[0]:
            shown += os.read(terminal, 65536)
    assert "30 a" in project.made, shown.decode(errors="replace")
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 2
    assert [(record.result, record.exit) for record in project.records(Ended)] == [("interrupted", 2)]
    assert len(list(project.reports.glob("small/*/report.html"))) == 1


def test_the_last_word_on_a_step_is_its_own_process_s(project: Project) -> None:
    """The controller alone is interrupted, accounts for every step, and its worker ends the step after that."""
    started = project.start("--confirm=small", "-n2", at_30_a="wait")
    started.until(lambda: "30 a" in project.made, "the action")
    assert started.process.pid is not None
    os.kill(started.process.pid, signal.SIGINT)
    started.until(lambda: len(project.records(StepEnded)) >= 5, "the account of what was not begun")
    (project.folder / "go").touch()
    answer = started.finish()
    assert answer.exit == 2, answer.output
    ends = [record.outcome for record in project.records(StepEnded) if record.step == "test_survivor[a]"]
    assert len(ends) == 1
    assert (ends == ["passed"]) == ("its own record says that it came to its end" in answer.output)


def test_a_choice_of_no_step_says_so(project: Project) -> None:
    answer = project.run("--plan", "-k", "nothing_of_this_name")
    answer.assert_told(5, "none of the steps that are chosen is due on this cluster", "nothing was changed")
    assert "this is what a recovery would do" not in answer.output
    (ended,) = project.records(Ended)
    assert (ended.result, ended.exit) == ("plan", 5)

"""The operator's word before the first change: asked for, typed, refused, interrupted."""

from __future__ import annotations

import json
import os
import signal

import pytest
from small_project import ORDER, Project

from requorum.records import ChangeIntended, Confirmed, Ended


@pytest.mark.parametrize(
    ("typed", "exit", "said"),
    [
        ("small\n", 0, "3 of 3 members"),
        ("  small \n", 0, "3 of 3 members"),
        ("smal\n", 6, "'small', found 'smal'"),
        ("y\n", 6, "'small', found 'y'"),
        ("\x04", 6, "'small', found ''"),
    ],
    ids=["right", "spaces", "wrong", "yes", "end-of-file"],
)
def test_the_operator_types_the_cluster_s_name(project: Project, typed: str, exit: int, said: str) -> None:
    with project.asked() as (started, types):
        for line in (
            "Survivor:  a: its data becomes the cluster.",
            "Loss:      none.",
            "Fenced:    b, c",
            "Point of no return: step 42",
            "no way back from there",
            "Rejoining: b, c.",
        ):
            assert line in started.output
        assert project.records(ChangeIntended) == []
        types(typed.encode())
        answer = started.finish()
    answer.assert_told(exit, said)
    assert project.made == (ORDER if exit == 0 else [])
    assert [record.given for record in project.records(Confirmed)] == [exit == 0]
    assert [record.exit for record in project.records(Ended)] == [exit]


@pytest.mark.parametrize("args", [(), ("-n2",)], ids=["plain", "n2"])
def test_what_is_told_after_the_question_comes_in_its_order(project: Project, args: tuple[str, ...]) -> None:
    with project.asked(*args) as (started, types):
        types(b"small\n")
        answer = started.finish()
    words = ("Type the", "test session starts", "ok       10", "result    3 of 3 members", "report    ", "6 passed")
    answer.assert_told(0, *words)
    places = [answer.output.index(word) for word in words]
    assert places == sorted(places), answer.output


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_run_that_is_stopped_while_it_asks_has_not_begun(project: Project, number: int) -> None:
    with project.asked() as (started, _):
        os.killpg(started.process.pid, number)
        answer = started.finish()
    answer.assert_told(2, "stopped   Ctrl-C, SIGTERM or a hang-up, before anything was begun", "nothing was changed")
    assert "found ''" not in answer.output
    assert "!!!" not in answer.output
    assert answer.output.splitlines()[-1].startswith("report    ")
    assert project.made == []
    assert [(record.result, record.exit) for record in project.records(Ended)] == [("interrupted", 2)]
    assert [(record.how, record.given) for record in project.records(Confirmed)] == [
        ("stopped by Ctrl-C, SIGTERM or a hang-up while it asked", False)
    ]


def test_without_a_terminal_nothing_is_begun(project: Project) -> None:
    answer = project.start().finish()
    answer.assert_told(6, "there is no terminal to ask on", "the same command and --confirm small")
    assert answer.output.count("nothing was changed") == 1
    assert "Exit" not in answer.output
    assert answer.output.splitlines()[-1].startswith("report    ")
    assert project.made == []
    assert [(record.result, record.exit) for record in project.records(Ended)] == [("refused", 6)]
    summary = next(project.reports.glob("small/*/summary.json"))
    assert json.loads(summary.read_text())["exit"] == 6


def test_the_inventory_may_say_that_nobody_is_asked(project: Project) -> None:
    with (project.folder / "inventory.yaml").open("a") as file:
        file.write("confirm: false\n")
    assert project.start().finish().exit == 0
    assert [record.how for record in project.records(Confirmed)] == ["`confirm: false` in the inventory"]


@pytest.mark.parametrize("args", [("--plan",), ("--preconditions",), ("--collect-only",)])
def test_nobody_is_asked_where_nothing_is_changed(project: Project, args: tuple[str, ...]) -> None:
    answer = project.start(*args).finish()
    assert "--confirm" not in answer.output
    assert project.made == []

"""The story is told right whoever writes in between, and whatever is missing at the end."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import pytest
from audit_journals import (
    HOSTS,
    OTHERS,
    SURVIVOR,
    Scribe,
    Timed,
    hostile,
    interleaved,
    interrupted,
    opening,
    planned,
    recovery,
    refused,
    step,
    step_id,
    word,
)

from requorum.audit import read_story
from requorum.audit.answer import again, answer
from requorum.audit.story import ChangeStory, CommandStory, Story, WaitStory
from requorum.audit.summary import summarize
from requorum.records import (
    NEVER_WRITTEN,
    WRITABLE,
    ChangeEnded,
    ChangeIntended,
    Confirmed,
    Ended,
    Mode,
    Noted,
    StepBegan,
    StepEnded,
    VerdictGiven,
    Word,
    WordBegan,
    WordEnded,
)


class Told(Protocol):
    def __call__(self, *streams: Iterable[Timed]) -> Story: ...


@pytest.fixture
def told(tmp_path: Path) -> Told:
    def tell(*streams: Iterable[Timed]) -> Story:
        scribe = Scribe(tmp_path)
        for stream in streams:
            scribe.write(stream)
        return read_story(tmp_path)

    return tell


def test_a_recovery_is_whole(told: Told) -> None:
    story = told(recovery())
    assert len(story.steps) == 27
    assert {step.outcome for step in story.steps} == {"passed"}
    assert [step.number for step in story.steps] == sorted(step.number for step in story.steps)
    result = answer(story)
    assert (result.tone, result.title, result.next_command) == ("good", "RECOVERED: 3 of 3 members", "")
    assert result.last_finished is not None
    assert result.last_finished.number == 62
    assert story.unknown == ()


def test_interleaved_records_go_to_their_own_step(told: Told) -> None:
    story = told(opening(), [(0.1, planned())], interleaved(*(step(20, host) for host in HOSTS)))
    steps = [step for step in story.steps if step.number == 20]
    for one in steps:
        assert [word.word for word in one.words] == ["precondition", "action", "postcondition"]
        assert {c.host for c in one.all_events if isinstance(c, CommandStory)} == {one.host}
        (change,) = one.changes
        assert change.host == one.host
        assert [command.command for command in change.commands] == ["do 20"]
    assert steps[0].began < steps[1].ended
    assert steps[1].began < steps[0].ended


def test_a_wait_ends_with_what_follows_not_with_its_polls(told: Told) -> None:
    story = told(opening(), step(40, SURVIVOR))
    (wait,) = (event for event in story.steps[0].all_events if isinstance(event, WaitStory))
    assert wait.until == story.steps[0].words[-1].ended


def test_commands_outside_of_steps_are_the_survey(told: Told) -> None:
    assert [e.host for e in told(recovery()).survey if isinstance(e, CommandStory)] == list(HOSTS)


def test_a_refusal_changed_nothing(told: Told) -> None:
    story = told(refused())
    result = answer(story)
    assert result.title == "STOPPED: nothing was changed"
    assert [step.number for step in result.stopped_by] == [11]
    assert result.next_command == "pytest runbook/ --inventory 'prod site.yaml' -n 3"
    assert "lost: true" in result.advice[0]
    assert sum(step.outcome == "blocked" for step in story.steps) == 23


def test_a_kill_in_an_action_names_what_is_unknown(told: Told) -> None:
    story = told(interrupted())
    result = answer(story)
    assert result.title == "INTERRUPTED: the state of 1 change is unknown"
    (cut,) = result.stopped_by
    assert (cut.id, cut.outcome, cut.broken_word and cut.broken_word.word) == (
        step_id(30, OTHERS[0]),
        "interrupted",
        "action",
    )
    assert [(c.host, c.change) for c in result.unknown] == [(OTHERS[0], "mask etcd")]
    outcomes = {step.id: step.outcome for step in story.steps}
    assert outcomes[step_id(30, OTHERS[1])] == "passed"
    assert outcomes[step_id(31, SURVIVOR)] == "not reached"


def test_a_kill_between_steps_is_interrupted_too(told: Told) -> None:
    result = answer(told(opening(), [(0, planned())], step(10, SURVIVOR)))
    assert result.title == "INTERRUPTED: nothing was changed"


def test_a_kill_before_any_intent_changed_nothing(told: Told) -> None:
    name = step_id(30, OTHERS[0])
    began: list[Timed] = [(0, StepBegan(name, OTHERS[0])), (0, WordBegan(name, OTHERS[0], "action", "stop etcd"))]
    assert answer(told(opening(), [(0, planned())], began)).title == "INTERRUPTED: nothing was changed"


def test_an_unknown_change_that_was_looked_at_is_known(told: Told) -> None:
    name, host = step_id(30, OTHERS[0]), OTHERS[0]
    lost: list[Timed] = [
        (0, ChangeIntended(name, host, "mask etcd", "systemctl mask etcd")),
        (0, ChangeEnded(name, host, "mask etcd", "systemctl mask etcd", "unknown", "the connection dropped")),
    ]
    looked: list[Timed] = [(0, ChangeEnded(name, host, "mask etcd", "systemctl mask etcd", "held", "masked"))]
    story = told(opening(), lost)
    assert len(story.unknown) == 1
    assert told(looked).unknown == ()
    assert len(told().touched) == 1


@pytest.mark.parametrize(
    ("broken", "state"),
    [("precondition", "2 changes made before"), ("action", "state unknown"),
     ("postcondition", "changed, but not as required")],
)  # fmt: skip
def test_the_word_that_failed_names_the_class(told: Told, broken: Word, state: str) -> None:
    name = step_id(40, SURVIVOR)
    failing = [
        (after, replace(event, outcome="failed", found="x") if isinstance(event, WordEnded) else event)
        for after, event in word(name, SURVIVOR, broken, "what must be so")
    ]
    end: list[Timed] = [
        (0, StepEnded(name, SURVIVOR, "failed", "x")),
        (0, Ended("failed", 1, "lost", SURVIVOR, (), (), "", "")),
    ]
    story = told(opening(), [(0, planned())], step(20, HOSTS[0]), step(20, HOSTS[1]),
                 [(0, StepBegan(name, SURVIVOR))], failing, end)  # fmt: skip
    assert answer(story).title == f"STOPPED: {state}"


def test_members_still_missing_are_named_with_the_command(told: Told) -> None:
    ended = Ended("partial", 0, "lost", SURVIVOR, (SURVIVOR,), tuple(OTHERS), "", "")
    result = answer(told(opening(), [(0, planned())], step(40, SURVIVOR), [(0, ended)]))
    assert (result.tone, result.title) == ("warn", "RECOVERED: 1 of 3 members")
    assert result.sentence.endswith("when etcd-1.example.com, etcd-2.example.com are back.")
    assert result.next_command.startswith("pytest runbook/")


def test_a_healthy_cluster_has_nothing_to_do(told: Told) -> None:
    ended = Ended("healthy", 0, "healthy", "", HOSTS, (), "", "")
    result = answer(told(opening(verdict="healthy"), [(0, planned()), (0, ended)]))
    assert (result.tone, result.headline, result.next_command) == ("good", "HEALTHY", "")


@pytest.mark.parametrize("mode", ["recovery", "preconditions", "plan", "checks"])
def test_a_healthy_cluster_that_was_never_written_to_may_have_lost_everything(told: Told, mode: Mode) -> None:
    events: list[Timed] = [
        (0, VerdictGiven("healthy", (NEVER_WRITTEN,), (), "", "", HOSTS)),
        (0, planned()),
        (0, Ended("healthy", 0, "healthy", "", HOSTS, (), "", "")),
    ]
    result = answer(told(opening(mode, verdict="healthy"), events))
    assert (result.tone, result.headline) == ("warn", "HEALTHY, AND EMPTY")
    assert "restore a snapshot" in result.sentence


@pytest.mark.parametrize("mode", ["preconditions", "plan"])
def test_a_rehearsal_names_the_command_that_acts(told: Told, mode: Mode) -> None:
    ended = Ended("ok", 0, "lost", SURVIVOR, (), (), "", "")
    plan = ChangeEnded(step_id(30, OTHERS[0]), OTHERS[0], "mask", "systemctl mask etcd", "planned", "")
    result = answer(told(opening(mode), [(0, planned()), (0, plan), (0, ended)]))
    assert result.next_command == "pytest runbook/ --inventory 'prod site.yaml' -n 3"
    assert result.state == "nothing was changed"


def test_a_gap_in_time_is_told(told: Told) -> None:
    story = told(opening(), [(61, Confirmed("typed", "anna", True))])
    (gap,) = story.gaps
    assert gap.after_record == story.chain.records - 1


def test_again_knows_every_way_to_start_pytest(told: Told) -> None:
    run = told(opening()).run
    assert run is not None
    ways: tuple[tuple[str, ...], ...] = (
        ("pytest", "runbook/"),
        ("/venv/lib/pytest/__main__.py", "runbook/"),
        ("runbook/",),
    )
    for argv in ways:
        assert again(replace(run, argv=argv)) == "pytest runbook/"


def test_steps_that_no_plan_names_are_told(told: Told) -> None:
    story = told(opening(), step(99, SURVIVOR))
    assert [(s.id, s.outcome) for s in story.steps] == [(step_id(99, SURVIVOR), "passed")]


def test_an_empty_journal_is_told(tmp_path: Path) -> None:
    (tmp_path / "journal.jsonl").touch()
    assert answer(read_story(tmp_path)).headline == "NOTHING RECORDED"


def test_a_failed_change_counts_as_a_change(told: Told) -> None:
    story = told(hostile())
    assert [c.result for c in story.touched] == ["failed"]
    assert all(isinstance(change, ChangeStory) for change in story.changes)


def test_a_refused_confirmation_is_told(told: Told) -> None:
    no = Confirmed("typed at the terminal", "anna", False)
    ended = Ended("refused", 1, "lost", SURVIVOR, (), (), "", "")
    result = answer(told(opening(), [(0, planned()), (0, no), (0, ended)]))
    assert result.title == "STOPPED: nothing was changed"
    assert result.sentence.startswith("The recovery was not agreed to.")


def test_advice_of_several_lines_is_told_once(told: Told) -> None:
    """The step that refuses a verdict repeats the verdict's advice, in one text."""
    lines = ("etcd-1: systemctl start etcd", "etcd-2: systemctl start etcd")
    name, text = step_id(10, SURVIVOR), "a verdict that allows to go on"
    failed = WordEnded(name, SURVIVOR, "precondition", text, "failed", text, "x", "\n".join(lines))
    verdict = VerdictGiven("restartable", (), lines, "", "", HOSTS)
    ended = Ended("refused", 6, "restartable", "", (), HOSTS, "", "")
    story = told(opening(), [(0, verdict), (0, StepBegan(name, SURVIVOR)), (0, failed),
                             (0, StepEnded(name, SURVIVOR, "failed", "x")), (0, ended)])  # fmt: skip
    assert answer(story).advice == lines
    assert answer(story).title == "STOPPED: nothing was changed"  # no step is planned behind it, so none is blocked


def test_a_refusal_before_the_first_step_says_why(told: Told) -> None:
    """A host that cannot be read, another run under way: there is no step that would say it."""
    ended = Ended("refused", 6, "", "", (), (), "", "another run is under way: bob, process 7")
    result = answer(told(opening(), [(0, ended)]))
    assert result.title == "STOPPED: nothing was changed"
    assert result.sentence == "Refused: another run is under way: bob, process 7"


def test_members_that_nobody_looked_at_are_not_counted(told: Told) -> None:
    ended = Ended("recovered", 0, "lost", SURVIVOR, (), (), "", "")
    result = answer(told(opening(), [(0, planned())], step(40, SURVIVOR), [(0, ended)]))
    assert (result.tone, result.title) == ("warn", "RECOVERED: members not looked at")
    assert "the last look at the members failed" in result.sentence


def test_an_interruption_names_the_unknown_only_where_there_is_any(told: Told) -> None:
    ended = Ended("interrupted", 2, "lost", SURVIVOR, (), (), "", "")
    known = answer(told(opening(), [(0, planned())], step(40, SURVIVOR), [(0, ended)]))
    assert known.sentence == "Run the same command again: it looks, and carries on."
    assert "looks at what is unknown" in answer(told(interrupted())).sentence


def test_a_run_that_was_killed_has_told_when_writes_were_possible(told: Told) -> None:
    name = step_id(40, SURVIVOR)
    cut: list[Timed] = [(0.1, StepBegan(name, SURVIVOR)), (0.1, Noted(name, SURVIVOR, WRITABLE))]
    story = told(interrupted(), cut)
    assert story.ended is None
    assert story.writable_at == story.last
    assert (answer(story).writable_at, summarize(story).writable_at) == (story.last, story.last)

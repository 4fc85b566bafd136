"""How a run ended: what its last record says, and what it does not."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from builders import answers, facts, inventory, members, name, names

from requorum.diagnosis import Diagnosis, Verdict
from requorum.facts.host import HostFacts, Silent
from requorum.records import (
    NEVER_WRITTEN,
    WRITABLE,
    ChangeEnded,
    ChangeIntended,
    Mode,
    Noted,
    Planned,
    PlannedStep,
    StepBegan,
    StepEnded,
)
from requorum.run import Run
from requorum.stages.outcome import outcome, step_words
from requorum.stages.step import Now, enter, note

STEP = "test_step[etcd-0.example.com]"


def run(folder: Path, verdict: Verdict, *survey: HostFacts) -> Run:
    (folder / "journal.jsonl").touch()
    found = Diagnosis(verdict, (), survivor=name(0), members=(name(0),))
    return Run("recovery", inventory(), folder, "run", "op@here", os.getpid(), (), {f.name: f for f in survey}, found)


@pytest.mark.parametrize(
    ("verdict", "answering", "said"),
    [(Verdict.LOST, False, True), (Verdict.UNFINISHED, False, True), (Verdict.UNFINISHED, True, False),
     (Verdict.DEGRADED, True, False)],
)  # fmt: skip
def test_writable_since_is_said_where_this_run_made_it_so(
    tmp_path: Path, verdict: Verdict, answering: bool, said: bool
) -> None:
    """A run that carries on can find a cluster that an earlier one made writable."""
    host = facts(0, api=answers(0, members(0))) if answering else facts(0)
    here = run(tmp_path, verdict, host)
    enter(Now(here, STEP, name(0)))
    note(WRITABLE)
    enter(None)
    (entry,) = here.journal.entries()
    assert isinstance(entry.record, Noted)
    assert (entry.record.text == WRITABLE) == said
    assert outcome(here, here.diagnosis, stopped=False).writable_at == (entry.at if said else "")


@pytest.mark.parametrize("verdict", [Verdict.LOST, Verdict.UNFINISHED])
def test_after_an_interruption_nobody_looked_at_the_members(tmp_path: Path, verdict: Verdict) -> None:
    ended = outcome(run(tmp_path, verdict), None, stopped=True)
    assert (ended.result, ended.healthy, ended.missing) == ("interrupted", (), ())


def test_a_last_look_that_failed_is_no_count_of_members(tmp_path: Path) -> None:
    ended = outcome(run(tmp_path, Verdict.LOST), None, stopped=False)
    assert (ended.exit, ended.healthy, ended.missing) == (0, (), ())
    assert "the last look at the members failed" in ended.answer


def test_a_member_that_the_inventory_does_not_have_is_missing_too(tmp_path: Path) -> None:
    """Else one of three members would be called *1 of 1*."""
    final = Diagnosis(Verdict.DEGRADED, (), survivor=name(0), members=names(0), strangers=("m7",))
    ended = outcome(run(tmp_path, Verdict.DEGRADED), final, stopped=False)
    assert (ended.healthy, ended.missing) == (names(0), (*names(1, 2), "m7"))


@pytest.mark.parametrize(
    ("rejoin", "said"),
    [
        (None, "1 of 3 members; run the same command when etcd-1, etcd-2 are back; nothing was changed"),
        ((name(1),), "1 of 3 members; run the same command when etcd-1 is back; as the inventory says (`rejoin`), "
                     "etcd-2 does not rejoin; nothing was changed"),
        ((), "1 of 3 members; as the inventory says (`rejoin`), etcd-1, etcd-2 do not rejoin; nothing was changed"),
    ],
)  # fmt: skip
def test_what_missing_members_wait_for(tmp_path: Path, rejoin: tuple[str, ...] | None, said: str) -> None:
    here = run(tmp_path, Verdict.HEALTHY)
    here = replace(here, inventory=replace(here.inventory, etcd=replace(here.inventory.etcd, rejoin=rejoin)))
    assert outcome(here, here.diagnosis, stopped=False).answer == said


@pytest.mark.parametrize(
    ("mode", "result", "said"),
    [
        ("recovery", "healthy", "3 of 3 members; nothing to do, nothing was changed"),
        ("preconditions", "preconditions", "there is nothing to do; nothing was changed"),
        ("plan", "plan", "there is nothing to do; nothing was changed"),
        ("checks", "checks", "every check passed; nothing was changed"),
    ],
)
def test_a_cluster_that_was_never_written_to_is_healthy_and_may_have_lost_everything(
    tmp_path: Path, mode: Mode, result: str, said: str
) -> None:
    here = replace(run(tmp_path, Verdict.HEALTHY), mode=mode)
    whole = replace(here.diagnosis, members=here.inventory.host_names)  # type: ignore[type-var]
    assert outcome(here, whole, stopped=False).answer == said
    empty = replace(here, diagnosis=replace(whole, proof=(NEVER_WRITTEN,)))  # type: ignore[type-var]
    ended = outcome(empty, empty.diagnosis, stopped=False)
    assert (ended.result, ended.exit) == (result, 0)
    assert ended.answer == f"{said}; {NEVER_WRITTEN}; if it held data, restore a snapshot"


@pytest.mark.parametrize(
    ("back", "said"),
    [
        ((), "1 of 3 members; run the same command when etcd-1, etcd-2 are back"),
        ((1,), "1 of 3 members; etcd-1 is back: run the same command again"),
        ((1, 2), "1 of 3 members; etcd-1, etcd-2 are back: run the same command again"),
    ],
)
def test_who_has_come_back_meanwhile_is_said(tmp_path: Path, back: tuple[int, ...], said: str) -> None:
    here = run(tmp_path, Verdict.LOST)
    here.journal.add(ChangeEnded(STEP, name(0), "a", "touch /a", "done", ""))
    final = Diagnosis(Verdict.UNFINISHED, (), survivor=name(0), members=names(0), joiners=names(*back))
    assert outcome(here, final, stopped=False).answer == said


@pytest.mark.parametrize(
    ("blocked", "said"),
    [
        (
            False,
            "3 of 3 members; a step failed and the others went on: see it, mend it, and run the same command again",
        ),
        (True, "stopped; see the failed step, mend it, and run the same command again"),
    ],
)
def test_a_step_that_failed_and_blocked_nothing_is_told_with_what_the_others_came_to(
    tmp_path: Path, blocked: bool, said: str
) -> None:
    here = run(tmp_path, Verdict.LOST)
    here.journal.add(ChangeEnded(STEP, name(0), "a", "touch /a", "done", ""))
    here.journal.add(StepEnded(STEP, name(0), "failed", "no answer"))
    if blocked:
        here.journal.add(StepEnded("test_other[b]", "b", "blocked", "test_step failed"))
    final = Diagnosis(Verdict.HEALTHY, (), survivor=name(0), members=names(0, 1, 2))
    ended = outcome(here, final, stopped=False, status=1)
    assert (ended.result, ended.exit, ended.answer) == ("failed", 1, said)


def test_what_a_step_that_was_cut_off_has_changed(tmp_path: Path) -> None:
    journal = run(tmp_path, Verdict.LOST).journal
    journal.add(StepBegan("test_other[b]", "b"))
    journal.add(ChangeIntended("test_other[b]", "b", "x", "systemctl stop etcd"))
    said = [step_words(journal, STEP)]
    journal.add(StepBegan(STEP, name(0)))
    for change in ("a", "b", "c"):
        said.append(step_words(journal, STEP))
        journal.add(ChangeIntended(STEP, name(0), change, f"touch /{change}\nmore"))
        said.append(step_words(journal, STEP))
        journal.add(ChangeEnded(STEP, name(0), change, f"touch /{change}", "held" if change == "a" else "done", ""))
    said.append(step_words(journal, STEP))
    assert said == [
        "this step had not begun, and changed nothing",
        "this step had changed nothing",
        "it is not known whether this was done: touch /a",
        "this step had changed nothing",
        "it is not known whether this was done: touch /b",
        "the one change that it began is made",
        "it is not known whether this was done: touch /c",
        "the 2 changes that it began are made",
    ]


def test_a_file_that_may_have_been_written_is_named(tmp_path: Path) -> None:
    journal = run(tmp_path, Verdict.LOST).journal
    journal.add(StepBegan(STEP, name(0)))
    fence = "/etc/systemd/system/etcd.service.d/requorum-fence.conf"
    journal.add(ChangeIntended(STEP, name(0), "a", f"--- /dev/null\n+++ {fence}\n@@ -0,0 +1 @@\n+[Unit]"))
    assert step_words(journal, STEP) == f"it is not known whether this was done: edit {fence}"


def test_a_host_that_is_back_and_could_not_be_read_is_not_waited_for(tmp_path: Path) -> None:
    """A reinstalled host has another key: only its line in known_hosts is missing."""
    shut = Silent(
        name(1), "the ssh-ed25519 key SHA256:x, which is not known", "compare it; echo … >> known_hosts", True
    )
    here = replace(
        run(tmp_path, Verdict.HEALTHY), survey={name(1): shut, name(2): Silent(name(2), "no answer", "look")}
    )
    said = outcome(here, here.diagnosis, stopped=False).answer
    assert said == (
        "1 of 3 members; etcd-1 answers, and could not be read (the ssh-ed25519 key SHA256:x, which is not known): compare it; "
        "echo … >> known_hosts; then run the same command again; run the same command when etcd-2 is back; nothing was "
        "changed"
    )


@pytest.mark.parametrize("mode", ["plan", "preconditions"])
def test_a_look_at_a_healthy_cluster_promises_no_recovery(tmp_path: Path, mode: Mode) -> None:
    here = replace(run(tmp_path, Verdict.HEALTHY), mode=mode)
    assert outcome(here, None, stopped=False).answer == "there is nothing to do; nothing was changed"


def test_steps_of_which_nothing_is_written_down_are_no_success(tmp_path: Path) -> None:
    here = run(tmp_path, Verdict.LOST)
    steps = tuple(PlannedStep(f"test_{n}[a]", n, "x", "a", "1", "") for n in (10, 20))
    here.journal.add(Planned(steps))
    here.journal.add(StepEnded("test_10[a]", "a", "passed", ""))
    ended = outcome(here, here.diagnosis, stopped=False)
    assert (ended.result, ended.exit) == ("failed", 1)
    assert ended.answer.startswith("1 steps of the plan were not run")

"""`--abort` on the command line: its own steps and no others, what is asked, refused and said. Hosts are left out."""

from __future__ import annotations

import pytest
from small_project import Project

from requorum.records import ChangeIntended, Confirmed, Ended


def test_its_own_steps_in_order_and_no_others(project: Project) -> None:
    answer = project.run("--abort")
    answer.assert_told(
        0, "abort    recovery r1 by ada@desk, survivor a", "agreed: --confirm small", "undone: every host"
    )
    assert "the backups stay on the hosts: /backup/etcd-*-r1" in answer.output
    assert project.made == ["91 a", "92 b"]
    assert [(record.result, record.exit) for record in project.records(Ended)] == [("aborted", 0)]


def test_workers_undo_too(project: Project) -> None:
    assert project.run("--abort", "-n2").exit == 0
    assert project.made == ["91 a", "92 b"]


def test_it_is_asked_for_as_a_recovery_is(project: Project) -> None:
    with project.asked("--abort") as (started, types):
        for line in (
            "abort    recovery r1 by ada@desk",
            "that recovery is undone, host by host as above",
            "a: etcd is started",
            "b: the fence is lifted",
        ):
            assert line in started.output
        assert project.records(ChangeIntended) == []
        types(b"smal\n")
        answer = started.finish()
    answer.assert_told(6, "'small', found 'smal'", "nothing was changed")
    assert project.made == []


def test_nothing_to_undo(project: Project) -> None:
    """Nobody is asked."""
    answer = project.start("--abort", at_undo="nothing").finish()
    answer.assert_told(
        0, "nothing to undo: no host bears the mark of a recovery", "nothing to undo, nothing was changed"
    )
    assert project.made == []
    assert project.records(Confirmed) == []


def test_what_cannot_be_undone(project: Project) -> None:
    answer = project.run("--abort", at_undo="problem")
    answer.assert_told(6, "the point of no return has passed", "next      finish it", "stopped; nothing was changed")
    assert project.made == []


@pytest.mark.parametrize("other", ["--plan", "--preconditions"])
def test_one_thing_at_a_time(project: Project, other: str) -> None:
    project.run("--abort", other).assert_told(4, f"{other} and --abort are different runs", "give one of them")


def test_a_part_of_it_is_refused(project: Project) -> None:
    project.run("--abort", "-k", "survivor").assert_told(4, "-k is refused for a run that changes anything")


def test_a_failure_says_how_to_go_on(project: Project) -> None:
    answer = project.run("--abort", at_91_a="failed")
    answer.assert_told(1, "run the same command again")
    assert project.made == []


def test_an_interruption_says_how_to_go_on(project: Project) -> None:
    assert "run the same command again" in project.run("--abort", at_91_a="interrupt").output
    assert project.run("--abort").exit == 0
    assert project.made == ["91 a", "92 b"]


def test_a_lock_is_broken_by_a_run_that_changes_hosts(project: Project) -> None:
    answer = project.run("--plan", "--break-lock", "r0")
    answer.assert_told(4, "--break-lock is not for --plan, which locks nothing")


@pytest.mark.parametrize("mode", [(), ("--abort",)], ids=["recovery", "abort"])
def test_a_lock_that_nobody_holds_is_not_broken_silently(project: Project, mode: tuple[str, ...]) -> None:
    """It goes on: a run that broke the lock, and was cut off, is carried on with the same command."""
    answer = project.run(*mode, "--break-lock", "r0")
    answer.assert_told(0, "locked   by nobody: run r0 holds the lock of no host that was reached", "nothing to break")

"""Who may begin beside whom, from what the survey read of the hosts' locks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from builders import deaf, emptied, inventory, name, silent, survey

from requorum.facts.host import HostFacts
from requorum.hostlock import FREE, HostLock
from requorum.locking import Locked
from requorum.run import Run
from requorum.stages.other_runs import refuse_beside_another

HELD = HostLock("aaa 7 9 2026-11-05T03:00:00Z r1 ada@desk", alive=True, busy=False)
OTHER = HostLock("bbb 8 9 2026-11-05T03:01:00Z r2 bob@desk", alive=True, busy=False)


def begun(tmp_path: Path, *locks: HostLock) -> Run:
    run = Run("recovery", inventory(), tmp_path, "r3", "eve@desk", 1, ())
    hosts: list[HostFacts] = [deaf(0), emptied(1)]
    found = [replace(facts, lock=lock) for facts, lock in zip(hosts, locks, strict=True)]
    run.survey = survey(*found, silent(2))
    return run


def test_a_lock_that_is_held_is_told_with_all_that_is_known(tmp_path: Path) -> None:
    with pytest.raises(Locked) as refused:
        refuse_beside_another(begun(tmp_path, HELD, HELD), "")
    assert str(refused.value) == (
        f"another run is under way on {name(0)}, {name(1)}: run r1 by ada@desk, since 2026-11-05T03:00:00Z"
    )
    assert refused.value.advice.endswith("only if that machine is dead, add --break-lock r1")


def test_every_holder_is_named(tmp_path: Path) -> None:
    with pytest.raises(Locked, match=r"run r1 by ada@desk, .*; on .* run r2 by bob@desk"):
        refuse_beside_another(begun(tmp_path, HELD, OTHER), "")


def test_the_lock_of_one_run_is_broken_and_no_other(tmp_path: Path) -> None:
    refuse_beside_another(begun(tmp_path, HELD, HELD), "r1")
    with pytest.raises(Locked, match="run r2"):
        refuse_beside_another(begun(tmp_path, HELD, OTHER), "r1")


def test_a_run_that_holds_no_lock_is_not_broken_for_another(tmp_path: Path) -> None:
    """A wrong name after --break-lock: who holds the lock is told, and that it is not this one."""
    with pytest.raises(Locked, match=r"run r1 by ada@desk.*; --break-lock r9: that run holds none") as refused:
        refuse_beside_another(begun(tmp_path, HELD, FREE), "r9")
    assert refused.value.advice.endswith("--break-lock r1")
    with pytest.raises(Locked) as beside:
        refuse_beside_another(begun(tmp_path, HELD, OTHER), "r1")
    assert "holds none" not in str(beside.value)


@pytest.mark.parametrize(("lock", "held"), [(HELD, True), (replace(HELD, alive=False), False), (FREE, False)])
def test_whether_a_run_holds_a_lock(tmp_path: Path, lock: HostLock, held: bool) -> None:
    assert begun(tmp_path, FREE, lock).locked_by("r1") == held


def test_a_lock_of_its_own_is_no_other_run_s(tmp_path: Path) -> None:
    """A run looks again once it holds the locks."""
    run = begun(tmp_path, HELD, FREE)
    run.token = HELD.token
    assert run.holders() == {}


def test_a_lock_without_a_living_holder_is_free(tmp_path: Path) -> None:
    refuse_beside_another(begun(tmp_path, replace(HELD, alive=False), FREE), "")


def test_a_change_of_a_killed_run_is_waited_for_and_then_told(tmp_path: Path) -> None:
    with pytest.raises(Locked, match=f"a change that a killed run began still goes on on {name(1)}"):
        refuse_beside_another(begun(tmp_path, FREE, replace(HELD, alive=False, busy=True)), "r1")

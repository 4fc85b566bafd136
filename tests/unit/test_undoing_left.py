"""What an abort leaves as it is: old peers stay fenced, and an earlier force is there afterwards, as it was before."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from builders import deaf, healthy, inventory, mark, members, name, silent, stopped, survey

from requorum import operations
from requorum.changes import Change
from requorum.facts import mark as marks
from requorum.facts.host import HostFacts, Silent
from requorum.operations.marking import signed
from requorum.undoing import Undoing, listed, undoing_of

FORCED = replace(mark(), recovery="20260101-0000")
"""The earlier recovery, which forced host 0."""

ALONE = replace(healthy(0, members(0)), forced_by=FORCED)
BEGUN = replace(mark(), members=listed(ALONE))


def bears(now: HostFacts, before: HostFacts, *, removed: bool = False) -> HostFacts:
    return replace(now, mark=signed(before, BEGUN, removed=removed))


def found(*hosts: HostFacts | Silent, lost: tuple[int, ...] = ()) -> Undoing:
    return undoing_of(inventory(len(hosts), lost=lost), survey(*hosts))


def applied(changes: list[Change], to: HostFacts) -> HostFacts:
    for change in changes:
        to = change.after(to)
    return to


SURVIVOR = bears(ALONE, ALONE)
OLD = [bears(stopped(n, fenced=True), deaf(n), removed=True) for n in (1, 2)]


# -- old peers


def test_an_old_peer_stays_fenced() -> None:
    """Step 11 fences it before step 20 signs it, from a survey that is older than the fence."""
    undoing = found(SURVIVOR, *OLD)
    assert undoing.acts
    assert undoing.words == tuple(f"{name(n)}: only the mark goes" for n in range(3))
    for n, host in enumerate(OLD, 1):
        assert operations.fence.lower_fence(host) == []
        assert operations.etcd.start_as_found(host) == []
        [said] = [line for line in undoing.left if line.startswith(f"{name(n)} stays fenced")]
        assert "its member was removed" in said
        assert "do not start etcd there" in said


def test_what_was_found_of_an_old_peer_is_what_step_11_made_of_it() -> None:
    """The same mark as where the run was killed between the two steps, and the next one signs."""
    again = signed(stopped(1, fenced=True), BEGUN)
    assert signed(deaf(1), BEGUN, removed=True) == again
    [change] = operations.marking.sign(deaf(1), BEGUN, removed=True)
    assert change.after(deaf(1)).mark == again


def test_a_fence_that_is_lifted_is_not_told_as_left() -> None:
    others = [bears(stopped(n, fenced=True), deaf(n)) for n in (1, 2)]
    assert not [line for line in found(SURVIVOR, *others).left if "stays fenced" in line]


# -- an earlier force


@pytest.mark.parametrize("hosts", [(SURVIVOR, *OLD), (ALONE, silent(1), silent(2))], ids=["to undo", "nothing to undo"])
def test_an_earlier_force_is_told(hosts: tuple[HostFacts | Silent, ...]) -> None:
    undoing = found(*hosts, lost=(1, 2))
    [said] = [line for line in undoing.left if "was forced" in line]
    assert said.startswith(f"{name(0)} was forced by recovery {FORCED.recovery}")
    assert "not undone" in said


def test_an_earlier_force_is_told_where_this_recovery_has_noted_down_its_own() -> None:
    [change] = operations.marking.remember_force(SURVIVOR, BEGUN)
    [said] = [line for line in found(change.after(SURVIVOR), *OLD).left if "was forced" in line]
    assert FORCED.recovery in said


def test_no_force_no_word() -> None:
    begun = replace(mark(), members=listed(deaf(0)))
    hosts = [replace(deaf(n), mark=signed(deaf(n), begun)) for n in range(3)]
    noted = applied(operations.marking.remember_force(hosts[0], begun), hosts[0])
    assert not [line for line in found(noted, *hosts[1:]).left if "was forced" in line]


def test_an_abort_gives_the_earlier_force_back() -> None:
    """Killed in step 42 right after it was written down, and carried on, and killed again."""
    noted = applied(operations.marking.remember_force(SURVIVOR, BEGUN), SURVIVOR)
    noted = applied(operations.marking.remember_force(noted, BEGUN), noted)
    assert noted.forced_by is not None
    assert (noted.forced_by.recovery, noted.forced_by.earlier) == (BEGUN.recovery, FORCED)
    undone = applied(operations.marking.strike_undone(noted), noted)
    assert (undone.forced_by, undone.mark) == (FORCED, None)


def test_of_earlier_forces_the_last_one_counts() -> None:
    """The one before it was overwritten by a force that was made: no abort goes back there."""
    twice = replace(SURVIVOR, forced_by=replace(FORCED, earlier=replace(FORCED, recovery="20250101-0000")))
    [change] = operations.marking.remember_force(twice, BEGUN)
    noted = change.after(twice).forced_by
    assert noted is not None
    assert noted.earlier == FORCED


def test_forced_json_is_read_as_it_was_written() -> None:
    noted = replace(BEGUN, earlier=FORCED)
    assert marks.parse(noted.text()) == noted
    fields = json.loads(FORCED.text())
    assert "earlier" not in fields, "an earlier version refuses what it does not know"
    assert marks.parse(json.dumps({**fields, "earlier": None})) == FORCED, "of a version that wrote it"

"""A recovery's way through the operator's Ansible inventory, on this machine, cut off wherever it can be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from builders import emptied, healthy, inventory, members, name, names, survey

from requorum.ansible import AnsibleGroup
from requorum.bastion import read
from requorum.changes import Change
from requorum.diagnosis import Verdict, diagnose
from requorum.facts.ansible_kept import NAME
from requorum.hand import ChangeStopped, Model
from requorum.run import Run, new_run
from requorum.survey import Unexpected
from requorum.undoing import Undoing

BEFORE = b"# all\n[etcd]\netcd-[0:2].example.com a=1 \r\n[x]"
ALONE = BEFORE.replace(b"etcd-[0:2]", b"etcd-0")
ONE_LEFT = survey(healthy(0), emptied(1), emptied(2))


class Machine:
    """An operator's machine; each `run` looks at it anew, as another process would."""

    def __init__(self, folder: Path) -> None:
        self.hosts, self.reports = folder / "hosts", folder / "reports"
        self.hosts.write_bytes(BEFORE)
        self.runs: list[Run] = []

    def look(self, verdict: Verdict = Verdict.LOST, recovery: str = "r1") -> tuple[Run, AnsibleGroup]:
        ours = replace(inventory(), ansible_inventory=self.hosts)
        run = new_run("recovery", ours, self.reports, ())
        run.survey, run.recovery = ONE_LEFT, recovery
        found = diagnose(inventory(), survey(healthy(0), healthy(1), healthy(2)))
        run.diagnosis = replace(found, verdict=verdict, survivor=name(0))
        run.ansible = read(self.hosts, run.folder.parent)
        self.runs.append(run)
        return run, AnsibleGroup(run)

    @property
    def note(self) -> Path:
        return self.reports / "prod" / NAME


def make(run: Run, changes: list[Change]) -> None:
    run.hand("test_step[bastion]").make(changes)


def listing(*numbers: int) -> SimpleNamespace:
    """A cluster whose survivor lists these members."""
    return SimpleNamespace(survivor=SimpleNamespace(now=lambda noun: SimpleNamespace(members=members(*numbers))))


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def taken_out(machine: Machine) -> None:
    run, group = machine.look()
    make(run, [*group.keep(), *group.take_out()])
    assert group.kept()
    assert group.still_in() == []
    assert machine.hosts.read_bytes() == ALONE


def test_out_and_back(machine: Machine) -> None:
    taken_out(machine)
    run, group = machine.look()
    make(run, group.take_out())  # again: it holds
    assert machine.hosts.read_bytes() == ALONE
    assert group.still_out(listing(0, 1)) == [name(1)]
    make(run, group.put_back(listing(0, 1)))
    assert machine.hosts.read_bytes() == BEFORE.replace(b"[0:2]", b"[0:1]")
    run, group = machine.look(Verdict.UNFINISHED)
    make(run, group.put_back(listing(0, 1, 2)))
    assert machine.hosts.read_bytes() == BEFORE
    assert not machine.note.exists()
    assert group.still_out(listing(0, 1, 2)) == []


def test_a_later_recovery_puts_them_back(machine: Machine) -> None:
    """The note outlives the recovery that took them out, and its original is the one of before."""
    taken_out(machine)
    run, group = machine.look(Verdict.DEGRADED, recovery="r2")
    make(run, [*group.keep(), *group.take_out(), *group.put_back(listing(0, 1, 2))])
    assert machine.hosts.read_bytes() == BEFORE


@pytest.mark.parametrize("made", [0, 1, 2, 3])
def test_cut_off_while_they_are_taken_out(machine: Machine, made: int) -> None:
    run, group = machine.look()
    make(run, [*group.keep(), *group.take_out()][:made])
    run, group = machine.look()
    make(run, [*group.keep(), *group.take_out()])
    assert machine.hosts.read_bytes() == ALONE
    make(run, group.put_back(listing(0, 1, 2)))
    assert machine.hosts.read_bytes() == BEFORE
    assert not machine.note.exists()


@pytest.mark.parametrize("made", [0, 1, 2])
def test_cut_off_while_they_are_put_back(machine: Machine, made: int) -> None:
    taken_out(machine)
    run, group = machine.look()
    make(run, group.put_back(listing(0, 1, 2))[:made])
    run, group = machine.look(Verdict.UNFINISHED)
    make(run, group.put_back(listing(0, 1, 2)))
    assert machine.hosts.read_bytes() == BEFORE
    assert not machine.note.exists()


@pytest.mark.parametrize("made", [1, 2, 3])
@pytest.mark.parametrize("unmade", [0, 1, 2])
def test_undone_and_cut_off(machine: Machine, made: int, unmade: int) -> None:
    run, group = machine.look()
    make(run, [*group.keep(), *group.take_out()][:made])
    for last in (False, True):
        run, group = machine.look()
        run.undoing = Undoing("r1", name(0), "ada@desk", names(0))
        assert group.cannot_undo() == []
        make(run, group.undo() if last else group.undo()[:unmade])
    assert machine.hosts.read_bytes() == BEFORE
    assert not machine.note.exists()


def test_an_abort_of_a_later_recovery_leaves_out_who_was_out(machine: Machine) -> None:
    taken_out(machine)
    run, group = machine.look(recovery="r2")
    make(run, group.put_back(listing(0, 1)))
    before = machine.hosts.read_bytes()
    run, group = machine.look(recovery="r3")
    make(run, [*group.keep(), *group.take_out()])
    assert machine.hosts.read_bytes() == ALONE
    run, group = machine.look()
    run.undoing = Undoing("r3", name(0), "ada@desk", names(0))
    make(run, group.undo())
    assert machine.hosts.read_bytes() == before
    assert machine.note.exists()


def test_another_recoverys_abort_touches_nothing(machine: Machine) -> None:
    taken_out(machine)
    run, group = machine.look()
    run.undoing = Undoing("r9", name(0), "ada@desk", names(0))
    assert group.undo() == []


def test_what_somebody_edits_meanwhile_is_kept(machine: Machine) -> None:
    taken_out(machine)
    machine.hosts.write_bytes(b"# theirs\n" + ALONE)
    run, group = machine.look(Verdict.UNFINISHED)
    make(run, group.put_back(listing(0, 1, 2)))
    lines = machine.hosts.read_bytes().splitlines(keepends=True)
    assert lines == [
        b"# theirs\n", b"# all\n", b"[etcd]\n", *(b"etcd-%d.example.com a=1 \r\n" % n for n in range(3)), b"[x]",
    ]  # fmt: skip
    assert not machine.note.exists()


def test_an_edit_between_the_look_and_the_step_is_seen(machine: Machine) -> None:
    run, group = machine.look()
    changes = group.take_out()
    assert not group.changed_since()
    machine.hosts.write_bytes(BEFORE + b"\n# theirs")
    assert group.changed_since()
    with pytest.raises(ChangeStopped, match="somebody else edits it"):
        make(run, changes)
    assert machine.hosts.read_bytes() == BEFORE + b"\n# theirs"


def test_a_file_that_is_spoilt_meanwhile_stops_the_step(machine: Machine) -> None:
    _, group = machine.look()
    machine.hosts.write_bytes(b"[etcd]\na b\n")
    with pytest.raises(Unexpected, match=":2: expected name=value"):
        group.take_out()


def test_left_aside_nothing_is_done(machine: Machine) -> None:
    machine.hosts.chmod(0o755)
    _, group = machine.look()
    assert group.problems() == []
    assert [*group.keep(), *group.take_out(), *group.put_back(listing(0)), *group.undo()] == []
    assert group.disagreements() == []
    assert group.still_in() == group.still_out(listing(0, 1, 2)) == []
    (note,) = group.notes()
    assert f"it is executable: Ansible runs it, and it makes the inventory; take {name(1)}, {name(2)} out" in note


def test_the_plan_writes_nothing(machine: Machine) -> None:
    run, group = machine.look()
    run.model = Model({})
    out = group.take_out()
    make(run, [*group.keep(), *out])
    assert group.now.text.encode() == ALONE
    back = group.put_back(listing(0, 1, 2))
    assert [change.shown().splitlines()[-1] for change in back][-1] == f"rm {machine.note}"
    assert "+etcd-[0:2].example.com a=1" in back[0].shown()
    assert machine.hosts.read_bytes() == BEFORE
    assert not machine.note.exists()


def test_an_abort_does_not_pass_over_a_note_that_it_cannot_read(machine: Machine) -> None:
    taken_out(machine)
    machine.note.write_text("{}")
    run, group = machine.look()
    run.undoing = Undoing("r1", name(0), "ada@desk", names(0))
    assert "expected Requorum's note" in group.cannot_undo()[0]

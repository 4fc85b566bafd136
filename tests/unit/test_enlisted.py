"""Who is to leave [etcd], who is to be back, and what stops a recovery before it guesses."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
from builders import emptied, healthy, inventory, member, members, name, names, silent, survey

from requorum import enlisted
from requorum.diagnosis import Verdict, diagnose
from requorum.facts.ansible_file import AnsibleFile
from requorum.facts.ansible_inventory import Inventory
from requorum.facts.ansible_kept import Kept, parse

OURS = inventory()
PLAIN = "[etcd]  # ours\netcd-[0:2].example.com v=1\n\n[nodes]\nn1\n"
ALONE = PLAIN.replace("etcd-[0:2].example.com", name(0))


def file(
    text: str, original: str = "", *, out: tuple[str, ...] = (), before: tuple[str, ...] = (), first: str = ""
) -> AnsibleFile:
    kept = None
    if original:
        digest = hashlib.sha256(original.encode()).hexdigest()
        kept = Kept("/hosts", "r1", "r1/backup/ansible-inventory", digest, "644", "0:0", out, before, first)
    return AnsibleFile(Path("/hosts"), text, "644", "0:0", kept=kept, original=original)


def test_taken_out_and_put_back_as_it_was() -> None:
    alone = enlisted.edited(OURS, file(PLAIN), names(1, 2))
    assert alone == ALONE
    noted = enlisted.note_of(file(PLAIN), "r1", "copy", enlisted.outside(OURS, file(PLAIN), alone))
    assert (noted.out, noted.before, noted.recovery) == (names(1, 2), (), "r1")
    then = file(alone, PLAIN, out=noted.out)
    assert enlisted.taken_out(OURS, then) == names(1, 2)
    assert enlisted.edited(OURS, then, names(2)) == PLAIN.replace("[0:2]", "[0:1]")
    assert enlisted.edited(OURS, then, ()) == PLAIN
    assert parse(noted.text()) == noted


def test_a_file_that_somebody_edited_since_keeps_that() -> None:
    theirs = ALONE.replace("[nodes]\n", "[nodes]\nn0\n")
    then = file(theirs, PLAIN, out=names(1, 2))
    assert enlisted.edited(OURS, then, names(2)) == theirs.replace("v=1\n", f"v=1\n{name(1)} v=1\n")
    back = enlisted.edited(OURS, then, ())
    assert Inventory(Path("/hosts"), back).hosts == names(0, 1, 2)
    assert "n0\n" in back


def test_what_somebody_else_took_out_stays_out() -> None:
    three = PLAIN.replace("v=1\n", "v=1\nother\n")
    assert enlisted.edited(OURS, file(ALONE, three, out=names(1, 2)), ()) == PLAIN


def test_an_abort_goes_back_to_what_the_recovery_found() -> None:
    found = PLAIN.replace("[0:2]", "[0:1]")
    then = file(ALONE, PLAIN, out=names(1, 2), before=names(2))
    assert enlisted.restored(then) == found
    assert enlisted.restored(replace(then, text="# x\n" + ALONE)).startswith("# x\n")
    second = enlisted.note_of(file(found, PLAIN, out=names(2)), "r2", "copy", names(1, 2))
    assert (second.recovery, second.before, second.copy) == ("r2", names(2), "r1/backup/ansible-inventory")


def test_a_note_whose_hosts_are_all_back_is_over() -> None:
    new = enlisted.note_of(file(PLAIN + "# x\n", PLAIN, out=names(1)), "r2", "r2/copy", names(2))
    assert (new.copy, new.before) == ("r2/copy", ())


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (f"{name(1)}", True),
        ("ETCD-1.example.com", True),
        ("m1 ansible_host=10.0.0.11", True),
        ("m1 etcd_ip=10.0.0.11", True),
        (f"m1 openshift_public_hostname={name(1)}", True),
        (f"m1 etcd_hostname='{name(1)}'", True),
        ("10.0.0.11", True),
        ("m1", False),
        ("etcd-1", False),
        ("m1 ansible_host=10.0.0.12x", False),
    ],
)
def test_a_host_is_told_by_its_name_or_its_variables(line: str, found: bool) -> None:
    ansible = Inventory(Path("/hosts"), f"[etcd]\n{name(0)}\n{line}\n{name(2)}\n")
    assert (name(1) in enlisted.places(OURS, ansible).names) is found


def test_variables_beside_the_host_in_another_group_count() -> None:
    ansible = Inventory(Path("/hosts"), "[etcd]\nm1\n[nodes]\nm1 openshift_ip=10.0.0.11\n")
    assert enlisted.places(OURS, ansible).names == {name(1): "m1"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (PLAIN, ""),
        ("[nodes]\nn1\n", "no group [etcd]"),
        (f"[etcd]\n{name(0)}\nx\n", f"{name(1)}, {name(2)} must leave [etcd] and cannot be found in it; it holds x (line 3)"),
        (f"[etcd]\n{name(0)}\n", ""),
        (f"[etcd]\n{name(1)}\n{name(2)}\n", "nobody would be left in [etcd]"),
        (f"[etcd]\n{name(0)}\nx ansible_host=10.0.0.11\ny etcd_ip=10.0.0.11\n{name(2)}\n", "may be any of x, y"),
        ("[a]\nb\n[etcd:children]\na\n", ""),
    ],
)  # fmt: skip
def test_what_stops_a_recovery(text: str, says: str) -> None:
    problems = enlisted.wrong_with(OURS, file(text), names(1, 2))
    assert [says in problem for problem in problems] == ([True] if says else []), problems


def test_who_was_taken_out_already_need_not_be_found() -> None:
    stranger = ALONE + "[etcd]\nx\n"
    assert enlisted.wrong_with(OURS, file(stranger, PLAIN, out=names(1, 2)), names(1, 2)) == []


def test_a_group_of_groups_is_left_aside() -> None:
    grouped = file("[a]\nb\n[etcd:children]\na\n")
    assert enlisted.left_aside(grouped) == "[etcd] is a group of groups (a)"
    assert enlisted.left_aside(file("[a]\nb\n[etcd]\nc\n[etcd:children]\na\n")) == ""


def test_the_first_host_is_told() -> None:
    assert enlisted.first_after(OURS, file(PLAIN), names(0, 1), ()) == (name(0), name(2))
    assert enlisted.first_after(OURS, file(PLAIN), names(0), ()) == (name(0), name(1))
    assert enlisted.first_after(OURS, file(PLAIN), names(0), names(2)) == (name(0), name(2))
    assert enlisted.first_after(OURS, file(PLAIN), names(1), names(2)) == ("", "")
    assert enlisted.first(OURS, file("[etcd]\nm0 etcd_ip=10.0.0.10\n")) == name(0)
    assert enlisted.first(OURS, file("[etcd]\nx\n")) == ""


@pytest.mark.parametrize(
    ("out", "holders", "kept", "first"),
    [
        ((0,), (0, 2), "", name(2)),
        ((0,), (1, 2), "", ""),
        ((0,), (), "", ""),
        ((1,), (2,), "", ""),
        ((0,), (), name(2), name(2)),
        ((0,), (1, 2), name(2), name(2)),
        ((0,), (1,), name(2), ""),
        ((0, 2), (), name(2), ""),
        ((), (2,), name(2), ""),
    ],
    ids=[
        "a copy", "the next has one", "nobody", "the first stays", "nobody is known any more", "two", "another",
        "who was put there leaves", "all are back",
    ],
)  # fmt: skip
def test_who_is_put_first(out: tuple[int, ...], holders: tuple[int, ...], kept: str, first: str) -> None:
    """The first host is taken for the CA's: it has to hold the CA, while the first one is out."""
    found = file(PLAIN, PLAIN, first=kept) if kept else file(PLAIN)
    assert enlisted.to_be_first(OURS, found, names(*out), names(*holders)) == first


SECOND_FIRST = PLAIN.replace("etcd-[0:2].example.com v=1\n", f"{name(2)} v=1\n{name(1)} v=1\n")


def test_who_was_put_first_goes_back_to_its_place() -> None:
    text = enlisted.edited(OURS, file(PLAIN), names(0), name(2))
    assert text == SECOND_FIRST
    note = enlisted.note_of(file(PLAIN), "r1", "copy", names(0), name(2))
    assert (note.first, note.first_before, parse(note.text())) == (name(2), "", note)
    then = file(text, PLAIN, out=names(0), first=name(2))
    assert enlisted.edited(OURS, then, names(0), name(2)) == text
    assert enlisted.edited(OURS, then, ()) == PLAIN
    assert enlisted.edited(OURS, then, names(1)) == PLAIN.replace("[0:2]", "0").replace(
        "v=1\n", f"v=1\n{name(2)} v=1\n"
    )
    assert enlisted.restored(then) == PLAIN


def test_beside_somebody_elses_edits_it_goes_back_with_its_line_as_they_left_it() -> None:
    theirs = SECOND_FIRST.replace(f"{name(2)} v=1", f"{name(2)} v=2").replace("n1", "n2")
    then = file(theirs, PLAIN, out=names(0), first=name(2))
    whole = PLAIN.replace("etcd-[0:2].example.com v=1\n", f"{name(0)} v=1\n{name(1)} v=1\n{name(2)} v=2\n")
    assert enlisted.edited(OURS, then, ()) == whole.replace("n1", "n2")
    assert enlisted.restored(then) == whole.replace("n1", "n2")


def test_an_abort_of_a_later_recovery_leaves_first_who_was() -> None:
    """The earlier one put the third host first; the later one lost it."""
    left = PLAIN.replace("[0:2]", "1")
    found = file(SECOND_FIRST, PLAIN, out=names(0), first=name(2))
    note = enlisted.note_of(found, "r2", "copy", names(0, 2))
    assert (note.before, note.first, note.first_before) == (names(0), "", name(2))
    assert enlisted.restored(AnsibleFile(Path("/hosts"), left, kept=note, original=PLAIN)) == SECOND_FIRST


def test_a_line_that_cannot_be_moved_is_no_reason_not_to_recover() -> None:
    odd = f"[etcd]\n{name(0)}\n  {name(1)}\n{name(2)}\n"
    assert enlisted.edited(OURS, file(odd), names(0), name(2)) == odd.replace(f"{name(0)}\n", "")
    assert enlisted.first_after(OURS, file(odd), names(0), names(2)) == (name(0), name(1))


def test_notes_name_who_is_missing_and_who_is_strange() -> None:
    text = f"[etcd]\n{name(0)}\nx\n[new_etcd]\n{name(1)}\n"
    told = enlisted.told(OURS, file(text), (), names(1))
    assert told == [
        f"{name(1)} does not stand in [etcd] of /hosts; it stands in [new_etcd]: it is not put there",
        f"{name(2)} does not stand in [etcd] of /hosts: add it",
        "[etcd] of /hosts has x, which etcd.hosts does not have",
    ]


def test_disagreements() -> None:
    text = f"[etcd]\n{name(0)}\n{name(1)}\nx\n"
    assert enlisted.disagreements(OURS, file(text), names(0, 2)) == [
        f"{name(2)} is a member, and not in [etcd]",
        f"{name(1)} is in [etcd], and no member runs on {name(1)}",
        "x is in [etcd], and etcd.hosts does not have it",
    ]
    assert enlisted.disagreements(OURS, file(PLAIN), names(0, 1, 2)) == []


def test_the_members_that_stay() -> None:
    lost = survey(healthy(0, members(0)), emptied(1), emptied(2))
    found = diagnose(OURS, lost)
    assert enlisted.staying(OURS, lost, replace(found, verdict=Verdict.LOST, survivor=name(0))) == {name(0)}
    one_gone = survey(healthy(0), healthy(1), emptied(2))
    found = diagnose(OURS, one_gone)
    assert found.verdict is Verdict.DEGRADED
    assert enlisted.staying(OURS, one_gone, found) == set(names(0, 1))
    given_up = inventory(lost=[2])
    one_silent = survey(healthy(0), healthy(1), silent(2))
    assert enlisted.staying(given_up, one_silent, diagnose(given_up, one_silent)) == set(names(0, 1))
    learner = (*members(0, 1), member(2, learner=True))
    joining = survey(healthy(0, learner), healthy(1, learner), emptied(2))
    assert enlisted.staying(OURS, joining, diagnose(OURS, joining)) == set(names(0, 1))


def test_an_edit_that_is_owed_makes_a_healthy_cluster_unfinished() -> None:
    whole = survey(healthy(0), healthy(1), healthy(2))
    found = diagnose(OURS, whole)
    then = enlisted.owed(OURS, file(ALONE, PLAIN, out=names(1, 2)), found)
    assert then.verdict is Verdict.UNFINISHED
    assert then.acts
    assert f"{name(1)} is a member, and is to be put back into [etcd] of /hosts" in then.proof
    assert enlisted.owed(OURS, file(PLAIN), found) == found
    assert enlisted.owed(OURS, AnsibleFile(Path("/hosts"), aside="it is encrypted"), found) == found

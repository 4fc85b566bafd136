"""Readable data that holds more than the survivor's, of a member that must not be forced itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from builders import FIVE, data, deaf, emptied, inventory, members, name, node, silent, survey

from requorum.diagnosis import Verdict, diagnose
from requorum.facts.host import HostFacts, Silent
from requorum.facts.members import Member
from requorum.facts.tail import Tail
from requorum.inventory import Inventory

LAGGING: dict[str, Any] = {"last": (2, 50), "commit": 50, "consistent": 50, "revision": 20}


def said(lines: tuple[str, ...]) -> str:
    return "\n".join(lines)


def held(n: int, listed: tuple[Member, ...] = members(*FIVE), **more: Any) -> HostFacts:
    return deaf(n, data(n, listed, **more))


def unread(n: int) -> HostFacts:
    """Its commit index is 90, and an entry above it is of a kind that nobody knows."""
    found = data(n, members(*FIVE), last=(2, 99), commit=90, consistent=90, revision=60)
    return deaf(n, replace(found, tail=Tail(91, 99, unread="log entry 95: x")))


def learning() -> tuple[Inventory, list[HostFacts | Silent]]:
    """One of two voters is left, and a learner that is ahead of it."""
    listed = members(0, 1, 2, learners=[2])
    return inventory(3, lost=[1]), [
        held(0, listed, **LAGGING),
        silent(1),
        held(2, listed, last=(2, 99), revision=60),
    ]


def beside(other: HostFacts) -> tuple[Inventory, list[HostFacts | Silent]]:
    lagging = held(0, **LAGGING)
    return inventory(5, lost=[2, 3, 4]), [lagging, other, silent(2), silent(3), silent(4)]


def removed() -> HostFacts:
    return deaf(1, data(1, members(0, 2, 3, 4), last=(2, 99), revision=60, removed=(node(1),)))


@pytest.mark.parametrize(
    ("asked", "hosts", "more", "refusal"),
    [
        (*beside(held(1, last=(2, 99), revision=60, stale=True)), 1, "its log holds stale entries"),
        (*beside(unread(1)), 1, "its tail cannot be read (log entry 95: x)"),
        (*beside(removed()), 1, "it is not in its own member list"),
        (*learning(), 2, "it is a learner"),
    ],
    ids=["stale", "unread tail", "removed", "learner"],
)
def test_what_a_member_holds_that_cannot_be_forced_is_not_dropped_without_a_word(
    asked: Inventory, hosts: list[HostFacts | Silent], more: int, refusal: str
) -> None:
    found = diagnose(asked, survey(*hosts))
    assert (found.verdict, found.path) == (Verdict.UNPROVEN, False)
    less = f"it lacks 40 revisions and 49 log entries of {name(more)}"
    assert f"{name(0)} is the best that can be forced, but {name(more)} holds more: {less}; " in said(found.proof)
    assert f"{name(more)} cannot be the survivor: {refusal}" in said(found.proof)
    assert f"write `survivor: {name(0)}` and `accept_loss: true` below `etcd:`" in said(found.advice)
    assert "from its member/snap/db (revision 60; etcdctl snapshot restore" in said(found.advice)
    named = replace(asked, etcd=replace(asked.etcd, survivor=name(0)))
    again = diagnose(named, survey(*hosts))
    assert (again.verdict, again.path) == (Verdict.UNPROVEN, False)
    assert f"etcd.survivor names {name(0)}, but {name(more)} holds more" in said(again.proof)
    assert "survivor: auto` (" not in said(again.advice), "that would be the same one"
    taken = diagnose(replace(named, etcd=replace(named.etcd, accept_loss=True)), survey(*hosts))
    assert (taken.verdict, taken.survivor, taken.acts) == (Verdict.LOST, name(0), True)
    assert taken.loss.startswith(f"{less} (accepted: accept_loss); nothing that the valid log of {name(0)}")
    assert "no candidate holds more" not in said(taken.proof)


@pytest.mark.parametrize("named", [None, 0])
def test_a_tail_that_cannot_be_read_need_not_cost_what_lies_below_it(named: int | None) -> None:
    asked, hosts = beside(unread(1))
    asked = replace(asked, etcd=replace(asked.etcd, survivor=named if named is None else name(named)))
    auto = "" if named is None else " and `survivor: auto`"
    first = diagnose(asked, survey(*hosts)).advice[0]
    assert first.startswith(f"write `keep_tail: false`{auto} below `etcd:` in the inventory: {name(1)} is the survivor")
    typed = replace(asked, etcd=replace(asked.etcd, survivor=None, keep_tail=False))
    found = diagnose(typed, survey(*hosts))
    assert (found.verdict, found.survivor, found.acts) == (Verdict.LOST, name(1), True)
    assert found.loss.startswith(f"the tail of {name(1)}, because of `keep_tail: false`")


def test_keep_tail_is_no_way_out_where_it_would_not_make_that_member_the_survivor() -> None:
    """Without its tail it is worth entry 90; the other one knows entry 95 as committed."""
    asked, (_, other, *rest) = beside(unread(1))
    found = diagnose(asked, survey(held(0, last=(2, 95), commit=95, consistent=95), other, *rest))
    assert (found.verdict, found.path) == (Verdict.UNPROVEN, False)
    assert "write `keep_tail: false`" not in said(found.advice)


def test_a_named_survivor_below_the_best_that_can_be_forced_and_below_one_that_cannot() -> None:
    """The way out to the best one says no more than is true."""
    six = members(*FIVE, 5)
    low: dict[str, Any] = {"last": (2, 90), "commit": 90, "consistent": 90}
    hosts = [held(0, six), held(1, six, **low), held(2, six, last=(2, 120), stale=True)]
    found = diagnose(inventory(6, survivor=1), survey(*hosts, *(emptied(n) for n in (3, 4, 5))))
    assert f"{name(2)} holds more" in said(found.proof)
    assert f"write `survivor: auto` (or {name(0)}): it holds the most of those that can be forced" in found.advice


def test_whoever_is_taken_with_less_is_not_lost_in_the_inventory() -> None:
    """The inventory refuses a survivor that is declared lost: the way out would not work."""
    asked, hosts = beside(held(1, last=(2, 99), stale=True))
    lost = inventory(5, lost=[0, 2, 3, 4])
    assert f", and remove `lost: true` of {name(0)}" in said(diagnose(lost, survey(*hosts)).advice)
    assert "remove `lost: true`" not in said(diagnose(asked, survey(*hosts)).advice)


def test_what_is_lacked_in_an_older_term_is_not_counted_as_nothing() -> None:
    found = diagnose(
        inventory(5, survivor=1),
        survey(held(0, last=(3, 100)), held(1, last=(2, 200)), *(emptied(n) for n in (2, 3, 4))),
    )
    assert "it lacks 0 revisions and 0 log entries" in said(found.proof)
    assert "and its log ends in term 2, the other in term 3" in said(found.proof)

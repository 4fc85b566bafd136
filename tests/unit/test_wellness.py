"""What the daily checks say of hosts that are given up."""

from __future__ import annotations

from dataclasses import replace

from builders import conf, healthy, inventory, members, name, names, peer, silent, survey

from requorum.naming import places
from requorum.wellness import members_not_in_conf, no_members_in_conf, out_of_reach, still_declared_lost


def test_a_host_that_is_reached_is_no_problem() -> None:
    assert out_of_reach(healthy(1), lost=True) == ("", "")


def test_a_silent_host_is_to_be_brought_up() -> None:
    why, advice = out_of_reach(silent(1), lost=False)
    assert why == "no route to host; is it switched on?"
    assert advice.startswith("bring it up")


def test_a_host_that_is_declared_lost_is_told_as_such_with_both_ways_on() -> None:
    why, advice = out_of_reach(silent(1), lost=True)
    assert "declared lost" in why
    assert "no route to host" in why
    assert "pytest runbook/" in advice
    assert "remove it from etcd.hosts" in advice


def test_a_member_that_is_back_should_not_stay_declared_lost() -> None:
    """It would be given up, unasked, when it is silent again."""
    assert "remove `lost: true`" in still_declared_lost(healthy(1), names(0, 1), lost=True)
    assert still_declared_lost(healthy(1), names(0, 1), lost=False) == ""
    assert still_declared_lost(healthy(1), names(0), lost=True) == ""


def test_a_lost_host_that_lets_nobody_in_is_told_how_it_would() -> None:
    why, _ = out_of_reach(silent(1, alive=True), lost=True)
    assert why.endswith("it answers, and could not be read: compare it, then add it to known_hosts")


def agreement(said: str, *listed: int) -> tuple[list[str], list[str]]:
    """Of a member whose etcd.conf says this: whom it names in vain, and whom it does not name."""
    facts = replace(healthy(0), conf=conf(0, ETCD_INITIAL_CLUSTER=said))
    known = places(inventory(), survey(facts, healthy(1), healthy(2)))
    return no_members_in_conf(facts, members(*listed), known), members_not_in_conf(facts, members(*listed), known)


def test_a_removed_member_in_etcd_conf_is_named() -> None:
    said = f"m0={peer(0)},m1={peer(1)},old=https://192.0.2.9:2380"
    wrong, later = agreement(said, 0, 2)
    assert wrong == [
        f"ETCD_INITIAL_CLUSTER in /etc/etcd/etcd.conf names m1 ({peer(1)}), which is no member",
        "ETCD_INITIAL_CLUSTER in /etc/etcd/etcd.conf names old (https://192.0.2.9:2380), which is no member",
    ]
    assert [line.partition(" does not name ")[2] for line in later] == [
        f"the member m2 ({peer(2)}), which joined later: harmless while this member has its data"
    ]


def test_a_list_that_agrees_by_url_or_by_host() -> None:
    assert agreement(f"m0={peer(0)},m1=https://{name(1)}:2380,m2=http://etcd-2.example.com:2380", 0, 1, 2) == ([], [])
    assert agreement("", 0, 1, 2) == ([], []), "etcd does not need it once it has its data"

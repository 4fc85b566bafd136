"""What the daily checks say of hosts that are given up."""

from __future__ import annotations

from builders import healthy, names, silent

from requorum.wellness import out_of_reach, still_declared_lost


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

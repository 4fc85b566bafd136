"""A quorum answers: healthy, degraded, unfinished (PROCEDURE.md, stage 1)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from builders import (
    CRASHED,
    STARTING,
    STOPPED,
    answers,
    conf,
    data,
    deaf,
    emptied,
    facts,
    healthy,
    inventory,
    mark,
    member,
    members,
    name,
    names,
    peer,
    process,
    silent,
    stopped,
    survey,
    unit,
)

from requorum.causes import how_to_start
from requorum.diagnosis import Diagnosis, Verdict, diagnose
from requorum.facts.host import HostFacts
from requorum.lineage import host_of


def said(lines: tuple[str, ...]) -> str:
    return "\n".join(lines)


def test_healthy_when_all_answer_and_nothing_is_owed() -> None:
    found = diagnose(inventory(), survey(healthy(0), healthy(1), healthy(2)))
    assert found == Diagnosis(
        Verdict.HEALTHY,
        proof=(f"3 of 3 voting members answer a linearizable read: {', '.join(names(0, 1, 2))}",),
        survivor=name(0),
        loss="none: a quorum answers",
        members=names(0, 1, 2),
    )
    assert found.path
    assert not found.acts


def test_the_leader_is_asked_for_everybody() -> None:
    found = diagnose(inventory(), survey(*(healthy(n, leader=2) for n in range(3))))
    assert found.survivor == name(2)


def test_the_marked_survivor_is_asked_for_everybody_whoever_leads() -> None:
    hosts = [healthy(n, leader=2, mark=mark(1)) for n in range(3)]
    assert diagnose(inventory(), survey(*hosts)).survivor == name(1)


def test_a_quorum_without_the_survivor_that_the_inventory_names_is_not_believed() -> None:
    """An emptied host may have founded a cluster: the operator has said whose data counts."""
    found = diagnose(inventory(survivor=0), survey(stopped(0), healthy(1, members(1, 2)), healthy(2, members(1, 2))))
    assert (found.verdict, found.path) == (Verdict.UNPROVEN, False)
    assert f"the inventory names {name(0)} as the survivor" in said(found.proof)
    assert "survivor: auto" in said(found.advice)


def test_one_member_is_a_whole_cluster() -> None:
    found = diagnose(inventory(1), survey(healthy(0, members(0))))
    assert found.verdict is Verdict.HEALTHY
    assert found.members == names(0)


def test_degraded_by_a_host_declared_lost_is_removed_and_missing() -> None:
    found = diagnose(inventory(lost=[2]), survey(healthy(0), healthy(1), silent(2)))
    assert found.verdict is Verdict.DEGRADED
    assert found.removals == (member(2),)
    assert (found.members, found.others, found.joiners, found.missing) == (names(0, 1), (), (), names(2))
    assert found.acts
    assert f"the member m2 on {name(2)} does not answer" in found.proof


def test_degraded_by_an_emptied_host_is_removed_and_taken_in_again() -> None:
    found = diagnose(inventory(), survey(healthy(0), healthy(1), emptied(2)))
    assert found.verdict is Verdict.DEGRADED
    assert found.removals == (member(2),)
    assert (found.members, found.others, found.joiners, found.missing) == (names(0, 1), names(2), names(2), ())
    assert found.acts


def test_degraded_by_an_emptied_host_that_is_not_to_rejoin_is_only_removed() -> None:
    found = diagnose(inventory(rejoin=[1]), survey(healthy(0), healthy(1), emptied(2)))
    assert (found.removals, found.joiners, found.missing) == ((member(2),), (), names(2))


@pytest.mark.parametrize("lost", [(), (2,)])
def test_degraded_by_a_stopped_member_with_its_data_is_started_not_removed(lost: tuple[int, ...]) -> None:
    """Data that comes back ends the loss, also on a host that was declared lost."""
    found = diagnose(inventory(lost=lost), survey(healthy(0), healthy(1), stopped(2)))
    assert found.verdict is Verdict.DEGRADED
    assert not found.path
    assert found.removals == ()
    assert name(2) in said(found.advice)
    assert "systemctl start etcd" in said(found.advice)


def test_degraded_by_a_silent_host_asks_for_a_declaration() -> None:
    found = diagnose(inventory(), survey(healthy(0), healthy(1), silent(2)))
    assert (found.verdict, found.path, found.removals) == (Verdict.DEGRADED, False, ())
    assert "lost: true" in said(found.advice)
    assert name(2) in said(found.advice)


def test_degraded_by_a_host_key_never_counts_as_lost() -> None:
    found = diagnose(inventory(lost=[2]), survey(healthy(0), healthy(1), silent(2, alive=True)))
    assert (found.verdict, found.path, found.removals) == (Verdict.DEGRADED, False, ())
    assert "known_hosts" in said(found.advice)


def test_degraded_by_a_member_that_the_inventory_does_not_have() -> None:
    listed = members(0, 1, 7)
    found = diagnose(inventory(2), survey(healthy(0, listed), healthy(1, listed)))
    assert (found.verdict, found.path, found.removals) == (Verdict.DEGRADED, False, ())
    assert f"the member m7 ({peer(7)}) has no host in the inventory: add it" in found.advice
    assert (found.members, found.missing, found.strangers) == (names(0, 1), (), ("m7",))


def test_members_that_disagree_prove_nothing() -> None:
    found = diagnose(inventory(2), survey(healthy(0, members(0)), healthy(1, members(1), cluster=0xC2)))
    assert (found.verdict, found.path) == (Verdict.UNPROVEN, False)
    assert "cluster c1" in said(found.proof)
    assert "cluster c2" in said(found.proof)


# --- an earlier recovery owes something -------------------------------------------------------------------------------


def test_unfinished_by_a_host_to_rejoin() -> None:
    alone = members(0)
    found = diagnose(inventory(), survey(healthy(0, alone, mark=mark()), emptied(1), emptied(2)))
    assert found.verdict is Verdict.UNFINISHED
    assert found.acts
    assert (found.members, found.others, found.joiners) == (names(0), names(1, 2), names(1, 2))
    assert f"{name(1)} is to rejoin" in found.proof


def test_a_cluster_of_one_by_declaration_waits_for_its_hosts() -> None:
    """Issue 3 (b): two hosts stay dead; the end is green, and says which are missing."""
    found = diagnose(inventory(lost=[1, 2]), survey(healthy(0, members(0)), silent(1), silent(2)))
    assert found.verdict is Verdict.HEALTHY
    assert found.missing == names(1, 2)


@pytest.mark.parametrize(
    ("owing", "words"),
    [
        (healthy(2, unit=unit(fenced=True)), f"{name(2)} is fenced"),
        (healthy(2, unit=unit(forced=True)), f"{name(2)} forces a new cluster when it starts"),
        (
            replace(healthy(2), processes=(process(forced=True),)),
            f"{name(2)} forces a new cluster, and Requorum did not say so: ETCD_FORCE_NEW_CLUSTER in the living process 100",
        ),
        (
            replace(healthy(2), unit=replace(unit(), forces=("/etc/temp.conf",))),
            f"{name(2)} forces a new cluster, and Requorum did not say so: in /etc/temp.conf",
        ),
        (healthy(2, mark=mark()), f"{name(2)} bears the mark of recovery 20261105-0300 by ada@desk"),
    ],
)
def test_unfinished_by_what_is_owed_on_a_member(owing: HostFacts, words: str) -> None:
    found = diagnose(inventory(), {**survey(healthy(0), healthy(1)), name(2): owing})
    assert found.verdict is Verdict.UNFINISHED
    assert found.acts
    assert words in found.proof


def test_unfinished_by_a_learner() -> None:
    listed = members(0, 1, 2, learners=[2])
    found = diagnose(inventory(), survey(healthy(0, listed), healthy(1, listed), deaf(2)))
    assert found.verdict is Verdict.UNFINISHED
    assert found.joiners == names(2)
    assert "the member m2 is a learner, to be promoted" in found.proof
    assert found.path


def test_unfinished_by_a_member_that_was_added_and_never_started() -> None:
    """A kill between `member add` and the start: the member is listed without a name and without client URLs."""
    listed = members(0, 1, 2, unstarted=[2], learners=[2])
    found = diagnose(inventory(), survey(healthy(0, listed, mark=mark()), healthy(1, listed), emptied(2, STOPPED)))
    assert (found.verdict, found.path, found.removals) == (Verdict.UNFINISHED, True, ())
    assert found.joiners == names(2)


def test_a_fenced_old_member_is_taken_in_again_not_started() -> None:
    """Verdict lost was carried out; the old peer, with its data, waits behind the fence to be taken in as new."""
    found = diagnose(inventory(), survey(healthy(0, members(0), mark=mark()), stopped(1, fenced=True), emptied(2)))
    assert (found.verdict, found.path) == (Verdict.UNFINISHED, True)
    assert found.joiners == names(1, 2)


def test_a_member_that_the_quorum_lists_and_a_recovery_stopped_is_started_by_it() -> None:
    found = diagnose(inventory(), survey(healthy(0, mark=mark()), healthy(1), stopped(2, fenced=True)))
    assert (found.verdict, found.path, found.removals) == (Verdict.UNFINISHED, True, ())
    assert found.joiners == names(2)


def test_the_survivor_between_the_forced_start_and_the_next() -> None:
    """Stopped to take the force away, and killed there: its own log lists it alone."""
    alone = data(0, members(0))
    found = diagnose(inventory(), survey(stopped(0, alone, mark=mark()), emptied(1), emptied(2)))
    assert (found.verdict, found.survivor, found.path) == (Verdict.UNFINISHED, name(0), True)
    assert found.joiners == names(1, 2)


def test_the_host_of_a_member_is_found_by_its_urls() -> None:
    declared, read = inventory(), survey(facts(0), silent(1), facts(2, conf=conf(2)))
    assert [host_of(m, declared, read) for m in members(0, 1, 2, 3)] == [*names(0, 1, 2), ""]


def test_the_host_of_a_silent_member_is_found_by_its_name() -> None:
    moved = replace(member(1), name=name(1), peer_urls=("https://192.0.2.9:2380",))
    assert host_of(moved, inventory(), survey(facts(0), silent(1), facts(2))) == name(1)


def test_how_to_start_names_the_state() -> None:
    assert "inactive (dead)" in how_to_start(facts(0, unit=unit(STOPPED)))
    assert "failed (failed)" in how_to_start(facts(0, unit=unit(CRASHED)))
    assert "journalctl" in how_to_start(facts(0, unit=unit(STARTING)))


def test_answers_of_a_member_without_quorum_do_not_count() -> None:
    """Without quorum a member still lists the members; the linearizable read alone tells."""
    listed = members(0, 1, 2)
    half = replace(answers(0, listed), linear=False)
    found = diagnose(inventory(), survey(facts(0, api=half, data=data(0)), facts(1, data=data(1)), silent(2)))
    assert found.verdict is Verdict.RESTARTABLE

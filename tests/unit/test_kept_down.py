"""Whose etcd is to stay down before any other is started or brought up."""

from __future__ import annotations

from dataclasses import replace

import pytest
from builders import (
    CRASHED,
    FIVE,
    STARTING,
    STOPPED,
    answers,
    data,
    deaf,
    emptied,
    facts,
    healthy,
    inventory,
    mark,
    members,
    name,
    process,
    silent,
    stopped,
    survey,
    unit,
)

from requorum.diagnosis import Verdict, diagnose
from requorum.facts.host import HostFacts, Silent
from requorum.facts.runtime import CONTAINER, MANIFEST, PARKED, Runtime
from requorum.facts.unit import Unit
from requorum.kept_down import keep_down, stays_down

DOWN = "systemctl disable --now etcd ("
FIVE_LISTED = members(*FIVE)


def founding(n: int, state: str = STARTING) -> HostFacts:
    """An emptied host whose etcd has started by itself: it votes for whoever asks."""
    return facts(n, unit=unit(state), data=data(n, last=(1, 3), commit=3, revision=1, unwritten=True))


def first_words(advice: tuple[str, ...]) -> list[str]:
    return [line.partition(" (")[0] for line in advice]


@pytest.mark.parametrize(
    "host", [founding(2), founding(2, STOPPED), emptied(2, STARTING), emptied(2, CRASHED), emptied(2, STOPPED)]
)
def test_a_voter_that_was_emptied_is_kept_down_first_and_the_highest_log_starts_first(host: HostFacts) -> None:
    """Else member 0 and it are a quorum, and overwrite entries 91 to 100, which members 1 and 2 have acknowledged."""
    found = diagnose(inventory(), survey(stopped(0, data(0, last=(2, 90))), stopped(1), host))
    assert (found.verdict, found.path) == (Verdict.RESTARTABLE, False)
    assert found.advice[0].startswith(f"{name(2)}: {DOWN}")
    assert found.advice[1].startswith("only then start all")
    assert first_words(found.advice[2:4]) == [f"{name(n)}: systemctl start etcd" for n in (1, 0)]


def test_one_that_stays_down_already_is_not_named() -> None:
    disabled = facts(2, unit=unit(STOPPED, file_state="disabled"), data=founding(2).data)
    for host in (emptied(2, fenced=True), disabled):
        found = diagnose(inventory(), survey(stopped(0), stopped(1), host))
        assert first_words(found.advice[:2]) == [f"{name(n)}: systemctl start etcd" for n in (0, 1)]


def test_two_of_five() -> None:
    held = [stopped(n, data(n, FIVE_LISTED, last=(2, end))) for n, end in ((0, 90), (1, 100), (2, 95))]
    found = diagnose(inventory(5), survey(*held, founding(3), emptied(4)))
    assert found.verdict is Verdict.RESTARTABLE
    assert [line.partition(":")[0] for line in found.advice[:2]] == [name(3), name(4)]
    assert [line.partition(":")[0] for line in found.advice[3:6]] == [name(1), name(2), name(0)]


@pytest.mark.parametrize("other", [silent(1), replace(stopped(1), data=data(1, error="a checksum"))])
def test_nor_does_whoever_is_brought_up_or_mended_meet_it(other: HostFacts | Silent) -> None:
    found = diagnose(inventory(), survey(stopped(0), other, founding(2)))
    assert found.verdict is Verdict.UNPROVEN
    assert found.advice[0].startswith(f"{name(2)}: {DOWN}")
    assert name(1) in found.advice[1]


def test_a_learner_does_not_vote() -> None:
    listed = members(0, 1, 2, 3, learners=[3])
    held = [stopped(n, data(n, listed)) for n in (0, 1)]
    found = diagnose(inventory(4), survey(*held, stopped(2, data(2, listed)), emptied(3)))
    assert found.verdict is Verdict.RESTARTABLE
    assert name(3) not in "\n".join(found.advice)


def pod(manifest: str, *, node: str = "active", state: str = "active/running") -> Unit:
    runtime = Runtime("static-pod", "origin-node.service", manifest=manifest, node=node)
    return replace(unit(state), runtime=runtime)


@pytest.mark.parametrize(
    ("shown", "command", "down"),
    [
        (unit(), "systemctl disable --now etcd", False),
        (unit(CRASHED), "systemctl disable --now etcd", False),
        (unit(CRASHED, fenced=True), "", True),
        (unit(STOPPED, file_state="disabled"), "", True),
        (unit(file_state="disabled"), "systemctl disable --now etcd", False),
        (unit(STOPPED, load="masked"), "", True),
        (unit(load="masked"), "systemctl stop etcd", False),
        (unit(STOPPED, load="not-found", file_state=""), "", True),
        (unit(load="not-found", file_state=""), "systemctl stop etcd", False),
        (unit(STOPPED, file_state="static"), "systemctl mask --now etcd", False),
        (unit(STOPPED, file_state="generated"), "systemctl mask --now etcd", False),
        (
            replace(unit(file_state="static"), fragment="/etc/systemd/system/etcd.service"),
            "systemctl stop etcd && mv /etc/systemd/system/etcd.service /root/ && systemctl daemon-reload",
            False,
        ),
        (replace(unit(), runtime=Runtime("container", CONTAINER)), "systemctl disable --now etcd_container", False),
        (
            pod(MANIFEST),
            f"mkdir -p /etc/origin/node/pods-stopped && mv {MANIFEST} /etc/origin/node/pods-stopped/etcd.yaml",
            False,
        ),
        (
            pod(MANIFEST, node="inactive"),
            "systemctl start origin-node && mkdir -p /etc/origin/node/pods-stopped && "
            f"mv {MANIFEST} /etc/origin/node/pods-stopped/etcd.yaml",
            False,
        ),
        (pod(PARKED, node="inactive"), "systemctl start origin-node", False),
        (pod(PARKED, state=STOPPED), "", True),
    ],
)
def test_how_etcd_is_kept_down(shown: Unit, command: str, down: bool) -> None:
    host = facts(0, unit=shown)
    assert stays_down(host) is down
    if not down:
        assert keep_down(host) == command


def test_a_process_of_no_unit_is_ended_by_its_number() -> None:
    by_hand = facts(0, unit=unit(STOPPED, load="not-found", file_state=""), processes=(process(),))
    assert (stays_down(by_hand), keep_down(by_hand)) == (False, "kill 100")


# Old peers, where no run may fence them yet


def old_quorum(*numbers: int) -> list[HostFacts]:
    return [facts(n, api=answers(n, FIVE_LISTED, leader=numbers[0])) for n in numbers]


def test_old_peers_are_to_be_stopped_by_hand_where_the_run_stops_before_it_fences_them() -> None:
    """Members 0 and 4 are the cluster, with the silent 1; hosts 2 and 3 run as its old peers."""
    listed = members(0, 1, 4)
    survivor = replace(healthy(0, listed), forced_by=mark())
    hosts = survey(survivor, silent(1), *old_quorum(2, 3), healthy(4, listed))
    found = diagnose(inventory(5), hosts)
    assert (found.verdict, found.path) == (Verdict.DEGRADED, False)
    assert [line.partition(" (")[0] for line in found.advice[:2]] == [
        f"{name(n)}: systemctl disable --now etcd" for n in (2, 3)
    ]
    assert "before anything else" in found.advice[0]
    assert name(1) in found.advice[2]
    given_up = diagnose(inventory(5, lost=[1]), hosts)
    assert (given_up.acts, given_up.advice, given_up.old_peers) == (True, (), (name(2), name(3)))


def test_old_peers_that_stay_down_already_are_not_named() -> None:
    listed = members(0, 1, 4)
    hosts = survey(
        replace(healthy(0, listed), forced_by=mark()), silent(1), stopped(2, fenced=True), silent(3), healthy(4, listed)
    )
    found = diagnose(inventory(5), hosts)
    assert found.old_peers == (name(2),)
    assert name(2) not in "\n".join(found.advice)


def test_old_peers_beside_members_that_could_be_started() -> None:
    """Two survivors of a recovery are down, old peers live."""
    listed = members(0, 1)
    survivor = replace(stopped(0, data(0, listed, removed=(0xA2, 0xA3, 0xA4))), forced_by=mark())
    found = diagnose(inventory(5), survey(survivor, stopped(1, data(1, listed)), *[deaf(2)], silent(3), silent(4)))
    assert found.verdict is Verdict.RESTARTABLE
    assert found.advice[0].startswith(f"{name(2)}: systemctl disable --now etcd")

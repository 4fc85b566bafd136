"""When the survivor may be forced once more: once in a recovery, and only where nothing can be lost by it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from builders import CLUSTER, data, facts, healthy, inventory, mark, member, members, name, node, peer, survey

from requorum.diagnosis import diagnose
from requorum.facts.data_dir import DataDir
from requorum.facts.mark import Mark
from requorum.facts.members import Member, MemberList
from requorum.facts.wal_changes import ConfChange
from requorum.live import Cluster
from requorum.remote import Unreachable
from requorum.run import Run
from requorum.survey import Unexpected
from requorum.way_back import dropped_voter, more_voters

AGAIN = replace(mark(), way_back="a1")
MUTE = Unexpected(name(0), expected="an answer", found="context deadline exceeded", advice="look")
GONE = Unreachable(name(1), expected="a connection", found="no route to host", advice="is it on?")


def cluster(
    *,
    listed: tuple[Member, ...] = members(0, 1),
    forced: Mark | None = mark(),  # noqa: B008 (a frozen value)
    marked: Mark | None = mark(),  # noqa: B008
    voter: bool | Exception = False,
    disk: DataDir | None = None,
    log: DataDir | None = None,
) -> Cluster:
    """Host 0 is the survivor; the voter on host 1 answers, or does not, or is out of reach.

    `disk`: the survivor's data; given, it does not answer for its member list. `log`: its data, where it answers.
    """

    def answers() -> bool:
        if isinstance(voter, Exception):
            raise voter
        return voter

    found = survey(facts(0), facts(1), facts(2))
    answer = MemberList(CLUSTER, listed) if disk is None else MUTE
    survivor = Survivor(
        name=name(0),
        forced_by=forced,
        mark=marked,
        answer=answer,
        surveyed=found[name(0)],
        data=disk or log or data(0, error="it is being written to"),
    )
    run = SimpleNamespace(inventory=inventory(), survey=found, reached=found)
    member_of = lambda host: SimpleNamespace(name=host, answers=answers)  # noqa: E731
    return cast("Cluster", SimpleNamespace(survivor=survivor, run=run, member=member_of))


class Survivor(SimpleNamespace):
    @property
    def members(self) -> MemberList:
        if isinstance(self.answer, Exception):
            raise self.answer
        return cast("MemberList", self.answer)


def test_who_does_not_list_the_members_without_a_quorum_is_read_from_the_disk() -> None:
    """etcd 3.5 answers `member list` only with a quorum."""
    listed = (*members(0, 1), member(2, learner=True))
    dropped, host = dropped_voter(cluster(disk=data(0, listed)))
    assert (dropped, host.name) == (member(1), name(1))
    with pytest.raises(Unexpected, match="context deadline exceeded; nor one on its disk: it is torn"):
        dropped_voter(cluster(disk=data(0, error="it is torn")))


@pytest.mark.parametrize("voter", [False, GONE])
def test_the_silent_one_of_two_voters_is_dropped(voter: bool | Exception) -> None:
    dropped, host = dropped_voter(cluster(voter=voter))
    assert (dropped, host.name) == (member(1), name(1))


def test_a_learner_beside_them_does_not_matter() -> None:
    dropped, _ = dropped_voter(cluster(listed=members(0, 1, 2, learners=[2])))
    assert dropped == member(1)


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (cluster(forced=None), "no record that it was ever forced"),
        (cluster(marked=AGAIN), "the record that this was done once"),
        (cluster(marked=None), "no mark of a recovery"),
        (cluster(listed=members(0, 1, 2)), "3 voters: m0, m1, m2"),
        (cluster(listed=members(0)), "1 voters: m0"),
        (cluster(listed=members(1, 2)), "2 voters: m1, m2"),
        (cluster(voter=True), "answers a linearizable read"),
        (cluster(listed=(member(0), replace(member(7), peer_urls=("https://10.9.9.9:2380",)))), "host is not reached"),
    ],
)
def test_otherwise_nothing_is_forced(found: Cluster, why: str) -> None:
    with pytest.raises(Unexpected, match=why):
        dropped_voter(found)


def test_a_third_voter_that_is_in_the_log_alone_is_one() -> None:
    """The survivor has not applied its promotion yet; the others may have, and be a quorum."""
    third = ConfChange(100, "promote", node(2), "m2", (peer(2),))
    listed = (*members(0, 1), member(2, learner=True))
    pending = data(0, listed, changes=(third,), consistent=99)
    assert more_voters(pending, member(1)) == ["m2"]
    assert more_voters(data(0, listed), member(1)) == []
    assert more_voters(data(0, members(0)), member(1)) == [], "it is the last one already"
    with pytest.raises(Unexpected, match="and m2 in its log"):
        dropped_voter(cluster(listed=listed, log=pending))


@pytest.mark.parametrize(("listed", "kept"), [(members(0, 1), ""), (members(0, 2), f"{node(1):x}")])
def test_a_quorum_that_answers_with_the_voter_takes_the_way_back_off_the_mark(
    tmp_path: Path, listed: tuple[Member, ...], kept: str
) -> None:
    """What is signed in step 20: nobody took it. Where the voter was dropped, that is remembered: it happens once."""
    found = survey(healthy(0, listed, mark=replace(mark(), way_back=f"{node(1):x}")), facts(1), facts(2))
    run = Run("recovery", inventory(), tmp_path, "r3", "eve@desk", 1, ())
    run.survey, run.diagnosis, run.recovery = found, diagnose(run.inventory, found), mark().recovery
    assert run.mark.way_back == kept

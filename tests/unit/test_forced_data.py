"""Who owes the proof of step 45, and against which copy it is made."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path, PurePosixPath
from types import SimpleNamespace
from typing import cast

import pytest
from builders import data, deaf, emptied, facts, healthy, inventory, mark, members, name, node, stopped, survey
from local_shell import LocalShell

from requorum import forced_data
from requorum.diagnosis import Verdict, diagnose
from requorum.facts.host import HostFacts, Silent
from requorum.facts.mark import Mark
from requorum.forced_data import unlike_backup
from requorum.live import Cluster
from requorum.operations.backup import BackupPlace
from requorum.run import Run
from requorum.survey import Unexpected

RECOVERY = mark().recovery
FORCED = replace(healthy(0, members(0), mark=mark()), forced_by=mark())


def unproven(folder: Path, *hosts: HostFacts | Silent) -> tuple[str, ...]:
    run = Run("recovery", inventory(), folder, "r3", "eve@desk", 1, ())
    run.survey, run.recovery = survey(*hosts), RECOVERY
    run.diagnosis = diagnose(run.inventory, run.survey)
    return run.hosts("unproven")


LOST = (deaf(0), emptied(1), emptied(2))
OTHERS = (emptied(1, mark=mark()), emptied(2, mark=mark()))


def test_a_run_that_forces_proves_it(tmp_path: Path) -> None:
    assert unproven(tmp_path, *LOST) == (name(0),)


def test_a_run_that_carries_on_after_the_force_proves_it_before_a_host_joins(tmp_path: Path) -> None:
    assert unproven(tmp_path, FORCED, *OTHERS) == (name(0),)
    listed = (*members(0), *members(1, learners=[1]))
    assert unproven(tmp_path, replace(FORCED, api=healthy(0, listed).api), *OTHERS) == (name(0),), "a learner votes not"


def test_a_survivor_that_is_stopped_owes_it_too(tmp_path: Path) -> None:
    """Killed between the stop and the start of step 44, or its host was reset after the force."""
    alone = data(0, members(0), removed=(node(1), node(2)))
    stopped_ = replace(stopped(0, alone, mark=mark()), forced_by=mark())
    assert unproven(tmp_path, stopped_, *OTHERS) == (name(0),)
    assert replace(stopped_, data=data(0, error="a checksum")).owes_proof, "not known"
    assert replace(stopped_, data=None).owes_proof, "not known"
    with_learner = (*members(0), *members(1, learners=[1]))
    assert replace(stopped_, data=data(0, with_learner)).owes_proof, "a learner votes not"
    assert not replace(stopped_, data=data(0, members(0, 1))).owes_proof, (
        "who votes beside it has joined after the proof"
    )
    assert not replace(stopped_, forced_by=None).owes_proof


def test_otherwise_nobody_owes_it(tmp_path: Path) -> None:
    joined = [replace(FORCED, api=healthy(0, members(0, 1)).api), healthy(1, members(0, 1), mark=mark()), OTHERS[1]]
    assert unproven(tmp_path, *joined) == ()
    another: Mark = replace(mark(), recovery="20260101-0000")
    assert unproven(tmp_path, replace(FORCED, forced_by=another), *OTHERS) == (), "forced by an earlier recovery"
    assert unproven(tmp_path, replace(FORCED, mark=None), emptied(1), emptied(2)) == (), "it has ended"
    assert unproven(tmp_path, healthy(0), healthy(1), stopped(2)) == ()


def cluster(folder: Path, *, verdict: Verdict = Verdict.UNFINISHED) -> Cluster:
    """The copies of the survivor's data lie in a folder."""
    survivor = SimpleNamespace(name=name(0), surveyed=deaf(0) if verdict is Verdict.LOST else FORCED)
    run = SimpleNamespace(remotes={name(0): LocalShell()})
    place = BackupPlace(PurePosixPath(folder), RECOVERY, None)
    found = SimpleNamespace(survivor=survivor, run=run, backup=place, diagnosis=SimpleNamespace(verdict=verdict))
    return cast("Cluster", found)


@pytest.fixture
def held_against(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The databases that were compared."""
    found: list[str] = []
    monkeypatch.setattr(forced_data, "_differing", lambda _, database: found.append(database) or [])
    return found


def test_the_copy_is_the_last_one_from_before_the_force(tmp_path: Path, held_against: list[str]) -> None:
    for copy in (
        f"2.99-{RECOVERY}",
        f"2.100-{RECOVERY}",
        f"3.5-{RECOVERY}.part",
        f"9.9-{RECOVERY}-way-back",
        "9.9-other",
    ):
        (tmp_path / f"etcd-data-{copy}/member/snap").mkdir(parents=True)
        (tmp_path / f"etcd-data-{copy}/member/snap/db").touch()
    assert unlike_backup(cluster(tmp_path)) == ([], "")
    assert held_against == [f"{tmp_path}/etcd-data-2.100-{RECOVERY}/member/snap/db"]


def test_where_there_is_no_copy_it_is_told(tmp_path: Path, held_against: list[str]) -> None:
    for folder in (tmp_path, tmp_path / "gone"):
        assert unlike_backup(cluster(folder)) == (
            [], f"{folder} on {name(0)} holds no copy of its data from before the force"
        )  # fmt: skip
    assert held_against == []


@pytest.mark.parametrize(
    ("verdict", "found", "told"),
    [
        (Verdict.UNFINISHED, "etcdserver: mvcc: required revision has been compacted", True),
        (Verdict.LOST, "etcdserver: mvcc: required revision has been compacted", False),
        (Verdict.UNFINISHED, "context deadline exceeded", False),
    ],
)
def test_what_was_compacted_since_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verdict: Verdict, found: str, told: bool
) -> None:
    def fails(*_: object) -> list[str]:
        raise Unexpected(name(0), expected="an answer", found=found, advice="look")

    monkeypatch.setattr(forced_data, "_differing", fails)
    (tmp_path / f"etcd-data-2.100-{RECOVERY}/member/snap").mkdir(parents=True)
    (tmp_path / f"etcd-data-2.100-{RECOVERY}/member/snap/db").touch()
    if not told:
        with pytest.raises(Unexpected):
            unlike_backup(cluster(tmp_path, verdict=verdict))
        return
    differing, why = unlike_backup(cluster(tmp_path, verdict=verdict))
    assert (differing, "has been compacted away" in why) == ([], True)


def test_owing(tmp_path: Path) -> None:
    assert FORCED.owes_proof
    assert not facts(0, mark=mark()).owes_proof

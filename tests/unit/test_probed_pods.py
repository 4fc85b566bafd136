"""Whose liveness probe is taken out before a host joins beside a quorum, and given back once every host is a member."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from builders import deaf, emptied, healthy, inventory, mark, name, silent, survey
from pods import BARE, POD, pod_unit

from requorum.changes import AwaitPod, RemoveFile
from requorum.diagnosis import Verdict, diagnose
from requorum.facts.host import HostFacts, Silent
from requorum.facts.manifest import KEPT
from requorum.facts.pod import Pod
from requorum.facts.runtime import PARKED
from requorum.operations.probe import give_back, give_back_parked, take_out_of_living
from requorum.run import Run
from requorum.stages.confirmation import asked

CONTENT = replace(POD, probing="3.2.26")


def answering(n: int, pod: Pod = POD) -> HostFacts:
    return healthy(n, unit=pod_unit(pod=pod))


def run_on(tmp_path: Path, *hosts: HostFacts | Silent, lost: tuple[int, ...] = ()) -> Run:
    declared = inventory(len(hosts), lost=lost)
    run = Run("recovery", declared, tmp_path, "r3", "eve@desk", 1, ())
    run.survey = survey(*hosts)
    run.diagnosis = diagnose(declared, run.survey)
    return run


GONE = replace(emptied(2), unit=pod_unit())


@pytest.mark.parametrize(
    ("hosts", "lost", "verdict", "probed"),
    [
        ((answering(0), answering(1), GONE), (), Verdict.DEGRADED, (0, 1)),
        ((answering(0), answering(1, CONTENT), GONE), (), Verdict.DEGRADED, (0,)),
        ((answering(0), answering(1, BARE), GONE), (), Verdict.DEGRADED, (0, 1)),
        ((healthy(0), healthy(1), emptied(2)), (), Verdict.DEGRADED, ()),
        ((answering(0), answering(1), silent(2)), (2,), Verdict.DEGRADED, ()),
        ((answering(0), answering(1, BARE), answering(2)), (), Verdict.UNFINISHED, ()),
        ((answering(0), answering(1), answering(2)), (), Verdict.HEALTHY, ()),
        ((replace(deaf(0), unit=pod_unit()), replace(emptied(1), unit=pod_unit()), GONE), (), Verdict.LOST, ()),
    ],
    ids=["both", "3.2", "out already", "services", "nobody joins", "to be given back", "healthy", "lost"],
)
def test_whose_probe_is_taken_out(
    tmp_path: Path,
    hosts: tuple[HostFacts | Silent, ...],
    lost: tuple[int, ...],
    verdict: Verdict,
    probed: tuple[int, ...],
) -> None:
    run = run_on(tmp_path, *hosts, lost=lost)
    assert run.proven.verdict is verdict
    assert run.hosts("probed") == tuple(name(n) for n in probed)
    # Signed, so that another run or an abort gives it back, and given back by this one.
    assert {name(n) for n in probed} <= set(run.hosts("touched")) & set(run.hosts("whole pods"))


def test_a_run_that_is_carried_on_gives_every_probe_back(tmp_path: Path) -> None:
    hosts = [replace(answering(0, BARE), mark=mark()), replace(answering(1, BARE), mark=mark()), GONE]
    run = run_on(tmp_path, *hosts)
    assert {name(0), name(1)} <= set(run.hosts("whole pods"))


def test_a_member_whose_probe_is_out_is_proven_before_the_next_is_edited(tmp_path: Path) -> None:
    """A run that was killed behind the edit has not seen it restart; nothing is edited there again, nor said to be."""
    run = run_on(tmp_path, answering(0, BARE), answering(1), GONE)
    assert run.hosts("probed") == (name(0), name(1))
    here = run.reached[name(0)]
    assert take_out_of_living(here) == [
        AwaitPod(name(0), here.processes[0].pid, here.processes[0].started, may_stay=True)
    ]
    assert f"Pods:      {name(1)}: etcd's liveness probe wants every member" in asked(run)


def test_a_member_whose_probe_is_back_is_proven_before_it_is_forgotten() -> None:
    """A run was killed behind the edit: without a look at its restart, the next pod restarted at the same time."""
    here = answering(0, replace(POD, kept=POD.manifest))
    awaited = AwaitPod(name(0), here.processes[0].pid, here.processes[0].started, may_stay=True)
    assert give_back(here) == [awaited, RemoveFile(name(0), KEPT)]


def test_what_the_operator_agrees_to(tmp_path: Path) -> None:
    """A member that answers is restarted: that is said before anything is done."""
    said = asked(run_on(tmp_path, answering(0), answering(1, CONTENT), GONE))
    assert f"Pods:      {name(0)}: etcd's liveness probe wants every member" in said
    assert f"{name(1)}: etcd's liveness probe" not in said
    assert f"Pods:      {name(2)}: etcd's liveness probe leaves the manifest while etcd is stopped" in said


def test_before_an_abort_starts_etcd_no_manifest_that_is_run_is_edited() -> None:
    """All at once all members would restart; step 96 gives those back, one after the other."""
    assert give_back_parked(healthy(0, unit=pod_unit(pod=BARE))) == []
    parked = healthy(0, unit=pod_unit(PARKED, pod=BARE))
    assert give_back_parked(parked) == give_back(parked) != []

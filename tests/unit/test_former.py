"""What `--abort` takes for the recovery's own work on etcd.conf, and what it compares at its end."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from builders import (
    conf,
    deaf,
    emptied,
    facts,
    healthy,
    inventory,
    machine,
    mark,
    members,
    name,
    peer,
    stopped,
    survey,
    unit,
)
from pods import pod_unit
from test_flannel_rules import text as endpoints
from test_master_rules import config

from requorum import operations
from requorum.changes import WriteFile
from requorum.diagnosis import diagnose
from requorum.facts import etcd_conf, flanneld_conf, master_config
from requorum.facts.flannel import Flannel
from requorum.facts.host import HostFacts
from requorum.facts.issuing import Issuing
from requorum.facts.master import Master
from requorum.facts.runtime import ASIDE, MANIFEST, PARKED
from requorum.former import FormerHost
from requorum.hand import Model
from requorum.live import EtcdMember
from requorum.operations.etcd import left_by_us
from requorum.operations.marking import signed
from requorum.run import Run

FOUND = conf(0)


def after(*steps: str) -> HostFacts:
    """Host 0 once its etcd.conf was edited so, one step after the other."""
    now, listed = facts(0), healthy(0, (*members(0), *members(2), *members(1)))
    made = {
        "32": lambda: operations.etcd.name_only_itself(now),
        "51": lambda: operations.etcd.name_joiner(now, listed),
        "60": lambda: operations.etcd.name_members(now, listed),
    }
    for step in steps:
        for change in made[step]():
            now = change.after(now)
    return now


@pytest.mark.parametrize("steps", [("32",), ("32", "60"), ("51",), ("32", "51", "60"), ("60",), ()])
def test_whichever_step_came_last_it_is_ours(steps: tuple[str, ...]) -> None:
    """A quorum came back by itself, and the same command named all members in another order before it was killed."""
    assert left_by_us(after(*steps).conf, FOUND)


@pytest.mark.parametrize(("edit", "problems"), [("", 0), ("# mine\n", 1)])
def test_etcd_conf_that_a_later_run_edited_again_is_put_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, edit: str, problems: int
) -> None:
    monkeypatch.setattr(EtcdMember, "conf_in", lambda self, copy: FOUND)
    monkeypatch.setattr(EtcdMember, "damaged_in", lambda self, copy: [])
    text = after("32", "60").conf.text + edit
    run = aborting(tmp_path, replace(SIGNED, conf=etcd_conf.parse(text)))
    found = FormerHost(run, name(0)).problems()
    assert len(found) == problems, found
    assert all("somebody else has edited it" in line for line in found)


def test_the_order_of_another_step_is_not_that_of_the_file() -> None:
    assert after("32", "60").conf.get("ETCD_INITIAL_CLUSTER") == f"m0={peer(0)},m2={peer(2)},m1={peer(1)}"


@pytest.mark.parametrize("edit", ["# mine\n", "ETCD_DEBUG=true\n", 'ETCD_INITIAL_CLUSTER="m0=http://10.0.0.10:2380"\n'])
def test_what_somebody_else_wrote_is_not_ours(edit: str) -> None:
    for steps in ((), ("32",)):
        text = after(*steps).conf.text + edit
        [written] = [WriteFile(name(0), "/etc/etcd/etcd.conf", text)]
        now = written.after(facts(0))
        assert isinstance(now, HostFacts)
        assert not left_by_us(now.conf, FOUND)


def aborting(folder: Path, host: HostFacts) -> Run:
    """An abort that has surveyed host 0 so."""
    run = Run("abort", inventory(), folder, "r2", "eve@desk", 1, ())
    run.survey = survey(host, emptied(1), emptied(2))
    run.diagnosis = diagnose(run.inventory, run.survey)
    return run


def differences(folder: Path, surveyed: HostFacts, now: HostFacts) -> list[str]:
    """What step 99 says of host 0, which its abort surveyed so, and which is so now."""
    run = aborting(folder, surveyed)
    run.model = Model({**run.reached, name(0): now})
    return FormerHost(run, name(0)).differences()


BEFORE = deaf(0)
SIGNED = replace(stopped(0), mark=signed(BEFORE, mark()))
UNDONE = replace(BEFORE, mark=SIGNED.mark)


def test_a_host_that_is_as_it_was_found(tmp_path: Path) -> None:
    assert differences(tmp_path, SIGNED, UNDONE) == []
    assert "a process of etcd: found True, now False" in differences(tmp_path, SIGNED, SIGNED)


@pytest.mark.parametrize(
    ("left", "at", "said"),
    [
        (MANIFEST, MANIFEST, []),
        (PARKED, ASIDE, []),
        (PARKED, PARKED, ["a fence: found False, now True"]),
        (ASIDE, MANIFEST, []),
    ],
    ids=["not fenced yet", "fenced", "still fenced", "moved back by hand"],
)
def test_an_emptied_pod_is_as_it_was_found_fenced_or_not(tmp_path: Path, left: str, at: str, said: list[str]) -> None:
    """A run that ended before its fence left the manifest where it was: it was to be gone, and no abort came to its end."""
    before = replace(emptied(0), unit=pod_unit())
    surveyed = replace(before, unit=pod_unit(left), mark=signed(before, mark()))
    assert differences(tmp_path, surveyed, replace(surveyed, unit=pod_unit(at))) == said


def test_data_that_is_not_moved_back_is_told(tmp_path: Path) -> None:
    """A join has left data there, and the host was called as it was found."""
    left = replace(UNDONE, machine=machine(0, data_aside=frozenset({mark().recovery})))
    assert differences(tmp_path, SIGNED, left) == ["data that was moved aside: found False, now True"]


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [
        (stopped(0, fenced=True), stopped(0, fenced=True), []),
        (stopped(0, fenced=True), stopped(0), ["a fence: found True, now False"]),
        (replace(healthy(0), unit=unit(fenced=True)), healthy(0), []),
        (healthy(0), replace(healthy(0), unit=unit(fenced=True)), ["a fence: found False, now True"]),
    ],
    ids=["it stays", "it is gone", "it is gone beside a member", "it was not there"],
)
def test_a_fence_is_as_it_was_found_or_gone_beside_a_member(
    tmp_path: Path, before: HostFacts, now: HostFacts, said: list[str]
) -> None:
    sign = signed(before, mark())
    assert differences(tmp_path, replace(before, mark=sign), replace(now, mark=sign)) == said


def with_clients(host: HostFacts, *order: int, found: tuple[int, ...] = (), owes: bool = False) -> HostFacts:
    """A host of etcd that is a master and runs Flannel, too."""
    was = master_config.parse(config(*found)) if found else None
    was_told = flanneld_conf.parse(endpoints(*found)) if found else None
    told = flanneld_conf.parse(endpoints(*order))
    assert told is not None
    one = Master(master_config.parse(config(*order)), was, owes=("api",) if owes else ())
    return replace(host, master=one, flannel=Flannel(told, was_told, owes=owes))


def test_what_names_members_to_a_master_and_to_flannel_is_compared_on_a_host_of_etcd(tmp_path: Path) -> None:
    surveyed = with_clients(SIGNED, 0, found=(0, 1, 2))
    assert differences(tmp_path, surveyed, with_clients(UNDONE, 0, 1, 2)) == []
    assert differences(tmp_path, surveyed, with_clients(UNDONE, 0, found=(0, 1, 2), owes=True)) == [
        "how master-config.yaml was found, noted down",
        "/etc/origin/master/master-config.yaml is not as it was found",
        "a restart of the api",
        "how Flannel's configuration was found, noted down",
        "/etc/sysconfig/flanneld is not as it was found",
        "a restart of flanneld",
    ]


def test_certificates_and_the_log_are_compared(tmp_path: Path) -> None:
    kept = f"/var/lib/etcd/openshift-backup-requorum-{mark().recovery}/wal/0.wal.8"
    issuing = replace(UNDONE, issuing=Issuing(there=True))
    assert differences(tmp_path, SIGNED, issuing) == ["certificates that were made for it: found False, now True"]
    for here in (machine(0, kept_log=kept), machine(0, ran_logs=(mark().recovery,))):
        [said] = differences(tmp_path, SIGNED, replace(UNDONE, machine=here))
        assert said == "a log that a recovery has committed: found False, now True"

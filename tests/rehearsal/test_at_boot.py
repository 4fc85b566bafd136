"""Etcd that runs and is not enabled, of a survivor: it is enabled at the end, or what is not known is told; no step fails."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from runbook_runs import assert_told, assert_whole, left_behind, run, written

from lab import Lab, masters, pods

Labs = Callable[..., Lab]


@pytest.mark.parametrize(
    ("topology", "unit"),
    [("external", "etcd.service"), pytest.param("static-pod", pods.UNIT, marks=pytest.mark.full)],
)
def test_a_survivor_that_no_boot_starts_is_enabled(labs: Labs, topology: str, unit: str) -> None:
    """Started by hand, or by a cluster manager: the plan and the operator's question show it, and step 61 does it."""
    lab = labs(topology=topology)
    if topology == "static-pod":
        masters.wait_ready(lab)
    survivor, *lost = lab.hosts
    lab.run(survivor, f"systemctl disable {unit}")
    checked = run(lab, "checks/")
    assert checked.exit == 1, checked.output
    assert "test_starts_at_boot" in checked.output
    writes = written(lab)
    lab.break_hosts([host.short for host in lost], "destroyed")
    planned = run(lab, "--plan")
    assert planned.exit == 0, planned.output
    assert f"systemctl enable {unit}" in planned.report.read_text(encoding="utf-8")
    says = ["3 of 3 members", *(["oc needs the API, and that a quorum"] if topology == "static-pod" else [])]
    assert_told(run(lab), exit=0, outcome="recovered", verdict="lost", says=says)
    assert_whole(lab, writes)
    assert left_behind(lab) == []


def test_what_may_start_at_boot_is_told_and_fails_nothing(labs: Labs) -> None:
    """`enabled-runtime`, as `static` and `linked`: another unit may start it; who recovers must not fail at step 61 for it."""
    lab = labs()
    lab.run("etcd-0", "systemctl disable etcd && systemctl enable --runtime etcd")
    checked = run(lab, "checks/")
    assert checked.exit == 0, checked.output
    said = "systemctl is-enabled etcd says enabled-runtime"
    assert said in checked.output
    writes = written(lab)
    lab.break_hosts(["etcd-1", "etcd-2"], "destroyed")
    assert_told(run(lab), exit=0, outcome="recovered", verdict="lost", says=["3 of 3 members", said])
    assert_whole(lab, writes)

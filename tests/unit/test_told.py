"""What the report tells of a host."""

from __future__ import annotations

import pytest
from builders import facts, unit
from pods import container_unit, pod_unit

from requorum.facts.runtime import PARKED
from requorum.facts.unit import Unit
from requorum.told import told


@pytest.mark.parametrize(
    ("unit", "says"),
    [
        (
            unit(),
            "service: etcd.service runs it, and there is neither /etc/origin/node/pods/etcd.yaml nor etcd_container.service",
        ),
        (container_unit(), "container: etcd_container.service runs a container"),
        (pod_unit(), "static-pod: its manifest is /etc/origin/node/pods/etcd.yaml"),
        (pod_unit(PARKED), "static-pod: its manifest is /etc/origin/node/pods-stopped-requorum/etcd.yaml"),
    ],
    ids=["service", "container", "pod", "parked"],
)
def test_how_etcd_runs_and_why_that_is_said(unit: Unit, says: str) -> None:
    assert ("runs as", says) in told(facts(0, unit=unit))

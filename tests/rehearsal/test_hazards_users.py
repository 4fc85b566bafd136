"""Hazards of etcd's own users and roles. See docs/hazards.md, *Surroundings*."""

from __future__ import annotations

import pytest
from hazards import LOST, refused
from runbook_runs import state, written

from lab import Lab
from lab.writer import Write


def users_on(lab: Lab) -> list[Write]:
    """200 keys are written, then etcd's users and roles are switched on. Returns the writes."""
    writes = written(lab)
    for words in ("user add root:secret", "role add root", "user grant-role root root", "auth enable"):
        lab.etcdctl("etcd-0", words)
    return writes


def test_users_and_roles_after_the_loss(lab3: Lab) -> None:
    """Forced, it could neither be read nor written by us, and the way back would be gone."""

    def make() -> list[Write]:
        writes = users_on(lab3)
        lab3.break_hosts(LOST, "destroyed")
        return writes

    state(lab3, "users-lost", make)
    says = ["etcd-0.example.com: etcd's users and roles are switched on", "recover by hand"]
    refused(lab3, "unproven", says)


@pytest.mark.full
def test_users_and_roles_while_a_quorum_answers(lab3: Lab) -> None:
    users_on(lab3)
    says = ["users and roles are switched on: Error: etcdserver: permission denied", "auth disable"]
    refused(lab3, "unproven", says)

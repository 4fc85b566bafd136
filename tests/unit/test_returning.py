"""The look at silent hosts right before the force: what is a sign of life, and what it means."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from builders import conf, deaf, facts, name, silent
from local_shell import LocalShell

from requorum.diagnosis import Diagnosis, Verdict
from requorum.facts.host import HostFacts, Silent
from requorum.inventory import Etcd, EtcdHost, Inventory, Ssh
from requorum.live import Cluster
from requorum.returning import returned

RESTARTABLE = Diagnosis(Verdict.RESTARTABLE, (), ("etcd-0: systemctl start etcd",), path=False)
STILL_LOST = Diagnosis(Verdict.LOST, (), survivor=name(0))


def closed() -> int:
    """A port of the loopback on which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


def cluster(peer_port: int, *, ssh: int | None = None, now: Diagnosis = RESTARTABLE, quiet: bool = True) -> Cluster:
    """Member 0 is reached, and knows member 1 at this port of the loopback; host 1 was silent in the survey."""
    known = conf(0, ETCD_INITIAL_CLUSTER=f"m1=https://127.0.0.1:{peer_port}")
    survey: dict[str, HostFacts | Silent] = {name(0): facts(0, conf=known), name(1): silent(1) if quiet else deaf(1)}
    reached = [found for found in survey.values() if isinstance(found, HostFacts)]
    host = EtcdHost(name(1), "127.0.0.1", True, replace(Ssh(), port=ssh or closed()))
    inventory = Inventory(Path("prod.yaml"), "0" * 64, "prod", Etcd("auto", (host,)))
    run = SimpleNamespace(survey=survey, inventory=inventory, remotes={name(0): Shell(), name(1): Shell()})
    return cast("Cluster", SimpleNamespace(run=run, reached=reached, diagnosed_again=lambda: now))


class Shell(LocalShell):
    name = name(0)


def test_nobody_is_looked_for_where_nobody_was_silent() -> None:
    assert returned(cluster(closed(), quiet=False)) == []


def test_a_refused_connection_is_no_sign_of_life() -> None:
    assert returned(cluster(closed())) == []


def test_a_port_of_etcd_that_listens_is_seen_from_here_and_from_the_others() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"https://127.0.0.1:{server.getsockname()[1]}"
        found = returned(cluster(server.getsockname()[1]))
    assert found == [
        f"{url} listens, as seen from here",
        f"{url} listens, as seen from {name(0)}",
        "the verdict is now: restartable",
        "etcd-0: systemctl start etcd",
    ]


@pytest.mark.parametrize("verdict", [Verdict.LOST, Verdict.UNFINISHED])
def test_what_it_means_is_said(verdict: Verdict) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        now = STILL_LOST if verdict is Verdict.LOST else Diagnosis(verdict, ("a quorum answers",))
        found = returned(cluster(server.getsockname()[1], now=now))
    assert found[-1] == (
        "quorum is lost all the same: run the same command again, it fences who is back before it goes on"
        if verdict is Verdict.LOST
        else "a quorum answers"
    )

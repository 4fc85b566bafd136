"""What a step may ask of a member: who can be reached from where."""

from __future__ import annotations

import socket
from types import SimpleNamespace
from typing import cast

import pytest
from builders import conf, facts, name, process
from local_shell import LocalShell

from requorum.facts.process import Process
from requorum.live import EtcdMember
from requorum.run import Run


class Seen(EtcdMember):
    """A member of which the listeners, look by look, are known."""

    looks: list[tuple[Process, ...]]

    def listeners(self) -> tuple[Process, ...]:
        return self.looks.pop(0)


def dialled(place: str, *looks: tuple[Process, ...]) -> list[str]:
    """What member 0 does not reach of member 1, at this host and port; who listens there before, and after."""
    other = facts(1, conf=conf(1, ETCD_INITIAL_ADVERTISE_PEER_URLS=f"https://{place}"))
    run = cast("Run", SimpleNamespace(remotes=dict.fromkeys((name(0), name(1)), LocalShell()), survey={name(1): other}))
    seen = Seen(run, name(1))
    seen.looks = list(looks)
    return EtcdMember(run, name(0)).unreached(seen)


@pytest.fixture
def closed() -> str:
    """A place on the loopback on which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{taken.getsockname()[1]}"


RUNNING, ANOTHER = (process(started=5000),), (process(started=6000),)


def test_an_open_port_is_reached() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert dialled(f"127.0.0.1:{server.getsockname()[1]}", RUNNING, RUNNING) == []


def test_a_refusal_where_nobody_listens_is_an_answer(closed: str) -> None:
    assert dialled(closed, (), ()) == []


def test_a_refusal_where_etcd_listens_is_that_of_a_firewall(closed: str) -> None:
    assert dialled(closed, RUNNING, RUNNING) == [closed]


@pytest.mark.parametrize("looks", [(RUNNING, ()), (RUNNING, ANOTHER), ((), RUNNING)])
def test_a_refusal_while_etcd_comes_and_goes_is_an_answer(closed: str, looks: tuple[tuple[Process, ...], ...]) -> None:
    """An emptied member beside the survivor founds a cluster, fails, is started again: it listens for a second."""
    assert dialled(closed, *looks) == []


def test_a_name_that_does_not_resolve_is_not_reached() -> None:
    assert dialled("nowhere.invalid:2380", RUNNING, RUNNING) == ["nowhere.invalid:2380"]

"""Which addresses resolve, asked of a resolver that the test brings along."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from requorum.inventory import Inventory, load, unresolvable

NAMES = {"a.example.com": "192.0.2.1", "b.example.com": "192.0.2.2", "also-a.example.com": "192.0.2.1"}


def ask(name: str) -> frozenset[str]:
    if name not in NAMES:
        raise socket.gaierror(-2, "Name or service not known")
    return frozenset({NAMES[name]})


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".ssh").mkdir()
    return tmp_path


def inventory(folder: Path, *hosts: str) -> Inventory:
    path = folder / "prod.yaml"
    path.write_text("cluster: a\netcd:\n  hosts:\n" + "".join(f"    {host}\n" for host in hosts))
    return load(path)


def test_all_resolve(home: Path) -> None:
    assert unresolvable(inventory(home, "a.example.com: {}", "b: {address: b.example.com}"), ask=ask) == ()


def test_each_name_that_does_not_resolve_is_told(home: Path) -> None:
    found = inventory(home, "a.example.com: {}", "x.example.com: {}", "b: {address: y.example.com}")
    first, second = unresolvable(found, ask=ask)
    assert (first.line, first.field) == (5, "etcd.hosts[x.example.com].address")
    assert first.found == "'x.example.com': Name or service not known"
    assert "/etc/hosts" in first.fix
    assert (second.line, second.field) == (6, "etcd.hosts[b].address")


def test_a_lost_host_need_not_resolve_but_is_no_other(home: Path) -> None:
    assert unresolvable(inventory(home, "a.example.com: {}", "x.example.com: {lost: true}"), ask=ask) == ()
    (problem,) = unresolvable(inventory(home, "a.example.com: {}", "also-a.example.com: {lost: true}"), ask=ask)
    assert "'a.example.com'" in problem.found


def test_two_names_of_one_machine_are_told(home: Path) -> None:
    (problem,) = unresolvable(inventory(home, "a.example.com: {}", "also-a.example.com: {}"), ask=ask)
    assert problem.line == 5
    assert "192.0.2.1 like 'a.example.com' in line 4" in problem.found


def test_a_resolver_that_does_not_answer_is_given_up(home: Path) -> None:
    end = threading.Event()

    def silent(name: str) -> frozenset[str]:
        end.wait(30)
        raise socket.gaierror(-3, name)

    (problem,) = unresolvable(inventory(home, "a.example.com: {}"), deadline=0.05, ask=silent)
    end.set()
    assert "no answer from the resolver within 0.05 s" in problem.found


def test_ssh_config_says_what_to_resolve_and_where(home: Path) -> None:
    (home / ".ssh/config").write_text(
        "Host short\n HostName b.example.com\nHost far.*\n ProxyJump a.example.com\n"
        "Host vagrant-*\n HostName a.example.com\nHost vagrant-1\n Port 2200\nHost vagrant-2\n Port 2201\n"
    )
    hosts = ("short: {}", "far.example.com: {}", "vagrant-1: {}", "vagrant-2: {}")
    assert unresolvable(inventory(home, *hosts), ask=ask) == ()


def test_a_broken_ssh_config_leaves_the_declared_addresses(home: Path) -> None:
    (home / ".ssh/config").write_text("what is this\x00\nMatch\n")
    (problem,) = unresolvable(inventory(home, "a.example.com: {}", "x.example.com: {}"), ask=ask)
    assert problem.line == 5


def test_the_systems_resolver_takes_addresses_as_they_are(home: Path) -> None:
    hosts = ("a: {address: 192.0.2.1}", "b: {address: '2001:db8::1'}", "c: {address: localhost}")
    assert unresolvable(inventory(home, *hosts)) == ()


def test_hosts_beside_the_cluster_are_asked_about_too(home: Path) -> None:
    path = home / "prod.yaml"
    path.write_text(
        "cluster: a\netcd:\n  hosts:\n    a.example.com: {}\nmasters:\n  hosts:\n    also-a.example.com: {}\n"
        "nodes:\n  hosts:\n    node-0: {address: x.example.com}\n"
    )
    first, second = unresolvable(load(path), ask=ask)
    assert (first.line, first.field) == (7, "masters.hosts[also-a.example.com].address")
    assert "192.0.2.1 like 'a.example.com' in line 4" in first.found
    assert (second.line, second.field) == (10, "nodes.hosts[node-0].address")

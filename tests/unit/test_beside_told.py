"""What an operator reads of the hosts beside the cluster: before he agrees, and at the end."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from builders import name, names
from test_beside import LOST, M0, M1, NODE, SILENT, THREE, a_master, a_node, at_rest, computer, forced, run_on
from test_flannel_rules import MINE, keys

from requorum.clients import Client
from requorum.facts.holders import Held
from requorum.facts.host import HostFacts, Silent
from requorum.flannel import FlannelHosts
from requorum.masters import Masters
from requorum.remote import Output
from requorum.stages.confirmation import asked
from requorum.stages.full_disks import BESIDE, _places
from requorum.stages.outcome import outcome


def test_what_is_agreed_to_names_them(tmp_path: Path) -> None:
    said = asked(run_on(tmp_path, LOST, {M0: a_master(M0, 0, 1, 2), M1: SILENT[M1], NODE: a_node(2, 0, 1)}))
    assert f"Masters:   {M0}: master-config.yaml is edited" in said
    assert f"Flannel:   {NODE}: its endpoints are edited" in said
    assert f"Silent:    {M1}: what names members there is edited when they are back." in said
    fenced = next(line for line in said.splitlines() if line.startswith("Fenced:"))
    assert M0 not in fenced


def test_a_master_that_was_silent_at_the_force_is_named_where_its_file_is_right(tmp_path: Path) -> None:
    assert f"Masters:   {M1}: " in asked(run_on(tmp_path, forced(M1), at_rest()))


@pytest.mark.parametrize(
    ("hosts", "silent", "answer"),
    [
        (THREE, (), "3 of 3 members; nothing to do, nothing was changed"),
        (THREE, (M1,), "3 of 3 members; run the same command when master-1 is back; nothing was changed"),
        (forced(M1, NODE), (M1, NODE), "3 of 3 members; run the same command when master-1, node-0 are back; nothing was "
                                       "changed"),
    ],
)  # fmt: skip
def test_the_last_sentence_says_what_is_still_to_be_done(
    tmp_path: Path, hosts: dict[str, HostFacts | Silent], silent: tuple[str, ...], answer: str
) -> None:
    run = run_on(tmp_path, hosts, at_rest() | {host: SILENT[host] for host in silent})
    run.begin()
    ended = outcome(run, run.diagnosis, stopped=False)
    assert (ended.exit, ended.result, ended.answer) == (0, "healthy", answer)
    assert ended.missing == ()


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("404 page not found", [f"etcd on {name(0)} serves no v2 API, which Flannel needs"]),
        ("", [f"etcd on {name(0)} does not answer by the v2 API now"]),
        (keys(MINE), []),
    ],
    ids=["no v2 API", "no answer", "served"],
)
def test_whether_the_survivor_serves_what_flanneld_needs_is_told(tmp_path: Path, answer: str, said: list[str]) -> None:
    class Survivor:
        def run(self, script: str, **_: object) -> Output:
            return Output(0, answer, "")

    run = run_on(tmp_path, LOST, {NODE: a_node(0, 1, 2)})
    run.remotes[name(0)] = Survivor()  # type: ignore[assignment]
    notes = FlannelHosts(run).notes(Client(run, NODE))
    assert len(notes) == len(said)
    assert all(line.startswith(words) for line, words in zip(notes, said, strict=True))


def test_a_full_disk_is_looked_for_there_too(tmp_path: Path) -> None:
    places = _places(run_on(tmp_path, LOST, {M0: a_master(M0, 0, 1, 2), M1: SILENT[M1]}))
    assert places[M0] == list(BESIDE)
    assert M1 not in places


def test_an_api_server_beside_the_cluster_is_no_strangers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the inventory's address, and by any that the host has; an address that no master has is told."""
    two = replace(a_master(M1, 1, 2, 0), machine=computer(M1, addresses=("10.8.0.21",)))
    masters = Masters(run_on(tmp_path, THREE, at_rest() | {M1: two}))
    leases = ("10.0.0.20", "10.0.0.21", "10.8.0.21", "10.9.9.9")
    monkeypatch.setattr(Masters, "_held", lambda self: Held({}, leases))
    monkeypatch.setattr(Masters, "listed", lambda self: names(0, 1, 2))
    (stranger,) = masters.left_to_do()
    assert stranger.startswith("an API server at 10.9.9.9,")

"""What the operator agrees to: what is still to come, and nothing else."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
from builders import (
    THREE,
    answers,
    data,
    deaf,
    emptied,
    facts,
    healthy,
    inventory,
    mark,
    member,
    members,
    name,
    silent,
    stopped,
    survey,
)  # fmt: skip

from requorum.bastion import read
from requorum.diagnosis import diagnose
from requorum.facts import master_config
from requorum.facts.ansible_kept import NAME, Kept
from requorum.facts.host import HostFacts, Silent
from requorum.facts.mark import Found
from requorum.facts.master import Master
from requorum.hostlock import HostLock
from requorum.inventory import Inventory, MasterHost, Masters
from requorum.records import VerdictGiven
from requorum.run import Run
from requorum.stages import confirmation
from requorum.stages.confirmation import NotConfirmed, asked, look_again
from requorum.undoing import listed, undoing_of


@pytest.mark.parametrize(("before", "passed"), [((0, 1, 2), True), ((0,), False)], ids=["passed", "ahead"])
def test_the_point_of_no_return_of_an_unfinished_recovery(
    tmp_path: Path, before: tuple[int, ...], passed: bool
) -> None:
    """The member list that the recovery found, and the one that there is now."""
    found = replace(mark(), members=listed(healthy(0, members(*before))))
    alone = replace(healthy(0, members(0)), mark=found)
    run = Run("recovery", inventory(), tmp_path, "20261125T000000Z", "ada@desk", 1, ())
    run.survey = survey(alone, emptied(1, mark=mark()), emptied(2, mark=mark()))
    run.diagnosis = diagnose(run.inventory, run.survey)
    told = asked(run)
    assert ("it has passed" in told) == passed, told
    assert ("--abort undoes everything" in told) != passed, told


def test_whose_data_is_moved_aside(tmp_path: Path) -> None:
    """A member of the cluster that answers, and that is down with its data, is started with it."""
    all_ = members(*THREE)
    said = told(tmp_path, replace(healthy(0, all_), mark=mark()), stopped(1, data(1, all_)), emptied(2))
    assert f"Rejoining: {name(2)}. Their old data is moved aside, never deleted." in said
    assert f"Rejoining: {name(1)}, in the member list already, with the data that is there." in said


def told(folder: Path, *hosts: HostFacts | Silent, ours: Inventory | None = None) -> str:
    run = Run("recovery", ours or inventory(), folder, "20261125T000000Z", "ada@desk", 1, ())
    run.survey = survey(*hosts)
    run.diagnosis = diagnose(run.inventory, run.survey)
    if run.inventory.ansible_inventory:
        run.ansible = read(run.inventory.ansible_inventory, folder)
    return asked(run)


LOST = (deaf(0), emptied(1), emptied(2))
DEAD = HostLock("aaa 7 9 2026-11-05T03:00:00Z r1 ada@desk", alive=False, busy=False)


class Looks(Run):
    """A run whose hosts are known, look by look."""

    later: tuple[HostFacts | Silent, ...]
    looks = 0

    def look(self, breaking: str = "") -> None:
        self.looks += 1
        self.see(*self.later)

    def see(self, *hosts: HostFacts | Silent) -> None:
        self.survey = survey(*hosts)
        self.diagnosis = diagnose(self.inventory, self.survey)
        self.undoing = undoing_of(self.inventory, self.survey)
        self.recovery = max((m.recovery for m in self._marks()), default=self.name)


def agreed_to(tmp_path: Path, *hosts: HostFacts | Silent, later: tuple[HostFacts | Silent, ...]) -> Looks:
    run = Looks("recovery", inventory(), tmp_path, "r2", "bob@desk", 1, ())
    run.see(*hosts)
    run.later = later
    return run


def test_what_was_surveyed_a_moment_ago_is_not_looked_at_again(tmp_path: Path) -> None:
    run = agreed_to(tmp_path, *LOST, later=LOST)
    look_again(run, "")
    assert run.looks == 0


def test_what_was_agreed_to_long_ago_is_looked_at_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The name is typed an hour later. Members may have come back: whoever is fenced then may cost a quorum."""
    monkeypatch.setattr(confirmation, "FRESH_SECONDS", -1.0)
    run = agreed_to(tmp_path, *LOST, later=LOST)
    look_again(run, "")
    assert run.looks == 1
    assert [one.verdict for one in verdicts(run)] == ["lost"]
    both = members(*THREE)
    run = agreed_to(tmp_path, *LOST, later=(healthy(0, both), healthy(1, both), emptied(2)))
    with pytest.raises(NotConfirmed, match=r"no longer what there is; found now: Cluster prod: degraded\.") as refused:
        look_again(run, "")
    assert refused.value.advice == "run the same command again: it looks anew, and asks again"


def verdicts(run: Run) -> list[VerdictGiven]:
    return [e.record for e in run.journal.entries() if isinstance(e.record, VerdictGiven)]


def test_a_run_without_connections_may_have_gone_on_until_its_lock_was_taken(tmp_path: Path) -> None:
    """Its line was there, and nobody seemed to hold it. It has forced, and one host has joined."""
    seen = tuple(replace(facts, lock=DEAD) for facts in LOST)
    two = members(0, 1)
    joined = (healthy(0, two, mark=mark()), healthy(1, two, mark=mark()), emptied(2, mark=mark()))
    with pytest.raises(NotConfirmed, match="Under way: recovery 20261105-0300. Cluster prod: unfinished"):
        look_again(agreed_to(tmp_path, *seen, later=joined), "")
    run = agreed_to(tmp_path, *seen, later=seen)
    look_again(run, "")
    assert run.looks == 1


def test_a_host_that_is_silent_for_another_reason_is_what_was_agreed_to(tmp_path: Path) -> None:
    """Without power: no answer in 10 s, and a moment later no route to it."""
    as_found = Found("active", "enabled", fenced=False, data=True, written=True, conf=LOST[0].conf.sha256)
    found = replace(mark(), members=listed(LOST[0]), found=as_found)
    signed = [replace(facts, mark=found, lock=DEAD) for facts in LOST[:2]]
    run = Looks("abort", inventory(lost=(2,)), tmp_path, "r2", "bob@desk", 1, ())
    run.see(*signed, silent(2))
    assert run.acts
    run.later = (*signed, replace(silent(2), reason="no answer from 10.0.0.12 port 22 in 10 s"))
    look_again(run, "")
    assert run.looks == 1


def test_a_recovery_that_began_meanwhile_is_not_what_was_agreed_to(tmp_path: Path) -> None:
    seen = tuple(replace(facts, lock=DEAD) for facts in LOST)
    signed = tuple(replace(facts, mark=mark()) for facts in LOST)
    with pytest.raises(NotConfirmed, match="found now: Under way: recovery 20261105-0300"):
        look_again(agreed_to(tmp_path, *seen, later=signed), "")


def line(text: str, label: str) -> str:
    """What stands behind a label; empty where it is not there."""
    return next((rest.strip() for one in text.splitlines() if (rest := one.removeprefix(label)) != one), "")


KEPT = "nothing that the valid log of etcd-0.example.com holds: every acknowledged write in it is kept"
CUT = "the tail of etcd-0.example.com, because of `keep_tail: false`: 1 log entries"
ELSEWHERE = "what only lost members held is unknown (when etcd-0.example.com last heard of its leader is not known)"


@pytest.mark.parametrize(
    ("hosts", "keep_tail", "said"),
    [
        (LOST, True, f"{KEPT}; {ELSEWHERE}."),
        (LOST, False, f"{CUT}; {ELSEWHERE}."),
        ((healthy(0), healthy(1), emptied(2)), True, "none: a quorum answers."),
    ],
    ids=["lost", "lost, and the tail is cut", "a quorum"],
)
def test_the_loss_that_is_agreed_to(tmp_path: Path, hosts: tuple[HostFacts, ...], keep_tail: bool, said: str) -> None:
    """Never *none* where quorum is lost: what is gone with the others nobody can count."""
    ours = inventory()
    ours = replace(ours, etcd=replace(ours.etcd, keep_tail=keep_tail))
    assert line(told(tmp_path, *hosts, ours=ours), "Loss:") == said


@pytest.mark.parametrize(
    ("fenced", "said"),
    [((), "etcd-1.example.com, etcd-2.example.com (etcd stopped"), ((1,), "etcd-2.example.com (etcd stopped"),
     ((1, 2), "no further host.")],
    ids=["none", "one", "both"],
)  # fmt: skip
def test_who_is_fenced_already_is_not_fenced_again(tmp_path: Path, fenced: tuple[int, ...], said: str) -> None:
    others = [emptied(n, "inactive/dead" if n in fenced else "failed/failed", fenced=n in fenced) for n in (1, 2)]
    assert line(told(tmp_path, deaf(0), *others), "Fenced:").startswith(said)


def test_old_peers_and_emptied_hosts_are_told_apart(tmp_path: Path) -> None:
    founded = deaf(2, data(2, last=(1, 3), commit=3, revision=1, unwritten=True))
    said = told(tmp_path, healthy(0, members(0)), stopped(1), founded)
    assert line(said, "Old peers:").startswith("etcd-1.example.com. They are fenced first. What they wrote")
    assert line(said, "Emptied:").startswith("etcd-2.example.com: etcd has started there by itself, and holds nothing.")
    fenced = told(tmp_path, healthy(0, members(0)), stopped(1, fenced=True), silent(2))
    assert line(fenced, "Old peers:") == "etcd-1.example.com. What they wrote by themselves is shown, not merged."
    assert line(fenced, "Emptied:") == ""


@pytest.mark.parametrize("out", [False, True], ids=["before", "resumed"])
def test_who_is_out_of_the_ansible_inventory_already_does_not_leave_it_again(tmp_path: Path, out: bool) -> None:
    whole, alone = "[etcd]\netcd-[0:2].example.com\n", "[etcd]\netcd-0.example.com\n"
    hosts, copy = tmp_path / "hosts", tmp_path / "copy"
    hosts.write_text(alone if out else whole)
    if out:
        copy.write_text(whole)
        digest = hashlib.sha256(whole.encode()).hexdigest()
        kept = Kept(str(hosts), "r1", "copy", digest, "0644", "0:0", (name(1), name(2)))
        (tmp_path / NAME).write_text(kept.text())
    ours = replace(inventory(), ansible_inventory=hosts)
    said = line(told(tmp_path, deaf(0), emptied(1), emptied(2), ours=ours), "Ansible:")
    both = "etcd-1.example.com, etcd-2.example.com"
    assert said.startswith(f"{both} return to [etcd]" if out else f"{both} leave [etcd]"), said


@pytest.mark.parametrize(("owes", "said"), [((), False), (("api",), True)], ids=["settled", "owed"])
def test_masters_are_named_where_something_is_to_be_done_there(
    tmp_path: Path, owes: tuple[str, ...], said: bool
) -> None:
    """A learner is still to be promoted: nothing that the masters have to hear of."""
    text = "".join(f"  - https://{name(n)}:2379\n" for n in range(3))
    config = master_config.parse(f"etcdClientInfo:\n  urls:\n{text}")
    listed = (*members(0, 1), member(2, learner=True))
    both = [facts(n, api=answers(n, listed), mark=mark()) for n in range(3)]
    hosts = [replace(one, master=Master(config, owes=owes)) for one in both]  # type: ignore[arg-type]
    ours = inventory()
    ours = replace(ours, masters=Masters(tuple(MasterHost(h.name, h.address, h.ssh) for h in ours.etcd.hosts)))
    assert ("Masters:" in told(tmp_path, *hosts, ours=ours)) == said

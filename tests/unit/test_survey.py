"""What is read when, of hosts that are not there: each answers what the test says."""

from __future__ import annotations

import gzip
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from builders import data, facts, healthy, inventory, name, process, survey
from pods import pod_unit

from requorum.diagnosis import Verdict, diagnose
from requorum.facts.data_dir import DataDir
from requorum.facts.host import HostFacts, Noun, Silent
from requorum.remote import ConnectionLost, DeadlinePassed, Output, RemoteError
from requorum.survey import Surveyor, Unexpected


def at(revision: int, host: HostFacts) -> HostFacts:
    assert host.api.status is not None
    return replace(host, api=replace(host.api, status=replace(host.api.status, revision=revision)))


@dataclass(frozen=True)
class Scripted(Surveyor):
    """A surveyor of hosts that are only told."""

    first: dict[str, HostFacts | Silent] = field(default_factory=dict)
    later: dict[str, HostFacts] = field(default_factory=dict)
    on_disk: DataDir | None = None

    def one_or_silent(self, name: str, known: HostFacts | Silent | None = None) -> HostFacts | Silent:
        return self.first[name]

    def again(self, facts: HostFacts, *nouns: Noun) -> HostFacts:
        if facts.name not in self.later:
            raise RemoteError(facts.name, expected="an answer", found="none", advice="")
        return self.later[facts.name]

    def data(self, facts: HostFacts) -> DataDir:
        assert self.on_disk is not None
        return self.on_disk

    def leader_lost(self, facts: HostFacts) -> float | None:
        return None


@pytest.mark.parametrize(("later", "verdict"), [({}, Verdict.UNPROVEN), (None, Verdict.DEGRADED)])
def test_a_member_that_runs_and_does_not_answer_is_not_ahead_by_what_it_got_meanwhile(
    later: dict[str, HostFacts] | None, verdict: Verdict
) -> None:
    """Its clients cannot reach it, its peers can; data is read after the others were asked."""
    deaf = facts(0, processes=(process(),))
    first = survey(deaf, at(50, healthy(1)), at(50, healthy(2)))
    then = {name(n): at(60, healthy(n)) for n in (1, 2)} if later is None else later
    surveyor = Scripted(dict.fromkeys(first), "/backup", first=first, later=then, on_disk=data(0, revision=55))  # type: ignore[arg-type]
    assert diagnose(inventory(), surveyor.all()).verdict is verdict


class Cut:
    """A remote on which everything hangs."""

    def batch(self, commands: dict[Noun, str], **_: object) -> dict[Noun, Output]:
        return {noun: Output(124, "", "") for noun in commands}


@pytest.mark.parametrize("noun", ["process", "mark", "lock"])
def test_no_answer_is_no_fact(noun: Noun) -> None:
    """Nothing would read as: no etcd lives, no recovery is under way, no other run holds the lock."""
    with pytest.raises(Unexpected, match="no whole answer in time"):
        Surveyor({name(0): Cut()}, "/backup").again(facts(0), noun)  # type: ignore[dict-item]


class Says(Cut):
    """One that has this etcd.conf."""

    def batch(self, commands: dict[Noun, str], **_: object) -> dict[Noun, Output]:
        return {noun: Output(0, "ETCD_DATA_DIR=/var/lib/etcd/   # ssd\n", "") for noun in commands}


def test_a_pods_etcd_conf_that_its_shell_reads_otherwise_is_refused() -> None:
    """The data was looked for in a directory of another name, was not there, and the member counted as gone."""
    surveyor = Surveyor({name(0): Says()}, "/backup")  # type: ignore[dict-item]
    assert surveyor.again(facts(0), "conf").conf.data_dir.endswith("# ssd"), "systemd knows no such comment"
    with pytest.raises(Unexpected, match=r"etcd\.conf, line 1: .* the pod sources this file"):
        surveyor.again(facts(0, unit=pod_unit()), "conf")


@dataclass
class Slow:
    """A remote that cannot read the database, and on which the log does not come whole, or is empty."""

    error: RemoteError | None
    asked: int = 0

    def run(self, script: str, **_: object) -> Output:
        return Output(1, "", "Input/output error")

    def fetch(self, script: str, to: Path, **_: object) -> str:
        self.asked += 1
        if self.error is not None:
            raise self.error
        to.write_bytes(gzip.compress(b""))
        return ""


@pytest.mark.parametrize("kind", [DeadlinePassed, ConnectionLost, RemoteError])
def test_what_did_not_come_is_not_read_and_what_came_damaged_is_damaged(kind: type[RemoteError]) -> None:
    """Asking again at once would cost as long again."""
    error = kind(name(0), expected="the log to come within 60 s", found="that it did not", advice="is it overloaded?")
    late, damaged = Slow(error), Slow(None)
    found = Surveyor({name(0): late}, "/backup").data(facts(0))  # type: ignore[dict-item]
    assert (found.unread, late.asked) == (True, 1)
    assert "within 60 s" in found.error
    found = Surveyor({name(0): damaged}, "/backup").data(facts(0))  # type: ignore[dict-item]
    assert (found.unread, damaged.asked) == (False, 2)
    assert "Input/output error" in found.error

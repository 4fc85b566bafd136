"""How often a survey asks a host: one batch for all its facts; only where its member does not answer, what its data takes.

The hosts answer what real ones printed; what is asked beside the batch is done by bash here, on a recorded data directory.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from builders import name
from facts.samples import RECORDED, Sample
from facts.wal_writer import Writer
from local_shell import LocalShell, Said

from requorum.facts import contact, snap_file
from requorum.facts.host import LASTING, HostFacts, Noun, commands
from requorum.facts.wal import read_entries
from requorum.remote import Output
from requorum.survey import Surveyor, Unexpected

EVERY = set(commands("/backup"))
SAMPLE = Sample("3.4.23")


def printed(state: str) -> dict[str, dict[str, int | str]]:
    said: dict[str, dict[str, int | str]] = json.loads((RECORDED / "hosts" / f"{state}.json").read_text())
    return said


@dataclass
class Counted(LocalShell):
    """A host that answers what one printed, and keeps how it was asked: the nouns of each batch, or what else."""

    said: Mapping[str, Mapping[str, int | str]] = field(default_factory=dict)
    data: Path = Path("/nowhere")
    calls: list[object] = field(default_factory=list)

    def batch(self, commands: Mapping[Noun, str], **_: object) -> dict[Noun, Output]:
        self.calls.append(set(commands))
        return {noun: self._output(noun) for noun in commands}

    def _output(self, noun: Noun) -> Output:
        """As it was printed, with the data where it lies here; nothing, where it was recorded before there was the noun."""
        said = self.said.get(noun, {"exit": 0, "stdout": "", "stderr": ""})
        return Output(
            int(said["exit"]), str(said["stdout"]).replace("/var/lib/etcd", str(self.data)), str(said["stderr"])
        )

    def run(self, script: str, *, seconds: float, change: bool = False, clients_data: bool = False) -> Said:
        assert not change, script
        known = {contact.COMMAND: "contact", snap_file.command(str(self.data)): "snapshots"}
        self.calls.append(known.get(script, "database" if f"{self.data}/member/snap/db" in script else script))
        return super().run(script, seconds=seconds)

    def fetch(self, script: str, to: Path, *, seconds: float) -> str:
        self.calls.append("log")
        return super().fetch(script, to, seconds=seconds)


def surveyed(hosts: Mapping[str, Counted]) -> dict[str, HostFacts]:
    found = Surveyor(hosts, "/backup").all()  # type: ignore[arg-type]
    return {host: facts for host, facts in found.items() if isinstance(facts, HostFacts)}


def healthy() -> Counted:
    return Counted(said=printed("healthy"))


def deaf(folder: Path, log: list[tuple[str, bytes]]) -> Counted:
    """A member that runs and does not answer, with this log, and the database of the sample."""
    (folder / "member/snap").mkdir(parents=True)
    (folder / "member/wal").mkdir()
    (folder / "member/snap/db").write_bytes(SAMPLE.db("m0"))
    for segment, content in log:
        (folder / "member/wal" / segment).write_bytes(content)
    return Counted(said=printed("healthy") | printed("deaf"), data=folder)


def test_one_batch_reads_a_host() -> None:
    """Each noun once, in one round trip, and nothing else."""
    remote = healthy()
    facts = Surveyor({name(0): remote}, "/backup").one(name(0))  # type: ignore[dict-item]
    assert facts.api.answers
    assert remote.calls == [EVERY]


def test_where_every_member_answers_one_batch_for_each_host_is_all() -> None:
    hosts = {name(n): healthy() for n in range(3)}
    assert all(facts.api.answers for facts in surveyed(hosts).values())
    assert [remote.calls for remote in hosts.values()] == [[EVERY]] * 3


def test_to_look_again_is_one_batch_of_what_can_change() -> None:
    hosts = {name(n): healthy() for n in range(3)}
    known = surveyed(hosts)
    Surveyor(hosts, "/backup").all(known)  # type: ignore[arg-type]
    assert [remote.calls[1:] for remote in hosts.values()] == [[EVERY - LASTING]] * 3


def test_a_master_takes_no_batch_of_its_own() -> None:
    remote = healthy()
    surveyor = Surveyor({name(0): remote}, "/backup", frozenset({name(0)}))  # type: ignore[dict-item]
    with pytest.raises(Unexpected, match="a master's configuration"):  # it printed none
        surveyor.one(name(0))
    assert remote.calls == [EVERY | {"master"}]


def test_the_data_of_a_member_that_does_not_answer_is_read_beside_its_one_batch(tmp_path: Path) -> None:
    """Database and log once each, and when it lost its leader; the others are asked once more, for their answer alone."""
    hosts = {name(0): deaf(tmp_path, SAMPLE.segments("m0")), name(1): healthy(), name(2): healthy()}
    data = surveyed(hosts)[name(0)].data
    assert data is not None
    assert (data.error, data.log and data.log.last_index) == ("", 185)
    assert hosts[name(0)].calls == [EVERY, "database", "log", "contact"]
    assert [hosts[name(n)].calls for n in (1, 2)] == [[EVERY, {"api"}]] * 2


def test_more_of_a_log_is_read_only_where_its_newest_segments_hold_no_entry(tmp_path: Path) -> None:
    """Two segments first, then the double. As long as they are not all, Raft's own list is read from its snapshots, too."""
    log, entries = read_entries(SAMPLE.segments("m0"), 0)
    oldest = Writer()
    for entry in entries:
        oldest.entry(entry.index, entry.term, entry.data, entry.type)
    oldest.state(log.term, log.commit)
    begun = Writer(oldest.crc)
    newest = Writer(begun.crc)
    names = (f"{n:016x}-{log.last_index + 1 if n else 0:016x}.wal" for n in range(3))
    remote = deaf(
        tmp_path, [(segment, one.content) for segment, one in zip(names, (oldest, begun, newest), strict=True)]
    )
    data = surveyed({name(0): remote})[name(0)].data
    assert data is not None
    assert (data.error, data.log and data.log.last_index) == ("", 185)
    assert remote.calls == [EVERY, "database", "log", "snapshots", "log", "contact"]


def test_what_reads_as_damaged_is_read_once_more(tmp_path: Path) -> None:
    """A live file can be read in the middle of a write."""
    remote = deaf(tmp_path, [])
    data = surveyed({name(0): remote})[name(0)].data
    assert data is not None
    assert data.error
    assert remote.calls == [EVERY, *["database", "log"] * 2, "contact"]

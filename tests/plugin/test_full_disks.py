"""A failure that a full disk may have caused says so: which disk, and what to do first."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from threading import Barrier

import pytest

from requorum.facts import disk
from requorum.inventory import load
from requorum.journal import Journal, JournalError
from requorum.records import WordEnded
from requorum.run import Run
from requorum.stages import full_disks, postcondition
from requorum.stages.step import Now, StepFailed, enter, unwritten


@dataclass
class Answer:
    stdout: str


class Host:
    """Stands in for a connection: what `stat` says, once every host is asked."""

    def __init__(self, said: str, asked: Barrier) -> None:
        self.said = said
        self.asked = asked

    def run(self, script: str, *, seconds: float) -> Answer:
        self.asked.wait(seconds)
        return Answer(self.said)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    file = tmp_path / "inventory.yaml"
    file.write_text("cluster: small\netcd: {hosts: {a: {address: 127.0.0.1}, b: {address: 127.0.0.2}}}\n")
    found = Run("recovery", load(file), tmp_path, "run", "op@here", os.getpid(), ())
    monkeypatch.setattr(full_disks, "_places", lambda run: {"a": ["/backup"], "b": ["/backup", "/etc"]})
    both = Barrier(2)
    said = {"a": "9000 4096 9 9 /backup\n", "b": "0 4096 9 9 /backup\n0 4096 9 9 /etc\n"}
    found.remotes = {name: Host(words, both) for name, words in said.items()}  # type: ignore[misc]
    return found


def test_the_full_disk_of_any_host_is_named(run: Run) -> None:
    found = full_disks.look(run, "a", "False == True")
    assert found.found == "the disk of /backup, /etc on b is full"
    assert found.advice == "make room on b first (df, df -i): what is half written there is not used"


def test_a_disk_that_has_room_again_was_full(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(full_disks, "_places", lambda run: {})
    assert full_disks.look(run, "a", "cp: No space left on device").found == "a disk on a was full"


def test_no_word_of_disks_that_have_room(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(full_disks, "_places", lambda run: {})
    assert full_disks.look(run, "a", "False == True") == full_disks.FullDisks()


def test_the_disk_of_the_reports_counts(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(full_disks, "_places", lambda run: {})
    monkeypatch.setattr(disk, "is_full", lambda *numbers: True)
    assert full_disks.look(run, "a", "x").found == f"the disk of {run.folder} on the machine that runs this is full"


def test_a_word_that_fails_says_so_and_writes_it_down(run: Run) -> None:
    enter(Now(run, "test_x[a]", "a"))
    try:
        with pytest.raises(StepFailed) as failed, postcondition("it writes", otherwise="look at the host"):
            raise AssertionError("it does not")
    finally:
        enter(None)
    assert failed.value.found == "it does not\nthe disk of /backup, /etc on b is full"
    assert failed.value.advice.splitlines()[1:] == ["look at the host"]
    ended = [entry.record for entry in Journal(run.journal.path).entries() if isinstance(entry.record, WordEnded)]
    assert [record.found for record in ended] == [failed.value.found]


@pytest.mark.parametrize("holds", [True, False])
def test_a_journal_on_a_full_disk_does_not_hide_the_failure(
    run: Run, monkeypatch: pytest.MonkeyPatch, holds: bool
) -> None:
    """Whether the word itself holds or not: what the reader sees is a failure with all its words."""

    def full(record: object) -> None:
        raise JournalError("the journal cannot be written: No space left on device")

    def word() -> None:
        with postcondition("it writes"):
            monkeypatch.setattr(run.journal, "add", full)
            assert holds, "it does not"

    at = Now(run, "test_x[a]", "a")
    enter(at)
    try:
        with pytest.raises((StepFailed, JournalError)) as raised:
            word()
        error = raised.value
        failed = unwritten(error, at) if isinstance(error, JournalError) else error  # as the step's own wrapper does
    finally:
        enter(None)
    told = failed.told("This run made 3 changes.")
    assert ("a journal that can be written" if holds else "it does not") in told
    assert all(word in told for word in ("expected:", "changed:", "next:"))

"""The only writer: intent, change, outcome; and what it does when one does not come to its end."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytest
from builders import facts, name
from local_shell import LocalShell

from requorum.changes import Change, FetchTree, RemoveFile, Shell, WriteFile
from requorum.facts import mark as marks
from requorum.hand import ChangeStopped, Hand, Model, Orphaned
from requorum.journal import Journal, JournalError
from requorum.records import ChangeEnded, ChangeIntended
from requorum.remote import ConnectionLost, Remote

STEP = "test_step[etcd-0.example.com]"


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    folder = tmp_path / "run"
    folder.mkdir()
    return Journal(folder / "journal.jsonl")


def hand(journal: Journal, *, model: Model | None = None, alive: bool = True) -> Hand:
    shells = {name(0): cast(Remote, LocalShell())}
    return Hand(shells, journal, STEP, model=model, alive=lambda: alive)


def told(journal: Journal) -> list[str]:
    """What the journal says of changes, in short."""
    words = []
    for entry in journal.entries():
        if isinstance(entry.record, ChangeIntended):
            words.append(f"intended {entry.record.shown}")
        elif isinstance(entry.record, ChangeEnded):
            words.append(f"{entry.record.result} {entry.record.shown}")
    return words


@dataclass(frozen=True)
class Breaks(RemoveFile):
    """A change whose connection is lost."""

    def do(self, shell: Shell) -> bool:
        raise ConnectionLost(self.host, expected="an answer", found="the connection was lost", advice="run again")


def test_intent_then_outcome(tmp_path: Path, journal: Journal) -> None:
    (tmp_path / "a").touch()
    changes = [RemoveFile(name(0), f"{tmp_path}/{file}") for file in ("a", "b")]
    hand(journal).make(changes)
    a, b = (change.shown() for change in changes)
    assert told(journal) == [f"intended {a}", f"done {a}", f"intended {b}", f"held {b}"]


def test_what_fails_stops_the_rest(tmp_path: Path, journal: Journal) -> None:
    bad = WriteFile(name(0), f"{tmp_path}/a", "x", before="other")
    with pytest.raises(ChangeStopped) as stopped:
        hand(journal).make([bad, WriteFile(name(0), f"{tmp_path}/b", "x")])
    assert stopped.value.change == bad
    assert [words.split()[0] for words in told(journal)] == ["intended", "failed"]
    assert not (tmp_path / "b").exists()


def test_a_lost_connection_is_unknown_and_never_repeated(tmp_path: Path, journal: Journal) -> None:
    with pytest.raises(ChangeStopped):
        hand(journal).make([Breaks(name(0), f"{tmp_path}/a")])
    assert [words.split()[0] for words in told(journal)] == ["intended", "unknown"]


def test_what_is_only_wanted_does_not_stop_what_follows(tmp_path: Path, journal: Journal) -> None:
    (tmp_path / "b").touch()
    writer = hand(journal)
    assert writer.attempt([Breaks(name(0), f"{tmp_path}/a")]).endswith("the connection was lost. Next: run again")
    assert writer.attempt([RemoveFile(name(0), f"{tmp_path}/b")]) == ""
    assert not (tmp_path / "b").exists()


def test_without_a_journal_there_is_no_change(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    with pytest.raises(JournalError):
        hand(Journal(tmp_path / "gone" / "journal.jsonl")).make([RemoveFile(name(0), f"{tmp_path}/a")])
    assert (tmp_path / "a").exists()


def test_an_orphan_changes_nothing(tmp_path: Path, journal: Journal) -> None:
    (tmp_path / "a").touch()
    with pytest.raises(Orphaned):
        hand(journal, alive=False).make([RemoveFile(name(0), f"{tmp_path}/a")])
    assert (tmp_path / "a").exists()
    assert not journal.path.exists()


def test_a_plan_believes_and_touches_nothing(tmp_path: Path, journal: Journal) -> None:
    path = tmp_path / "a"
    path.touch()
    model = Model({name(0): facts(0)})
    changes: list[Change] = [RemoveFile(name(0), str(path)), RemoveFile(name(0), marks.PATH)]
    hand(journal, model=model).make(changes)
    assert path.exists()
    assert [words.split()[0] for words in told(journal)] == ["planned", "planned"]
    assert model.facts == {name(0): facts(0)}


def test_what_lies_in_the_run_s_folder_is_named_from_there(journal: Journal) -> None:
    """The report lies there too, and is read elsewhere."""
    copy = journal.path.parent / "backup" / "etcd-0.tar.gz"
    hand(journal, model=Model({name(0): facts(0)})).make([FetchTree(name(0), "/backup/x", str(copy))])
    assert told(journal) == ["planned fetch /backup/x to backup/etcd-0.tar.gz"]

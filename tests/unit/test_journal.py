"""The journal: chain, torn lines, several writers, full disks, tampering, and text that is no text."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from requorum.journal import Journal, JournalError, Tail
from requorum.records import Noted, Planned, PlannedStep, Record

NOTE = Noted("test_fence[etcd-1]", "etcd-1", "ümläut → ☃")


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal.jsonl")


def note(text: str) -> Noted:
    return Noted("", "", text)


def texts(journal: Journal) -> list[str]:
    return [entry.record.text for entry in journal.entries() if isinstance(entry.record, Noted)]


def test_what_was_written_is_read(journal: Journal) -> None:
    plan = Planned((PlannedStep("test_a[h]", 10, "A", "h", "stage 1", "38.1"),))
    written: list[Record] = [NOTE, plan]
    for record in written:
        journal.add(record)
    entries = list(journal.entries())
    assert [e.record for e in entries] == written
    assert [e.number for e in entries] == [1, 2]
    assert {e.pid for e in entries} == {os.getpid()}
    assert all(e.at.endswith("Z") and e.at[10] == "T" for e in entries)
    assert [e.number for e in journal.entries(after=1)] == [2]


def test_each_line_bears_the_hash_of_the_one_before(journal: Journal) -> None:
    for n in range(3):
        journal.add(note(str(n)))
    lines = [json.loads(line) for line in journal.path.read_text(encoding="utf-8").splitlines()]
    assert [line["previous"] for line in lines] == ["0" * 64, lines[0]["hash"], lines[1]["hash"]]


@pytest.mark.parametrize("cut", [1, 20, 100])
def test_a_torn_last_line_is_cut_off_and_the_chain_goes_on(journal: Journal, cut: int) -> None:
    """A kill in the middle of a write."""
    journal.add(note("one"))
    journal.add(note("two"))
    whole = journal.path.read_bytes()
    journal.path.write_bytes(whole[:-cut])
    assert texts(journal) == ["one"]
    journal.add(note("three"))
    assert texts(journal) == ["one", "three"]


def test_a_torn_first_line_is_cut_off(journal: Journal) -> None:
    journal.path.write_bytes(b'{"number":1,"at"')
    assert texts(journal) == []
    journal.add(note("one"))
    assert texts(journal) == ["one"]


def test_lines_longer_than_a_read_are_whole(journal: Journal) -> None:
    for size in (65_530, 200_000, 10):
        journal.add(note("x" * size))
    journal.path.write_bytes(journal.path.read_bytes() + b'{"number":4' + b"x" * 70_000)
    journal.add(note("end"))
    assert [len(text) for text in texts(journal)] == [65_530, 200_000, 10, 3]


WRITER = """
import sys
from pathlib import Path
from requorum.journal import Journal
from requorum.records import Noted
journal = Journal(Path(sys.argv[1]))
for n in range(25):
    journal.add(Noted("", sys.argv[2], str(n)))
"""


def test_several_processes_write_one_chain(journal: Journal) -> None:
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, journal.path, str(n)]) for n in range(4)]
    assert [writer.wait(timeout=50) for writer in writers] == [0] * 4
    entries = list(journal.entries())
    assert [e.number for e in entries] == list(range(1, 101))
    for host in "0123":
        said = [e.record.text for e in entries if isinstance(e.record, Noted) and e.record.host == host]
        assert said == [str(n) for n in range(25)]


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "full"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "full", folder], capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"cannot mount a file system here: {done.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk_is_an_error_and_what_was_there_stays(full_disk: Path) -> None:
    journal = Journal(full_disk / "journal.jsonl")
    journal.add(note("one"))
    with pytest.raises(JournalError, match="No space left"):
        journal.add(note("x" * 8000))
    assert texts(journal) == ["one"]
    journal.add(note("two"))
    assert texts(journal) == ["one", "two"]


def test_a_folder_that_is_gone_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="cannot be written"):
        Journal(tmp_path / "gone" / "journal.jsonl").add(NOTE)


def three(journal: Journal) -> list[bytes]:
    for text in ("one", "two", "three"):
        journal.add(note(text))
    return journal.path.read_bytes().splitlines(keepends=True)


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        (lambda a, b, c: [a, b.replace(b"two", b"TWO"), c], 2),
        (lambda a, b, c: [a, c], 2),
        (lambda a, b, c: [a, c, b], 2),
        (lambda a, b, c: [b, c], 1),
        (lambda a, b, c: [a, b, b, c], 3),
        (lambda a, b, c: [a, b.replace(b'"pid":', b'"pid":1'), c], 2),
        (lambda a, b, c: [a, b"\n", c], 2),
        (lambda a, b, c: [a, b"[1, 2]\n", c], 2),
        (lambda a, b, c: [a, b'"text"\n', c], 2),
        (lambda a, b, c: [a, b"null\n", c], 2),
        (lambda a, b, c: [a, b"{}\n", c], 2),
        (lambda a, b, c: [a, b"\xff\xfe\n", c], 2),
    ],
)
def test_tampering_is_found_at_its_line(journal: Journal, changed: object, line: int) -> None:
    lines = three(journal)
    journal.path.write_bytes(b"".join(changed(*lines)))  # type: ignore[operator]
    with pytest.raises(JournalError, match=f"line {line}:"):
        list(journal.entries())


@pytest.mark.parametrize(
    "last", [b"[1, 2]\n", b"null\n", b"no json\n", b"{}\n", b'{"number":"x","hash":"y"}\n', b"\xff\n"]
)
def test_nothing_is_added_to_what_is_no_journal(journal: Journal, last: bytes) -> None:
    three(journal)
    damaged = journal.path.read_bytes() + last
    journal.path.write_bytes(damaged)
    with pytest.raises(JournalError):
        journal.add(NOTE)
    assert journal.path.read_bytes() == damaged


SURROGATE = os.fsdecode(b"caf\xe9 \xff")
"""What a command line or a file name that is not UTF-8 looks like in Python."""


def test_text_that_is_not_utf8_is_kept_readable(journal: Journal) -> None:
    journal.add(note(SURROGATE))
    journal.add(note("after"))
    first, second = texts(journal)
    assert second == "after"
    assert first.startswith("caf")
    journal.path.read_bytes().decode("utf-8")  # and the file itself is UTF-8
    assert texts(journal)[0].encode("utf-8")  # so the reports can be written


def test_a_line_separator_in_a_text_does_not_split_the_line(journal: Journal) -> None:
    text = "a\u2028b\u0085c\x0bd\re\nf\x00g"
    tail = Tail(journal.path)
    journal.add(note(text))
    assert texts(journal) == [text]
    assert [e.record for e in tail.new()] == [note(text)]


def test_the_tail_gives_what_is_new(journal: Journal) -> None:
    tail = Tail(journal.path)
    assert tail.new() == []
    journal.add(note("one"))
    assert [e.record for e in tail.new()] == [note("one")]
    assert tail.new() == []
    with journal.path.open("ab") as file:
        file.write(b'{"half')
    assert tail.new() == []
    journal.add(note("two"))
    assert [e.record for e in tail.new()] == [note("two")]


@pytest.mark.parametrize("line", [b"[1]\n", b"null\n", b"no json\n", b"{}\n", b"\xff\n"])
def test_the_tail_tells_what_is_no_record(journal: Journal, line: bytes) -> None:
    journal.path.write_bytes(line)
    with pytest.raises(JournalError):
        Tail(journal.path).new()

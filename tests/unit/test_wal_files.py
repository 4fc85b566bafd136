"""How segments travel: under bash, from a folder of the test's own."""

from __future__ import annotations

import gzip
import io
import lzma
import tempfile
from pathlib import Path

import pytest
from local_shell import LocalShell, stand_in

from requorum.facts.wal_files import FIRST, command
from requorum.fetched import unpack


def sent(folder: Path, shell: LocalShell | None = None, newest: int = 2) -> bytes:
    target = folder.parent / "sent.gz"
    (shell or LocalShell()).fetch(command(str(folder), newest), target, seconds=60)
    return gzip.decompress(target.read_bytes())


def parse(output: bytes) -> list[tuple[str, bytes]]:
    with tempfile.TemporaryDirectory() as folder:
        return [(name, path.read_bytes()) for name, path in unpack(io.BytesIO(output), Path(folder))]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "it's a wal"
    made.mkdir()
    return made


def test_recorded_segments_arrive_whole(folder: Path) -> None:
    samples = sorted((Path(__file__).parent / "facts/recorded/3.4.23-segments").glob("*.wal.xz"))
    recorded = [(path.stem, lzma.decompress(path.read_bytes())) for path in samples]
    for name, content in recorded:
        (folder / name).write_bytes(content)
    (folder / "0.tmp").write_bytes(bytes(100))
    (folder / "0000000000000001-0000000000000009.wal.broken").write_bytes(b"x")
    assert parse(sent(folder)) == recorded[-2:]
    assert parse(sent(folder, newest=1)) == recorded[-1:]


@pytest.mark.parametrize("size", [0, 1, FIRST - 1, FIRST, FIRST + 1, 5 * FIRST])
@pytest.mark.parametrize("at", [None, 0, FIRST - 1, FIRST, 2 * FIRST, 5 * FIRST - 1])
def test_every_byte_that_is_not_zero_arrives(folder: Path, size: int, at: int | None) -> None:
    content = bytearray(size)
    if at is not None and at < size:
        content[at] = 7
    (folder / "a-0.wal").write_bytes(content)
    assert parse(sent(folder)) == [("a-0.wal", bytes(content))]


def test_zeros_do_not_travel(folder: Path) -> None:
    (folder / "a-0.wal").write_bytes(b"x" * 100 + bytes(64_000_000))
    assert len(sent(folder)) < FIRST + 100


def test_a_folder_without_segments_says_so(folder: Path) -> None:
    assert parse(sent(folder)) == []


def test_what_cannot_be_read_is_not_taken_for_zeros(folder: Path) -> None:
    """A bad sector behind the first bytes: cmp says that it has trouble, and not that something differs."""
    (folder / "a-0.wal").write_bytes(bytes(2 * FIRST))
    bad_disk = LocalShell(stand_in(folder.parent / "bin", "cmp", "exit 2"))
    script = f"{{ {command(str(folder), 2)}; }} > /dev/null"
    assert bad_disk.run(script, seconds=60).exit == 1
    assert LocalShell().run(script, seconds=60).exit == 0


@pytest.mark.parametrize(
    "output",
    [
        b"x",
        b"a.wal 10\n",
        b"a.wal 10 20\n" + bytes(20),
        b"a.wal 10 5\n1234",
        b"a b c\n",
        b"../a.wal 1 1\nx",
        b"a/b.wal 1 1\nx",
    ],
)
def test_anything_else_is_an_error(output: bytes) -> None:
    with pytest.raises(ValueError, match="expected"):
        parse(output)

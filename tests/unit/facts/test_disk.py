"""A full disk, from what stat says of its file system."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from requorum.facts import disk


@pytest.mark.parametrize(
    ("line", "full"),
    [
        ("0 4096 65536 60000 /backup", True),
        ("255 4096 65536 60000 /backup", True),
        ("256 4096 65536 60000 /backup", False),
        ("100000 4096 65536 0 /backup", True),
        ("100000 4096 0 0 /backup", False),  # a file system without a table of inodes
    ],
)
def test_full_is_without_blocks_or_without_inodes(line: str, full: bool) -> None:
    assert disk.parse(f"{line}\n9000 4096 10 10 /etc\n") == (["/backup"] if full else [])


def test_a_place_may_have_spaces() -> None:
    assert disk.parse("0 4096 1 1 /a b\n") == ["/a b"]


@pytest.mark.parametrize("output", ["stat: cannot read", "0 4096 /backup"])
def test_anything_else_is_an_error(output: str) -> None:
    with pytest.raises(ValueError):
        disk.parse(output)


def test_the_nearest_parent_of_what_is_not_there_counts(tmp_path: Path) -> None:
    script = disk.command([str(tmp_path / "not" / "there"), "/"])
    said = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert [line.split(maxsplit=4)[4] for line in said.stdout.splitlines()] == [str(tmp_path / "not" / "there"), "/"]
    assert said.stderr == ""
    disk.parse(said.stdout)

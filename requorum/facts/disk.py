"""Whether a disk is full: no block is left, or no inode."""

from __future__ import annotations

import shlex
from collections.abc import Iterable

LEAST_BYTES = 1 << 20
"""With less than this a disk counts as full: etcd writes more in an instant."""
SAID = ("No space left on device", "no space left on device", "Disk quota exceeded", "disk quota exceeded")
"""What a command, or etcd, says that met a full disk."""


def command(places: Iterable[str]) -> str:
    """The command that `parse` reads; of a place that is not there its nearest parent counts."""
    return f"""for place in {shlex.join(places)}; do
  at=$place
  until [ -e "$at" ]; do at=$(dirname "$at"); done
  echo "$(stat -f -c '%a %S %c %d' "$at") $place"
done"""


def parse(output: str) -> list[str]:
    """The places whose disk is full. Raises ValueError for anything that `command` does not print."""
    return [place for line in output.splitlines() for place, full in (_read(line),) if full]


def _read(line: str) -> tuple[str, bool]:
    blocks, size, inodes, free_inodes, place = line.split(maxsplit=4)
    # A file system that makes inodes as it needs them says that it has none.
    return place, is_full(int(blocks) * int(size), int(inodes), int(free_inodes))


def is_full(free: int, inodes: int, free_inodes: int) -> bool:
    """Whether nothing more can be written, from free bytes, and inodes of which some are free."""
    return free < LEAST_BYTES or (inodes > 0 and free_inodes == 0)

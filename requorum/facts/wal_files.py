"""How the newest segments of a write-ahead log come from a host: whole, but for the zeros behind their last record.

etcd gives a segment its 64 MB at once, and most of them are zeros that need not travel.
"""

from __future__ import annotations

import re
import shlex

NAME = re.compile(r"[0-9a-f-]+[.]wal")

FIRST = 64 * 1024
"""Bytes of a segment that are always sent; from there on twice as many, until only zeros are left."""


def command(wal_dir: str, newest: int) -> str:
    """The command that sends the newest segments, packed by gzip, each behind the line that `parse_line` reads."""
    return f"""set -o pipefail
cd {shlex.quote(wal_dir)} || exit 1
for segment in $(ls | grep '^[0-9a-f-]*[.]wal$' | sort | tail -n {newest}); do
  size=$(stat -c %s "$segment") || exit 1
  kept={FIRST}
  while [ "$kept" -lt "$size" ]; do
    # 0: only zeros are left; 1: something else is; 2: it cannot be read, which is not taken for zeros.
    cmp -s -n $((size - kept)) -i "$kept:0" "$segment" /dev/zero && break
    [ $? -eq 1 ] || exit 1
    kept=$((kept * 2))
  done
  [ "$kept" -lt "$size" ] || kept=$size
  echo "$segment $size $kept" && head -c "$kept" "$segment" || exit 1
done | gzip -1"""


LINE = 200
"""The line before a segment is not longer."""


def parse_line(line: bytes) -> tuple[str, int, int]:
    """From the line before a segment: its name, its size, how many bytes follow. Raises ValueError for anything else."""
    words = line.decode(errors="replace").split()
    if len(words) != 3 or not NAME.fullmatch(words[0]) or not words[1].isdecimal() or not words[2].isdecimal():
        raise ValueError(f"expected name, size and number of bytes of a segment, found {line!r}")
    name, size, kept = words[0], int(words[1]), int(words[2])
    if kept > size:
        raise ValueError(f"expected at most the {size} bytes of {name}, found {kept}")
    return name, size, kept

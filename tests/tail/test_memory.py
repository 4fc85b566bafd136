"""A log is read without being held: under a limit of anonymous memory, and with its peak measured.

One of a gigabyte with large entries, and one with as many small ones as the time allows.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from wal_writer import Writer, field, number

from bench import log_made
from requorum.facts.crc32c import running
from requorum.facts.founding import EVERY

MIB = 1 << 20
LIMIT = 160 * MIB
"""Of anonymous memory, the interpreter's own and that of its libraries among it."""

CHILD = """
import resource, sys, threading, time
from dataclasses import replace
from pathlib import Path
sys.path[:0] = sys.argv[1:4]
from builders import conf, facts
from tail_host import LocalHost
from tail_cluster import Etcd
from samples import Sample
from requorum.facts.bolt import read_image
from requorum.fetched import read_data
peak, done = 0, threading.Event()
def look():
    global peak
    while not done.wait(0.02):
        with open("/proc/self/status") as status:
            peak = max(peak, *(int(line.split()[1]) for line in status if line.startswith("RssAnon")))
threading.Thread(target=look).start()
database = replace(read_image(Sample("3.4.23").db("m0")), consistent_index=1)
resource.setrlimit(resource.RLIMIT_DATA, (int(sys.argv[5]), int(sys.argv[5])))
began = time.monotonic()
try:
    data = read_data(LocalHost(Etcd(Path("/usr/bin"))), facts(0, conf=conf(0, ETCD_DATA_DIR=sys.argv[4])), database)
finally:
    done.set()
print(data.error or data.log.last_index, data.tail.count, data.log.first_index, len(data.samples))
print(f"{time.monotonic() - began:.1f} s, {peak >> 10} MiB of anonymous memory at most", file=sys.stderr)
"""


def write_log(folder: Path, segments: int) -> int:
    """Segments of 64 MiB with entries of 1 MiB, chained; returns the last index."""
    folder.mkdir(parents=True)
    crc, index = 0, 0
    for segment in range(segments):
        writer = Writer(crc)
        content, first = [writer.content], index + 1
        bodies = []
        for _ in range(63):
            index += 1
            data = b"\x22\x06" + number(index).ljust(4, b"\0") + b"k" * (MIB - 6)
            bodies.append(field(1, 0) + field(2, 2) + field(3, index) + b"\x22" + number(len(data)) + data)
        for body, crc in zip(bodies, running(bodies, writer.crc), strict=True):
            frame = Writer()
            frame.content = b""
            frame.frame(field(1, 2) + field(2, crc) + b"\x1a" + number(len(body)) + body)
            content.append(frame.content)
        last = Writer()
        last.content, last.crc = b"", crc
        last.state(2, 1)
        crc = last.crc
        content.append(last.content)
        name = f"{segment:016x}-{first if segment else 0:016x}.wal"
        (folder / name).write_bytes(b"".join(content).ljust(64 * MIB, b"\0"))
    return index


def read_in_child(folder: Path, last: int, tail: int) -> str:
    """What the child says of time and memory; it has read the log up to its last entry, so many of them as a tail."""
    here = Path(__file__).parent
    paths = [str(here), str(here.parent / "unit"), str(here.parent / "unit/facts")]
    words = [sys.executable, "-c", CHILD, *paths, str(folder), str(LIMIT)]
    environment = {**os.environ, "PYTHONPATH": str(here.parents[1])}
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment)
    samples = min(last, EVERY) + max(0, last // EVERY - 1)
    assert done.stdout.split() == [str(last), str(tail), "1", str(samples)], done.stdout + done.stderr
    return done.stderr.strip()


def test_two_segments(tmp_path: Path) -> None:
    last = write_log(tmp_path / "member/wal", 2)
    print(read_in_child(tmp_path, last, last - 1))


@pytest.mark.full
def test_a_gigabyte(tmp_path: Path) -> None:
    last = write_log(tmp_path / "member/wal", 16)
    print(read_in_child(tmp_path, last, last - 1))


@pytest.mark.parametrize("mib", [4, pytest.param(48, marks=pytest.mark.full)])
def test_small_entries(tmp_path: Path, mib: int) -> None:
    """Of some hundred bytes; the database is behind all of them, so that the place of each is kept."""
    folder = tmp_path / "member/wal"
    folder.mkdir(parents=True)
    last = log_made.write_log(folder, segments=2, size=mib * MIB, value=40, commits=True)
    print(f"{last} entries:", read_in_child(tmp_path, last, 0))

"""Reads logs that are made here, in a process of its own each, and prints speed and memory."""

from __future__ import annotations

import argparse
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from mmap import ACCESS_READ, mmap
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.log_made import write_log
from requorum.facts.bolt import Db
from requorum.facts.data_dir import judge

MIB = 1 << 20
SIZES = (40, 400, 10_000)
"""Bytes of a value: small, middle, and large enough that the checksum is what takes the time."""
DATABASE = Db(4096, 1, 1, None, 1 << 20, 0, (), (), None, False, None, ())
"""One that judges nothing away: only its consistent index counts here."""


def main(words: Sequence[str]) -> int:
    """Measure and print; 0, or 1 where a log was not read as it was written."""
    arguments = _parser().parse_args(words)
    if arguments.read:
        return _read(*arguments.read)
    if arguments.make:
        return _make(*arguments.make)
    print(f"two segments of {arguments.mib} MiB, and the processor's seconds; of the log the database holds ...")
    for value, commits in ((value, commits) for value in SIZES for commits in (True, False)):
        with TemporaryDirectory(prefix="rq-bench-") as folder:
            last = _child("--make", folder, str(arguments.mib), str(value), "commits" * commits)
            for held, what in ((last, "all"), ("1", "1, committed")) if commits else (("1", "1, all is tail"),):
                print(f"{value:>6} bytes, {what:>14}: {_child('--read', folder, last, held)}", flush=True)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench/log.py", description=__doc__)
    parser.add_argument("--mib", type=int, default=16, help="size of a segment (default: %(default)s; etcd's are 64)")
    parser.add_argument("--make", nargs=4, help=argparse.SUPPRESS)
    parser.add_argument("--read", nargs=3, help=argparse.SUPPRESS)
    return parser


def _child(*words: str) -> str:
    """What this program prints with these words, in a new process: memory that is left over from before counts not."""
    script = Path(__file__).with_name("log.py")
    done = subprocess.run([sys.executable, str(script), *words], stdout=subprocess.PIPE, encoding="utf-8", check=True)
    return done.stdout.rstrip("\n")


def _make(folder: str, mib: str, value: str, commits: str) -> int:
    size = int(mib) * MIB
    print(write_log(Path(folder), segments=2, size=size, value=int(value), commits=bool(commits)))
    return 0


def _read(folder: str, last: str, held: str) -> int:
    paths = sorted(Path(folder).iterdir())
    size = sum(path.stat().st_size for path in paths)
    with ExitStack() as opened:
        files = [opened.enter_context(path.open("rb")) for path in paths]
        maps = [opened.enter_context(mmap(file.fileno(), 0, access=ACCESS_READ)) for file in files]
        segments = [(path.name, content) for path, content in zip(paths, maps, strict=True)]
        with Peak() as peak:
            began = time.process_time()
            data = judge(segments, replace(DATABASE, consistent_index=int(held)))
            seconds = time.process_time() - began
    if data.error or data.log is None or data.log.last_index != int(last):
        print(f"expected {last} entries, found {data.error or data.log}")
        return 1
    entries = f"{int(last) / seconds / 1000:6.1f} thousand entries"
    print(f"{size / 1e6 / seconds:6.1f} MB, {entries} in a second; {peak.kib >> 10:4} MiB for {last} entries")
    return 0


class Peak:
    """The most anonymous memory that this process had more than at first, while it lasted, in KiB.

    What of it are mapped files does not count: the kernel drops their pages as it likes.
    """

    def __enter__(self) -> Peak:
        self.kib, self._first, self._ended = 0, _anonymous(), threading.Event()
        self._thread = threading.Thread(target=self._look, name="peak", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._ended.wait(0.02):
            self.kib = max(self.kib, _anonymous() - self._first)


def _anonymous() -> int:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon:"))

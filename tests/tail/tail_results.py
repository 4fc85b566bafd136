"""The tables of a whole run, as a page."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path

from tail_host import NOTHING, PREDICTED, REFUSED, UNLIKE
from tail_trials import Loss, Trial

PROJECT = Path(__file__).parents[2]
CODE = ("requorum", "tests")
"""What a result depends on, beside etcd."""


class Results:
    """What a run with a seed found; a table for each test that ran whole."""

    def __init__(self, seed: str) -> None:
        self._seed = seed
        self._code = _code()  # as the run begins; it takes an hour
        self._versions: set[str] = set()
        self.tables: dict[str, str] = {}

    def page(self) -> str:
        head = "# What the tail's tests found\n\nWritten by `tox -e tail`; docs/tail.md says what is tested and why."
        day = f"{datetime.now(timezone.utc):%Y-%m-%d}"
        versions = ", ".join(sorted(self._versions))
        of = f"{day}, commit {self._code}; etcd {versions}; seed {self._seed}."
        return f"{head}\n{of}\n\n" + "\n".join(self.tables.values())

    def images(self, found: Sequence[Trial]) -> None:
        self._versions |= {one.version for one in found}
        count = Counter((one.version, one.image, one.outcome.word) for one in found)
        starts = Counter((one.version, one.image) for one in found if one.etcd_starts)
        rows = []
        for version, kind in sorted({(one.version, one.image) for one in found}):
            cells = [count[version, kind, word] for word in (PREDICTED, NOTHING, REFUSED, UNLIKE)]
            rows.append([version, kind, *cells, starts[version, kind]])
        loads = Counter(one.load for one in found)
        head = [
            "etcd",
            "image",
            "held as predicted",
            "nothing to keep",
            "refused",
            "unlike",
            "of the refused: etcd starts",
        ]
        self.tables["images"] = (
            f"## {len(found)} images\nOf logs with these loads: {', '.join(f'{n} × {load}' for load, n in loads.items())}.\n"
            f"Entries kept: {sum(one.outcome.kept for one in found)}.\n\n" + _table(head, rows)
        )

    def losses(self, found: Sequence[Loss]) -> None:
        self._versions |= {one.version for one in found}
        rows = []
        for version, kind in sorted({(one.version, one.image) for one in found}):
            ones = [one for one in found if (one.version, one.image) == (version, kind)]
            stock, ours = sum(one.stock > 0 for one in ones), sum(one.ours > 0 for one in ones)
            total = [sum(one.acknowledged for one in ones), sum(one.elsewhere for one in ones)]
            lost = [f"{sum(one.stock for one in ones)} in {stock}", f"{sum(one.ours for one in ones)} in {ours}"]
            rows.append([version, kind, len(ones), *total, *lost])
        head = [
            "etcd",
            "image",
            "losses",
            "acknowledged",
            "not in the survivor's log",
            "lost by stock",
            "lost by Requorum",
        ]
        self.tables["losses"] = (
            f"## {len(found)} abrupt losses under load\nLost is an acknowledged write that the survivor's valid log holds.\n\n"
            + _table(head, rows)
        )


def _code() -> str:
    """The commit that is checked out, and whether its code was edited since; `none` where there is no git."""
    try:
        edited = _git("status", "--porcelain", "--", *CODE)
        return _git("rev-parse", "--short", "HEAD") + (", with edits that are in none" if edited else "")
    except (OSError, subprocess.CalledProcessError):
        return "none"


def _git(*words: str) -> str:
    return subprocess.run(["git", *words], cwd=PROJECT, capture_output=True, text=True, check=True).stdout.strip()


def _table(head: Sequence[object], rows: Sequence[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(str(cell) for cell in line) + " |\n" for line in lines)

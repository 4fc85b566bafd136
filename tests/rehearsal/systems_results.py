"""What the cells of the systems came to, and what a recovery took in each: docs/systems.md is made of it.

A cell is a topology, a release, and a way to lose quorum; besides them there are tests marked `system("…")`, each a row that
is made on the topologies where it makes sense. REQUORUM_SYSTEMS names the file; one line each, at once.

The seconds of a cell are those of the runbook's own runs, without the steps that restart what is not etcd: API,
controllers, and the pod that gets its probe back. They are held against the external cell of the same release and loss. A
ratio counts only where both were made alone: cells that run side by side wait for each other's processors.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path

from matrix_results import commit
from runbook_runs import PROJECT, Done

from lab import Lab
from lab.spec import Spec
from lab.state import write_atomically
from requorum.journal import Journal
from requorum.records import StepBegan, StepEnded

FILE = os.environ.get("REQUORUM_SYSTEMS", "")
TABLE = PROJECT / "docs/systems.md"
TWIN = "external"
TOPOLOGIES = (TWIN, "colocated", "container", "static-pod")
RELEASES = {"bullseye": "3.3.25", "bookworm": "3.4.23", "trixie": "3.5.16"}
"""Each with its etcd."""
RATIO = 1.3
LOSSES = {"empty": "back empty", "later": "silent, later back"}
OTHERS = ("test_restart_api", "test_restart_controllers", "test_return_probe")
"""The beginnings of the steps that restart what is not etcd."""


@dataclass(frozen=True, slots=True)
class Made:
    """What was made once: a cell (`row` is a key of LOSSES), or one test of a row besides; `why` is empty where it passed.

    `seconds` of the runbook's runs, `platform` those of OTHERS: of a cell alone. `alone`: no other process of these tests
    was there.
    """

    topology: str
    release: str
    row: str
    why: str
    at: str
    commit: str
    alone: bool
    seconds: float = 0.0
    platform: float = 0.0


@dataclass(slots=True)
class _Clock:
    seconds: float = 0.0
    platform: float = 0.0

    def count(self, done: Done) -> Done:
        """A run of the runbook belongs to the cell."""
        self.seconds += done.seconds
        self.platform += _others(done)
        return done


def _others(done: Done) -> float:
    began: dict[str, datetime] = {}
    found = 0.0
    for entry in Journal(done.journal).entries():
        at = datetime.fromisoformat(entry.at.replace("Z", "+00:00"))
        if isinstance(entry.record, StepBegan):
            began[entry.record.step] = at
        elif isinstance(entry.record, StepEnded) and entry.record.step.startswith(OTHERS):
            found += (at - began.get(entry.record.step, at)).total_seconds()
    return found


@contextmanager
def cell(lab: Lab, loss: str) -> Iterator[Callable[[Done], Done]]:
    """Write down what becomes of a cell; gives a function that counts a run of the runbook."""
    clock = _Clock()
    try:
        yield clock.count
    except Exception as error:
        record(lab.record.spec, loss, str(error) or repr(error), clock.seconds, clock.platform)
        raise
    record(lab.record.spec, loss, "", clock.seconds, clock.platform)


def record(spec: Spec, row: str, why: str, seconds: float = 0.0, platform: float = 0.0) -> None:
    """Write down what was made on a lab of this shape, and the table anew; of `why`, what failed, the first line."""
    if not FILE:
        return
    at = datetime.now(timezone.utc).isoformat(timespec="seconds")
    made = Made(
        spec.topology, spec.release, row, why.partition("\n")[0], at, commit(), not side_by_side(),
        round(seconds, 1), round(platform, 1),
    )  # fmt: skip
    Path(FILE).parent.mkdir(parents=True, exist_ok=True)
    with open(FILE, "ab") as stream:
        stream.write(f"{json.dumps(asdict(made))}\n".encode())  # at once: several processes append
    write_table()


def side_by_side() -> bool:
    """This process is one of several (pytest-xdist)."""
    return "PYTEST_XDIST_WORKER" in os.environ


def too_slow() -> list[str]:
    """The cells made alone that took more than RATIO times as long as their external twins, in words."""
    made = [one for one in results() if one.alone]
    found = []
    for topology in TOPOLOGIES:
        for release, loss in sorted({(one.release, one.row) for one in made if one.row in LOSSES}):
            ratio = _ratio(*(_of(made, one, release, loss) for one in (topology, TWIN)))
            if ratio is not None and ratio > RATIO:
                found.append(f"{topology}, {release}, {LOSSES[loss]}: {ratio:.2f} × {TWIN}, limit {RATIO}")
    return found


def results() -> list[Made]:
    """All that was made."""
    if not FILE or not Path(FILE).exists():
        return []
    return [Made(**json.loads(line)) for line in Path(FILE).read_text(encoding="utf-8").splitlines()]


def _of(made: Iterable[Made], topology: str, release: str, row: str) -> list[Made]:
    return [one for one in made if (one.topology, one.release, one.row) == (topology, release, row)]


def write_table() -> None:
    """Write docs/systems.md from what was made so far."""
    made = results()
    failed = [f"- failed: {one.topology}, {RELEASES[one.release]}, {_name(one)}: {one.why}" for one in made if one.why]
    lines = [
        "# The systems",
        "",
        "Written by `tox -e systems`. Quorum is lost on real hosts (two of three), the runbook takes it back, every",
        "acknowledged write is there, every member survives a restart and all hosts a reboot: *passed/made*, then the seconds",
        "of the runbook without the restarts of what is not etcd (median), and their ratio to the external cell. Made one",
        f"after the other, a ratio above {RATIO} fails; side by side (`-n`), cells wait for each other, and it is only told.",
        "",
        f"**{len(made) - len(failed)} of {len(made)} passed**, {min(one.at for one in made)} to {max(one.at for one in made)}, "
        f"commit {', '.join(dict.fromkeys(one.commit for one in made))}.",
        "",
        f"| topology | etcd | {' | '.join(LOSSES.values())} |",
        f"|---|---|{'---|' * len(LOSSES)}",
    ]
    for topology in TOPOLOGIES:
        for release, etcd in RELEASES.items():
            pairs = [[_of(made, one, release, loss) for one in (topology, TWIN)] for loss in LOSSES]
            lines.append(f"| {topology} | {etcd} | {' | '.join(_told(*pair) for pair in pairs)} |")
    lines += _besides(made)
    write_atomically(TABLE, "\n".join([*lines, *([""] if failed else []), *failed]) + "\n")


def _besides(made: Sequence[Made]) -> list[str]:
    rows = sorted({one.row for one in made} - set(LOSSES))
    if not rows:
        return []
    lines = [
        "",
        "Besides, on the topologies where it makes sense: each is a recovery with its proof, *etcd passed/made*.",
        "",
        f"| besides | {' | '.join(TOPOLOGIES)} |",
        f"|---|{'---|' * len(TOPOLOGIES)}",
    ]
    for row in rows:
        there = [
            ", ".join(
                f"{etcd} {_passed(found)}"
                for release, etcd in RELEASES.items()
                if (found := _of(made, one, release, row))
            )
            for one in TOPOLOGIES
        ]
        lines.append(f"| {row} | {' | '.join(words or '–' for words in there)} |")
    return lines


def _name(one: Made) -> str:
    return LOSSES.get(one.row, one.row)


def _passed(made: Sequence[Made]) -> str:
    return f"{sum(not one.why for one in made)}/{len(made)}"


def _told(made: Sequence[Made], twins: Sequence[Made]) -> str:
    if not made:
        return "not made"
    words = _passed(made)
    if (ratio := _ratio(made, twins)) is not None:
        words += f", {_median(made):.0f} s, {ratio:.2f}" + (f" (limit {RATIO})" if ratio > RATIO else "")
    return words


def _ratio(made: Sequence[Made], twins: Sequence[Made]) -> float | None:
    """How much longer cells took than their twins; None where none of either passed."""
    own, others = _median(made), _median(twins)
    return own / others if own and others else None


def _median(cells: Sequence[Made]) -> float:
    """Of those that passed; 0 where none did."""
    own = sorted(one.seconds - one.platform for one in cells if not one.why)
    return own[len(own) // 2] if own else 0.0

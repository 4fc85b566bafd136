"""Something happens to the hosts at one moment of a run: the run waits there for it, or is told of by its journal."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from killed_runs import Point
from runbook_runs import Done, run

from lab import Lab, network, shell, wait
from requorum.journal import Entry


def met(lab: Lab, point: str, act: Callable[[], object], folder: Path, *, inventory: Path | None = None) -> Done:
    """A run that waits right before the command called `point` (as in `points.txt`) while `act` is done."""
    folder.mkdir(exist_ok=True)
    wanted = json.dumps({"point": point, "how": "meet", "meet": str(folder)})
    beside = {"PYTHONPATH": str(Path(__file__).parent), "REQUORUM_SABOTAGE": wanted}

    def meet() -> None:
        wait.until((folder / "reached").exists, f"the run comes to {point}", within=120, every=0.02)
        try:
            act()
        finally:
            (folder / "go").touch()

    with ThreadPoolExecutor(max_workers=1) as pool:
        done = pool.submit(meet)
        ended = run(lab, "-p", "saboteur", inventory=inventory, beside=beside)
        assert (folder / "reached").exists(), f"the run did not come to {point}:\n{ended.output}"
    done.result()
    return ended


class Then:
    """A moment of a run at which something is done, while the run goes on, and a later one."""

    def __init__(self, first: Point, act: Callable[[], object], second: Point) -> None:
        self._first, self._act, self._second = first, act, second
        self._acted = False

    def reached(self, entries: list[Entry]) -> bool:
        """Whether the journal has come to the later one."""
        if not self._acted and self._first.reached(entries):
            self._acted = True
            self._act()
        return self._acted and self._second.reached(entries)


def mend_firewall(lab: Lab, host: str) -> None:
    """Take away what `hazards.firewall` has set up."""
    table = ["ip", "netns", "exec", network.namespace(lab.record, lab.host(host)), "nft", "delete table inet hazard"]
    shell.run(table)

"""Something happens to the hosts at one moment of a run: the run waits there for it, or is told of by its journal."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from runbook_runs import Done, run

from lab import Lab, network, shell, wait
from requorum.journal import Entry
from requorum.records import ChangeIntended


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
    """A change of a step on a host (its id) while which something is done; and a later one, when the run is stopped."""

    def __init__(self, step: str, first: int, act: Callable[[], object], second: int) -> None:
        self._step, self._first, self._act, self._second = step, first, act, second
        self._acted = False

    def reached(self, entries: list[Entry]) -> bool:
        """Whether the journal has come to the later one."""
        records = [entry.record for entry in entries]
        begun = sum(isinstance(record, ChangeIntended) and record.step == self._step for record in records)
        if not self._acted and begun >= self._first:
            self._acted = True
            self._act()
        return self._acted and begun >= self._second


def mend_firewall(lab: Lab, host: str) -> None:
    """Take away what `hazards.firewall` has set up."""
    table = ["ip", "netns", "exec", network.namespace(lab.record, lab.host(host)), "nft", "delete table inet hazard"]
    shell.run(table)

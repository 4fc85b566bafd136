"""As the kill matrix, where two members have data and one of them lags behind: the fresher one survives, in any order.

In the matrix only one host has data, and the same one survives whatever happens. Here etcd-0 has the most and is stopped,
and etcd-4 lags behind and runs: a second run that chose anew, by what the first one left, could take the wrong one.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hazards import stale_runs
from runbook_runs import chance
from sabotage import KILLS, Point, one_round

from lab import Lab

CHANGES = {
    ("test_fence", "etcd-4"): 3,
    ("test_drop_others", "etcd-0"): 1,
    ("test_stop_survivor", "etcd-0"): 1,
    ("test_force_new_cluster", "etcd-0"): 5,
    ("test_take_force_away", "etcd-0"): 5,
    ("test_move_data_aside", "etcd-4"): 1,
    ("test_join", "etcd-4"): 7,
}
"""The steps that take something away from one of the two, or give it to the survivor: name, host → number of changes."""
ROUNDS = 12


def _drawn() -> list[tuple[Point, str]]:
    """One round of each step, and others, each killed in a way that is drawn."""
    draw = chance("kill matrix of five")
    points = [
        Point(f"{step}[{host}.example.com]", "change", number, f"{host}.example.com")
        for (step, host), count in CHANGES.items()
        for number in range(1, count + 1)
    ]
    first = [
        draw.choice([one for one in points if one.step == step]) for step in dict.fromkeys(one.step for one in points)
    ]
    others = draw.sample([one for one in points if one not in first], ROUNDS - len(first))
    return [(point, draw.choice(KILLS)) for point in (*first, *others)]


@pytest.mark.full
@pytest.mark.parametrize(("point", "how"), _drawn(), ids=lambda one: str(one).replace(".example.com", ""))
def test_the_fresher_of_two_survives(labs: Callable[..., Lab], tmp_path: Path, point: Point, how: str) -> None:
    one_round(labs(members=5), point, how, tmp_path, broken_by=stale_runs)

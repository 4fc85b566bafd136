"""The order of steps: by number, then by host; pure but for sorting pytest's items in place."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import pytest

Location = tuple[str, int | None, str]
"""Where an item is written, as pytest shows it: file, line (from 0), name."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where one item stands: its step's number, its host, the host's rank in the inventory, hosts at once or not.

    `blocks`: where it fails, nothing that comes after may begin. `later`: it comes after those of its step that are not.
    """

    number: int
    host: str
    rank: int
    parallel: bool
    blocks: bool = True
    later: bool = False


@dataclass(frozen=True, slots=True)
class Placed:
    """One item of the run: its node id, where it is written, and its place."""

    nodeid: str
    location: Location
    place: Place

    @property
    def step(self) -> str:
        """The step in words, without the host: ``step 40 (test_force_new_cluster)``."""
        return f"step {self.place.number} ({self.nodeid.rpartition('::')[2].partition('[')[0]})"


PlaceOf = Callable[[pytest.Item], Place]


def put_in_order(items: list[pytest.Item], place_of: PlaceOf) -> tuple[Placed, ...]:
    """Sort `items` in place by number and host, whatever reordered them before; returns them with their places.

    Every process of a run gives the same order: the node id decides between items of one step and host.
    """
    places = {item: place_of(item) for item in items}
    items.sort(key=lambda item: (places[item].number, places[item].later, places[item].rank, item.nodeid))
    return tuple(Placed(item.nodeid, item.location, places[item]) for item in items)


def groups_of(plan: Sequence[Placed]) -> tuple[tuple[int, ...], ...]:
    """The indices of `plan` that may run at once, group after group.

    A parallel step is one group on all its hosts; any other step is one group for each host, in the inventory's order.
    """
    groups: list[tuple[int, ...]] = []
    for _, same in itertools.groupby(range(len(plan)), key=lambda index: plan[index].place.number):
        members = tuple(same)
        if all(plan[index].place.parallel for index in members):
            groups.append(members)
        else:
            groups.extend((index,) for index in members)
    return tuple(groups)


def as_json(plan: Sequence[Placed]) -> str:
    """The plan as JSON: what a worker tells the controller."""
    return json.dumps([asdict(placed) for placed in plan])


def from_json(text: str) -> tuple[Placed, ...]:
    """The plan that `as_json` wrote."""
    return tuple(
        Placed(fields["nodeid"], tuple(fields["location"]), Place(**fields["place"])) for fields in json.loads(text)
    )

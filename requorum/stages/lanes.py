"""The scheduler for pytest-xdist: one lane per worker, each host always in the same lane, one group at a time.

A worker never starts the last item it was given until it gets one more, or a shutdown. That look-ahead is the barrier:
each worker waits with the next item of its lane in hand, and the next but one lets it go. xdist's stock schedulers
cannot be used: they mix the order of steps, and run an item again whose worker died.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from requorum.stages.order import Placed
from requorum.stages.permits import Permits

if TYPE_CHECKING:
    from xdist.workermanage import WorkerController


class Progress(Protocol):
    """What the lanes need of the barriers: they decide what may begin, the lanes only carry it out."""

    def lay_out(self, plan: Sequence[Placed]) -> None:
        """Take the plan of the run, in order."""

    def advance(self) -> tuple[int, ...]:
        """Begin the next group; empty where none may begin."""

    def block(self, reason: str) -> None:
        """Let no further group begin."""

    def began(self, index: int) -> None:
        """Note that an item was let go."""

    def withdrew(self, index: int) -> None:
        """Note that an item that was let go has not begun after all, and never will."""

    def interrupted(self, index: int, why: str) -> None:
        """Report an item that began and will not end."""


@dataclass(slots=True)
class Lane:
    """One worker's items: to come, in the worker's hand (it waits with it), and running. Indices of the plan."""

    todo: deque[int] = field(default_factory=deque)
    in_hand: int | None = None
    running: int | None = None


class Lanes:
    """xdist's `Scheduling` protocol. `workers` is how many were started."""

    def __init__(self, progress: Progress, permits: Permits, workers: int) -> None:
        self._progress, self._permits, self._workers = progress, permits, workers
        self._lanes: dict[WorkerController, Lane] = {}
        self._collections: dict[WorkerController, list[str]] = {}
        self._group: set[int] = set()
        self._finished = False

    @property
    def nodes(self) -> list[WorkerController]:
        """The workers that are alive."""
        return list(self._lanes)

    @property
    def collection_is_completed(self) -> bool:
        """Whether every worker has told what it collected."""
        return len(self._collections) >= self._workers

    @property
    def tests_finished(self) -> bool:
        """Whether nothing runs and nothing further may begin: xdist then shuts the workers down."""
        return self._finished

    @property
    def has_pending(self) -> bool:
        """Whether any worker has an item."""
        return any(lane.in_hand is not None or lane.running is not None for lane in self._lanes.values())

    def add_node(self, node: WorkerController) -> None:
        """A worker is up."""
        self._lanes[node] = Lane()

    def add_node_collection(self, node: WorkerController, collection: Sequence[str]) -> None:
        """A worker has collected these node ids, in this order."""
        self._collections[node] = list(collection)

    def schedule(self) -> None:
        """Give each lane its hosts and each worker its first item to wait with; begin the first group."""
        plan = self._agreed_plan()
        self._progress.lay_out(plan)
        ranks = sorted({placed.place.rank for placed in plan})
        lanes = list(self._lanes.values())
        for index, placed in enumerate(plan):
            lanes[ranks.index(placed.place.rank) % len(lanes)].todo.append(index)
        for node, lane in self._lanes.items():
            self._hand_over(node, lane)
        self._advance()

    def _agreed_plan(self) -> tuple[Placed, ...]:
        told = {node.gateway.id: self._permits.told_plan(node.gateway.id) for node in self._collections}
        first, *others = told
        for other in others:
            if told[other] != told[first]:
                self._progress.block(f"worker {other} collected other steps than worker {first}; expected the same")
        return told[first]

    def _advance(self) -> None:
        """Begin the next group: in every lane, the item that waits for it."""
        self._group = set(self._progress.advance())
        self._finished = not self._group
        for node, lane in list(self._lanes.items()):
            self._let_go(node, lane)

    def _let_go(self, node: WorkerController, lane: Lane) -> None:
        """Let the worker begin what it has in hand, if that is of the group that may run."""
        if lane.in_hand is None or lane.in_hand not in self._group:
            return
        if node.shutting_down:  # xdist shut it down: it lets go by itself, and has no permit
            return self._give_up(lane)
        lane.running, lane.in_hand = lane.in_hand, None
        self._progress.began(lane.running)
        self._permits.grant(lane.running)
        self._hand_over(node, lane)

    def _hand_over(self, node: WorkerController, lane: Lane) -> None:
        """Give the worker one item more to wait with, which lets go the one before; or the end of its lane."""
        if not lane.todo:
            return node.shutdown()
        lane.in_hand = lane.todo.popleft()
        try:
            node.send_runtest_some([lane.in_hand])
        except OSError:
            return  # the worker died; xdist's notice of it is on its way and ends the lane in remove_node

    def _give_up(self, lane: Lane) -> None:
        """Nothing more of this lane can begin."""
        lost = {*lane.todo, *(() if lane.in_hand is None else (lane.in_hand,))}
        lane.todo.clear()
        lane.in_hand = None
        self._group -= lost

    def mark_test_complete(self, node: WorkerController, item_index: int, duration: float = 0) -> None:
        """A worker is done with an item: the next of its lane, or the next group, may begin."""
        lane = self._lanes[node]
        if item_index != lane.running:  # let go by a shutdown, without a permit: it did nothing
            return
        lane.running = None
        self._group.discard(item_index)
        self._let_go(node, lane)
        if not self._group:
            self._advance()

    def remove_node(self, node: WorkerController) -> str | None:
        """A worker ended or died. What it was running is reported here, so xdist is told of no crashed item.

        Raises KeyError where the worker never came up; xdist expects that.
        """
        lane, at_work = self._lanes.pop(node), bool(self._group)
        running, lane.running = lane.running, None
        if running is not None:
            self._group.discard(running)
            if self._permits.take(running):
                self._progress.withdrew(running)
            else:
                self._progress.interrupted(running, f"its worker {node.gateway.id} died")
        self._give_up(lane)
        if at_work and not self._group:
            self._advance()
        if not self._lanes and not self._finished:
            self._progress.block("every worker ended before the steps did")
            self._finished = True  # xdist would wait for them, and call it an internal error
        return None

    def mark_test_pending(self, item: str) -> None:
        """Refused: what a step that was cut short did is unknown, so it is never run again by itself."""
        raise RuntimeError(f"{item} is not run again: a step begins at most once in a run")

    def remove_pending_tests_from_node(self, node: WorkerController, indices: Sequence[int]) -> None:
        """Refused: no item changes its lane."""
        raise RuntimeError(f"items {list(indices)} stay with worker {node.gateway.id}: no step changes its lane")

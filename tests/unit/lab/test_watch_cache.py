"""The watch cache of the stand-in for the master API, as far as it needs no etcd."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from lab.standins.etcd_gateway import encode
from lab.standins.watch_cache import CAPACITY, Cache, Event, Expired

BELOW = "/kubernetes.io/configmaps/"


def put(name: str, revision: int) -> dict[str, Any]:
    key = encode(f"{BELOW}default/{name}")
    return {"kv": {"key": key, "value": encode(f"{name} {revision}"), "mod_revision": str(revision)}}


def delete(name: str, revision: int) -> dict[str, Any]:
    return {**put(name, revision), "type": "DELETE"}


class FakeEtcd:
    """What it holds at its revision, once listed; what it then tells is the test's."""

    def __init__(self, *held: str, revision: int) -> None:
        self._held, self._revision = held, revision
        self.watched_from: list[int] = []

    def below(self, prefix: str) -> tuple[list[dict[str, Any]], int]:
        return [put(name, self._revision)["kv"] for name in self._held], self._revision

    def watch(self, prefix: str, start: int) -> Iterator[list[dict[str, Any]]]:
        self.watched_from.append(start)
        threading.Event().wait()
        yield []


@pytest.fixture
def cache() -> Cache:
    """It holds `old`, at revision 7."""
    etcd = FakeEtcd("old", revision=7)
    cache = Cache(etcd, BELOW)
    threading.Thread(target=cache.keep, daemon=True).start()
    deadline = time.monotonic() + 5
    while not etcd.watched_from and time.monotonic() < deadline:
        time.sleep(0.01)
    assert etcd.watched_from == [8]
    return cache


def told(events: Iterator[Event]) -> list[tuple[str, str, int]]:
    return [(event.type, event.key.rpartition("/")[2], event.revision) for event in events]


def test_a_watch_from_nothing_begins_with_what_is_held(cache: Cache) -> None:
    seen = cache.watch(0, 2)
    first = next(seen)
    assert first == Event("ADDED", f"{BELOW}default/old", "old 7", 7)
    cache.take([put("new", 9), put("old", 10)])
    cache.take([delete("new", 11), delete("unknown", 12)])
    assert told(seen) == [("ADDED", "new", 9), ("MODIFIED", "old", 10), ("DELETED", "new", 11)]


def test_a_watch_from_a_revision_says_what_came_since(cache: Cache) -> None:
    cache.take([put("one", 9), put("two", 10)])
    assert told(cache.watch(9, 0.1)) == [("ADDED", "two", 10)]
    assert told(cache.watch(7, 0.1)) == [("ADDED", "one", 9), ("ADDED", "two", 10)]
    assert told(cache.watch(99, 0.1)) == []  # still to come
    with pytest.raises(Expired, match=r"too old resource version: 6 \(7\)"):
        next(cache.watch(6, 0.1))


def test_events_that_are_too_many_are_forgotten(cache: Cache) -> None:
    cache.take([put("one", revision) for revision in range(8, 8 + CAPACITY + 1)])
    assert len(told(cache.watch(8, 0.1))) == CAPACITY
    with pytest.raises(Expired, match=r"too old resource version: 7 \(8\)"):
        next(cache.watch(7, 0.1))


def test_a_list_that_is_made_anew_ends_every_watch(cache: Cache) -> None:
    began, seen = time.monotonic(), cache.watch(0, 30)
    next(seen)
    threading.Timer(0.1, cache._fill, ([put("fresh", 3)["kv"]], 3)).start()
    assert told(seen) == []
    assert time.monotonic() - began < 10
    assert told(cache.watch(0, 0.1)) == [("ADDED", "fresh", 3)]

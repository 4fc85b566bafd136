"""Part of the stand-in for the master API: the watch cache of one resource, which lists and watches are answered from.

As the real one (kubernetes 1.11, storage/cacher.go and watch_cache.go):
- one list fills it, one watch of etcd keeps it, and goes on from the last revision seen, whatever etcd's is by then: where
  etcd's revision went back, nothing comes, to no watch of a client either, until etcd is past that revision again;
- a watch from resourceVersion=0, or from none, begins with an ADDED for each object that is held; one from another revision
  with what came since, as far as the last 100 events go, else with an ERROR, 410 `too old resource version`; one from a
  revision that is still to come waits for it;
- once the list is made anew every watch ends.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from etcd_gateway import Etcd, EtcdError, decode  # type: ignore[import-not-found]

CAPACITY = 100
"""Events that are kept: --default-watch-cache-size."""


@dataclass(frozen=True)
class Event:
    """What happened to one key; of a DELETED the object is the one that was there."""

    type: str
    key: str
    value: str
    revision: int


class Expired(Exception):
    """A watch from a revision of which the events are gone."""


class Cache:
    """What is below a prefix: key → (value, revision), and the latest events."""

    def __init__(self, etcd: Etcd, prefix: str) -> None:
        self._etcd, self._prefix = etcd, prefix
        self._news = threading.Condition()
        self._events: deque[Event] = deque(maxlen=CAPACITY)
        self._complete = 0  # every event after this revision is kept
        self._lists = 0
        self.objects: dict[str, tuple[str, int]] = {}
        self.revision = 0
        self.filled = False

    def keep(self) -> None:
        """List once, then watch for ever; list again only where etcd says that the revision was compacted."""
        while True:
            try:
                if not self.filled:
                    self._fill(*self._etcd.below(self._prefix))
                for events in self._etcd.watch(self._prefix, self.revision + 1):
                    self.take(events)
            except EtcdError as error:
                self.filled = self.filled and "compacted" not in str(error)
            time.sleep(0.5)

    def _fill(self, found: list[dict[str, Any]], revision: int) -> None:
        with self._news:
            self.objects = {decode(kv["key"]): entry(kv) for kv in found}
            self.revision = self._complete = revision
            self._events.clear()
            self._lists += 1
            self.filled = True
            self._news.notify_all()

    def take(self, events: list[dict[str, Any]]) -> None:
        """What etcd says that happened."""
        with self._news:
            for event in events:
                self._take(event)
            self._news.notify_all()

    def _take(self, event: dict[str, Any]) -> None:
        kv = event["kv"]
        key, revision = decode(kv["key"]), int(kv["mod_revision"])
        self.revision = max(self.revision, revision)
        if event.get("type") != "DELETE":
            kind = "MODIFIED" if key in self.objects else "ADDED"
            self.objects[key] = entry(kv)
        elif key in self.objects:
            kind = "DELETED"
        else:
            return
        value = self.objects.pop(key)[0] if kind == "DELETED" else self.objects[key][0]
        if len(self._events) == CAPACITY:
            self._complete = self._events[0].revision
        self._events.append(Event(kind, key, value, revision))

    def watch(self, after: int, seconds: float) -> Iterator[Event]:
        """What a client's watch sees after a revision, until its time is over. Raises Expired."""
        end = time.monotonic() + seconds
        with self._news:
            self._news.wait_for(lambda: self.filled, seconds)
            first = [Event("ADDED", key, *self.objects[key]) for key in sorted(self.objects)] if after == 0 else []
            if 0 < after < self._complete:
                raise Expired(f"too old resource version: {after} ({self._complete})")
            seen, lists = after or self.revision, self._lists
        yield from first
        while time.monotonic() < end:
            with self._news:
                if self._lists != lists:
                    return
                new = [event for event in self._events if event.revision > seen]
                if not new:
                    self._news.wait(max(0.0, end - time.monotonic()))
            for event in new:
                yield event
                seen = event.revision


def entry(kv: dict[str, Any]) -> tuple[str, int]:
    """Value and revision of a key, as etcd's gateway says them."""
    return decode(kv.get("value", "")), int(kv["mod_revision"])

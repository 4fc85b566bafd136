"""Clients that write through the living members all the time, and write down every acknowledgement and every error.

What they may see is what a leader change shows, and nothing else: `unlike_a_leader_change`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lab import Lab, wait
from lab.client import Client
from lab.errors import LabError
from lab.spec import Host

PAUSE = 0.02
"""Seconds between two writes of a client: the hosts share the processors with the recovery."""
TIMEOUT = 12.0
"""Seconds: longer than etcd's own patience with a write (5 s and two election timeouts of 2.5 s)."""
LEADER_CHANGE = (
    "etcdserver: leader changed",
    "etcdserver: no leader",
    "etcdserver: request timed out, possibly due to previous leader failure",
    "etcdserver: request timed out",
)
"""What etcd says to a client while a leader is missing (api/v3rpc/rpctypes)."""
IN_A_ROW = 7.5
"""Seconds from the first to the last error about one leader change: three election timeouts of 2.5 s."""


@dataclass(frozen=True, slots=True)
class Put:
    """One write of a key that nobody else writes; times by this machine's steady clock; `revision` None: an error."""

    key: str
    value: str
    began: float
    ended: float
    endpoint: str
    revision: int | None
    error: str = ""


class SteadyLoad:
    """So many clients for each of the hosts, from `with` to its end; a client keeps to its member."""

    def __init__(self, lab: Lab, hosts: Sequence[str | Host], each: int = 2) -> None:
        self._stop = threading.Event()
        self._puts: list[list[Put]] = []
        self._threads: list[threading.Thread] = []
        for host in map(lab.host, hosts):
            for number in range(each):
                kept: list[Put] = []
                self._puts.append(kept)
                arguments = (lab.client(host, TIMEOUT), f"/steady/{host.short}-{number}", kept)
                self._threads.append(threading.Thread(target=self._write, args=arguments))

    def __enter__(self) -> SteadyLoad:
        for thread in self._threads:
            thread.start()
        self.wait_for(50)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    @property
    def puts(self) -> list[Put]:
        """Every write so far, in the order of their ends."""
        return sorted((one for each in self._puts for one in each.copy()), key=lambda one: one.ended)

    def wait_for(self, more: int) -> None:
        """Until every client has had so many more writes acknowledged."""
        counts = [self._acknowledged(each) + more for each in self._puts]

        def reached() -> bool:
            return all(self._acknowledged(each) >= wanted for each, wanted in zip(self._puts, counts, strict=True))

        wait.until(reached, f"{more} more acknowledged writes of each client", 60)

    @staticmethod
    def _acknowledged(puts: list[Put]) -> int:
        return len([one for one in puts.copy() if one.revision is not None])

    def _write(self, client: Client, prefix: str, puts: list[Put]) -> None:
        number = 0
        while not self._stop.wait(PAUSE):
            key, value, began = f"{prefix}/{number:06d}", f"value {number}", time.monotonic()
            try:
                revision, error = client.put(key.encode(), value.encode()), ""
            except LabError as failed:
                revision, error = None, str(failed)
            puts.append(Put(key, value, began, time.monotonic(), client.address, revision, error))
            number += 1
        client.close()


def errors(puts: Iterable[Put]) -> list[Put]:
    """The writes that were not acknowledged."""
    return [one for one in puts if one.revision is None]


def unlike_a_leader_change(puts: Iterable[Put]) -> list[str]:
    """The errors that no change of the leader explains, in words: of another kind, or for too long in a row."""
    failed = errors(puts)
    found = [f"{one.endpoint}: {one.error}" for one in failed if not any(kind in one.error for kind in LEADER_CHANGE)]
    if failed and (last := max(one.ended for one in failed) - min(one.ended for one in failed)) > IN_A_ROW:
        found.append(f"errors over {last:.1f} s, {IN_A_ROW} s are a leader change")
    return found


def longest_wait(puts: Iterable[Put]) -> float:
    """How long the slowest acknowledged write took, in seconds."""
    return max((one.ended - one.began for one in puts if one.revision is not None), default=0.0)

"""Clients that write before, during and after a loss and its recovery, and keep every acknowledgement."""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass

from lab import Lab, wait
from lab.client import Client
from lab.errors import LabError

LEASED = "/leased/"
PAUSE = 0.01
"""Seconds that a client waits between two writes: the hosts share the processors with the recovery."""


@dataclass(frozen=True, slots=True)
class Sent:
    """One write of a key that was written by nobody else and never before; `revision` is None where it is unknown."""

    key: str
    value: str
    began: float
    revision: int | None


class Load:
    """So many clients, each on all members in turn by chance, from `with` to its end."""

    def __init__(self, lab: Lab, clients: int, chance: random.Random) -> None:
        self._lab, self._stop = lab, threading.Event()
        self._sent: list[list[Sent]] = [[] for _ in range(clients)]
        seeds = [chance.random() for _ in range(clients)]
        self._threads = [
            threading.Thread(target=self._write, args=(number, random.Random(seed)))
            for number, seed in enumerate(seeds)
        ]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    @property
    def sent(self) -> list[Sent]:
        """Every write so far."""
        return [one for each in self._sent for one in each.copy()]

    def acknowledged(self) -> int:
        """How many writes so far are acknowledged."""
        return len([one for one in self.sent if one.revision is not None])

    def wait_for(self, more: int) -> None:
        """Until so many more writes are acknowledged."""
        wanted = self.acknowledged() + more
        wait.until(lambda: self.acknowledged() >= wanted, f"{more} more acknowledged writes", 60)

    def _write(self, number: int, chance: random.Random) -> None:
        clients = [self._lab.client(host, 1) for host in self._lab.hosts]
        leases: list[int] = []
        for count in range(10**9):
            if self._stop.wait(PAUSE):
                break
            client = chance.choice(clients)
            leased = chance.random() < 0.1
            key = f"{LEASED if leased else '/load/'}{number}/{count:06d}"
            value = f"value {chance.randrange(10**9)}"
            began = time.monotonic()
            self._sent[number].append(Sent(key, value, began, _put(client, key, value, leases if leased else None)))
        for client in clients:
            client.close()


def _put(client: Client, key: str, value: str, leases: list[int] | None) -> int | None:
    """The acknowledged revision; with a lease of some seconds, where there is a list of leases to take it from."""
    try:
        if leases is None:
            return client.put(key.encode(), value.encode())
        if len(leases) < 3:
            leases.append(client.grant(5))
        return client.put(key.encode(), value.encode(), leases[0])
    except LabError:
        if leases:
            leases.pop(0)  # perhaps it has ended
        return None

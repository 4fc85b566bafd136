"""Write keys and keep every acknowledgement; afterwards, compare the members key by key.

An acknowledged write is one that etcd answered with a revision. A write that got an error is *unknown*: it may have
happened. Each is one JSON line, on disk before the next write begins.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from itertools import cycle
from pathlib import Path

from lab import wait
from lab.client import Client, KeyValue
from lab.cluster import Lab
from lab.errors import LabError
from lab.parallel import in_parallel
from lab.spec import Host

CATCH_UP = 10.0
"""Seconds for a member to apply what another one has."""


@dataclass(frozen=True, slots=True)
class Write:
    """One write: `revision` is what etcd acknowledged, None if it is not known whether the write happened."""

    key: str
    value: str
    revision: int | None
    endpoint: str
    error: str = ""


class Writer:
    """A client that writes to one member after the other and records what each said."""

    def __init__(self, lab: Lab, path: Path, hosts: Iterable[str | Host] | None = None, timeout: float = 5) -> None:
        """`path`: the JSON-lines file, appended to. `hosts`: where to write; all by default. `timeout`: seconds."""
        self.path = path
        wanted = lab.hosts if hosts is None else tuple(map(lab.host, hosts))
        self._clients: list[Client] = [lab.client(host, timeout) for host in wanted]
        self._turn = cycle(self._clients)
        self._next = len(read(path)) if path.exists() else 0

    def write(self, count: int, prefix: str = "/rehearsal/") -> list[Write]:
        """Write `count` new keys; return what became of each, in order."""
        done = []
        with open(self.path, "a", encoding="utf-8") as stream:
            for _ in range(count):
                number, self._next = self._next, self._next + 1
                one = self._write(f"{prefix}{number:06d}", f"value {number} {os.urandom(8).hex()}")
                stream.write(json.dumps(asdict(one)) + "\n")
                stream.flush()
                done.append(one)
        return done

    def _write(self, key: str, value: str) -> Write:
        client = next(self._turn)
        try:
            return Write(key, value, client.put(key.encode(), value.encode()), client.address)
        except LabError as error:
            return Write(key, value, None, client.address, str(error))

    def close(self) -> None:
        """Close all connections."""
        for client in self._clients:
            client.close()


def read(path: Path) -> list[Write]:
    """The writes recorded in a JSON-lines file."""
    return [Write(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


def read_all(lab: Lab, host: str | Host) -> dict[bytes, KeyValue]:
    """Every key that the member on `host` itself holds (see `Client.read_all`)."""
    client = lab.client(host)
    try:
        return client.read_all()
    finally:
        client.close()


def missing(writes: Iterable[Write], held: dict[bytes, KeyValue]) -> list[str]:
    """The acknowledged writes that `held` does not hold as acknowledged, in words; empty if nothing is lost."""
    last = {one.key: one for one in writes if one.revision is not None}
    wrong = []
    for one in last.values():
        seen = held.get(one.key.encode())
        if seen is None:
            wrong.append(f"{one.key}: acknowledged at revision {one.revision} by {one.endpoint}, not there")
        elif (seen.value, seen.mod_revision) != (one.value.encode(), one.revision):
            wrong.append(f"{one.key}: acknowledged {one.value!r} at revision {one.revision}, there is {seen}")
    return wrong


def differences(lab: Lab, hosts: Iterable[str | Host] | None = None) -> list[str]:
    """Compare the members key by key (values and revisions); the differences in words, empty if they are equal.

    They are read at one revision, the highest that any of them is at when this begins: others may write meanwhile. A
    member that does not come to it is behind, and that is a difference.
    """
    wanted = list(lab.hosts) if hosts is None else [lab.host(host) for host in hosts]
    clients = [lab.client(host) for host in wanted]
    try:
        revision = max(in_parallel(Client.revision, clients))
        try:
            wait.until(lambda: min(in_parallel(Client.revision, clients)) >= revision, "all at one revision", CATCH_UP)
        except LabError:
            at = zip(wanted, in_parallel(Client.revision, clients), strict=True)
            return [f"{host.short} is at revision {found}, not {revision}" for host, found in at if found < revision]
        all_held = in_parallel(lambda client: client.read_all(revision=revision), clients)
    finally:
        for client in clients:
            client.close()
    wrong = []
    for host, held in zip(wanted[1:], all_held[1:], strict=True):
        for key in sorted(all_held[0].keys() | held.keys()):
            here, there = all_held[0].get(key), held.get(key)
            if here != there:
                wrong.append(f"{key!r}: {wanted[0].short} has {here}, {host.short} has {there}")
    return wrong

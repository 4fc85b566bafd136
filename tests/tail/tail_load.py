"""Seeded writes of every kind, by several clients at once."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import Any

from tail_cluster import BUSY, Client, Cluster, b64

KEYS = [f"/registry/{kind}/{n}".encode() for kind in ("pods", "events", "leases") for n in range(12)]


class Load:
    """Clients that write until `stop`; `acknowledged` has the keys of `own` puts, each written once.

    A client that is refused goes on: with another operation, on another member.
    """

    def __init__(self, cluster: Cluster, seed: str, clients: int, *, plain: bool = False) -> None:
        self.acknowledged: set[str] = set()
        self.calls = 0
        self._cluster, self._plain = cluster, plain
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._write, args=(number, random.Random(f"{seed}-{number}")))
            for number in range(clients)
        ]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def run(self, seconds: float) -> None:
        """Let the clients write for a while; more: until there are some acknowledged writes."""
        end = time.monotonic() + seconds
        while (time.monotonic() < end or self.calls < 50) and time.monotonic() < end + 60:
            time.sleep(0.02)

    def _write(self, number: int, chance: random.Random) -> None:
        clients = [member.client() for member in self._cluster.members]
        writer = Writer(chance)
        for count in range(10**9):
            if self._stop.is_set():
                return
            client = chance.choice(clients)
            try:
                if self._plain:
                    key = f"w{number}-{count}"
                    client.call("kv/put", key=b64(key.encode()), value=b64(b"v"))
                    self.acknowledged.add(key)
                else:
                    writer.one(client)
                self.calls += 1
            except BUSY:
                continue


class Writer:
    """Operations of every kind, drawn by chance."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._leases: list[str] = []
        self._revision = 1

    def one(self, client: Client) -> None:
        kinds: list[tuple[int, Callable[[Client], dict[str, Any]]]] = [
            (40, lambda c: c.call("kv/put", **self._put(keeps=True))),
            (10, lambda c: c.call("kv/deleterange", **self._delete())),
            (30, lambda c: c.call("kv/txn", **self._txn(2))),
            (3, lambda c: c.call("kv/txn", success=[{"request_put": self._put(keeps=True)}])),
            (6, self._grant),
            (3, self._revoke),
            (1, self._compact),
        ]
        [kind] = self._chance.choices([kind for _, kind in kinds], [weight for weight, _ in kinds])
        self._revision = int(kind(client).get("header", {}).get("revision", self._revision))

    def _key(self) -> bytes:
        return self._chance.choice(KEYS)

    def _range(self) -> dict[str, str]:
        key = self._key()
        drawn = self._chance.random()
        if drawn < 0.7:
            return {"key": b64(key)}
        if drawn < 0.95:
            return {"key": b64(key), "range_end": b64(key[:-1] + bytes([key[-1] + 1]))}
        return {"key": b64(b"/registry/leases/9"), "range_end": b64(b"\0")}

    def _put(self, *, keeps: bool) -> dict[str, Any]:
        """`keeps`: it may keep the value or the lease; behind a deletion, in one transaction, etcd dies of that."""
        put: dict[str, Any] = {"key": b64(self._key())}
        drawn = self._chance.uniform(0 if keeps else 0.2, 1)
        if drawn < 0.1:
            put["ignore_value"] = True
        else:
            put["value"] = b64(str(self._chance.randrange(6)).encode() * self._chance.choice((1, 1, 1, 700)))
        if 0.1 < drawn < 0.2:
            put["ignore_lease"] = True
        elif drawn > 0.8 and self._leases:
            put["lease"] = self._chance.choice(self._leases)
        return put

    def _delete(self) -> dict[str, Any]:
        return {**self._range(), "prev_kv": self._chance.random() < 0.2}

    def _txn(self, depth: int) -> dict[str, Any]:
        chance = self._chance
        return {
            "compare": [self._compare() for _ in range(chance.randrange(3))],
            "success": [self._operation(depth) for _ in range(chance.randrange(4))],
            "failure": [self._operation(depth) for _ in range(chance.randrange(3))],
        }

    def _compare(self) -> dict[str, Any]:
        chance = self._chance
        compare: dict[str, Any] = {"result": chance.choice(("EQUAL", "GREATER", "LESS", "NOT_EQUAL")), **self._range()}
        target = chance.choice(("VERSION", "CREATE", "MOD", "VALUE", "LEASE"))
        field, value = {
            "VERSION": ("version", str(chance.randrange(4))),
            "CREATE": ("create_revision", str(max(0, self._revision - chance.randrange(50)))),
            "MOD": ("mod_revision", str(max(0, self._revision - chance.randrange(30)))),
            "VALUE": ("value", b64(str(chance.randrange(6)).encode())),
            "LEASE": ("lease", chance.choice([*self._leases, "0"])),
        }[target]
        return {**compare, "target": target, field: value}

    def _operation(self, depth: int) -> dict[str, Any]:
        drawn = self._chance.random()
        if drawn < 0.55:
            return {"request_put": self._put(keeps=False)}
        if drawn < 0.75:
            return {"request_delete_range": self._delete()}
        if drawn < 0.85 and depth:
            return {"request_txn": self._txn(depth - 1)}
        revision = max(0, self._revision - self._chance.randrange(20))
        return {"request_range": {**self._range(), "revision": str(revision) if drawn > 0.95 else "0"}}

    def _grant(self, client: Client) -> dict[str, Any]:
        answer = client.call("lease/grant", TTL=str(self._chance.choice((60, 3600))))
        self._leases.append(answer["ID"])
        return answer

    def _revoke(self, client: Client) -> dict[str, Any]:
        if not self._leases:
            return {}
        lease = self._leases.pop(self._chance.randrange(len(self._leases)))
        return client.call("kv/lease/revoke", ID=lease)

    def _compact(self, client: Client) -> dict[str, Any]:
        return client.call("kv/compaction", revision=str(max(1, self._revision - self._chance.randrange(100))))

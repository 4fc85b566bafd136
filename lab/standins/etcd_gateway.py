"""Part of the stand-ins: etcd as the master's processes reach it, by what master-config.yaml says.

As the real ones: an explicit etcd-servers wins over etcdClientInfo.urls; relative paths of certificates start at the
folder of master-config.yaml. The way is etcd's JSON gateway, not gRPC: /v3/kv/…, and /v3beta/kv/… of etcd 3.3.
"""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

GATEWAYS = ("/v3", "/v3beta")


class EtcdError(Exception):
    """etcd did not do what it was asked; the message is its own."""


class Etcd:
    """The cluster that one master-config.yaml names. Safe to use from several threads."""

    def __init__(self, config: Path) -> None:
        """Read the configuration once, as a process does at its start."""
        import yaml  # only on the hosts' side of the lab

        self.settings: dict[str, Any] = yaml.safe_load(config.read_text(encoding="utf-8"))
        info = self.settings["etcdClientInfo"]
        arguments = (self.settings.get("kubernetesMasterConfig") or {}).get("apiServerArguments") or {}
        explicit = [url for value in arguments.get("etcd-servers") or () for url in value.split(",")]
        self.urls: list[str] = explicit or list(info["urls"])
        self._gateway = GATEWAYS[0]
        self._tls = ssl.create_default_context(cafile=str(config.parent / info["ca"]))
        self._tls.load_cert_chain(str(config.parent / info["certFile"]), str(config.parent / info["keyFile"]))

    def _connection(self, url: str, seconds: float) -> http.client.HTTPSConnection:
        place = urlsplit(url)
        return http.client.HTTPSConnection(
            place.hostname or "", place.port or 2379, timeout=max(0.1, seconds), context=self._tls
        )

    def post(self, path: str, body: dict[str, Any], seconds: float = 10) -> dict[str, Any]:
        """One request; the urls are tried in order until the time is over. Raises EtcdError."""
        end = time.monotonic() + seconds
        while True:
            for url in self.urls:
                left = end - time.monotonic()
                if left <= 0:
                    raise EtcdError("etcdserver: request timed out")
                connection, gateway = self._connection(url, left), self._gateway
                try:
                    connection.request("POST", gateway + path, json.dumps(body), {"Content-Type": "application/json"})
                    answer = connection.getresponse()
                    if answer.status == 404:
                        self._gateway = next(other for other in GATEWAYS if other != gateway)
                    said = json.loads(answer.read())
                except (OSError, http.client.HTTPException, ValueError):
                    continue  # the next one
                finally:
                    connection.close()
                if answer.status == 200 and isinstance(said, dict):
                    return said
                if time.monotonic() >= end - 0.5:
                    raise EtcdError("etcdserver: request timed out")
            time.sleep(0.2)

    def get(self, key: str, seconds: float = 10) -> dict[str, Any] | None:
        """One key by a linearizable read: value, mod_revision; None where it is not there."""
        found = self.post("/kv/range", {"key": encode(key)}, seconds).get("kvs") or []
        return found[0] if found else None

    def below(self, prefix: str) -> tuple[list[dict[str, Any]], int]:
        """Every key below a prefix by a linearizable read, and the revision at which that is so."""
        said = self.post("/kv/range", {"key": encode(prefix), "range_end": encode(_behind(prefix))})
        return said.get("kvs") or [], int(said["header"]["revision"])

    def put_if(self, key: str, value: str, mod_revision: int) -> int:
        """Write a key if it was last written at this revision (0: is not there); the new revision, or 0."""
        return self._if(key, mod_revision, {"requestPut": {"key": encode(key), "value": encode(value)}})

    def delete_if(self, key: str, mod_revision: int) -> int:
        """Remove a key if it was last written at this revision; the new revision, or 0."""
        return self._if(key, mod_revision, {"requestDeleteRange": {"key": encode(key)}})

    def _if(self, key: str, mod_revision: int, request: dict[str, Any]) -> int:
        compare = {"key": encode(key), "target": "MOD", "result": "EQUAL", "mod_revision": str(mod_revision)}
        said = self.post("/kv/txn", {"compare": [compare], "success": [request]})
        return int(said["header"]["revision"]) if said.get("succeeded") else 0

    def watch(self, prefix: str, start: int) -> Iterator[list[dict[str, Any]]]:
        """Events below a prefix from a revision on, until the connection ends. Raises EtcdError where etcd refuses.

        A revision that etcd has not reached yet is no error: etcd waits for it. So a store whose revision went back
        says nothing until it has passed the old one.
        """
        for url in self.urls:
            connection = self._connection(url, 5)
            request = {"key": encode(prefix), "range_end": encode(_behind(prefix)), "start_revision": str(start)}
            try:
                connection.request("POST", f"{self._gateway}/watch", json.dumps({"create_request": request}))
                answer = connection.getresponse()
                if connection.sock is not None:
                    connection.sock.settimeout(None)
                while line := answer.readline():
                    said = json.loads(line)
                    result = said.get("result") or {}
                    if result.get("canceled") or "error" in said:
                        raise EtcdError(result.get("cancel_reason") or str(said.get("error")))
                    if result.get("events"):
                        yield result["events"]
                return
            except (OSError, http.client.HTTPException, ValueError):
                continue
            finally:
                connection.close()


def encode(text: str) -> str:
    """Text for the gateway."""
    return base64.b64encode(text.encode()).decode("ascii")


def decode(text: str) -> str:
    """Text from the gateway."""
    return base64.b64decode(text).decode(errors="replace")


def _behind(prefix: str) -> str:
    return prefix[:-1] + chr(ord(prefix[-1]) + 1)

"""A small etcd client over the JSON gateway (https://…:2379/v3/kv/…, 3.3: /v3beta), with the lab's own client certificate.

It needs nothing but the standard library, and sees etcd as an application does.
"""

from __future__ import annotations

import base64
import http.client
import json
import ssl
from dataclasses import dataclass
from pathlib import Path

from lab.errors import LabError

_GATEWAYS = ("/v3", "/v3beta")
"""etcd 3.3 has the second one only, 3.5 the first."""
_ALL = base64.b64encode(b"\0").decode("ascii")


@dataclass(frozen=True, slots=True)
class KeyValue:
    """One key as a member holds it; two members are equal when these are."""

    value: bytes
    create_revision: int
    mod_revision: int
    version: int


class Client:
    """A connection to one member, kept open. Not for use by several threads."""

    def __init__(self, address: str, secrets: Path, timeout: float = 5) -> None:
        """`secrets` holds `ca/ca.crt` and `client.{crt,key}`; `timeout` in seconds for each request."""
        self.address = address
        self._gateway = _GATEWAYS[0]
        context = ssl.create_default_context(cafile=str(secrets / "ca/ca.crt"))
        context.load_cert_chain(str(secrets / "client.crt"), str(secrets / "client.key"))
        self._connection = http.client.HTTPSConnection(address, 2379, timeout=timeout, context=context)

    def _post(self, path: str, body: dict[str, object]) -> dict[str, object]:
        """Ask; a gateway that is not there (404, nothing happened) is followed by the other one."""
        status, text = self._send(self._gateway + path, body)
        if status == 404:
            self._gateway = next(other for other in _GATEWAYS if other != self._gateway)
            status, text = self._send(self._gateway + path, body)
        if status != 200:
            raise LabError(f"{self.address}:2379{path}: {status} {text.decode(errors='replace').strip()}")
        parsed = json.loads(text)
        if not isinstance(parsed, dict):
            raise LabError(f"{self.address}:2379{path}: unexpected answer {text[:200]!r}")
        return parsed

    def _send(self, path: str, body: dict[str, object]) -> tuple[int, bytes]:
        try:
            self._connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
            answer = self._connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise LabError(f"{self.address}:2379{path}: {error or type(error).__name__}") from error

    def put(self, key: bytes, value: bytes, lease: int = 0) -> int:
        """Write a key; return the revision etcd acknowledged. LabError: not acknowledged, which is *unknown*."""
        encoded = {"key": _encode(key), "value": _encode(value), "lease": str(lease)}
        return _revision(self._post("/kv/put", dict(encoded)))

    def grant(self, seconds: int) -> int:
        """Begin a lease; return its ID. LabError: not acknowledged."""
        return int(str(self._post("/lease/grant", {"TTL": str(seconds)})["ID"]))

    def healthy(self) -> bool:
        """Whether the member answers a linearizable read: there is a quorum, and it is part of it."""
        try:
            self._post("/kv/range", {"key": _encode(b"health")})
        except LabError:
            return False
        return True

    def read_all(self, page: int = 1000, revision: int = 0) -> dict[bytes, KeyValue]:
        """Every key that this member itself holds, at one revision (serializable reads: no quorum needed).

        `page` is the number of keys asked for at once, `revision` 0 the newest.
        """
        found: dict[bytes, KeyValue] = {}
        begin = b"\0"
        while True:
            question = {"key": _encode(begin), "range_end": _ALL, "serializable": True, "limit": page}
            answer = self._post("/kv/range", {**question, "revision": revision})
            revision = revision or _revision(answer)
            pairs = answer.get("kvs", [])
            if not isinstance(pairs, list):
                raise LabError(f"{self.address}:2379: unexpected answer to a range request")
            for pair in pairs:
                begin = base64.b64decode(pair["key"])
                found[begin] = KeyValue(
                    value=base64.b64decode(pair.get("value", "")),
                    create_revision=int(pair["create_revision"]),
                    mod_revision=int(pair["mod_revision"]),
                    version=int(pair["version"]),
                )
            if not answer.get("more"):
                return found
            begin += b"\0"

    def revision(self) -> int:
        """The revision this member is at (a serializable read)."""
        return _revision(self._post("/kv/range", {"key": _ALL, "serializable": True}))

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def _encode(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")


def _revision(answer: dict[str, object]) -> int:
    header = answer.get("header")
    if not isinstance(header, dict):
        raise LabError(f"etcd answered without a header: {answer!r:.200}")
    return int(header["revision"])

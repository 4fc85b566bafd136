"""Stand-in for the master API (`openshift start master api --config=…`): ConfigMaps, /healthz, and a watch cache.

What of the real one it honours (OpenShift 3.11, kubernetes 1.11):
- at its start it needs a linearizable read of etcd within 30 s, else it says `could not reach etcd(v3)` and exits;
- /healthz says ok without a quorum; /healthz/ready says ok once the watch cache has been filled;
- a client needs a certificate of the master's CA for /api; reads and writes go to etcd with quorum, and are answered
  with 500 `etcdserver: request timed out` after some 10 s without one;
- a list with resourceVersion=0 comes from memory, which one list has filled and a watch keeps. The watch goes on from
  the last revision seen, so that a store whose revision went back is not noticed: such a list is stale then.
"""

from __future__ import annotations

import json
import ssl
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

sys.path.insert(0, str(Path(__file__).parent))
from etcd_gateway import Etcd, EtcdError, decode  # type: ignore[import-not-found]

START_SECONDS = 30


class Cache:
    """What a list without quorum sees: key → (value, revision)."""

    def __init__(self, etcd: Etcd, prefix: str) -> None:
        self._etcd, self._prefix = etcd, prefix
        self.objects: dict[str, tuple[str, int]] = {}
        self.revision = 0
        self.filled = False

    def keep(self) -> None:
        """List once, then watch for ever; list again only where etcd says that the revision was compacted."""
        while True:
            try:
                if not self.filled:
                    found, self.revision = self._etcd.below(self._prefix)
                    self.objects = {decode(kv["key"]): _entry(kv) for kv in found}
                    self.filled = True
                for events in self._etcd.watch(self._prefix, self.revision + 1):
                    for event in events:
                        self._take(event)
            except EtcdError as error:
                self.filled = self.filled and "compacted" not in str(error)
            time.sleep(0.5)

    def _take(self, event: dict[str, Any]) -> None:
        kv = event["kv"]
        key = decode(kv["key"])
        if event.get("type") == "DELETE":
            self.objects.pop(key, None)
        else:
            self.objects[key] = _entry(kv)
        self.revision = max(self.revision, int(kv["mod_revision"]))


def _entry(kv: dict[str, Any]) -> tuple[str, int]:
    return decode(kv.get("value", "")), int(kv["mod_revision"])


class Api(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    timeout = 60
    etcd: Etcd
    cache: Cache
    prefix: str

    def log_message(self, format: str, *args: object) -> None:
        """Requests are not logged."""

    def do_GET(self) -> None:
        """Health, one ConfigMap, or a list."""
        url = urlsplit(self.path)
        if url.path == "/healthz":
            return self._text(200, "ok")
        if url.path == "/healthz/ready":
            return self._text(200, "ok") if self.cache.filled else self._text(500, "healthz check failed")
        self._guarded(lambda: self._read(url.path, parse_qs(url.query)))
        return None

    def do_POST(self) -> None:
        """Create a ConfigMap."""
        self._guarded(self._create)

    def do_DELETE(self) -> None:
        """Remove a ConfigMap."""
        self._guarded(self._delete)

    def _guarded(self, does: Any) -> None:
        if not isinstance(self.connection, ssl.SSLSocket) or not self.connection.getpeercert():
            return self._status(403, "Forbidden", 'User "system:anonymous" cannot access configmaps')
        try:
            does()
        except EtcdError as error:
            self._status(500, "", str(error))
        return None

    def _place(self, path: str) -> tuple[str, str] | None:
        """Namespace and name (or none) of /api/v1[/namespaces/NS]/configmaps[/NAME]."""
        words = path.strip("/").split("/")
        if words[:2] != ["api", "v1"]:
            return None
        if words[2:] == ["configmaps"]:
            return "", ""
        if len(words) in (5, 6) and words[2] == "namespaces" and words[4] == "configmaps":
            return words[3], words[5] if len(words) == 6 else ""
        return None

    def _read(self, path: str, query: dict[str, list[str]]) -> None:
        place = self._place(path)
        if place is None:
            return self._status(404, "NotFound", "the server could not find the requested resource")
        namespace, name = place
        if name:
            kv = self.etcd.get(self._key(namespace, name))
            if kv is None:
                return self._status(404, "NotFound", f'configmaps "{name}" not found')
            return self._json(200, _object(*_entry(kv)))
        below = f"{self.prefix}/configmaps/" + (f"{namespace}/" if namespace else "")
        if query.get("resourceVersion") == ["0"]:
            objects = {key: entry for key, entry in self.cache.objects.items() if key.startswith(below)}
            revision = self.cache.revision
        else:
            found, revision = self.etcd.below(below)
            objects = {decode(kv["key"]): _entry(kv) for kv in found}
        items = [_object(*objects[key]) for key in sorted(objects)]
        metadata = {"resourceVersion": str(revision)}
        return self._json(200, {"kind": "ConfigMapList", "apiVersion": "v1", "metadata": metadata, "items": items})

    def _create(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
        place = self._place(urlsplit(self.path).path)
        if place is None or not place[0]:
            return self._status(404, "NotFound", "the server could not find the requested resource")
        name = body["metadata"]["name"]
        body["metadata"] = {**body["metadata"], "namespace": place[0]}
        text = json.dumps(body)
        revision = self.etcd.put_if(self._key(place[0], name), text, 0)
        if not revision:
            return self._status(409, "AlreadyExists", f'configmaps "{name}" already exists')
        return self._json(201, _object(text, revision))

    def _delete(self) -> None:
        place = self._place(urlsplit(self.path).path)
        if place is None or not place[1]:
            return self._status(405, "MethodNotAllowed", "the server does not allow this method")
        kv = self.etcd.get(self._key(*place))
        if kv is None or not self.etcd.delete_if(self._key(*place), int(kv["mod_revision"])):
            return self._status(404, "NotFound", f'configmaps "{place[1]}" not found')
        return self._json(200, {"kind": "Status", "apiVersion": "v1", "status": "Success"})

    def _key(self, namespace: str, name: str) -> str:
        return f"{self.prefix}/configmaps/{namespace}/{name}"

    def _status(self, code: int, reason: str, message: str) -> None:
        status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": code}
        self._json(code, {**status, "reason": reason} if reason else status)

    def _json(self, code: int, body: dict[str, Any]) -> None:
        self._text(code, json.dumps(body), "application/json")

    def _text(self, code: int, text: str, kind: str = "text/plain") -> None:
        content = text.encode()
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def _object(text: str, revision: int) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(text)
    found["metadata"] = {**found.get("metadata", {}), "resourceVersion": str(revision)}
    return found


def server_context(config: Path, settings: dict[str, Any]) -> ssl.SSLContext:
    """TLS as servingInfo says; a certificate of the client is asked for, and not needed by everything."""
    serving = settings["servingInfo"]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(str(config.parent / serving["certFile"]), str(config.parent / serving["keyFile"]))
    context.load_verify_locations(str(config.parent / serving["clientCA"]))
    context.verify_mode = ssl.CERT_OPTIONAL
    return context


class Server(ThreadingHTTPServer):
    """Its TLS handshakes are made by the threads: a client that says nothing must not hold up the others."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, port: int, handler: type[BaseHTTPRequestHandler], context: ssl.SSLContext) -> None:
        super().__init__(("0.0.0.0", port), handler)
        self._context = context

    def finish_request(self, request: Any, client_address: Any) -> None:
        """In the request's own thread."""
        try:
            request.settimeout(30)
            request = self._context.wrap_socket(request, server_side=True)
        except OSError:
            return  # the client did not like us, or is no TLS client
        super().finish_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no error."""


def main(words: list[str]) -> int:
    """Serve for ever; 255 where etcd cannot be read at the start."""
    config = Path(next(word for word in words if word.startswith("--config=")).partition("=")[2])
    etcd = Etcd(config)
    storage = etcd.settings.get("etcdStorageConfig") or {}
    prefix = "/" + (storage.get("kubernetesStoragePrefix") or "kubernetes.io").strip("/")
    try:
        etcd.get(f"{prefix}/health", START_SECONDS)
    except EtcdError as error:
        print(f"F1125 start_api.go:68] could not reach etcd(v3): {error}", file=sys.stderr)
        return 255
    cache = Cache(etcd, f"{prefix}/")
    threading.Thread(target=cache.keep, daemon=True).start()
    Api.etcd, Api.cache, Api.prefix = etcd, cache, prefix
    port = int(etcd.settings["servingInfo"]["bindAddress"].rpartition(":")[2])
    Server(port, Api, server_context(config, etcd.settings)).serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Stand-in for the master API (`openshift start master api --config=…`): ConfigMaps, pods, /healthz, lists and watches.

What of the real one it honours (OpenShift 3.11, kubernetes 1.11):
- at its start it needs a linearizable read of etcd within 30 s, else it says `could not reach etcd(v3)` and exits;
- /healthz says ok without a quorum; /healthz/ready says ok once the watch cache has been filled;
- a client needs a certificate of the master's CA for /api; reads and writes go to etcd with quorum, and are answered
  with 500 `etcdserver: request timed out` after some 10 s without one;
- a list with resourceVersion=0, and every watch, comes from memory: each resource has a watch cache of its own, which goes
  stale when etcd's revision goes back (watch_cache.py). A watch is a chunked answer, one event in JSON a line, and ends
  after timeoutSeconds;
- pods are what nodes say of them; a command for one goes to its node, after the pod has been read from etcd.
"""

from __future__ import annotations

import http.client
import json
import signal
import ssl
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

sys.path.insert(0, str(Path(__file__).parent))
from etcd_gateway import Etcd, EtcdError, decode  # type: ignore[import-not-found]
from watch_cache import Cache, Expired, entry  # type: ignore[import-not-found]

START_SECONDS = 30
KINDS = {"configmaps": "ConfigMap", "pods": "Pod"}
NODE_PORT = 10250
WATCH_SECONDS = 1800
"""Of a watch that does not say for how long."""


class Api(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    timeout = 60
    etcd: Etcd
    caches: dict[str, Cache]
    prefix: str
    node_context: ssl.SSLContext

    def log_message(self, format: str, *args: object) -> None:
        """Requests are not logged."""

    def do_GET(self) -> None:
        """Health, one object, a list, or a watch."""
        url = urlsplit(self.path)
        if url.path == "/healthz":
            return self._text(200, "ok")
        if url.path == "/apis/user.openshift.io/v1/users/~":
            return self._guarded(lambda: self._json(200, {"kind": "User", "metadata": {"name": "system:admin"}}))
        if url.path == "/healthz/ready":
            filled = all(cache.filled for cache in self.caches.values())
            return self._text(200, "ok") if filled else self._text(500, "healthz check failed")
        self._guarded(lambda: self._read(url.path, parse_qs(url.query)))
        return None

    def do_POST(self) -> None:
        """Create an object, or run a command in a pod."""
        url = urlsplit(self.path)
        if url.path.endswith("/exec"):
            self._guarded(lambda: self._execute(url.path.removesuffix("/exec"), url.query))
        else:
            self._guarded(self._create)

    def do_PUT(self) -> None:
        """Write an object, whatever was there."""
        self._guarded(self._replace)

    def do_DELETE(self) -> None:
        """Remove an object."""
        self._guarded(self._delete)

    def _guarded(self, does: Any) -> None:
        if not isinstance(self.connection, ssl.SSLSocket) or not self.connection.getpeercert():
            return self._status(403, "Forbidden", 'User "system:anonymous" cannot access the API')
        try:
            does()
        except EtcdError as error:
            self._status(500, "", str(error))
        return None

    def _place(self, path: str) -> tuple[str, str, str] | None:
        """Kind, namespace and name (or none) of /api/v1[/namespaces/NS]/KIND[/NAME]."""
        words = path.strip("/").split("/")
        if words[:2] != ["api", "v1"]:
            return None
        if len(words) == 3 and words[2] in KINDS:
            return words[2], "", ""
        if len(words) in (5, 6) and words[2] == "namespaces" and words[4] in KINDS:
            return words[4], words[3], words[5] if len(words) == 6 else ""
        return None

    def _read(self, path: str, query: dict[str, list[str]]) -> None:
        place = self._place(path)
        if place is None:
            return self._status(404, "NotFound", "the server could not find the requested resource")
        kind, namespace, name = place
        if name:
            kv = self.etcd.get(self._key(*place))
            if kv is None:
                return self._status(404, "NotFound", f'{kind} "{name}" not found')
            return self._json(200, _object(*entry(kv)))
        below = f"{self.prefix}/{kind}/" + (f"{namespace}/" if namespace else "")
        if query.get("watch") in (["true"], ["1"]):
            return self._watch(kind, below, query)
        if query.get("resourceVersion") == ["0"]:
            cache = self.caches[kind]
            objects = {key: held for key, held in cache.objects.items() if key.startswith(below)}
            revision = cache.revision
        else:
            found, revision = self.etcd.below(below)
            objects = {decode(kv["key"]): entry(kv) for kv in found}
        items = [_object(*objects[key]) for key in sorted(objects)]
        metadata = {"resourceVersion": str(revision)}
        return self._json(200, {"kind": f"{KINDS[kind]}List", "apiVersion": "v1", "metadata": metadata, "items": items})

    def _watch(self, kind: str, below: str, query: dict[str, list[str]]) -> None:
        selector = query.get("fieldSelector", [""])[0]
        field, _, name = selector.partition("=")
        try:
            after, seconds = (int(query.get(word, ["0"])[0]) for word in ("resourceVersion", "timeoutSeconds"))
            if selector and field != "metadata.name":
                raise ValueError(f'"{field}" is not a known field selector: only "metadata.name"')
        except ValueError as error:
            return self._status(400, "BadRequest", str(error))
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            for event in self.caches[kind].watch(after, seconds or WATCH_SECONDS):
                if event.key.startswith(below) and (not name or event.key.endswith(f"/{name}")):
                    self._event(event.type, _object(event.value, event.revision))
        except Expired as error:  # the answer has begun: it is an event, too
            gone = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Gone", "code": 410}
            self._event("ERROR", {**gone, "message": str(error)})
        self.wfile.write(b"0\r\n\r\n")

    def _event(self, kind: str, body: dict[str, Any]) -> None:
        line = json.dumps({"type": kind, "object": body}, separators=(",", ":")).encode() + b"\n"
        self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))

    def _create(self) -> None:
        body = self._body()
        place = self._place(urlsplit(self.path).path)
        if place is None or not place[1]:
            return self._status(404, "NotFound", "the server could not find the requested resource")
        kind, namespace, _ = place
        name = body["metadata"]["name"]
        body["metadata"] = {**body["metadata"], "namespace": namespace}
        text = json.dumps(body)
        revision = self.etcd.put_if(self._key(kind, namespace, name), text, 0)
        if not revision:
            return self._status(409, "AlreadyExists", f'{kind} "{name}" already exists')
        return self._json(201, _object(text, revision))

    def _replace(self) -> None:
        body = self._body()
        place = self._place(urlsplit(self.path).path)
        if place is None or not place[2]:
            return self._status(405, "MethodNotAllowed", "the server does not allow this method")
        kv = self.etcd.get(self._key(*place))
        text = json.dumps(body)
        revision = self.etcd.put_if(self._key(*place), text, int(kv["mod_revision"]) if kv else 0)
        if not revision:
            return self._status(409, "Conflict", f'{place[0]} "{place[2]}": the object has been modified')
        return self._json(200, _object(text, revision))

    def _body(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
        return found

    def _execute(self, path: str, query: str) -> None:
        place = self._place(path)
        kv = self.etcd.get(self._key(*place)) if place and place[0] == "pods" else None
        if place is None or kv is None:
            return self._status(404, "NotFound", f'pods "{path.rpartition("/")[2]}" not found')
        node = json.loads(decode(kv["value"]))["spec"]["nodeName"]
        connection = http.client.HTTPSConnection(node, NODE_PORT, context=self.node_context)
        try:
            connection.request("POST", f"/exec/{quote(place[1])}/{quote(place[2])}?{query}")
            answer = connection.getresponse()
            return self._text(answer.status, answer.read().decode())
        except OSError as error:
            words = f"error dialing backend: dial tcp {node}:{NODE_PORT}: {str(error.strerror or error).lower()}"
            return self._status(500, "", words)
        finally:
            connection.close()

    def _delete(self) -> None:
        place = self._place(urlsplit(self.path).path)
        if place is None or not place[2]:
            return self._status(405, "MethodNotAllowed", "the server does not allow this method")
        kv = self.etcd.get(self._key(*place))
        if kv is None or not self.etcd.delete_if(self._key(*place), int(kv["mod_revision"])):
            return self._status(404, "NotFound", f'{place[0]} "{place[2]}" not found')
        return self._json(200, {"kind": "Status", "apiVersion": "v1", "status": "Success"})

    def _key(self, kind: str, namespace: str, name: str) -> str:
        return f"{self.prefix}/{kind}/{namespace}/{name}"

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


def node_context(config: Path, settings: dict[str, Any]) -> ssl.SSLContext:
    """TLS to the nodes as kubeletClientInfo says; without it, none of them takes a command."""
    info = settings.get("kubeletClientInfo")
    if not info:
        return ssl.create_default_context()
    context = ssl.create_default_context(cafile=str(config.parent / info["ca"]))
    context.load_cert_chain(str(config.parent / info["certFile"]), str(config.parent / info["keyFile"]))
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
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # the first process of a container has no default
    config = Path(next(word for word in words if word.startswith("--config=")).partition("=")[2])
    etcd = Etcd(config)
    storage = etcd.settings.get("etcdStorageConfig") or {}
    prefix = "/" + (storage.get("kubernetesStoragePrefix") or "kubernetes.io").strip("/")
    try:
        etcd.get(f"{prefix}/health", START_SECONDS)
    except EtcdError as error:
        print(f"F1125 start_api.go:68] could not reach etcd(v3): {error}", file=sys.stderr)
        return 255
    Api.etcd, Api.prefix = etcd, prefix
    Api.caches = {kind: Cache(etcd, f"{prefix}/{kind}/") for kind in KINDS}
    for cache in Api.caches.values():
        threading.Thread(target=cache.keep, daemon=True).start()
    Api.node_context = node_context(config, etcd.settings)
    port = int(etcd.settings["servingInfo"]["bindAddress"].rpartition(":")[2])
    Server(port, Api, server_context(config, etcd.settings)).serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

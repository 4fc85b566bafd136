"""Stand-in for the controllers (`openshift start master controllers --config=…`): /healthz on 8444, and one leader.

What of the real one it honours (OpenShift 3.11): it serves /healthz over TLS, and says ok without leading; of all
masters' controllers one leads, by a lock called openshift-master-controllers in etcd that it renews; the others take it
over when it has not been renewed for 15 s.
"""

from __future__ import annotations

import json
import platform
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from etcd_gateway import Etcd, EtcdError, decode  # type: ignore[import-not-found]
from master_api import Server, server_context  # type: ignore[import-not-found]

PORT = 8444
LEASE_SECONDS, RENEW_SECONDS = 15, 5
LOCK = "/kubernetes.io/configmaps/kube-system/openshift-master-controllers"


class Health(BaseHTTPRequestHandler):
    """GET /healthz."""

    timeout = 60

    def log_message(self, format: str, *args: object) -> None:
        """Requests are not logged."""

    def do_GET(self) -> None:
        """The process lives: more it does not say."""
        code, text = (200, b"ok") if self.path == "/healthz" else (404, b"404 page not found")
        self.send_response(code)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


def lead(etcd: Etcd, name: str) -> None:
    """Take the lock where it is free, and renew it."""
    seen: tuple[int, float] = (0, time.monotonic())
    while True:
        try:
            kv = etcd.get(LOCK)
            held = json.loads(decode(kv["value"]))["metadata"]["annotations"]["holder"] if kv else ""
            revision = int(kv["mod_revision"]) if kv else 0
            if revision != seen[0]:
                seen = (revision, time.monotonic())
            if held in ("", name) or time.monotonic() - seen[1] > LEASE_SECONDS:
                metadata = {
                    "name": "openshift-master-controllers",
                    "namespace": "kube-system",
                    "annotations": {"holder": name, "renewed": f"{time.time():.0f}"},
                }
                etcd.put_if(LOCK, json.dumps({"kind": "ConfigMap", "apiVersion": "v1", "metadata": metadata}), revision)
        except EtcdError as error:
            print(f"E1125 leaderelection.go] error retrieving resource lock: {error}", file=sys.stderr)
        time.sleep(RENEW_SECONDS)


def main(words: list[str]) -> int:
    """Serve for ever."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # the first process of a container has no default
    config = Path(next(word for word in words if word.startswith("--config=")).partition("=")[2])
    etcd = Etcd(config)
    threading.Thread(target=lead, args=(etcd, platform.node()), daemon=True).start()
    Server(PORT, Health, server_context(config, etcd.settings)).serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

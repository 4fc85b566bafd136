"""Part of the stand-ins: the port of the node service, 10250, by which the API runs commands in containers.

As the real one: it wants a certificate of the masters' CA; it is away while the node service is. The answer is JSON instead
of a stream: `{"code": 0, "stdout": base64, "stderr": base64}`, and there is no standard input.
"""

from __future__ import annotations

import base64
import json
import ssl
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parent))
import containers  # type: ignore[import-not-found]
from containers import Container, ContainerError

PORT = 10250
CERTIFICATE = Path("/etc/origin/node/certificates/kubelet-server-current.pem")
CLIENT_CA = Path("/etc/origin/node/client-ca.crt")


class Handler(BaseHTTPRequestHandler):
    """POST /exec/NAMESPACE/POD?container=C&command=WORD&command=WORD…"""

    timeout = 60

    def log_message(self, format: str, *args: object) -> None:
        """Requests are not logged."""

    def do_POST(self) -> None:
        """Run the command to its end."""
        url = urlsplit(self.path)
        words = [unquote(word) for word in url.path.strip("/").split("/")]
        query = parse_qs(url.query, keep_blank_values=True)
        if len(words) != 3 or words[0] != "exec" or not query.get("command"):
            return self._say(404, "404 page not found")
        name = query.get("container", [""])[0]
        container = find(words[1], words[2], name)
        if container is None or not container.running:
            return self._say(500, f'container not found ("{name}")')
        pipe = subprocess.PIPE
        try:
            process = containers.execute(container, query["command"], stdout=pipe, stderr=pipe)
        except ContainerError:
            return self._say(500, f'container not found ("{name}")')
        out, err = (base64.b64encode(stream).decode("ascii") for stream in process.communicate())
        return self._say(200, json.dumps({"code": process.returncode, "stdout": out, "stderr": err}))

    def _say(self, code: int, text: str) -> None:
        content = text.encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def find(namespace: str, pod: str, name: str) -> Container | None:
    """The newest container of that name, or the only one's where the name is empty."""
    labels = "io.kubernetes.pod.namespace", "io.kubernetes.pod.name", "io.kubernetes.container.name"
    for one in containers.all_containers():
        if [one.labels.get(label) for label in labels[:2]] != [namespace, pod] or one.labels[labels[2]] == "POD":
            continue
        if name in ("", one.labels[labels[2]]):
            return one
    return None


def serve() -> None:
    """In threads of its own."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(str(CERTIFICATE))
    context.load_verify_locations(str(CLIENT_CA))
    context.verify_mode = ssl.CERT_REQUIRED

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def finish_request(self, request: ssl.SSLSocket, client_address: tuple[str, int]) -> None:  # type: ignore[override]
            """The handshake is made in the request's own thread."""
            try:
                request.settimeout(30)
                request = context.wrap_socket(request, server_side=True)
                request.settimeout(None)
            except OSError:
                return
            super().finish_request(request, client_address)

        def handle_error(self, request: object, client_address: object) -> None:
            """A client that goes away is no error."""

    threading.Thread(target=Server(("0.0.0.0", PORT), Handler).serve_forever, daemon=True).start()

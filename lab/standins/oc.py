#!/usr/bin/python3
"""Stand-in for `oc`, as far as the masters' steps need it: ConfigMaps through one server, and `get --raw`.

    oc --config=FILE --server=URL [--request-timeout=15s] create -f -
    oc … get configmap NAME -n NS -o jsonpath={.data.KEY}
    oc … delete configmap NAME -n NS
    oc … get --raw PATH

As the real one: errors on stderr in its words, exit 1; the kubeconfig's certificate is needed, and the server's is
checked against its CA.
"""

from __future__ import annotations

import base64
import http.client
import json
import re
import ssl
import sys
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit


class Refused(Exception):
    """What is printed on stderr, before exit 1."""


def context_of(kubeconfig: Path) -> ssl.SSLContext:
    """TLS with the certificates in a kubeconfig."""
    import yaml  # only on the hosts' side of the lab

    try:
        said = yaml.safe_load(kubeconfig.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise Refused(f"error: stat {kubeconfig}: no such file or directory") from None
    cluster, user = said["clusters"][0]["cluster"], said["users"][0]["user"]
    context = ssl.create_default_context(cadata=_pem(cluster["certificate-authority-data"]))
    with tempfile.NamedTemporaryFile("w") as both:
        both.write(_pem(user["client-certificate-data"]) + _pem(user["client-key-data"]))
        both.flush()
        context.load_cert_chain(both.name)
    return context


def _pem(data: str) -> str:
    return base64.b64decode(data).decode("ascii")


class Server:
    """The API server that the command line names."""

    def __init__(self, url: str, context: ssl.SSLContext, seconds: float) -> None:
        self._place, self._context, self._seconds = urlsplit(url), context, seconds

    def ask(self, method: str, path: str, body: str = "") -> str:
        """The answer's body. Raises Refused in oc's words."""
        host, port = self._place.hostname or "", self._place.port or 443
        connection = http.client.HTTPSConnection(host, port, timeout=self._seconds, context=self._context)
        try:
            connection.request(method, path, body or None, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            text = answer.read().decode()
        except ConnectionRefusedError:
            raise Refused(
                f"The connection to the server {host}:{port} was refused - did you specify the right host or port?"
            ) from None
        except ssl.SSLError as error:
            raise Refused(f"Unable to connect to the server: x509: {error.reason}") from None
        except TimeoutError:
            raise Refused(
                "Unable to connect to the server: net/http: request canceled (Client.Timeout exceeded while awaiting headers)"
            ) from None
        except (OSError, http.client.HTTPException) as error:
            raise Refused(f"Unable to connect to the server: {error or 'EOF'}") from None
        finally:
            connection.close()
        if answer.status >= 400:
            raise Refused(_words(text))
        return text


def _words(text: str) -> str:
    try:
        status = json.loads(text)
    except ValueError:
        return f"Error from server (InternalError): {text}"
    reason = f" ({status['reason']})" if status.get("reason") else ""
    return f"Error from server{reason}: {status.get('message')}"


def options_of(words: list[str]) -> tuple[dict[str, str], list[str]]:
    """Options by name, and what is no option."""
    options: dict[str, str] = {}
    rest: list[str] = []
    queue = list(words)
    while queue:
        word = queue.pop(0)
        if word in ("-n", "-o", "-f", "--raw", "--config", "--server", "--request-timeout"):
            options[word.lstrip("-")] = queue.pop(0) if queue else ""
        elif match := re.fullmatch(r"--([a-z-]+)=(.*)", word, re.DOTALL):
            options[match[1]] = match[2]
        else:
            rest.append(word)
    return options, rest


def run(words: list[str], stdin: str) -> str:
    """What is printed on stdout. Raises Refused."""
    options, rest = options_of(words)
    seconds = float(options.get("request-timeout", "60s").rstrip("s"))
    server = Server(options["server"], context_of(Path(options["config"])), seconds)
    if rest == ["get"] and "raw" in options:
        return server.ask("GET", options["raw"])
    if rest == ["create"] and options.get("f") == "-":
        body: dict[str, Any] = json.loads(stdin)
        metadata = body["metadata"]
        server.ask("POST", f"/api/v1/namespaces/{metadata['namespace']}/configmaps", json.dumps(body))
        return f"configmap/{metadata['name']} created\n"
    if len(rest) == 3 and rest[1] == "configmap" and rest[0] in ("get", "delete"):
        path = f"/api/v1/namespaces/{options.get('n', 'default')}/configmaps/{rest[2]}"
        if rest[0] == "delete":
            server.ask("DELETE", path)
            return f'configmap "{rest[2]}" deleted\n'
        found = json.loads(server.ask("GET", path))
        wanted = re.fullmatch(r"jsonpath=\{\.data\.([a-z]+)\}", options.get("o", ""))
        return str(found["data"].get(wanted[1], "")) if wanted else json.dumps(found) + "\n"
    raise Refused(f"error: this stand-in for oc does not know: {' '.join(rest)}")


def main() -> int:
    """Exit 0, or 1 with the reason on stderr."""
    try:
        sys.stdout.write(run(sys.argv[1:], "" if sys.stdin.isatty() else sys.stdin.read()))
    except Refused as refused:
        print(refused, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/python3
"""Stand-in for `oc`, as far as the masters' steps and the chapter need it: ConfigMaps, pods, and `get --raw`.

    oc [--config=FILE] [--server=URL] [--request-timeout=15s] create -f -
    oc … get configmap NAME -n NS -o jsonpath={.data.KEY}
    oc … delete configmap NAME -n NS
    oc … get --raw PATH
    oc … login [URL] -u system:admin
    oc … get pods -n NS [-l LABEL=VALUE] [--no-headers] [-o wide|name|json|jsonpath={.items[*].metadata.name}]
    oc … exec -n NS POD [-c CONTAINER] [--] COMMAND…

As the real one: errors on stderr in its words, exit 1; the kubeconfig's certificate is needed (without --config,
$KUBECONFIG or ~/.kube/config), and the server's is checked against its CA; `exec` ends as the command does, and needs the
API, a quorum of etcd, and the pod's node service.
"""

from __future__ import annotations

import base64
import calendar
import http.client
import json
import os
import re
import ssl
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit


class Refused(Exception):
    """What is printed on stderr, and the exit code."""

    def __init__(self, text: str, code: int = 1) -> None:
        super().__init__(text)
        self.code = code


def kubeconfig_of(options: dict[str, str]) -> Path:
    """Where the kubeconfig lies."""
    named = options.get("config") or os.environ.get("KUBECONFIG")
    return Path(named) if named else Path.home() / ".kube/config"


def context_of(kubeconfig: Path) -> tuple[ssl.SSLContext, str]:
    """TLS with the certificates in a kubeconfig, and its server."""
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
    return context, cluster["server"]


def _pem(data: str) -> str:
    return base64.b64decode(data).decode("ascii")


class Server:
    """The API server that the command line names."""

    def __init__(self, url: str, context: ssl.SSLContext, seconds: float | None) -> None:
        self._place, self._context, self._seconds = urlsplit(url), context, seconds

    def ask(self, method: str, path: str, body: str = "") -> str:
        """The answer's body. Raises Refused in oc's words."""
        return "".join(self.stream(method, path, body))

    def stream(self, method: str, path: str, body: str = "") -> Iterator[str]:
        """The answer's body as it comes: that of a watch is without end. Raises Refused in oc's words."""
        host, port = self._place.hostname or "", self._place.port or 443
        connection = http.client.HTTPSConnection(host, port, timeout=self._seconds, context=self._context)
        try:
            connection.request(method, path, body or None, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            if answer.status >= 400:
                raise Refused(_words(answer.read().decode()))
            while line := answer.readline():
                yield line.decode()
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


def _words(text: str) -> str:
    try:
        status = json.loads(text)
    except ValueError:
        return f"Error from server (InternalError): {text}"
    reason = f" ({status['reason']})" if status.get("reason") else ""
    return f"Error from server{reason}: {status.get('message')}"


SHORT = {"n": "namespace", "o": "output", "f": "filename", "c": "container", "l": "selector", "u": "username"}
VALUES = {*(f"-{short}" for short in SHORT), *(f"--{name}" for name in SHORT.values())}
VALUES |= {"--raw", "--config", "--server", "--request-timeout"}


def options_of(words: list[str]) -> tuple[dict[str, str], list[str]]:
    """Options by name, and what is no option."""
    options: dict[str, str] = {}
    rest: list[str] = []
    queue = list(words)
    while queue:
        word = queue.pop(0)
        if word in VALUES:
            name = word.lstrip("-")
            options[SHORT.get(name, name)] = queue.pop(0) if queue else ""
        elif word == "--":
            return options, rest + queue
        elif rest[:1] == ["exec"] and len(rest) > 1:
            return options, [*rest, word, *queue]  # the command's own
        elif word == "--no-headers":
            options["no-headers"] = "true"
        elif match := re.fullmatch(r"--([a-z-]+)=(.*)", word, re.DOTALL):
            options[match[1]] = match[2]
        else:
            rest.append(word)
    return options, rest


def run(words: list[str], stdin: str) -> str:
    """What is printed on stdout. Raises Refused."""
    options, rest = options_of(words)
    seconds = float(options["request-timeout"].rstrip("s")) if "request-timeout" in options else None
    context, default = context_of(kubeconfig_of(options))
    if rest[:1] == ["login"]:
        return login(options, rest[1:], context, default)
    server = Server(options.get("server", default), context, seconds)
    if rest == ["get"] and "raw" in options:
        for line in server.stream("GET", options["raw"]):
            print(line, end="", flush=True)
        return ""
    if rest == ["create"] and options.get("filename") == "-":
        body: dict[str, Any] = json.loads(stdin)
        metadata = body["metadata"]
        server.ask("POST", f"/api/v1/namespaces/{metadata['namespace']}/configmaps", json.dumps(body))
        return f"configmap/{metadata['name']} created\n"
    if rest[:1] == ["exec"] and len(rest) > 2:
        return execute(server, options, rest[1], rest[2:])
    if len(rest) in (2, 3) and rest[0] == "get" and rest[1] in ("pod", "pods", "po"):
        return get_pods(server, options, rest[2:])
    if len(rest) == 3 and rest[1] == "configmap" and rest[0] in ("get", "delete"):
        path = f"/api/v1/namespaces/{options.get('namespace', 'default')}/configmaps/{rest[2]}"
        if rest[0] == "delete":
            server.ask("DELETE", path)
            return f'configmap "{rest[2]}" deleted\n'
        found = json.loads(server.ask("GET", path))
        wanted = re.fullmatch(r"jsonpath=\{\.data\.([a-z]+)\}", options.get("output", ""))
        return str(found["data"].get(wanted[1], "")) if wanted else json.dumps(found) + "\n"
    raise Refused(f"error: this stand-in for oc does not know: {' '.join(rest)}")


def login(options: dict[str, str], urls: list[str], context: ssl.SSLContext, default: str) -> str:
    """As the administrator whose certificate the kubeconfig holds."""
    url = urls[0] if urls else options.get("server", default)
    if options.get("username", "system:admin") != "system:admin":
        raise Refused("error: this stand-in for oc knows no passwords")
    place = urlsplit(url)
    try:
        said = Server(url, context, 30).ask("GET", "/apis/user.openshift.io/v1/users/~")
    except Refused as refused:
        if "was refused" in str(refused):
            raise Refused(
                f"error: dial tcp {place.hostname}:{place.port or 443}: connect: connection refused - verify you have "
                "provided the correct host and port and that the server is currently running."
            ) from None
        raise
    name = json.loads(said)["metadata"]["name"]
    return f'Logged into "{url}" as "{name}" using existing credentials.\n'


def get_pods(server: Server, options: dict[str, str], names: list[str]) -> str:
    """A table, names, or JSON."""
    base = f"/api/v1/namespaces/{options.get('namespace', 'default')}/pods"
    if names:
        found = json.loads(server.ask("GET", f"{base}/{names[0]}"))
        pods = [found]
    else:
        found = json.loads(server.ask("GET", base))
        label, _, wanted = options.get("selector", "").partition("=")
        pods = [one for one in found["items"] if not label or one["metadata"]["labels"].get(label) == wanted]
        found["items"] = pods
    form = options.get("output", "")
    if form == "json":
        return json.dumps(found, indent=4) + "\n"
    if form == "name":
        return "".join(f"pod/{one['metadata']['name']}\n" for one in pods)
    if form.startswith("jsonpath="):
        if form.removeprefix("jsonpath=").strip("'\"") != "{.items[*].metadata.name}" or names:
            raise Refused(f"error: this stand-in for oc does not know {form}")
        return " ".join(one["metadata"]["name"] for one in pods)
    if form not in ("", "wide"):
        raise Refused(f'error: output format "{form}" not recognized')
    if not pods:
        print("No resources found.", file=sys.stderr)
        return ""
    rows = [] if "no-headers" in options else [["NAME", "READY", "STATUS", "RESTARTS", "AGE", "IP", "NODE"]]
    rows += [_row(one) for one in pods]
    rows = rows if form == "wide" else [row[:5] for row in rows]
    widths = [max(len(row[column]) for row in rows) + 3 for column in range(len(rows[0]))]
    lines = ("".join(row[column].ljust(width) for column, width in enumerate(widths)).rstrip() for row in rows)
    return "\n".join(lines) + "\n"


def _row(pod: dict[str, Any]) -> list[str]:
    statuses = pod["status"]["containerStatuses"]
    waiting = [one["state"]["waiting"]["reason"] for one in statuses if "waiting" in one["state"]]
    age = int(time.time() - _epoch(pod["metadata"]["creationTimestamp"]))
    shown = f"{age}s" if age < 120 else f"{age // 60}m" if age < 10800 else f"{age // 3600}h"
    return [
        pod["metadata"]["name"],
        f"{sum(one['ready'] for one in statuses)}/{len(statuses)}",
        waiting[0] if waiting else pod["status"]["phase"],
        str(sum(one["restartCount"] for one in statuses)),
        shown,
        pod["status"]["hostIP"],
        pod["spec"]["nodeName"],
    ]


def _epoch(text: str) -> float:
    return calendar.timegm(time.strptime(text, "%Y-%m-%dT%H:%M:%SZ"))


def execute(server: Server, options: dict[str, str], pod: str, command: list[str]) -> str:
    """Run a command in a pod. Raises Refused with its exit code where that is not 0."""
    query = urlencode([("container", options.get("container", "")), *(("command", word) for word in command)])
    path = f"/api/v1/namespaces/{options.get('namespace', 'default')}/pods/{pod}/exec?{query}"
    try:
        said = json.loads(server.ask("POST", path))
    except Refused as refused:
        missing = re.search(r"container not found \(.*\)", str(refused))
        raise Refused(f"error: unable to upgrade connection: {missing[0]}") if missing else refused from None
    sys.stdout.buffer.write(base64.b64decode(said["stdout"]))
    sys.stdout.flush()
    sys.stderr.buffer.write(base64.b64decode(said["stderr"]))
    sys.stderr.flush()
    if said["code"] != 0:
        raise Refused(f"command terminated with exit code {said['code']}", said["code"])
    return ""


def main() -> int:
    """Exit 0, or 1 with the reason on stderr."""
    try:
        sys.stdout.write(run(sys.argv[1:], sys.stdin.read() if "create" in sys.argv[1:] else ""))
    except Refused as refused:
        print(refused, file=sys.stderr)
        return refused.code
    return 0


if __name__ == "__main__":
    sys.exit(main())

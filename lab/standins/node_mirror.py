"""Part of the stand-ins: the node service tells the API of its static pods ("mirror pods"), so that `oc get pods` has them.

As the real one: it needs the API for nothing else, and tries again until it is told; a pod of a node that says nothing any
more stays listed as it was.
"""

from __future__ import annotations

import http.client
import json
import platform
import socket
import ssl
import sys
import tempfile
import time
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parent))
import containers  # type: ignore[import-not-found]
import manifests  # type: ignore[import-not-found]

KUBECONFIG = Path("/etc/origin/node/node.kubeconfig")
EVERY = 2


def described(pod: manifests.Pod) -> dict[str, Any]:
    """A pod and its containers, as the API keeps it."""
    mine = [one for one in containers.all_containers() if one.labels.get("io.kubernetes.pod.uid") == pod.uid]
    statuses = []
    for program in pod.programs:
        last = next((one for one in mine if one.labels["io.kubernetes.container.name"] == program.name), None)
        running = last is not None and last.running
        statuses.append(
            {
                "name": program.name,
                "ready": running,
                "restartCount": int(last.labels["annotation.io.kubernetes.container.restartCount"]) if last else 0,
                "state": {"running": {}} if running else {"waiting": {"reason": "CrashLoopBackOff"}} if last else {},
            }
        )
    node = platform.node().lower()
    return {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {
            "name": pod.name,
            "namespace": pod.namespace,
            "uid": pod.uid,
            "labels": pod.labels,
            "annotations": {"kubernetes.io/config.mirror": pod.uid, "kubernetes.io/config.source": "file"},
            "creationTimestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(mine[-1].created if mine else None)),
        },
        "spec": {
            "nodeName": node,
            "hostNetwork": True,
            "containers": [{"name": one.name, "image": one.image} for one in pod.programs],
        },
        "status": {
            "phase": "Running" if statuses and all(one["ready"] for one in statuses) else "Pending",
            "hostIP": socket.gethostbyname(node),
            "containerStatuses": statuses,
        },
    }


def keep(wanted: Callable[[], list[manifests.Pod]]) -> None:
    """Tell the API whenever something has changed, for ever."""
    told: dict[tuple[str, str], dict[str, Any]] = {}
    while True:
        time.sleep(EVERY)
        now = {(pod.namespace, pod.name): described(pod) for pod in wanted()}
        try:
            for key, what in now.items():
                if told.get(key) != what:
                    ask("PUT", key, json.dumps(what))
                    told[key] = what
            for key in told.keys() - now.keys():
                ask("DELETE", key)
                del told[key]
        except (OSError, http.client.HTTPException):
            continue  # no API: later


def ask(method: str, key: tuple[str, str], body: str = "") -> None:
    """One request. Raises OSError: not done."""
    import yaml  # only on the hosts' side of the lab

    said = yaml.safe_load(KUBECONFIG.read_text(encoding="utf-8"))
    cluster, user = said["clusters"][0]["cluster"], said["users"][0]["user"]
    context = ssl.create_default_context(cadata=b64decode(cluster["certificate-authority-data"]).decode("ascii"))
    with tempfile.NamedTemporaryFile("wb") as both:
        both.write(b64decode(user["client-certificate-data"]) + b64decode(user["client-key-data"]))
        both.flush()
        context.load_cert_chain(both.name)
    place = urlsplit(cluster["server"])
    connection = http.client.HTTPSConnection(place.hostname or "", place.port or 443, timeout=15, context=context)
    try:
        path = f"/api/v1/namespaces/{key[0]}/pods/{key[1]}"
        connection.request(method, path, body or None, {"Content-Type": "application/json"})
        status = connection.getresponse().status
    finally:
        connection.close()
    if status >= 400 and (method, status) != ("DELETE", 404):
        raise OSError(f"{method} {path}: {status}")

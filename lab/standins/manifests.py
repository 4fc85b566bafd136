"""Part of the stand-ins: the manifests of static pods, as the node service of OpenShift 3.11 reads its folder.

As the real one (kubelet 1.11): every regular file without a leading dot counts, whatever its suffix; folders do not. A
pod's uid comes from its host, its file's name and what the manifest says, so a comment makes no other pod and a second
copy does. Of two files that name the same pod, the first in the order of names is taken. A file that is no pod is said
so, and is not there.
"""

from __future__ import annotations

import hashlib
import json
import platform
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


class ManifestError(Exception):
    """Why a file is no pod."""


@dataclass(frozen=True)
class Probe:
    """A liveness probe: a command in the container, or a path that HTTPS answers below 400.

    Attributes:
        command: to be run; empty for a probe by HTTP.
        url: as in https://127.0.0.1:8443/healthz; empty for a command.
        delay, period, timeout: seconds; the timeout is for HTTP alone, as with docker.
        failures: in a row, before the container is killed.
    """

    command: tuple[str, ...]
    url: str
    delay: float
    period: float
    timeout: float
    failures: int


@dataclass(frozen=True)
class Program:
    """One container of a pod."""

    name: str
    image: str
    command: tuple[str, ...]
    directory: str
    environment: tuple[tuple[str, str], ...]
    volumes: tuple[tuple[str, str, bool], ...]
    probe: Probe | None


@dataclass(frozen=True)
class Pod:
    """One pod as a manifest declares it, with the node's name behind its own."""

    uid: str
    name: str
    namespace: str
    labels: dict[str, str] = field(hash=False)
    programs: tuple[Program, ...] = ()
    grace: float = 30


def read_folder(folder: Path) -> list[Pod]:
    """The pods that the folder asks for; what is wrong with a file goes to stderr."""
    pods: dict[tuple[str, str], Pod] = {}
    try:
        names = sorted(path for path in folder.iterdir() if not path.name.startswith(".") and path.is_file())
    except FileNotFoundError:
        return []
    for path in names:
        try:
            pod = read(path)
        except ManifestError as error:
            print(f'E1129 file_linux.go] Can\'t process manifest file "{path}": {error}', file=sys.stderr, flush=True)
            continue
        key = (pod.namespace, pod.name)
        if key in pods:
            print(
                f'W1129 config.go] Pod ({path}) failed validation due to duplicate pod name "{pod.name}", ignoring',
                file=sys.stderr,
                flush=True,
            )
            continue
        pods[key] = pod
    return list(pods.values())


def read(path: Path) -> Pod:
    """One manifest. Raises ManifestError."""
    import yaml  # only on the hosts' side of the lab

    try:
        said = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ManifestError(f"couldn't parse as pod: {error}") from None
    if not isinstance(said, dict) or said.get("kind") != "Pod" or said.get("apiVersion") != "v1":
        raise ManifestError("couldn't parse as pod(Object 'Kind' is missing, or it is no Pod of v1), please check")
    node = platform.node().lower()
    text = json.dumps(said, sort_keys=True, default=str)
    try:
        metadata, spec = said["metadata"], said["spec"]
        volumes = {
            one["name"]: one["hostPath"]["path"] for one in spec.get("volumes") or () if (one.get("hostPath") or {})
        }
        return Pod(
            uid=hashlib.md5(f"host:{node}file:{path}{text}".encode()).hexdigest(),
            name=f"{metadata['name']}-{node}",
            namespace=metadata.get("namespace") or "default",
            labels={str(name): str(value) for name, value in (metadata.get("labels") or {}).items()},
            programs=tuple(_program(one, volumes) for one in spec["containers"]),
            grace=float(spec.get("terminationGracePeriodSeconds", 30)),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ManifestError(f"invalid pod: {type(error).__name__} {error}") from None


def _program(said: dict[str, Any], volumes: dict[str, str]) -> Program:
    return Program(
        name=said["name"],
        image=said["image"],
        command=tuple(map(str, [*(said.get("command") or ()), *(said.get("args") or ())])),
        directory=said.get("workingDir") or "/",
        environment=tuple((one["name"], str(one.get("value", ""))) for one in said.get("env") or ()),
        volumes=tuple(
            (volumes[one["name"]], one["mountPath"], bool(one.get("readOnly")))
            for one in said.get("volumeMounts") or ()
        ),
        probe=_probe(said.get("livenessProbe")),
    )


def _probe(said: dict[str, Any] | None) -> Probe | None:
    """Kubernetes' defaults: 0 s, every 10 s, 1 s, 3 failures."""
    if not said:
        return None
    url = ""
    if "httpGet" in said:
        get = said["httpGet"]
        host = get.get("host") or "127.0.0.1"
        url = f"{get.get('scheme', 'HTTP').lower()}://{host}:{int(get['port'])}/{str(get.get('path', '')).lstrip('/')}"
    elif "exec" not in said:
        raise ManifestError("this stand-in knows the probes exec and httpGet")
    return Probe(
        command=tuple(map(str, (said.get("exec") or {}).get("command") or ())),
        url=url,
        delay=float(said.get("initialDelaySeconds", 0)),
        period=float(said.get("periodSeconds", 10)),
        timeout=float(said.get("timeoutSeconds", 1)),
        failures=int(said.get("failureThreshold", 3)),
    )

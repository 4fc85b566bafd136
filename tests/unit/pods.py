"""Facts of static pods and containers, made tersely."""

from __future__ import annotations

from dataclasses import replace

from builders import unit

from lab import pods
from lab.spec import Host
from requorum.facts import manifest
from requorum.facts.pod import Pod
from requorum.facts.runtime import MANIFEST, Runtime
from requorum.facts.unit import Unit

HOST = Host(0, "etcd-0.example.com", "etcd-0", "10.0.0.10", "m0")
POD = Pod(manifest.parse(pods.etcd_manifest(HOST), MANIFEST))
BARE = Pod(manifest.parse(POD.manifest.without_probe, MANIFEST), POD.manifest)
"""A recovery has taken the probe out."""


def pod_unit(
    at: str = MANIFEST, *, state: str = "", node: str = "active", pod: Pod = POD, forced: bool = False, **more: object
) -> Unit:
    """A static pod whose manifest lies at `at`."""
    runs = at == MANIFEST
    found = unit(state or ("active/running" if runs else "inactive/its manifest is moved out"))
    runtime = Runtime("static-pod", "origin-node.service", manifest=at, node=node, **more)  # type: ignore[arg-type]
    return replace(
        found, runtime=runtime, pod=pod, exec_start=pod.manifest.command, file_state="enabled" if runs else "disabled",
        user="", force_file=forced,
    )  # fmt: skip


def container_unit(state: str = "active/running", *, forced: bool = False, fenced: bool = False) -> Unit:
    """A container that etcd_container.service runs."""
    runtime = Runtime("container", "etcd_container.service", container="etcd_container", image="IMAGE")
    line = "/usr/bin/docker run --name etcd_container --env-file=/etc/etcd/etcd.conf IMAGE"
    drop_ins = (runtime.fence,) if fenced else ()
    return replace(unit(state), runtime=runtime, exec_start=line, user="", force_file=forced, drop_ins=drop_ins)

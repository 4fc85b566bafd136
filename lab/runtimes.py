"""How etcd runs on the hosts of a lab: a systemd service, a static pod, a container. What the lab does with it.

Each is shell text for the host, run as root; Requorum has its own, and neither uses the other's.
"""

from __future__ import annotations

from dataclasses import dataclass

from lab import docker, images, pods
from lab.spec import Spec

_GONE = "for _ in {1..400}; do pidof etcd > /dev/null || exit 0; sleep 0.1; done; echo etcd still runs >&2; exit 1"


@dataclass(frozen=True, slots=True)
class Runtime:
    """One way.

    Attributes:
        what: in words, as in `etcd.service`.
        stop: ends etcd, and keeps the host as it would start it again; for a static pod the manifest is parked.
        mask: after `stop`, so that a reboot does not start it; empty where there is no such thing.
        start: undoes both, and does not wait.
        state: prints `active`, `inactive`, `failed` or `activating`, and more words for a reader.
        wants: the symbolic link on the host's disk that starts it at boot; empty where something else does.
        wants_points_at: what that link says.
        etcdctl: the program and what stands before its arguments; ETCDCTL_API is in the environment.
    """

    what: str
    stop: str
    mask: str
    start: str
    state: str
    wants: str
    wants_points_at: str
    etcdctl: str


def _state(unit: str) -> str:
    # systemctl prints properties in an order of its own.
    shown = (f"systemctl show --property={name} --value {unit}" for name in ("ActiveState", "SubState", "LoadState"))
    return "{ " + "; ".join(shown) + "; } | xargs"


SERVICE = Runtime(
    what="etcd.service",
    stop="systemctl stop etcd",
    mask="systemctl mask etcd",
    start="systemctl unmask etcd && systemctl start --no-block etcd",
    state=_state("etcd"),
    wants="etc/systemd/system/multi-user.target.wants/etcd.service",
    wants_points_at="/lib/systemd/system/etcd.service",
    etcdctl="env ETCDCTL_API=3 etcdctl",
)

CONTAINER = Runtime(
    what=docker.ETCD_UNIT,
    stop=f"systemctl stop {docker.ETCD_UNIT}",
    mask="",  # its file lies in /etc, where a mask would
    start=f"systemctl start --no-block {docker.ETCD_UNIT}",
    state=_state(docker.ETCD_UNIT),
    wants=docker.ETCD_WANTS,
    wants_points_at=f"/etc/systemd/system/{docker.ETCD_UNIT}",
    etcdctl="env ETCDCTL_API=3 etcdctl",
)

_MANIFEST, _PARKED = f"/{pods.FOLDER}/etcd.yaml", f"/{pods.STOPPED}/etcd.yaml"

STATIC_POD = Runtime(
    what=f"static pod {_MANIFEST}",
    # Within a file system: a move is one event for the node service.
    stop=f"mkdir -p /{pods.STOPPED} && if [ -e {_MANIFEST} ]; then mv {_MANIFEST} {_PARKED}; fi; {_GONE}",
    mask="",
    start=f"if [ -e {_PARKED} ]; then mv {_PARKED} {_MANIFEST} && rmdir /{pods.STOPPED}; fi; "
    f"systemctl start docker {pods.UNIT}",
    state=f"if [ ! -e {_MANIFEST} ]; then pidof etcd > /dev/null && echo active without a manifest || echo inactive; "
    "elif pidof etcd > /dev/null; then echo active; else echo activating; fi",
    wants="",
    wants_points_at="",
    # The image's: the host has none, and the container may be between two lives.
    etcdctl=f"env ETCDCTL_API=3 /{images.PLACE}/etcd/{images.ETCDCTL}",
)


def of(spec: Spec) -> Runtime:
    """The runtime of a lab."""
    return {"static-pod": STATIC_POD, "container": CONTAINER}.get(spec.topology, SERVICE)

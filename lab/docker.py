"""Docker on the hosts of a lab, and etcd in a container that a systemd unit runs: the files of both.

Source of the unit: OpenShift 3.9, roles/etcd/templates/etcd.docker.service (unused in 3.11, and there on clusters that
were upgraded). Docker itself is a stand-in: lab/standins/docker.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lab import images, standins

UNIT = "docker.service"
ETCD_UNIT = "etcd_container.service"
ETCD_CONTAINER = "etcd_container"
"""The container's name."""
ETCD_WANTS = f"etc/systemd/system/{UNIT}.wants/{ETCD_UNIT}"

_DOCKER_SERVICE = """\
[Unit]
Description=Stand-in for Docker
After=network.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/bin/docker standin-daemon start
ExecStop=/usr/bin/docker standin-daemon stop

[Install]
WantedBy=multi-user.target
"""

_ETCD_UNIT = f"""\
[Unit]
Description=The Etcd Server container
After={UNIT}
Requires={UNIT}
PartOf={UNIT}

[Service]
EnvironmentFile=/etc/etcd/etcd.conf
ExecStartPre=-/usr/bin/docker rm -f {ETCD_CONTAINER}
ExecStart=/usr/bin/docker run --name {ETCD_CONTAINER} --rm -v /var/lib/etcd/:/var/lib/etcd/:z -v /etc/etcd:/etc/etcd:ro \
--env-file=/etc/etcd/etcd.conf --net=host --entrypoint=/usr/bin/etcd registry.access.redhat.com/rhel7/etcd
ExecStop=/usr/bin/docker stop {ETCD_CONTAINER}
SyslogIdentifier=etcd_container
Restart=always
RestartSec=5s

[Install]
WantedBy={UNIT}
"""


@dataclass(frozen=True, slots=True)
class File:
    """One file of a host; its path has no slash in front."""

    path: str
    content: str | bytes
    mode: int


@dataclass(frozen=True, slots=True)
class Link:
    """A symbolic link of a host."""

    path: str
    points_at: str


def files() -> Iterable[File | Link]:
    """Docker, and what its images need on this host."""
    for name in ("containers.py", "docker.py", "docker_show.py"):
        yield File(f"{standins.PLACE}/{name}", standins.text(name), 0o755)
    yield Link("usr/bin/docker", f"/{standins.PLACE}/docker.py")
    yield File(f"etc/systemd/system/{UNIT}", _DOCKER_SERVICE, 0o644)
    yield Link(f"etc/systemd/system/multi-user.target.wants/{UNIT}", f"/etc/systemd/system/{UNIT}")
    for image, repositories in images.REFERENCES.items():
        yield File(f"{images.PLACE}/{image}/references", "\n".join(repositories) + "\n", 0o644)
    yield File(f"{images.FIRST_IN_PATH}/etcdctl", standins.text("image-etcdctl"), 0o755)


def etcd_files() -> Iterable[File | Link]:
    """The unit that runs etcd in a container; that of the package is masked."""
    yield File(f"etc/systemd/system/{ETCD_UNIT}", _ETCD_UNIT, 0o644)
    yield Link(ETCD_WANTS, f"/etc/systemd/system/{ETCD_UNIT}")
    yield Link("etc/systemd/system/etcd.service", "/dev/null")

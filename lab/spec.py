"""What a lab is made of: the declaration that `up` is given."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from lab.errors import LabError

DOMAIN = "example.com"
RELEASES = ("bullseye", "bookworm", "trixie")
TOPOLOGIES = ("external", "colocated", "static-pod", "container")
ON_MASTERS = ("colocated", "static-pod")
"""The topologies whose hosts are OpenShift masters."""
IN_CONTAINERS = ("static-pod", "container")
"""The topologies whose etcd runs in a container."""
USERS = ("root", "ops")
ETCD_NAMES = ("host", "short", "other")
EXEC_STARTS = ("bash", "plain", "rhel")
MEMBERS = (1, 3, 5, 7)
SYSTEM = (
    "backup", "bin", "boot", "dev", "etc", "lib", "lib32", "lib64", "libx32", "proc", "root", "run", "sbin",
    "sys", "tmp", "usr",
)  # fmt: skip
"""Folders below / that are no place for data: the system's own, what a reboot empties, and where the backups go."""
OTHERS_DATA = ("apt", "dbus", "docker", "dpkg", "misc", "pam", "private", "requorum", "systemd", "ucf")
"""Folders below /var/lib that are others'."""
LEAST_DISK_MIB = 768
"""etcd allocates two segments of 64 MiB at each start; a backup wants twice the data."""


@dataclass(frozen=True, slots=True)
class Spec:
    """One lab as declared.

    Attributes:
        name: of the lab, and of its etcd cluster in the inventory.
        members: number of etcd hosts: 1, 3, 5 or 7.
        user: who logs in over SSH: `root`, or `ops` who has sudo without a password (root may not log in then).
        ssh_port: where sshd listens.
        data_dir: etcd's data directory.
        etcd_names: `ETCD_NAME` is the host name (`host`), its first label (`short`), or neither (`other`: `m0`, `m1`).
        quoted: the values in etcd.conf stand in double quotes.
        exec_start: `bash` behind a shell, `plain` for /usr/bin/etcd alone, `rhel` as RHEL 7 has it: a shell, and three
            flags that repeat variables, which etcd from 3.4 on refuses.
        topology: how etcd runs: `external`, a service on hosts of its own; `colocated`, a service on OpenShift masters,
            whose API, controllers and tools are stand-ins (`lab.standins`); `static-pod`, on masters whose parts are
            static pods; `container`, a unit that runs `docker run`, on hosts of its own.
        release: of Debian; decides etcd's version: bullseye 3.3.25, bookworm 3.4.23, trixie 3.5.16.
        disk_mib: size of each host's disk; 0: it shares that of this machine, and cannot be filled.
        flannel: every host has a flanneld (a stand-in), and etcd serves the v2 API to it; where there are hosts beside
            the cluster, those have it, and no other.
        masters: beside an `external` cluster, OpenShift masters on so many hosts of their own.
        nodes: beside it, hosts that have Flannel alone.
        v2: the v2 API is switched on (`ETCD_ENABLE_V2`); etcd 3.3 serves it anyway.
    """

    name: str = "lab"
    members: int = 3
    user: str = "root"
    ssh_port: int = 22
    data_dir: str = "/var/lib/etcd"
    etcd_names: str = "host"
    quoted: bool = False
    exec_start: str = "bash"
    topology: str = "external"
    release: str = "bookworm"
    disk_mib: int = 0
    flannel: bool = False
    v2: bool = False
    masters: int = 0
    nodes: int = 0

    @property
    def has_standins(self) -> bool:
        """On the hosts of an `external` topology, too."""
        return self.flannel or self.masters > 0

    def validate(self) -> None:
        """Raise LabError naming every field that is wrong, all at once."""
        wrong: list[str] = []
        if not re.fullmatch(r"[a-z][a-z0-9-]{0,30}", self.name):
            wrong.append(f"name {self.name!r}: small letters, digits and hyphens, a letter first, at most 31")
        choices: tuple[tuple[str, object, tuple[object, ...]], ...] = (
            ("members", self.members, MEMBERS),
            ("user", self.user, USERS),
            ("etcd_names", self.etcd_names, ETCD_NAMES),
            ("exec_start", self.exec_start, EXEC_STARTS),
            ("topology", self.topology, TOPOLOGIES),
            ("release", self.release, RELEASES),
        )
        for field, value, allowed in choices:
            if value not in allowed:
                wrong.append(f"{field} {value!r}: this lab can only do {', '.join(map(str, allowed))}")
        if not 1 <= self.ssh_port <= 65535 or self.ssh_port in (2379, 2380, 8443, 8444):
            wrong.append(f"ssh_port {self.ssh_port}: a port from 1 to 65535 that neither etcd nor a master uses")
        if self.exec_start == "rhel" and self.release != "bullseye":
            wrong.append(
                f"exec_start 'rhel': etcd of {self.release} refuses flags that repeat variables; only bullseye's"
            )
        if self.topology in IN_CONTAINERS:
            if self.data_dir.rstrip("/") != "/var/lib/etcd":
                wrong.append(
                    f"data_dir {self.data_dir!r}: the containers of topology {self.topology!r} have /var/lib/etcd"
                )
            if self.exec_start != "bash":
                wrong.append(
                    f"exec_start {self.exec_start!r}: topology {self.topology!r} has no unit of its own for etcd"
                )
        if self.topology == "container" and self.quoted:
            wrong.append("quoted: docker --env-file keeps quotes, and etcd does not start")
        if self.topology != "external" and (self.masters or self.nodes):
            wrong.append(
                f"masters {self.masters}, nodes {self.nodes}: hosts beside the cluster are of topology 'external'"
            )
        if not 0 <= self.masters <= 5 or not 0 <= self.nodes <= 5:
            wrong.append(f"masters {self.masters}, nodes {self.nodes}: at most 5 of each")
        if self.nodes and not self.flannel:
            wrong.append(f"nodes {self.nodes}: they have Flannel alone, and it is not asked for")
        if self.disk_mib and self.disk_mib < LEAST_DISK_MIB:
            wrong.append(f"disk_mib {self.disk_mib}: 0, or at least {LEAST_DISK_MIB}")
        path = PurePosixPath(self.data_dir)
        if not re.fullmatch(r"(/[A-Za-z0-9._-]+){2,}/?", self.data_dir) or ".." in path.parts:
            wrong.append(f"data_dir {self.data_dir!r}: an absolute path of at least two plain parts")
        elif _is_no_place(path):
            wrong.append(f"data_dir {self.data_dir!r}: no place for data; one such as /var/lib/etcd or /srv/etcd")
        if wrong:
            raise LabError("this lab cannot be built:\n  " + "\n  ".join(wrong))


def _is_no_place(path: PurePosixPath) -> bool:
    """Whatever else lies there would be emptied, and etcd's own user would be given it."""
    top, *below = path.parts[1:]
    if top != "var":
        return top in SYSTEM
    return below[:1] != ["lib"] or len(below) < 2 or below[1] in OTHERS_DATA


@dataclass(frozen=True, slots=True)
class Host:
    """One host of a lab.

    Attributes:
        index: from 0.
        name: full, as in `etcd-0.example.com`.
        short: its first label.
        address: IPv4, on the lab's own bridge.
        etcd_name: value of ETCD_NAME; empty for a host beside the cluster, which runs no etcd.
    """

    index: int
    name: str
    short: str
    address: str
    etcd_name: str

    @property
    def peer_url(self) -> str:
        """Where the other members reach this one."""
        return f"https://{self.address}:2380"

    @property
    def client_url(self) -> str:
        """Where clients reach this member."""
        return f"https://{self.address}:2379"


def hosts_of(spec: Spec, network: int) -> tuple[Host, ...]:
    """The hosts of a lab that was given 10.213.<network>.0/24; addresses begin at .10."""
    hosts, prefix = [], "master" if spec.topology in ON_MASTERS else "etcd"
    for index in range(spec.members):
        short = f"{prefix}-{index}"
        name = f"{short}.{DOMAIN}"
        etcd_name = {"host": name, "short": short, "other": f"m{index}"}[spec.etcd_names]
        hosts.append(Host(index, name, short, f"10.213.{network}.{10 + index}", etcd_name))
    return tuple(hosts)


def beside_of(spec: Spec, network: int) -> tuple[Host, ...]:
    """The hosts beside the cluster: masters on hosts of their own, then nodes."""
    short = [*(f"master-{n}" for n in range(spec.masters)), *(f"node-{n}" for n in range(spec.nodes))]
    return tuple(
        Host(index, f"{name}.{DOMAIN}", name, f"10.213.{network}.{10 + index}", "")
        for index, name in enumerate(short, start=spec.members)
    )

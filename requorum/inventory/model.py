"""What an inventory says, once it is known to be right. Values only; `requorum.inventory.load` makes them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal

Runtime = Literal["auto", "service", "container", "static-pod"]
Kept = Literal["keep", "make"]


@dataclass(frozen=True, slots=True)
class Ssh:
    """How to log in to one host. None: what ssh_config says, else ssh's own default; for the user it is root."""

    user: str | None = None
    port: int | None = None
    identity_file: Path | None = None
    known_hosts: Path | None = None
    sudo: bool = False


@dataclass(frozen=True, slots=True)
class EtcdHost:
    """A host that runs, or is to run, a member. `lost` gives up the member, not the host.

    `address` is what to connect to: an IP address or a name, the host's own name where the inventory gives none.
    `certificates`: `make` lets others take the place of those that will not do; those that are missing are made anyway.
    `line` is where the inventory names the host; it takes no part in comparisons.
    """

    name: str
    address: str
    lost: bool
    ssh: Ssh
    line: int = field(default=1, compare=False)
    certificates: Kept = "keep"


@dataclass(frozen=True, slots=True)
class MasterHost:
    """A host that runs an OpenShift master; one that is a host of etcd, too, is reached as that."""

    name: str
    address: str
    ssh: Ssh
    line: int = field(default=1, compare=False)


@dataclass(frozen=True, slots=True)
class NodeHost:
    """A host that runs neither etcd nor a master, and is looked at for Flannel."""

    name: str
    address: str
    ssh: Ssh
    line: int = field(default=1, compare=False)


@dataclass(frozen=True, slots=True)
class Etcd:
    """The cluster's hosts in the order of the file; survivor None: the best one; rejoin None: every other host.

    `keep_tail`: log entries of the survivor above its commit index are kept, not discarded.
    `accept_loss`: the named survivor is taken although another member holds more.
    """

    runtime: Runtime
    hosts: tuple[EtcdHost, ...]
    survivor: str | None = None
    rejoin: tuple[str, ...] | None = None
    accept_loss: bool = False
    keep_tail: bool = True


@dataclass(frozen=True, slots=True)
class Masters:
    """The OpenShift masters that use this etcd, in the order of the file."""

    hosts: tuple[MasterHost, ...]


@dataclass(frozen=True, slots=True)
class Nodes:
    """The hosts that are looked at for Flannel alone, in the order of the file."""

    hosts: tuple[NodeHost, ...]


@dataclass(frozen=True, slots=True)
class Backup:
    """Where backups go: a folder on every etcd host, and (`fetch`) a copy on the machine that runs the runbook."""

    directory: PurePosixPath = field(default_factory=lambda: PurePosixPath("/backup"))
    fetch: bool = True


@dataclass(frozen=True, slots=True)
class Inventory:
    """What the operator declares. `path` is the file as it was named, `sha256` that of its bytes."""

    path: Path
    sha256: str
    cluster: str
    etcd: Etcd
    masters: Masters | None = None
    ansible_inventory: Path | None = None
    backup: Backup = field(default_factory=Backup)
    confirm: bool = True
    nodes: Nodes | None = None

    @property
    def beside(self) -> tuple[MasterHost | NodeHost, ...]:
        """The hosts beside the cluster, which run no etcd: masters on hosts of their own, then nodes."""
        members = set(self.host_names)
        apart = tuple(host for host in (self.masters.hosts if self.masters else ()) if host.name not in members)
        return apart + (self.nodes.hosts if self.nodes else ())

    @property
    def beside_names(self) -> tuple[str, ...]:
        """The names of the hosts beside the cluster, in their order."""
        return tuple(host.name for host in self.beside)

    @property
    def all_names(self) -> tuple[str, ...]:
        """The names of all hosts: those of etcd, then those beside the cluster."""
        return (*self.host_names, *self.beside_names)

    @property
    def host_names(self) -> tuple[str, ...]:
        """The etcd hosts' names, in the order of the file."""
        return tuple(host.name for host in self.etcd.hosts)

    @property
    def master_names(self) -> tuple[str, ...]:
        """The masters' names, in the order of the file; none where it names no masters."""
        return tuple(host.name for host in self.masters.hosts) if self.masters else ()

    def host(self, name: str) -> EtcdHost:
        """The etcd host of this name; KeyError where there is none."""
        for host in self.etcd.hosts:
            if host.name == name:
                return host
        raise KeyError(f"no etcd host {name!r} in {self.path}; there are {', '.join(self.host_names)}")

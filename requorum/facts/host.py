"""All facts of one host, and the one batch that reads them."""

from __future__ import annotations

from dataclasses import dataclass

from requorum.facts import certificates, etcd_conf, machine, mark, members, process, unit
from requorum.facts.certificates import Certificates
from requorum.facts.data_dir import DataDir
from requorum.facts.etcd_conf import EtcdConf
from requorum.facts.machine import Machine
from requorum.facts.mark import Mark
from requorum.facts.members import Api, Member
from requorum.facts.process import Process
from requorum.facts.unit import Unit


@dataclass(frozen=True, slots=True)
class Silent:
    """A host of the inventory that could not be asked, and why.

    `alive`: it answered SSH, and did not let us in; so it cannot be given up as lost.
    """

    name: str
    reason: str
    advice: str
    alive: bool = False


@dataclass(frozen=True, slots=True)
class HostFacts:
    """What a survey read on one host. `data` is read from the disk only where no quorum answers, else None."""

    name: str
    machine: Machine
    conf: EtcdConf
    unit: Unit
    processes: tuple[Process, ...]
    api: Api
    certificates: Certificates
    mark: Mark | None
    data: DataDir | None = None

    @property
    def forced(self) -> bool:
        """A process that forces a new cluster lives here."""
        return any(p.forced for p in self.processes)

    @property
    def fenced(self) -> bool:
        """Stopped, and no reboot starts it."""
        return self.unit.fenced and not self.processes

    @property
    def has_data(self) -> bool:
        """There is a write-ahead log; without one a data directory is worth nothing."""
        return self.machine.data_has_wal

    @property
    def listed(self) -> Member | None:
        """This host's own line in the member list that it answers."""
        return self.api.members.of(self.conf.peer_urls) if self.api.members else None


def commands(backup_directory: str) -> dict[str, str]:
    """The commands of one batch, by noun."""
    return {
        "conf": etcd_conf.COMMAND,
        "unit": unit.COMMAND,
        "process": process.COMMAND,
        "machine": machine.command(backup_directory),
        "certificates": certificates.COMMAND,
        "mark": mark.COMMAND,
        "api": members.API_COMMAND,
    }

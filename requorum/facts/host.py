"""All facts of one host, and the one batch that reads them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, final

from requorum import hostlock
from requorum.facts import (
    ca,
    certificates,
    etcd_conf,
    flannel,
    issuing,
    machine,
    mark,
    master,
    members,
    process,
    unit,
    v2,
)
from requorum.facts.ca import NO_CA, Ca
from requorum.facts.certificates import Certificates
from requorum.facts.data_dir import DataDir
from requorum.facts.etcd_conf import EtcdConf
from requorum.facts.flannel import Flannel
from requorum.facts.issuing import NOTHING, Issuing
from requorum.facts.machine import Machine
from requorum.facts.mark import Mark
from requorum.facts.master import Master
from requorum.facts.members import Api, Member
from requorum.facts.process import Process
from requorum.facts.unit import Unit
from requorum.facts.v2 import UNASKED, V2
from requorum.hostlock import FREE, HostLock


class MissingFact(Exception):
    """A host did not say what an operation has to know."""

    def __init__(self, host: str, expected: str, found: str) -> None:
        super().__init__(f"{host}: expected {expected}, found {found or 'no answer'}")


@dataclass(frozen=True, slots=True)
class Silent:
    """A host of the inventory that could not be asked, and why.

    `alive`: it answered SSH, and did not let us in; so it cannot be given up as lost. `jump`: a jump host on the way
    to it did, and as little is known of the host itself.
    """

    name: str
    reason: str
    advice: str
    alive: bool = False
    jump: bool = False

    @property
    def answers(self) -> str:
        """Who answered, as the words that follow the host's name."""
        return "is behind a jump host that answers" if self.jump else "answers"


@final
@dataclass(frozen=True, slots=True)
class HostFacts:
    """What a survey read on one host. `data` is read from the disk only where its member does not answer, else None.

    `heard`: the URLs of members, on hosts that SSH does not reach, at which something listens as seen from here.
    `forced_by`: the recovery that made a cluster of one of this member, while a host that it removed is still missing.
    `master`: what was read where the inventory says that the host is an OpenShift master. `flannel`: where there is one.
    `v2`: what the v2 API, and its health command, said when the host was first surveyed.
    `ca`: the CA, on the host where it lies. `issuing`: certificates that are being made for this host.
    """

    name: str
    machine: Machine
    conf: EtcdConf
    unit: Unit
    processes: tuple[Process, ...]
    api: Api
    certificates: Certificates
    mark: Mark | None
    data: DataDir | None = None
    heard: tuple[str, ...] = ()
    lock: HostLock = FREE
    forced_by: Mark | None = None
    master: Master | None = None
    ca: Ca = NO_CA
    issuing: Issuing = NOTHING
    flannel: Flannel | None = None
    v2: V2 = UNASKED

    @property
    def own_mark(self) -> Mark | None:
        """The mark of a recovery whose survivor this host is."""
        return self.mark if self.mark is not None and self.mark.survivor == self.name else None

    @property
    def version_unread(self) -> bool:
        """Which etcd is started here nobody can tell yet: it is in an image alone, and no container or log of it is left."""
        return self.unit.runtime.kind != "service" and not self.machine.etcd_version

    @property
    def version_open(self) -> bool:
        """The same, or all that is known is the version of the host's own etcd: step 20 tries for the image's (again)."""
        return self.version_unread or self.machine.etcd_of_host

    @property
    def image(self) -> str:
        """Out of which image etcd is run; empty for a service."""
        return self.unit.pod.manifest.image if self.unit.pod else self.unit.runtime.image

    @property
    def by_oc(self) -> bool:
        """The chapter backs etcd up through oc here: it is a static pod of a master."""
        return self.unit.pod is not None and self.master is not None

    @property
    def enables_v2(self) -> bool:
        """etcd is to serve the v2 API here, whether it runs or not."""
        return v2.enables(self.conf, self.unit, self.processes, self.machine.etcd_version)

    @property
    def enabled_since(self) -> bool:
        """It starts at boot, and did not when the recovery came.

        Of a static pod only where its manifest lay in the folder then: else nothing was said of the node service.
        """
        found = self.mark.found if self.mark else None
        told = found is not None and (self.unit.pod is None or found.etcd == "active")
        return found is not None and told and found.enabled == "disabled" and self.unit.file_state == "enabled"

    @property
    def forced(self) -> bool:
        """A process that forces a new cluster lives here."""
        return any(p.forced for p in self.processes)

    @property
    def fenced(self) -> bool:
        """Stopped, and no reboot starts it."""
        return self.unit.fence_holds and not self.processes

    @property
    def fence_lifted(self) -> bool:
        """The recovery under way has lifted a fence that it found, and etcd is to be down: it was, and no member answers.

        What ran beside a fence that was left there is a member, and that fence had no effect before its next start.
        """
        found = self.mark.found if self.mark else None
        return bool(found and found.fenced and not found.runs) and not (self.unit.fenced or self.api.answers)

    @property
    def moved_aside(self) -> bool:
        """What the recovery under way found in the data directory, or a log elsewhere, was moved aside, and not yet back."""
        recovery = self.mark.recovery if self.mark else ""
        return not self.machine.data_aside.isdisjoint({recovery, f"{recovery}/log"})

    @property
    def ran_committed(self) -> bool:
        """Etcd has run on a log that the recovery under way had committed (step 41), and nobody was removed since.

        It must not meet its peers again with that log: what it calls committed may be nothing that they have.
        """
        if self.data is None or self.mark is None or self.mark.recovery not in self.machine.ran_logs:
            return False
        # An earlier version listed in its mark what etcd had rejected, too.
        found = self.mark.member_ids - self.data.rejected
        return len(found) > 1 and found <= {member.id for member in self.data.members}

    @property
    def owes_proof(self) -> bool:
        """The recovery under way has forced it, and nobody votes beside it yet.

        Whether its data was held against the backup after that (step 45) nobody has written down; before a host joins it is.
        One that was stopped since, and says nothing, is taken by its data; where that cannot be read, it may owe the proof.
        """
        if self.mark is None or self.forced_by is None or self.forced_by.recovery != self.mark.recovery:
            return False
        if self.api.members is not None:
            return len(self.api.members.voters) == 1
        if self.data is None or self.data.error:
            return True
        return len([member for member in self.data.members if not member.is_learner]) == 1

    @property
    def unseen_at_force(self) -> tuple[str, ...]:
        """The hosts beside the cluster that were silent when it was forced, and were not seen since."""
        return self.forced_by.unseen if self.forced_by else ()

    @property
    def remembers_force(self) -> bool:
        """It was forced, and nothing beside the cluster waits for what follows from that."""
        return self.forced_by is not None and not self.unseen_at_force

    @property
    def has_data(self) -> bool:
        """There is a write-ahead log, or may be; without one a data directory is worth nothing."""
        return self.machine.data_has_wal or bool(self.machine.data_hidden)

    @property
    def members(self) -> tuple[Member, ...]:
        """The members as this one lists them. Raises MissingFact without an answer."""
        if self.api.members is None:
            raise MissingFact(self.name, "a member list", self.api.error)
        return self.api.members.members

    @property
    def member_id(self) -> int:
        """This member's ID, as it says itself. Raises MissingFact without an answer."""
        if self.api.status is None:
            raise MissingFact(self.name, "an endpoint status", self.api.error)
        return self.api.status.member_id


Noun = Literal[
    "conf",
    "unit",
    "process",
    "machine",
    "versions",
    "certificates",
    "mark",
    "api",
    "members",
    "lock",
    "master",
    "flannel",
    "v2",
    "ca",
    "issuing",
]

LASTING: frozenset[Noun] = frozenset({"certificates", "ca", "v2"})
"""What nobody changes while a recovery runs, but a step that asks for it by name."""

SMALL: frozenset[Noun] = frozenset({"conf", "unit", "process", "mark", "lock", "flannel", "issuing"})
"""What is read in some milliseconds from files of the system itself: one after the other, in one chain of processes."""

PARTS: dict[Noun, str] = {"members": members.LIST_COMMAND, "versions": machine.VERSIONS_COMMAND}
"""What is read only by name, since it is a part of another noun: the member list, at a third of what `api` costs; versions."""


def commands(backup_directory: str, *, again: bool = False, is_master: bool = False) -> dict[Noun, str]:
    """The commands of one batch, by noun; `again`: without the versions, which cost most and do not change."""
    found: dict[Noun, str] = {
        "conf": etcd_conf.COMMAND,
        "unit": unit.COMMAND,
        "process": process.COMMAND,
        "machine": machine.command(backup_directory, versions=not again),
        "certificates": certificates.COMMAND,
        "mark": mark.BOTH_COMMAND,
        "api": members.API_COMMAND if again else members.API_AND_HEALTH_COMMAND,
        "lock": hostlock.COMMAND,
        "flannel": flannel.COMMAND,
        "v2": v2.COMMAND,
        "ca": ca.COMMAND,
        "issuing": issuing.COMMAND,
    }
    if is_master:
        found["master"] = master.COMMAND
    return found

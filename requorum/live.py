"""What a step may ask: one member, and the cluster. Reads only; in a plan what is read `now` is the model's."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import PurePosixPath
from typing import TypeVar

from requorum.changes.backup import SUMS, snapshot_status
from requorum.changes.undo import log_written_since
from requorum.diagnosis import Diagnosis, diagnose
from requorum.facts import etcd_conf, machine, mark, members, process, unit
from requorum.facts.data_dir import DataDir
from requorum.facts.data_error import DataError
from requorum.facts.etcd_conf import EtcdConf
from requorum.facts.host import HostFacts, Noun
from requorum.facts.machine import CLIENT_PORT, PEER_PORT
from requorum.facts.mark import Mark
from requorum.facts.members import Hash, MemberList, Status
from requorum.facts.prediction import Proof, mod_revisions
from requorum.facts.process import Process
from requorum.facts.runtime import NO_TOOLS
from requorum.facts.shell import CTL, PROBE
from requorum.facts.unit import Unit
from requorum.fetched import prove
from requorum.operations.backup import BackupPlace
from requorum.ranking import candidates
from requorum.run import Run
from requorum.survey import Unexpected

Found = TypeVar("Found")

_BETWEEN = "--- ports ---"

WITHOUT_TAIL = "ask for help; `keep_tail: false` in the inventory keeps what is known to be committed only"


class EtcdMember:
    """One host's etcd."""

    def __init__(self, run: Run, name: str) -> None:
        self._run, self.name = run, name
        self._remote = run.remotes[name]

    def __repr__(self) -> str:
        return self.name

    def now(self, *nouns: Noun) -> HostFacts:
        """This host with these facts read now, the others as surveyed; in a plan, as the changes so far leave it."""
        if self._run.model is not None:
            return self._run.model.facts[self.name]
        return self._run.surveyor.again(self.surveyed, *nouns)

    @property
    def surveyed(self) -> HostFacts:
        """What the survey at the start of this run read. Raises ValueError for a host that was silent."""
        facts = self._run.survey[self.name]
        if not isinstance(facts, HostFacts):
            raise ValueError(f"{self.name} was silent in the survey")
        return facts

    def _read(self, command: str, parse: Callable[[str], Found], *, seconds: float = 30) -> Found:
        answer = self._remote.run(command, seconds=seconds)
        try:
            if answer.exit != 0:
                raise ValueError(answer.stderr.strip() or f"exit {answer.exit}")
            return parse(answer.stdout)
        except ValueError as error:
            raise Unexpected(
                self.name, expected="an answer", found=str(error), advice=f"look at etcd's log: {self._log_words}"
            ) from None

    @property
    def _log_words(self) -> str:
        facts = self._run.survey[self.name]
        return facts.unit.runtime.log_words if isinstance(facts, HostFacts) else "journalctl -u etcd"

    @property
    def unit(self) -> Unit:
        """What runs etcd, now."""
        return self._read(unit.COMMAND, unit.parse)

    @property
    def conf(self) -> EtcdConf:
        """etcd.conf, now."""
        return self._read(etcd_conf.COMMAND, etcd_conf.parse)

    @property
    def mark(self) -> Mark | None:
        """The mark of a recovery on this host, now."""
        return self._read(mark.COMMAND, mark.parse)

    @property
    def forced_by(self) -> Mark | None:
        """The recovery that forced this member, as the host remembers it now."""
        return self._read(mark.BOTH_COMMAND, mark.parse_both)[1]

    @property
    def processes(self) -> tuple[Process, ...]:
        """The etcd processes, now."""
        return self._read(process.COMMAND, process.parse)

    @property
    def members(self) -> MemberList:
        """The member list as this member sees it."""
        return self._read(members.LIST_COMMAND, members.parse_list)

    @property
    def status(self) -> Status:
        """What this member says of itself."""
        return self._read(members.STATUS_COMMAND, members.parse_status)

    @property
    def data(self) -> DataDir:
        """What its data directory holds, read from the disk."""
        return self._run.surveyor.data(self.surveyed)

    def forced(self) -> bool:
        """A process here forces a new cluster."""
        return any(p.forced for p in self.processes)

    def member_names(self) -> list[str]:
        """The names in its member list."""
        return [m.name for m in self.members.members]

    def voter_names(self) -> list[str]:
        """The names of the voting members in its member list."""
        return [m.name for m in self.members.voters]

    def left_in_data_directory(self) -> list[str]:
        """What the data directory, and one of the log's own, holds, our own folders apart."""
        folders = [folder for folder in (self.surveyed.conf.data_dir, self.surveyed.conf.own_wal_dir) if folder]
        entries = self._read(
            "\n".join(f"! [ -d {shlex.quote(f)} ] || ls -A {shlex.quote(f)}" for f in folders), str.splitlines
        )
        return [name for name in entries if not name.startswith("openshift-backup")]

    def log_written_since(self, aside: str) -> list[str]:
        """The segments of its log to which etcd has written since the ones in `aside` were replaced."""
        return self._read(log_written_since(self.surveyed.conf.wal_dir, aside), str.splitlines, seconds=120)

    def conf_in(self, copy: PurePosixPath) -> EtcdConf:
        """The etcd.conf in a copy of /etc/etcd."""
        return self._read(f"cat {shlex.quote(str(copy / 'etcd.conf'))}", etcd_conf.parse)

    def damaged_in(self, copy: PurePosixPath) -> list[str]:
        """What a copied folder no longer holds as it was copied, by its checksums; empty where all is well."""
        script = f"cd {shlex.quote(str(copy))} && {{ sha256sum --quiet --check {SUMS} 2>&1 || [ $? -eq 1 ]; }}"
        return self._read(script, str.splitlines, seconds=300)

    def holds_ca(self) -> bool:
        """The key of the CA that signed the certificates lies here."""
        return self.surveyed.ca.has_key

    def peer_urls(self) -> set[str]:
        """The peer URLs that the member list has for this member."""
        own = self.status.member_id
        return {url for m in self.members.members if m.id == own for url in m.peer_urls}

    def open_ports(self) -> set[int]:
        """Which of etcd's ports somebody listens on."""
        return _etcds_ports(self._read(machine.PORTS_COMMAND, machine.parse_ports))

    def _processes_and_ports(self) -> tuple[tuple[Process, ...], set[int]]:
        """The etcd processes, and then which of etcd's ports somebody listens on."""

        def both(output: str) -> tuple[tuple[Process, ...], set[int]]:
            living, _, ports = output.partition(_BETWEEN)
            return process.parse(living), _etcds_ports(machine.parse_ports(ports))

        return self._read(f"{process.COMMAND}\necho '{_BETWEEN}'\n{machine.PORTS_COMMAND}", both)

    def is_fenced(self) -> bool:
        """Down, and no reboot brings it up: no process, ports closed, the fence read by systemd."""
        found = self.unit
        return found.fence_holds and not found.is_running and self._processes_and_ports() == ((), set())

    def answers(self) -> bool:
        """It answers a linearizable read."""
        return self._read(members.API_COMMAND, lambda output: members.parse_api(output, "")).answers

    def writes(self) -> str:
        """Write a key through this member, read it back, delete it; what was read.

        Raises RuntimeError in a mode that changes nothing: this is the one write that is no change.
        """
        if self._run.mode != "recovery":
            raise RuntimeError(f"a write in a run that changes nothing ({self._run.mode})")
        script = (
            CTL
            + f"""set -e
key={PROBE}/$(uname -n)
ctl put "$key" "$(uname -n)" >&2
ctl get "$key" --print-value-only
ctl del "$key" >&2
"""
        )
        return self._read(script, str.strip)

    def revision(self) -> int:
        """The revision of the key-value store."""
        return self.status.revision

    def hash_at(self, revision: int) -> Hash:
        """The hash of everything this member holds up to a revision, and of which cluster it is."""
        return self._read(members.hash_command(revision), members.parse_hash, seconds=90)

    def keys_at(self, revision: int) -> dict[bytes, int]:
        """Every key at a revision, with the revision that wrote it."""
        script = f"{CTL}PATIENCE=120s ctl get '' --prefix --keys-only --rev={revision} -w json"
        return self._read(script, mod_revisions, seconds=150)

    def tries_hosts_own(self) -> bool:
        """The image's etcd could not be had when this run tried, and the host's own is tried instead."""
        return bool(self._read(f"[ ! -e {NO_TOOLS} ] || echo yes", str.strip))

    def snapshot_revision(self, path: str) -> int:
        """The revision of a snapshot, or of a copied database, as etcd's own tool reads it."""
        return self._read(snapshot_status(path), _snapshot_revision, seconds=300)

    def listeners(self) -> tuple[Process, ...]:
        """The etcd processes, while somebody listens on the peer port; none where nobody does."""
        found, ports = self._processes_and_ports()  # in this order: who is still there later has listened all the while
        return found if PEER_PORT in ports else ()

    def unreached(self, other: EtcdMember) -> list[str]:
        """The peer URLs of another host that cannot be reached from this one.

        A refused connection is reached: an etcd without data comes and goes there. Where the same etcd listens before
        and after, a firewall has refused it.
        """
        before = other.listeners()
        found = self._dial([url.rpartition("//")[2] for url in other.surveyed.conf.peer_urls])
        refused = [place for place, answer in found.items() if answer == "refused"]
        unanswered = [place for place, answer in found.items() if answer == "unanswered"]
        return unanswered + (refused if refused and before and before == other.listeners() else [])

    def _dial(self, places: Iterable[str]) -> dict[str, str]:
        """Whether a connection to each place (host:port) is `open`, `refused` or `unanswered`."""
        lines = [
            f"if said=$(timeout 3 bash -c '</dev/tcp/{host.strip('[]')}/{port}' 2>&1); then echo {place} open\n"
            f"elif [[ $said == *refused* ]]; then echo {place} refused; else echo {place} unanswered; fi"
            for place in places
            for host, _, port in (place.rpartition(":"),)
        ]
        return self._read("\n".join(lines), lambda output: dict(line.split() for line in output.splitlines()))

    def certificate_problems(self) -> tuple[str, ...]:
        """What keeps this host from being trusted as a member, and private keys that everybody may read."""
        facts = self.surveyed
        now = datetime.fromtimestamp(facts.machine.clock, timezone.utc)
        return facts.certificates.problems(facts.conf, now) + facts.certificates.exposed

    def certificates_ending(self, days: float) -> tuple[str, ...]:
        """The certificates of etcd.conf that end within these days, by this host's clock."""
        facts = self.surveyed
        return facts.certificates.ending(datetime.fromtimestamp(facts.machine.clock + days * 86400, timezone.utc))


class Cluster:
    """Every host at once."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.diagnosis = run.proven
        self.recovery = run.recovery
        fetched = run.backup_folder if run.inventory.backup.fetch else None
        self.backup = BackupPlace(run.inventory.backup.directory, run.recovery, fetched)
        self.mark = run.mark

    def __repr__(self) -> str:
        return self.run.inventory.cluster

    def member(self, name: str) -> EtcdMember:
        """One host's etcd."""
        return EtcdMember(self.run, name)

    @property
    def survivor(self) -> EtcdMember:
        """The member whose data is the cluster's."""
        return self.member(self.diagnosis.survivor)

    @property
    def reached(self) -> list[HostFacts]:
        """The facts of every host that the survey reached."""
        return list(self.run.reached.values())

    def declared_lost(self, name: str) -> bool:
        """The inventory gives the member of this host up."""
        return self.run.inventory.host(name).lost

    def _each(self, names: Iterable[str], read: Callable[[EtcdMember], Found]) -> dict[str, Found]:
        found = [self.member(name) for name in names]
        with ThreadPoolExecutor(max_workers=max(1, len(found))) as pool:
            return dict(zip([m.name for m in found], pool.map(read, found), strict=True))

    def unfenced(self) -> list[str]:
        """The other hosts that are reached and not proven to be down for good."""
        fenced = self._each(self.diagnosis.others, EtcdMember.is_fenced)
        return [name for name, proven in fenced.items() if not proven]

    @property
    def whole(self) -> bool:
        """Every host of the inventory is a member, or will be when this run has ended."""
        return not self.diagnosis.missing

    def diagnosed_again(self) -> Diagnosis:
        """The diagnosis from a survey made now, of what can have changed since the first one."""
        return diagnose(self.run.inventory, self.run.surveyor.all(self.run.survey))

    def differing_members(self) -> list[str]:
        """Which members hold something else than the survivor at one common revision, with their hashes.

        Those of the survey that answered; once the others have joined, all of them.
        """
        names = [n for n, joined in self._each(self.run.hosts("whole"), EtcdMember.answers).items() if joined]
        heard = self.diagnosis.survivor in names
        # An old quorum is no part of the cluster, whatever it answers.
        names = [n for n in names if n not in self.diagnosis.old_peers or (heard and self.lists(self.member(n)))]
        revision = min(self._each(names, EtcdMember.revision).values(), default=0)
        hashes = self._each(names, lambda member: member.hash_at(revision))
        expected = hashes.get(self.diagnosis.survivor)
        return [f"{name} has {found} at revision {revision}" for name, found in hashes.items() if found != expected]

    def listed_peer_urls(self) -> set[str]:
        """The peer URLs of every member, as the survivor lists them."""
        return {url for m in self.survivor.members.members for url in m.peer_urls}

    @property
    def keeps_tail(self) -> bool:
        """The survivor's log entries above its commit index are to be kept."""
        return self.run.inventory.etcd.keep_tail

    def proof_of_tail(self, data: DataDir) -> Proof | None:
        """What the survivor will hold with its log committed; None before it is stopped, and where that is so already."""
        survivor = self.survivor
        if self.run.mode != "recovery" or not self.keeps_tail or not data.has_tail:
            return None
        try:
            return prove(self.run.remotes[survivor.name], survivor.surveyed, data, data.end_of_tail)
        except DataError as error:
            raise Unexpected(
                survivor.name,
                expected="a log whose effect can be predicted",
                found=str(error),
                advice=WITHOUT_TAIL,
            ) from None

    def lists(self, member: EtcdMember) -> bool:
        """The survivor's member list has this host."""
        return bool(self.listed_peer_urls() & set(member.surveyed.conf.peer_urls))

    def refusal_of_survivor(self) -> str:
        """Why the survivor's data, as it lies on the disk now, must not be forced; empty where it may."""
        facts = replace(self.survivor.surveyed, data=self.survivor.data)
        found = candidates([facts], keep_tail=self.keeps_tail)
        return found[0].refusal if found else f"its data cannot be used: {facts.data.error if facts.data else ''}"

    def surveyed_revision(self, member: EtcdMember) -> int:
        """The revision in a member's database, as the survey read it; 0 where it has no readable data."""
        data = member.surveyed.data
        return data.db.revision if data is not None and data.db is not None and not data.error else 0

    def copied_revision(self, member: EtcdMember) -> int:
        """The revision in the copy of a member's database, as etcd's own tool reads it; 0 where there is none."""
        database = str(self.backup.database(member.surveyed))
        return member.snapshot_revision(database) if self.surveyed_revision(member) else 0

    def snapshot_revision(self, member: EtcdMember, when: str) -> int:
        """The revision of a saved snapshot, as etcd's own tool reads it."""
        return member.snapshot_revision(str(self.backup.snapshot(when, member.surveyed) / "snapshot.db"))


def _snapshot_revision(output: str) -> int:
    """etcdctl says 0 of an empty store, where a member says 1."""
    return max(1, int(json.loads(output)["revision"]))


def _etcds_ports(listening: frozenset[int]) -> set[int]:
    return {CLIENT_PORT, PEER_PORT} & listening

"""One run: its identity, its folder, its journal, its lock, what was surveyed and what follows from it."""

from __future__ import annotations

import getpass
import os
import platform
import secrets
import socket
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import IO

from requorum import __version__, hostlock
from requorum.bastion import read
from requorum.beside import seen_with, silent
from requorum.certifying import Order, orders
from requorum.diagnosis import Diagnosis, Verdict, diagnose
from requorum.enlisted import owed
from requorum.facts.ansible_file import AnsibleFile
from requorum.facts.beside import AnyFacts, BesideFacts
from requorum.facts.host import HostFacts, Silent
from requorum.facts.mark import Mark
from requorum.fitness import is_added
from requorum.hand import Hand, Model
from requorum.hostlock import Owner
from requorum.inventory import Inventory
from requorum.journal import Journal, utc_now
from requorum.lineage import not_taken
from requorum.locking import Lock, Locked
from requorum.naming import called_by_masters, places
from requorum.records import CommandRan, HostSurveyed, Mode, VerdictGiven
from requorum.records import Run as RunRecord
from requorum.remote import CommandEnded, Here, Remote
from requorum.roles import BASTION, Roles
from requorum.survey import BesideSurveyor, Surveyor
from requorum.told import told
from requorum.undoing import Undoing, listed, undoing_of

LOCKED_SECONDS, BUSY_SECONDS = 10.0, 90.0
"""How long a look waits for another run's holder to end, as a killed run's does, and for a change that is being made."""

SETTLE_SECONDS = 15.0
"""How long members that run, and have no leader, are given: some election timeouts."""


@dataclass
class Run:
    """What every process of a run knows. Built by the controller, handed to the workers whole."""

    mode: Mode
    inventory: Inventory
    folder: Path
    name: str
    operator: str
    controller: int
    argv: tuple[str, ...]
    survey: Mapping[str, HostFacts | Silent] = field(default_factory=dict)
    diagnosis: Diagnosis | None = None
    undoing: Undoing = field(default_factory=Undoing)
    ansible: AnsibleFile | None = None
    recovery: str = ""
    token: str = field(default_factory=lambda: secrets.token_hex(6))
    since: str = field(default_factory=lambda: f"{utc_now()[:19]}Z")
    step: str = field(default="", compare=False)
    beside: Mapping[str, BesideFacts | Silent] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._wire()

    def _wire(self) -> None:
        self.journal = Journal(self.folder / "journal.jsonl")
        hosts = (*self.inventory.etcd.hosts, *self.inventory.beside)
        self.remotes = {h.name: Remote(h, on_command=self._command, owner=self.token) for h in hosts}
        masters = frozenset(self.inventory.master_names)
        members = {name: self.remotes[name] for name in self.inventory.host_names}
        self.surveyor = Surveyor(members, str(self.inventory.backup.directory), masters)
        apart = {name: self.remotes[name] for name in self.inventory.beside_names}
        self.beside_surveyor = BesideSurveyor(apart, masters)
        self.model: Model | None = None
        self.lock: IO[str] | None = None
        self.looked = time.monotonic()

    def __getstate__(self) -> dict[str, object]:
        """What a worker needs; connections, the journal and the lock are made anew there."""
        made = ("journal", "remotes", "surveyor", "beside_surveyor", "model", "lock", "step")
        return {key: value for key, value in self.__dict__.items() if key not in made}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self.step = ""
        self._wire()
        if self.mode == "plan":
            self._make_model()

    def _make_model(self) -> None:
        beside = {name: facts for name, facts in self.beside.items() if isinstance(facts, BesideFacts)}
        self.model = Model(self.reached, beside=beside)

    @property
    def reached(self) -> dict[str, HostFacts]:
        """The facts of every host of etcd that the survey reached, in the inventory's order."""
        return {name: facts for name, facts in self.survey.items() if isinstance(facts, HostFacts)}

    @property
    def everybody(self) -> dict[str, AnyFacts | Silent]:
        """What the survey found of every host, those beside the cluster last."""
        return {**self.survey, **self.beside}

    @property
    def all_reached(self) -> dict[str, AnyFacts]:
        """The facts of every host that the survey reached, those beside the cluster too."""
        return {name: facts for name, facts in self.everybody.items() if not isinstance(facts, Silent)}

    @property
    def unseen(self) -> tuple[str, ...]:
        """The hosts beside the cluster that were silent in the survey."""
        return silent(self.beside)

    @property
    def _unseen_since_force(self) -> tuple[str, ...]:
        """They, and those that were silent at an earlier force and were not reached since."""
        before = (name for facts in self.reached.values() for name in facts.unseen_at_force)
        return tuple(dict.fromkeys((*self.unseen, *(name for name in before if name not in self.all_reached))))

    @property
    def proven(self) -> Diagnosis:
        """The diagnosis. Raises RuntimeError before the survey."""
        if self.diagnosis is None:
            raise RuntimeError("the cluster has not been surveyed yet")
        return self.diagnosis

    @property
    def changes(self) -> bool:
        """This run may change hosts: once the operator has agreed."""
        return self.mode in ("recovery", "abort")

    @property
    def acts(self) -> bool:
        """There is something to do, and it may be done."""
        return self.undoing.acts if self.mode == "abort" else self.proven.acts

    @property
    def mark(self) -> Mark:
        """What this recovery writes on a host; a recovery that is carried on keeps who began it, when, and on what."""
        survivor, forces = self.proven.survivor, self.proven.verdict is Verdict.LOST
        old = [m for m in self._marks() if m.recovery == self.recovery]
        if old:
            way_back = max(m.way_back for m in old)
            way_back = "" if not_taken(way_back, self.reached.get(survivor)) else way_back
            forces = forces or any(m.forces for m in old)
            sign = replace(old[0], survivor=survivor, found=None, way_back=way_back, forces=forces)
            return replace(sign, unseen=self._unseen_since_force)
        members = listed(self.reached[survivor]) if survivor in self.reached else ()
        cluster, unseen = self.inventory.cluster, self._unseen_since_force
        return Mark(self.recovery, cluster, survivor, self.operator, self.name, members, unseen=unseen, forces=forces)

    def _marks(self) -> list[Mark]:
        return [facts.mark for facts in self.reached.values() if facts.mark]

    @property
    def backup_folder(self) -> Path:
        """Where fetched copies go."""
        return self.folder / "backup"

    def begin(self) -> None:
        """Write the first record."""
        packages = ("pytest", "pytest-testinfra", "pytest-xdist", "paramiko", "allure-pytest")
        versions = (f"requorum {__version__}", f"python {platform.python_version()}")
        self.journal.add(
            RunRecord(
                run=self.name,
                recovery=self.name,
                cluster=self.inventory.cluster,
                mode=self.mode,
                operator=self.operator,
                machine=socket.gethostname(),
                argv=self.argv,
                versions=versions + tuple(f"{name} {version(name)}" for name in packages),
                inventory=str(self.inventory.path),
                inventory_sha256=self.inventory.sha256,
            )
        )

    def look(self, breaking: str = "") -> None:
        """Survey every host and diagnose. Members that may be electing a leader at this moment are waited for.

        A run that changes hosts also waits until no other run changes them, but for one whose lock it is breaking:
        what was surveyed before is not what is there now.
        """
        began = time.monotonic()
        while True:
            with ThreadPoolExecutor(max_workers=1) as pool:
                beside = pool.submit(self.beside_surveyor.all)
                self.survey = self.surveyor.all()
                self.beside = beside.result()
            self.diagnosis = seen_with(self.inventory, self.survey, self.beside, diagnose(self.inventory, self.survey))
            patience = SETTLE_SECONDS if self.diagnosis.settling else 0.0
            if self.changes:
                locks = [facts.lock for facts in self.all_reached.values()]
                patience = max(patience, LOCKED_SECONDS if self.holders(breaking) else 0.0)
                patience = max(patience, BUSY_SECONDS if any(lock.busy for lock in locks) else 0.0)
            self.looked = time.monotonic()
            if self.looked - began >= patience:
                break
            time.sleep(0.5)
        if self.inventory.ansible_inventory:
            self.ansible = read(self.inventory.ansible_inventory, self.folder.parent)
            self.diagnosis = owed(self.inventory, self.ansible, self.diagnosis)
        self.recovery = max((m.recovery for m in self._marks()), default=self.name)
        if self.mode == "abort":
            self.undoing = undoing_of(self.inventory, self.survey, self.beside)
        if self.mode == "plan":
            self._make_model()

    def tell(self) -> None:
        """Write down what was surveyed and the verdict."""
        for name, facts in self.everybody.items():
            self.journal.add(HostSurveyed(name, not isinstance(facts, Silent), told(facts)))
        self.tell_verdict()

    def tell_verdict(self) -> None:
        """Write down the verdict alone, where it was proven again."""
        found, hosts = self.proven, self.inventory.host_names
        self.journal.add(
            VerdictGiven(
                found.verdict.value, found.proof, found.advice, found.survivor, found.loss, hosts, self.recovery
            )
        )

    def hosts(self, role: str) -> tuple[str, ...]:
        """The hosts that play a role, in the inventory's order. Raises ValueError for a role that is none."""
        roles = Roles(self.inventory, self.proven, self.undoing, self.reached, self.all_reached, self.orders())
        return roles.hosts(role)

    def orders(self) -> list[Order]:
        """The certificates that are to be made for hosts that join."""
        called = called_by_masters(places(self.inventory, self.survey), self.all_reached.values())
        return orders(self.inventory, self.reached, self.proven.survivor, self.proven.joiners, called)

    @property
    def added(self) -> set[str]:
        """The joiners that come first: in the member list already."""
        found, reached = self.proven, self.reached
        joiners = [facts for name, facts in reached.items() if name in found.joiners]
        return {f.name for f in joiners if is_added(f, reached[found.survivor], found.removals)}

    def hand(self, step: str) -> Hand:
        """The writer for one step."""
        here = Here(BASTION, self._command)
        return Hand({**self.remotes, BASTION: here}, self.journal, step, model=self.model, alive=self.is_led)

    def is_led(self) -> bool:
        """The controller of this run still lives."""
        return self.controller in (os.getpid(), os.getppid())

    def take_lock(self, *, seconds: float) -> None:
        """Become the one run of this cluster here. Raises Locked."""
        self.lock = self._lock().take(f"run {self.name} by {self.operator}, since {self.since}", seconds=seconds)

    def holders(self, breaking: str = "") -> dict[str, list[str]]:
        """Who else holds the locks of hosts, in words, and of which; but for the run whose lock is to be broken."""
        found: dict[str, list[str]] = {}
        for name, facts in self.all_reached.items():
            if facts.lock.alive and facts.lock.run != breaking and facts.lock.token != self.token:
                found.setdefault(facts.lock.words, []).append(name)
        return found

    def locked_by(self, run: str) -> bool:
        """This run holds the lock of a host that was reached."""
        return any(facts.lock.alive and facts.lock.run == run for facts in self.all_reached.values())

    def lock_hosts(self) -> None:
        """Take the lock of every reached host, as the survey saw it. Raises Locked, RemoteError."""

        def take(facts: AnyFacts) -> str:
            return self.remotes[facts.name].hold(hostlock.claim(self._owner, facts.lock.line))

        reached = self.all_reached
        with ThreadPoolExecutor(max_workers=max(1, len(reached))) as pool:
            answers = dict(zip(reached, pool.map(take, reached.values()), strict=True))
        for name, answer in answers.items():
            word, _, rest = answer.partition(" ")
            if word == hostlock.BUSY:
                raise Locked(f"a change of another run goes on on {name}", "run the same command again")
            if word != hostlock.TAKEN:
                raise Locked(
                    f"the lock of {name} has changed since it was surveyed; it is of {hostlock.parse(rest).words}",
                    "run the same command again: it looks anew",
                )
        self._keep_locks()

    def _keep_locks(self) -> None:
        """Whichever process has to connect again takes the host's lock again: its holder may have ended, too."""
        for name in self.all_reached:
            self.remotes[name].keep_lock(self._owner)

    def share_lock(self) -> None:
        """In a worker: hold the run's lock. Raises Locked."""
        self.lock = self._lock().share()
        if self.acts:
            self._keep_locks()

    @property
    def _owner(self) -> Owner:
        return Owner(self.token, self.name, self.operator, self.since)

    def _lock(self) -> Lock:
        return Lock(self.folder.parent / ".lock")

    def close(self) -> None:
        """Close every connection and give the lock back."""
        for remote in self.remotes.values():
            remote.close()
        if self.lock is not None:
            self.lock.close()

    def _command(self, ended: CommandEnded) -> None:
        self.journal.add(
            CommandRan(self.step, ended.host, ended.command, ended.exit, ended.milliseconds, ended.stdout, ended.stderr)
        )


def new_run(mode: Mode, inventory: Inventory, reports: Path, argv: tuple[str, ...]) -> Run:
    """A run with a folder of its own under `reports`, named by the UTC time."""
    folder_of_cluster = reports / inventory.cluster
    stamp = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    for name in (stamp, *(f"{stamp}-{n}" for n in range(2, 100))):
        try:
            (folder_of_cluster / name).mkdir(parents=True, mode=0o700)
        except FileExistsError:
            continue
        operator = f"{os.environ.get('SUDO_USER') or getpass.getuser()}@{socket.gethostname()}"
        return Run(mode, inventory, folder_of_cluster / name, name, operator, os.getpid(), argv)
    raise FileExistsError(f"{folder_of_cluster / stamp} and its like are all there")

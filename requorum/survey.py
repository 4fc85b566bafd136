"""Reads the facts: one batch for each host, all hosts at once; then, where no quorum answers, the data directories.

Read-only. Source: PROCEDURE.md, stage 1.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TypeVar

from requorum import hostlock
from requorum.facts import (
    beside,
    ca,
    certificates,
    contact,
    etcd_conf,
    flannel,
    issuing,
    machine,
    mark,
    master,
    members,
    neighbours,
    process,
    unit,
    v2,
)
from requorum.facts.beside import BesideFacts
from requorum.facts.bolt import Db, read_db
from requorum.facts.data_dir import DataDir, unreadable
from requorum.facts.data_error import DataError
from requorum.facts.host import LASTING, PARTS, SMALL, HostFacts, Noun, Silent, commands
from requorum.fetched import read_data
from requorum.remote import NotAdmitted, Output, Remote, RemoteError, Unreachable

Found = TypeVar("Found")

_CUT = (124, 137)
"""Exit codes of a command whose time was up."""


class Unexpected(RemoteError):
    """A host answered something that Requorum does not know how to read."""


@dataclass(frozen=True)
class Surveyor:
    """Reads hosts through their remotes; `backup_directory` is where room for the backup is looked for.

    `masters` names the hosts that are OpenShift masters, too.
    """

    remotes: Mapping[str, Remote]
    backup_directory: str
    masters: frozenset[str] = frozenset()

    def all(self, known: Mapping[str, HostFacts | Silent] | None = None) -> dict[str, HostFacts | Silent]:
        """Every host; of one that is known, what can have changed.

        Where some member does not answer a linearizable read, its data is read from the disk.
        """
        before = known or {}
        found = _each(self.remotes, lambda name: self.one_or_silent(name, before.get(name)))
        quiet = [n for n, f in found.items() if isinstance(f, HostFacts) and f.has_data and not f.api.answers]
        found |= _each(quiet, lambda name: self._with_data(found[name]))
        if any(isinstance(facts := found[name], HostFacts) and facts.processes for name in quiet):
            # What a running member got meanwhile must not look as if the quorum knew less.
            found |= _each([n for n in found if n not in quiet], lambda name: self._later(found[name]))
        if any(isinstance(facts, Silent) for facts in found.values()):
            found |= self._listening([facts for facts in found.values() if isinstance(facts, HostFacts)])
        return {name: found[name] for name in self.remotes}

    def _listening(self, reached: list[HostFacts]) -> dict[str, HostFacts]:
        """The reached hosts with what each of them hears of the members elsewhere: SSH may be all that is broken."""
        urls = foreign_urls(reached)
        asked = {facts.name: facts for facts in reached}

        def heard(name: str) -> HostFacts:
            answer = self.remotes[name].run(neighbours.command(urls), seconds=30)
            return replace(asked[name], heard=neighbours.parse(answer.stdout))

        return _each(asked, heard)

    def one(self, name: str) -> HostFacts:
        """The facts of one host, without its data. Raises RemoteError where it cannot be asked or read."""
        wanted = commands(self.backup_directory, is_master=name in self.masters)
        return _parsed(name, self.remotes[name].batch(wanted, together=SMALL))

    def again(self, facts: HostFacts, *nouns: Noun) -> HostFacts:
        """The facts of a host with these read again (none given: all that can change); raises RemoteError."""
        wanted = commands(self.backup_directory, again=True, is_master=facts.name in self.masters)
        asked = nouns or [noun for noun in wanted if noun not in LASTING]
        chosen = {noun: (wanted | PARTS)[noun] for noun in asked}
        return _parsed(facts.name, self.remotes[facts.name].batch(chosen, together=SMALL), facts)

    def one_or_silent(self, name: str, known: HostFacts | Silent | None = None) -> HostFacts | Silent:
        """The facts of one host, or why it is silent. Raises RemoteError where it answers and cannot be understood."""
        return _or_silent(name, lambda: self.again(known) if isinstance(known, HostFacts) else self.one(name))

    def _later(self, facts: HostFacts | Silent) -> HostFacts | Silent:
        """What a member that answered answers now; what it said before where it does not."""
        if not isinstance(facts, HostFacts) or not facts.api.answers:
            return facts
        try:
            later = self.again(facts, "api")
        except RemoteError:
            return facts
        return later if later.api.answers else facts

    def _with_data(self, facts: HostFacts | Silent) -> HostFacts | Silent:
        if isinstance(facts, Silent):
            return facts
        return replace(facts, data=replace(self.data(facts), leader_lost=self.leader_lost(facts)))

    def leader_lost(self, facts: HostFacts) -> float | None:
        """When a member lost its leader, in seconds since 1970; None where that cannot be known."""
        try:
            return contact.parse(self.remotes[facts.name].run(contact.COMMAND, seconds=15).stdout)
        except RemoteError:
            return None

    def data(self, facts: HostFacts) -> DataDir:
        """What a member's data directory holds. What cannot be read is told in `error`, not raised."""
        if facts.machine.data_hidden:
            return unreadable(facts.machine.data_hidden)
        try:
            found = self._data_once(facts)
            # A live file can be read in the middle of a write: what looks damaged is read once more.
            return self._data_once(facts) if found.error else found
        except RemoteError as error:
            return unreadable(str(error), unread=True)

    def _data_once(self, facts: HostFacts) -> DataDir:
        remote = self.remotes[facts.name]
        db: Db | DataError
        try:
            db = self._database(remote, facts)
        except DataError as error:
            db = error
        return read_data(remote, facts, db)

    def _database(self, remote: Remote, facts: HostFacts) -> Db:
        path = f"{facts.conf.data_dir}/member/snap/db"
        flags = "iflag=skip_bytes,count_bytes bs=64K status=none"
        reader = read_db()
        wanted = next(reader)
        while True:
            lines = [f"dd if={path} skip={at} count={size} {flags} | base64 -w0; echo" for at, size in wanted]
            answer = remote.run("set -e -o pipefail\n" + "\n".join(lines), seconds=60, clients_data=True)
            if answer.exit != 0:
                raise DataError(f"{path} cannot be read: {answer.stderr.strip()}")
            blocks = [base64.b64decode(line) for line in answer.stdout.split("\n")[: len(wanted)]]
            try:
                wanted = reader.send(blocks)
            except StopIteration as end:
                db: Db = end.value
                return db


@dataclass(frozen=True)
class BesideSurveyor:
    """Reads the hosts beside the cluster; `masters` names those that are OpenShift masters."""

    remotes: Mapping[str, Remote]
    masters: frozenset[str] = frozenset()

    def all(self) -> dict[str, BesideFacts | Silent]:
        """Every one of them."""
        return _each(self.remotes, lambda name: _or_silent(name, lambda: self.one(name)))

    def one(self, name: str) -> BesideFacts:
        """The facts of one host. Raises RemoteError where it cannot be asked or read.

        One that does not answer whole in time is as good as silent: it counts for nothing, and holds nothing up.
        """
        outputs = self.remotes[name].batch(beside.commands(is_master=name in self.masters), together=SMALL)
        if late := [noun for noun, output in outputs.items() if output.exit in _CUT or output.truncated]:
            found, advice = f"no whole answer in time ({', '.join(late)})", "is the host overloaded? Look at it"
            raise RemoteError(name, expected="readable facts", found=found, advice=advice)
        _require_master(name, outputs)
        return BesideFacts(
            name=name,
            machine=_read(name, "machine", outputs, beside.parse),
            lock=_read(name, "lock", outputs, hostlock.parse),
            master=_read(name, "master", outputs, master.parse) if "master" in outputs else None,
            flannel=_read(name, "flannel", outputs, flannel.parse),
        )

    def again(self, facts: BesideFacts, *nouns: Noun) -> BesideFacts:
        """The facts of a host with these read again (`master`, `flannel`); raises RemoteError."""
        name = facts.name
        wanted = beside.commands(is_master=name in self.masters)
        outputs = self.remotes[name].batch({noun: wanted[noun] for noun in nouns}, together=SMALL)
        _require_master(name, outputs)
        if "master" in outputs:
            facts = replace(facts, master=_read(name, "master", outputs, master.parse))
        if "flannel" in outputs:
            facts = replace(facts, flannel=_read(name, "flannel", outputs, flannel.parse))
        return facts


def _each(names: Iterable[str], read: Callable[[str], Found]) -> dict[str, Found]:
    chosen = list(names)
    with ThreadPoolExecutor(max_workers=max(1, len(chosen))) as pool:
        return dict(zip(chosen, pool.map(read, chosen), strict=True))


def _or_silent(name: str, read: Callable[[], Found]) -> Found | Silent:
    """What is read of a host, or why it is silent. Raises RemoteError where it answers and cannot be understood."""
    try:
        return read()
    except Unexpected:
        raise
    except RemoteError as error:
        return silent_for(name, error)


def silent_for(name: str, error: RemoteError) -> Silent:
    """What is known of a host that could not be asked, for this reason."""
    alive = isinstance(error, NotAdmitted) or not isinstance(error, Unreachable)
    return Silent(name, error.found, error.advice, alive, jump=error.jump)


def foreign_urls(reached: Sequence[HostFacts]) -> list[str]:
    """Where these hosts know members to be that are none of them."""
    return sorted(set().union(*map(_known_urls, reached)) - set().union(*map(_own_urls, reached)))


def _known_urls(facts: HostFacts) -> set[str]:
    """Where a host knows members to be: from its configuration, its member list and its data."""
    listed = facts.api.members.members if facts.api.members else ()
    found = {url for _, url in facts.conf.initial_cluster}
    found |= {url for m in listed for url in (*m.peer_urls, *m.client_urls)}
    return found | {url for m in (facts.data.members if facts.data else ()) for url in (*m.peer_urls, *m.client_urls)}


def _own_urls(facts: HostFacts) -> set[str]:
    return {*facts.conf.peer_urls, *facts.conf.client_urls}


def _parsed(name: str, outputs: Mapping[Noun, Output], known: HostFacts | None = None) -> HostFacts:
    """Facts from the outputs of a batch; what the batch left out is taken from what is known."""

    def read(noun: Noun, parse: Callable[[str], Found], before: Callable[[HostFacts], Found]) -> Found:
        if known is not None and noun not in outputs:
            return before(known)
        return _read(name, noun, outputs, parse)

    if "conf" in outputs and outputs["conf"].exit != 0:
        found = outputs["conf"].stderr.strip()
        advice = "is this a host of etcd? It was to be one of the cluster, with its configuration there"
        if "Permission denied" in found:
            advice = "log in as root, or set `sudo: true` under ssh in the inventory"
        raise Unexpected(name, expected=f"etcd's configuration in {etcd_conf.PATH}", found=found, advice=advice)
    _require_master(name, outputs)
    versions = known.machine if known else None
    api = read("api", lambda said: members.parse_api(said, outputs["api"].stderr), lambda facts: facts.api)
    if "members" in outputs:
        api = replace(api, members=read("members", members.parse_list, lambda facts: facts.api.members))
    found_machine = read("machine", lambda said: machine.parse(said, versions), lambda facts: facts.machine)
    if "versions" in outputs:
        found_machine = _read(name, "versions", outputs, lambda said: machine.parse_versions(said, found_machine))
    found_unit = read("unit", unit.parse, lambda facts: facts.unit)
    here, forced_by = read("mark", mark.parse_both, lambda facts: (facts.mark, facts.forced_by))
    return HostFacts(
        name=name,
        machine=found_machine,
        conf=read("conf", etcd_conf.parse_sourced if found_unit.pod else etcd_conf.parse, lambda facts: facts.conf),
        unit=found_unit,
        processes=read("process", process.parse, lambda facts: facts.processes),
        api=api,
        certificates=read("certificates", certificates.parse, lambda facts: facts.certificates),
        mark=here,
        forced_by=forced_by,
        lock=read("lock", hostlock.parse, lambda facts: facts.lock),
        ca=read("ca", ca.parse, lambda facts: facts.ca),
        issuing=read("issuing", issuing.parse, lambda facts: facts.issuing),
        master=_master(known) if "master" not in outputs else read("master", master.parse, _master),
        flannel=read("flannel", flannel.parse, lambda facts: facts.flannel),
        v2=read("v2", v2.parse, lambda facts: facts.v2),
    )


def _read(name: str, noun: Noun, outputs: Mapping[Noun, Output], parse: Callable[[str], Found]) -> Found:
    output = outputs[noun]
    try:
        if noun in SMALL and (output.exit in _CUT or output.truncated):
            # Nothing would look like a fact: no process, no mark, no lock.
            raise ValueError("no whole answer in time")
        return parse(output.stdout)
    except ValueError as error:
        said = f"{error}" + (f"; {output.stderr.strip()}" if output.stderr.strip() else "")
        raise Unexpected(name, expected=f"readable facts: {noun}", found=said, advice="mend it on the host") from None


def _require_master(name: str, outputs: Mapping[Noun, Output]) -> None:
    if "master" in outputs and outputs["master"].exit != 0:
        advice = "is this a master? If it is none, remove it from `masters` in the inventory"
        found = outputs["master"].stderr.strip()
        if outputs["master"].exit in _CUT:
            found, advice = (
                f"no whole answer in time; {found}",
                "is the host overloaded? Then run the same command again",
            )
        if "Permission denied" in found:
            advice = "log in as root, or set `sudo: true` under ssh in the inventory"
        raise Unexpected(name, expected="the configuration of an OpenShift master", found=found, advice=advice)


def _master(known: HostFacts | None) -> master.Master | None:
    return known.master if known else None

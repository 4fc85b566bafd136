"""What keeps a host from being changed safely, or from joining. Pure; each problem says what to do."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from pathlib import PurePosixPath

from requorum.causes import cannot_start, masked, taken_ports
from requorum.facts import etcd_conf
from requorum.facts.certificates import distrust
from requorum.facts.host import HostFacts
from requorum.facts.machine import release_of
from requorum.facts.members import Member
from requorum.facts.process import Process
from requorum.runtimes import unworkable

CLOCK_SECONDS = 5.0
"""How far a joiner's clock may be from the survivor's. Raft does not need clocks; certificates and leases do."""

SCRATCH_ROOM = 128 << 20
"""What an etcd makes room for beside its data, in bytes: a new segment of its log, and the next one."""

NOT_ROOT = "the commands do not run as root: log in as root, or set `sudo: true` under ssh"

_NAMED = 3
"""How many of the things are named that are not etcd's."""
_OF_DATA = re.compile(r"(member|snap|wal|proxy|etcd|backup|openshift-backup|lost\+found).*|.*\.(db|bak|old|tar|gz|tgz)")
_OF_LOG = re.compile(r".*\.(wal|tmp|broken|bak|old)|(openshift-backup|lost\+found).*")
"""Names in an emptied directory that etcd, Requorum, or somebody who put etcd's files aside would give."""

_TAKE_AWAY = (
    "At its next start it would throw every other member out; take it away, systemctl daemon-reload, restart etcd"
)


def unfit(facts: HostFacts, backup: PurePosixPath, *, survivor: str = "") -> list[str]:
    """Why nothing may be changed on this host; empty where it may. `backup` is the directory for backups.

    On the `survivor`, unless it answers and does not force, etcd is to be started again with the data that it has.
    """
    starts = facts.name == survivor and (facts.forced or not facts.api.answers)
    found = _of_the_system(facts)
    plainly = (one for one in (facts.conf.data_dir, facts.conf.wal_dir) if one and backup.is_relative_to(one))
    if not found and (inside := facts.machine.backup_inside or next(plainly, "")):
        found.append(f"the backup directory {backup} lies in {inside}, which it is to keep: choose another one")
    if facts.machine.uid != 0:
        found.append(NOT_ROOT)
    found += [] if facts.version_open else programs(facts)
    found += [*unworkable(facts), *_strays(facts, starts=starts)]
    found += cannot_start(facts) if starts else [] if facts.unit.is_running else taken_ports(facts)
    yaml = _yaml_files(facts)
    if yaml:
        found.append(f"etcd is started from a YAML file ({yaml}): it would ignore the force, and this is refused")
    by_hand = forced_by_hand(facts)
    if by_hand:
        found.append(f"somebody has forced a new cluster here already: {', '.join(by_hand)}. {_TAKE_AWAY}")
    if "-wal-dir" in facts.unit.exec_start or any(_other_log(facts, process) for process in facts.processes):
        found.append(
            f"etcd writes its log elsewhere than {etcd_conf.PATH} says: set it there (ETCD_WAL_DIR), and no flag"
        )
    for key in ("ETCD_NAME", "ETCD_DATA_DIR", "ETCD_INITIAL_ADVERTISE_PEER_URLS", "ETCD_ADVERTISE_CLIENT_URLS"):
        if not facts.conf.get(key):
            found.append(f"{etcd_conf.PATH} does not set {key}")
    if facts.machine.uid == 0 and facts.machine.unwritable:
        places = ", ".join(facts.machine.unwritable)
        found.append(f"nothing can be written to {places}: mount it read-write, or make it a directory that root owns")
    if facts.machine.data_hidden:
        found.append(facts.machine.data_hidden)
    return found + _no_room(facts)


def programs(facts: HostFacts) -> list[str]:
    """What is wrong with the etcd and the etcdctl here: not there, or too old; empty where nothing is.

    Of a pod or a container they are in its image: nobody is told to install any.
    """
    machine, service, found = facts.machine, facts.unit.runtime.kind == "service", list[str]()
    if not machine.etcdctl_version:
        cure = "install etcd-client" if service else "the host's own is taken before the image's: mend it, or remove it"
        found.append(f"etcdctl is not installed, or does not run: {cure}")
    if not machine.etcd_version:
        cure = "install etcd-server" if service else f"see that docker runs the image {facts.image}"
        found.append(f"etcd is not installed, or does not run: {cure}")
    elif release_of(machine.etcd_version) < (3, 3):
        only = "; it has the v2 API alone, whose member commands Requorum does not use" * (
            release_of(machine.etcd_version) < (3, 0)
        )
        found.append(f"etcd is {machine.etcd_version}; this version of Requorum knows 3.3 and later{only}")
    elif facts.enables_v2 and facts.v2.there and not facts.v2.speaks:
        cure = "install the one of this etcd" if service else "remove the host's own, and the image's is taken"
        found.append(f"etcd serves the v2 API, and the etcdctl here does not speak it: {cure}")
    return found


def unread_notes(facts: HostFacts) -> list[str]:
    """What a reader has to know where nobody can tell yet which etcd the image has; empty where it is known."""
    if not facts.version_open:
        return []
    found = f"; the host's own is {facts.machine.etcd_version}" if facts.machine.etcd_of_host else ""
    return [
        f"which etcd the image {facts.image} has is not known yet: on {facts.name} neither its binary nor its log told (a "
        f"minute after a pod's end the node service removes both){found}. That is no fault: a recovery takes etcd out of the "
        "image in step 20, before anything is stopped, and goes on only with a version that will do"
    ]


def of_host(read: HostFacts) -> str:
    """That the version is not the image's, in words; empty where it is."""
    if not read.machine.etcd_of_host:
        return ""
    return (
        f"that is the host's own etcd {read.machine.etcd_version}: the one of the image {read.image} could not be had, or does "
        f"not run here. If its version is another one, see that docker runs the image, and run the same command again"
    )


def unlike_surveyed(read: HostFacts, survivor: HostFacts, *, joins: bool) -> list[str]:
    """Why a recovery must not go on with the etcd that was `read` where the survey could not; empty where it may.

    Of the survivor, what was to be done was chosen without it (a backup of v2 data, learners): that is chosen anew.
    """
    found = programs(read)
    if not found and read.name == survivor.name and read.machine.etcd_version != survivor.machine.etcd_version:
        found.append(
            f"etcd is {read.machine.etcd_version}, which the survey could not know, and the survey chose what is to be done. "
            "No etcd has been stopped: run the same command again, and it is chosen anew"
        )
    found += _other_release(read, survivor) if joins and not found else []
    return found + [of_host(read)] * bool(found and of_host(read))


def _strays(facts: HostFacts, *, starts: bool) -> list[str]:
    """The etcds that the unit of a service did not start, and does not stop; empty where there is none.

    While the unit has a process of its own, another one may have been put elsewhere by a wrapper (su, runuser). One that
    shows no arguments begins or ends: as a rule it is the survey's own `etcd --version`.
    """
    runtime = facts.unit.runtime
    if runtime.kind != "service" or facts.unit.main_pid:
        return []
    again = f", see that `systemctl start --no-block {runtime.short}` brings it back" * starts
    return [
        f"expected etcd below {runtime.unit}, found its process {process.pid} below {process.unit or process.group}, "
        f"which stopping the unit does not end: end it by hand{again}, and run the same command again"
        for process in facts.processes
        if process.told and not process.belongs_to(runtime.unit)
    ]


def _of_the_system(facts: HostFacts) -> list[str]:
    """Why a data directory cannot be etcd's own, whatever lies in it: folders that the host needs are it, or in it.

    All that it holds is backed up, and moved aside where the host joins: with ``/var/lib`` that is the end of the host.
    Whatever else lies beside etcd's data in a directory of etcd's own is no reason: it is moved aside with it, and kept.
    """
    directories = (
        ("data directory", "ETCD_DATA_DIR", facts.conf.data_dir, facts.machine.data_needed),
        ("directory of the log", "ETCD_WAL_DIR", facts.conf.own_wal_dir, facts.machine.wal_needed),
    )
    return [
        f"the {what} {path} is to be etcd's own, and is, or holds, {_some(needed)}, which must stay where it is: "
        f"correct {key} in {etcd_conf.PATH}; if etcd's data lies there, move it into a directory of its own"
        for what, key, path, needed in directories
        if needed
    ]


def _of_others(facts: HostFacts) -> list[str]:
    """Why an emptied data directory is perhaps not etcd's, though no folder of the system: what it holds looks otherwise.

    Asked of a joiner, where all of it would be moved aside. What a user of etcd's own owns is etcd's; where etcd is root,
    as in a container, that says nothing.
    """
    machine, found = facts.machine, []
    owned = facts.unit.user not in ("", "root") and machine.data_foreign != facts.conf.data_dir
    others = [name for name in machine.data_entries if not _OF_DATA.fullmatch(name)]
    if others and not owned and "member" not in machine.data_entries and not machine.data_needed:
        found.append(_not_etcds(f"the data directory {facts.conf.data_dir}", "ETCD_DATA_DIR", others))
    others = [name for name in machine.wal_entries if not _OF_LOG.fullmatch(name)]
    if others and not machine.data_has_wal and not machine.wal_needed:
        found.append(_not_etcds(f"the directory of the log {facts.conf.wal_dir}", "ETCD_WAL_DIR", others))
    return found


def _not_etcds(where: str, key: str, others: Sequence[str]) -> str:
    return (
        f"{where} holds no data of etcd, and things that are not etcd's: {_some(others)}: is it etcd's own? Correct {key} "
        f"in {etcd_conf.PATH}, or move them away"
    )


def _some(found: Sequence[str]) -> str:
    names = list(dict.fromkeys(found))
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _other_log(facts: HostFacts, process: Process) -> bool:
    flagged = any(word.lstrip("-").startswith("wal-dir") for word in process.argv if word.startswith("-"))
    return flagged or (process.told and process.environ.get("ETCD_WAL_DIR", "") != facts.conf.get("ETCD_WAL_DIR"))


def _no_room(facts: HostFacts) -> list[str]:
    """What keeps a backup from being made here, and, where there is a tail to keep, a scratch etcd from being tried."""
    found = []
    need = 2 * facts.machine.data_used
    if facts.machine.data_free < need:
        found.append(
            f"the data directory has {facts.machine.data_free} bytes free; a backup wants twice the data, {need}"
        )
    wants = f"a backup wants twice the data, {need}"
    if facts.has_data and facts.enables_v2:
        need += facts.machine.data_used + SCRATCH_ROOM
        wants = f"a backup, one of the v2 data, and a scratch etcd that reads them, want {need}"
        found += _no_tools(facts, "the v2 data is read from its backup")
    elif facts.data is not None and facts.data.has_tail:
        need += SCRATCH_ROOM
        wants = f"a copy of the data, and a scratch etcd that is tried on another, want {need}"
        found += _no_tools(facts, "the tail of the log is proven")
    if facts.machine.backup_free < need:
        found.append(f"the backup directory has {facts.machine.backup_free} bytes free; {wants}")
    return found


def _no_tools(facts: HostFacts, what: str) -> list[str]:
    """Which commands are missing that keep a scratch etcd from everybody's reach; empty where none is."""
    tools = ", ".join(facts.machine.missing)
    return [f"not installed: {tools}; {what} in a scratch etcd that reaches nobody"] if tools else []


def forced_by_hand(facts: HostFacts) -> list[str]:
    """Where somebody else than Requorum forces a new cluster, in files and in living processes; empty where nobody did.

    Requorum forces by a variable of its own file, and only on a host that bears its mark.
    """
    return _forces(facts, (p for p in facts.processes if p.forced_by_flag or not facts.mark))


def forces(facts: HostFacts) -> list[str]:
    """Where a new cluster is forced, by whomever: on the start path, and in living processes; empty where it is not."""
    ours = ["by Requorum's own force on the start path"] * facts.unit.forced
    return [*ours, *_forces(facts, facts.processes)]


def _forces(facts: HostFacts, processes: Iterable[Process]) -> list[str]:
    """Where it is forced by what is not Requorum's on the start path, and in these of the living processes."""
    return [f"in {where}" for where in facts.unit.forces] + [
        f"{'--force-new-cluster' if one.forced_by_flag else 'ETCD_FORCE_NEW_CLUSTER'} in the living process {one.pid}"
        for one in processes
        if one.forced
    ]


def _yaml_files(facts: HostFacts) -> str:
    found = [f"{p.config_file}, read by process {p.pid}" for p in facts.processes if p.config_file]
    return ", ".join([*found, *(f"set in {path}" for path in facts.unit.config_file)])


def cannot_join(
    joiner: HostFacts, survivor: HostFacts, certificate_problems: tuple[str, ...], *, made: Collection[str] = ()
) -> list[str]:
    """Why a host could not become a member beside this survivor; empty where it could.

    `made`: the kinds of certificates that are made for it before it joins.
    """
    found = list(certificate_problems)
    if "peer" not in made:
        found += distrust(joiner.certificates, joiner.name, survivor.certificates, survivor.name)
    found += masked(joiner)
    found += [] if joiner.version_open or survivor.version_open else _other_release(joiner, survivor)
    if joiner.conf.name == survivor.conf.name:
        found.append(f"ETCD_NAME is {joiner.conf.name}, as on {survivor.name}")
    if abs(joiner.machine.clock - survivor.machine.clock) > CLOCK_SECONDS:
        found.append(
            f"its clock is {joiner.machine.clock - survivor.machine.clock:+.0f} s from that of {survivor.name}"
        )
    if not joiner.machine.data_there:
        found.append(f"the data directory {joiner.conf.data_dir} is not there: make it, owned by etcd's user")
    return found + _of_others(joiner)


def _other_release(joiner: HostFacts, survivor: HostFacts) -> list[str]:
    """That a joiner's etcd is not of the survivor's release; nothing while one of them is not known (see `unread_notes`)."""
    here, there = joiner.machine.etcd_version, survivor.machine.etcd_version
    if joiner.version_unread or survivor.version_unread or release_of(here) == release_of(there):
        return []
    return [f"etcd {here} here, {there} on {survivor.name}"]


def is_added(joiner: HostFacts, survivor: HostFacts, removals: Collection[Member]) -> bool:
    """A joiner is in the survivor's member list already, and stays there: it has to join before any other.

    Beside a learner that is no voter yet, or (3.3) a voter that has not started, etcd adds nobody.
    """
    listed = survivor.api.members.members if survivor.api.members else survivor.data.members if survivor.data else ()
    stays = {url for m in listed if m.id not in {r.id for r in removals} for url in m.peer_urls}
    return bool(stays & set(joiner.conf.peer_urls))

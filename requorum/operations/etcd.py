"""Operations on one etcd and its configuration."""

from __future__ import annotations

from collections.abc import Iterable

from requorum.changes import (
    Append,
    Change,
    DisableEtcd,
    KeepTail,
    MoveAside,
    MoveBack,
    ProveOnCopy,
    PutLogBack,
    WriteFile,
)
from requorum.facts import etcd_conf
from requorum.facts.data_dir import DataDir
from requorum.facts.etcd_conf import ConfError, EtcdConf
from requorum.facts.host import HostFacts, MissingFact
from requorum.facts.members import Member
from requorum.facts.prediction import Proof
from requorum.facts.wal_record import state_record
from requorum.operations.backup import BackupPlace
from requorum.operations.ways import way_of


def stop(facts: HostFacts) -> list[Change]:
    """Stop etcd, cleanly: it writes its commit index."""
    return way_of(facts).stop(facts)


def keep_tail(
    facts: HostFacts, data: DataDir, place: BackupPlace, *, whole: bool, proof: Proof | None = None
) -> list[Change]:
    """Raise the commit index on disk; a forced start cuts the log there, and it lags behind. Nothing where it is there.

    `whole` (`keep_tail: true`): to where the tail ends, for acknowledged writes may be in it; first on a copy, which is
    held against `proof` (None in a plan, where etcd still runs). Else only to what the database holds: those entries
    were committed, and without them whoever joins lacks them (seen).
    A fence comes before it, until the force: what this commits may be nothing that a peer has, and no reboot is to bring
    the two together. Source: docs/tail.md; etcd issue 14009, PR 20055. Raises MissingFact where the data cannot be read.
    """
    if data.error or data.log is None:
        raise MissingFact(facts.name, "a readable log and database", data.error)
    log, conf = data.log, facts.conf
    commit = data.end_of_tail if whole else data.settled
    if commit <= log.commit:
        return []
    record = state_record(log.term, log.vote, commit, log.end.crc)
    append = Append(log.end.segment, log.end.offset, log.end.size, proof.sha256 if proof else "", record)
    kept = KeepTail(facts.name, conf.wal_dir, append, f"{conf.data_dir}/{aside(place.recovery)}/wal")
    made = [*way_of(facts).fence(facts), kept]
    if not whole:
        return made
    prediction = proof.prediction if proof else None
    scratch, version = str(place.scratch), facts.machine.etcd_version
    return [ProveOnCopy(facts.name, conf.data_dir, conf.wal_dir, append, scratch, version, prediction), *made]


def force_new_cluster(facts: HostFacts) -> list[Change]:
    """38.1.3: start etcd so that it keeps its data and forgets the other members; `keep_tail` may have fenced it."""
    way = way_of(facts)
    unfence = way.unfence(facts) if facts.unit.fenced else []
    return [*way.force(facts), *unfence, *way.start(facts)]


def never_force(facts: HostFacts) -> list[Change]:
    """Take a force away that a run has left on this host's start path; nothing to do where there is none."""
    return clear_start_path(facts) if facts.unit.forced else []


def let_start(facts: HostFacts) -> list[Change]:
    """The next start of a member that answers neither forces nor fails at a fence; nothing to do where none is left."""
    return [*never_force(facts), *(way_of(facts).unfence(facts) if facts.unit.fenced else [])]


def take_force_away(facts: HostFacts) -> list[Change]:
    """38.1.3, what the chapter forgets: no start path forces any more, and etcd runs without it."""
    way = way_of(facts)
    restart = way.stop(facts) if facts.forced else []
    return [*clear_start_path(facts), *restart, *way.start(facts)]


def clear_start_path(facts: HostFacts) -> list[Change]:
    """The next start of etcd does not force."""
    return way_of(facts).unforce(facts)


def name_only_itself(facts: HostFacts) -> list[Change]:
    """38.1.2: ETCD_INITIAL_CLUSTER names this member alone."""
    return _named(facts, [_itself(facts)], None)


def name_members(facts: HostFacts, through: HostFacts) -> list[Change]:
    """38.1.2: ETCD_INITIAL_CLUSTER names the members that `through` lists. Raises MissingFact where it lists none."""
    return _named(facts, through.members, None)


def name_joiner(facts: HostFacts, through: HostFacts) -> list[Change]:
    """38.1.4: ETCD_INITIAL_CLUSTER names the members that `through` lists and this one, whose cluster exists already.

    Raises MissingFact where `through` lists no members.
    """
    return _named(facts, [*through.members, _itself(facts)], "existing")


def _itself(facts: HostFacts) -> Member:
    return Member(0, facts.conf.name, facts.conf.peer_urls, (), False)


def _named(facts: HostFacts, members: Iterable[Member], state: str | None) -> list[Change]:
    """The file's own order is kept; a member that has not started yet has no name, and is this one."""
    wanted = {url: name for m in members for url, name in ((url, m.name or facts.conf.name) for url in m.peer_urls)}
    order = [url for _, url in facts.conf.initial_cluster if url in wanted]
    order += [url for url in wanted if url not in order]
    values = {"ETCD_INITIAL_CLUSTER": ",".join(f"{wanted[url]}={url}" for url in order)}
    if state is not None:
        values["ETCD_INITIAL_CLUSTER_STATE"] = state
    if all(facts.conf.get(key) == value for key, value in values.items()):
        return []
    return [WriteFile(facts.name, etcd_conf.PATH, facts.conf.edited(values), before=facts.conf.text)]


def left_by_us(now: EtcdConf, found: EtcdConf) -> bool:
    """The file is what `found` was with nothing but what the operations above write, whichever came last and named whom."""
    keys = ("ETCD_INITIAL_CLUSTER", "ETCD_INITIAL_CLUSTER_STATE")
    for edited in (keys[:1], keys):
        try:
            if found.edited({key: now.get(key) for key in edited}) == now.text:
                return True
        except ConfError:  # a value that would need quotes is none of ours
            continue
    return False


def start(facts: HostFacts) -> list[Change]:
    """Start etcd now and at boot."""
    way = way_of(facts)
    return [*way.start_at_boot(facts), *way.start(facts)]


def start_at_boot(facts: HostFacts) -> list[Change]:
    """A member that is disabled, and runs all the same, is enabled as a joiner is; of no other state is that said to help.

    `static`, `linked` and the like may have nothing that could be enabled, and something else that starts them.
    """
    unit = facts.unit
    return way_of(facts).start_at_boot(facts) if unit.file_state == "disabled" and unit.runtime.runs_at_boot else []


def boot_as_found(facts: HostFacts) -> list[Change]:
    """Undo `start_at_boot`."""
    return [DisableEtcd(facts.name, facts.unit.runtime.unit)] if facts.enabled_since else []


def start_as_found(facts: HostFacts) -> list[Change]:
    """Start etcd if it ran when the recovery came, on data of a member."""
    found = facts.mark.found if facts.mark else None
    return way_of(facts).run(facts) if found and found.starts else []


def put_log_back(facts: HostFacts) -> list[Change]:
    """Undo `keep_tail`, where the original segment was kept beside the log."""
    where = kept_aside(facts)
    return [PutLogBack(facts.name, facts.conf.wal_dir, where)] if where else []


def put_log_back_to_meet(facts: HostFacts) -> list[Change]:
    """`put_log_back` for a member that is to start beside its old peers, where etcd has not run on the committed log."""
    return put_log_back(facts) if facts.machine.kept_log else []


def kept_aside(facts: HostFacts) -> str:
    """Where the segments lie that a recovery replaced; empty where it can have replaced none."""
    if facts.mark is None or aside(facts.mark.recovery) not in facts.machine.data_entries:
        return ""
    if not facts.has_data or facts.moved_aside:  # what lies there now is not the log that they are of
        return ""
    return f"{facts.conf.data_dir}/{aside(facts.mark.recovery)}/wal"


def move_data_back(facts: HostFacts) -> list[Change]:
    """Undo `move_data_aside`, where it was done: fenced, for a removed learner's etcd may run on what lies there now."""
    if facts.mark is None or not facts.moved_aside:
        return []
    recovery = facts.mark.recovery
    kept = [to for _, to in _moved(facts, f"{recovery}-after")]
    back = [
        MoveBack(facts.name, place, to, after) for (place, to), after in zip(_moved(facts, recovery), kept, strict=True)
    ]
    return [*([] if facts.fenced else way_of(facts).fence(facts)), *back]


def move_data_aside(facts: HostFacts, recovery: str) -> list[Change]:
    """38.1.4, without its ``rm -Rf``: the old data goes into a folder beside it, which etcd does not look at.

    A log with a directory of its own goes there too: etcd removes that directory, with all in it, when it makes a log.
    """
    return [
        MoveAside(facts.name, place, to, needed=place == facts.conf.data_dir) for place, to in _moved(facts, recovery)
    ]


def _moved(facts: HostFacts, recovery: str) -> list[tuple[str, str]]:
    """The directories whose contents are moved aside, and where to."""
    to, own = f"{facts.conf.data_dir}/{aside(recovery)}", facts.conf.own_wal_dir
    return [(facts.conf.data_dir, to), *([(own, f"{to}/log")] if own else [])]


def aside(recovery: str) -> str:
    """The folder in a data directory for what a recovery takes out of it."""
    return f"openshift-backup-requorum-{recovery}"

"""Operations that keep what there is: on the host, and away from it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from requorum.changes import BackUpV2, Change, CopyTree, FetchTree, RestoreFile, SaveSnapshot, SaveSnapshotByOc
from requorum.facts import etcd_conf, master_api
from requorum.facts.etcd_conf import EtcdConf
from requorum.facts.host import HostFacts

CONFIGURATION = PurePosixPath("/etc/etcd")


@dataclass(frozen=True)
class BackupPlace:
    """Where the backups of one recovery go: a directory on each host, and a folder here (None: not fetched)."""

    directory: PurePosixPath
    recovery: str
    fetched: Path | None

    @property
    def configuration(self) -> PurePosixPath:
        """The copy of /etc/etcd (38.1.1.1 says /backup/etcd-config-<YYYYMMDD>)."""
        return self.directory / f"etcd-config-{self.recovery}"

    def data(self, facts: HostFacts) -> PurePosixPath:
        """The copy of a member's data directory, as this survey found it: what was written since is no part of an older one."""
        return self.directory / f"etcd-data-{_state(facts)}{self.recovery}"

    def log(self, facts: HostFacts) -> PurePosixPath:
        """The copy of a write-ahead log that has a directory of its own."""
        return self.directory / f"etcd-wal-{_state(facts)}{self.recovery}"

    def database(self, facts: HostFacts) -> PurePosixPath:
        """The database in the copy of the data directory."""
        return self.data(facts) / "member/snap/db"

    def v2(self, facts: HostFacts) -> PurePosixPath:
        """The backup of the v2 store, with its keys as read from it; of a member that goes on, one in a recovery."""
        return self.directory / f"etcd-v2-{_end_of_log(facts)}{self.recovery}"

    @property
    def scratch(self) -> PurePosixPath:
        """Where a scratch etcd runs on a copy of the data, and is removed; the room for it is looked at here."""
        return self.directory / f"etcd-scratch-{self.recovery}"

    def fetched_copy(self, host: str, what: str) -> Path | None:
        """The archive here; None where copies are not fetched."""
        return self.fetched / f"{host}-{what}.tar.gz" if self.fetched else None

    @property
    def before_way_back(self) -> BackupPlace:
        """For the survivor's data when it is forced once more; it stays on the host."""
        return BackupPlace(self.directory, f"{self.recovery}-way-back", None)

    def snapshot(self, when: str, facts: HostFacts) -> PurePosixPath:
        """The folder of a snapshot that etcd saved in a run which found the member so; `when` tells one from another."""
        return self.directory / f"etcd-snapshot-{when}-{_state(facts)}{self.recovery}"


def _end_of_log(facts: HostFacts) -> str:
    """Term and index of a log's last entry, for a name; empty where the log was not read.

    While quorum is lost they stay: whoever carries the recovery on finds the copy that was made. Had the member a leader
    since, its log ends elsewhere, and an old copy is no backup of what a force begins with.
    """
    last = facts.data.last if facts.data is not None else None
    return f"{last[0]}.{last[1]}-" if last is not None else ""


def _state(facts: HostFacts) -> str:
    """The same; of a member that answers, and whose log is not read, as it says them itself."""
    status = facts.api.status
    return _end_of_log(facts) or (f"{status.raft_term}.{status.raft_index}-" if status is not None else "")


def _fetched(facts: HostFacts, copy: PurePosixPath, what: str, place: BackupPlace) -> list[Change]:
    """38.1.1: external storage, here the machine that runs the runbook."""
    archive = place.fetched_copy(facts.name, what)
    return [FetchTree(facts.name, str(copy), str(archive))] if archive else []


def keep_configuration(facts: HostFacts, place: BackupPlace) -> list[Change]:
    """38.1.1.1: /etc/etcd of a member, certificates and all, with owner and mode."""
    copy = CopyTree(facts.name, str(CONFIGURATION), str(place.configuration))
    return [copy, *_fetched(facts, place.configuration, "config", place)]


def restore_configuration(facts: HostFacts, place: BackupPlace, kept: EtcdConf) -> list[Change]:
    """Undo what was edited: etcd.conf as the backup has it; `kept` is that one, as it was read a moment ago."""
    if kept.sha256 == facts.conf.sha256:
        return []
    copy = place.configuration / PurePosixPath(etcd_conf.PATH).name
    return [RestoreFile(facts.name, etcd_conf.PATH, str(copy), kept.sha256, facts.conf.sha256)]


def keep_data(facts: HostFacts, place: BackupPlace) -> list[Change]:
    """38.1.1.2: database and write-ahead log of a member; nothing to do where it has none."""
    if not facts.has_data:
        return []
    copies = [("data", facts.conf.data_dir, place.data(facts))]
    if facts.conf.own_wal_dir:
        copies.append(("wal", facts.conf.own_wal_dir, place.log(facts)))
    changes: list[Change] = []
    for what, source, copy in copies:
        changes += [CopyTree(facts.name, source, str(copy)), *_fetched(facts, copy, what, place)]
    return changes


def save_snapshot(facts: HostFacts, place: BackupPlace, when: str) -> list[Change]:
    """38.1.1.2: a snapshot by etcd itself; of a static pod on a master, through the API, into what the pod can write to."""
    folder = place.snapshot(when, facts)
    saved = SaveSnapshot(facts.name, str(folder))
    if facts.by_oc:
        saved = SaveSnapshotByOc(facts.name, str(folder), master_api.server_of(facts), facts.conf.data_dir)
    return [saved, *_fetched(facts, folder, f"snapshot-{when}", place)]


def keep_v2(facts: HostFacts, place: BackupPlace, *, running: bool) -> list[Change]:
    """`etcdctl backup` of the v2 API, and every key of each copy; nothing where etcd is not to serve that API here.

    `running`: a quorum answers, and the member goes on; else the copy is read that `keep_data` made.
    """
    if not facts.enables_v2 or not facts.has_data:
        return []
    own = facts.conf.own_wal_dir
    copied = str(place.data(facts)), str(place.log(facts)) if own else ""
    source, wal = (facts.conf.data_dir, own) if running else copied
    kept = BackUpV2(
        facts.name,
        source,
        wal,
        facts.conf.data_dir,
        str(place.v2(facts)),
        str(place.scratch),
        facts.machine.etcd_version,
        running=running,
        serves=facts.v2.served,
        by_etcdctl=facts.v2.backs_up,
    )
    return [kept, *_fetched(facts, place.v2(facts), "v2", place)]

"""A host as the recovery found it, by the mark and the backup that lie on it; reads only."""

from __future__ import annotations

from pathlib import PurePosixPath

from requorum import operations
from requorum.clients import Client
from requorum.facts import etcd_conf, flannel, flanneld_conf, master_config
from requorum.facts.beside import AnyFacts, BesideFacts
from requorum.facts.etcd_conf import EtcdConf
from requorum.facts.host import HostFacts, MissingFact, Noun
from requorum.facts.manifest import KEPT
from requorum.facts.mark import Found
from requorum.facts.master import FOUND
from requorum.live import EtcdMember
from requorum.masters import Masters
from requorum.operations.backup import BackupPlace
from requorum.remote import RemoteError
from requorum.run import Run


class FormerHost:
    """What `--abort` goes back to on one host."""

    def __init__(self, run: Run, name: str) -> None:
        self._masters = Masters(run)
        self._member, self._facts = EtcdMember(run, name), EtcdMember(run, name).surveyed
        recovery = self._facts.mark.recovery if self._facts.mark else ""
        self.place = BackupPlace(run.inventory.backup.directory, recovery, None)

    @property
    def found(self) -> Found:
        """What the mark says. Raises MissingFact where it says nothing."""
        if self._facts.mark is None or self._facts.mark.found is None:
            raise MissingFact(self._facts.name, "a mark that says what the recovery found", "")
        return self._facts.mark.found

    @property
    def conf(self) -> EtcdConf:
        """Its etcd.conf: the present one where nobody edited it, else the backup's. Raises RemoteError."""
        if self._facts.conf.sha256 == self.found.conf:
            return self._facts.conf
        return self._member.conf_in(self.place.configuration)

    def problems(self) -> list[str]:
        """Why something would have to be guessed, or cannot be put back; empty where all can."""
        return [
            *self._log_problems(),
            *self._conf_problems(),
            *_edited_since(self._facts, self._masters),
            *self._manifest_problems(),
        ]

    def _manifest_problems(self) -> list[str]:
        pod, at = self._facts.unit.pod, self._facts.unit.runtime.manifest
        if pod is None or pod.kept is None or operations.probe.with_probe(self._facts) is not None:
            return []
        return [f"{at} is not what the recovery made of it: somebody else has edited it (as found: {KEPT})"]

    def _log_problems(self) -> list[str]:
        kept = operations.etcd.kept_aside(self._facts)
        written = self._member.log_written_since(kept) if kept else []
        return [
            f"etcd has written to its log since step 41 ({name}): what that step committed cannot be taken back"
            for name in written
        ]

    def _conf_problems(self) -> list[str]:
        if self._facts.conf.sha256 == self.found.conf:
            return []
        copy = self.place.configuration / PurePosixPath(etcd_conf.PATH).name
        differs = f"{etcd_conf.PATH} is not what the recovery found, and"
        try:
            damaged = self._member.damaged_in(self.place.configuration)
            kept = self.conf
        except RemoteError as error:
            return [f"{differs} its backup {copy} cannot be read: {error.found}"]
        if damaged or kept.sha256 != self.found.conf:
            return [f"{differs} its backup {copy} is not what was found either: {', '.join(damaged) or 'it differs'}"]
        if operations.etcd.left_by_us(self._facts.conf, kept):
            return []
        return [f"{differs} not what the recovery made of it either: somebody else has edited it (backup: {copy})"]

    def differences(self) -> list[str]:
        """What on the host is not as it was found; empty where all is."""
        nouns = _nouns_of_clients(self._facts)
        now, was = self._member.now("conf", "unit", "process", "machine", "issuing", *nouns), self.found
        pairs = [
            (etcd_conf.PATH, was.conf, now.conf.sha256),
            ("etcd at boot", self._at_boot(now), now.unit.file_state),
            ("a fence", self._fence_is_to_be(now), now.unit.fenced),
            ("a force on the start path", False, now.unit.forced),
            ("data of a member", was.data, now.has_data),
            ("data that was moved aside", False, now.moved_aside),
        ]
        pairs.append(("a manifest without its liveness probe", False, now.unit.probe_is_out))
        if was.starts:
            pairs.append(("a process of etcd", True, bool(now.processes)))
        pairs.append(("a log that a recovery has committed", False, self._log_is_committed(now)))
        pairs.append(("certificates that were made for it", False, now.issuing.there))
        differ = [f"{what}: found {before}, now {after}" for what, before, after in pairs if before != after]
        return [*differ, *_clients_differ(self._facts, now)]

    def _at_boot(self, now: HostFacts) -> str:
        """As it was found; but the pod of a host whose data was gone, once fenced, is left where nobody runs it."""
        as_found = self.found.starts or now.unit.pod is None or now.unit.runtime.runs_at_boot
        return self.found.enabled if as_found else "disabled"

    def _fence_is_to_be(self, now: HostFacts) -> bool:
        """As it was found; one that was lifted stays so beside a member that lives (see `lower_fence`)."""
        return self.found.fenced and (now.unit.fenced or now.fence_lifted)

    def _log_is_committed(self, now: HostFacts) -> bool:
        """Where its original was kept; a record that was appended before says what the database holds anyway."""
        recovery = self._facts.mark.recovery if self._facts.mark else ""
        return bool(now.machine.kept_log) or recovery in now.machine.ran_logs


class FormerClients:
    """What `--abort` goes back to beside the cluster."""

    def __init__(self, run: Run) -> None:
        self._run, self._masters = run, Masters(run)

    def problems(self) -> list[str]:
        """What cannot be put back there, since somebody else has edited it; empty where all can."""
        reached = (facts for facts in self._run.beside.values() if isinstance(facts, BesideFacts))
        return [f"{facts.name}: {problem}" for facts in reached for problem in _edited_since(facts, self._masters)]

    def differences(self, client: Client) -> list[str]:
        """What on a host beside the cluster is not as it was found, or noted down and still there; empty where nothing is."""
        nouns = _nouns_of_clients(client.surveyed)
        return _clients_differ(client.surveyed, client.now(*nouns)) if nouns else []


def _nouns_of_clients(facts: AnyFacts) -> list[Noun]:
    """What there is here to read of."""
    nouns: list[Noun] = ["master"] if facts.master else []
    return [*nouns, "flannel"] if facts.flannel else nouns


def _clients_differ(was: AnyFacts, now: AnyFacts) -> list[str]:
    """What names members to a master or to Flannel, and is not as a recovery found it, or is still noted down; `was`: before
    anything was put back.
    """
    lines = []
    if now.master is not None:
        found = was.master.found if was.master else None
        lines += ["how master-config.yaml was found, noted down"] if now.master.found else []
        lines += (
            [f"{master_config.PATH} is not as it was found"] if found and found.text != now.master.config.text else []
        )
        lines += [f"a restart of the {one}" for one in now.master.owes]
    if now.flannel is not None:
        was_flannel = was.flannel.found if was.flannel else None
        changed = was_flannel is not None and was_flannel.text != now.flannel.config.text
        lines += ["how Flannel's configuration was found, noted down"] if now.flannel.found else []
        lines += [f"{flanneld_conf.PATH} is not as it was found"] if changed else []
        lines += ["a restart of flanneld"] if now.flannel.owes else []
    return lines


def _edited_since(facts: AnyFacts, masters: Masters) -> list[str]:
    found = []
    if operations.masters.somebody_edited(facts, masters.urls, masters.places):
        found.append((master_config.PATH, FOUND))
    if operations.flannel.somebody_edited(facts, masters.urls, masters.places):
        found.append((flanneld_conf.PATH, flannel.FOUND))
    return [f"{path} is not what the recovery made of it: somebody else has edited it (as found: {kept})"
            for path, kept in found]  # fmt: skip

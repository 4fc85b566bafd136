"""This machine as the host of a member that does not run: Requorum's own code keeps the tail of its log."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from builders import conf, facts
from tail_cluster import Etcd

from requorum.changes import ChangeFailed, KeepTail, ProveOnCopy
from requorum.facts.bolt import Db, read_image
from requorum.facts.data_dir import DataDir
from requorum.facts.data_error import DataError
from requorum.facts.host import HostFacts
from requorum.facts.prediction import Prediction
from requorum.fetched import prove, read_data
from requorum.operations.backup import BackupPlace
from requorum.operations.etcd import keep_tail
from requorum.ranking import candidates
from requorum.remote import RemoteError

PREDICTED, NOTHING, REFUSED, UNLIKE = "as predicted", "nothing to keep", "refused", "UNLIKE"


@dataclass(frozen=True)
class Said:
    exit: int
    stdout: str
    stderr: str


class LocalHost:
    """As much of a Remote as keeping a tail needs; its scripts see no other process of this machine.

    `around` is put before the command of each script.
    """

    name = "etcd-0.example.com"

    def __init__(self, etcd: Etcd, around: tuple[str, ...] = ()) -> None:
        self._path, self._around = etcd.path, around

    def run(self, script: str, *, seconds: float, change: bool = False, clients_data: bool = False) -> Said:
        alone = ("unshare", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child")
        no_unit = "systemctl() { :; }\n"  # of this machine's own etcd, if it has one
        words = [*self._around, *alone, "bash", "-c", no_unit + script]
        environment = {"PATH": self._path, "LC_ALL": "C"}
        done = subprocess.run(words, capture_output=True, text=True, timeout=seconds, check=False, env=environment)
        return Said(done.returncode, done.stdout, done.stderr)

    def fetch(self, script: str, to: Path, *, seconds: float) -> str:
        with to.open("wb") as stream:
            words = ["bash", "-c", script]
            done = subprocess.run(words, stdout=stream, stderr=subprocess.PIPE, timeout=seconds, check=False)
        if done.returncode:
            raise RemoteError(self.name, expected="exit code 0", found=done.stderr.decode().strip(), advice="none")
        return ""


@dataclass(frozen=True)
class Outcome:
    """What became of one image: `kept` entries above the commit index, or why Requorum refuses it."""

    kept: int
    prediction: Prediction | None
    refused: str = ""
    unlike: str = ""

    @property
    def word(self) -> str:
        if self.unlike:
            return UNLIKE
        return REFUSED if self.refused else PREDICTED if self.prediction else NOTHING

    @property
    def words(self) -> str:
        return f"{self.word}: {self.unlike or self.refused or f'{self.kept} kept, {self.prediction}'}"


def facts_of(data: Path) -> HostFacts:
    return facts(0, conf=conf(0, ETCD_DATA_DIR=str(data)))


def read(host: LocalHost, one: HostFacts) -> DataDir:
    db: Db | DataError
    try:
        db = read_image((Path(one.conf.data_dir) / "member/snap/db").read_bytes())
    except DataError as error:
        db = error
    return read_data(host, one, db)  # type: ignore[arg-type]


def kept(etcd: Etcd, data: Path, around: tuple[str, ...] = ()) -> Outcome:
    """Keep the tail of an image as the runbook's step 41 does: read, predict, prove on a copy, append."""
    host, one = LocalHost(etcd, around), facts_of(data)
    one = replace(one, machine=replace(one.machine, etcd_version=etcd.version))
    found = read(host, one)
    if found.error:
        return Outcome(0, None, refused=found.error)
    [candidate] = candidates([replace(one, data=found)], keep_tail=True)
    if candidate.refusal:
        return Outcome(0, None, refused=candidate.refusal)
    if not found.has_tail:
        return Outcome(0, None)
    commit = found.end_of_tail
    place = BackupPlace(PurePosixPath(f"{data}.backup"), "r1", None)
    try:
        proof = prove(host, one, found, commit)  # type: ignore[arg-type]
        for change in keep_tail(one, found, place, whole=True, proof=proof):
            if isinstance(change, ProveOnCopy | KeepTail):  # no unit runs this etcd, so there is none to fence
                change.do(host)
    except RemoteError as error:
        return Outcome(0, None, refused=error.found)
    except DataError as error:
        return Outcome(0, None, refused=str(error))
    except ChangeFailed as error:
        return Outcome(0, None, unlike=str(error))
    return Outcome(commit - (found.commit or 0), proof.prediction)

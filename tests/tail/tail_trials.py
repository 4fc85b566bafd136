"""Logs of real etcd, seeded, and what a power loss can leave of them, held against etcd: `--help` says how.

python tests/tail/tail_trials.py --images 500 --etcd /usr/bin --etcd FOLDER … --out docs/tail-results.md
"""

from __future__ import annotations

import argparse
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

if __name__ == "__main__":
    for folder in (".", "tests/unit", "tests/tail"):
        sys.path.insert(0, str(Path(__file__).resolve().parents[2] / folder))

from builders import conf, facts
from tail_cluster import BUSY, Cluster, Etcd, Member, b64, until
from tail_images import KINDS, image
from tail_load import Load

from requorum.changes import ChangeFailed
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
LOADS = ("plain", "mixed", "members", "received snapshot", "several segments")


@dataclass(frozen=True)
class Said:
    exit: int
    stdout: str
    stderr: str


class LocalHost:
    """This machine as the host of a member: its scripts see no other process of this machine."""

    name = "etcd-0.example.com"

    def __init__(self, etcd: Etcd) -> None:
        self._path = etcd.path

    def run(self, script: str, *, seconds: float, change: bool = False) -> Said:
        words = ["unshare", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child", "bash", "-c", script]
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
        return f"{self.word}: {self.unlike or self.refused or f'{self.kept} kept, {self.prediction}'}"[:300]


def facts_of(data: Path) -> HostFacts:
    return facts(0, conf=conf(0, ETCD_DATA_DIR=str(data)))


def read(host: LocalHost, one: HostFacts) -> DataDir:
    db: Db | DataError
    try:
        db = read_image((Path(one.conf.data_dir) / "member/snap/db").read_bytes())
    except DataError as error:
        db = error
    return read_data(host, one, db)  # type: ignore[arg-type]  # as much of a Remote as it needs


def kept(etcd: Etcd, data: Path) -> Outcome:
    """Keep the tail of an image as step 41 does: read, predict, prove on a copy, append."""
    host, one = LocalHost(etcd), facts_of(data)
    found = read(host, one)
    if found.error:
        return Outcome(0, None, refused=found.error)
    [candidate] = candidates(
        [HostFacts(**{f: getattr(one, f) for f in one.__slots__} | {"data": found})], keep_tail=True
    )
    if candidate.refusal:
        return Outcome(0, None, refused=candidate.refusal)
    commit = found.end_of_tail
    place = BackupPlace(PurePosixPath(f"{data}.backup"), "r1", None)
    if commit <= (found.commit or 0):
        return Outcome(0, None)
    try:
        proof = prove(host, one, found, commit)  # type: ignore[arg-type]
        for change in keep_tail(one, found, place, whole=True, proof=proof):
            change.do(host)
    except RemoteError as error:
        return Outcome(0, None, refused=error.found)
    except (DataError, ChangeFailed) as error:
        return Outcome(0, None, unlike=str(error))
    return Outcome(commit - (found.commit or 0), proof.prediction)


@dataclass(frozen=True)
class Made:
    """The data of a killed member, and an earlier copy of its database."""

    load: str
    data: Path
    earlier: Path


def logs(etcd: Etcd, load: str, seed: int, folder: Path) -> list[Made]:
    """Run a cluster under load and kill it: the data of its members."""
    chance = random.Random(f"{seed}-{load}-{etcd.version}")
    count = 1 if load == "several segments" else 3
    extra = ["--snapshot-count", str(chance.choice((40, 200, 10_000)))]
    if load == "received snapshot":
        extra = ["--snapshot-count", "100"]
        if etcd.version.startswith("3.5"):
            extra += ["--experimental-snapshot-catchup-entries", "10"]
    made = []
    with Cluster.of(etcd, folder / "cluster", count, *extra) as cluster:
        with Load(cluster, seed, 6, plain=load == "plain") as writing:
            writing.run(chance.uniform(0.2, 0.8))
            if load == "several segments":
                _many_bytes(cluster.members[0], chance)
            elif load == "members":
                _change_members(cluster, chance)
            elif load == "received snapshot":
                _fall_behind(cluster, writing, entries=300 if etcd.version.startswith("3.5") else 5300)
            earlier = []
            for member in cluster.members:
                earlier.append(folder / f"{member.name}.db")
                _hot_copy(member, earlier[-1])
            writing.run(chance.uniform(0.1, 0.6))
            cluster.kill()
        for member, database in zip(cluster.members, earlier, strict=True):
            kept_data = folder / member.name
            shutil.copytree(member.data, kept_data)
            made.append(Made(load, kept_data, database))
    return made


def _hot_copy(member: Member, to: Path) -> None:
    """The database as it is on the disk while etcd runs: whole once it reads as one."""
    path = member.data / "member/snap/db"

    def whole() -> bool:
        before = path.read_bytes()
        to.write_bytes(before)
        try:
            read_image(before)
        except DataError:
            return False
        return path.read_bytes() == before

    until("a whole copy of a database", whole)


def _many_bytes(member: Member, chance: random.Random) -> None:
    client = member.client(30)
    for number in range(chance.randrange(66, 70)):
        client.call("kv/put", key=b64(b"/large/%d" % (number % 4)), value=b64(chance.randbytes(1_000_000)))


def _change_members(cluster: Cluster, chance: random.Random) -> None:
    """Members are added that never start, updated and removed, while others write."""
    client = cluster.members[0].client()
    for number in range(chance.randrange(2, 6)):
        url = f"http://127.0.0.1:{1000 + number}"
        learner = {"isLearner": True} if cluster.etcd.has_learners else {}
        try:
            if learner:
                added = client.call("cluster/member/add", peerURLs=[url], **learner)["member"]["ID"]
                client.call("cluster/member/remove", ID=added)
            own = client.call("cluster/member/list")["members"]
            one = chance.choice([m for m in own if m.get("name")])
            client.call("cluster/member/update", ID=one["ID"], peerURLs=[*one["peerURLs"][:1], url])
        except BUSY:
            continue


def _fall_behind(cluster: Cluster, writing: Load, *, entries: int) -> None:
    """One member is away until the log that it needs is gone, and is sent a snapshot."""
    away = cluster.members[-1]
    away.kill()
    before = writing.calls
    until(f"{entries} writes", lambda: writing.calls > before + entries, 240)
    away.start(cluster.members, *cluster.extra)
    until("the member that was away", away.serves, 60)


@dataclass(frozen=True)
class Trial:
    """One image and what became of it; `seconds` is for reading, proving and writing."""

    version: str
    load: str
    image: str
    outcome: Outcome
    seconds: float


def trials(etcds: list[Etcd], seed: int, images: int, loads: tuple[str, ...], folder: Path) -> Iterator[Trial]:
    """Make logs, make images of them, keep the tail of each."""
    chance = random.Random(seed)
    done = 0
    for round_ in range(10**6):
        for etcd in etcds:
            load = loads[round_ % len(loads)]
            place = folder / f"{round_}-{etcd.version}"
            for made in logs(etcd, load, seed + round_, place):
                for kind in KINDS:
                    for earlier in (None, made.earlier):
                        if done == images:
                            return
                        if earlier is not None and chance.random() < 0.5:
                            continue
                        at = place / "image"
                        began = time.monotonic()
                        image(made.data, at, kind, chance, earlier)
                        name = kind + (", database of an earlier time" if earlier else "")
                        yield Trial(etcd.version, load, name, kept(etcd, at), time.monotonic() - began)
                        shutil.rmtree(at)
                        done += 1
            shutil.rmtree(place)


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--etcd", type=Path, action="append", help="a folder with etcd and etcdctl; may be given again")
    parser.add_argument("--load", action="append", choices=LOADS)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args(words)
    etcds = [Etcd(folder) for folder in arguments.etcd or [Path("/usr/bin")]]
    print(f"seed {arguments.seed}, etcd {', '.join(etcd.version for etcd in etcds)}", flush=True)
    table: Counter[tuple[str, str, str]] = Counter()
    with tempfile.TemporaryDirectory() as tmp:
        loads = tuple(arguments.load or LOADS)
        for one in trials(etcds, arguments.seed, arguments.images, loads, Path(tmp)):
            table[one.version, one.image, one.outcome.word] += 1
            print(
                f"{one.seconds:5.2f} s  {one.version}  {one.load:17}  {one.image:45}  {one.outcome.words}", flush=True
            )
    for key, count in sorted(table.items()):
        print(f"{count:5}  {'  '.join(key)}")
    if arguments.out:
        arguments.out.write_text(report(arguments.seed, etcds, table), encoding="utf-8")
    return 1 if any(became == UNLIKE for _, _, became in table) else 0


def report(seed: int, etcds: list[Etcd], table: Counter[tuple[str, str, str]]) -> str:
    columns = (PREDICTED, NOTHING, REFUSED, UNLIKE)
    lines = [f"| etcd | image | {' | '.join(columns)} |", "|---|---|" + "---|" * len(columns)]
    for version, kind in sorted({(version, kind) for version, kind, _ in table}):
        lines.append(
            f"| {version} | {kind} | " + " | ".join(str(table[version, kind, c] or "") for c in columns) + " |"
        )
    total = sum(table.values())
    return f"Seed {seed}, {total} images, etcd {', '.join(e.version for e in etcds)}.\n\n" + "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Images of real logs, damaged as a power loss does it, held against etcd; and losses under load, with and without us."""

from __future__ import annotations

import json
import random
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from tail_cluster import Cluster, Etcd, Member, b64, until
from tail_host import REFUSED, Outcome, kept
from tail_images import KINDS, image
from tail_load import Load
from tail_logs import logs
from tail_oracle import keys_in_log

from requorum.facts.keyspace import Key
from requorum.facts.prediction import read_answer

POWER_LOSS = ("as killed", "cut after the last synced entry")
"""What is left of a log whose records were all synced when etcd says so."""
QUICK = ("--force-new-cluster", "--heartbeat-interval", "20", "--election-timeout", "200")


class Ended(Exception):
    """etcd does not start on this data."""


@dataclass(frozen=True)
class Trial:
    """One image and what became of it; `seconds` is for reading, proving and writing. `etcd_starts`: only of a refusal."""

    version: str
    load: str
    image: str
    outcome: Outcome
    seconds: float
    etcd_starts: bool = False

    @property
    def words(self) -> str:
        return f"{self.seconds:5.2f} s  {self.version}  {self.load:17}  {self.image:45}  {self.outcome.words}"


def trials(
    etcds: list[Etcd], seed: str, loads: tuple[str, ...], count: int, folder: Path, *, a_log: int
) -> Iterator[Trial]:
    """Keep the tail of `count` images, at most `a_log` of one cluster's logs, all versions and loads in turn.

    Of logs of several segments, which take longest to read, fewer.
    """
    done = 0
    for round_ in range(10**6):
        for etcd in etcds:
            load = loads[round_ % len(loads)]
            place = folder / f"{round_}-{etcd.version}"
            chance = random.Random(f"{seed}-{round_}-{etcd.version}")
            made = logs(etcd, load, f"{seed}-{round_}", place)
            drawn = [(one, kind, earlier) for one in made for kind in KINDS for earlier in (False, True)]
            most = a_log // 3 if load == "several segments" else a_log
            for one, kind, earlier in chance.sample(drawn, min(most, len(drawn), count - done)):
                at = place / "image"
                image(one.data, at, kind, chance, one.earlier if earlier else None)
                began = time.monotonic()
                outcome = kept(etcd, at)
                seconds = time.monotonic() - began
                name = kind + (", database of an earlier time" if earlier else "")
                starts = outcome.word == REFUSED and _starts(etcd, at)
                yield Trial(etcd.version, load, name, outcome, seconds, starts)
                shutil.rmtree(at)
                done += 1
            shutil.rmtree(place)
            if done == count:
                return


@dataclass(frozen=True)
class Loss:
    """One abrupt loss under load: of the acknowledged writes in the survivor's log, how many a forced start lost.

    `elsewhere` were acknowledged and are not in the survivor's log: only lost members held them.
    """

    version: str
    image: str
    acknowledged: int
    elsewhere: int
    tail: int
    stock: int
    ours: int
    wrong: str

    @property
    def words(self) -> str:
        return (
            f"{self.version}  {self.image:32}  {self.acknowledged} acknowledged, {self.elsewhere} held by lost members "
            f"only, {self.tail} entries kept; lost: stock {self.stock}, Requorum {self.ours}  {self.wrong}"
        )


def lose(etcd: Etcd, seed: str, folder: Path, *, join: bool) -> Loss:
    """Eight clients write to three members, all lose power, one comes back: forced as it is, and with its tail kept.

    What its log holds is read by the oracle, and not by Requorum.
    """
    chance = random.Random(seed)
    with Cluster.of(etcd, folder / "cluster", 3) as cluster:
        with Load(cluster, seed, 8, plain=True) as writing:
            writing.run(chance.uniform(0.3, 1.2))
            cluster.kill()
        survivor, kind = chance.choice(cluster.members), chance.choice(POWER_LOSS)
        stock = image(survivor.data, folder / "stock", kind, chance)
        ours = Path(shutil.copytree(stock, folder / "ours"))
        promised = writing.acknowledged & keys_in_log(ours / "member/wal")
        outcome = kept(etcd, ours)
        wrong = outcome.refused or outcome.unlike
        with forced(etcd, stock, survivor) as member:
            lost_by_stock = len(promised - _names(held(member)[1]))
        with forced(etcd, ours, survivor) as member:
            revision, keys = held(member)
            if outcome.prediction:
                wrong = wrong or "; ".join(outcome.prediction.unlike(revision, keys))
            if any(keys[key.encode()].version != 1 for key in promised & _names(keys)):
                wrong = wrong or "an entry was applied twice"
            if join and not wrong:
                wrong = _joiner_unlike(member, folder)
        elsewhere = len(writing.acknowledged) - len(promised)
    found = Loss(
        etcd.version, kind, len(writing.acknowledged), elsewhere, outcome.kept, lost_by_stock,
        len(promised - _names(keys)), wrong,
    )  # fmt: skip
    shutil.rmtree(folder)
    return found


@contextmanager
def forced(etcd: Etcd, data: Path, like: Member | None = None) -> Iterator[Member]:
    """etcd, forced on this data, once it answers; under the name and URLs of the member that it was, if that is told.

    Raises Ended where it does not start.
    """
    member = Member(etcd, data.parent, data.name)
    if like is not None:
        member = replace(like, folder=data.parent, directory=data.name, process=None)
    member.start([member], *QUICK)
    try:
        until("a forced etcd", lambda: _ended(member) or member.serves())
        if _ended(member):
            raise Ended
        yield member
    finally:
        member.kill()


def held(member: Member) -> tuple[int, dict[bytes, Key]]:
    """Its revision, and every key."""
    every = {"key": b64(b"\0"), "range_end": b64(b"\0"), "keys_only": True}
    return read_answer(json.dumps(member.client(30).call("kv/range", **every)))


def _ended(member: Member) -> bool:
    return member.process is not None and member.process.poll() is not None


def _starts(etcd: Etcd, data: Path) -> bool:
    """Whether etcd, forced, starts on what Requorum refuses. It changes the data."""
    try:
        with forced(etcd, data):
            return True
    except Ended:
        return False


def _names(keys: Iterable[bytes]) -> set[str]:
    return {key.decode(errors="replace") for key in keys}


def _joiner_unlike(member: Member, folder: Path) -> str:
    """In what a new member, taken in beside a forced one, differs from it; empty where it does not."""
    joiner = Member(member.etcd, folder, "joiner")
    member.client(30).call("cluster/member/add", peerURLs=[joiner.peer])
    joiner.start([member, joiner], state="existing")
    try:
        until("the joiner", joiner.serves)
        revision = held(joiner)[0]
        mine, other = member.hash_at(revision), joiner.hash_at(revision)
    finally:
        joiner.kill()
    return "" if mine == other else f"a joiner has hash {other} at revision {revision}, {mine} was expected"

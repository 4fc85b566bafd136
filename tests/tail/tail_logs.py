"""Logs of real etcd: clusters under seeded load, killed; of each member its data, and an earlier copy of its database."""

from __future__ import annotations

import random
import shutil
from dataclasses import dataclass
from pathlib import Path

from tail_cluster import BUSY, Cluster, Etcd, Member, b64, until
from tail_load import Load

from requorum.facts.bolt import read_image
from requorum.facts.data_error import DataError

LOADS = ("plain", "mixed", "members", "several segments", "received snapshot")


@dataclass(frozen=True)
class Made:
    """The data of a killed member, and an earlier copy of its database."""

    load: str
    data: Path
    earlier: Path


def logs(etcd: Etcd, load: str, seed: str, folder: Path) -> list[Made]:
    """Run a cluster under load and kill it: the data of its members."""
    chance = random.Random(f"{seed}-{load}-{etcd.version}")
    count = 1 if load == "several segments" else 3
    extra = ["--snapshot-count", str(chance.choice((40, 200, 10_000)))]
    if load == "received snapshot":
        extra = ["--snapshot-count", "100"]
        if etcd.keeps_few_entries:
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
                _fall_behind(cluster, writing, entries=300 if etcd.keeps_few_entries else 5300)
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
        try:
            if cluster.etcd.has_learners:
                added = client.call("cluster/member/add", peerURLs=[url], isLearner=True)["member"]["ID"]
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
    until(f"{entries} writes", lambda: writing.calls > before + entries, 300)
    away.start(cluster.members, *cluster.extra)
    until("the member that was away", away.serves, 60)

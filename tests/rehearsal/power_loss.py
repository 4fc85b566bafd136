"""Abrupt losses as a power cut leaves them, and what the remaining members' own logs hold afterwards: the oracle."""

from __future__ import annotations

import random
import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

for folder in ("tail", "unit", "unit/facts"):
    sys.path.append(str(Path(__file__).parents[1] / folder))

from client_load import Load  # noqa: E402
from runbook_runs import Done  # noqa: E402
from tail_cluster import Etcd  # noqa: E402
from tail_host import LocalHost, facts_of, read  # noqa: E402
from tail_images import KINDS, Newest  # noqa: E402
from tail_oracle import begins_with_first_entry, keys_in_log  # noqa: E402

from lab import Lab, wait  # noqa: E402
from lab.parallel import in_parallel  # noqa: E402
from lab.spec import Host  # noqa: E402
from requorum.facts.bolt import keys_at, read_image  # noqa: E402
from requorum.facts.prediction import Prediction  # noqa: E402
from requorum.facts.requests import Put, read_request  # noqa: E402
from requorum.facts.wal import read_entries  # noqa: E402
from requorum.fetched import prove  # noqa: E402

HERE = Etcd(Path("/usr/bin"))
KEYS = rb"/load/\d+/\d+"
"""What the clients of a load write once each; leased keys apart, which end by themselves."""


@dataclass(frozen=True)
class Pattern:
    """Which hosts are lost, what becomes of them, and whether the others lose power too, and come back.

    `lagging`: the others were frozen for a while before, so that the lost ones acknowledged writes without them.
    """

    lost: tuple[str, ...]
    how: str
    all_lose_power: bool
    lagging: bool

    @classmethod
    def drawn(cls, lab: Lab, chance: random.Random) -> Pattern:
        """By chance: one more than the cluster can lose, or more."""
        short = [host.short for host in lab.hosts]
        count = chance.randrange(len(short) // 2 + 1, len(short))
        lost = tuple(sorted(chance.sample(short, count)))
        return cls(lost, chance.choice(("dead", "destroyed")), chance.random() < 0.6, chance.random() < 0.25)

    @property
    def words(self) -> str:
        too = "; the others lose power at the same moment, and come back" if self.all_lose_power else ""
        return f"{', '.join(self.lost)} {self.how}{too}" + ("; the others were frozen before" if self.lagging else "")


def lose(lab: Lab, pattern: Pattern, load: Load) -> list[Host]:
    """Make it so. What was not synced is lost on every host that comes back. Returns the hosts that remain."""
    remaining = [host for host in lab.hosts if host.short not in pattern.lost]
    if pattern.lagging:
        in_parallel(lambda host: lab.run(host, "kill -STOP $(pidof etcd)"), remaining)
        load.wait_for(40)
    lab.power_off(*pattern.lost, *(remaining if pattern.all_lose_power else ()))
    if pattern.all_lose_power:
        for host in remaining:  # a host that is killed keeps its page cache
            KINDS["cut after the last synced entry"](Newest(lab.data_directory(host)), random.Random(0))
        lab.boot(*remaining)
        lab.wait_peers_listen(remaining)
    elif pattern.lagging:
        in_parallel(lambda host: lab.run(host, "kill -CONT $(pidof etcd)"), remaining)
    if pattern.how == "destroyed":
        for name in pattern.lost:
            lab.destroy_data(name)
        lab.boot(*pattern.lost)
    return remaining


def grow_tail(lab: Lab, host: str) -> None:
    """The host loses power, and with it what follows the last entry in its log: that is its tail when it comes back."""
    lab.power_off(host)
    KINDS["cut after the last synced entry"](Newest(lab.data_directory(host)), random.Random(0))
    lab.boot(host)
    lab.wait_peers_listen([host])


def assert_tail_kept(done: Done) -> None:
    """The survivor's log had entries above its commit index, so that step 41 has tried them on a copy."""
    found = re.search(r"candidate \S+: last entry (\d+) of term \d+, commit index (\d+)", done.output)
    assert found, done.output
    assert int(found[1]) > int(found[2]), found[0]


@dataclass(frozen=True)
class Oracle:
    """What one member's own valid log and database hold: keys, and every key as predicted at a revision."""

    keys: set[str]
    prediction: Prediction
    tail: int


def oracle(lab: Lab, host: Host, folder: Path) -> Oracle:
    """From a copy of the member's data as it lies there; its etcd has no leader, so that nothing is added."""
    copy = folder / host.short
    found: list[Oracle] = []

    def readable() -> bool:
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(lab.data_directory(host) / "member", copy / "member", ignore=shutil.ignore_patterns("*.tmp"))
        one, where = facts_of(copy), LocalHost(HERE)
        data = read(where, one)
        if data.error:
            return False
        proof = prove(where, one, data, data.end_of_tail)  # type: ignore[arg-type]
        found.append(Oracle(_keys_in(copy), proof.prediction, data.end_of_tail - (data.commit or 0)))
        return True

    wait.until(readable, f"readable data of {host.name}", 30)
    return found[-1]


def _keys_in(data: Path) -> set[str]:
    """The keys that a member's valid log writes, or its database holds.

    A reader that ended too early would promise less: a log that begins with its first entry is read by another one, too.
    """
    database, wal = (data / "member/snap/db").read_bytes(), data / "member/wal"
    found = set(keys_at(database, read_image(database).revision))
    _, entries = read_entries([(path.name, path.read_bytes()) for path in wal.glob("*.wal")], 0)
    for entry in entries:
        request = None if entry.type else read_request(entry.data)
        if isinstance(request, Put):
            found.add(request.key)
    keys = {key.decode(errors="replace") for key in found}
    return keys | keys_in_log(wal, KEYS) if begins_with_first_entry(wal) else keys


def without_leader(lab: Lab, hosts: Sequence[Host]) -> None:
    """Until no member that remains believes in a leader."""
    wait.until(lambda: not any(lab.healthy(host) for host in hosts), "no leader", 30)

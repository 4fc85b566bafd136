"""One member on two hosts: somebody has copied its data, or restored an old copy elsewhere. Pure.

Counted twice it would make a quorum of one member; the one that lags behind would be taken for the member.
"""

from __future__ import annotations

from collections.abc import Sequence

from requorum.facts.host import HostFacts
from requorum.lineage import own_id


def twins(hosts: Sequence[HostFacts]) -> tuple[list[str], list[str]]:
    """Which of these hosts have one and the same member, and what to do about it; empty where none do.

    Also beside a quorum: a copy that is started writes its own name and URL into the member list. What an emptied host
    founded by itself is no copy: nothing was ever written to it.
    """
    held: dict[int, list[HostFacts]] = {}
    for facts in hosts:
        number = own_id(facts)
        if number is not None and not (facts.data is not None and facts.data.unwritten):
            held.setdefault(number, []).append(facts)
    proof, advice = [], []
    for number, copies in held.items():
        if len(copies) < 2:
            continue
        names = " and ".join(facts.name for facts in copies)
        proof.append(
            f"{names} hold data of one member ({number:x}): one of them is a copy of the other, or an old backup"
        )
        proof += [f"{facts.name}: {_end(facts)}" for facts in copies]
        places = ", ".join(f"{facts.conf.data_dir} of {facts.name}" for facts in copies)
        advice.append(
            f"find out which is the member's own, and where somebody put a copy; stop etcd on the host that has the copy, "
            f"move its data out of the data directory ({places}), and delete none of it; then run the same command again"
        )
    return proof, advice


def _end(facts: HostFacts) -> str:
    data = facts.data
    if data is None or data.last is None:
        return "it answers" if facts.api.status is not None else "where its log ends cannot be read"
    return f"its log ends in entry {data.last[1]} of term {data.last[0]}, its database at revision {data.revision}"

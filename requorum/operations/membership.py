"""Operations on the member list, asked of a running member."""

from __future__ import annotations

from collections.abc import Iterable

from requorum.changes import AddMember, Change, PromoteMember, RemoveMember, UpdatePeerUrls
from requorum.facts.host import HostFacts
from requorum.facts.members import Member


def has_learners(through: HostFacts) -> bool:
    """Whether members can be added as learners (3.4 and later): both etcd and etcdctl have to know them.

    etcd 3.3 takes a learner that it is asked for as a voter, and says nothing.
    """
    machine = through.machine
    return min(_version(machine.etcd_version), _version(machine.etcdctl_version)) >= (3, 4)


def add_learner(through: HostFacts, joiner: HostFacts) -> list[Change]:
    """38.1.4: add a host to the cluster as a learner; nothing to do where there are none."""
    return [_add(through, joiner, learner=True)] if has_learners(through) else []


def add_voter(through: HostFacts, joiner: HostFacts) -> list[Change]:
    """38.1.4: add a host to the cluster as a voter, where there are no learners. It has to start at once.

    A cluster of one takes no writes from then on until it runs.
    """
    return [] if has_learners(through) else [_add(through, joiner, learner=False)]


def _add(through: HostFacts, joiner: HostFacts, *, learner: bool) -> AddMember:
    return AddMember(through.name, joiner.conf.name, joiner.conf.peer_urls, learner)


def promote(through: HostFacts, joiner: HostFacts) -> list[Change]:
    """Make a learner that has caught up a voting member; nothing to do where there are no learners."""
    conf = joiner.conf
    if not has_learners(through):
        return []
    return [PromoteMember(through.name, conf.name, conf.peer_urls, conf.client_urls)]


def remove(through: HostFacts, members: Iterable[Member]) -> list[Change]:
    """38.1.2: remove members by ID, with a quorum."""
    return [RemoveMember(through.name, m.name, m.peer_urls, m.id) for m in members]


def take_out(through: HostFacts, before: HostFacts, joiner: HostFacts) -> list[Change]:
    """The way back from a join: remove what it has added, by ID.

    `before`: what the same member listed before this run. Who voted then has data that counts, and stays. Raises
    MissingFact without an answer.
    """
    voted = {m.id for m in before.api.members.voters if m.client_urls} if before.api.members else set()
    added = [m for m in through.members if set(m.peer_urls) & set(joiner.conf.peer_urls) and m.id not in voted]
    return remove(through, added)


def remove_all_but_itself(facts: HostFacts) -> list[Change]:
    """38.1.3: after a forced start, whoever is still listed beside this member. Raises MissingFact."""
    return remove(facts, [m for m in facts.members if m.id != facts.member_id])


def advertise(facts: HostFacts) -> list[Change]:
    """38.1.3: the listed peer URL becomes the advertised one; after a force it can read ``http://localhost:2380``.

    Raises MissingFact without an answer.
    """
    own = [m for m in facts.members if m.id == facts.member_id]
    return [
        UpdatePeerUrls(facts.name, facts.conf.name, facts.conf.peer_urls, m.id)
        for m in own
        if set(m.peer_urls) != set(facts.conf.peer_urls)
    ]


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".")[:2] if part.isdigit())

"""Whose data follows on whose: who has removed whom, and forced starts that came to nothing. Pure.

A forced start removes every other member, and writes so into its log and its database. What a host's own data says of
that holds wherever the hosts' etcd runs or not, and after every mark and journal is gone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from requorum.facts.bolt import DbMember
from requorum.facts.data_dir import DataDir
from requorum.facts.host import HostFacts
from requorum.facts.members import Member
from requorum.inventory import Inventory
from requorum.silence import Survey

ONE_OF_TWO = "none: every write that two of two voters acknowledged is in the log of each"


def outlived(reached: Sequence[HostFacts]) -> dict[str, str]:
    """The hosts of old peers, each with a host whose member has removed its member.

    Two that have removed each other, or one the other's fellow member, are left out: their data does not say which of them
    is the cluster.
    """
    found = [
        (old.name, heir.name)
        for heir in reached
        for old in reached
        if _removed(heir, old) and not _apart(old, heir) and _rightly(heir, old)
    ]
    removed = {old for old, _ in found}
    # Whoever was removed by an old peer alone may well be a member.
    return {old: heir for old, heir in found if heir not in removed}


def is_survivor(facts: HostFacts) -> bool:
    """A recovery has forced the member here, or is to: its own word, on this host. One beside a quorum forces nobody."""
    return any(sign is not None and sign.forces for sign in (facts.forced_by, facts.own_mark))


def _rightly(heir: HostFacts, old: HostFacts) -> bool:
    """A living cluster decides for itself who is in it; against another that lives, only a recovery's own word counts."""
    return is_survivor(heir) or (heir.api.answers and not old.api.answers)


def left_fenced(current: Sequence[HostFacts]) -> list[HostFacts]:
    """The hosts with a member's data that a recovery has fenced, and that bear no mark; none that `current` has removed.

    Step 11 fences the host of a removed member before step 20 signs it, and who is not to rejoin stays fenced after the
    end. So a cluster is, or was, there that such a member is no part of.
    """
    counting = [
        f for f in current if f.data is not None and f.data.has_wal and not f.data.error and not f.data.unwritten
    ]
    return [
        f
        for f in counting
        if f.unit.fenced and f.mark is None and not any(_removed(heir, f) for heir in current if heir is not f)
    ]


def half_forced(facts: HostFacts) -> bool:
    """A recovery's forced start was begun on this data and did not elect: it removed nobody, and took no write.

    Its log must not meet the others' again: under one index and term it may hold something else.
    """
    data = facts.data
    if data is None or data.log is None or facts.mark is None:
        return False
    pending = {c.node_id for c in data.log.conf_changes if c.kind == "remove" and c.index > data.settled}
    others = {m.id for m in data.members if not m.is_learner} - {data.node_id}
    # A forced start takes the others out of its database before it elects; the log decides.
    return bool(data.half_removed) if not others else others <= pending


@dataclass(frozen=True)
class WayBack:
    """A way back that was begun and did not end (docs/old-peers.md): on which host, and whom it drops."""

    survivor: str
    dropped: DbMember


def way_back_begun(reached: Sequence[HostFacts]) -> WayBack | None:
    """The mark of the survivor says so, and its data: beside its member only the one that is dropped votes there.

    A third voter is one only once two of two have it in their logs, so the survivor's holds it, committed or not. Then
    the others may be a quorum, and this is not the way back's business any more.
    """
    for facts in reached:
        data = facts.data
        if facts.mark is None or facts.mark.survivor != facts.name or data is None or data.error:
            continue
        voters = {m.id: m for m in (*data.members_to_be, *data.members) if not m.is_learner}
        dropped = [m for m in data.members if not m.is_learner and f"{m.id:x}" == facts.mark.way_back]
        if dropped and voters.keys() == {data.node_id, dropped[0].id}:
            return WayBack(facts.name, dropped[0])
    return None


def not_taken(way_back: str, survivor: HostFacts | None) -> bool:
    """A quorum answers, and the member that the way back was to drop votes in it: it was begun, and is not to be taken."""
    if survivor is None or not survivor.api.answers or survivor.api.members is None:
        return False
    return way_back in {m.hex_id for m in survivor.api.members.voters}


def forced_here(facts: HostFacts, survey: Survey) -> str:
    """The recovery that made a cluster of one of this host's member and owes it a start; empty where none does.

    Once that recovery has ended, only while old peers are about: otherwise it is a cluster like any other.
    """
    if facts.own_mark is not None and facts.own_mark.forces:
        return facts.own_mark.recovery
    old = outlived([f for f in survey.values() if isinstance(f, HostFacts)])
    return facts.forced_by.recovery if facts.forced_by is not None and facts.name in old.values() else ""


def led_since(before: DataDir | None, now: DataDir) -> str:
    """How a log has changed since it was read: without a leader nothing is appended to it, and nothing is cut off.

    Empty where it has not: it ends with the same entry. Emptied peers that found a cluster under the old IDs lead whoever
    hears them, with entries that no survey has seen (ADR 0018).
    """
    if before is None or before.last == now.last:
        return ""

    def end(data: DataDir) -> str:
        return "in no entry" if data.last is None else f"in entry {data.last[1]} of term {data.last[0]}"

    return f"its log ends {end(now)}, and the survey found it to end {end(before)}"


def holds_nothing(facts: HostFacts) -> bool:
    """An emptied host whose etcd has started by itself: under its old IDs, with nothing that was ever written."""
    return facts.data is not None and facts.data.unwritten and not facts.api.answers


def told_of_old_peer(facts: HostFacts, heir: str) -> str:
    """What a reader has to know of a host whose member was removed, after the host's name."""
    if holds_nothing(facts):
        held = "was emptied, and its etcd has started by itself: it holds nothing"
    elif facts.api.answers and facts.api.status is not None:
        held = f"answers with others of the old cluster (revision {facts.api.status.revision}), which has a quorum of its own"
    elif facts.data is not None and not facts.data.error:
        held = f"holds old data (revision {facts.data.revision})"
    else:
        held = "holds old data"
    return f"{held}: its member was removed, as {heir} says; it has to be fenced before anything else"


def own_id(facts: HostFacts) -> int | None:
    """The ID of the member here, from its API or its data."""
    if facts.api.status is not None:
        return facts.api.status.member_id
    return facts.data.node_id if facts.data is not None else None


def host_of(member: Member | DbMember, inventory: Inventory, survey: Survey) -> str:
    """The inventory's name for the host of a member; empty where the inventory does not have it.

    What a host says of itself comes first, its data or its etcd; the URLs in its etcd.conf may be wrong.
    """
    for facts in survey.values():
        if isinstance(facts, HostFacts) and member.id == own_id(facts):
            return facts.name
    for host in inventory.etcd.hosts:
        facts = survey[host.name]
        if isinstance(facts, HostFacts):
            if set(facts.conf.peer_urls) & set(member.peer_urls):
                return host.name
        elif member.name == host.name or {urlsplit(u).hostname for u in member.peer_urls} & {host.address, host.name}:
            return host.name
    return ""


def _removed(heir: HostFacts, old: HostFacts) -> bool:
    """The member of `old` is not in the cluster of `heir` any more."""
    id_ = own_id(old)
    if id_ is None or _cluster(heir) != _cluster(old):
        return False
    if heir.api.answers and heir.api.members is not None:
        return id_ not in {m.id for m in heir.api.members.members}
    return id_ in removals(heir)


def _apart(old: HostFacts, heir: HostFacts) -> bool:
    """`old` has removed the member of `heir`, or another one that it lists: who joined after a force, another one never knew."""
    listed = {m.id for m in heir.api.members.members} if heir.api.answers and heir.api.members is not None else set()
    listed |= {m.id for m in heir.data.members} if heir.data is not None else set()
    return _removed(old, heir) or bool(removals(old) & listed)


def removals(facts: HostFacts) -> frozenset[int]:
    """The IDs of the members that were removed for good, as this host's data says.

    An ID is given again only by a restore: a founder's is a hash of its URLs and the token. A host whose own data lists a
    member has not removed it, whatever is left in its database of an earlier life.
    """
    data = facts.data
    if data is None or data.log is None or half_forced(facts):
        return frozenset()
    end = settled(facts, data)
    removed = {c.node_id for c in data.log.conf_changes if c.kind == "remove" and c.index <= end}
    removed |= set(data.db.removed if data.db is not None else ())
    return frozenset(removed - {m.id for m in data.members})


def settled(facts: HostFacts, data: DataDir) -> int:
    """The last entry that the member's cluster has committed, as far as its data says.

    What a recovery has committed in a log, for a cluster of one (step 41), the cluster has not.
    """
    return (data.consistent_index or 0) if facts.machine.kept_log else data.settled


def _cluster(facts: HostFacts) -> int | None:
    if facts.api.members is not None:
        return facts.api.members.cluster_id
    return facts.data.cluster_id if facts.data is not None else None

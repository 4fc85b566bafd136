"""What a healthy-looking cluster may still have wrong. Pure; each problem says what to do, or stands beside its cure."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from requorum.facts import etcd_conf, flannel, issuing, manifest, mark, master, unit
from requorum.facts.beside import AnyFacts
from requorum.facts.host import HostFacts, Silent
from requorum.facts.members import Member
from requorum.fitness import cannot_join
from requorum.naming import Places, hosts_of, place_of

CERTIFICATE_DAYS = 30
"""How long a certificate should still be valid."""

_NOT_AT_BOOT = ("disabled", "masked", "masked-runtime")
"""How systemd calls (`UnitFileState`) what it does not start by itself."""


def out_of_reach(facts: AnyFacts | Silent, *, lost: bool) -> tuple[str, str]:
    """Why a host is not reached, and what to do; two empty words where it is. `lost`: the inventory gives it up."""
    if not isinstance(facts, Silent):
        return "", ""
    if not lost:
        return f"{facts.reason}; {facts.advice}", "bring it up, or mend its line in the inventory"
    return (
        f"it is declared lost in the inventory (`lost: true`), and silent: {facts.reason}"
        + (f"; it {facts.answers}, and could not be read: {facts.advice}" if facts.alive else ""),
        "the cluster does without it, and so with less redundancy: bring the host up, empty or as a new one under its name, "
        "and run `pytest runbook/` with this inventory, which takes it in; or, if it is to be no member any more, remove "
        "it from etcd.hosts",
    )


def still_declared_lost(facts: AnyFacts | Silent, members: Sequence[str], *, lost: bool) -> str:
    """What to write in the inventory of a member that is back; empty where nothing is to be written."""
    if not lost or facts.name not in members:
        return ""
    return (
        "it is a member, and still declared lost: remove `lost: true`, which would give it up when it is silent again"
    )


def left_behind(facts: HostFacts) -> list[str]:
    """What an earlier recovery, ours or one by hand, has left on a host: a fence, a force, a mark; empty where nothing."""
    found = []
    if facts.unit.fenced:
        found.append(f"the fence of a recovery: {facts.unit.runtime.fence}")
    if facts.forced:
        found.append("a living etcd that was started with a forced new cluster")
    if facts.unit.forced:
        path = etcd_conf.PATH if facts.unit.runtime.force_in_conf else unit.FORCE
        found.append(f"the force of a recovery on the start path: {path}")
    found += [f"a forced new cluster at the next start, by {path}" for path in facts.unit.forces]
    if facts.mark:
        found.append(f"the mark of recovery {facts.mark.recovery} by {facts.mark.operator}: {mark.PATH}")
    if facts.issuing.there:
        found.append(f"keys and requests of certificates that a recovery made: {issuing.FOLDER}")
    found += owed_here(facts)
    if facts.unit.probe_is_out:
        found.append(f"a manifest whose liveness probe a recovery has taken out; as it was: {manifest.KEPT}")
    return found


def owed_here(facts: AnyFacts) -> list[str]:
    """The restarts of a master and of flanneld that a recovery owes on a host; empty where none is."""
    found = []
    if facts.master is not None:
        found += [f"a restart of the master's {one} that is owed: {master.owed_path(one)}" for one in facts.master.owes]
    if facts.flannel is not None and facts.flannel.owes:
        found.append(f"a restart of flanneld that is owed: {flannel.OWED}")
    return found


def not_at_boot(facts: HostFacts) -> str:
    """Why etcd does not start when the host boots; empty where it does, or may: see `perhaps_at_boot`."""
    if facts.unit.file_state not in _NOT_AT_BOOT:
        return ""
    runtime = facts.unit.runtime
    if runtime.kind == "static-pod":
        where = (
            f"its manifest is {runtime.manifest}" if not runtime.runs_at_boot else "its manifest is where it should be"
        )
        return f"{where}, and {runtime.unit} is to be enabled: systemctl is-enabled {runtime.short}"
    return f"systemctl is-enabled {runtime.short} says {facts.unit.file_state}"


def perhaps_at_boot(facts: HostFacts) -> str:
    """That it is not known whether etcd starts when the host boots (`static`, `linked`, `enabled-runtime`), else empty.

    Something else may start it: another unit, a timer, a cluster manager.
    """
    state, short = facts.unit.file_state, facts.unit.runtime.short
    if state in ("enabled", *_NOT_AT_BOOT):
        return ""
    said = state or "nothing"
    return (
        f"it could not be proven that etcd starts when the host boots: systemctl is-enabled {short} says {said}; see that "
        "something does (another unit, a cluster manager)"
    )


def member_lists(reached: Sequence[HostFacts]) -> dict[str, str]:
    """The cluster's ID and its members as each member that answers lists them; one and the same text where they agree."""
    return {
        facts.name: f"cluster {listed.cluster_id:x}: {', '.join(sorted(f'{m.hex_id} {m.name}' for m in listed.members))}"
        for facts in reached
        if (listed := facts.api.members) is not None
    }


def no_members_in_conf(facts: HostFacts, listed: Collection[Member], known: Places) -> list[str]:
    """Whom ETCD_INITIAL_CLUSTER of a member names that is no member (any more); empty where it names members alone."""
    members, urls = hosts_of(listed, known), {url for member in listed for url in member.peer_urls}
    return [
        f"ETCD_INITIAL_CLUSTER in {etcd_conf.PATH} names {name} ({url}), which is no member"
        for name, url in facts.conf.initial_cluster
        if url not in urls and place_of(url, facts.name, known) not in members
    ]


def members_not_in_conf(facts: HostFacts, listed: Collection[Member], known: Places) -> list[str]:
    """Which members ETCD_INITIAL_CLUSTER of a member does not name; empty where it names all, or is not set.

    Told, not refused: the installer leaves the list of its first day on old members when it adds new ones.
    """
    said = facts.conf.initial_cluster
    urls, hosts = {url for _, url in said}, {place_of(url, facts.name, known) for _, url in said}
    return [
        f"ETCD_INITIAL_CLUSTER in {etcd_conf.PATH} does not name the member {member.name or member.hex_id}"
        f" ({', '.join(member.peer_urls)}), which joined later: harmless while this member has its data"
        for member in listed
        if said and not urls & set(member.peer_urls) and not hosts_of([member], known) & hosts
    ]


def misfits(facts: HostFacts, others: Sequence[HostFacts]) -> list[str]:
    """What would keep a host from joining beside the others: version, name, machine, clock; empty where nothing would."""
    found = [problem for other in others if other is not facts for problem in cannot_join(facts, other, ())]
    return list(dict.fromkeys(found))

"""From facts to a verdict with its proof in words, the survivor, and who plays which role. Pure.

Source: the chapter's introduction; PROCEDURE.md, stage 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum

from requorum.causes import GONE, NOSPACE_CURE, alarms, damaged, how_to_start, starts, why_down, worth_of
from requorum.facts.host import HostFacts, Silent
from requorum.facts.members import Member
from requorum.facts.v2 import V2_ONLY
from requorum.forced_starts import SINCE_FORCED, UNKNOWN, gone_since_forced, loss_beside_a_quorum, not_given_up
from requorum.inventory import Inventory
from requorum.kept_down import ONLY_THEN, old_peers_first, without_memory
from requorum.lineage import (
    ONE_OF_TWO,
    forced_here,
    half_forced,
    host_of,
    left_fenced,
    outlived,
    told_of_old_peer,
    way_back_begun,
)
from requorum.naming import owed_where_named
from requorum.obstacles import answered_by_v2, obstacles, other_recovery, removed_elsewhere
from requorum.other_clusters import beside_a_quorum, on_disk
from requorum.owed import owed_on_hosts
from requorum.ranking import Candidate, best, candidates, lacks, loss_of, tail_of, ways_out
from requorum.records import NEVER_WRITTEN
from requorum.runtimes import contradictions, probes_to_return
from requorum.silence import Survey, declare, given_up, listening, lives, not_read, places_of, reasons, sought_at
from requorum.twins import twins


class Verdict(str, Enum):
    """What a survey proves about the cluster."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    RESTARTABLE = "restartable"
    UNFINISHED = "unfinished"
    LOST = "lost"
    UNPROVEN = "unproven"


@dataclass(frozen=True)
class Diagnosis:
    """The verdict and everything that follows from it.

    `path` is False where the runbook refuses to go on; `advice` then says what to do. `settling`: enough members run to
    elect a leader by themselves, and may be about to. `removals` are members that a living quorum is to remove. The
    other tuples name hosts, in the inventory's order: `members` those in the cluster, `others` those to keep stopped
    meanwhile, `old_peers` those of them whose member was removed and whose data is still there, `joiners` those to take
    in, `missing` those that cannot be had now. `strangers` are members by name, whose hosts the inventory does not have.
    """

    verdict: Verdict
    proof: tuple[str, ...]
    advice: tuple[str, ...] = ()
    survivor: str = ""
    loss: str = ""
    members: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    old_peers: tuple[str, ...] = ()
    joiners: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    strangers: tuple[str, ...] = ()
    removals: tuple[Member, ...] = ()
    path: bool = True
    settling: bool = False

    @property
    def acts(self) -> bool:
        """There is something to do, and it may be done."""
        return self.path and self.verdict in (Verdict.LOST, Verdict.UNFINISHED, Verdict.DEGRADED)


def diagnose(inventory: Inventory, survey: Survey) -> Diagnosis:
    """The verdict on a cluster, from what was read on each host of the inventory."""
    reached = [facts for facts in survey.values() if isinstance(facts, HostFacts)]
    if not reached:
        return _unproven(("no host of the inventory could be reached",), reasons(survey))
    old = outlived(reached)
    current = [facts for facts in reached if facts.name not in old]
    standing = contradictions(reached, inventory.etcd.runtime), obstacles(reached, inventory), twins(current)
    fenced = removed_elsewhere(inventory, survey, left_fenced(current))
    gone = gone_since_forced(inventory, survey, current)
    for proof, advice in (*standing, not_read(reached), fenced, not_given_up(gone, inventory, survey)):
        if proof:
            return _unproven(tuple(proof), tuple(advice))
    answering = [facts for facts in current if facts.api.answers]
    found = (
        _with_quorum(inventory, survey, reached, answering, old)
        if answering
        else _without_quorum(inventory, survey, current)
    )
    peers = [f for f in reached if f.name in old]
    told = [f"{f.name} {told_of_old_peer(f, old[f.name])}" for f in peers]
    return replace(
        found,
        old_peers=_ordered(inventory, set(old)),
        proof=(*found.proof, *told, *(f"given up: {lost}" for lost in gone.values())),
        loss="; beyond that ".join((*gone.values(), *filter(None, [found.loss]))),
        # A run that may act fences them in step 11; this one stops before.
        advice=found.advice if found.path else (*old_peers_first(peers), *found.advice),
    )


def _unproven(proof: tuple[str, ...], advice: tuple[str, ...]) -> Diagnosis:
    return Diagnosis(Verdict.UNPROVEN, proof, advice, path=False)


def _ordered(inventory: Inventory, names: set[str]) -> tuple[str, ...]:
    return tuple(host.name for host in inventory.etcd.hosts if host.name in names)


def _may_join(inventory: Inventory, name: str) -> bool:
    return inventory.etcd.rejoin is None or name in inventory.etcd.rejoin


def _with_quorum(
    inventory: Inventory, survey: Survey, reached: list[HostFacts], answering: list[HostFacts], old: Mapping[str, str]
) -> Diagnosis:
    views = {f.name: f.api.members for f in answering if f.api.members is not None}
    lists = {(v.cluster_id, frozenset(m.id for m in v.members)) for v in views.values()}
    if len(lists) > 1:
        said = [f"{name} says cluster {v.cluster_id:x}: {_names(v.members)}" for name, v in views.items()]
        return _unproven(
            ("the members that answer do not agree on who is in the cluster", *said),
            ("do not go on by hand either: find out which of them your clients write to, and stop the others",),
        )
    survivors = [f for f in answering if f.own_mark] or [f for f in answering if f.forced_by]
    anchor = next(iter(survivors), None) or _leader(answering)
    listed = views[anchor.name]
    places = {m.id: host_of(m, inventory, survey) for m in listed.members}
    failed = [m for m in listed.members if places[m.id] not in {f.name for f in answering}]
    count = f"{len(answering)} of {len(listed.voters)} voting members"
    proof: tuple[str, ...] = (f"{count} answer a linearizable read: {_hosts(answering)}",)
    named = inventory.etcd.survivor
    if named and named not in places.values():
        return _unproven(
            (*proof, f"the inventory names {named} as the survivor, and it is no member of the cluster that answers"),
            (
                f"if the cluster that answers is yours, write `survivor: auto`; if {named} holds your data, stop the others",
            ),
        )
    elsewhere = other_recovery(inventory, survey, members={name for name in places.values() if name})
    for doubted, cure in (beside_a_quorum(anchor, listed, reached, old), elsewhere):
        if doubted:
            return _unproven((*proof, *doubted), tuple(cure))
    proof += tuple(f"{f.name}: {words}" for f in answering for words in f.v2.unlike(f.api.members))
    written = anchor.api.status is None or anchor.api.status.revision > 1
    if not written:
        proof += (NEVER_WRITTEN,)

    marked = any(f.mark for f in reached)
    removals: list[Member] = []
    joining: set[str] = set()
    advice: list[str] = []
    for member in failed:
        name = places[member.id]
        facts = survey.get(name)
        if isinstance(facts, HostFacts):
            intact = (
                facts.data is not None
                and not facts.data.error
                and facts.data.node_id == member.id
                and not (facts.data.unwritten and written)
                and not (half_forced(facts) or facts.ran_committed)
            )
            if not member.client_urls or (intact and (marked or member.is_learner or facts.unit.fenced)):
                joining.add(name)
            elif intact:
                advice += [*why_down(facts), f"{name} has its data: {how_to_start(facts)}"]
            elif (words := damaged(facts, inventory)) and not member.is_learner:
                advice.append(words)
            else:
                removals.append(member)
        elif name and given_up(name, inventory, survey, member):
            removals.append(member)
        elif name:
            advice.append(declare(member, name, survey))
        else:
            who = f"{member.name or member.hex_id} ({', '.join(member.peer_urls)})"
            advice.append(f"the member {who} has no host in the inventory: add it")
    in_list = {name for name in places.values() if name}
    absent = {f.name for f in reached if f.name not in in_list or f.name in {places[m.id] for m in removals}} | {*old}
    joining |= {name for name in absent if _may_join(inventory, name)}
    healthy = {f.name for f in answering}
    missing = {h.name for h in inventory.etcd.hosts} - healthy - joining
    owed = owed_on_hosts(reached, joining, in_list, listed)
    owed += owed_where_named(inventory, survey, listed, whole=not missing)
    owed += [f"{f.name} is to be fenced" for f in reached if f.name in old and not f.fenced and f.name not in joining]
    owed += [f"{f.name} remembers that it was forced" for f in reached if f.remembers_force and not missing]
    owed += [] if missing else probes_to_return(reached)
    roles = Diagnosis(
        verdict=Verdict.UNFINISHED if owed else Verdict.HEALTHY,
        proof=proof + tuple(owed),
        advice=tuple(advice),
        survivor=anchor.name,
        loss=loss_beside_a_quorum(listed, reached, unwritten=not written and any(not m.is_learner for m in removals)),
        members=_ordered(inventory, healthy),
        others=_ordered(inventory, absent),
        joiners=_ordered(inventory, joining),
        missing=_ordered(inventory, missing),
        strangers=tuple(m.name or m.hex_id for m in failed if not places[m.id]),
        removals=tuple(removals),
        path=not advice,
    )
    if full := alarms(answering, "NOSPACE"):
        quota = f"etcd refuses every write: NOSPACE is raised (seen by {', '.join(full)})"
        return replace(roles, verdict=Verdict.RESTARTABLE, proof=(*proof, quota), advice=(NOSPACE_CURE,), path=False)
    if corrupt := alarms(answering, "CORRUPT"):
        differ = f"etcd says that members hold different data: CORRUPT is raised (seen by {', '.join(corrupt)})"
        return _unproven((*proof, differ), ("find out which members hold your data before anything is started again",))
    voters_failed = [m for m in failed if not m.is_learner and m.client_urls]
    if voters_failed and not (marked and not removals and not advice):
        quiet = (f"the member {m.name} on {places[m.id] or 'an unknown host'} does not answer" for m in voters_failed)
        return replace(roles, verdict=Verdict.DEGRADED, proof=(*proof, *quiet))
    return roles


def _leader(answering: list[HostFacts]) -> HostFacts:
    return next((f for f in answering if f.api.status and f.api.status.leader == f.api.status.member_id), answering[0])


def _without_quorum(inventory: Inventory, survey: Survey, reached: list[HostFacts]) -> Diagnosis:
    if said := answered_by_v2(reached):
        return replace(_unproven((said,), (V2_ONLY,)), settling=True)
    for proof, advice in (other_recovery(inventory, survey), on_disk(reached)):
        if proof:
            return _unproven(tuple(proof), tuple(advice))
    begun = way_back_begun(reached)
    if begun is not None:
        dropped, name = begun.dropped, host_of(begun.dropped, inventory, survey)
        words = f"no host answers a linearizable read; {begun.survivor} began to take the way back, and drops {dropped.name}"
        if lives(name, dropped, survey):
            return _unproven((words,), (declare(dropped, name or dropped.name, survey),))
        return _roles(inventory, survey, Verdict.LOST, begun.survivor, f"{ONE_OF_TWO}; {UNKNOWN}", [words])
    unwritten = {f.name for f in reached if f.data is not None and f.data.unwritten}
    ranked = [c for c in candidates(reached, keep_tail=inventory.etcd.keep_tail) if c.name not in unwritten]
    if not ranked:
        unread = tuple(f"{f.name}: {worth}" for f in reached if (worth := worth_of(f)) != GONE)
        restore = "bring up a host that has data, or restore the cluster from a snapshot"
        new = "if this cluster is new and never held anything, start etcd on its hosts by hand"
        return _unproven(
            ("no reached host holds readable data of a member", *unread),
            (restore, *([new] if unwritten else []), *reasons(survey)),
        )
    begun_force = {c.name for c in ranked if c.half_forced}
    newest = max([c for c in ranked if c.name not in begun_force] or ranked, key=lambda c: c.last)
    voters = tuple(m for m in newest.members if not m.is_learner)
    quorum = len(voters) // 2 + 1
    by_id = {c.node_id: c for c in ranked}
    intact = {by_id[m.id].name for m in voters if m.id in by_id}
    half = intact & begun_force
    proof = [f"no host answers a linearizable read; the member list in the newest log ({newest.name}) has "
             f"{len(voters)} voting members: {_names(voters)}; a quorum is {quorum}"]  # fmt: skip
    open_: list[str] = []
    emptied: list[HostFacts] = []
    for member in voters:
        name = host_of(member, inventory, survey)
        facts = survey.get(name)
        if name in half:
            proof.append(
                f"{member.name}: a forced start was begun on {name} and did not elect: it can only be forced again"
            )
        elif name in intact:
            proof.append(f"{member.name}: its data is intact on {name} (etcd is {_unit(facts)})")
        elif isinstance(facts, HostFacts):
            if not damaged(facts, inventory) or facts.unit.is_running:
                emptied.append(facts)
            proof.append(f"{member.name}: {worth_of(facts)} on {name} (etcd is {_unit(facts)})")
        elif name and given_up(name, inventory, survey, member):
            proof.append(f"{member.name}: {name} is silent, and declared lost")
        else:
            open_.append(declare(member, name or f"{member.name} ({', '.join(member.peer_urls)})", survey))
            where = name or "a host that the inventory does not have"
            listens = listening(places_of(member), survey)
            alive = f"alive, whatever is declared ({listens})" if listens else "possibly alive"
            proof.append(f"{member.name}: {where} is silent: {alive}")
    mend = tuple(words for f in reached if (words := damaged(f, inventory)))
    # A force can be repeated on the survivor alone; where others have come back with data, theirs counts.
    if half and len(voters) == 1 and not mend:
        why = f"the forced start of {newest.name} did not come to its election: it is to be forced again"
        return _lost(inventory, survey, ranked, intact, [*proof, why])
    sound = intact - half
    if len(sound) >= quorum:
        enough = _enough_data(inventory, survey, newest, sound, quorum, proof)
        first = (*without_memory(emptied), *mend)
        return replace(enough, advice=(*first, *[ONLY_THEN] * bool(first), *enough.advice)) if enough.advice else enough
    if len(sound) + len(open_) >= quorum:
        proof.append(f"{len(sound)} intact and {len(open_)} possibly alive could still be a quorum of {quorum}")
    elif mend:
        proof.append(
            "what damaged data holds may be nowhere else: nothing is forced beside it without the operator's word"
        )
    if mend or len(sound) + len(open_) >= quorum:
        # Whoever is brought up, or mended, must not meet them.
        return _unproven(tuple(proof), (*without_memory(emptied), *mend, *open_))
    proof.append(f"at most {len(sound) + len(open_)} of the {quorum} members that a quorum needs can ever answer")
    return _lost(inventory, survey, ranked, intact, proof)


def _enough_data(
    inventory: Inventory, survey: Survey, newest: Candidate, intact: set[str], quorum: int, proof: list[str]
) -> Diagnosis:
    only = next(iter(intact))  # a learner may have the newest log, too
    facts = survey[only]
    if isinstance(facts, HostFacts) and len(intact) == 1 and (forced := forced_here(facts, survey)):
        proof.append(f"{only} was forced by recovery {forced} and is to be started again")
        return _roles(inventory, survey, Verdict.UNFINISHED, only, SINCE_FORCED, proof)
    have = "1 member has its" if len(intact) == 1 else f"{len(intact)} members have their"
    proof.append(f"{have} data, enough for a quorum once they run; never force")
    found = [f for name in _ordered(inventory, intact) if isinstance(f := survey[name], HostFacts)]
    settling = len([f for f in found if f.processes and not f.forced]) >= quorum
    members = {m.id: m for m in newest.members}
    owners = {f.name: sought_at(members[f.data.node_id], inventory) for f in found if f.data and f.data.node_id}
    advice = starts(found, owners, quorum)
    return Diagnosis(Verdict.RESTARTABLE, tuple(proof), advice, path=False, settling=settling)


def _lost(
    inventory: Inventory, survey: Survey, ranked: list[Candidate], intact: set[str], proof: list[str]
) -> Diagnosis:
    able = [c for c in ranked if c.name in intact and not c.refusal]
    refused = [f"{c.name} cannot be the survivor: {c.refusal}" for c in ranked if c.refusal]
    if not able:
        advice = "no member can be forced safely; restore from a snapshot, or ask for help"
        return _unproven((*proof, *refused), (advice,))
    chosen, most = best(able), best(ranked)
    named = inventory.etcd.survivor
    if named is not None:
        found = [c for c in able if c.name == named]
        if not found:
            why = f"etcd.survivor names {named}, which is no candidate"
            names = ", ".join(c.name for c in able)
            return _unproven((*proof, *refused), (f"{why}; write `survivor: auto` or one of: {names}",))
        chosen = found[0]
    loss, why = loss_of(chosen), "no candidate holds more"
    if chosen.end < most.end:
        less = lacks(chosen, most)
        if not inventory.etcd.accept_loss:
            who = f"etcd.survivor names {chosen.name}" if named else f"{chosen.name} is the best that can be forced"
            more = f"{who}, but {most.name} holds more: {less}; {most.words}; {chosen.words}"
            lost = inventory.host(chosen.name).lost
            ways = ways_out(chosen, able, ranked, named=named is not None, given_up=lost)
            return _unproven((*proof, *refused, more), ways)
        loss, why = f"{less} (accepted: accept_loss); {loss}", f"the inventory names it and accepts that {less}"
    proof += [f"candidate {c.words}" for c in able] + refused
    proof.append(f"the survivor is {chosen.name}: {why}")
    proof += tail_of(chosen)
    return _roles(inventory, survey, Verdict.LOST, chosen.name, loss, proof)


def _roles(
    inventory: Inventory, survey: Survey, verdict: Verdict, survivor: str, loss: str, proof: list[str]
) -> Diagnosis:
    reached = {name for name, facts in survey.items() if isinstance(facts, HostFacts)}
    joiners = {name for name in reached - {survivor} if _may_join(inventory, name)}
    return Diagnosis(
        verdict=verdict,
        proof=tuple(proof),
        survivor=survivor,
        loss=loss,
        members=(survivor,),
        others=_ordered(inventory, reached - {survivor}),
        joiners=_ordered(inventory, joiners),
        missing=_ordered(inventory, {h.name for h in inventory.etcd.hosts} - joiners - {survivor}),
    )


def _unit(facts: HostFacts | Silent | None) -> str:
    return facts.unit.state if isinstance(facts, HostFacts) else "unknown"


def _names(members: tuple[Member, ...]) -> str:
    return ", ".join(m.name or m.hex_id for m in members)


def _hosts(facts: list[HostFacts]) -> str:
    return ", ".join(f.name for f in facts)

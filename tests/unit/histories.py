"""A tiny model of a cluster's history: what may have happened to its hosts, what was acknowledged, who holds it.

A history is a sequence of events that etcd, an operator or Requorum can cause. It ends in a state; how a survey finds
each host then (running, stopped, silent, declared lost, …) makes a world of it: the facts, and beside them the truth.

Not in the model: partitions within one lineage, damaged data, etcd 3.3, a log that step 41 has committed, a way back,
and emptied hosts that take writes by themselves.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from itertools import combinations, permutations
from typing import NamedTuple

from builders import (
    name,
    node,
    peer,
)

from requorum.facts.mark import Mark

BASE = 98  # entries before those of the model


class Entry(NamedTuple):
    """An entry of a log; each event has a term of its own, so that term and index are its identity, as in Raft."""

    term: int
    index: int
    kind: str = "put"
    who: int = 0


class Host(NamedTuple):
    """What lies on a host. `line`: of which lineage its data is; each forced start begins one. `log` None: emptied."""

    id: int
    line: int = 0
    log: tuple[Entry, ...] | None = ()
    commit: int = 0
    founded: bool = False
    half: bool = False
    mark: Mark | None = None
    forced_by: Mark | None = None
    fenced: bool = False

    @property
    def holds(self) -> bool:
        return bool(self.log) and not self.founded

    @property
    def end(self) -> tuple[int, int]:
        return self.log[-1][:2] if self.log else (0, 0)


class State(NamedTuple):
    """What a history has led to. `acked`: the acknowledged entries of each lineage.

    `born`: for each lineage but the first the one that it was forced from, and the recovery that forced it ("": by hand).
    """

    hosts: tuple[Host, ...]
    acked: tuple[frozenset[Entry], ...]
    events: tuple[str, ...] = ()
    born: tuple[tuple[int, str], ...] = ((0, "the first"),)

    @property
    def term(self) -> int:
        return len(self.events) + 3

    @property
    def current(self) -> frozenset[int]:
        """The lineages that may be the cluster's: the last one that a recovery forced, and what was forced from it by hand."""
        last = max(line for line, (_, recovery) in enumerate(self.born) if recovery)
        found = {last}
        for line in range(last + 1, len(self.born)):
            if self.born[line][0] in found:
                found.add(line)
        return frozenset(found)

    def put(self, *changed: tuple[int, Host]) -> State:
        new = dict(changed)
        return self._replace(hosts=tuple(new.get(n, h) for n, h in enumerate(self.hosts)))

    def tell(self, event: str) -> State:
        return self._replace(events=(*self.events, event))


def number(id_: int) -> int:
    """The host of a member."""
    return (id_ - node(0)) % 16


@cache
def configured(size: int, log: tuple[Entry, ...]) -> dict[int, bool]:
    """The members after these entries; whether each one votes."""
    found = {node(n): True for n in range(size)}
    for entry in log:
        if entry.kind == "remove":
            found.pop(entry.who, None)
        elif entry.kind in ("add-learner", "promote"):
            found[entry.who] = entry.kind == "promote"
    return found


def founding(size: int) -> State:
    first = (Entry(2, BASE + 1),)
    return State(tuple(Host(node(n), log=first, commit=1) for n in range(size)), (frozenset(first),))


def electable(state: State, leader: int, voting: tuple[int, ...]) -> bool:
    """These hosts are a quorum that elects this one, and that commits what it has.

    A change counts once it is applied (raft, ApplyConfChange; a restart applies what is committed on disk): who leads is
    elected by the members as it knows them to be committed, and takes writes by those that its whole log makes of them.
    """
    hosts, top = state.hosts, state.hosts[leader]
    log = top.log or ()
    for known in (log[: top.commit], log):
        voters = {id_ for id_, votes in configured(len(hosts), known).items() if votes}
        there = [hosts[n] for n in voting if hosts[n].id in voters]
        if top.id not in voters or len(there) <= len(voters) // 2 or any(h.end > top.end for h in there):
            return False
    return True


def quorums(state: State) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Who can lead, with which others; of one lineage each."""
    for line in range(len(state.acked)):
        held = [n for n, h in enumerate(state.hosts) if h.holds and h.line == line and not h.half and not h.fenced]
        for leader in held:
            others = [n for n in held if n != leader]
            for size in range(len(others) + 1):
                for with_ in combinations(others, size):
                    if electable(state, leader, (leader, *with_)):
                        yield leader, (leader, *with_)


def replicated(state: State, leader: int, group: tuple[int, ...], kind: str = "put", who: int = 0) -> State:
    """One more entry, acknowledged by these. The followers have not heard yet that it is committed."""
    top = state.hosts[leader]
    assert top.log is not None
    entry = Entry(state.term, top.end[1] + 1, kind, who)
    log = (*top.log, entry)
    listed = configured(len(state.hosts), log)
    took = [(n, state.hosts[n]) for n in group if state.hosts[n].id in listed]
    acked = list(state.acked)
    acked[top.line] |= set(log)
    changed = [(n, h._replace(log=log, commit=len(log) - (n != leader))) for n, h in took]
    return state.put(*changed)._replace(acked=tuple(acked))


def events(state: State) -> Iterator[State]:
    """Every state that one more event leads to."""
    hosts, size = state.hosts, len(state.hosts)
    for leader, group in quorums(state):
        yield replicated(state, leader, group).tell(f"{group} write, led by {leader}")
        top = hosts[leader]
        if top.log is not None:
            tail = (*top.log, Entry(state.term, top.end[1] + 1))
            yield state.put((leader, top._replace(log=tail))).tell(f"{leader} appends alone, elected by {group}")
        if top.line in state.current and top.line > 0:
            yield from joins(state, leader, group)
    for n, host in enumerate(hosts):
        if host.log is not None:
            yield state.put((n, Host(node(n), log=None)._replace(
                mark=host.mark, forced_by=host.forced_by, fenced=host.fenced))).tell(f"{n} is emptied")  # fmt: skip
        if host.mark or host.forced_by or host.fenced:
            yield state.put((n, Host(node(n), log=None))).tell(f"{n} is made anew")
        if host.log is None and not host.fenced:
            yield state.put((n, Host(node(n), log=(), founded=True, mark=host.mark, forced_by=host.forced_by))).tell(
                f"{n} boots emptied"
            )
        if host.holds and not host.half and configured(size, host.log or ()).get(host.id) and len(state.acked) < 3:
            yield from forces(state, n)
    if any(h.mark for h in hosts) and not any(h.half for h in hosts):
        newest = max((h for h in hosts if h.holds), key=lambda h: (h.line, h.end), default=None)
        here = configured(size, newest.log or ()) if newest else {}
        whole = {number(id_) for id_ in here} == set(range(size))
        done = [h._replace(mark=None, forced_by=None if whole else h.forced_by) for h in hosts]
        yield state._replace(hosts=tuple(done)).tell("the recovery has ended")


def joins(state: State, leader: int, group: tuple[int, ...]) -> Iterator[State]:
    """A host that is no member is taken in anew: added, started, promoted."""
    listed = configured(len(state.hosts), state.hosts[leader].log or ())
    learners = [id_ for id_, votes in listed.items() if not votes]
    for n, host in enumerate(state.hosts):
        new = node(n) + 16 * len(state.events) + 16
        if n not in {number(id_) for id_ in listed} and not learners:
            added = replicated(state, leader, group, "add-learner", new)
            empty = Host(new, log=None, mark=host.mark)
            yield added.put((n, empty)).tell(f"{n} is added as a learner by {leader}")
        if host.log is None and host.id in learners:
            copy = state.hosts[leader]
            yield state.put((n, copy._replace(id=host.id, mark=host.mark, forced_by=None))).tell(f"learner {n} starts")
        if host.holds and host.id in learners and n not in group and host.line == state.hosts[leader].line:
            yield replicated(state, leader, (*group, n), "promote", host.id).tell(f"{n} is promoted")


def forces(state: State, n: int) -> Iterator[State]:
    """By Requorum, where no other recovery is under way, with hosts fenced or silent; one that does not elect; by hand."""
    host, line, size = state.hosts[n], len(state.acked), len(state.hosts)
    assert host.log is not None
    before = configured(size, host.log)
    gone = [id_ for id_ in before if id_ != host.id]
    removals = tuple(Entry(state.term, host.end[1] + 1 + k, "remove", id_) for k, id_ in enumerate(gone))
    log = (*host.log, *removals)
    recovery = f"20261105-{len(state.events):04d}"

    def forked(by: str) -> State:
        return state._replace(acked=(*state.acked, frozenset(log)), born=(*state.born, (host.line, by)))

    mine = host._replace(line=line, log=log, commit=len(log), half=False)
    if gone:
        yield forked("").put((n, mine)).tell(f"{n} is forced by hand")
    if any(h.mark for h in state.hosts):
        return
    sign = Mark(recovery, "prod", name(n), "ada@desk", "2026-11-05T03:00:00Z",
                tuple(f"{id_:x} {peer(number(id_))}" for id_ in before))  # fmt: skip
    others = [k for k in range(size) if k != n]
    for fenced in (c for length in range(size) for c in combinations(others, length)):
        signed = [(k, state.hosts[k]._replace(mark=sign, fenced=True)) for k in fenced]
        said = f"by a recovery that has fenced {fenced}"
        yield (
            forked(recovery)
            .put((n, mine._replace(mark=sign, forced_by=sign, fenced=False)), *signed)
            .tell(f"{n} is forced {said}")
        )
        if gone:
            begun = host._replace(log=log, commit=len(host.log), half=True, mark=sign, forced_by=sign, fenced=True)
            yield state.put((n, begun), *signed).tell(f"{n} is forced, and does not elect, {said}")


def renamed(state: State, order: tuple[int, ...]) -> object:
    """What a state is when its hosts are called otherwise: to be compared alone."""

    def of(id_: int) -> int:
        return id_ - number(id_) + order[number(id_)] if id_ else 0

    def entries(log: Iterable[Entry]) -> list[Entry]:
        return [entry._replace(who=of(entry.who)) for entry in log]

    def sign(mark: Mark | None) -> tuple[str, int] | None:
        return mark and (mark.recovery, order[int(mark.survivor[5:].partition(".")[0])])

    hosts = [
        (order[n], of(h.id), h.line, h.log is None, entries(h.log or ()), h.commit, h.founded, h.half, sign(h.mark),
         sign(h.forced_by), h.fenced)
        for n, h in enumerate(state.hosts)
    ]  # fmt: skip
    return sorted(hosts, key=lambda host: host[0]), [sorted(entries(acked)) for acked in state.acked]


def states(size: int, depth: int) -> list[State]:
    """Every state that so many events lead to, each once, whatever its hosts are called."""
    found: dict[str, State] = {}
    latest = [founding(size)]
    for _ in range(depth + 1):
        new = []
        for state in latest:
            key = min(str(renamed(state, order)) for order in permutations(range(size)))
            if key not in found:
                found[key] = state
                new.append(state)
        latest = [after for state in new for after in events(state)]
    return list(found.values())


def walks(size: int, length: int, count: int, chance: random.Random) -> Iterator[State]:
    """States at the end of random histories."""
    for _ in range(count):
        state = founding(size)
        for _ in range(chance.randint(1, length)):
            if after := list(events(state)):
                state = chance.choice(after)
        yield state


def recoveries(
    size: int, count: int, chance: random.Random, forces_rightly: Callable[[State, int, State], bool]
) -> Iterator[State]:
    """States at the end of random histories in which recoveries have forced a member twice or more, and nobody else has.

    `forces_rightly`: a recovery would have forced this host of a state, and what that leads to. An emptied host does not
    boot: it might vote. What follows on a force is chosen more often than not, else few come to the second one.
    """
    while count:
        state, forced = founding(size), 0
        for _ in range(14):
            by_kind: dict[str, list[State]] = {"force": [], "join": [], "end": [], "other": []}
            for after in events(state):
                if kind := _kind(after.events[-1]):
                    by_kind[kind].append(after)
            kinds = [kind for kind, found in by_kind.items() if found]
            if not kinds:  # every host is emptied
                break
            (kind,) = chance.choices(kinds, [{"force": 8, "join": 8, "end": 2, "other": 3}[kind] for kind in kinds])
            after = chance.choice(by_kind[kind])
            if kind == "force":
                if not forces_rightly(state, int(after.events[-1].partition(" ")[0]), after):
                    continue
                forced += 1
            state = after
        if forced > 1:
            count -= 1
            yield state


def _kind(event: str) -> str:
    """What kind of event this is; empty for one that is left out."""
    if "by hand" in event or "does not elect" in event or "boots" in event:
        return ""
    for word, kind in (("is forced", "force"), ("learner", "join"), ("promoted", "join"), ("has ended", "end")):
        if word in event:
            return kind
    return "other"

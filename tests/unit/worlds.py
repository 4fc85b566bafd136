"""The worlds in which a history can end: how a survey finds each host, what it reads there, who answers."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product

from builders import (
    CRASHED,
    STARTING,
    STOPPED,
    client,
    data,
    emptied,
    facts,
    inventory,
    machine,
    name,
    node,
    peer,
    silent,
    unit,
)
from histories import BASE, Entry, Host, State, configured, electable, number

from requorum.facts.data_dir import DataDir
from requorum.facts.host import HostFacts, Silent
from requorum.facts.members import Api, Member, MemberList, Status
from requorum.facts.wal_changes import ConfChange
from requorum.inventory import Inventory

Led = Mapping[int, tuple[int, ...]]
"""Who answers, by the leader of each quorum."""

RUNS, STOPS, GIVEN, SILENT, LOST, HEARD = "runs", "stops", "stops, declared lost", "silent", "lost", "lost, and listens"
SEEN = (RUNS, STOPS, GIVEN, SILENT, LOST, HEARD)
REACHED, DECLARED = (RUNS, STOPS, GIVEN), (GIVEN, LOST, HEARD)


@dataclass(frozen=True)
class World:
    """A state, and how a survey finds each host of it."""

    state: State
    seen: tuple[str, ...]

    @property
    def size(self) -> int:
        return len(self.seen)

    @property
    def inventory(self) -> Inventory:
        return inventory(self.size, lost=[n for n, how in enumerate(self.seen) if how in DECLARED])

    @property
    def reached(self) -> list[int]:
        return [n for n, how in enumerate(self.seen) if how in REACHED]

    @property
    def alive(self) -> list[int]:
        return [n for n, how in enumerate(self.seen) if how in (RUNS, HEARD)]

    def __str__(self) -> str:
        return f"{'; '.join(self.state.events) or 'nothing'}; then {', '.join(self.seen)}"


def world(state: State, seen: tuple[str, ...]) -> tuple[World, Led] | None:
    """The world after whoever runs has elected, and who answers led by whom; None where such a world cannot be."""
    for host, how in zip(state.hosts, seen, strict=True):
        if how in (RUNS, HEARD) and (host.fenced or host.half):
            return None
    here = World(state, seen)
    led: dict[int, tuple[int, ...]] = {}
    for line in range(len(state.acked)):
        running = [n for n in here.alive if state.hosts[n].holds and state.hosts[n].line == line]
        blank = [n for n in here.alive if state.hosts[n].founded]
        able = [n for n in running if electable(state, n, (*running, *blank))]
        if able:
            leader = max(able, key=lambda n: state.hosts[n].end)
            listed = configured(here.size, state.hosts[leader].log or ())
            group = tuple(n for n in (*running, *blank) if state.hosts[n].id in listed)
            state = _followed(state, leader, group)
            led[leader] = group
    blank = [n for n in here.alive if state.hosts[n].founded]
    if len(blank) > here.size // 2:  # they have founded a cluster under the old IDs
        led[blank[0]] = tuple(blank)
    return World(state, seen), led


def _followed(state: State, leader: int, group: tuple[int, ...]) -> State:
    top = state.hosts[leader]
    log = (*(top.log or ()), Entry(state.term, top.end[1] + 1, "nothing"))
    same = {"log": log, "line": top.line, "commit": len(log), "founded": False}
    return state.put(*((n, state.hosts[n]._replace(**same)) for n in group))


def survey(here: World, led: Led) -> dict[str, HostFacts | Silent]:
    """What Requorum reads in this world."""
    leaders = {n: leader for leader, group in led.items() for n in group}
    heard = tuple(peer(n) for n, how in enumerate(here.seen) if how == HEARD)
    return {
        name(n): replace(_read(here, n, leaders.get(n)), heard=heard) if n in here.reached else silent(n)
        for n in range(here.size)
    }


def _read(here: World, n: int, leader: int | None) -> HostFacts:
    host, runs = here.state.hosts[n], here.seen[n] == RUNS
    signs = {"mark": host.mark, "forced_by": host.forced_by}
    if leader is not None:
        api = _answer(here, n, leader)
        return replace(facts(n, api=api, data=None if api.answers else _on_disk(host, here.size)), **signs)
    if host.log is None:
        return replace(emptied(n, CRASHED if runs else STOPPED, fenced=host.fenced), **signs)
    shown = unit(STARTING if runs else STOPPED, fenced=host.fenced)
    there = machine(n) if runs else machine(n, ports=frozenset())
    return replace(facts(n, unit=shown, machine=there, data=_on_disk(host, here.size)), **signs)


def _listed(size: int, log: tuple[Entry, ...], unstarted: frozenset[int] = frozenset()) -> tuple[Member, ...]:
    return tuple(
        Member(id_, "" if id_ in unstarted else f"m{number(id_)}", (peer(number(id_)),),
               () if id_ in unstarted else (client(number(id_)),), not votes)
        for id_, votes in configured(size, log).items()
    )  # fmt: skip


def _answer(here: World, n: int, leader: int) -> Api:
    host = here.state.hosts[n]
    log = host.log or ()
    unstarted = frozenset(h.id for h in here.state.hosts if h.log is None and h.id >= node(16))
    listed = _listed(here.size, log, unstarted)
    learner = any(m.id == host.id and m.is_learner for m in listed)
    at = (1, 5) if host.founded else (_revision(log), BASE + len(log))
    lead = here.state.hosts[leader].id
    status = Status(0xC1, host.id, "3.4.23", lead, at[0], host.end[0], at[1], 20480, learner)
    return Api(MemberList(0xC1, listed), status, linear=not learner, error="")


def _revision(log: tuple[Entry, ...]) -> int:
    return 50 + sum(entry.kind == "put" for entry in log)


def _on_disk(host: Host, size: int) -> DataDir:
    if host.founded:
        return _own(data(0, last=(1, 3), commit=3, consistent=3, revision=1, unwritten=True), host.id)
    log = host.log or ()
    done = log[: host.commit]
    changes = tuple(
        ConfChange(e.index, e.kind, e.who, "", (peer(number(e.who)),) if e.kind == "add-learner" else ())  # type: ignore[arg-type]
        for e in log
        if e.kind not in ("put", "nothing")
    )
    found = data(
        0, _listed(size, done), last=host.end, commit=done[-1].index, consistent=done[-1].index,
        commit_term=done[-1].term, revision=_revision(done), changes=changes,
        removed=tuple(e.who for e in done if e.kind == "remove"),
        samples={e.index: (e.term, hash(e)) for e in log},
    )  # fmt: skip
    return _own(found, host.id)


def _own(found: DataDir, id_: int) -> DataDir:
    assert found.log is not None
    return replace(found, log=replace(found.log, node_id=id_))


def worlds(state: State, chance: random.Random | None = None, count: int = 0) -> Iterator[tuple[World, Led]]:
    """The worlds of a state: all, or some of them."""
    ways: Iterable[tuple[str, ...]] = product(SEEN, repeat=len(state.hosts))
    if chance is not None:
        ways = [tuple(chance.choice(SEEN) for _ in state.hosts) for _ in range(count)]
    for seen in ways:
        if (found := world(state, seen)) is not None:
            yield found

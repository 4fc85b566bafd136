"""What `diagnose` says of every world that a short history leads to, held against the truth of that history."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import combinations

import pytest
from builders import name, silent
from histories import Entry, State, electable, recoveries, states, walks
from worlds import GIVEN, LOST, RUNS, STOPS, Led, World, survey, world, worlds

from requorum.diagnosis import Diagnosis, Verdict, diagnose
from requorum.facts.host import HostFacts, Silent

Surveyed = Mapping[str, "HostFacts | Silent"]


@dataclass(frozen=True)
class Told:
    """A world, who answers in it and led by whom, and what is said of it."""

    world: World
    led: Led
    survey: Surveyed
    found: Diagnosis
    rightly: bool
    """Nobody but recoveries has forced anybody, each of which would have, on what it could see."""

    @property
    def traced(self) -> set[int]:
        """The lineages that something shows which can be read; the first one is known to everybody.

        What only silent hosts could show does not count (docs/adr/0015).
        """
        state = self.world.state
        hosts = [state.hosts[n] for n in self.world.reached]
        signs = {m.recovery for h in hosts for m in (h.mark, h.forced_by) if m}
        read = {h.line for h in hosts if h.holds and not h.half}
        return {0, *read, *(line for line, (_, recovery) in enumerate(state.born) if recovery in signs)}

    @property
    def current(self) -> frozenset[int]:
        """The lineages that may be the cluster's; any, where what can be read does not tell them, or they are given up."""
        state = self.world.state
        there = [n for n, h in enumerate(state.hosts) if h.holds and not h.half and h.line in state.current]
        if state.current & self.traced and any(self.world.seen[n] != LOST for n in there):
            return state.current
        return frozenset(range(len(state.acked)))

    def held(self, n: int) -> frozenset[Entry]:
        host = self.world.state.hosts[n]
        return frozenset(host.log or ())

    @property
    def survivor(self) -> int:
        return number_of(self.found.survivor)

    @property
    def line(self) -> int:
        """The lineage that the run goes on with."""
        return self.world.state.hosts[self.survivor].line

    @property
    def acked(self) -> frozenset[Entry]:
        """What that lineage has acknowledged."""
        return self.world.state.acked[self.line]

    @property
    def kept(self) -> frozenset[Entry]:
        """What the cluster holds once the run has ended: what its survivor, or who answers with it, holds."""
        return self.held(self.survivor)

    @property
    def told_apart(self) -> bool:
        """The signs tell the lineages apart: one force, or recoveries alone have forced, one after the other.

        After a second time by hand, or one that did not elect, signs mislead, or are gone.
        """
        forces = [event for event in self.world.state.events if " is forced" in event]
        return len(forces) < 2 or self.rightly

    @property
    def mixed(self) -> bool:
        """An emptied host has voted, maybe for one that lacked what both had acknowledged: nothing shows that any more."""
        return any("boots" in event for event in self.world.state.events)

    @property
    def answering(self) -> set[int]:
        return {n for group in self.led.values() for n in group} & set(self.world.reached)


def number_of(host: str) -> int:
    return int(re.match(r"etcd-(\d+)", host)[1])  # type: ignore[index]


# The invariants: each yields what speaks against a diagnosis.


def never_lost_while_a_quorum_has_its_data(told: Told) -> Iterator[str]:
    if told.found.verdict is not Verdict.LOST or not told.found.acts:
        return
    state, seen = told.world.state, told.world.seen
    for line in told.current & state.current & told.traced:
        there = tuple(
            n for n, h in enumerate(state.hosts) if h.holds and h.line == line and not h.half and seen[n] != LOST
        )
        if any(electable(state, n, there) for n in there):
            yield f"lost, and {len(there)} hosts have the data of a quorum"


def it_goes_on_with_the_cluster(told: Told) -> Iterator[str]:
    if told.found.acts and told.line not in told.current and told.told_apart:
        yield f"{told.found.survivor} is of lineage {told.line}, and the cluster is {set(told.current)}"


def nothing_acknowledged_that_is_reached_is_lost(told: Told) -> Iterator[str]:
    if told.found.acts and not told.mixed:
        for n in told.world.reached:
            if lacking := (told.acked & told.held(n)) - told.kept:
                yield f"{n} holds {len(lacking)} acknowledged entries that {told.found.survivor} lacks"


def no_loss_is_called_none_that_is_one(told: Told) -> Iterator[str]:
    if not told.found.acts or not re.match("none(?! since)", told.found.loss):
        return
    if told.world.state.hosts[told.survivor].holds and told.mixed:
        return
    if lacking := told.acked - told.kept:
        yield f"{len(lacking)} acknowledged entries are lost, and the loss is said to be: {told.found.loss}"


def a_lineage_that_is_gone_is_told(told: Told) -> Iterator[str]:
    """Where a sign of it is left on a host that is reached."""
    state = told.world.state
    if told.found.acts and told.line not in state.current and told.told_apart and not told.mixed:
        for recovery in (state.born[line][1] for line in state.current & told.traced):
            if recovery not in told.found.loss and recovery != state.born[0][1]:
                yield f"what recovery {recovery} has taken is lost, and the loss is said to be: {told.found.loss}"


STARTED = re.compile(r"(etcd-\d+)\S*(?: has its data)?: (?:.*&& )?(?:systemctl start etcd|journalctl)")
KEPT_DOWN = re.compile(r"(etcd-\d+)\S*: systemctl disable --now etcd")


def what_is_started_by_hand_is_the_cluster(told: Told) -> Iterator[str]:
    """Whoever obeys, in whatever order, gets a quorum with all that it has acknowledged, or none, at any moment."""
    started, down = ({number_of(line) for line in told.found.advice if one.match(line)} for one in (STARTED, KEPT_DOWN))
    if not any("systemctl start" in line for line in told.found.advice):
        return
    runs = {n for n in told.world.reached if told.world.seen[n] == RUNS} - down
    for many in range(len(started - runs) + 1):
        for more in combinations(sorted(started - runs), many):
            yield from _served(told, runs | set(more))


def _served(told: Told, running: set[int]) -> Iterator[str]:
    hosts, serving = told.world.state.hosts, set[int]()
    known = frozenset[Entry]().union(*(told.held(n) for n in told.world.reached))
    for leader in running:
        top = hosts[leader]
        for_it = tuple(
            n for n in running
            if hosts[n].founded or (hosts[n].holds and hosts[n].line == top.line and hosts[n].end <= top.end)
        )  # fmt: skip
        if not top.holds or top.half or not electable(told.world.state, leader, for_it):
            continue
        serving.add(top.line)
        lacking = (told.world.state.acked[top.line] & known) - told.held(leader)
        if lacking and not (told.mixed and told.led):
            yield f"with {sorted(running)} {leader} leads, and lacks {len(lacking)} acknowledged entries"
        if top.line not in told.current and told.told_apart:
            yield f"with {sorted(running)} lineage {top.line} serves, and the cluster is {set(told.current)}"
    if len(serving) > 1 and not told.led:
        yield f"with {sorted(running)} two lineages serve"


def nobody_is_healthy_beside_what_is_owed(told: Told) -> Iterator[str]:
    if told.found.verdict is not Verdict.HEALTHY:
        return
    for n in told.world.reached:
        host = told.world.state.hosts[n]
        if host.mark or host.fenced or host.half:
            yield f"healthy, and {n} is fenced or marked"
    lines = {told.world.state.hosts[n].line for n in told.answering}
    if len(lines) > 1:
        yield "healthy, and two lineages answer"


def old_peers_are_not_started(told: Told) -> Iterator[str]:
    text = [line for line in told.found.advice if "systemctl start" in line]
    for n in told.world.reached:
        host = told.world.state.hosts[n]
        if (
            host.holds
            and host.line not in told.current
            and told.told_apart
            and any(line.startswith(name(n)) for line in text)
        ):
            yield f"{n} was removed, and is to be started"


def whom_the_survivor_has_removed_is_an_old_peer(told: Told) -> Iterator[str]:
    """Where a recovery has signed it as its survivor: step 11 fences them, and no abort starts them."""
    if not told.found.acts or told.line not in told.current:
        return
    host = told.world.state.hosts[told.survivor]
    signed = host.forced_by or (host.mark and host.mark.survivor == told.found.survivor)
    if not signed or host.half:
        return
    removed = {entry.who for entry in (host.log or ())[: host.commit] if entry.kind == "remove"}
    for n in told.world.reached:
        other = told.world.state.hosts[n]
        if other.holds and not other.half and other.id in removed and name(n) not in told.found.old_peers:
            yield f"{n} was removed by {told.found.survivor}, and is no old peer"


def there_is_a_way_on(told: Told) -> Iterator[str]:
    if not told.found.acts and told.found.verdict is not Verdict.HEALTHY and not told.found.advice:
        yield f"{told.found.verdict}, and no advice"


def a_host_that_falls_silent_allows_nothing(told: Told) -> Iterator[str]:
    """But one that alone says of a forced start: then nobody knows of that."""
    if told.found.acts or told.found.verdict is Verdict.HEALTHY or not told.told_apart:
        return
    for n in told.world.reached:
        less = diagnose(told.world.inventory, {**told.survey, name(n): silent(n)})
        host = told.world.state.hosts[n]
        if told.world.seen[n] != GIVEN and not (host.line or host.forced_by or host.mark) and less.acts:
            yield f"{told.found.verdict}, refused; with {n} silent: {less.verdict}, which acts ({less.survivor})"


def the_order_of_the_inventory_does_not_matter(told: Told) -> Iterator[str]:
    asked = told.world.inventory
    for turn in (1, 2):
        hosts = (*asked.etcd.hosts[turn:], *asked.etcd.hosts[:turn])
        other = replace(asked, etcd=replace(asked.etcd, hosts=hosts))
        again = diagnose(other, {h.name: told.survey[h.name] for h in hosts})
        if (again.verdict, again.acts, set(again.old_peers)) != (
            told.found.verdict,
            told.found.acts,
            set(told.found.old_peers),
        ):
            yield f"{told.found.verdict} {told.found.acts}; turned by {turn}: {again.verdict} {again.acts}"


INVARIANTS = (
    never_lost_while_a_quorum_has_its_data,
    it_goes_on_with_the_cluster,
    nothing_acknowledged_that_is_reached_is_lost,
    a_lineage_that_is_gone_is_told,
    no_loss_is_called_none_that_is_one,
    what_is_started_by_hand_is_the_cluster,
    nobody_is_healthy_beside_what_is_owed,
    old_peers_are_not_started,
    whom_the_survivor_has_removed_is_an_old_peer,
    there_is_a_way_on,
)
COSTLY = (a_host_that_falls_silent_allows_nothing, the_order_of_the_inventory_does_not_matter)


def judged(found: Iterable[tuple[World, Led]], *, costly_each: int, rightly: bool = False) -> list[str]:
    """What speaks against the diagnosis, in any of these worlds, the invariant's name and the world before it.

    `rightly`: as in `Told`.
    """
    against = []
    for count, (here, led) in enumerate(found):
        read = survey(here, led)
        told = Told(here, led, read, diagnose(here.inventory, read), rightly)
        invariants = (*INVARIANTS, *COSTLY) if count % costly_each == 0 else INVARIANTS
        against += [f"{one.__name__}: {here}: {words}" for one in invariants for words in one(told)]
    return against


def test_every_world_of_one_event() -> None:
    assert judged((one for state in states(3, 1) for one in worlds(state)), costly_each=8) == []


def test_some_worlds_of_two_events_each() -> None:
    chance = random.Random(20261105)
    assert judged((one for state in states(3, 2) for one in worlds(state, chance, 5)), costly_each=4) == []


@pytest.mark.parametrize(("hosts", "histories"), [(3, 300), (5, 100)])
def test_worlds_of_longer_histories(hosts: int, histories: int) -> None:
    chance = random.Random(hosts)
    assert (
        judged((one for state in walks(hosts, 7, histories, chance) for one in worlds(state, chance, 4)), costly_each=4)
        == []
    )


def forces_rightly(state: State, n: int, after: State) -> bool:
    """A recovery that has fenced those hosts, the others declared lost, would have forced this one."""
    seen = tuple(
        STOPS if k == n or (new.mark and not old.mark) else LOST
        for k, (old, new) in enumerate(zip(state.hosts, after.hosts, strict=True))
    )
    found = world(state, seen)
    if found is None:
        return False
    said = diagnose(found[0].inventory, survey(*found))
    return said.acts and (said.verdict, said.survivor) == (Verdict.LOST, name(n))


@pytest.mark.parametrize(("hosts", "histories"), [(3, 60), (5, 10)])
def test_worlds_after_two_recoveries(hosts: int, histories: int) -> None:
    chance = random.Random(hosts)
    ended = recoveries(hosts, histories, chance, forces_rightly)
    assert judged((one for state in ended for one in worlds(state, chance, 8)), costly_each=8, rightly=True) == []


def test_the_model_reaches_every_verdict_and_a_run_that_acts() -> None:
    chance = random.Random(1)
    found = [diagnose(w.inventory, survey(w, led)) for state in states(3, 2) for w, led in worlds(state, chance, 3)]
    assert {one.verdict for one in found} == set(Verdict)
    assert {one.verdict for one in found if one.acts} == {Verdict.LOST, Verdict.UNFINISHED, Verdict.DEGRADED}

"""What the hosts beside the cluster add to a diagnosis: they count for no verdict, and something may be owed there. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from requorum.diagnosis import Diagnosis, Verdict
from requorum.facts.beside import BesideFacts
from requorum.facts.host import HostFacts, Silent
from requorum.inventory import Inventory, MasterHost
from requorum.naming import hosts_of, owed_by, places
from requorum.obstacles import mistaken
from requorum.silence import Survey, edited_later

Beside = Mapping[str, BesideFacts | Silent]


def silent(beside: Beside) -> tuple[str, ...]:
    """The hosts beside the cluster that could not be asked."""
    return tuple(name for name, facts in beside.items() if isinstance(facts, Silent))


def silence(inventory: Inventory, beside: Beside) -> list[str]:
    """What becomes of the hosts beside the cluster that are silent, in words."""
    lines = []
    for host in inventory.beside:
        facts = beside.get(host.name)
        if not isinstance(facts, Silent):
            continue
        later = edited_later(host.name, is_master=isinstance(host, MasterHost))
        lines.append(f"{later} ({facts.reason}; {facts.advice})")
    return lines


def seen_with(inventory: Inventory, survey: Survey, beside: Beside, found: Diagnosis) -> Diagnosis:
    """The diagnosis with what the hosts beside the cluster add: who is silent, and what a recovery owes there.

    A healthy cluster to which something is owed there is unfinished. Two names of one machine are refused.
    """
    members = [facts for facts in survey.values() if isinstance(facts, HostFacts)]
    apart = [facts for facts in beside.values() if isinstance(facts, BesideFacts)]
    proof, advice = mistaken(apart, members, inventory.all_names)
    if proof:
        whole = (*found.proof, *proof)
        return replace(found, verdict=Verdict.UNPROVEN, path=False, proof=whole, advice=(*found.advice, *advice))
    owed = _owed(inventory, survey, beside, found)
    verdict = Verdict.UNFINISHED if owed and found.verdict is Verdict.HEALTHY else found.verdict
    words = (*owed, *silence(inventory, beside), *_forgotten(inventory, survey))
    found = replace(found, verdict=verdict, proof=(*found.proof, *words))
    if found.acts and (users := _no_root(beside)):  # before the operator is asked, and a lock is tried there
        proof = [f"the commands do not run as root on {name}" for name in users]
        advice = [f"log in to {name} as root, or set `sudo: true` under its ssh" for name in users]
        return replace(found, path=False, proof=(*found.proof, *proof), advice=(*found.advice, *advice))
    return found


def _owed(inventory: Inventory, survey: Survey, beside: Beside, found: Diagnosis) -> list[str]:
    anchor = survey.get(found.survivor)
    if found.verdict not in (Verdict.HEALTHY, Verdict.UNFINISHED, Verdict.DEGRADED):
        return []
    if not isinstance(anchor, HostFacts) or anchor.api.members is None:
        return []
    known = places(inventory, survey)
    reached = [facts for facts in beside.values() if isinstance(facts, BesideFacts)]
    owed = owed_by(reached, hosts_of(anchor.api.members.members, known), known, whole=not found.missing)
    return owed + [
        f"{name} was silent when {facts.name} was forced: what watches etcd there is to be restarted"
        for facts in survey.values()
        if isinstance(facts, HostFacts)
        for name in facts.unseen_at_force
        if not isinstance(beside.get(name, survey.get(name)), Silent | None)
    ]


def _forgotten(inventory: Inventory, survey: Survey) -> list[str]:
    """Who was silent when the cluster was forced, and is in this inventory no more, in words."""
    return [
        f"{name} was silent when {facts.name} was forced, and this inventory does not name it: restart there what watches "
        "etcd (API and controllers, or flanneld) by hand, or name it again"
        for facts in survey.values()
        if isinstance(facts, HostFacts)
        for name in facts.unseen_at_force
        if name not in inventory.all_names
    ]


def _no_root(beside: Beside) -> tuple[str, ...]:
    """The hosts beside the cluster where the commands do not run as root."""
    return tuple(n for n, facts in beside.items() if isinstance(facts, BesideFacts) and facts.machine.uid != 0)

"""The roles that hosts play in a run: what a step says after `on=`. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from requorum.certifying import Order
from requorum.diagnosis import Diagnosis, Verdict
from requorum.facts.beside import AnyFacts
from requorum.facts.host import HostFacts
from requorum.fitness import forced_by_hand
from requorum.inventory import Inventory
from requorum.runtimes import wants_every_member
from requorum.undoing import Undoing

BASTION = "bastion"
"""The machine that runs the runbook, where a step has no host of its own."""


@dataclass(frozen=True)
class Roles:
    """What was found, and what follows from it for each host. `orders`: the certificates that are to be made."""

    inventory: Inventory
    found: Diagnosis
    undoing: Undoing
    reached: Mapping[str, HostFacts]
    all_reached: Mapping[str, AnyFacts]
    orders: Sequence[Order]

    def hosts(self, role: str) -> tuple[str, ...]:
        """The hosts that play a role, in the inventory's order. Raises ValueError for a role that is none."""
        found, ordered = self.found, self.orders
        unlisted, touched = set(found.others), self._touched()
        pods = {name for name, facts in self.reached.items() if facts.unit.pod} & touched
        chosen: dict[str, set[str]] = {
            BASTION: {BASTION},
            "ansible": {BASTION} if self.inventory.ansible_inventory else set(),
            "inventory": set(self.inventory.all_names),
            "reached": set(self.reached),
            "beside": set(self.all_reached) & set(self.inventory.beside_names),
            "members": set(found.members),
            "survivor": {found.survivor},
            # A run that was killed after the force can have left the survivor stopped: it cannot be asked before step 44.
            "speaker": {found.survivor} & self._answering(),
            "v2": {name for name in self._with_v2() if name == found.survivor},
            "unproven": self._unproven(),
            "others": unlisted,
            "old_peers": set(found.old_peers),
            "joiners": set(found.joiners),
            "newcomers": set(found.joiners) & unlisted,
            "uncertified": {order.host for order in ordered},
            "issued": {order.host for order in ordered} | {n for n, f in self.reached.items() if f.issuing.there},
            "authority": {name for name, facts in self.reached.items() if facts.ca.has_key} - touched,
            "touched": touched,
            "whole": {found.survivor, *found.members, *found.joiners},
            "pods": pods,
            "probed": self._probed(),
            "whole pods": pods & {found.survivor, *found.members, *found.joiners},
            "masters": {name for name, facts in self.all_reached.items() if facts.master},
            "flannel": {name for name, f in self.all_reached.items() if f.flannel and f.flannel.in_use},
            "signed": set(self.undoing.hosts),
            "kept": set(self.undoing.hosts) & {self.undoing.survivor},
            "set aside": set(self.undoing.hosts) - {self.undoing.survivor},
        }
        if role not in chosen:
            raise ValueError(f"expected a role ({', '.join(chosen)}), found {role!r}")
        return tuple(name for name in (BASTION, *self.inventory.all_names) if name in chosen[role])

    def _touched(self) -> set[str]:
        found = self.found
        return {found.survivor, *found.others, *found.joiners, *self._probed(), *self._marked()}

    def _probed(self) -> set[str]:
        """Members of a quorum whose liveness probe would kill them while another one joins.

        One without it may be restarting, if a run was killed behind the edit: it is proven before the next one is edited.
        """
        found = self.found
        if not found.joiners or not found.acts or found.verdict is Verdict.LOST:
            return set()
        members = {name: f for name, f in self.reached.items() if name in found.members}
        wanting = {name for name, f in members.items() if wants_every_member(f)}
        return wanting | {name for name, f in members.items() if f.unit.probe_is_out and f.unit.runtime.runs_at_boot}

    def _unproven(self) -> set[str]:
        """The survivor, where its data is to be held against the backup once it was forced, by this run or before it."""
        survivor = self.found.survivor
        owed = survivor in self.reached and self.reached[survivor].owes_proof
        return {survivor} if owed or self.found.verdict is Verdict.LOST else set()

    def _answering(self) -> set[str]:
        return {name for name, facts in self.reached.items() if facts.api.answers}

    def _with_v2(self) -> set[str]:
        """Where etcd is to serve the v2 API, and can be asked for it, or its data is read."""
        lost = self.found.verdict is Verdict.LOST
        return {name for name, facts in self.reached.items() if facts.enables_v2 and (lost or facts.v2.served)}

    def _marked(self) -> set[str]:
        """Somebody, we or another, has been at work there; it must be seen to, or must stop the run."""
        whole = not self.found.missing
        marked = {n for n, f in self.reached.items() if f.mark or f.unit.fenced or forced_by_hand(f)}
        marked |= {n for n, f in self.reached.items() if f.unit.probe_is_out and whole}
        return marked | {n for n, f in self.reached.items() if f.forced_by and whole}

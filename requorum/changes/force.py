"""The force in etcd.conf: how an etcd in a container is forced."""

from __future__ import annotations

from dataclasses import dataclass, replace

from requorum.changes.change import Change
from requorum.changes.files import replaced
from requorum.facts.etcd_conf import FORCE_LINES, PATH
from requorum.facts.host import HostFacts
from requorum.facts.runtime import FORCE_SHELL


@dataclass(frozen=True)
class SetForce(Change):
    """Put Requorum's force at the beginning of etcd.conf, or take it away from there; nothing else there changes.

    The file is replaced whole: a cut leaves the one or the other. Unlike the force of a service it outlives a reboot;
    every survey sees it, says that it is ours, and owes that it goes.
    """

    present: bool

    def shown(self) -> str:
        sign = "+" if self.present else "-"
        return "\n".join([f"--- {PATH}", f"+++ {PATH}", *(f"{sign}{line}" for line in FORCE_LINES.splitlines())])

    def test(self) -> str:
        return f"{FORCE_SHELL}\n{'' if self.present else '! '}forced_by_us"

    def act(self) -> str:
        text = 'force_lines && cat "$path"' if self.present else f'tail -c +{len(FORCE_LINES) + 1} "$path"'
        return f"path={PATH}\n{replaced(f'{{ {text}; }}')}"

    def after(self, facts: HostFacts) -> HostFacts:
        conf = replace(facts.conf, forced=self.present)
        return replace(facts, conf=conf, unit=replace(facts.unit, force_file=self.present))

"""The force in etcd.conf: how an etcd in a container is forced."""

from __future__ import annotations

from dataclasses import dataclass, replace

from requorum.changes.change import LABELLED, Change, new_file
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
        text = f"force_lines && cat {PATH}" if self.present else f"tail -c +{len(FORCE_LINES) + 1} {PATH}"
        return f"""path={PATH}
[ ! -L "$path" ] || path=$(readlink -f "$path")
{new_file('"$path"')}
{{ {text}; }} > "$new" && chown --reference="$path" "$new" && chmod --reference="$path" "$new" || {{
  rm -f "$new"; return 1; }}
if {LABELLED}; then chcon --reference="$path" "$new" || {{ rm -f "$new"; return 1; }}; fi
sync "$new" && mv -fT "$new" "$path" && sync "$(dirname "$path")" || {{ rm -f "$new"; return 1; }}"""

    def after(self, facts: HostFacts) -> HostFacts:
        conf = replace(facts.conf, forced=self.present)
        return replace(facts, conf=conf, unit=replace(facts.unit, force_file=self.present))

"""Several changes of one host in one round trip."""

from __future__ import annotations

from dataclasses import dataclass

from requorum.changes.change import ClientChange
from requorum.facts.beside import Facts


@dataclass(frozen=True)
class Together(ClientChange):
    """One after the other, each begun only when the one before holds: cut off anywhere, it is made again from there.

    For changes without a wait of their own: no other may be made in between, and the journal has them as one.
    """

    changes: tuple[ClientChange, ...]

    def shown(self) -> str:
        """The last one is what the others prepare."""
        *others, last = (change.shown() for change in self.changes)
        return "\n".join([last, *others])

    def test(self) -> str:
        return " &&\n".join(f"{{ {change.test()}\n}}" for change in self.changes)

    def act(self) -> str:
        parts = []
        for change in self.changes:
            parts.append(f"there() {{\n{change.test()}\n}}\nmake() {{\n{change.act()}\n}}")
            parts.append("there || { make && there; } || return 1")
        return "\n".join(parts)

    def after(self, facts: Facts) -> Facts:
        for change in self.changes:
            facts = change.after(facts)
        return facts

"""Other runs on the hosts of this one: nothing is done beside them."""

from __future__ import annotations

from requorum import hostlock
from requorum.locking import Locked
from requorum.run import Run


def refuse_beside_another(run: Run, breaking: str) -> None:
    """Raise Locked where another run holds the lock of a host, or makes a change there."""
    holders = run.holders(breaking)
    if holders:
        first = run.all_reached[next(iter(holders.values()))[0]].lock.run
        where = "; ".join(f"on {', '.join(on)}: {who}" for who, on in holders.items())
        none = breaking and not run.locked_by(breaking)
        raise Locked(
            f"another run is under way {where}{f'; --break-lock {breaking}: that run holds none' if none else ''}",
            "wait until it has ended, or stop it with Ctrl-C where it runs; only if that machine is dead, add "
            f"--break-lock {first}",
        )
    busy = [name for name, facts in run.all_reached.items() if facts.lock.busy]
    if busy:
        raise Locked(
            f"a change that a killed run began still goes on on {', '.join(busy)}",
            f"`lslocks -u | grep {hostlock.PATH}` there shows it; then run the same command again",
        )

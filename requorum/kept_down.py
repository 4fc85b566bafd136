"""Etcd that is to stay down while others start: on hosts whose member has lost what it had acknowledged. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from requorum.causes import is_worthless, worth_of
from requorum.facts.host import HostFacts
from requorum.facts.runtime import ASIDE

ONLY_THEN = "only then start all of the following, in this order: whose log ends highest comes first"

_NEVER_DISABLED = ("static", "generated")
"""Without an [Install] section; something else may start such a unit, and `systemctl disable` says that it has no effect."""


def stays_down(facts: HostFacts) -> bool:
    """No etcd lives here, and no reboot starts one: by Requorum's fence, or by whatever an operator has typed."""
    unit = facts.unit
    if facts.processes or unit.is_running:
        return False
    if unit.fence_holds or unit.masked or unit.load == "not-found":
        return True
    return not unit.runtime.runs_at_boot if unit.runtime.kind == "static-pod" else unit.file_state == "disabled"


def keep_down(facts: HostFacts) -> str:
    """What to type on a host so that its etcd stops, and no reboot starts it."""
    runtime = facts.unit.runtime
    if runtime.kind != "static-pod":
        return _keep_unit_down(facts)
    if not runtime.runs_at_boot:  # moved out, and nobody has ended it
        return f"systemctl start {runtime.short}"
    # Without the node service nobody ends the pod whose manifest is gone.
    node = f"systemctl start {runtime.short} && " * (runtime.node != "active" and bool(facts.processes))
    return f"{node}mkdir -p {ASIDE.rpartition('/')[0]} && mv {runtime.manifest} {ASIDE}"


def _keep_unit_down(facts: HostFacts) -> str:
    unit, short = facts.unit, facts.unit.runtime.short
    if unit.load == "not-found":  # its file is gone; whoever was started by hand is of no unit
        return f"systemctl stop {short}" if unit.is_running else f"kill {' '.join(str(p.pid) for p in facts.processes)}"
    if unit.masked:
        return f"systemctl stop {short}"
    if unit.file_state not in _NEVER_DISABLED:
        return f"systemctl disable --now {short}"
    if unit.fragment.startswith("/etc/systemd/system/"):  # there systemd masks nothing: "File exists"
        return f"systemctl stop {short} && mv {unit.fragment} /root/ && systemctl daemon-reload"
    return f"systemctl mask --now {short}"


def without_memory(voters: Iterable[HostFacts]) -> tuple[str, ...]:
    """Which hosts of voters are to be kept down before any other is started or brought up: the data there is gone.

    Such a voter does not know what it has acknowledged. It votes for whoever starts first, also for one that lacks what
    it once held together with another; their quorum then overwrites that.
    """
    return tuple(
        f"{facts.name}: {keep_down(facts)} ({worth_of(facts)}: its member votes for whoever starts first, and what only the "
        "others hold is overwritten then)"
        for facts in voters
        if is_worthless(facts) and not stays_down(facts)
    )


def old_peers_first(old: Iterable[HostFacts]) -> tuple[str, ...]:
    """What to type on the hosts of removed members, where no run may fence them yet."""
    return tuple(
        f"{facts.name}: {keep_down(facts)} (before anything else: its member was removed, and with others of its kind it "
        "makes the old quorum)"
        for facts in old
        if not stays_down(facts)
    )

"""What was surveyed on a host, for a reader. Pure."""

from __future__ import annotations

from requorum.facts.beside import AnyFacts, BesideFacts
from requorum.facts.host import HostFacts, Silent


def told(facts: AnyFacts | Silent) -> tuple[tuple[str, str], ...]:
    """A host's facts for a reader."""
    if isinstance(facts, Silent):
        return (("silent", facts.reason), ("next", facts.advice))
    if isinstance(facts, BesideFacts):
        return (
            ("etcd", "none: it is beside the cluster"),
            ("host name", facts.machine.hostname),
            *_of_clients(facts),
            *_of_lock(facts),
        )
    lines = [
        ("etcd", f"{facts.conf.name}, version {facts.machine.etcd_version or 'unknown'}, {facts.unit.state}"),
        ("runs as", f"{facts.unit.runtime.kind}: {facts.unit.runtime.why}"),
        ("host name", facts.machine.hostname),
        ("answers", "a linearizable read" if facts.api.answers else "no linearizable read"),
        ("data", f"{facts.conf.data_dir}, {facts.machine.data_used} bytes, {facts.machine.data_free} free"),
    ]
    if facts.api.members:
        lines.append(("member list", ", ".join(f"{m.hex_id} {m.name}" for m in facts.api.members.members)))
    lines += [("endpoint health", line) for line in facts.api.health]
    lines += [("cluster-health (v2)", line) for line in facts.v2.health]
    lines.append(("v2 API", _told_v2(facts)))
    if facts.data is not None:
        lines.append(("on disk", facts.data.error or facts.data.words))
    lines += [*_of_clients(facts), *_of_lock(facts)]
    if facts.forced_by:
        waits = "hosts that it removed are still missing"
        if facts.forced_by.unseen:
            waits = f"{', '.join(facts.forced_by.unseen)}, silent then, are still to be seen"
        lines.append(("was forced", f"by recovery {facts.forced_by.recovery}; {waits}"))
    if facts.mark:
        lines.append(("mark", f"recovery {facts.mark.recovery} by {facts.mark.operator}"))
    return tuple(lines)


def _of_clients(facts: AnyFacts) -> list[tuple[str, str]]:
    lines = []
    if facts.master is not None:
        lines.append(("master", f"names {', '.join(facts.master.config.urls)}"))
    if facts.flannel is not None:
        named = ", ".join(facts.flannel.config.urls)
        unused = "" if facts.flannel.in_use else "; nobody uses it here, and it is left as it is"
        lines.append(("Flannel", f"flanneld is {facts.flannel.active}, and names {named}{unused}"))
    return lines


def _of_lock(facts: AnyFacts) -> list[tuple[str, str]]:
    lock = facts.lock
    return [("lock", f"{lock.words}; it {'lives' if lock.alive else 'has ended'}")] if lock.run else []


def _told_v2(facts: HostFacts) -> str:
    if facts.v2.served:
        return "; ".join(("served", *(facts.v2.unlike(facts.api.members))))
    if not facts.enables_v2:
        return "off: switched off, or etcd 3.4 or later without ETCD_ENABLE_V2"
    if facts.v2.there and not facts.v2.speaks:
        return "on, and the etcdctl here does not speak it: install the one of this etcd"
    return (
        f"on, and not answered: {facts.v2.error}" if facts.v2.asked else "on; no member that could be asked runs here"
    )

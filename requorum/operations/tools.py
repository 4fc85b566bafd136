"""Operations on etcd and etcdctl of an image: the host may have none, or others."""

from __future__ import annotations

from requorum.changes import Change, KeepTools, RemoveTools
from requorum.facts.host import HostFacts


def keep(facts: HostFacts) -> list[Change]:
    """Have them on the host while no container runs: they read its data, and tell the version once no container is left."""
    return [] if facts.unit.runtime.kind == "service" else [KeepTools(facts.name, facts.image)]


def forget(facts: HostFacts) -> list[Change]:
    """Remove them."""
    return [] if facts.unit.runtime.kind == "service" else [RemoveTools(facts.name)]

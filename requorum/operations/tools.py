"""Operations on etcd and etcdctl of an image: the host may have none, or others."""

from __future__ import annotations

from requorum.changes import Change, KeepTools, RemoveTools
from requorum.facts.host import HostFacts


def keep(facts: HostFacts) -> list[Change]:
    """Have them on the host while no container runs, where there is data to be read with them, and where a pod is.

    A run that is typed again asks for their version: of a pod that is fenced, no container and no log is left by then.
    """
    runtime, pod = facts.unit.runtime, facts.unit.pod
    if runtime.kind == "service" or not (facts.has_data or pod):
        return []
    return [KeepTools(facts.name, pod.manifest.image if pod else runtime.image)]


def forget(facts: HostFacts) -> list[Change]:
    """Remove them."""
    return [] if facts.unit.runtime.kind == "service" else [RemoveTools(facts.name)]

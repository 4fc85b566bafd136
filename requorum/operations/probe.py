"""Operations on the liveness probe of etcd's static pod.

It asks for the cluster's health: without a quorum the node service kills etcd, again and again, in the middle of whatever
a recovery does with it.
"""

from __future__ import annotations

from requorum.changes import AwaitPod, Change, EditManifest, KeepManifest, RemoveFile
from requorum.facts.host import HostFacts, MissingFact
from requorum.facts.manifest import KEPT, ManifestError
from requorum.facts.merged import merged
from requorum.facts.runtime import MANIFEST, PARKED
from requorum.runtimes import wants_every_member


def take_out(facts: HostFacts) -> list[Change]:
    """Take the probe out of the manifest of a pod that was just stopped; how it was is kept. Nothing where there is none.

    Never while the survivor of a loss runs: the node service starts a pod anew whose manifest changes, and while it is away
    for that moment, emptied peers found a new cluster under the old IDs, which it then joins (seen).
    Raises MissingFact where it cannot be taken out, which stage 1 tells before anything is changed.
    """
    return _without(facts, PARKED)


def take_out_of_living(facts: HostFacts) -> list[Change]:
    """The same of a pod that runs, which restarts it: only where a quorum answers, and every emptied peer is fenced.

    Nothing where the probe is content with one healthy member. Raises MissingFact as `take_out` does.
    Where it is out already, a run may have been killed behind the edit: its restart is awaited, for the next pod has to wait.
    """
    if facts.unit.probe_is_out and not facts.unit.probed:
        return _awaited(facts, may_stay=True)
    made = _without(facts, MANIFEST) if wants_every_member(facts) else []
    return [*made, *(_awaited(facts) if made else [])]


def _without(facts: HostFacts, at: str) -> list[Change]:
    pod = facts.unit.pod
    if pod is None or not pod.manifest.probed:
        return []
    try:
        text = pod.manifest.without_probe
    except ManifestError as error:
        raise MissingFact(facts.name, f"a liveness probe that can be taken out of {at}", str(error)) from None
    return [KeepManifest(facts.name, at, pod.manifest.sha256), EditManifest(facts.name, at, text, pod.manifest.text)]


def give_back(facts: HostFacts) -> list[Change]:
    """Undo `take_out`: the manifest as it was found, byte for byte, with what others have written into it since.

    Raises MissingFact where others have changed the same lines.
    """
    pod, at = facts.unit.pod, facts.unit.runtime.manifest
    if pod is None or pod.kept is None:
        return []
    forget = RemoveFile(facts.name, KEPT)
    text = with_probe(facts)
    if text is None:
        raise MissingFact(facts.name, f"{at} as it was found ({KEPT}), without its probe", "a file that others edited")
    # A run that was killed behind this edit has not seen its restart. The edit before it may have come to nothing, if one was
    # killed behind that: then the node service restarts nothing.
    edit = [EditManifest(facts.name, at, text, pod.manifest.text)] if text != pod.manifest.text else []
    return [*edit, *_awaited(facts, may_stay=True), forget]


def give_back_parked(facts: HostFacts) -> list[Change]:
    """The same where nobody runs the manifest: one that is run restarts its pod, and not all of them may at once."""
    return give_back(facts) if facts.unit.runtime.manifest != MANIFEST else []


def with_probe(facts: HostFacts) -> str | None:
    """The manifest with its probe again; None where others have edited it so that this cannot be told."""
    pod = facts.unit.pod
    if pod is None or pod.kept is None:
        return None
    if pod.manifest.probed:  # of an installer's run meanwhile, or never taken out
        return pod.manifest.text
    return merged(pod.kept.without_probe, pod.kept.text, pod.manifest.text)


def _awaited(facts: HostFacts, *, may_stay: bool = False) -> list[Change]:
    """Of a pod that runs on data: an emptied one comes and goes, and is fenced soon."""
    if facts.unit.runtime.manifest != MANIFEST or not facts.has_data:
        return []
    return [AwaitPod(facts.name, one.pid, one.started, may_stay) for one in facts.processes[:1]]

"""How etcd runs on the hosts: what contradicts the inventory or itself, and what keeps each way from being worked. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from requorum.facts import etcd_conf
from requorum.facts.host import HostFacts
from requorum.facts.machine import release_of
from requorum.facts.manifest import ManifestError
from requorum.facts.runtime import MANIFEST, PARKED, PODS


def contradictions(reached: Sequence[HostFacts], declared: str) -> tuple[list[str], list[str]]:
    """Where the runtime that was found is not the one declared, or not the only one, and what to do; empty elsewhere."""
    proof, advice = [], []
    for facts in reached:
        runtime = facts.unit.runtime
        if declared not in ("auto", runtime.kind):
            proof.append(
                f"{facts.name}: expected etcd as the inventory declares it (etcd.runtime: {declared}), found a "
                f"{runtime.kind}: {runtime.why}"
            )
            advice.append("write `runtime: auto` in the inventory, or mend on the host what makes it look otherwise")
        for other in runtime.beside:
            proof.append(
                f"{facts.name}: etcd is a {runtime.kind} ({runtime.why}), and {other} is switched on there, too"
            )
            advice.append(
                f"{facts.name}: two etcds on one host must not be: take away the one that does not run your cluster; "
                f"if that is {other}: systemctl disable --now {other} && systemctl mask {other}"
            )
    doubled, correction = doubles(reached)
    return proof + doubled, list(dict.fromkeys(advice + correction))


def doubles(reached: Sequence[HostFacts]) -> tuple[list[str], list[str]]:
    """Where a static pod has a second manifest, so that it could be neither stopped nor started, and what to do.

    A copy where an operator has put it aside is none: nothing runs it, and no move meets it while another is there.
    """
    proof, advice = [], []
    for facts in reached:
        for stray in facts.unit.runtime.strays:
            proof.append(
                f"{facts.name}: {stray} is another manifest of etcd, and the node service runs every file there"
            )
            advice.append(f"{facts.name}: move {stray} out of {PODS}, if it is a copy of {MANIFEST}")
        if facts.unit.runtime.over_fence:
            proof.append(
                f"{facts.name}: there are two manifests of etcd: {PARKED}, where a recovery has put it, and {MANIFEST}, "
                "which the node service runs"
            )
            advice.append(f"{facts.name}: {_one_of_two(facts)}")
    return proof, advice


def _one_of_two(facts: HostFacts) -> str:
    """Which of the two manifests is to go. While a recovery's mark is there, the one that it did not put there."""
    away = f"mv {MANIFEST} /root/ (the node service then ends the etcd that it runs)"
    written = f"a playbook has probably written {MANIFEST} over the fence, and etcd runs there with what data it had"
    if facts.mark is not None:
        return f"{written}: {away}"
    return (
        f"is this host a member of your cluster, by `etcdctl member list` on another one? Then mv {PARKED} /root/; if not, "
        f"{written}: {away}"
    )


def probes_to_return(reached: Sequence[HostFacts]) -> list[str]:
    """The manifests that a recovery has left without their liveness probe, in words."""
    out = [facts.name for facts in reached if facts.unit.probe_is_out]
    return [f"the liveness probe of etcd is to return into the manifest on {name}" for name in out]


def wants_every_member(facts: HostFacts) -> bool:
    """The liveness probe of a static pod fails, and has etcd killed, unless every member that is listed is healthy.

    `etcdctl cluster-health` does from 3.3 on, its own release and not the server's; 3.2 is content with one of them.
    """
    pod = facts.unit.pod
    if pod is None or not pod.manifest.of_cluster:
        return False
    return release_of(pod.probing or facts.machine.etcd_version) >= (3, 3)


def unworkable(facts: HostFacts) -> list[str]:
    """What keeps etcd from being stopped, started or forced the way that it runs here; empty where nothing does."""
    runtime, found = facts.unit.runtime, list[str]()
    if facts.unit.load not in ("loaded", "masked"):
        found.append(
            f"{runtime.unit} is {facts.unit.load}: etcd is looked for as a service, as a container that "
            f"etcd_container.service runs, and as a static pod ({MANIFEST})"
        )
    if runtime.kind == "static-pod" and runtime.node != "active":
        found.append(
            f"{runtime.unit} is {runtime.node}: it alone starts and ends static pods: systemctl start {runtime.unit}"
        )
    found += _kept_probe(facts)
    if not _reads_conf(facts):
        found.append(f"{runtime.manifest or runtime.unit} does not read {etcd_conf.PATH} ({_HOW[runtime.kind]})")
    if runtime.force_in_conf and facts.conf.get("ETCD_FORCE_NEW_CLUSTER"):
        found.append(
            f"{etcd_conf.PATH} sets ETCD_FORCE_NEW_CLUSTER: take the line away; that is how etcd is to be forced"
        )
    return found + not_bare(facts)


def _kept_probe(facts: HostFacts) -> list[str]:
    """Why the liveness probe cannot be taken out of the manifest, which a recovery does once etcd is stopped there."""
    try:
        _ = facts.unit.pod and facts.unit.pod.manifest.without_probe
    except ManifestError as error:
        return [
            f"{facts.unit.runtime.manifest}, {error}: write its container so, as a copy outside of the folder, and move "
            "that over it. The node service then restarts the pod: not while an etcd without its data runs elsewhere"
        ]
    return []


def not_bare(facts: HostFacts) -> list[str]:
    """The values whose quotes and blanks docker hands to etcd as they are; empty where nobody reads them so."""
    if facts.unit.runtime.kind != "container":
        return []
    return [
        f"{etcd_conf.PATH}, line {line}: expected a bare value, for docker takes quotes and blanks as part of it; found {said!r}"
        for line, said in facts.conf.not_bare
    ]


_HOW = {"service": "EnvironmentFile", "container": "--env-file", "static-pod": "source"}


def _reads_conf(facts: HostFacts) -> bool:
    unit = facts.unit
    if unit.runtime.kind == "container":
        return etcd_conf.PATH in unit.exec_start or unit.masked
    if unit.pod is not None:
        return etcd_conf.PATH in unit.exec_start
    return etcd_conf.PATH in unit.environment_files or unit.masked

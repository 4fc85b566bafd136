"""What stands in the way of any verdict, whatever the members' data says. Pure; the run stops before any change."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from requorum.facts import etcd_conf, mark
from requorum.facts.beside import AnyFacts
from requorum.facts.host import HostFacts, Silent
from requorum.facts.master_config import host_of
from requorum.facts.process import Process
from requorum.inventory import Inventory
from requorum.naming import places
from requorum.silence import Survey, given_up, listening, places_of_host

_NO_USERS = (
    "this version of Requorum cannot log in to etcd, and could not prove what it does: where a quorum answers, "
    "`etcdctl --user root auth disable` until the recovery has ended; where none does, recover by hand"
)


def answered_by_v2(reached: Sequence[HostFacts]) -> str:
    """Where no host answers the v3 API: which of them say by the v2 API that a quorum is there; empty where none does."""
    spoken = ", ".join(facts.name for facts in reached if facts.v2.has_quorum)
    return f"no host answers the v3 API, and the v2 API of {spoken} says that a member is healthy" if spoken else ""


def obstacles(reached: Sequence[HostFacts], inventory: Inventory) -> tuple[list[str], list[str]]:
    """What stands in the way of any verdict on these hosts, and what to do about it; empty where nothing does."""
    proof, advice = mistaken(reached, (), inventory.all_names)
    for facts in reached:
        if facts.mark is not None and facts.mark.cluster != inventory.cluster:
            of = facts.mark.cluster
            proof.append(f"the mark on {facts.name} is of the cluster {of}, and the inventory of {inventory.cluster}")
            advice.append(f"use the inventory of {of}; if this one has another name for it, write `cluster: {of}`")
        on_disk = facts.data is not None and facts.data.db is not None and facts.data.db.auth_enabled
        if on_disk or facts.api.denied:
            proof.append(
                f"{facts.name}: etcd's users and roles are switched on: {facts.api.error or 'in its database'}"
            )
            advice.append(_NO_USERS)
        apart = [p for p in facts.processes if p.data_dir not in ("", facts.conf.data_dir)]
        beside = apart if len(apart) < len(facts.processes) else []  # where the member lives, too
        if beside:
            said = ", ".join(f"{process.pid} (data directory {process.data_dir})" for process in beside)
            proof.append(f"{facts.name}: beside the member another etcd lives: process {said}")
            advice.append(
                f"{facts.name}: is that another cluster's, or a test's? `systemctl status {beside[0].pid}` says what "
                "started it; end it until the recovery has ended"
            )
        instead = [] if beside else apart
        if elsewhere := _elsewhere(facts, instead):
            end_it = "; or, if that process is no member of this cluster, end it" * bool(instead)
            proof.append(f"{facts.name}: etcd is not started with what {etcd_conf.PATH} says: {'; '.join(elsewhere)}")
            advice.append(
                f"{facts.name}: write these values into {etcd_conf.PATH}, take them away where they are, and run "
                f"`systemctl daemon-reload`; do not restart etcd for it{end_it}"
            )
    return proof, list(dict.fromkeys(advice))


def mistaken(
    hosts: Sequence[AnyFacts], earlier: Sequence[AnyFacts], names: Sequence[str]
) -> tuple[list[str], list[str]]:
    """Which hosts lead to a machine that is another's of them, or of the `earlier` ones, and what to do; `names`: of all."""
    proof, advice = [], []
    for number, facts in enumerate(hosts):
        for other in (*earlier, *hosts[:number]):
            if other.machine.identity == facts.machine.identity:
                called = facts.machine.hostname
                proof.append(f"{other.name} and {facts.name} lead to the same machine, which calls itself {called}")
                advice.append(
                    f"correct the address of {other.name} or of {facts.name} in the inventory (or in ssh_config)"
                )
    for facts in hosts:
        owner = _owner(facts.machine.hostname, names)
        if owner not in ("", facts.name):
            proof.append(f"the machine that {facts.name} leads to calls itself {facts.machine.hostname}")
            advice.append(f"are the addresses of {facts.name} and {owner} exchanged? Correct them in the inventory")
    return proof, advice


def _elsewhere(facts: HostFacts, instead: Sequence[Process]) -> list[str]:
    """What says otherwise than etcd.conf where a member's data, names and certificates are; empty where nothing does.

    `instead`: the processes with another data directory, where none has the one of etcd.conf.
    """
    said = facts.conf.data_dir or "nothing"
    return [
        *facts.unit.overrides,
        *(f"{flag} in ExecStart" for flag in facts.unit.overriding_flags),
        *(f"the living etcd {p.pid} has the data directory {p.data_dir}, the file says {said}" for p in instead),
    ]


def other_recovery(inventory: Inventory, survey: Survey, members: Collection[str] = ()) -> tuple[list[str], list[str]]:
    """Why what an unfinished recovery has done cannot be known, and what to do about it; empty where it can.

    The survivor that a mark names may have been forced, and have taken writes since: unless its data says what it is, no
    other data may be started or forced, nor another quorum gone on with. `members`: the hosts of the quorum that answers;
    of a survivor that it lists it is judged as of any member.
    """
    marks = [
        (facts.name, facts.mark)
        for facts in survey.values()
        if isinstance(facts, HostFacts) and facts.mark and facts.mark.survivor not in members
    ]
    if len({found.survivor for _, found in marks}) > 1 and len({found.recovery for _, found in marks}) > 1:
        said = [
            f"{name} bears the mark of recovery {found.recovery} by {found.operator}, survivor {found.survivor}"
            for name, found in marks
        ]
        return said, [
            "find out which recovery forced its survivor last (its operator's reports say so): that survivor's data is "
            f"the cluster's; on the hosts that bear the other mark: rm {mark.PATH}"
        ]
    proof, advice = [], []
    for survivor, found in sorted({found.survivor: found for _, found in marks}.items()):
        why = _unread(survivor, inventory, survey)
        if why:
            proof.append(
                f"recovery {found.recovery} by {found.operator} is unfinished, and may have forced its survivor "
                f"{survivor}, which {why}"
            )
            advice.append(bring_up(survivor, inventory, survey))
    return proof, advice


def removed_elsewhere(inventory: Inventory, survey: Survey, fenced: Sequence[HostFacts]) -> tuple[list[str], list[str]]:
    """Why members on these hosts (`lineage.left_fenced`) may be neither started nor forced; empty where they may.

    The cluster that they were removed from may live, and have taken writes since, wherever the data is not known.
    """
    if not fenced:
        return [], []
    names, known = ", ".join(facts.name for facts in fenced), places(inventory, survey)
    here = {f.data.node_id for f in survey.values() if isinstance(f, HostFacts) and f.data}
    found, advice = [], []
    for host in inventory.etcd.hosts:
        if why := _unread(host.name, inventory, survey):
            found.append(f"{host.name}, which {why}")
            advice.append(bring_up(host.name, inventory, survey))
    for member in {m.id: m for f in fenced if f.data for m in f.data.members if m.id not in here}.values():
        if not any(host_of(url) in known for url in member.peer_urls):
            found.append(
                f"the host of {member.name} ({', '.join(member.peer_urls)}), which the inventory does not have"
            )
            advice.append(
                f"put the host of {member.name} back under etcd.hosts in the inventory, with `lost: true` if it will not "
                "come back"
            )
    if not found:
        return [], []
    said = f"a recovery has fenced {names}, and left no mark: the cluster that has removed their members may live on"
    return [f"{said} {place}" for place in found], [*advice, f"do not start etcd on {names}: that is the old cluster"]


def bring_up(survivor: str, inventory: Inventory, survey: Survey) -> str:
    """What to do about a host that may have been forced, and whose data is not known."""
    if survivor in survey and _heard(survivor, inventory, survey):
        return f"mend SSH on {survivor}, or take the host's power, and run the same command again"
    return (
        f"bring up {survivor} with its data, and run the same command again; or, if it will not come back, "
        "write `lost: true` for it under etcd.hosts: writes that it took since it was forced are lost then"
    )


def _unread(name: str, inventory: Inventory, survey: Survey) -> str:
    """Why the data of a recovery's survivor is not known; empty where it is, or is known to be gone."""
    if name not in survey:
        return "the inventory does not have"
    facts = survey[name]
    if isinstance(facts, Silent):
        heard = _heard(name, inventory, survey)
        alive = f", and whose etcd lives: {heard}" if heard else ""
        return "" if given_up(name, inventory, survey) else f"is silent ({facts.reason}){alive}"
    if facts.data is not None and facts.data.error and not inventory.host(name).lost:
        return f"has data that cannot be read ({facts.data.error})"
    return ""


def _heard(name: str, inventory: Inventory, survey: Survey) -> str:
    return listening(places_of_host(name, inventory, survey), survey)


def _owner(hostname: str, names: Sequence[str]) -> str:
    """The host of the inventory that has this name, with or without its domain; empty where none has."""
    if hostname in names:
        return hostname
    short = [name for name in names if name.partition(".")[0] == hostname.partition(".")[0]]
    return short[0] if len(short) == 1 and ("." not in hostname or "." not in short[0]) else ""

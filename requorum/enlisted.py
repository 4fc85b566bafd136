"""Who stands in the group [etcd] of an Ansible inventory, who is to leave it, and who is to be back. Pure.

The text that is wanted is made from the original, whenever what lies there is the original less some hosts: then it is
byte for byte what it was as soon as everybody is back. A file that somebody has edited since is edited where it must be.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from requorum.diagnosis import Diagnosis, Verdict, host_of
from requorum.facts.ansible_file import AnsibleFile
from requorum.facts.ansible_groups import NotEditable
from requorum.facts.ansible_inventory import GROUP
from requorum.facts.ansible_inventory import Inventory as Ansible
from requorum.facts.ansible_kept import Kept
from requorum.facts.host import HostFacts
from requorum.facts.members import Member
from requorum.inventory import Inventory
from requorum.silence import Survey

_NAMES = ("openshift_public_hostname", "openshift_hostname", "etcd_hostname")
_ADDRESSES = ("ansible_host", "ansible_ssh_host", "etcd_ip", "openshift_ip")


@dataclass(frozen=True)
class Places:
    """Under which name each host of our inventory stands in [etcd], which stand for several, and who is none of ours."""

    names: Mapping[str, str]
    several: Mapping[str, tuple[str, ...]]
    strangers: tuple[str, ...]


def places(inventory: Inventory, ansible: Ansible) -> Places:
    """By the name that our inventory has, else by the variables that stand beside a host."""
    listed = ansible.hosts
    names: dict[str, str] = {}
    several: dict[str, tuple[str, ...]] = {}
    for host in inventory.etcd.hosts:
        own = [name for name in listed if name.casefold() == host.name.casefold()]
        said = own or [name for name in listed if _told(ansible.groups.variables(name), name, host.name, host.address)]
        if len(said) == 1:
            names[host.name] = said[0]
        elif said:
            several[host.name] = tuple(said)
    for name in {n for n in names.values() if list(names.values()).count(n) > 1}:
        for host_name in [h for h, n in names.items() if n == name and h.casefold() != name.casefold()]:
            several[host_name] = (names.pop(host_name),)
    taken = {*names.values(), *(name for found in several.values() for name in found)}
    return Places(names, several, tuple(name for name in listed if name not in taken))


def _told(variables: Mapping[str, set[str]], name: str, ours: str, address: str) -> bool:
    """An entry is this host, by its variables, or by an address in the place of its name."""
    said = {value.casefold() for key in _NAMES for value in variables.get(key, ())}
    places_ = {value for key in _ADDRESSES for value in variables.get(key, ())} | {name}
    return ours.casefold() in said or bool(places_ & {address, ours})


def staying(inventory: Inventory, survey: Survey, found: Diagnosis) -> set[str]:
    """The hosts whose members are in the cluster once the others have been taken out."""
    facts = survey.get(found.survivor)
    if found.verdict is Verdict.LOST or not isinstance(facts, HostFacts) or facts.api.members is None:
        return {found.survivor}
    removed = {member.id for member in found.removals}
    kept = tuple(member for member in facts.api.members.members if member.id not in removed)
    return {found.survivor, *at_home(inventory, survey, kept)}


def at_home(inventory: Inventory, survey: Survey, members: Collection[Member]) -> set[str]:
    """The hosts of voting members."""
    return {name for m in members if not m.is_learner and (name := host_of(m, inventory, survey))}


def _read(file: AnsibleFile) -> tuple[Ansible, Ansible | None]:
    """What lies there, and, where that is the original less some hosts, the original."""
    present = Ansible(file.path, file.text)
    if file.kept is None:
        return present, present
    original = Ansible(file.path, file.original)
    gone = [host for host in original.hosts if host not in present.hosts]
    try:
        return present, original if original.without(gone) == file.text else None
    except NotEditable:
        return present, None


def edited(inventory: Inventory, file: AnsibleFile, out: Collection[str]) -> str:
    """The text in which these hosts of ours are out of [etcd], and the others in it, as they were. Raises NotEditable."""
    present, original = _read(file)
    if original is not None:
        found = places(inventory, original)
        strangers = {name for name in found.strangers if name not in present.hosts}
        return original.without({found.names[host] for host in out if host in found.names} | strangers)
    here = places(inventory, present)
    text = present.without({here.names[host] for host in out if host in here.names})
    before = Ansible(file.path, file.original)
    names = places(inventory, before).names
    away = {names[host] for host in out if host in names}
    back = [name for name in (file.kept.out if file.kept else ()) if name not in away]
    return Ansible(file.path, text).with_again(before, back)


def restored(file: AnsibleFile) -> str:
    """The text in which [etcd] is what the recovery that is undone found. Raises NotEditable."""
    present, original = _read(file)
    taken = [name for name in file.kept.out if name not in file.kept.before] if file.kept else []
    if original is not None:
        return original.without([n for n in original.hosts if n not in present.hosts and n not in taken])
    return present.with_again(Ansible(file.path, file.original), taken)


def absent(inventory: Inventory, file: AnsibleFile) -> set[str]:
    """The hosts of ours that do not stand in [etcd]."""
    found = places(inventory, Ansible(file.path, file.text))
    return {host for host in inventory.host_names if host not in found.names}


def taken_out(inventory: Inventory, file: AnsibleFile) -> tuple[str, ...]:
    """The hosts of ours that a recovery took out of [etcd], and that are not back in it."""
    if not file.editable or file.kept is None:
        return ()
    names = places(inventory, Ansible(file.path, file.original)).names
    here = Ansible(file.path, file.text).hosts
    return tuple(h for h in inventory.host_names if (n := names.get(h)) in file.kept.out and n not in here)


def outside(inventory: Inventory, file: AnsibleFile, text: str) -> tuple[str, ...]:
    """Who of the original's group is out of it in `text`, by the names that stand there."""
    present, original = _read(file)
    before = original or (Ansible(file.path, file.original) if file.kept else present)
    hosts = Ansible(file.path, text).hosts
    return tuple(name for name in before.hosts if name not in hosts)


def note_of(file: AnsibleFile, recovery: str, copy: str, out: tuple[str, ...]) -> Kept:
    """What is to be written down before these are out: the original stays the one that was kept first."""
    old = file.kept
    if old is None or set(old.out) <= set(Ansible(file.path, file.text).hosts):
        return Kept(str(file.path), recovery, copy, file.sha256, file.mode, file.owner, out)
    before = old.before if old.recovery == recovery else old.out
    return replace(old, recovery=recovery, out=out, before=before)


def wrong_with(inventory: Inventory, file: AnsibleFile, leaving: Collection[str]) -> list[str]:
    """Why these hosts cannot be taken out of [etcd] without a guess; empty where they can."""
    if not file.editable:
        return [file.wrong] if file.wrong else []
    present = Ansible(file.path, file.text)
    if not present.groups.declares(GROUP):
        return [f"{file.path} has no group [{GROUP}]: is it the right file?"]
    if left_aside(file):
        return []
    found = places(inventory, present)
    gone = taken_out(inventory, file)
    problems = [
        f"{host} may be any of {', '.join(found.several[host])} in [{GROUP}]"
        for host in leaving
        if host in found.several
    ]
    lost = [h for h in inventory.host_names if h in leaving and h not in {*found.names, *found.several, *gone}]
    if lost and found.strangers:
        problems.append(
            f"{', '.join(lost)} must leave [{GROUP}] and cannot be found in it; it holds {_lines(present, found.strangers)}, "
            "which may be the same"
        )
    if present.hosts and set(present.hosts) <= {found.names[host] for host in leaving if host in found.names}:
        problems.append(f"nobody would be left in [{GROUP}]: the members that stay are not in it")
    try:
        edited(inventory, file, {*leaving, *absent(inventory, file)})
    except NotEditable as error:
        problems.append(str(error))
    return problems


def left_aside(file: AnsibleFile) -> str:
    """Why the file is left to the operator; empty where it is edited."""
    if file.aside or file.wrong:
        return file.aside
    groups = Ansible(file.path, file.text).groups
    children = groups.children.get(GROUP, [])
    if children and not groups.of(GROUP):
        return f"[{GROUP}] is a group of groups ({', '.join(children)})"
    return ""


def told(inventory: Inventory, file: AnsibleFile, leaving: Collection[str], joiners: Collection[str]) -> list[str]:
    """What the operator should know of a file that is edited."""
    present = Ansible(file.path, file.text)
    found = places(inventory, present)
    gone = taken_out(inventory, file)
    lines = []
    for host in inventory.host_names:
        if host in found.names or host in gone or host in found.several:
            continue
        also = present.groups.groups_of(host)
        where = f"; it stands in [{'], ['.join(also)}]" if also else ""
        what = (
            "it is not put there" if host in joiners else "nothing is to be taken out" if host in leaving else "add it"
        )
        lines.append(f"{host} does not stand in [{GROUP}] of {file.path}{where}: {what}")
    lines += [f"[{GROUP}] of {file.path} has {name}, which etcd.hosts does not have" for name in found.strangers]
    return lines


def first_after(inventory: Inventory, file: AnsibleFile, leaving: Collection[str]) -> tuple[str, str]:
    """The first host of [etcd] that leaves it, and who is first then, by our names; two empty words where it stays."""
    present = Ansible(file.path, file.text)
    ours = {name: host for host, name in places(inventory, present).names.items()}
    names = [ours.get(name, name) for name in present.hosts]
    stay = [name for name in names if name not in leaving]
    return (names[0], stay[0]) if names and stay and names[0] != stay[0] else ("", "")


def first(inventory: Inventory, file: AnsibleFile) -> str:
    """The first host of [etcd], by our name; empty where it is none of ours."""
    present = Ansible(file.path, file.text)
    ours = {name: host for host, name in places(inventory, present).names.items()}
    return ours.get(present.hosts[0], "") if present.hosts else ""


def _lines(ansible: Ansible, names: Collection[str]) -> str:
    return ", ".join(
        f"{name} (line {next(e.line for e in ansible.groups.of(GROUP) if name in e.hosts)})" for name in names
    )


def disagreements(inventory: Inventory, file: AnsibleFile, members: Collection[str]) -> list[str]:
    """Where [etcd] and the member list do not name the same hosts."""
    if not file.editable or left_aside(file):
        return [file.wrong] if file.wrong else []
    present = Ansible(file.path, file.text)
    found = places(inventory, present)
    gone = taken_out(inventory, file)
    lines = [
        f"{host} is a member, and not in [{GROUP}]" + (": a recovery took it out" if host in gone else "")
        for host in inventory.host_names
        if host in members and host not in found.names
    ]
    lines += [
        f"{name} is in [{GROUP}], and no member runs on {host}"
        for host, name in found.names.items()
        if host not in members
    ]
    return lines + [f"{name} is in [{GROUP}], and etcd.hosts does not have it" for name in found.strangers]


def owed(inventory: Inventory, file: AnsibleFile, found: Diagnosis) -> Diagnosis:
    """The diagnosis of a healthy cluster whose members a recovery took out of [etcd], and has not put back: unfinished."""
    back = [host for host in taken_out(inventory, file) if host in found.members]
    if found.verdict is not Verdict.HEALTHY or not back:
        return found
    proof = (
        *found.proof,
        *(f"{host} is a member, and is to be put back into [{GROUP}] of {file.path}" for host in back),
    )
    return replace(found, verdict=Verdict.UNFINISHED, proof=proof)

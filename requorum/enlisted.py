"""Who stands in the group [etcd] of an Ansible inventory, who is to leave it, and who is to be back. Pure.

The text that is wanted is made from the original, whenever what lies there is the original less some hosts: then it is
byte for byte what it was as soon as everybody is back. A file that somebody has edited since is edited where it must be.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from requorum.diagnosis import Diagnosis, Verdict
from requorum.facts.ansible_file import AnsibleFile
from requorum.facts.ansible_groups import Malformed, NotEditable
from requorum.facts.ansible_inventory import GROUP
from requorum.facts.ansible_inventory import Inventory as Ansible
from requorum.facts.ansible_kept import Kept
from requorum.facts.host import HostFacts
from requorum.facts.members import Member
from requorum.inventory import Inventory
from requorum.lineage import host_of
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
    ways = {file.kept.first, file.kept.first_before, ""}
    try:
        ours = any(_less(file, original, gone, first) == file.text for first in ways)
    except NotEditable:
        ours = False
    return present, original if ours else None


def _less(file: AnsibleFile, original: Ansible, out: Collection[str], first: str) -> str:
    """The original less these hosts, and `first` where its own first host is, if that is out. Raises NotEditable."""
    return _ordered(file, original.without(out), original, first)


def _ordered(file: AnsibleFile, text: str, original: Ansible, first: str, moved: str = "") -> str:
    """The text with `first` first in [etcd] while the original's first host is out; else with `moved` where it was.

    As it is where a line cannot be moved: that is told, and no reason not to recover.
    """
    here = Ansible(file.path, text)
    stay = [name for name in original.hosts if name in here.hosts]
    try:
        if stay[:1] != list(original.hosts[:1]):
            return here.moved(first, (first, *here.hosts)) if first in here.hosts[1:] else text
        apart = moved in stay and stay != [name for name in here.hosts if name in stay]
        return here.moved(moved, original.hosts) if apart else text
    except (NotEditable, Malformed):
        return text


def to_be_first(inventory: Inventory, file: AnsibleFile, out: Collection[str], holders: Collection[str]) -> str:
    """Who is to be put first in [etcd] while these hosts of ours are out; empty where that is as the file has it.

    A host that holds the CA, where the first one is out: openshift-ansible takes the first one for the CA's. One that
    was put there stays there while no other is known to hold it.
    """
    present, original = _read(file)
    before = original or (Ansible(file.path, file.original) if file.kept else present)
    names = places(inventory, before).names
    gone = {names[host] for host in out if host in names}
    stay = [name for name in before.hosts if name in present.hosts or name in names.values() if name not in gone]
    if not stay or stay[0] == before.hosts[0]:
        return ""
    known = [name for name in stay if name in {names[host] for host in holders if host in names}]
    kept = file.kept.first if file.kept else ""
    first = kept if kept in (known or stay) else known[0] if known else ""
    return first if first != stay[0] else ""


def edited(inventory: Inventory, file: AnsibleFile, out: Collection[str], first: str = "") -> str:
    """The text in which these hosts of ours are out of [etcd], and the others in it, as they were. Raises NotEditable.

    `first`: the name in [etcd] of who stands first there while the first one is out.
    """
    present, original = _read(file)
    if original is not None:
        found = places(inventory, original)
        strangers = {name for name in found.strangers if name not in present.hosts}
        away = {found.names[host] for host in out if host in found.names} | strangers
        return _less(file, original, away, first)
    here = places(inventory, present)
    text = present.without({here.names[host] for host in out if host in here.names})
    before = Ansible(file.path, file.original)
    names = places(inventory, before).names
    away = {names[host] for host in out if host in names}
    back = [name for name in (file.kept.out if file.kept else ()) if name not in away]
    text = Ansible(file.path, text).with_again(before, back)
    return _ordered(file, text, before, first, file.kept.first if file.kept else "")


def restored(file: AnsibleFile) -> str:
    """The text in which [etcd] is what the recovery that is undone found. Raises NotEditable."""
    present, original = _read(file)
    taken = [name for name in file.kept.out if name not in file.kept.before] if file.kept else []
    if original is not None:
        out = [n for n in original.hosts if n not in present.hosts and n not in taken]
        return _less(file, original, out, file.kept.first_before if file.kept else "")
    before = Ansible(file.path, file.original)
    text = present.with_again(before, taken)
    return _ordered(file, text, before, file.kept.first_before, file.kept.first) if file.kept else text


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


def note_of(file: AnsibleFile, recovery: str, copy: str, out: tuple[str, ...], first: str = "") -> Kept:
    """What is to be written down before these are out: the original stays the one that was kept first."""
    old = file.kept
    if old is None or set(old.out) <= set(Ansible(file.path, file.text).hosts):
        return Kept(str(file.path), recovery, copy, file.sha256, file.mode, file.owner, out, first=first)
    before, was = (old.before, old.first_before) if old.recovery == recovery else (old.out, old.first)
    return replace(old, recovery=recovery, out=out, before=before, first=first, first_before=was)


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


def first_after(
    inventory: Inventory, file: AnsibleFile, leaving: Collection[str], holders: Collection[str]
) -> tuple[str, str]:
    """The first host of [etcd] that leaves it, and who is first then, by our names; two empty words where it stays.

    `holders`: who holds the CA. Raises NotEditable.
    """
    present = Ansible(file.path, file.text)
    out = {*leaving, *absent(inventory, file)}
    after = Ansible(file.path, edited(inventory, file, out, to_be_first(inventory, file, out, holders)))
    ours = {name: host for host, name in places(inventory, present).names.items()}
    names = [ours.get(name, name) for found in (present, after) for name in found.hosts[:1]]
    return (names[0], names[1]) if len(names) == 2 and names[0] in leaving else ("", "")


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

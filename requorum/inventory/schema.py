"""From YAML nodes to an `Inventory`: every field, its type, its default, and what fields must agree on."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import get_args

import yaml

from requorum.inventory.address import address_fault, name_fault, same_place
from requorum.inventory.login import Login, behind_forwarding, read_login, read_path
from requorum.inventory.model import (
    Backup,
    Etcd,
    EtcdHost,
    Inventory,
    Kept,
    MasterHost,
    Masters,
    NodeHost,
    Nodes,
    Runtime,
    Ssh,
)
from requorum.inventory.problem import Problems, shown
from requorum.inventory.value import Value

_TOP = ("cluster", "ssh", "etcd", "masters", "nodes", "ansible_inventory", "backup", "confirm")
_RUNTIMES: tuple[Runtime, ...] = get_args(Runtime)
_KEPT: tuple[Kept, ...] = get_args(Kept)
_CLUSTER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_EMPTIED = ("/dev", "/proc", "/run", "/sys", "/tmp", "/var/lock", "/var/run")
"""Folders that a reboot empties; /var/lock and /var/run are links into /run."""
_ETCD = "/etc/etcd"
"""Where etcd's configuration and certificates are; the backup is to keep them."""
_READ = ("/bin", "/boot", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/sbin", "/usr", "/var/lib/requorum")
"""Folders whose files are read, or even run (units, static pods), by others, or are a recovery's own notes."""
_LONGEST_NAME, _LONGEST_PATH = 255, 3072
"""In bytes: of one name, and of a path below which etcd's files, and what they are called here, still fit into PATH_MAX."""


@dataclass(frozen=True, slots=True)
class _Declared:
    """A host as declared, in `etcd`, in `masters` or in `nodes`."""

    name: str
    address: str
    lost: bool
    ssh: Ssh
    value: Value
    certificates: Kept = "keep"

    @property
    def line(self) -> int:
        return self.value.line


_Known = _Declared | EtcdHost | MasterHost
"""A host that the file names before another."""


def read_inventory(path: Path, sha256: str, root: yaml.Node) -> Inventory:
    """The inventory that the document says. Raises InventoryError with every problem of the document."""
    problems = Problems(path)
    top = Value(root, "", root.start_mark.line + 1, problems)
    fields = top.fields(_TOP) or {}
    folder = path.absolute().parent
    login = read_login(fields.get("ssh"), folder)
    cluster = _cluster(_needed(top, fields, "cluster", "name it: `cluster: prod`"))
    etcd = _etcd(_needed(top, fields, "etcd", "write `etcd:` with the members' hosts below it"), login, folder)
    masters = _masters(fields.get("masters"), etcd, login, folder)
    nodes = _nodes(fields.get("nodes"), etcd, masters, login, folder)
    ansible = _ansible(fields.get("ansible_inventory"), folder)
    backup = _backup(fields.get("backup"))
    confirm = _truth(fields, "confirm", default=True)
    error = problems.error()
    if error is not None:
        raise error
    if cluster is None or etcd is None:
        raise RuntimeError(f"{path}: a field was dropped without a problem; this is a defect of Requorum")
    return Inventory(path, sha256, cluster, etcd, masters, ansible, backup, confirm, nodes)


def _needed(parent: Value, fields: dict[str, Value], name: str, fix: str) -> Value | None:
    found = fields.get(name)
    if found is None and isinstance(parent.node, yaml.MappingNode):
        field = f"{parent.field}.{name}" if parent.field else name
        parent.problems.add(parent.line, field, f"the field '{name}'", "no such field", fix)
    return found


def _truth(fields: dict[str, Value], name: str, *, default: bool) -> bool:
    said = fields[name].truth() if name in fields else None
    return default if said is None else said


def _cluster(value: Value | None) -> str | None:
    name = value.text("the cluster's name") if value else None
    if value and name is not None and not _CLUSTER.fullmatch(name):
        value.complain(
            "a name of letters, digits, '.', '_' and '-', at most 63, the first a letter or a digit",
            "choose a plain name: it becomes a folder's, and is typed before anything destructive",
        )
    return name


def _etcd(value: Value | None, login: Login, folder: Path) -> Etcd | None:
    fields = value.fields(("hosts", "runtime", "survivor", "accept_loss", "rejoin", "keep_tail")) if value else None
    if value is None or fields is None:
        return None
    runtime = _runtime(fields.get("runtime"))
    declared = _hosts(_needed(value, fields, "hosts", _HOSTS_FIX), login, folder, with_lost=True)
    _distinct(declared)
    if declared and all(host.lost for host in declared):
        fix = "remove `lost: true` from a host that has data; if none has, only a backup can help: restore that"
        fields["hosts"].complain("a host that is not lost", fix, "no host that could survive")
    survivor, rejoin = _survivor(fields.get("survivor"), declared), _rejoin(fields.get("rejoin"), declared)
    if survivor is not None and rejoin is not None and survivor in rejoin:
        fields["rejoin"].complain(
            "hosts other than the survivor",
            f"remove {shown(survivor)} from the list: it is a member throughout",
            f"the survivor {shown(survivor)}",
        )
    accept_loss = _truth(fields, "accept_loss", default=False)
    if accept_loss and survivor is None:
        fields["accept_loss"].complain(
            "`accept_loss: true` beside a named survivor only",
            "remove it: with `survivor: auto` the member that holds the most is taken",
            "no survivor that is named",
        )
    hosts = tuple(EtcdHost(d.name, d.address, d.lost, d.ssh, d.value.line, d.certificates) for d in declared)
    return Etcd(runtime, hosts, survivor, rejoin, accept_loss, _truth(fields, "keep_tail", default=True))


_HOSTS_FIX = "write each host as `name: {address: …}` below `hosts:`, indented"


def _hosts(value: Value | None, login: Login, folder: Path, *, with_lost: bool) -> tuple[_Declared, ...]:
    entries = value.entries("a mapping of host names", _HOSTS_FIX, bracketed=True) if value else None
    if value is None or entries is None:
        return ()
    if not entries and not value.node.value:
        value.complain("at least one host", _HOSTS_FIX, "no host")
    return tuple(_host(name, host, login, folder, with_lost) for name, host in entries.items())


def _host(name: str, value: Value, login: Login, folder: Path, with_lost: bool) -> _Declared:
    if (fault := name_fault(name)) is not None:
        value.complain(fault.expected, fault.fix, shown(name))
    known = ("address", "lost", "certificates", "ssh") if with_lost else ("address", "ssh")
    if isinstance(value.node, yaml.ScalarNode) and value.node.tag.endswith(":null"):
        value.complain(f"a mapping with {', '.join(known)}", "write {} where there is nothing to say")
        fields = None
    else:
        fields = value.fields(known)
    fields = fields or {}
    address = fields["address"].text("a host name or an IP address") if "address" in fields else None
    if address is not None and (fault := address_fault(address)) is not None:
        fields["address"].complain(fault.expected, fault.fix)
    elif "address" not in fields and name_fault(name) is None and address_fault(name) is not None:
        value.complain("the field 'address'", "add the address to connect to; this name cannot be one", "no such field")
    ssh = read_login(fields.get("ssh"), folder).over(login)
    kept = _kept(fields.get("certificates"))
    return _Declared(name, address or name, _truth(fields, "lost", default=False), ssh, value, kept)


def _kept(value: Value | None) -> Kept:
    expected = f"one of {', '.join(_KEPT)}"
    said = value.text(expected) if value else None
    if value is None or said is None:
        return "keep"
    for kept in _KEPT:
        if kept == said:
            return kept
    value.complain(expected, "write make where certificates that will not do are to be replaced; else leave it out")
    return "keep"


def _distinct(hosts: tuple[_Declared, ...], known: tuple[_Known, ...] = ()) -> None:
    """Two names for one machine would be taken for two members, or a member for a host beside them."""
    for number, host in enumerate(hosts):
        for other in (*known, *hosts[:number]):
            if host.name.lower() == other.name.lower():
                found = f"{shown(host.name)}, which is {shown(other.name)} in line {other.line}: case does not count"
                host.value.complain("a name of its own for every host", "give it its own name, or remove it", found)
                break
            is_same = same_place(host.address) == same_place(other.address)
            if is_same and not behind_forwarding(host.ssh, other.ssh):
                found = f"{shown(host.address)}, also that of {shown(other.name)} in line {other.line}"
                host.value.complain(
                    "an address of its own for every host",
                    "correct one of them, or remove the host that is there twice",
                    found,
                )
                break


def _runtime(value: Value | None) -> Runtime:
    expected = f"one of {', '.join(_RUNTIMES)}"
    said = value.text(expected) if value else None
    if value is None or said is None:
        return "auto"
    for runtime in _RUNTIMES:
        if runtime == said:
            return runtime
    value.complain(expected, _nearest(said, _RUNTIMES, "write auto: how etcd runs is read from the hosts"))
    return "auto"


def _survivor(value: Value | None, hosts: tuple[_Declared, ...]) -> str | None:
    name = value.text("auto or a host of this inventory") if value else None
    if value is None or name is None or name == "auto":
        return None
    host = _of_these(value, name, hosts, "auto or a host of this inventory")
    if host is not None and host.lost:
        value.complain(
            "a survivor that is not lost",
            f"choose another host or auto, or remove `lost: true` in line {host.value.line}",
            f"{shown(name)}, declared lost",
        )
    return name


def _rejoin(value: Value | None, hosts: tuple[_Declared, ...]) -> tuple[str, ...] | None:
    items = value.items("a list of host names", "write `[name, name]`, or [] for none") if value else None
    if items is None:
        return None
    names: list[str] = []
    for item in items:
        name = item.text("a host of this inventory")
        if name is None:
            continue
        if name in names:
            item.complain("each host once", "remove one of them", f"{shown(name)} a second time")
        else:
            _of_these(item, name, hosts, "a host of this inventory")
            names.append(name)
    return tuple(names)


def _of_these(value: Value, name: str, hosts: tuple[_Declared, ...], expected: str) -> _Declared | None:
    for host in hosts:
        if host.name == name:
            return host
    names = tuple(host.name for host in hosts)
    value.complain(
        expected,
        _nearest(name, names, "write a name as it stands in etcd.hosts"),
        f"{shown(name)}, which is not in etcd.hosts",
    )
    return None


def _nearest(name: str, known: tuple[str, ...], otherwise: str) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {shown(near[0])}?" if near else otherwise


def _masters(value: Value | None, etcd: Etcd | None, login: Login, folder: Path) -> Masters | None:
    """A master that is a host of etcd is reached as that: its address and login are said there."""
    fields = value.fields(("hosts",)) if value else None
    if value is None or fields is None:
        return None
    declared = _hosts(_needed(value, fields, "hosts", _HOSTS_FIX), login, folder, with_lost=False)
    if etcd is None:
        return None
    members = {host.name: host for host in etcd.hosts}
    _distinct(tuple(host for host in declared if host.name not in members), etcd.hosts)
    found = []
    for host in declared:
        member = members.get(host.name)
        if member is None:
            found.append(MasterHost(host.name, host.address, host.ssh, host.line))
            continue
        said = _said(host)
        if "address" in said and same_place(host.address) != same_place(member.address):
            fix = "correct one of them, or write {}: the address in etcd.hosts counts"
            host.value.complain(f"{shown(member.address)}, as in line {member.line}", fix, shown(host.address))
        if "ssh" in said:
            fix = f"say how to log in to this host in line {member.line}, and write {{}} here"
            host.value.complain("no field 'ssh' for a host that is in etcd.hosts", fix, "a login of its own")
        found.append(MasterHost(host.name, member.address, member.ssh, host.line))
    return Masters(tuple(found))


def _said(host: _Declared) -> set[str]:
    """The fields that the file gives of a host."""
    node = host.value.node
    keys = [key for key, _ in node.value] if isinstance(node, yaml.MappingNode) else []
    return {key.value for key in keys if isinstance(key, yaml.ScalarNode)}


def _nodes(value: Value | None, etcd: Etcd | None, masters: Masters | None, login: Login, folder: Path) -> Nodes | None:
    """The hosts that are looked at for Flannel, and run neither etcd nor a master."""
    fields = value.fields(("hosts",)) if value else None
    if value is None or fields is None:
        return None
    declared = _hosts(_needed(value, fields, "hosts", _HOSTS_FIX), login, folder, with_lost=False)
    members = {host.name: host for host in (etcd.hosts if etcd else ())}
    known: dict[str, EtcdHost | MasterHost] = {h.name: h for h in (masters.hosts if masters else ())} | members
    for host in declared:
        if host.name in known:
            where = "etcd.hosts" if host.name in members else "masters.hosts"
            found = f"{shown(host.name)}, which is in {where}, line {known[host.name].line}"
            fix = "remove it here: Flannel is looked for on every host of the inventory"
            host.value.complain("a host that runs neither etcd nor a master", fix, found)
    _distinct(tuple(host for host in declared if host.name not in known), tuple(known.values()))
    return Nodes(tuple(NodeHost(host.name, host.address, host.ssh, host.line) for host in declared))


def _ansible(value: Value | None, folder: Path) -> Path | None:
    if value is None:
        return None
    fix = (
        "write the path of the file with the group [etcd]; where it lies on another machine, run there, or copy it here; "
        "or remove the field, and edit that group by hand afterwards"
    )
    return read_path(value, folder, "the file of an Ansible inventory", fix)


def _backup(value: Value | None) -> Backup:
    fields = value.fields(("directory", "fetch")) if value else None
    if fields is None:
        return Backup()
    fetch = _truth(fields, "fetch", default=Backup().fetch)
    expected = "an absolute path on the hosts"
    text = fields["directory"].text(expected) if "directory" in fields else None
    if text is None:
        return Backup(fetch=fetch)
    directory = PurePosixPath("/" + text.lstrip("/")) if text.startswith("/") else PurePosixPath(text)
    if not directory.is_absolute() or ".." in directory.parts or len(directory.parts) < 2:
        fields["directory"].complain(expected + ", without '..', below /", "write a path such as /backup")
    elif any(map(directory.is_relative_to, _EMPTIED)):
        fields["directory"].complain("a folder on a disk that keeps it", "choose a folder that a reboot does not empty")
    elif directory.is_relative_to(_ETCD):
        fix = "choose a folder such as /backup: what is to be kept must not lie beside its copy"
        fields["directory"].complain(f"a folder outside of {_ETCD}", fix)
    elif within := next(filter(directory.is_relative_to, _READ), ""):
        fix = "choose a folder such as /backup: what lies in that one is read, or even run, or removed again"
        fields["directory"].complain(f"a folder outside of {within}", fix)
    elif any(len(name.encode()) > _LONGEST_NAME for name in directory.parts):
        fix = "choose a folder with a shorter name, such as /backup"
        fields["directory"].complain(f"names of at most {_LONGEST_NAME} bytes each", fix)
    elif len(str(directory).encode()) > _LONGEST_PATH:
        fields["directory"].complain(
            f"a path of at most {_LONGEST_PATH} bytes", "choose a shorter one, such as /backup"
        )
    return Backup(directory, fetch)

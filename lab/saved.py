"""Saved states: copies of the disks of all hosts at one instant, and who had power.

All hosts are frozen together while their disks are copied, so a state is what a power loss at that instant would leave
(with everything written, synced or not).
"""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lab import cgroups, inotify, machine, state
from lab.errors import LabError
from lab.parallel import in_parallel
from lab.shell import run
from lab.spec import Host

if TYPE_CHECKING:
    from lab.cluster import Lab


@dataclass(frozen=True, slots=True)
class Saved:
    """One host in a saved state.

    Attributes:
        powered: it had power.
        stopped: it had power, and etcd was neither running nor about to.
        empty: its data directory had no write-ahead log of a member that had once started: it boots after the others.
        healthy: its member answered linearizable reads.
    """

    powered: bool
    stopped: bool
    empty: bool
    healthy: bool


def directory(lab: Lab, name: str) -> Path:
    """Where the state called `name` is kept."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise LabError(f"state {name!r}: letters, digits, dots, hyphens and underscores only")
    return lab.record.directory / "states" / name


def names(lab: Lab) -> list[str]:
    """The states kept of this lab."""
    return sorted(path.parent.name for path in (lab.record.directory / "states").glob("*/state.json"))


def save(lab: Lab, name: str) -> None:
    """Keep the present state of all hosts under `name`."""
    target = directory(lab, name)
    part = target.with_name(f".{name}.part")
    if part.exists():
        shutil.rmtree(part)
    part.mkdir(parents=True)
    record = lab.record
    hosts = dict(zip(lab.machines, in_parallel(lambda host: look(lab, host), lab.machines), strict=True))
    frozen: list[Host] = []
    try:
        for host in lab.machines:
            if hosts[host].powered:
                frozen.append(host)
                cgroups.freeze(machine.group(record, host), True)
        in_parallel(lambda host: _copy(record.upper(host), part / host.short), lab.machines)
    finally:
        for host in frozen:
            cgroups.freeze(machine.group(record, host), False)
    text = json.dumps({host.short: asdict(one) for host, one in hosts.items()}, indent=1)
    state.write_atomically(part / "state.json", text + "\n")
    if target.exists():
        shutil.rmtree(target)
    part.rename(target)


def restore(lab: Lab, name: str) -> None:
    """Put the state called `name` back; returns when its hosts answer, and those that were healthy are so again.

    Hosts with data boot first: an emptied one that boots while no survivor listens founds a new cluster with the same
    ids (seen).
    """
    source = directory(lab, name)
    try:
        raw = json.loads((source / "state.json").read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        known = ", ".join(names(lab)) or "none"
        raise LabError(f"no saved state {name!r} of the lab {lab.record.spec.name!r} (there are: {known})") from error
    hosts = {host: Saved(**raw[host.short]) for host in lab.machines}
    record = lab.record
    inotify.require(sum(one.powered for one in hosts.values()) - sum(map(lab.is_on, lab.machines)))
    machine.cut_power(record, lab.machines)

    def put_back(host: Host) -> None:
        upper = record.upper(host)
        if upper.exists():
            shutil.rmtree(upper)
        _copy(source / host.short, upper)

    in_parallel(put_back, lab.machines)
    first = [host for host, one in hosts.items() if one.powered and not one.empty]
    second = [host for host, one in hosts.items() if one.powered and one.empty]
    _boot(lab, first, hosts)
    if first and second:
        running = [host for host in first if host in lab.hosts and not hosts[host].stopped]
        lab.wait_peers_listen(running)
    _boot(lab, second, hosts)
    lab.wait_healthy([host for host, one in hosts.items() if one.healthy])


def _boot(lab: Lab, wanted: list[Host], hosts: dict[Host, Saved]) -> None:
    """Boot; where etcd was stopped, without it, though its unit stays enabled."""

    def wants(host: Host) -> Path:
        return lab.record.upper(host) / lab.runtime.wants

    # A parked manifest stays where it is: there is no such link.
    held = [host for host in wanted if hosts[host].stopped and lab.runtime.wants and wants(host).is_symlink()]
    for host in held:
        wants(host).unlink()
    lab.boot(*wanted)
    for host in held:
        # By hand, since `systemctl enable` would reload and say so in the journal.
        lab.run(host, f"ln -s {lab.runtime.wants_points_at} /{lab.runtime.wants}")


def look(lab: Lab, host: Host) -> Saved:
    """What would be recorded of this host now."""
    if not lab.is_on(host):
        return Saved(powered=False, stopped=False, empty=False, healthy=False)
    if host not in lab.hosts:  # beside the cluster: it runs no etcd
        return Saved(powered=True, stopped=False, empty=False, healthy=False)
    active = (lab.run(host, lab.runtime.state).stdout.split() or ["unknown"])[0]
    healthy = active == "active" and lab.healthy(host)
    # A crash-looping emptied host is for a moment `inactive` or `failed` as well: its data says which it is.
    wal = lab.record.upper(host) / lab.record.spec.data_dir.strip("/") / "member/wal"
    empty = not any(wal.glob("*.wal")) if wal.is_dir() else True
    return Saved(powered=True, stopped=active in ("inactive", "failed") and not empty, empty=empty, healthy=healthy)


def _copy(source: Path, target: Path) -> None:
    """Copy a layer with everything overlayfs keeps in it (owners, whiteouts, extended attributes).

    Zeros become holes: etcd allocates its logs far ahead, and most of a layer is that.
    """
    run(["cp", "--archive", "--reflink=auto", "--sparse=always", str(source), str(target)], timeout=120)

"""A bridge for the lab, and for each powered host a network namespace with one cable to it.

The namespace is made when a host is switched on and is there through its reboots; power loss pulls the cable first, so
that the peers hear nothing, as from a host without power.
"""

from __future__ import annotations

import json
from pathlib import Path

from lab.errors import LabError
from lab.shell import run
from lab.spec import Host
from lab.state import Record

NETWORKS = range(1, 255)


def free_number(taken: set[int]) -> int:
    """The lowest N not in `taken` such that neither a bridge rqlabN nor a route into 10.213.N.0/24 exists here."""
    listed = json.loads(run(["ip", "-4", "-j", "route", "show", "table", "all"]).stdout)
    routes = {str(route.get("dst", "")) for route in listed}
    for number in NETWORKS:
        if number in taken or Path(f"/sys/class/net/rqlab{number}").exists():
            continue
        if not any(destination.startswith(f"10.213.{number}.") for destination in routes):
            return number
    raise LabError("no free network 10.213.N.0/24 on this machine; take a lab down: python -m lab down --name …")


def cable(record: Record, host: Host) -> str:
    """This machine's end of the host's cable."""
    return f"{record.bridge}p{host.index}"


def namespace(record: Record, host: Host) -> str:
    """Name of the host's network namespace."""
    return f"{record.bridge}-{host.short}"


def bridge_up(record: Record) -> None:
    """Make the bridge, with this machine at .1; nothing if it is there."""
    if Path(f"/sys/class/net/{record.bridge}").exists():
        return
    script = (
        f"link add name {record.bridge} type bridge forward_delay 0\n"
        f"link set {record.bridge} alias {_owner(record)}\n"
        f"address add 10.213.{record.network}.1/24 dev {record.bridge}\nlink set {record.bridge} up\n"
    )
    run(["ip", "-batch", "-"], stdin=script)


def _owner(record: Record) -> str:
    return f"requorum-lab:{record.directory}"


def is_anothers(record: Record) -> bool:
    """Whether the bridge is that of a lab of another state directory, which got the same number."""
    alias = Path(f"/sys/class/net/{record.bridge}/ifalias")
    # No alias: made, and killed before it was named. An empty bridge can be taken down by anybody.
    return alias.exists() and alias.read_text(encoding="utf-8").strip() not in ("", _owner(record))


def plug_in(record: Record, host: Host) -> None:
    """Give the host its namespace, its cable and its address."""
    name, inside, outside = namespace(record, host), "host0", cable(record, host)
    unplug(record, host)
    remove(record, host)
    run(["ip", "netns", "add", name])
    # A host keeps its card when it boots: to another one nobody finds the way for some seconds, until it says something.
    card = "02:00:" + ":".join(f"{int(part):02x}" for part in host.address.split("."))
    script = (
        f"link add {outside} type veth peer name {inside} address {card} netns {name}\n"
        f"link set {outside} master {record.bridge}\nlink set {outside} up\n"
    )
    run(["ip", "-batch", "-"], stdin=script)
    script = (
        f"link set lo up\naddress add {host.address}/24 dev {inside}\nlink set {inside} up\n"
        f"route add default via 10.213.{record.network}.1\n"
    )
    # Not `ip -n`: that makes a mount namespace, and ends with an error in a bare chroot, where `/` is no mount point.
    run(["nsenter", f"--net=/run/netns/{name}", "ip", "-batch", "-"], stdin=script)


def unplug(record: Record, host: Host) -> None:
    """Pull the host's cable; nothing if there is none."""
    if Path(f"/sys/class/net/{cable(record, host)}").exists():
        run(["ip", "link", "delete", cable(record, host)])


def remove(record: Record, host: Host) -> None:
    """Remove the host's namespace; nothing if there is none."""
    if Path(f"/run/netns/{namespace(record, host)}").exists():
        run(["ip", "netns", "delete", namespace(record, host)])


def bridge_down(record: Record) -> None:
    """Remove the bridge; nothing if there is none."""
    if Path(f"/sys/class/net/{record.bridge}").exists():
        run(["ip", "link", "delete", record.bridge])

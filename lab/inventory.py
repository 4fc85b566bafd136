"""The inventory of a lab, as an operator would have written it."""

from __future__ import annotations

from lab.spec import ON_MASTERS
from lab.state import Record


def text(record: Record) -> str:
    """The inventory as YAML; every value is plain, so no library is needed to write it."""
    spec, directory = record.spec, record.directory
    hosts = "".join(f"    {host.name}: {{address: {host.address}}}\n" for host in record.hosts)
    masters = "".join(f"    {host.name}: {{}}\n" for host in record.hosts)
    masters = f"masters:\n  hosts:\n{masters}" if spec.topology in ON_MASTERS else ""
    for section, apart in (("masters", record.beside[: spec.masters]), ("nodes", record.beside[spec.masters :])):
        lines = "".join(f"    {host.name}: {{address: {host.address}}}\n" for host in apart)
        masters += f"{section}:\n  hosts:\n{lines}" if apart else ""
    return (
        f"# Inventory of the lab {spec.name!r}, written by `python -m lab up`.\n"
        f"cluster: {spec.name}\n"
        "ssh:\n"
        f"  user: {spec.user}\n"
        f"  port: {spec.ssh_port}\n"
        f"  identity_file: {directory / 'secrets/id_ed25519'}\n"
        f"  known_hosts: {directory / 'secrets/known_hosts'}\n"
        f"  sudo: {'false' if spec.user == 'root' else 'true'}\n"
        "etcd:\n"
        "  runtime: auto\n"
        "  hosts:\n"
        f"{hosts}"
        "  survivor: auto\n"
        f"{masters}"
        "backup: {directory: /backup, fetch: true}\n"
        "confirm: false\n"
    )

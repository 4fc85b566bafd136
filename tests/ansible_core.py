"""What ansible-core itself reads in an inventory."""

from __future__ import annotations

from pathlib import Path

from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.vars.manager import VariableManager

OWN = (
    "inventory_file",
    "inventory_dir",
    "groups",
    "omit",
    "playbook_dir",
    "ansible_playbook_python",
    "ansible_version",
)
"""Variables of Ansible's own, which tell of the file's place and of all groups."""


class Ansible:
    """An inventory as Ansible has it: the hosts of every group, in their order, and the variables of every host."""

    def __init__(self, path: Path) -> None:
        loader = DataLoader()
        manager = InventoryManager(loader=loader, sources=[str(path)])
        variables = VariableManager(loader=loader, inventory=manager)
        self.groups = {name: [str(h) for h in group.get_hosts()] for name, group in manager.groups.items()}
        self.direct = {name: [str(h) for h in group.hosts] for name, group in manager.groups.items()}
        self.variables: dict[str, dict[str, object]] = {}
        for host in manager.get_hosts():
            found = variables.get_vars(host=host)
            self.variables[str(host)] = {
                name: value for name, value in found.items() if name not in OWN and name != "group_names"
            }


def assert_left(before: Ansible, after: Ansible, gone: set[str]) -> None:
    """These hosts, and nobody else, left [etcd]; every other group is as it was, and so is what stands beside the rest."""
    assert after.direct["etcd"] == [host for host in before.direct["etcd"] if host not in gone]
    assert after.groups.keys() == before.groups.keys()
    for name, hosts in before.direct.items():
        if name not in ("etcd", "all", "ungrouped"):
            assert after.direct[name] == hosts, name
    for host, found in after.variables.items():
        if host not in gone:
            assert found == before.variables[host], host

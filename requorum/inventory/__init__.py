"""What the operator declares: the file behind ``--inventory``, read, checked and typed.

inventory = load(Path("prod.yaml"))     # InventoryError tells every problem at once
unresolvable(inventory)                 # asks the resolver; still no host is contacted
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from requorum.inventory.document import compose, read
from requorum.inventory.model import (
    Backup,
    Etcd,
    EtcdHost,
    Inventory,
    MasterHost,
    Masters,
    NodeHost,
    Nodes,
    Runtime,
    Ssh,
)
from requorum.inventory.problem import InventoryError, Problem
from requorum.inventory.resolve import unresolvable
from requorum.inventory.schema import read_inventory

__all__ = [
    "Backup",
    "Etcd",
    "EtcdHost",
    "Inventory",
    "InventoryError",
    "MasterHost",
    "Masters",
    "NodeHost",
    "Nodes",
    "Problem",
    "Runtime",
    "Ssh",
    "load",
    "unresolvable",
]


def load(path: Path) -> Inventory:
    """Read and check an inventory; contacts no host and asks no resolver.

    path: the file. Relative paths in it start at its folder, and `~` is the home of the user who runs this.
    Raises InventoryError with all problems: of the file (not there, no text, no YAML), or of every field.
    """
    data = read(path)
    return read_inventory(path, hashlib.sha256(data).hexdigest(), compose(path, data))

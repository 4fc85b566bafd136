"""What a v2 store holds, as `etcdctl -o json ls -r /` prints it, and how two such readings may differ. Pure.

Hidden keys (a name that begins with `_`) are never listed. What expires is left out, with all below it: the clock ends it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

READ2 = r"""
read2() {  # index, every key, index: `ctl2` is to be there
  local first keys last
  first=$(ctl2 -o extended ls / | sed -n 's/^Index: //p') && keys=$(ctl2 -o json ls -r /) &&
    last=$(ctl2 -o extended ls / | sed -n 's/^Index: //p') || return 1
  [ -n "$first" ] && [ -n "$last" ] || { echo "it does not say its index" >&2; return 1; }
  printf '%s\n%s\n%s\n' "$first" "$keys" "$last"
}
"""
"""Shell: `read2` prints what `parse` reads."""

SHOWN = 5
"""So many differences are named; of the others only the number is said."""


@dataclass(frozen=True, slots=True)
class Node:
    """A key, or a directory (no value), with the index of what changed it last."""

    value: str | None
    modified: int


@dataclass(frozen=True, slots=True)
class V2Keys:
    """Every key and directory that does not expire. `first` and `last`: the store's index before and after the reading.

    `expiring`: the keys and directories that the clock ends, without those below them.
    """

    first: int
    last: int
    nodes: Mapping[str, Node]
    expiring: frozenset[str] = frozenset()

    @property
    def newest(self) -> int:
        """The index of the newest change that is still to be seen; the store was there, or further."""
        return max((node.modified for node in self.nodes.values()), default=0)

    @property
    def values(self) -> dict[str, str | None]:
        """Without the indexes, which `etcdctl backup` does not keep: it leaves entries out, and counts anew."""
        return {path: node.value for path, node in self.nodes.items()}

    def lost_in(self, later: V2Keys) -> list[str]:
        """What a store that came later cannot rightly hold otherwise, in words: a change has a newer index.

        Keys that are not there at all are not among these: see `gone_in`.
        """
        found = [
            f"{path}: {_told(later.nodes[path])}, it was {_told(node)}"
            for path, node in self.nodes.items()
            if path in later.nodes and later.nodes[path] != node and later.nodes[path].modified <= node.modified
        ]
        found += [
            f"{path}: {_told(node)}, it was not there"
            for path, node in later.nodes.items()
            if path not in self.nodes and node.modified <= self.newest and not self._expires(path)
        ]
        return found

    def gone_in(self, later: V2Keys) -> list[str]:
        """The keys that a later store does not have: deleted since, or lost."""
        return [path for path in self.nodes if path not in later.nodes and not later._expires(path)]

    def _expires(self, path: str) -> bool:
        """The clock ends it, or what it lies in."""
        return any(path == one or path.startswith(f"{one}/") for one in self.expiring)


def parse(output: str) -> V2Keys:
    """What READ2 printed. Raises ValueError for anything else."""
    lines = output.splitlines()
    try:
        first, text, last = lines
        top = json.loads(text)["node"]
        nodes: dict[str, Node] = {}
        expiring: set[str] = set()
        _collect(top.get("nodes") or (), nodes, expiring)
        return V2Keys(int(first), int(last), nodes, frozenset(expiring))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"expected the keys of a v2 store in JSON, found {len(output)} other characters ({type(error).__name__})"
        ) from None


def _collect(listed: Iterable[Mapping[str, object]], into: dict[str, Node], expiring: set[str]) -> None:
    for one in listed:
        if one.get("ttl") or one.get("expiration"):
            expiring.add(str(one["key"]))
            continue
        is_dir = bool(one.get("dir"))
        into[str(one["key"])] = Node(None if is_dir else str(one["value"]), int(str(one["modifiedIndex"])))
        below = one.get("nodes")
        if isinstance(below, list):
            _collect(below, into, expiring)


def unlike_values(kept: Mapping[str, str | None], held: Mapping[str, str | None]) -> list[str]:
    """In what two stores differ by their values alone, in words."""
    return [
        f"{path}: {_value(kept, path)}, expected {_value(held, path)}"
        for path in sorted(kept.keys() | held.keys())
        if path not in kept or path not in held or kept[path] != held[path]
    ]


def unlike_living(kept: V2Keys, before: V2Keys, after: V2Keys) -> list[str]:
    """In what the backup of a living store differs from what it held right before and right after; in words.

    What clients changed meanwhile may be in it or not.
    """
    steady = {path for path, node in before.nodes.items() if after.nodes.get(path) == node}
    changed = before.last != after.first
    found = [
        f"{path}: {_value(kept.values, path)}, expected {_told(before.nodes[path])}"
        for path in sorted(steady)
        if path not in kept.nodes or kept.nodes[path].value != before.nodes[path].value
    ]
    known = before.nodes.keys() | after.nodes.keys()
    found += [f"{path}: it was never there" for path in sorted(kept.nodes) if path not in known and not changed]
    return found


def unlike_member(one: V2Keys, other: V2Keys) -> list[str]:
    """In what a member (`other`) differs from one that follows the same log, in words; either may be ahead.

    Readings that a write has crossed have no order: then only what has one index in both is compared.
    """
    if one.first == one.last == other.first == other.last:
        return unlike_nodes(other, one)
    if one.last <= other.first:
        return one.lost_in(other)
    if other.last <= one.first:
        return other.lost_in(one)
    both = one.nodes.keys() & other.nodes.keys()
    return [
        f"{path}: {_told(other.nodes[path])}, expected {_told(one.nodes[path])}"
        for path in sorted(both)
        if one.nodes[path].modified == other.nodes[path].modified and one.nodes[path] != other.nodes[path]
    ]


def unlike_nodes(held: V2Keys, expected: V2Keys) -> list[str]:
    """In what two readings at one index differ, in words; what expires in either is left out."""
    found = [f"{path}: it is not there" for path in expected.gone_in(held)]
    found += [f"{path}: it is there" for path in held.gone_in(expected)]
    return found + [
        f"{path}: {_told(node)}, expected {_told(expected.nodes[path])}"
        for path, node in held.nodes.items()
        if expected.nodes.get(path, node) != node
    ]


def shown(found: list[str]) -> list[str]:
    """The first differences, and how many others there are."""
    more = len(found) - SHOWN
    return found[:SHOWN] + ([f"and {more} more"] if more > 0 else [])


def _told(node: Node) -> str:
    return "a directory" if node.value is None else f"a value of {len(node.value)} characters, index {node.modified}"


def _value(values: Mapping[str, str | None], path: str) -> str:
    if path not in values:
        return "it is not there"
    value = values[path]
    return "a directory" if value is None else f"a value of {len(value)} characters"

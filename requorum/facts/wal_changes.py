"""Changes of the membership, as they stand in the log (raftpb's ConfChange, etcd's membership/cluster.go)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from requorum.facts.data_error import DataError
from requorum.facts.protobuf import parse

CONF_CHANGE, CONF_CHANGE_V2 = 1, 2  # entry types

Kind = Literal["add", "remove", "update", "add-learner", "promote"]
KINDS: tuple[Kind, ...] = ("add", "remove", "update", "add-learner")


@dataclass(frozen=True, slots=True)
class ConfChange:
    """A change of the membership in the log; it counts from the moment that its entry is committed."""

    index: int
    kind: Kind
    node_id: int
    name: str
    peer_urls: tuple[str, ...]


def read_changes(index: int, kind: int, data: bytes) -> Iterator[ConfChange]:
    """The changes in one entry of the log, by its index, type and data. Raises DataError for anything else."""
    if kind == CONF_CHANGE:
        message = parse(data)
        yield _conf_change(index, message.number(2), message.number(3), message.bytes(4))
    elif kind == CONF_CHANGE_V2:
        message = parse(data)
        for single in message.repeated.get(2, []):
            change = parse(single)
            yield _conf_change(index, change.number(1), change.number(2), message.bytes(3))
    else:
        raise DataError(f"expected an entry of type 0 to 2 at index {index}, found type {kind}")


def _conf_change(index: int, number: int, node_id: int, context: bytes) -> ConfChange:
    """One change; its context is the member in JSON (membership/cluster.go, ConfigChangeContext)."""
    if number >= len(KINDS):
        raise DataError(f"expected a membership change of type 0 to 3 at index {index}, found type {number}")
    kind = KINDS[number]
    name = ""
    peer_urls: tuple[str, ...] = ()
    if context and kind != "remove":
        try:
            member = json.loads(context)
            name, peer_urls = str(member.get("name", "")), tuple(str(url) for url in member.get("peerURLs") or ())
            if kind == "add" and member.get("isPromote"):
                kind = "promote"
        except (ValueError, AttributeError, TypeError) as error:
            raise DataError(
                f"expected a member in JSON in the membership change at index {index}, found {context[:80]!r} ({error})"
            ) from None
    return ConfChange(index, kind, node_id, name, peer_urls)

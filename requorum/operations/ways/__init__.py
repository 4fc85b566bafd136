"""The ways to run etcd: one module for each, all with the functions of `Way`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from requorum.changes import Change
from requorum.facts.host import HostFacts
from requorum.facts.runtime import Kind
from requorum.operations.ways import container, pod, service


class Way(Protocol):
    """What each way can do. Of etcd's log and of etcdctl there are shell words: `requorum.facts.runtime`, `.shell`."""

    def stop(self, facts: HostFacts) -> list[Change]:
        """Stop etcd, cleanly, and wait until no process is left."""

    def start(self, facts: HostFacts) -> list[Change]:
        """Start etcd, and wait until it serves."""

    def start_at_boot(self, facts: HostFacts) -> list[Change]:
        """Have it start when the host does."""

    def run(self, facts: HostFacts) -> list[Change]:
        """Start etcd, and wait until a process lives: without a quorum it does not serve."""

    def force(self, facts: HostFacts) -> list[Change]:
        """Put the force on the start path."""

    def unforce(self, facts: HostFacts) -> list[Change]:
        """Take it away from there."""

    def fence(self, facts: HostFacts) -> list[Change]:
        """Stop etcd so that no reboot starts it."""

    def unfence(self, facts: HostFacts) -> list[Change]:
        """Let `start` start it again."""

    def unfence_only(self, facts: HostFacts) -> list[Change]:
        """Undo the fence of a host that is not to be started."""


_WAYS: Mapping[Kind, Way] = {"service": service, "container": container, "static-pod": pod}


def way_of(facts: HostFacts) -> Way:
    """The way that etcd runs on a host."""
    return _WAYS[facts.unit.runtime.kind]

"""A host beside the cluster: it runs no etcd, and a master or flanneld on it is a client of etcd."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar, final

from requorum import hostlock
from requorum.facts import flannel, master
from requorum.facts.flannel import Flannel
from requorum.facts.host import HostFacts, Noun
from requorum.facts.master import Master
from requorum.hostlock import FREE, HostLock

COMMAND = r"""#: which machine this is
printf '%s\n' "uid=$EUID" "hostname=$(uname -n)" "machine=$(cat /etc/machine-id)"
printf '%s\n' "boot=$(cat /proc/sys/kernel/random/boot_id)" "addresses=$(hostname -I 2>/dev/null)"
unwritable=
for place in /etc/origin/master /etc/sysconfig /var/lib /run/lock; do
  [ ! -d $place ] || [ -w $place ] || unwritable="$unwritable $place"
done
echo "unwritable=$unwritable"
"""


@dataclass(frozen=True, slots=True)
class Computer:
    """Who we are there, and which machine it is.

    `addresses` are its own, as far as it says them; `unwritable` the folders that a recovery writes to and cannot.
    """

    uid: int
    hostname: str
    machine_id: str
    boot_id: str
    addresses: tuple[str, ...] = ()
    unwritable: tuple[str, ...] = ()

    @property
    def identity(self) -> tuple[str, str]:
        """Which machine it is, as of a host of etcd."""
        return self.machine_id, self.boot_id


def parse(output: str) -> Computer:
    """The computer from the output of COMMAND. Raises ValueError where a value is missing or no number."""
    values = dict(line.partition("=")[::2] for line in output.splitlines())
    try:
        uid, addresses = int(values["uid"]), tuple(values["addresses"].split())
        unwritable = tuple(values["unwritable"].split())
        return Computer(uid, values["hostname"], values["machine"], values["boot"], addresses, unwritable)
    except (KeyError, ValueError) as error:
        raise ValueError(f"expected the facts of a machine, found {output[:300]!r} ({error!r})") from None


@final
@dataclass(frozen=True, slots=True)
class BesideFacts:
    """What a survey read on a host beside the cluster; it counts for no verdict.

    `master`: where the inventory names it among the masters. `flannel`: where there is one.
    """

    name: str
    machine: Computer
    lock: HostLock = FREE
    master: Master | None = None
    flannel: Flannel | None = None


AnyFacts = HostFacts | BesideFacts
"""Of a host of etcd, or of one beside the cluster: name, machine, lock, master and flannel are told of both."""

Facts = TypeVar("Facts", HostFacts, BesideFacts)
"""The one, or the other."""


def commands(*, is_master: bool) -> dict[Noun, str]:
    """The commands of one batch, by noun."""
    found: dict[Noun, str] = {"machine": COMMAND, "lock": hostlock.COMMAND, "flannel": flannel.COMMAND}
    return found | ({"master": master.COMMAND} if is_master else {})

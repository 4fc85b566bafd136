"""What keeps a joiner's etcd from starting once it is added, as the tests of failed joins bring it about."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hazards import firewall, put
from meetings import mend_firewall

from lab import Lab

JOINER = "etcd-1"
DATA = "/var/lib/etcd"
FILLED = f"{DATA}/openshift-backup-full"
KILLER = "/etc/systemd/system/etcd.service.d/killer.conf"

BAD_BINARY = """#!/bin/sh
case "$1" in --version|version) exec /usr/bin/etcd.good "$@";; esac
echo 'etcd: cannot start' >&2; exit 1
"""


@dataclass(frozen=True)
class Cause:
    """Why the joiner's etcd does not start: `act` is done right before that, `mend` takes it away again.

    `before`: what the host needs for it, before the run. `says`: what the run says of it. `data`: etcd came so far that it
    has made its database.
    """

    act: Callable[[Lab], object]
    mend: Callable[[Lab], object]
    before: Callable[[Lab], object] = lambda lab: None
    says: tuple[str, ...] = ()
    data: bool = False


def spoil(lab: Lab) -> None:
    """The joiner's etcd says its version, and does not start."""
    lab.run(JOINER, "systemctl stop etcd; cp -a /usr/bin/etcd /usr/bin/etcd.good; rm /usr/bin/etcd")
    put(lab, JOINER, "/usr/bin/etcd", BAD_BINARY, mode="0755")


def mend(lab: Lab) -> None:
    """Put the joiner's etcd back."""
    lab.run(JOINER, "mv /usr/bin/etcd.good /usr/bin/etcd")


def _small_disk(lab: Lab) -> None:
    lab.run(JOINER, f"systemctl stop etcd; mount -t tmpfs -o size=256m,mode=700 tmpfs {DATA} && chown etcd: {DATA}")


def _fill(lab: Lab) -> None:
    lab.run(JOINER, f"head -c 1G /dev/zero > {FILLED}; true")


def _make_room(lab: Lab) -> None:
    lab.run(JOINER, f"rm {FILLED}")


def _cut_off(lab: Lab) -> None:
    firewall(lab, JOINER, both_ways=True)


def _kill_starts(lab: Lab, more: str = "") -> None:
    put(lab, JOINER, KILLER, f"[Service]\nTimeoutStartSec=3\nExecStartPost=/bin/kill -9 $MAINPID\n{more}")
    lab.run(JOINER, "systemctl daemon-reload")


def _kill_one_start(lab: Lab) -> None:
    """A voter that systemd starts again and again would answer between two kills: a quorum of two that comes and goes."""
    _kill_starts(lab, "Restart=no\n")


def _kill_no_more(lab: Lab) -> None:
    lab.run(JOINER, f"rm {KILLER} && systemctl daemon-reload")


CAUSES = {
    "bad binary": Cause(spoil, mend, says=("etcd: cannot start",)),
    "no room on its disk": Cause(_fill, _make_room, _small_disk, says=("no space left on device",)),
    "the network is cut": Cause(_cut_off, lambda lab: mend_firewall(lab, JOINER), data=True),
}
EACH_START_KILLED = Cause(_kill_starts, _kill_no_more, data=True)
ITS_START_KILLED = Cause(_kill_one_start, _kill_no_more, data=True)

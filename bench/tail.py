"""A tail for the survivor: entries of its log above its commit index, without a power loss of its own.

As a leader whose followers stand still it appends what it is sent, and commits none of it. Nothing of that is
acknowledged: the bare commands, which cut the tail, lose no write by it, and are proven like the runbook.
"""

from __future__ import annotations

import re

from bench.first_write import PATIENCE
from lab import Lab, LabError
from lab.client import Client
from lab.parallel import in_parallel
from lab.spec import Host

ENTRIES = 20


def grow(lab: Lab, host: Host) -> None:
    """Let the member on a host of a whole cluster have a tail; the others stand still from then on: they are to be lost."""
    lab.lead(host)
    clients = [lab.client(host, PATIENCE) for _ in range(ENTRIES)]
    # Connections first: a leader that hears nobody steps down after an election timeout.
    if not all(in_parallel(Client.healthy, clients)):
        raise LabError(f"{host.name} does not lead a whole cluster")
    in_parallel(
        lambda other: lab.run(other, "kill -STOP $(pidof etcd)"), [other for other in lab.hosts if other != host]
    )
    acknowledged = in_parallel(lambda numbered: _put(*numbered), enumerate(clients))
    for client in clients:
        client.close()
    if any(acknowledged):
        raise LabError(f"{host.name} acknowledges writes, though every other member stands still")


def require_kept(output: str) -> None:
    """Raise LabError where a run of the runbook did not find a tail and keep it."""
    if not re.search(r"kept: \d+ log entries", output):
        raise LabError("the runbook has found no tail:\n" + "\n".join(output.splitlines()[-40:]))


def _put(number: int, client: Client) -> bool:
    """Whether a write was acknowledged."""
    try:
        client.put(b"/bench/tail-%d" % number, b"1")
    except LabError:
        return False
    return True

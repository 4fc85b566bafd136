"""Which members of hosts that SSH does not reach still listen, as seen from a host that it does reach."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from urllib.parse import urlsplit

SECONDS = 2
"""How long a connection may take: the hosts of a cluster are near each other."""


def command(urls: Iterable[str]) -> str:
    """The command that `parse` reads: a connection to each URL, all at once; no byte is sent."""
    lines = []
    for url in urls:
        place = urlsplit(url)
        at = shlex.quote(f"</dev/tcp/{place.hostname}/{place.port}")
        lines.append(f"{{ timeout {SECONDS} bash -c {at} 2>/dev/null && echo {shlex.quote(url)}; }} &")
    return "\n".join([*lines, "wait"])


def parse(output: str) -> tuple[str, ...]:
    """The URLs at which something listens."""
    return tuple(sorted(output.split()))

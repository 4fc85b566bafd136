"""When a member lost its leader, as etcd told the journal. Only what lost members held beyond that time is in doubt."""

from __future__ import annotations

import re
from datetime import datetime

from requorum.facts.runtime import FIND

LINES = 50_000
"""So many lines are looked through, the newest first: a member without a leader writes some of them each second."""

_SAYS = "raft.node: [0-9a-f]+ (lost|elected|changed) leader"
COMMAND = f"""{FIND}
find_runtime
if [ $kind = static-pod ]; then
  timeout 5 master-logs etcd etcd --tail {LINES} --timestamps 2>&1 | grep -E '{_SAYS}' | tail -n 1
else
  timeout 5 journalctl -u "$unit" -o short-iso --no-pager -r -n {LINES} 2>/dev/null | grep -m 1 -E '{_SAYS}'
fi
true
"""

_LINE = re.compile(r"([^\s.]+)(?:\.\d+)?(\S*) .*raft.node: [0-9a-f]+ (lost|elected|changed) leader")


def parse(output: str) -> float | None:
    """Seconds since 1970; None where the journal does not say it, or says that the member had a leader to the end."""
    found = _LINE.match(output.strip())
    if not found or found[3] != "lost":
        return None
    try:
        return datetime.strptime(found[1] + found[2], "%Y-%m-%dT%H:%M:%S%z").timestamp()
    except ValueError:
        return None

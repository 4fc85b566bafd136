"""The mark that a recovery leaves on each host it touches, until it owes nothing there.

With it another operator's machine can carry on without our journal.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

PATH = "/var/lib/requorum/recovery.json"
COMMAND = f"cat {PATH} 2>/dev/null || true"


@dataclass(frozen=True, slots=True)
class Mark:
    """Which recovery is under way here, whose data it keeps, who began it and when (UTC)."""

    recovery: str
    cluster: str
    survivor: str
    operator: str
    since: str

    def text(self) -> str:
        """The file's content."""
        return json.dumps(asdict(self), indent=2) + "\n"


def parse(output: str) -> Mark | None:
    """The mark from the file's content; None where there is none. Raises ValueError for anything else."""
    if not output.strip():
        return None
    try:
        return Mark(**json.loads(output))
    except (ValueError, TypeError) as error:
        raise ValueError(f"expected the mark of a recovery in {PATH}, found {output[:200]!r} ({error})") from None

"""What a recovery writes down on the hosts: another operator's machine can carry on with it, without our journal.

Its mark, on each host that it touches, until it owes nothing there, with which it can be undone, too; and on the
survivor, that it was forced, until every host of the inventory is a member again: whoever it removed may come back with
its old data.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from typing import Any

PATH = "/var/lib/requorum/recovery.json"
FORCED_PATH = "/var/lib/requorum/forced.json"
COMMAND = f"cat {PATH} 2>/dev/null || true"
_LEARNER = " learner"
_BETWEEN = "\n--- forced ---\n"
BOTH_COMMAND = f"{COMMAND}; printf '\\n%s\\n' '{_BETWEEN.strip()}'; cat {FORCED_PATH} 2>/dev/null || true"


@dataclass(frozen=True, slots=True)
class Found:
    """How a recovery found a host, before it changed anything there: what `--abort` goes back to.

    `etcd` and `enabled` are systemd's ActiveState and UnitFileState; `conf` is the SHA-256 of etcd.conf; `fenced`: by an
    earlier recovery, for a host that is not to rejoin, or by this one at first contact, since its member was removed;
    `written`: the data was a member's, and not what an emptied host makes when it starts.
    """

    etcd: str
    enabled: str
    fenced: bool
    data: bool
    written: bool
    conf: str

    @property
    def runs(self) -> bool:
        """A process of the unit lived, or was about to."""
        return self.etcd in ("active", "activating", "reloading", "deactivating")

    @property
    def starts(self) -> bool:
        """It is to run again: it did, on data of a member. A host without could only found a new cluster."""
        return self.runs and self.written


@dataclass(frozen=True, slots=True)
class Mark:
    """Which recovery is under way here, whose data it keeps, who began it and when (UTC), and what it found.

    `members` is the member list when it began, a line for each: what no abort brings back once it has changed.
    In forced.json also whom earlier forces of the same data removed, and who had joined since.
    `way_back`: the ID of the member that was dropped when the recovery took the way back (docs/old-peers.md); a recovery
    does so once. In forced.json it stands once the recovery has ended.
    `unseen`: the hosts beside the cluster that were silent; what runs there is restarted when they are back.
    `earlier`: in forced.json, that of the recovery before, which an abort of this one gives back. `forces`: it forces its
    survivor, or may have (an older version does not say); not so one beside a quorum, whose survivor is merely a member.
    In forced.json, False once the data of that force is given up, and its host is another member.
    """

    recovery: str
    cluster: str
    survivor: str
    operator: str
    since: str
    members: tuple[str, ...] = ()
    found: Found | None = None
    way_back: str = ""
    unseen: tuple[str, ...] = ()
    earlier: Mark | None = None
    forces: bool = True

    @property
    def member_ids(self) -> frozenset[int]:
        """The IDs in `members`."""
        return frozenset(map(id_of, self.members))

    def text(self) -> str:
        """The file's content, without what is as usual: an older version refuses a key that it does not know."""
        return json.dumps(self._said(), indent=2) + "\n"

    def _said(self) -> dict[str, object]:
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        said = {one.name: values[one.name] for one in fields(self) if values[one.name] != one.default}
        if self.found is not None:
            said["found"] = asdict(self.found)
        if self.earlier is not None:
            said["earlier"] = self.earlier._said()
        return said


def id_of(line: str) -> int:
    """The ID in a line of `Mark.members`."""
    return int(line.partition(" ")[0], 16)


def urls_of(line: str) -> tuple[str, ...]:
    """The peer URLs in a line of `Mark.members`."""
    return tuple(line.partition(" ")[2].removesuffix(_LEARNER).split(","))


def is_learner(line: str) -> bool:
    """Whether a line of `Mark.members` is a learner's."""
    return line.endswith(_LEARNER)


def line_of(number: int, peer_urls: Iterable[str], *, learner: bool) -> str:
    """A line of `Mark.members`."""
    return f"{number:x} {','.join(sorted(peer_urls))}{_LEARNER * learner}"


def parse(output: str) -> Mark | None:
    """The mark from the file's content; None where there is none. Raises ValueError for anything else."""
    if not output.strip():
        return None
    try:
        return _mark(json.loads(output))
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"expected the mark of a recovery in {PATH}, found {output[:200]!r} ({error})") from None


def _mark(said: dict[str, Any]) -> Mark:
    """A mark; what an earlier version did not write down is as usual, and what a later one added is not looked at."""
    known = _known(Mark, said)
    found, earlier = known.get("found"), known.get("earlier")
    return Mark(
        **{
            **known,
            "members": tuple(str(line) for line in known.get("members", ())),
            "unseen": tuple(str(name) for name in known.get("unseen", ())),
            "found": Found(**_known(Found, found)) if found else None,
            "earlier": _mark(earlier) if earlier else None,
            "forces": bool(known.get("forces", True)),
        }
    )


def _known(kind: type[Mark] | type[Found], said: dict[str, Any]) -> dict[str, Any]:
    names = {one.name for one in fields(kind)}
    return {key: value for key, value in said.items() if key in names}


def parse_both(output: str) -> tuple[Mark | None, Mark | None]:
    """The mark, and that of the recovery that forced this host, from the output of BOTH_COMMAND. Raises as `parse`."""
    here, _, forced = output.partition(_BETWEEN)
    return parse(here), parse(forced)

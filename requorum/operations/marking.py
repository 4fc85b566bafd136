"""Operations on the mark that a recovery leaves on a host."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from requorum.changes import Change, RemoveFile, RemoveUnfinished, WriteFile
from requorum.facts import mark
from requorum.facts.beside import AnyFacts
from requorum.facts.host import HostFacts
from requorum.facts.mark import Found, Mark
from requorum.facts.members import Member
from requorum.undoing import listed


def signed(facts: HostFacts, sign: Mark, *, removed: bool = False) -> Mark:
    """The mark for one host. A host that bears one keeps what was found there first: what is there now is our work.

    `removed`: its member was, and step 11 has fenced it since these facts were read. No abort starts the old cluster again.
    """
    if facts.mark:
        return replace(sign, found=facts.mark.found)
    unit, conf = facts.unit, facts.conf
    written = facts.has_data and not (facts.data and facts.data.unwritten)
    etcd, fenced = ("inactive", True) if removed else (unit.active, unit.fenced)
    found = Found(etcd, unit.file_state, fenced, facts.has_data, written, conf.sha256)
    return replace(sign, found=found)


def sign(facts: HostFacts, sign: Mark, *, removed: bool = False) -> list[Change]:
    """Say on the host which recovery is under way, and what it found; `removed` as for `signed`."""
    return [_write(facts, mark.PATH, signed(facts, sign, removed=removed))]


def remember_force(facts: HostFacts, sign: Mark) -> list[Change]:
    """Say on the survivor that it is forced, for as long as those that it removes may come back.

    What an earlier recovery said there is kept within: this one may be undone before it has forced. Whom that one removed
    is among the members here, too, and who has joined since: each of them may come back with old data.
    """
    before = facts.forced_by
    removed = before.members if before is not None and before.forces else ()
    members = tuple(sorted({*sign.members, *removed, *listed(facts)}))
    if before is not None:
        before = before.earlier if before.recovery == sign.recovery else replace(before, earlier=None)
    return [_write(facts, mark.FORCED_PATH, replace(sign, members=members, earlier=before))]


def forget_force(facts: HostFacts, through: HostFacts) -> list[Change]:
    """A host that was forced joins as another member: the data of that force is given up, and what is there now is not it.

    Nothing where `through` lists the member whose data was here: it starts again as it was. While hosts beside the cluster
    wait to be seen, the note stays for them alone. Raises MissingFact where `through` lists no members.
    """
    forced = facts.forced_by
    own = facts.data.node_id if facts.data is not None else None
    if forced is None or own in {member.id for member in through.members}:
        return []
    if forced.unseen:
        return [_write(facts, mark.FORCED_PATH, replace(forced, forces=False))]
    return [RemoveFile(facts.name, mark.FORCED_PATH)]


def take_way_back(facts: HostFacts, sign: Mark, dropped: Member) -> list[Change]:
    """Say on the survivor that it is forced once more, and whom it drops: never twice in one recovery."""
    return [_write(facts, mark.PATH, signed(facts, replace(sign, way_back=dropped.hex_id)))]


def strike_undone(facts: HostFacts) -> list[Change]:
    """The recovery was undone before it forced: what it wrote down here goes, and what an earlier one did comes back."""
    noted = facts.forced_by
    forced: list[Change] = []
    if facts.mark and noted and noted.recovery == facts.mark.recovery:
        earlier = noted.earlier
        forced = [_write(facts, mark.FORCED_PATH, earlier) if earlier else RemoveFile(facts.name, mark.FORCED_PATH)]
    return [RemoveUnfinished(facts.name), *forced, RemoveFile(facts.name, mark.PATH)]


def clear_unfinished(facts: AnyFacts) -> list[Change]:
    """The same beside the cluster, where no mark is: what a kill in the middle of a write has left goes."""
    return [RemoveUnfinished(facts.name)]


def strike(facts: HostFacts, *, whole: bool, reached: Collection[str]) -> list[Change]:
    """The recovery owes nothing here any more.

    `whole`: nobody is missing who could come back with old data. `reached`: the hosts that this run
    has reached. One that was silent at the force is forgotten only when it was: what watches etcd there was restarted then.
    While somebody is missing, whom the way back has dropped is kept with the force.
    """
    struck, forced, marked = RemoveFile(facts.name, mark.PATH), facts.forced_by, facts.mark
    if forced is None:
        return [struck]
    left = tuple(name for name in forced.unseen if name not in reached)
    if whole and not left:
        return [struck, RemoveFile(facts.name, mark.FORCED_PATH)]
    kept = replace(forced, unseen=left)
    if marked is not None and marked.recovery == forced.recovery:
        kept = replace(kept, way_back=marked.way_back)
    # First: the mark alone says whom the way back has dropped.
    return [*([_write(facts, mark.FORCED_PATH, kept)] if kept != forced else []), struck]


def _write(facts: HostFacts, path: str, sign: Mark) -> WriteFile:
    return WriteFile(facts.name, path, sign.text(), mode="0600")

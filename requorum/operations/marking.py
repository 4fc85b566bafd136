"""Operations on the mark that a recovery leaves on a host."""

from __future__ import annotations

from dataclasses import replace

from requorum.changes import Change, RemoveFile, WriteFile
from requorum.facts import mark
from requorum.facts.host import HostFacts
from requorum.facts.mark import Found, Mark


def signed(facts: HostFacts, sign: Mark) -> Mark:
    """The mark for one host. A host that bears one keeps what was found there first: what is there now is our work."""
    if facts.mark:
        return replace(sign, found=facts.mark.found)
    unit, conf = facts.unit, facts.conf
    written = facts.has_data and not (facts.data and facts.data.unwritten)
    found = Found(unit.active, unit.file_state, unit.fenced, facts.has_data, written, conf.sha256)
    return replace(sign, found=found)


def sign(facts: HostFacts, sign: Mark) -> list[Change]:
    """Say on the host which recovery is under way, and what it found."""
    return [WriteFile(facts.name, mark.PATH, signed(facts, sign).text(), mode="0600")]


def strike(facts: HostFacts) -> list[Change]:
    """The recovery owes nothing here any more."""
    return [RemoveFile(facts.name, mark.PATH)]

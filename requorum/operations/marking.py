"""Operations on the mark that a recovery leaves on a host."""

from __future__ import annotations

from requorum.changes import Change, RemoveFile, WriteFile
from requorum.facts import mark
from requorum.facts.host import HostFacts
from requorum.facts.mark import Mark


def sign(facts: HostFacts, sign: Mark) -> list[Change]:
    """Say on the host which recovery is under way."""
    return [WriteFile(facts.name, mark.PATH, sign.text(), mode="0600")]


def strike(facts: HostFacts) -> list[Change]:
    """The recovery owes nothing here any more."""
    return [RemoveFile(facts.name, mark.PATH)]

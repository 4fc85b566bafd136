"""What is wrong with an inventory, told so that the reader can mend it."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from pathlib import Path

_LONGEST = 80
_MOST_HIDDEN = 3


def shown(text: str) -> str:
    """The text in quotes, on one line, shortened, safe for any terminal."""
    cut = text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
    return f"'{printable(cut)}'"


def printable(text: str) -> str:
    """The text with everything escaped that a terminal could obey or could not print."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)


def without_hidden(text: str) -> str:
    """What to do about characters that do not show, each by its number and name; empty where there are none.

    Line breaks and tabs are none of them: they show as what they are.
    """
    hidden = [char for char in dict.fromkeys(text) if not char.isprintable() and char not in "\n\r\t"]
    if not hidden:
        return ""
    named = [f"U+{ord(char):04X} ({_name(char)})" for char in hidden[:_MOST_HIDDEN]]
    named += ["more"] * (len(hidden) > _MOST_HIDDEN)
    return f"remove what does not show: {', '.join(named)}; typing it anew is the surest way"


def _name(char: str) -> str:
    if unicodedata.category(char) == "Cs":
        return "half of a character"
    return unicodedata.name(char, "a control character" if unicodedata.category(char) == "Cc" else "no character")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong: where, what was expected, what was found, and what to write instead."""

    path: Path
    line: int
    field: str
    expected: str
    found: str
    fix: str

    def __str__(self) -> str:
        where = f"{printable(str(self.path))}:{self.line}: {printable(self.field)[:_LONGEST]}"
        return f"{where}: expected {self.expected}, found {self.found}; fix: {self.fix}"


class InventoryError(Exception):
    """The inventory cannot be used; `problems` are all that were found, in the order of the file."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__(problems)
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)


class Problems:
    """Collects the problems of one file while it is read, so that all are told at once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._all: list[Problem] = []

    def add(self, line: int, field: str, expected: str, found: str, fix: str) -> None:
        """Note one problem; `line` counts from 1."""
        self._all.append(Problem(self.path, line, field, expected, found, fix))

    def error(self) -> InventoryError | None:
        """All problems as one error, in the order of the file, each told once; None where there are none."""
        if not self._all:
            return None
        return InventoryError(tuple(sorted(dict.fromkeys(self._all), key=lambda problem: problem.line)))

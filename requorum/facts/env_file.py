"""A file of variables as systemd reads it (EnvironmentFile): each value, and where it lies in the text."""

from __future__ import annotations

import re
from dataclasses import dataclass

_ASSIGNMENT = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_]*)=")
_PLAIN = re.compile(r"""[^\s$`\\"'~;&|<>()]*|'[^'\\]*'|"[^$`\\"]*\"""")
"""A value that a shell reads as systemd does."""


class EnvFileError(ValueError):
    """The file holds something that Requorum cannot read or write safely."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """One variable: its value without quotes, where that begins and ends in the text, and its line (from 1)."""

    key: str
    value: str
    start: int
    end: int
    line: int


def assignments(text: str, path: str) -> tuple[Assignment, ...]:
    """The assignments in a text, in its order; with systemd a later one of a variable replaces an earlier one.

    Raises EnvFileError, with the line, where one is neither a comment nor an assignment, or is continued by a backslash.
    """
    found, at = [], 0
    for number, whole in enumerate(text.splitlines(keepends=True), start=1):
        begin, at = at, at + len(whole)
        line = whole.splitlines()[0]
        if not line.strip() or line.lstrip()[0] in "#;":
            continue
        match = _ASSIGNMENT.match(line)
        if not match:
            raise EnvFileError(f"{path}, line {number}: expected NAME=VALUE or a comment, found {line.strip()!r}")
        if line.endswith("\\"):
            raise EnvFileError(f"{path}, line {number}: continued by a backslash; write it on one line")
        rest = line[match.end() :]
        start, value = begin + match.end() + len(rest) - len(rest.lstrip()), rest.strip()
        if value[:1] in ("'", '"'):
            if len(value) < 2 or value[-1] != value[0]:
                raise EnvFileError(f"{path}, line {number}: expected a closing {value[0]}, found {value!r}")
            start, value = start + 1, value[1:-1]
        found.append(Assignment(match.group(1), value, start, start + len(value), number))
    return tuple(found)


def refuse_unlike_shell(text: str, path: str) -> None:
    """Raise EnvFileError, with the line, where a shell that sources the file reads another value than systemd would."""
    for number, line in enumerate(text.split("\n"), start=1):
        if line.lstrip()[:1] in ("", "#"):
            continue
        match = _ASSIGNMENT.match(line)
        if line.endswith("\r") or not match or not _PLAIN.fullmatch(line[match.end() :].rstrip(" \t")):
            raise EnvFileError(
                f"{path}, line {number}: expected what a shell reads as it stands, for the pod sources this file; found "
                f"{line.strip(' ')!r}: no comment behind a value, no $, blanks only within single quotes, no ; and no CR"
            )

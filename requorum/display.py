"""Text from hosts, made safe to show: nothing in it may move a cursor, hide or turn around what a reader sees."""

from __future__ import annotations

import re
from itertools import pairwise

SHOWN = 20_000
"""Characters of one output that a report shows; the journal holds the rest."""

_COLOUR = re.compile(r"\x1b\[[0-9;:]*m")
_UNSEEN = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ud800-\udfff\ufeff\ufffe\uffff]"
)


_FUNCTIONS = re.compile(r"\A(?:\s*#.*\n|\s*\w+\(\) \{(?: .*)?\n(?:.*\n)*?\}\n)+")
"""Comments and shell functions at the beginning; a function is closed by a brace in a line of its own."""


def _seen(match: re.Match[str]) -> str:
    return f"⟨U+{ord(match.group()):04X}⟩"


def visible(text: str) -> str:
    """The text with colours (ANSI) left out and every other unseen character made visible; lines and tabs stay."""
    return _UNSEEN.sub(_seen, _COLOUR.sub("", text).replace("\r\n", "\n"))


def shortened(text: str, limit: int = SHOWN) -> tuple[str, int, str]:
    """Beginning, number of characters left out, and end of a text; a text within the limit is all beginning."""
    if len(text) <= limit:
        return text, 0, ""
    head = limit * 3 // 5
    tail = limit - head
    return text[:head], len(text) - limit, text[-tail:]


def first_line(text: str, limit: int = 120) -> str:
    """The first line that says something, cut at `limit` characters with an ellipsis."""
    line = next((line.strip() for line in visible(text[: limit * 20]).splitlines() if line.strip()), "")
    return line if len(line) <= limit else line[: limit - 1] + "…"


_TITLE = re.compile(r"^#: (.+)$", re.MULTILINE)
"""The line of a script that says what the script is about."""


def first_words(command: str) -> str:
    """What a command is about: its title, or its first line that does something, without comments and functions."""
    if title := _TITLE.search(command):
        return first_line(title[1])
    return first_line(_FUNCTIONS.sub("", command)) or first_line(command)


def in_a_line(text: str, limit: int = 300) -> str:
    """The whole text in one line, cut at `limit` characters with an ellipsis."""
    line = " ".join(visible(text[: limit * 20]).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def difference_of(text: str) -> str:
    """The file that a unified difference is about; empty for anything else."""
    lines = text.splitlines()
    pairs = ((old[4:], new[4:]) for old, new in pairwise(lines) if old.startswith("--- ") and new.startswith("+++ "))
    return next((old if new == "/dev/null" else new for old, new in pairs), "")


def title_of(shown: str) -> str:
    """A change in one line, from how it is shown: the file that it edits, or the beginning of its command."""
    file = difference_of(shown)
    return f"edit {visible(file)}" if file else first_line(shown)


def is_difference(text: str) -> bool:
    """Whether the text is a unified file difference (``---``, ``+++``), not a command."""
    return bool(difference_of(text))

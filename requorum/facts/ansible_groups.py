"""The groups of an Ansible inventory, where each host stands in the file, and the edits of one group. Pure.

An edit touches the lines of the hosts that it is about, and nothing else: not a space of any other line.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field

from requorum.facts.ansible_names import remaining

_EOL = re.compile(r"(\r\n|\n|\r)\Z")


class Malformed(ValueError):
    """A file that Ansible would not read either, or not as its writer meant it."""

    def __init__(self, line: int, expected: str, found: str) -> None:
        super().__init__(f"expected {expected}, found {found}")
        self.line = line


class NotEditable(ValueError):
    """A file that Ansible reads, and in which the group cannot be edited line by line; the message says why."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A host, or a range of hosts, in a group: `count` lines from `line` (1 is the first) on.

    `start` and `end` are the columns of the pattern in the first of them.
    """

    group: str
    pattern: str
    hosts: tuple[str, ...]
    variables: tuple[tuple[str, str], ...]
    line: int
    count: int
    start: int
    end: int


@dataclass
class Groups:
    """What an inventory says: every host of every group, in the order of the file, and which groups hold groups.

    `headers`: the line of a section that hosts may follow (INI).
    """

    text: str
    entries: list[Entry] = field(default_factory=list)
    children: dict[str, list[str]] = field(default_factory=dict)
    headers: dict[str, int] = field(default_factory=dict)

    def of(self, group: str) -> list[Entry]:
        """The entries that stand directly in a group."""
        return [entry for entry in self.entries if entry.group == group]

    def hosts(self, group: str) -> tuple[str, ...]:
        """The hosts that stand directly in a group, in the order of the file, each once."""
        return tuple(dict.fromkeys(host for entry in self.of(group) for host in entry.hosts))

    def declares(self, group: str) -> bool:
        """The file has this group, be it empty."""
        return group in self.headers or bool(self.of(group)) or group in self.children

    def groups_of(self, host: str) -> tuple[str, ...]:
        """The groups in which a host stands directly."""
        return tuple(dict.fromkeys(entry.group for entry in self.entries if host in entry.hosts))

    def variables(self, host: str) -> dict[str, set[str]]:
        """The variables that stand beside a host, in any group."""
        found: dict[str, set[str]] = {}
        for entry in self.entries:
            if host in entry.hosts:
                for name, value in entry.variables:
                    found.setdefault(name, set()).add(value)
        return found


def without(groups: Groups, group: str, out: Collection[str]) -> str:
    """The text with these hosts taken out of a group; a range is split into what remains of it."""
    lines = groups.text.splitlines(keepends=True)
    for entry in reversed(groups.of(group)):
        if not set(entry.hosts) & set(out):
            continue
        at = entry.line - 1
        block = lines[at : at + entry.count]
        kept = remaining(entry.pattern, [host for host in entry.hosts if host not in out])
        lines[at : at + entry.count] = _blocks(block, entry, kept, _eol(lines))
    return "".join(lines)


def _blocks(block: list[str], entry: Entry, patterns: Iterable[str], eol: str) -> list[str]:
    """The lines of an entry once for each pattern."""
    made: list[list[str]] = []
    for pattern in patterns:
        first = block[0][: entry.start] + pattern + block[0][entry.end :]
        made.append([first, *block[1:]])
    for lines in made[:-1]:
        lines[-1] = _ended(lines[-1], eol)
    return [line for lines in made for line in lines]


def put_back(
    groups: Groups,
    original: Groups,
    group: str,
    hosts: Collection[str],
    order: Sequence[str],
    parse: Callable[[str], Groups],
) -> str:
    """The text with these hosts put back into a group, each as its line stands in `original`, where `order` has it.

    For a file that has been edited by somebody else in between, and for a line that moves. Raises NotEditable where no
    place can be told.
    """
    text = groups.text
    for host in (name for name in order if name in hosts):
        present = parse(text)
        if host in present.hosts(group):
            continue
        source = next(entry for entry in original.of(group) if host in entry.hosts)
        lines, old = text.splitlines(keepends=True), original.text.splitlines(keepends=True)
        block = old[source.line - 1 : source.line - 1 + source.count]
        new = _blocks(block, source, remaining(source.pattern, [host]), _eol(old))
        at, beside = _place(present, group, order, host)
        if beside is not None and _indent(lines[beside.line - 1]) != _indent(new[0]):
            raise NotEditable(f"{host} was indented otherwise when it was taken out")
        if at and not _EOL.search(lines[at - 1]):
            lines[at - 1], new[-1] = _ended(lines[at - 1], _eol(lines)), _EOL.sub("", new[-1])
        else:
            new[-1] = _ended(new[-1], _eol(lines))
        text = "".join([*lines[:at], *new, *lines[at:]])
    return text


def _place(groups: Groups, group: str, order: Sequence[str], host: str) -> tuple[int, Entry | None]:
    """Behind how many lines a host goes, and the entry beside which that is: in its old order, as far as it is there."""
    entries = groups.of(group)
    for before in reversed(order[: order.index(host)]):
        for entry in entries:
            if before in entry.hosts:
                return entry.line - 1 + entry.count, entry
    for entry in entries:
        if set(entry.hosts) & set(order[order.index(host) :]):
            return entry.line - 1, entry
    if entries:
        return entries[-1].line - 1 + entries[-1].count, entries[-1]
    if group in groups.headers:
        return groups.headers[group], None
    raise NotEditable(f"the group {group} is empty")


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]


def _ended(line: str, eol: str) -> str:
    return line if _EOL.search(line) else line + eol


def _eol(lines: list[str]) -> str:
    """How the file ends its lines, by the first of them."""
    found = _EOL.search(lines[0]) if lines else None
    return found[1] if found else "\n"

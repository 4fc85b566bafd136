"""Host names as an Ansible inventory writes them: with ranges such as ``etcd-[0:2].example.com``, and a port. Pure.

What is taken for a range, and how it counts, is ansible-core's rule (`expand_hostname_range`).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from string import ascii_letters

MOST = 10_000
"""Hosts of one pattern; more is a slip of the pen."""

_PORT = re.compile(r"(?P<host>\[.+\]|(?:[^:\[\]]|\[[^\]]*\])*):(?P<port>[0-9]+)")
_RANGE = re.compile(r"(?P<head>[^\[]*)\[(?P<first>[^:\]]*):(?P<last>[^:\]]+)(?::(?P<step>[0-9]+))?\](?P<tail>.*)")


class BadPattern(ValueError):
    """A pattern that Ansible does not read either."""


@dataclass(frozen=True, slots=True)
class _Range:
    """The first range of a pattern: what it counts through, between what stands before and behind it."""

    head: str
    values: tuple[str, ...]
    step: int
    tail: str

    def pattern(self, values: Sequence[str]) -> str:
        """The values, which follow each other in this range, as a pattern."""
        if len(values) == 1:
            return self.head + values[0] + self.tail
        step = f":{self.step}" if self.step != 1 else ""
        return f"{self.head}[{values[0]}:{values[-1]}{step}]{self.tail}"


def expand(pattern: str) -> tuple[str, ...]:
    """The host names of a pattern, in its order, its port left out. Raises BadPattern."""
    names = _names(_split_port(pattern)[0])
    if not all(names) or any(character in name for name in names for character in "'\"\\,|"):
        raise BadPattern(f"{pattern!r} is no host name")
    return names


def remaining(pattern: str, keep: Collection[str]) -> list[str]:
    """The fewest patterns, in order, for those hosts of a pattern that are in `keep`; its port stays with each."""
    host, port = _split_port(pattern)
    return [found + port for found in _remaining(host, keep)]


def _split_port(pattern: str) -> tuple[str, str]:
    found = _PORT.fullmatch(pattern)
    if found is None:
        return pattern, ""
    return found["host"], f":{found['port']}"


def _names(pattern: str) -> tuple[str, ...]:
    found = _range(pattern)
    if found is None:
        return (pattern,)
    names: list[str] = []
    for value in found.values:
        names += _names(found.head + value + found.tail)
        if len(names) > MOST:
            raise BadPattern(f"{pattern!r} names more than {MOST} hosts")
    return tuple(names)


def _remaining(pattern: str, keep: Collection[str]) -> list[str]:
    found = _range(pattern)
    if found is None:
        return [pattern] if pattern in keep else []
    patterns: list[str] = []
    whole: list[str] = []
    for value in found.values:
        one = found.head + value + found.tail
        if all(name in keep for name in _names(one)):
            whole.append(value)
            continue
        patterns += [found.pattern(whole)] if whole else []
        whole = []
        patterns += _remaining(one, keep)
    return patterns + ([found.pattern(whole)] if whole else [])


def _range(pattern: str) -> _Range | None:
    if "[" not in pattern or _is_bracketed_address(pattern):
        return None
    found = _RANGE.fullmatch(pattern)
    if found is None:
        raise BadPattern(f"{pattern!r} has brackets that are no range: a range is [first:last] or [first:last:step]")
    first, last, step = found["first"] or "0", found["last"], int(found["step"] or 1)
    if step == 0:
        raise BadPattern(f"{pattern!r} counts in steps of 0")
    return _Range(found["head"], _counted(pattern, first, last, step), step, found["tail"])


def _is_bracketed_address(pattern: str) -> bool:
    return pattern.startswith("[") and pattern.endswith("]") and pattern.count(":") > 2


def _counted(pattern: str, first: str, last: str, step: int) -> tuple[str, ...]:
    if len(first) == len(last) == 1 and first in ascii_letters and last in ascii_letters:
        begin, end = ascii_letters.index(first), ascii_letters.index(last)
        if begin > end:
            raise BadPattern(f"{pattern!r} counts from {first} to {last}")
        return tuple(ascii_letters[begin : end + 1 : step])
    if not (first.isascii() and first.isdigit() and last.isascii() and last.isdigit()):
        raise BadPattern(f"{pattern!r}: a range counts numbers, or single letters")
    width = len(first) if first[0] == "0" and len(first) > 1 else 0
    if width and width != len(last):
        raise BadPattern(f"{pattern!r}: both ends of a range with leading zeros have the same length")
    numbers = range(int(first), int(last) + 1, step)
    if not numbers:
        raise BadPattern(f"{pattern!r} counts from {first} to {last}")
    if len(numbers) > MOST:
        raise BadPattern(f"{pattern!r} names more than {MOST} hosts")
    return tuple(str(number).zfill(width) for number in numbers)

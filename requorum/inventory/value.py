"""One value of an inventory while it is read: its node, its line and its name, and readers for each type.

Each reader gives None where the value is not what it should be, and has noted the problem by then.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass

import yaml

from requorum.inventory.problem import Problems, printable, shown, without_hidden

_YAML = "tag:yaml.org,2002:"
_TRUTH = {"yes": True, "true": True, "on": True, "no": False, "false": False, "off": False}
_KINDS = {"int": "the number", "float": "the number", "bool": "the truth value", "timestamp": "the date"}
_MERGE_DEPTH = 8


@dataclass(frozen=True, slots=True)
class Value:
    """A node of the file, the field it stands in, and the line (from 1) of that field."""

    node: yaml.Node
    field: str
    line: int
    problems: Problems

    def complain(self, expected: str, fix: str, found: str = "") -> None:
        """Note a problem with this value; `found` is the value itself where nothing else is said."""
        self._note(self.line, expected, found or _described(self.node), fix)

    def text(self, expected: str = "text") -> str | None:
        """The value as text: not empty, no control characters, no space around it."""
        if not _is_scalar(self.node, "str"):
            self._wrong(expected, f'put it in quotes: "{printable(str(self.node.value))}"' if self._quotable() else "")
            return None
        text = str(self.node.value)
        if not text.strip():
            self.complain(expected, "write a value, or leave the field out", "empty text")
            return None
        if fix := without_hidden(text):
            self.complain(f"{expected}, of characters that show", fix)
            return None
        if text != text.strip() or not text.isprintable():
            self.complain(f"{expected}, on one line, without space around it", "remove line breaks and stray spaces")
            return None
        return text

    def truth(self) -> bool | None:
        """The value as true or false."""
        if _is_scalar(self.node, "bool") and str(self.node.value).lower() in _TRUTH:
            return _TRUTH[str(self.node.value).lower()]
        is_quoted = _is_scalar(self.node, "str") and str(self.node.value).lower() in _TRUTH
        self._wrong("true or false", "remove the quotes" if is_quoted else "write true or false")
        return None

    def port(self) -> int | None:
        """The value as a TCP port, in decimal: YAML would read 022 as 18 and 1:20 as 80."""
        written = str(self.node.value)
        if _is_scalar(self.node, "int") and re.fullmatch(r"[1-9][0-9]{0,4}", written) and int(written) < 65536:
            return int(written)
        is_quoted = _is_scalar(self.node, "str") and re.fullmatch(r"[0-9]+", written)
        fix = "remove the quotes" if is_quoted else "write a decimal number, such as 22"
        self._wrong("a port from 1 to 65535", fix)
        return None

    def items(self, expected: str, fix: str) -> tuple[Value, ...] | None:
        """The value as a list; each item has its own line."""
        if not isinstance(self.node, yaml.SequenceNode) or self.node.tag != _YAML + "seq":
            self._wrong(expected, fix)
            return None
        return tuple(Value(node, self.field, node.start_mark.line + 1, self.problems) for node in self.node.value)

    def fields(self, known: tuple[str, ...]) -> dict[str, Value] | None:
        """The value as a mapping that has fields of these names only."""
        found = self.entries(f"a mapping with {', '.join(known)}", f"write `{known[0]}: …` below it, indented")
        if found is None:
            return None
        for name, value in found.items():
            if name not in known:
                near = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.5)
                hint = f"did you mean '{near[0]}'?" if near else "remove it"
                fix = without_hidden(name) or hint
                value.complain(f"one of {', '.join(known)}", fix, f"the unknown field {shown(name)}")
        return {name: value for name, value in found.items() if name in known}

    def entries(self, expected: str, fix: str, *, bracketed: bool = False) -> dict[str, Value] | None:
        """The value as a mapping by text, merge keys (`<<`) resolved, in the order of the file.

        bracketed: the children's names are values (hosts), not fields: `hosts[name]` instead of `hosts.name`.
        """
        if not _is_mapping(self.node):
            self._wrong(expected, fix)
            return None
        return self._pairs(self.node, bracketed, {}, ())

    def _pairs(
        self, node: yaml.Node, bracketed: bool, done: dict[int, dict[str, Value]], above: tuple[int, ...]
    ) -> dict[str, Value]:
        if id(node) in done:
            return done[id(node)]
        own: dict[str, Value] = {}
        merged: dict[str, Value] = {}
        lines: dict[str, int] = {}
        for key, child in node.value:
            line, name, is_merge = key.start_mark.line + 1, str(key.value), key.tag == _YAML + "merge"
            if not is_merge and not _is_scalar(key, "str"):
                fix = f'put it in quotes: "{printable(name)}":' if _is_plain(key) else "write a plain name"
                self._note(line, "a name (text) before the colon", _described(key), fix)
            elif name in lines:
                found = f"{shown(name)} a second time; the first is in line {lines[name]}"
                self.problems.add(
                    line, self._named(name, bracketed), "each name once in a mapping", found, "keep one of them"
                )
            elif is_merge:
                merged = self._merged(child, line, bracketed, done, (*above, id(node)))
            else:
                own[name] = Value(child, self._named(name, bracketed), line, self.problems)
            lines.setdefault(name, line)
        done[id(node)] = {**own, **{name: value for name, value in merged.items() if name not in own}}
        return done[id(node)]

    def _merged(
        self, node: yaml.Node, line: int, bracketed: bool, done: dict[int, dict[str, Value]], above: tuple[int, ...]
    ) -> dict[str, Value]:
        listed = isinstance(node, yaml.SequenceNode) and node.tag == _YAML + "seq"
        sources: list[yaml.Node] = node.value if listed else [node]
        pairs: dict[str, Value] = {}
        for source in sources:
            if not _is_mapping(source):
                self._note(line, "a mapping to merge (`<<: *name`)", _described(source), "refer to a mapping")
            elif id(source) in above or len(above) > _MERGE_DEPTH:
                found = "a mapping that merges itself, or too many levels"
                self._note(line, "a merge that ends", found, "write the fields out")
                return pairs
            else:
                # The first of several merged mappings wins (https://yaml.org/type/merge.html).
                pairs = {**self._pairs(source, bracketed, done, above), **pairs}
        return pairs

    def _note(self, line: int, expected: str, found: str, fix: str) -> None:
        self.problems.add(line, self.field or "inventory", expected, found, fix)

    def _named(self, name: str, bracketed: bool) -> str:
        if bracketed:
            return f"{self.field}[{name}]"
        return f"{self.field}.{name}" if self.field else name

    def _quotable(self) -> bool:
        return _is_plain(self.node) and bool(self.node.value)

    def _wrong(self, expected: str, fix: str) -> None:
        if _is_scalar(self.node, "null"):
            self.complain(expected, "write a value, or leave the field out")
        elif _tagged(self.node):
            self.complain(expected, "remove the tag; an inventory holds plain YAML only")
        else:
            self.complain(expected, fix or "write it as text")


def _is_scalar(node: yaml.Node, kind: str) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == _YAML + kind


def _is_mapping(node: yaml.Node) -> bool:
    return isinstance(node, yaml.MappingNode) and node.tag == _YAML + "map"


def _is_plain(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and any(node.tag == _YAML + kind for kind in _KINDS)


def _tagged(node: yaml.Node) -> bool:
    usual = {*_KINDS, "str", "null", "map", "seq", "merge", "value"}
    return node.tag not in {_YAML + kind for kind in usual}


def _described(node: yaml.Node) -> str:
    if _tagged(node):
        return f"the tag {shown(node.tag.replace(_YAML, '!!'))}"
    if isinstance(node, yaml.MappingNode):
        return "a mapping"
    if isinstance(node, yaml.SequenceNode):
        return "a list" if node.value else "an empty list"
    if _is_scalar(node, "null"):
        return "nothing (null)"
    kind = _KINDS.get(node.tag.replace(_YAML, ""))
    return f"{kind} {printable(str(node.value))[:80]}" if kind else shown(str(node.value))

"""An Ansible inventory in YAML; where each host stands is told by the parser's own marks. Pure.

It is edited by lines, never written anew: no library keeps every byte of a document that it writes.
"""

from __future__ import annotations

from typing import Any

import yaml

from requorum.facts.ansible_groups import Entry, Groups, Malformed, NotEditable
from requorum.facts.ansible_names import BadPattern, expand

_ALIAS = "!requorum-alias"
_NULL = "tag:yaml.org,2002:null"
_STR = "tag:yaml.org,2002:str"
_MERGE = "tag:yaml.org,2002:merge"


class _Loader(yaml.SafeLoader):
    """Composes nodes; an alias stays one, at its own place."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            event = self.get_event()  # type: ignore[no-untyped-call]
            return yaml.ScalarNode(_ALIAS, event.anchor, event.start_mark, event.end_mark)
        return super().compose_node(parent, index)


def is_mapping(text: str) -> bool:
    """Ansible would take it for YAML: one document that is a mapping. Raises Malformed for what is no YAML."""
    return isinstance(_root(text), yaml.MappingNode)


def parse(text: str) -> Groups:
    """What the file says. Raises Malformed with its line, NotEditable where lines do not tell the hosts apart."""
    root = _root(text)
    if not isinstance(root, yaml.MappingNode):
        raise Malformed(_line(root), "a mapping of groups", "something else")
    if any(key.value == "plugin" for key, _ in root.value):
        raise NotEditable("it configures an inventory plugin, which asks elsewhere for the hosts")
    reader = _Reader(Groups(text), text.splitlines())
    for key, value in root.value:
        reader.group(key, value)
    return reader.groups


def _root(text: str) -> yaml.Node | None:
    try:
        yaml.compose(text, yaml.SafeLoader)  # an alias has to have its anchor
        root = _Loader(text).get_single_node()
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise Malformed(line, "UTF-8 text", "a byte or a character that YAML does not allow") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise Malformed(mark.line + 1 if mark else 1, "YAML", error.problem or error.context or "none") from None
    except (RecursionError, ValueError, OverflowError) as error:
        raise Malformed(1, "YAML", str(error) or "hundreds of levels") from None
    return root if isinstance(root, yaml.Node) else None


def _line(node: yaml.Node | None) -> int:
    return node.start_mark.line + 1 if node is not None else 1


class _Reader:
    """Walks down the groups."""

    def __init__(self, groups: Groups, lines: list[str]) -> None:
        self.groups, self._lines = groups, lines

    def group(self, key: yaml.Node, value: yaml.Node) -> None:
        name = _name(key, "the name of a group")
        self.groups.children.setdefault(name, [])
        for part, inner in _pairs(value, f"the group {name}"):
            what = _name(part, "vars, hosts or children")
            if what == "hosts":
                self._hosts(name, inner)
            elif what == "children":
                for child, below in _pairs(inner, f"the children of {name}"):
                    self.groups.children[name].append(_name(child, "the name of a group"))
                    self.group(child, below)

    def _hosts(self, group: str, node: yaml.Node) -> None:
        if isinstance(node, yaml.ScalarNode) and node.tag == _STR:
            raise NotEditable(f"line {_line(node)}: the host of {group} is text, not a mapping")
        flow = isinstance(node, yaml.MappingNode) and bool(node.flow_style)
        for key, value in _pairs(node, f"the hosts of {group}"):
            pattern = _name(key, "the name of a host (numbers in quotes)")
            try:
                hosts = expand(pattern)
            except BadPattern as error:
                raise Malformed(_line(key), "a host name or a range", str(error)) from None
            self.groups.entries.append(self._entry(group, pattern, hosts, key, value, flow))

    def _entry(
        self, group: str, pattern: str, hosts: tuple[str, ...], key: yaml.Node, value: yaml.Node, flow: bool
    ) -> Entry:
        number = key.start_mark.line
        raw = self._lines[number]
        start, end = key.start_mark.column, key.end_mark.column
        if raw[start:end][:1] in ("'", '"'):
            start, end = start + 1, end - 1
        if group == "etcd" and (flow or raw[start:end] != pattern or raw[: key.start_mark.column].strip()):
            raise NotEditable(f"line {number + 1}: {pattern} does not stand on a line of its own")
        count = max(self._last_line(value), number) - number + 1
        return Entry(group, pattern, hosts, _variables(value), number + 1, count, start, end)

    def _last_line(self, node: yaml.Node) -> int:
        """The last line with something of a node on it (0 is the first): its end mark lies behind comments."""
        if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
            last = node.value[-1]
            return self._last_line(last[1] if isinstance(last, tuple) else last)
        line = int(node.end_mark.line)
        if isinstance(node, yaml.ScalarNode) and node.style in ("|", ">") and node.end_mark.column == 0:
            line -= 1
            while line > node.start_mark.line and not self._lines[line].strip():
                line -= 1
        return line


def _pairs(node: yaml.Node, what: str) -> list[tuple[yaml.Node, yaml.Node]]:
    if isinstance(node, yaml.ScalarNode) and node.tag == _NULL:
        return []
    if node.tag == _ALIAS:
        raise NotEditable(f"line {_line(node)}: {what} are an alias (*{node.value})")
    if not isinstance(node, yaml.MappingNode):
        raise Malformed(_line(node), f"a mapping: {what}", "something else")
    if any(key.tag == _MERGE for key, _ in node.value):
        raise NotEditable(f"line {_line(node)}: {what} are merged from elsewhere (<<)")
    return list(node.value)


def _name(node: yaml.Node, what: str) -> str:
    if not isinstance(node, yaml.ScalarNode) or node.tag != _STR:
        raise Malformed(_line(node), what, "something else")
    return str(node.value)


def _variables(node: yaml.Node) -> tuple[tuple[str, str], ...]:
    if not isinstance(node, yaml.MappingNode):
        return ()
    return tuple((str(k.value), str(v.value)) for k, v in node.value if isinstance(v, yaml.ScalarNode))

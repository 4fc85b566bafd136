"""An Ansible inventory in INI, by ansible-core's own rules; where each host stands is kept. Pure."""

from __future__ import annotations

import re
import shlex

from requorum.facts.ansible_groups import Entry, Groups, Malformed
from requorum.facts.ansible_names import BadPattern, expand

_SECTION = re.compile(r"\[([^:\]\s]+)(?::(\w+))?\]\s*(?:#.*)?")
_GROUP_NAME = re.compile(r"([^:\]\s]+)\s*(?:#.*)?")
_FIRST_WORD = re.compile(r"\s*(\S+)")


def parse(text: str) -> Groups:
    """What the file says. Raises Malformed with its line."""
    groups, state = Groups(text), "hosts"
    group = "ungrouped"
    named: dict[str, int] = {}
    declared = {"ungrouped", "all"}
    owners: dict[str, int] = {}
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.strip()
        if not line or line[0] in "#;":
            continue
        if any("\udc80" <= character <= "\udcff" for character in line):
            raise Malformed(number, "UTF-8 text (but for comments)", "a byte that is none")
        section = _SECTION.fullmatch(line)
        if section:
            group, state = section[1], section[2] or "hosts"
            if state not in ("hosts", "children", "vars"):
                found = f"[{group}:{state}]"
                raise Malformed(number, "a section [group], [group:vars] or [group:children]", found)
            if state == "vars":
                owners.setdefault(group, number)
            else:
                declared.add(group)
            if state == "hosts":
                groups.headers.setdefault(group, number)
        elif line.startswith("[") and line.endswith("]"):
            raise Malformed(number, "a section without spaces, such as [etcd]", line)
        elif state == "hosts":
            groups.entries.append(_host(raw, number, group))
        elif state == "vars":
            if "=" not in line:
                raise Malformed(number, f"name=value in [{group}:vars]", line)
        else:
            child = _GROUP_NAME.fullmatch(line)
            if child is None:
                raise Malformed(number, f"the name of a group in [{group}:children]", line)
            named.setdefault(child[1], number)
            groups.children.setdefault(group, []).append(child[1])
    for name, number in {**owners, **named}.items():
        if name not in declared:
            raise Malformed(number, "a group that is declared in this file", f"{name}, which is not")
    return groups


def _host(raw: str, number: int, group: str) -> Entry:
    try:
        words = shlex.split(raw, comments=True)
    except ValueError as error:
        raise Malformed(number, "a host and its variables", f"{raw.strip()} ({error})") from None
    first = _FIRST_WORD.match(raw)
    if first is None or not words or words[0] != first[1]:
        raise Malformed(number, "a host name without quotes", raw.strip())
    try:
        hosts = expand(words[0])
    except BadPattern as error:
        raise Malformed(number, "a host name or a range", str(error)) from None
    variables = []
    for word in words[1:]:
        name, equals, value = word.partition("=")
        if not equals:
            raise Malformed(number, "name=value behind a host name", word)
        variables.append((name, value))
    return Entry(group, words[0], hosts, tuple(variables), number, 1, first.start(1), first.end(1))

"""An Ansible inventory: which of its formats a file has, and the group [etcd] edited so that the rest stays as it is. Pure.

Every edit is read again and compared before anybody writes it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import PurePath

from requorum.facts import ansible_ini, ansible_yaml
from requorum.facts.ansible_groups import Groups, Malformed, NotEditable, put_back, without

GROUP = "etcd"
_YAML = ("", ".yaml", ".yml", ".json")
VAULT = "$ANSIBLE_VAULT;"

Parse = Callable[[str], Groups]


class Inventory:
    """An inventory file: its name, which tells the format, its text, and what that says."""

    def __init__(self, path: PurePath, text: str) -> None:
        """Raises Malformed for what Ansible does not read either, NotEditable for what it asks elsewhere."""
        if text.startswith("\ufeff"):
            raise Malformed(1, "text", "a byte order mark, which Ansible takes for a part of the first name")
        self.text = text
        self._parse = _format(path, text)
        self.groups = self._parse(text)

    @property
    def hosts(self) -> tuple[str, ...]:
        """The hosts that stand directly in [etcd], in the order of the file."""
        return self.groups.hosts(GROUP)

    def without(self, out: Collection[str]) -> str:
        """The text with these hosts taken out of [etcd]. Raises NotEditable."""
        text = without(self.groups, GROUP, out)
        return self._proven(text, tuple(host for host in self.hosts if host not in out))

    def with_again(self, original: Inventory, hosts: Collection[str]) -> str:
        """The text with these hosts of `original` put back into [etcd], their lines as they were. Raises NotEditable."""
        text = put_back(self.groups, original.groups, GROUP, hosts, original.hosts, self._parse)
        return self._proven(text, tuple({*self.hosts, *(h for h in original.hosts if h in hosts)}))

    def moved(self, host: str, order: Sequence[str]) -> str:
        """The text with the line of one host in [etcd] where `order` has it among the others. Raises NotEditable."""
        if sum(host in entry.hosts for entry in self.groups.of(GROUP)) != 1:
            raise NotEditable(f"{host} does not stand in [{GROUP}] once")
        alone = self._parse(without(self.groups, GROUP, [host]))
        text = self._proven(put_back(alone, self.groups, GROUP, [host], order, self._parse), self.hosts)
        found = self._parse(text).hosts(GROUP)
        if [h for h in found if h != host] != [h for h in self.hosts if h != host] or (found[0] == host) != (
            order[0] == host
        ):
            raise NotEditable(f"edited, [{GROUP}] would be in another order: {', '.join(found)}")
        return text

    def _proven(self, text: str, hosts: tuple[str, ...]) -> str:
        """The edited text, if it says what it should and differs in nothing but [etcd]."""
        try:
            edited = self._parse(text)
        except Malformed as error:
            raise NotEditable(f"edited, it could not be read any more: {error}") from None
        found = edited.hosts(GROUP)
        if set(found) != set(hosts) or _rest(edited) != _rest(self.groups):
            raise NotEditable(f"edited, [{GROUP}] would hold {', '.join(found) or 'nobody'}, or another group differs")
        return text


def _rest(groups: Groups) -> tuple[object, ...]:
    others = [(e.group, e.pattern, e.hosts, e.variables) for e in groups.entries if e.group != GROUP]
    return others, groups.children


def _format(path: PurePath, text: str) -> Parse:
    """Ansible tries YAML first where the file's name allows for it, then INI."""
    if path.suffix not in _YAML:
        return ansible_ini.parse
    try:
        if ansible_yaml.is_mapping(text):
            return ansible_yaml.parse
    except Malformed:
        if path.suffix:
            raise
    return ansible_ini.parse if not path.suffix else ansible_yaml.parse

"""master-config.yaml as far as it names the members of etcd, and as it is after an edit that keeps everything else.

Edited by the positions of YAML's nodes, never written anew: comments, layout and order stay byte for byte.
Source: OpenShift 3.11, roles/openshift_control_plane/templates/master.yaml.v1.j2.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from urllib.parse import urlsplit

import yaml

PATH = "/etc/origin/master/master-config.yaml"
URLS = "etcdClientInfo.urls"
SERVERS = ("kubernetesMasterConfig.apiServerArguments.etcd-servers", "apiServerArguments.etcd-servers")
"""Where it is set, it wins over etcdClientInfo.urls."""

_OVERRIDES = tuple(f"{field}-overrides" for field in SERVERS)
_PREFIX = "etcdStorageConfig.kubernetesStoragePrefix"
_ADDRESS = "servingInfo.bindAddress"
_BREAKS = "\r\n"
_TRIED = "https://added.example.com:2379"
"""What a trial adds."""


class MasterConfigError(ValueError):
    """master-config.yaml holds something that Requorum cannot read or edit safely."""


@dataclass(frozen=True, slots=True)
class Item:
    """One value of a list: the urls in it (an argument may hold several, by commas), and where it lies in the text."""

    urls: tuple[str, ...]
    start: int
    end: int
    quote: str


@dataclass(frozen=True, slots=True)
class UrlList:
    """One place that names members: its field, its items in the file's order, and whether it stands in brackets."""

    field: str
    items: tuple[Item, ...]
    flow: bool

    @property
    def urls(self) -> tuple[str, ...]:
        """All urls, in the file's order."""
        return tuple(url for item in self.items for url in item.urls)


@dataclass(frozen=True, slots=True)
class MasterConfig:
    """The text of master-config.yaml, the places in it that name members, and what else of it matters here.

    `overrides`: what etcd-servers-overrides says, which is told and not edited. `port`: of the API. `prefix`: of the
    platform's keys in etcd.
    """

    text: str
    lists: tuple[UrlList, ...]
    overrides: tuple[str, ...]
    port: int
    prefix: str

    @property
    def urls(self) -> tuple[str, ...]:
        """Every url that it names as a member's, each once."""
        return tuple(dict.fromkeys(url for found in self.lists for url in found.urls))

    def line_of(self, url: str) -> int:
        """The line where a url stands first. Raises StopIteration for one that it does not name."""
        at = next(item.start for found in self.lists for item in found.items if url in item.urls)
        return self.text.count("\n", 0, at) + 1

    def edited(self, keep: Callable[[str], bool], added: Callable[[Collection[str]], Sequence[str]]) -> str:
        """The text with every list reduced to the urls to `keep`, in its own order, and what `added` says at its end.

        `added` is asked with the urls that a list keeps. Raises MasterConfigError where a list would become empty, or where
        the text, read again, does not say exactly that: there are ways to write a list that this does not edit.
        """
        text, wanted = self.text, dict[str, tuple[str, ...]]()
        for found in sorted(self.lists, key=lambda one: one.items[0].start, reverse=True):
            kept = [url for url in found.urls if keep(url)]
            new = added(kept)
            if not kept and not new:
                raise MasterConfigError(f"{PATH}: {found.field} would name nobody")
            wanted[found.field] = (*kept, *new)
            text = _with_list(text, found, keep, new)
        if text != self.text:
            self._prove(text, wanted)
        return text

    def _prove(self, text: str, wanted: Mapping[str, tuple[str, ...]]) -> None:
        """An edited text has these urls in its lists, and else what this one has. Raises MasterConfigError."""
        try:
            said = {one.field: one.urls for one in parse(text).lists}
            proven = _but_for(text, wanted) == _but_for(self.text, wanted)
        except MasterConfigError:
            said, proven = {}, False
        wrong = next((one for one in self.lists if said.get(one.field) != wanted[one.field]), None)
        if wrong or not proven:
            line = self.text.count("\n", 0, (wrong or self.lists[0]).items[0].start) + 1
            field = (wrong or self.lists[0]).field
            raise _wrong(
                line, f"the urls of {field} each behind its dash, or in brackets without comments", "another way"
            )

    @property
    def uneditable(self) -> str:
        """Why its lists cannot be edited: each url is taken out of a copy, and each left alone, with and without a new one."""
        trials = product(self.urls, (False, True), ((), (_TRIED,)))
        tried = (self._refused({one for one in self.urls if (one == url) == alone}, new) for url, alone, new in trials)
        return next(filter(None, tried), "")

    def _refused(self, kept: Collection[str], new: Sequence[str]) -> str:
        if not new and any(set(kept).isdisjoint(found.urls) for found in self.lists):
            return ""  # nobody would be left
        try:
            self.edited(kept.__contains__, lambda _: new)
        except MasterConfigError as error:
            return str(error)
        return ""


def _but_for(text: str, fields: Collection[str]) -> object:
    """All that a text says, but for these fields."""

    def said(node: yaml.Node | None, at: str) -> object:
        if node is None or at in fields:
            return None
        if isinstance(node, yaml.MappingNode):
            return [(said(key, ""), said(value, f"{at}.{_text(key)}".removeprefix("."))) for key, value in node.value]
        if isinstance(node, yaml.SequenceNode):
            return [said(one, "[]") for one in node.value]
        return node.tag, node.value

    return said(yaml.compose(text, Loader=yaml.SafeLoader), "")


def host_of(url: str) -> str:
    """The host in a url, in small letters; empty where there is none."""
    return (urlsplit(url).hostname or "").lower()


def _with_list(text: str, found: UrlList, keep: Callable[[str], bool], added: Sequence[str]) -> str:
    """From the last item to the first, so that the positions of what comes before stay true."""
    last, first = found.items[-1], True
    kept_before = [any(map(keep, item.urls)) for item in found.items]
    joined = len(found.items) == 1 and len(last.urls) > 1
    for number in reversed(range(len(found.items))):
        item = found.items[number]
        urls = [url for url in item.urls if keep(url)]
        if first and joined:
            urls += added
        elif first and added:
            text = _with_items(text, found, added)
        first = False
        if urls == list(item.urls):
            continue
        if urls:
            text = text[: item.start] + item.quote + ",".join(urls) + item.quote + text[item.end :]
        elif found.flow:
            text = _without_flow_item(text, found, number, any(kept_before[:number]), bool(added))
        else:
            start, end = _line_of(text, item.start)
            text = text[:start] + text[end:]
    return text


def _with_items(text: str, found: UrlList, added: Sequence[str]) -> str:
    """New items behind the last one, written as that one is."""
    last = found.items[-1]
    written = [f"{last.quote}{url}{last.quote}" for url in added]
    if found.flow:
        return text[: last.end] + "".join(f", {one}" for one in written) + text[last.end :]
    start, end = _line_of(text, last.start)
    lead = text[start : last.start]
    ending = text[start:end][len(text[start:end].rstrip(_BREAKS)) :] or "\n"
    before = text[:end] if text[:end].endswith(("\n", "\r")) else text[:end] + ending
    return before + "".join(f"{lead}{one}{ending}" for one in written) + text[end:]


def _without_flow_item(text: str, found: UrlList, number: int, kept_before: bool, added: bool) -> str:
    """With the comma that parts it from the one before, or, where all before it goes, from the one behind."""
    item = found.items[number]
    if kept_before:
        return text[: found.items[number - 1].end] + text[item.end :]
    last = number + 1 == len(found.items)
    behind = re.match(r"\s*,\s*", text[item.end :]) if not last or added else None
    return text[: item.start] + text[item.end + (behind.end() if behind else 0) :]


def _line_of(text: str, at: int) -> tuple[int, int]:
    """Where the line of a position begins, and where the next one does."""
    start = max(text.rfind(one, 0, at) for one in _BREAKS) + 1
    ends = re.compile(r"\r\n|\r|\n").search(text, at)
    return start, ends.end() if ends else len(text)


def parse(text: str) -> MasterConfig:
    """The places in master-config.yaml that name members. Raises MasterConfigError, with the line."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _wrong(
            mark.line + 1 if mark else 1, "YAML", (error.problem or "no YAML").removeprefix("found ")
        ) from None
    except yaml.YAMLError as error:
        raise _wrong(1, "YAML", " ".join(str(error).split())) from None
    if not isinstance(root, yaml.MappingNode):
        raise _wrong(1, "a mapping with etcdClientInfo", "something else")
    lists = [_url_list(root, URLS), *(_url_list(root, field) for field in SERVERS)]
    if lists[0] is None:
        info = _node(root, URLS.partition(".")[0])
        raise _wrong(max(1, info.start_mark.line) if info else 1, f"the field {URLS}", "no such field")
    overrides = [value for field in _OVERRIDES for value in _values(_node(root, field))]
    address = _text(_node(root, _ADDRESS)) or "0.0.0.0:8443"
    port = address.rpartition(":")[2]
    if not port.isdigit():
        raise _wrong(1, f"a port at the end of {_ADDRESS}", repr(address))
    prefix = (_text(_node(root, _PREFIX)) or "kubernetes.io").strip("/")
    return MasterConfig(text, tuple(found for found in lists if found), tuple(overrides), int(port), prefix)


def _wrong(line: int, expected: str, found: str) -> MasterConfigError:
    return MasterConfigError(f"{PATH}, line {line}: expected {expected}, found {found}")


def _node(root: yaml.Node, field: str) -> yaml.Node | None:
    """The node of a field, or None. Raises MasterConfigError for a key that is there twice, or a value by alias."""
    node: yaml.Node | None = root
    for part in field.split("."):
        if not isinstance(node, yaml.MappingNode):
            return None
        found = [(key, value) for key, value in node.value if _text(key) == part]
        if len(found) > 1:
            raise _wrong(found[1][0].start_mark.line + 1, f"{part} once", "it a second time")
        if found and found[0][1].start_mark.index < found[0][0].end_mark.index:
            raise _wrong(found[0][0].start_mark.line + 1, f"the value of {part} written out", "an alias")
        node = found[0][1] if found else None
    return node


def _text(node: yaml.Node | None) -> str:
    return str(node.value) if isinstance(node, yaml.ScalarNode) and not node.tag.endswith(":null") else ""


def _values(node: yaml.Node | None) -> list[str]:
    if isinstance(node, yaml.SequenceNode):
        return [_text(item) for item in node.value]
    return [_text(node)] if _text(node) else []


def _url_list(root: yaml.Node, field: str) -> UrlList | None:
    node = _node(root, field)
    if node is None:
        return None
    line = node.start_mark.line + 1
    if not isinstance(node, yaml.SequenceNode) or not node.value:
        raise _wrong(
            line, f"a list of urls in {field}", "no list" if not isinstance(node, yaml.SequenceNode) else "none"
        )
    items = [_item(item, field) for item in node.value]
    if not node.flow_style and len({item.start_mark.line for item in node.value}) < len(items):
        raise _wrong(line, f"each url of {field} on a line of its own", "two on one line")
    return UrlList(field, tuple(items), bool(node.flow_style))


def _item(node: yaml.Node, field: str) -> Item:
    line = node.start_mark.line + 1
    if not isinstance(node, yaml.ScalarNode) or node.start_mark.line != node.end_mark.line or node.style in ("|", ">"):
        raise _wrong(line, f"a url on one line in {field}", "something else")
    urls = tuple(url.strip() for url in node.value.split(","))
    for url in urls:
        if not host_of(url) or urlsplit(url).scheme not in ("http", "https"):
            raise _wrong(line, f"a url such as https://master-0.example.com:2379 in {field}", repr(url))
    return Item(urls, node.start_mark.index, node.end_mark.index, node.style or "")

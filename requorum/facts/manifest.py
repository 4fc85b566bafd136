"""The manifest of etcd's static pod, and as it is without its liveness probe.

Edited by the positions of YAML's nodes: the order of keys and the layout are whatever the installer's tools left.
Source: OpenShift 3.11, roles/etcd/files/etcd.yaml.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import yaml

KEPT = "/var/lib/requorum/etcd.yaml"
"""The manifest as a recovery found it, until its liveness probe is back."""
PROBE = "livenessProbe"


class ManifestError(ValueError):
    """The manifest holds something that Requorum cannot read or edit safely."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """The text of a manifest. `command`: what its container runs; `probed`: it has a liveness probe; `image`: its own.

    `of_cluster`: the probe asks for the health of the whole cluster, and not of its own member alone.
    """

    text: str
    command: str
    probed: bool
    image: str
    of_cluster: bool = False

    @property
    def sha256(self) -> str:
        """That of the file."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def without_probe(self) -> str:
        """The text without the liveness probe, all else as it is. Raises ManifestError where it cannot be taken out."""
        if not self.probed:
            return self.text
        text, container = self.text, _container(_root(self.text), "")
        keys = [(key, value) for key, value in container.value if key.value == PROBE]
        at = [key.value for key, _ in container.value].index(PROBE)
        key, value = keys[0]
        line = key.start_mark.line + 1
        if container.flow_style or len(container.value) == 1:
            raise ManifestError(f"line {line}: expected {PROBE} on lines of its own, beside other keys")
        if at + 1 < len(container.value):
            edited = text[: key.start_mark.index] + text[container.value[at + 1][0].start_mark.index :]
        else:
            start = text.rfind("\n", 0, key.start_mark.index) + 1
            edited = text[:start] + text[_end_of_lines(text, value) :]
        if not _same_but_for_probe(text, edited):
            raise ManifestError(f"line {line}: expected {PROBE} alone to go, and more would: take it out by hand")
        return edited


def parse(text: str, path: str) -> Manifest:
    """The manifest in `text`, which lies at `path`. Raises ManifestError, with file and line."""
    container = _container(_root(text, path), path)
    words = [
        item.value
        for key, value in container.value
        if key.value in ("command", "args") and isinstance(value, yaml.SequenceNode)
        for item in sorted(value.value, key=lambda node: node.start_mark.index)
    ]
    keys = [str(key.value) for key, _ in container.value]
    for key, _ in container.value:
        if keys.count(key.value) > 1:
            raise _wrong(path, key, f"{key.value} once", "it a second time")
    image = next((str(value.value) for key, value in container.value if key.value == "image"), "")
    asked = " ".join(word for key, value in container.value if key.value == PROBE for word in _scalars(value))
    command = " ".join(" ".join(map(str, words)).split())
    return Manifest(text, command, PROBE in keys, image, of_cluster="cluster-health" in asked)


def is_of_etcd(text: str) -> bool:
    """The pod in `text` is etcd's, by its own name or label. What cannot be read may be: the node service reads more."""
    try:
        found = next(iter(yaml.safe_load_all(text)), None)
    except (yaml.YAMLError, ValueError):
        return True
    meta = found.get("metadata") if isinstance(found, dict) else None
    if not isinstance(meta, dict):
        return False
    labels = meta.get("labels")
    labelled = labels.get("openshift.io/component") if isinstance(labels, dict) else None
    return labelled == "etcd" or meta.get("name") == "master-etcd"


def _scalars(node: yaml.Node) -> list[str]:
    """Every word below a node, keys apart."""
    if isinstance(node, yaml.MappingNode):
        return [word for _, value in node.value for word in _scalars(value)]
    if isinstance(node, yaml.SequenceNode):
        return [word for value in node.value for word in _scalars(value)]
    return [str(node.value)]


def _end_of_lines(text: str, value: yaml.Node) -> int:
    """Where the line after a value begins: one on lines of its own ends there, one in braces before the line does."""
    end = value.end_mark.index
    start = text.rfind("\n", 0, end) + 1
    if not text[start:end].strip():
        return start
    return text.find("\n", end) + 1 or len(text)


def _same_but_for_probe(text: str, edited: str) -> bool:
    try:
        before, after = yaml.safe_load(text), yaml.safe_load(edited)
    except yaml.YAMLError:
        return False
    for one in before["spec"]["containers"]:
        one.pop(PROBE, None)
    return bool(before == after)


def _root(text: str, path: str = "") -> yaml.Node:
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        raise ManifestError(f"{path}, line {line}: expected YAML, found {getattr(error, 'problem', error)}") from None
    if not isinstance(root, yaml.MappingNode):
        raise ManifestError(f"{path}, line 1: expected a pod, found no mapping")
    return root


def _container(root: yaml.Node, path: str) -> yaml.MappingNode:
    """The one container of the pod."""
    found: yaml.Node = root
    for name in ("spec", "containers"):
        values = [v for k, v in found.value if k.value == name] if isinstance(found, yaml.MappingNode) else []
        if len(values) != 1:
            raise _wrong(path, found, f"the field {name}", f"{len(values)} of it")
        found = values[0]
    if not isinstance(found, yaml.SequenceNode) or len(found.value) != 1:
        raise _wrong(path, found, "one container, etcd", "another number of them")
    container = found.value[0]
    if not isinstance(container, yaml.MappingNode):
        raise _wrong(path, container, "a container with keys", "something else")
    return container


def _wrong(path: str, node: yaml.Node, expected: str, found: str) -> ManifestError:
    return ManifestError(f"{path}, line {node.start_mark.line + 1}: expected {expected}, found {found}")

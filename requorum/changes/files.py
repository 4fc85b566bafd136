"""Changes of files."""

from __future__ import annotations

import base64
import difflib
import hashlib
from dataclasses import dataclass, replace
from typing import ClassVar

from requorum.changes.change import LABELLED, UNFINISHED, ClientChange, new_file, quote
from requorum.facts import etcd_conf, flannel, manifest, mark, master, master_config, unit
from requorum.facts.beside import Facts
from requorum.facts.host import HostFacts


def replaced(written: str, *, mode: str = "0644", beside: str = '"$path"') -> str:
    """Shell: the file at ``$path`` becomes what `written` prints, whole: a cut leaves the old or the new one.

    It keeps its owner, mode and SELinux label, and a link to it stays a link. `mode` is that of a new file; `beside`:
    a word, the file beside which it is written first.
    """
    return f"""set -o pipefail
[ -L "$path" ] && [ -f "$path" ] && path=$(readlink -f "$path")
mkdir -p "$(dirname "$path")" || return 1
{new_file(beside)}
{written} > "$new" || {{ rm -f "$new"; return 1; }}
if [ -f "$path" ]; then
  chown --reference="$path" "$new" && chmod --reference="$path" "$new" || {{ rm -f "$new"; return 1; }}
  if {LABELLED} && [ "$(stat -c %C "$path")" != "$(stat -c %C "$new")" ]; then
    chcon --reference="$path" "$new" || {{ rm -f "$new"; return 1; }}
  fi
else
  chmod {mode} "$new" || {{ rm -f "$new"; return 1; }}
fi
sync "$new" && mv -fT "$new" "$path" && sync "$(dirname "$path")" || {{ rm -f "$new"; return 1; }}
"""


@dataclass(frozen=True)
class WriteFile(ClientChange):
    """Write a file whole: beside it, synced, with the owner, mode and SELinux label of the one it replaces."""

    path: str
    content: str
    before: str | None = None
    mode: str = "0644"

    _BESIDE: ClassVar[str] = '"$path"'

    def shown(self) -> str:
        old = (self.before or "").splitlines(keepends=True)
        new = self.content.splitlines(keepends=True)
        lines = difflib.unified_diff(old, new, self.path if self.before is not None else "/dev/null", self.path, n=1)
        return (
            "".join(line if line.endswith("\n") else line + "\n" for line in lines).rstrip()
            or f"write {quote(self.path)}"
        )

    def test(self) -> str:
        return f'[ "$(sha256sum 2>/dev/null < {quote(self.path)})" = {quote(_sha(self.content) + "  -")} ]'

    def act(self) -> str:
        guard = ""
        if self.before is not None:
            guard = f"""[ "$(sha256sum < "$path")" = {quote(_sha(self.before) + "  -")} ] || {{
  echo "$path is not what it was when it was read: somebody else edits it" >&2; return 1; }}
"""
        return f"path={quote(self.path)}\n{guard}{replaced(self._written(), mode=self.mode, beside=self._BESIDE)}"

    def _written(self) -> str:
        """Shell: says the content."""
        return f"printf %s {_base64(_bytes(self.content))} | base64 -d"

    def after(self, facts: Facts) -> Facts:
        if isinstance(facts, HostFacts):
            if self.path == etcd_conf.PATH:
                return replace(facts, conf=etcd_conf.parse(self.content))
            if self.path == mark.PATH:
                return replace(facts, mark=mark.parse(self.content))
            if self.path == mark.FORCED_PATH:
                return replace(facts, forced_by=mark.parse(self.content))
        if facts.master and self.path == master_config.PATH:
            return replace(facts, master=replace(facts.master, config=master_config.parse(self.content)))
        if facts.master and self.path in master.OWED:
            return replace(facts, master=facts.master.owing(master.OWED[self.path]))
        if facts.flannel and self.path in flannel.FILES:
            return replace(facts, flannel=facts.flannel.with_file(self.path, self.content))
        return facts  # a drop-in counts once systemd has read it: ReloadUnits


@dataclass(frozen=True)
class EditFile(WriteFile):
    """Write a file whole, of which only what differs is sent: the rest may hold secrets, and a command is written down."""

    def _written(self) -> str:
        old, new = _bytes(self.before or ""), _bytes(self.content)
        same = _alike(old, new)
        behind = _alike(old[same:][::-1], new[same:][::-1])
        middle = _base64(new[same : len(new) - behind])
        return (
            f'{{ head -c {same} "$path" && printf %s {middle!r} | base64 -d && '
            f'tail -c +{len(old) - behind + 1} "$path"; }}'
        )


@dataclass(frozen=True)
class RemoveFile(ClientChange):
    """Remove one of Requorum's own files."""

    path: str

    def shown(self) -> str:
        return f"rm {quote(self.path)}"

    def test(self) -> str:
        return f"[ ! -e {quote(self.path)} ] && [ ! -L {quote(self.path)} ]"

    def act(self) -> str:
        return f"""folder=$(dirname {quote(self.path)})
rm -f {quote(self.path)} && sync "$folder" || return 1
rmdir "$folder" 2>/dev/null  # where it was the last one there: the folder was ours, too
return 0"""

    def after(self, facts: Facts) -> Facts:
        if isinstance(facts, HostFacts):
            if self.path == unit.FORCE:
                return replace(facts, unit=replace(facts.unit, force_file=False))
            if self.path == facts.unit.runtime.fence:
                return replace(facts, unit=replace(facts.unit, fence_file=False))
            if self.path == mark.FORCED_PATH:
                return replace(facts, forced_by=None)
            if self.path == mark.PATH:
                return replace(facts, mark=None)
            if facts.unit.pod and self.path == manifest.KEPT:
                return replace(facts, unit=replace(facts.unit, pod=replace(facts.unit.pod, kept=None)))
        if facts.master and self.path == master.FOUND:
            return replace(facts, master=replace(facts.master, found=None))
        if facts.master and self.path in master.OWED:
            return replace(facts, master=facts.master.settled(master.OWED[self.path]))
        if facts.flannel and self.path in flannel.FILES:
            return replace(facts, flannel=facts.flannel.with_file(self.path, None))
        return facts


@dataclass(frozen=True)
class RemoveUnfinished(ClientChange):
    """Remove what a kill in the middle of a write has left beside the file: a run that goes on writes it again, no abort does."""

    places: tuple[str, ...] = ("/etc/etcd", "/etc/origin", "/etc/sysconfig", "/etc/systemd/system", "/var/lib/requorum")

    def shown(self) -> str:
        return f"rm …{UNFINISHED} below {', '.join(map(quote, self.places))}"

    def _left(self) -> str:
        return f"find -H {' '.join(map(quote, self.places))} -xdev -type f -name {quote(f'*{UNFINISHED}')} 2>/dev/null"

    def test(self) -> str:
        return f'[ -z "$({self._left()})" ]'

    def act(self) -> str:
        return f"{self._left()} -delete\ntrue  # not every place is on every host"

    def after(self, facts: Facts) -> Facts:
        return facts


def _alike(one: bytes, other: bytes) -> int:
    """How many bytes both begin with."""
    shorter = min(len(one), len(other))
    return next((at for at in range(shorter) if one[at] != other[at]), shorter)


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _sha(text: str) -> str:
    return hashlib.sha256(_bytes(text)).hexdigest()


def _bytes(text: str) -> bytes:
    """UTF-8; bytes of a file that were none when it was read (a comment in Latin-1) are what they were."""
    return text.encode("utf-8", "surrogateescape")

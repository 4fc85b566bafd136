"""Changes of files on the machine that runs this: what an operator keeps there names the members, too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from requorum.changes.change import Change, quote
from requorum.changes.files import WriteFile
from requorum.facts.ansible_file import hidden
from requorum.facts.host import HostFacts


@dataclass(frozen=True)
class EditHere(WriteFile):
    """Write an operator's file whole, as `WriteFile` does; what looks like a secret is not shown.

    Ansible passes over hidden files where the folder is an inventory: the temporary one is hidden.
    """

    _BESIDE: ClassVar[str] = '"$(dirname "$path")/.$(basename "$path")"'

    def shown(self) -> str:
        return hidden(super().shown())


@dataclass(frozen=True)
class CopyHere(Change):
    """Copy a file with its owner and mode; `sha256` is that of the bytes that the copy must have."""

    source: str
    to: str
    sha256: str

    def shown(self) -> str:
        return f"cp -a {quote(self.source)} {quote(self.to)}"

    def test(self) -> str:
        return f'[ "$(sha256sum 2>/dev/null < {quote(self.to)})" = {quote(self.sha256 + "  -")} ]'

    def act(self) -> str:
        return f"""to={quote(self.to)}
mkdir -p "$(dirname "$to")" || return 1
cp -a -L -T {quote(self.source)} "$to.part" && sync "$to.part" || {{ rm -f "$to.part"; return 1; }}
[ "$(sha256sum < "$to.part")" = {quote(self.sha256 + "  -")} ] || {{
  echo {quote(self.source)}" is not what it was when it was read: somebody else edits it" >&2; rm -f "$to.part"; return 1; }}
mv -fT "$to.part" "$to" && sync "$(dirname "$to")\""""

    def after(self, facts: HostFacts) -> HostFacts:
        return facts

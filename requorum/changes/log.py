"""Changes of a stopped member's write-ahead log."""

from __future__ import annotations

import base64
from dataclasses import dataclass

from requorum.changes.change import Change, quote
from requorum.facts.host import HostFacts
from requorum.facts.process import LIVES


@dataclass(frozen=True)
class RaiseCommit(Change):
    """Append one record to the newest segment of a log, at the byte where its records end.

    Whatever lies behind that byte is no record (zeros, or a torn one) and becomes zeros: at a torn record that was not
    zeroed, etcd 3.3 and 3.4 die. Never while etcd runs.
    """

    path: str
    offset: int
    size: int
    record: bytes

    def shown(self) -> str:
        return f"append a hard state to {self.path} at byte {self.offset}: {self.record.hex()}"

    def _there(self) -> str:
        count = len(self.record)
        return f"dd if={quote(self.path)} skip={self.offset} count={count} iflag=skip_bytes,count_bytes status=none"

    def test(self) -> str:
        return f'[ "$({self._there()} | base64 -w0)" = {base64.b64encode(self.record).decode()} ]'

    def act(self) -> str:
        path, size = quote(self.path), max(self.size, self.offset + len(self.record))
        return f"""{LIVES}
! etcd_lives || {{ echo "etcd runs: its log is not touched" >&2; return 1; }}
[ "$(stat -c %s {path})" = {self.size} ] || {{ echo "{self.path} is not what it was when it was read" >&2; return 1; }}
truncate -s {self.offset} {path} && truncate -s {size} {path} || return 1
printf %s {base64.b64encode(self.record).decode()} | base64 -d |
  dd of={path} seek={self.offset} oflag=seek_bytes conv=notrunc,fsync status=none"""

    def after(self, facts: HostFacts) -> HostFacts:
        return facts

"""Changes of a stopped member's write-ahead log: one record behind its last one, first on a copy."""

from __future__ import annotations

import base64
import binascii
import gzip
import zlib
from dataclasses import dataclass

from requorum.changes import scratch
from requorum.changes.change import LABELLED, Change, ChangeFailed, Shell, quote
from requorum.facts.host import HostFacts
from requorum.facts.machine import COMMITTED
from requorum.facts.prediction import Prediction, read_answer
from requorum.facts.process import LIVES
from requorum.facts.runtime import TOOL

_ASK = f"""
ask() {{
  env -i PATH="$PATH" ETCDCTL_API=3 "$etcdctl" --endpoints={scratch.ENDPOINT} --dial-timeout="${{limit}}s" \
    --command-timeout="${{limit}}s" get "" --prefix --keys-only -w json
}}
"""
"""Shell: every key of the scratch etcd."""


@dataclass(frozen=True)
class Append:
    """One record for the newest segment of a log, at the byte where its records end.

    Whatever lies behind that byte is no record (zeros, or a torn one) and becomes zeros: at a torn record that was not
    zeroed, etcd 3.3 and 3.4 die. `size` is the file's, `sha256` that of everything before the byte (empty: not known).
    """

    segment: str
    offset: int
    size: int
    sha256: str
    record: bytes

    def test(self, wal_dir: str) -> str:
        """Shell: the record is there."""
        path, count = quote(f"{wal_dir}/{self.segment}"), len(self.record)
        there = f"dd if={path} skip={self.offset} count={count} iflag=skip_bytes,count_bytes status=none"
        return f'[ "$({there} | base64 -w0)" = {base64.b64encode(self.record).decode()} ]'

    def guard(self, wal_dir: str) -> str:
        """Shell: fail unless etcd is stopped and the segment is what it was when it was read."""
        path = quote(f"{wal_dir}/{self.segment}")
        same = f'[ "$(head -c {self.offset} {path} | sha256sum)" = "{self.sha256}  -" ]' if self.sha256 else "true"
        return f"""{LIVES}
! etcd_lives || {{ echo "etcd runs: its log is not touched" >&2; return 1; }}
[ "$(stat -c %s {path})" = {self.size} ] && {same} || {{
  echo {path}" is not what it was when it was read" >&2; return 1; }}"""

    def to(self, copy: str) -> str:
        """Shell: append to a copy of the segment; `copy` is a word of the shell."""
        size = max(self.size, self.offset + len(self.record))
        return f"""truncate -s {self.offset} {copy} && truncate -s {size} {copy} &&
  printf %s {base64.b64encode(self.record).decode()} | base64 -d |
    dd of={copy} seek={self.offset} oflag=seek_bytes conv=notrunc status=none"""


@dataclass(frozen=True)
class KeepTail(Change):
    """Give a log one more record: in a new file, which takes the segment's name once it is on disk.

    The segment as it was stays in `aside`, under its name and the length of its records. Never while etcd runs. Until
    it runs, the segment can be put back, and has to be where the old cluster starts again: what this commits may be
    nothing that a peer has, and etcd dies where committed entries differ.
    """

    wal_dir: str
    append: Append
    aside: str

    def shown(self) -> str:
        one = self.append
        return (
            f"append a hard state to {quote(self.wal_dir)}/{one.segment} at byte {one.offset}: {one.record.hex()}\n"
            f"the segment as it was: {quote(self._kept)}"
        )

    @property
    def _kept(self) -> str:
        return f"{self.aside}/{self.append.segment}.{self.append.offset}"

    def test(self) -> str:
        return self.append.test(self.wal_dir)

    def act(self) -> str:
        path, aside, kept = quote(f"{self.wal_dir}/{self.append.segment}"), quote(self.aside), quote(self._kept)
        return f"""set -o pipefail
{self.append.guard(self.wal_dir)}
folder=$(dirname {aside})
mkdir -p "$folder" {aside} && chown --reference={quote(self.wal_dir)} "$folder" {aside} &&
  chmod 0700 "$folder" {aside} || return 1
{LABELLED} && chcon --reference={quote(self.wal_dir)} "$folder" {aside}
new={quote(self.wal_dir + "/requorum.tmp")}  # the same file system, and a name that etcd does not read
rm -f "$new" && cp -a --sparse=always {path} "$new" || {{ rm -f "$new"; return 1; }}
if {LABELLED} && [ "$(stat -c %C {path})" != "$(stat -c %C "$new")" ]; then
  chcon --reference={path} "$new" || {{ rm -f "$new"; return 1; }}
fi
{self.append.to('"$new"')} && sync "$new" || {{ rm -f "$new"; return 1; }}
[ {path} -ef {kept} ] || {{ rm -f {kept}.part && {{ ln {path} {kept}.part || cp -a {path} {kept}.part; }} &&
  sync {kept}.part && mv -fT {kept}.part {kept}; }} && sync {aside} || {{ rm -f "$new" {kept}.part; return 1; }}
stat -c '%i %y' "$new" > {aside}/{COMMITTED} && sync {aside}/{COMMITTED} {aside} &&
  mv -fT "$new" {path} && sync {quote(self.wal_dir)}"""

    @property
    def seconds(self) -> float:
        """A segment of some hundred megabytes on a slow disk."""
        return 120

    def after(self, facts: HostFacts) -> HostFacts:
        return facts


@dataclass(frozen=True)
class ProveOnCopy(Change):
    """Start a scratch etcd on a copy of the data with the record, and ask it for every key.

    It is the etcd that will be forced, of the `version` that the survey has found: versions die of different things.
    Without a prediction (in a plan) it only shows itself.
    """

    data_dir: str
    wal_dir: str
    append: Append
    scratch: str
    version: str
    prediction: Prediction | None

    def shown(self) -> str:
        at = f" at revision {self.prediction.revision}" if self.prediction else ""
        return (
            f"copy the data to {quote(self.scratch)}, with the record; start etcd there with --force-new-cluster in a network "
            f"namespace of its own; compare every key{at} with what the log says; remove the copy"
        )

    def test(self) -> str:
        return "false  # a proof is made each time"

    def act(self) -> str:
        data, wal = quote(self.data_dir), quote(self.wal_dir)
        return f"""set -o pipefail
{self.append.guard(self.wal_dir)}
{scratch.SAME}
{scratch.STOP}
{scratch.INSIDE}
{_ASK}
{scratch.prepare(quote(self.scratch), data, self.version)}
{scratch.copy(f"{data}/member/snap", wal)}
{self.append.to(f'"$scratch/data/member/wal/{self.append.segment}"')} || return 1
{scratch.answer()}
gzip -1 < "$scratch/answer" | base64 -w0"""

    @property
    def seconds(self) -> float:
        """Some gigabytes on a slow disk, then the scratch etcd."""
        return 900 + scratch.SECONDS

    def script(self) -> str:
        return f"{TOOL}\nact() {{\n{self.act()}\n}}\nact\n"

    def do(self, shell: Shell) -> bool:
        """Prove it. Raises ChangeFailed where the scratch etcd does not start, or holds something else than predicted."""
        if self.prediction is None:
            raise ChangeFailed("there is no prediction to compare with")
        untouched = "the survivor's own data was not touched"
        answer = shell.run(self.script(), seconds=self.seconds + 30, change=True)
        if answer.exit != 0:
            raise ChangeFailed(f"exit {answer.exit}: {answer.stderr.strip()[-2000:]}\n{untouched}")
        try:
            revision, held = read_answer(gzip.decompress(base64.b64decode(answer.stdout, validate=True)).decode())
        except (ValueError, binascii.Error, OSError, EOFError, zlib.error) as error:
            raise ChangeFailed(f"the scratch etcd's answer cannot be read: {error}\n{untouched}") from None
        unlike = self.prediction.unlike(revision, held)
        if unlike:
            said = "\n".join(unlike)
            raise ChangeFailed(f"the scratch etcd does not hold what the log says:\n{said}\n{untouched}")
        return True

    def after(self, facts: HostFacts) -> HostFacts:
        return facts

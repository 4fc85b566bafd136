"""Changes that undo others: what was found comes back, and nothing else is overwritten."""

from __future__ import annotations

from dataclasses import dataclass, replace

from requorum.changes.change import Change, kept_copy, quote
from requorum.facts.host import HostFacts
from requorum.facts.machine import COMMITTED
from requorum.facts.process import LIVES

_WRITTEN = f"""
written_since() {{  # the segments of the log $1 on which etcd has run since a record was appended; $2 holds the originals
  local kept segment
  for kept in "$2"/*.wal.*[0-9]; do
    [ -f "$kept" ] || continue
    segment=$1/${{kept##*/}} segment=${{segment%.*}}
    [ -f "$segment" ] || {{ echo "${{segment##*/}} (it is gone)"; continue; }}
    cmp -s "$kept" "$segment" || [ "$(stat -c '%i %y' "$segment")" = "$(cat "$2/{COMMITTED}" 2>/dev/null)" ] ||
      echo "${{segment##*/}}"
  done
}}
"""
"""Shell: `written_since LOG ORIGINALS`. A log that etcd has run on is not put back: what it promised since would be
forgotten, and its database may hold what was committed. It writes to the newest segment at each start (zeros behind the
records), so the file tells, even where no record came to it.
"""


def log_written_since(wal_dir: str, aside: str) -> str:
    """Shell: names the segments that cannot be put back any more."""
    return f"{_WRITTEN}\nwritten_since {quote(wal_dir)} {quote(aside)}"


@dataclass(frozen=True)
class PutLogBack(Change):
    """Give a stopped member's log the segments again that it had before a record was appended to one.

    `aside` holds them, each under its name and the length of its records; where somebody has put them back by hand, it
    merely goes.
    """

    wal_dir: str
    aside: str

    def shown(self) -> str:
        return f"mv {quote(self.aside)}/*.wal.* to their names in {quote(self.wal_dir)}/"

    def test(self) -> str:
        return f"[ ! -d {quote(self.aside)} ]"

    def act(self) -> str:
        wal_dir, aside = quote(self.wal_dir), quote(self.aside)
        return f"""{LIVES}{_WRITTEN}
since=$(written_since {wal_dir} {aside}) || return 1
first() {{  # $1 is the segment as it was before any record: of several originals, the shortest
  local one
  for one in "${{1%.*}}".*[0-9]; do [ "${{one##*.}}" -ge "${{1##*.}}" ] || return 1; done
}}
[ -z "$since" ] || {{ echo "etcd has written to its log since: $since" >&2; return 1; }}
for kept in {aside}/*.wal.*[0-9]; do  # before anything is put back: a kill in between must not leave a later one
  [ ! -f "$kept" ] || first "$kept" || etcd_lives || rm -f "$kept" || return 1
done
for kept in {aside}/*.wal.*[0-9]; do
  [ -f "$kept" ] || continue
  name=${{kept##*/}}
  if [ "$kept" -ef {wal_dir}/"${{name%.*}}" ]; then rm -f "$kept" || return 1; continue; fi
  ! etcd_lives || {{ echo "etcd runs: its log is not touched" >&2; return 1; }}
  mv -fT "$kept" {wal_dir}/"${{name%.*}}" || return 1
done
sync {wal_dir}
rm -f {aside}/{COMMITTED} {aside}/*.part {wal_dir}/requorum.tmp
rmdir {aside} && {{ rmdir "$(dirname {aside})" 2>/dev/null; return 0; }}"""

    def after(self, facts: HostFacts) -> HostFacts:
        return replace(facts, machine=replace(facts.machine, kept_log=""))


@dataclass(frozen=True)
class RestoreFile(Change):
    """Put a file back as a backup has it: its bytes, owner, mode and label.

    `sha256` is that of the file in the backup, `instead` that of the one which may be replaced: no other is.
    """

    path: str
    backup: str
    sha256: str
    instead: str

    def shown(self) -> str:
        return f"cp -a {quote(self.backup)} {quote(self.path)}"

    def test(self) -> str:
        path, backup = quote(self.path), quote(self.backup)
        return f"""[ "$(sha256sum 2>/dev/null < {path})" = {quote(self.sha256 + "  -")} ] &&
  [ "$(stat -L -c '%u:%g %a' {path})" = "$(stat -L -c '%u:%g %a' {backup})" ]"""

    def act(self) -> str:
        return f"""path={quote(self.path)} backup={quote(self.backup)}
is() {{ [ "$(sha256sum < "$1")" = "$2  -" ]; }}
is "$backup" {self.sha256} || {{ echo "$backup is not what was copied" >&2; return 1; }}
is "$path" {self.instead} || is "$path" {self.sha256} || {{
  echo "$path is not what it was when it was read: somebody else edits it" >&2; return 1; }}
[ -L "$path" ] && path=$(readlink -f "$path")
{kept_copy('"$backup"', '"$path"')}"""

    def after(self, facts: HostFacts) -> HostFacts:
        return facts

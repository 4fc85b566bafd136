"""Changes that undo others: what was found comes back, and nothing else is overwritten."""

from __future__ import annotations

from dataclasses import dataclass

from requorum.changes.change import Change, kept_copy, quote
from requorum.facts.host import HostFacts
from requorum.facts.machine import COMMITTED
from requorum.facts.process import LIVES

_WRITTEN = """
written_since() {  # the segments $1 of a log to which etcd has written since a record was appended; $2 holds the originals
  local kept name offset segment length padding
  for kept in "$2"/*.wal.*[0-9]; do
    [ -f "$kept" ] || continue
    name=${kept##*/} offset=${kept##*.} segment=$1/${kept##*/} segment=${segment%.*}
    [ -f "$segment" ] || { echo "${segment##*/} (it is gone)"; continue; }
    cmp -s "$kept" "$segment" && continue
    # One record behind what was there: its length, and in the highest byte its padding (etcd, wal/encoder.go).
    length=$(od -An -td8 -j "$offset" -N 8 "$segment") && length=${length//[!-0-9]/} && [ -n "$length" ] || return 1
    padding=0; [ "$length" -ge 0 ] || padding=$(((length >> 56) & 7))
    length=$(((length & 0xffffffffffffff) + padding + 8))
    cmp -s -n "$offset" "$kept" "$segment" &&
      [ "$(tail -c "+$((offset + length + 1))" "$segment" | tr -d '\\0' | head -c 1 | wc -c)" -eq 0 ] ||
      echo "${segment##*/}"
  done
}
"""
"""Shell: `written_since LOG ORIGINALS`. A log that went on is not put back: what etcd promised since would be forgotten."""


def log_written_since(wal_dir: str, aside: str) -> str:
    """Shell: names the segments that cannot be put back any more."""
    return f"{_WRITTEN}\nwritten_since {quote(wal_dir)} {quote(aside)}"


@dataclass(frozen=True)
class PutLogBack(Change):
    """Give a stopped member's log the segments again that it had before a record was appended to one.

    `aside` holds them, each under its name and the length of its records.
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
! etcd_lives || {{ echo "etcd runs: its log is not touched" >&2; return 1; }}
since=$(written_since {wal_dir} {aside}) || return 1
[ -z "$since" ] || {{ echo "etcd has written to its log since: $since" >&2; return 1; }}
for kept in {aside}/*.wal.*[0-9]; do
  [ -f "$kept" ] || continue
  name=${{kept##*/}}
  if [ "$kept" -ef {wal_dir}/"${{name%.*}}" ]; then rm -f "$kept"; else mv -fT "$kept" {wal_dir}/"${{name%.*}}"; fi || return 1
done
sync {wal_dir}
rm -f {aside}/{COMMITTED} {aside}/*.part {wal_dir}/requorum.tmp
rmdir {aside} && {{ rmdir "$(dirname {aside})" 2>/dev/null; return 0; }}"""

    def after(self, facts: HostFacts) -> HostFacts:
        return facts


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


@dataclass(frozen=True)
class MoveBack(Change):
    """Move what `MoveAside` took out of a data directory back into it, where nothing else is there by now."""

    data_dir: str
    aside: str

    def shown(self) -> str:
        return f"mv {quote(self.aside)}/[0-9]*/* {quote(self.data_dir)}/"

    def test(self) -> str:
        return f"[ ! -e {quote(self.aside)} ]"

    def act(self) -> str:
        data_dir, aside = quote(self.data_dir), quote(self.aside)
        return f"""for pass in {aside}/[0-9]*/; do
  find "$pass" -mindepth 1 -maxdepth 1 -print0 | while IFS= read -r -d '' one; do
    [ ! -e {data_dir}/"${{one##*/}}" ] || {{ echo {data_dir}"/${{one##*/}} is there by now" >&2; exit 1; }}
    mv -nT "$one" {data_dir}/"${{one##*/}}" || exit 1
  done || return 1
  rmdir "$pass" || return 1
done
rmdir {aside} && sync {data_dir}"""

    def after(self, facts: HostFacts) -> HostFacts:
        return facts

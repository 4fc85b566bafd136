"""Changes that set the contents of a data directory aside, and bring them back: nothing is deleted or overwritten."""

from __future__ import annotations

from dataclasses import dataclass, replace

from requorum.changes.change import LABELLED, Change, quote
from requorum.facts.host import HostFacts
from requorum.facts.process import LIVES
from requorum.facts.shell import NEEDED

_MOVED = f"""{NEEDED}
passes() {{ ls "$1" 2>/dev/null | grep -xE '[0-9]+(\\.part)?' | sort -n; }}  # of a folder for what is set aside, in order
next_pass() {{ local last; last=$(passes "$1" | tail -n 1); echo $((${{last%.part}} + 1)); }}
contents() {{ find -H "$1" -mindepth 1 -maxdepth 1 ! -name 'openshift-backup*' ! -name lost+found "${{@:2}}"; }}
spared() {{  # a folder's contents may be moved: it is not, and does not hold, what the system needs
  local needed
  needed=$(needed_in "$1")
  [ -z "$needed" ] || {{ echo "$1 is, or holds, what the system needs:" $needed >&2; return 1; }}
}}
made_like() {{  # folders, each where it is not there, with the owner, mode and label of the first one
  local like=$1 folder
  for folder in "${{@:2}}"; do
    [ ! -d "$folder" ] || continue
    mkdir "$folder" && chown --reference="$like" "$folder" && chmod --reference="$like" "$folder" || return 1
    {LABELLED} && chcon --reference="$like" "$folder"
  done
  true
}}
into() {{  # what is named on stdin, each with a NUL behind it, goes into a folder: each whole, or not at all
  local one to new=$1/requorum.tmp
  while IFS= read -r -d '' one; do
    to=$1/${{one##*/}}
    if [ -f "$one" ] && [ ! -L "$one" ] && [ "$(stat -c %d "$one")" != "$(stat -L -c %d "$1")" ]; then
      # From another file system it is a copy: it gets its name when it is whole, and a kill may come before the rest.
      if [ ! -e "$to" ]; then
        rm -f "$new" && cp -a -T "$one" "$new" && sync "$new" && mv -nT "$new" "$to" || return 1
      fi
      cmp -s "$one" "$to" || {{ echo "$to is there by now" >&2; return 1; }}
      sync "$1" && rm -f "$one" || return 1
    else
      [ ! -e "$to" ] && [ ! -L "$to" ] || {{ echo "$to is there by now" >&2; return 1; }}
      mv -nT "$one" "$to" || return 1
    fi
  done
}}
"""
"""Shell. A pass is a folder N, which is N.part while some of its contents are still, or again, where they belong: what was
cut off is carried on, in either direction, and never taken for the whole.
"""


@dataclass(frozen=True)
class MoveAside(Change):
    """Move the contents of a data directory into a folder beside them; nothing is deleted.

    What a file system keeps at its root stays (`lost+found`). A folder that the system needs is refused, whatever was
    surveyed. A directory that is not `needed` may be missing. One of the log's own may lie on another file system than `to`.
    Each pass gets a folder of its own there, 1, 2, …: a second start of a new member may have left files again.
    """

    data_dir: str
    to: str
    needed: bool = True

    def shown(self) -> str:
        return f"mv {quote(self.data_dir)}/* {quote(self.to)}/    (all but openshift-backup*, lost+found)"

    def test(self) -> str:
        data_dir, to = quote(self.data_dir), quote(self.to)
        emptied = f'left=$(contents {data_dir}) && [ -z "$left" ] && ! passes {to} | grep -q part'
        return f"{_MOVED}\n" + (emptied if self.needed else f"[ ! -e {data_dir} ] || {{ {emptied}; }}")

    def act(self) -> str:
        data_dir, to = quote(self.data_dir), quote(self.to)
        return f"""[ -d {data_dir} ] || {{ echo {data_dir}" is not there" >&2; return 1; }}
spared {data_dir} || return 1
part=$(passes {to} | grep -m 1 part) || part=$(next_pass {to}).part
made_like {data_dir} "$(dirname {to})" {to} {to}/"$part" || return 1
contents {data_dir} -print0 | into {to}/"$part" || return 1
for part in $(passes {to} | grep part); do mv -nT {to}/"$part" {to}/"${{part%.part}}" || return 1; done
sync {data_dir}"""

    def after(self, facts: HostFacts) -> HostFacts:
        machine = replace(facts.machine, data_entries=(), data_has_wal=False, data_used=0)
        return replace(facts, machine=machine, data=None)


@dataclass(frozen=True)
class MoveBack(Change):
    """Move what `MoveAside` took out of a directory back into it: the first pass, which alone is what was found.

    What is there by now, and in later passes, was left by a join that came to nothing: it is kept in the folder `after`.
    Nothing is moved while etcd lives.
    """

    data_dir: str
    aside: str
    after_it: str

    def shown(self) -> str:
        there = f"mv {quote(self.data_dir)}/* {quote(self.after_it)}/    (where anything is there by now)"
        return f"{there}\nmv {quote(self.aside)}/<the first pass>/* {quote(self.data_dir)}/"

    def test(self) -> str:
        return f'{_MOVED}\n[ -z "$(passes {quote(self.aside)})" ]'

    def act(self) -> str:
        data_dir, aside, after = quote(self.data_dir), quote(self.aside), quote(self.after_it)
        return f"""{LIVES}
! etcd_lives || {{ echo "etcd runs: its data is not touched" >&2; return 1; }}
first=$(passes {aside} | head -n 1)
for later in $(passes {aside} | tail -n +2); do  # before the first one is whole: it is to be known as the first till then
  made_like {aside}/"$first" "$(dirname {after})" {after} || return 1
  mv -nT {aside}/"$later" {after}/"$(next_pass {after})" || return 1
done
if [[ $first != *.part ]]; then
  if [ -d {data_dir} ] && [ -n "$(contents {data_dir})" ]; then
    spared {data_dir} || return 1
    pass={after}/$(next_pass {after})
    made_like {aside}/"$first" "$(dirname {after})" {after} "$pass" || return 1
    contents {data_dir} -print0 | into "$pass" || return 1
  fi
  mv -nT {aside}/"$first" {aside}/"$first.part" && first=$first.part || return 1
fi
made_like {aside}/"$first" {data_dir} || return 1
find {aside}/"$first" -mindepth 1 -maxdepth 1 ! -name requorum.tmp -print0 | into {data_dir} || return 1
sync {data_dir}
rm -f {aside}/"$first"/requorum.tmp
rmdir {aside}/"$first" || return 1
for folder in {aside} "$(dirname {aside})"; do
  [[ $folder != */openshift-backup-* ]] || rmdir "$folder" 2>/dev/null
done
true  # other things of this recovery may lie there"""

    def after(self, facts: HostFacts) -> HostFacts:
        return facts

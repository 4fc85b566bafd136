"""The backup of a v2 store: by `etcdctl backup`, and every key as read from each copy in a scratch etcd."""

from __future__ import annotations

from dataclasses import dataclass

from requorum.changes import scratch
from requorum.changes.backup import SUMS
from requorum.changes.change import Change, quote
from requorum.facts.host import HostFacts
from requorum.facts.v2 import CTL2
from requorum.facts.v2_keys import READ2

COPY, BACKUP, BEFORE, AFTER = "copy.keys", "backup.keys", "before.keys", "after.keys"
"""Every key as a scratch etcd reads it from the copied data, and from what `etcdctl backup` wrote; and as the running
member read them right before and right after that."""

UNUSABLE = "unusable"
"""Why what `etcdctl backup` wrote is not kept: etcd does not start with it, or without the Raft snapshot in it."""

_ASK = f"""
ask() {{
  ctl2() {{ env -i PATH="$PATH" ETCDCTL_API=2 "$etcdctl" --no-sync --endpoints={scratch.ENDPOINT} "$@"; }}
{READ2}
  local got
  until got=$(read2 2>&1); do sleep 0.05; done  # for as long as the scratch etcd lives
  printf '%s\\n' "$got"
}}
"""

_KNOWN = r"missing log entry|state\.commit [0-9]+ is out of range|recover(ing)?( v3)? backend from snapshot"
"""How etcd ends with such a backup. What ends it otherwise (its time, a full disk, a kill) says nothing of the backup."""

READ_BACKUP = f"""snapshot() {{ compgen -G "$part/data/member/snap/*.snap" > /dev/null; }}
taken() {{ ! snapshot || grep -qE 'recovered (v2 )?store from snapshot' "$scratch/log"; }}
if try 2> "$part/said"; then
  taken || echo 'etcd starts without the Raft snapshot that is in it' > "$part/{UNUSABLE}" || {{ drop; return 1; }}
elif snapshot && grep -qE '{_KNOWN}' "$scratch/log"; then
  sed -n '/^{scratch.ENDED}/,$p' "$part/said" > "$part/{UNUSABLE}" || {{ drop; return 1; }}
else
  cat "$part/said" >&2; echo "{BACKUP}: see above" >&2; drop; return 1
fi
rm -f "$part/said"
[ ! -s "$part/{UNUSABLE}" ] || rm -rf "$part/data" "$part/{BACKUP}"
"""
"""Shell: read what etcdctl wrote, by `try`; a backup with a Raft snapshot that etcd does not take goes again."""


@dataclass(frozen=True)
class BackUpV2(Change):
    """Have etcdctl back up a v2 store (where this etcdctl can), and read every key of each copy that there is.

    `source` is the data directory of a member that runs (`running`), or else a copy of one. A running member is asked for
    its keys, too (`serves`). The scratch etcd is the member's own, of this `version`.
    The folder gets its name and its checksums only when it is whole. Nothing is compared here.

    What `etcdctl backup` wrote goes again where it holds a Raft snapshot with which etcd does not start (etcd issue 9890).
    Up to 3.4 it takes the entries of the v3 API out of the log, and so many off the commit index, also for those above it:
    the index falls below the snapshot, which etcd then ignores. `UNUSABLE` says so; the other readings are there.
    """

    source: str
    wal: str
    owner: str
    to: str
    scratch: str
    version: str
    running: bool
    serves: bool
    by_etcdctl: bool

    def shown(self) -> str:
        source, to, own = quote(self.source), quote(self.to), f" --wal-dir {quote(self.wal)}" if self.wal else ""
        lines = [f"ETCDCTL_API=2 etcdctl backup --data-dir {source}{own} --backup-dir {to}/data"]
        if not self.by_etcdctl:
            lines = [f"this etcdctl has no backup of the v2 API: every key is read, into {to}"]
        return "\n".join(
            [*lines, f"read every v2 key of each copy, in a scratch etcd in {quote(self.scratch)} that reaches nobody"]
        )

    def test(self) -> str:
        return f"[ -f {quote(self.to)}/{SUMS} ]"

    def act(self) -> str:
        to, part, source = quote(self.to), quote(self.to + ".part"), quote(self.source)
        wal = quote(self.wal) if self.wal else f"{source}/member/wal"
        lines = [
            "set -o pipefail",
            CTL2,
            READ2,
            scratch.SAME,
            scratch.STOP,
            scratch.INSIDE,
            _ASK,
            f"to={to} part={part}",
            'drop() { rm -rf "$part"; return 1; }  # what is not whole takes no room',
            'rm -rf "$part" && mkdir -p "$(dirname "$to")" && mkdir -m 0700 "$part" || return 1',
        ]
        if self.serves:
            lines.append(f'read2 > "$part/{BEFORE}" || {{ drop; return 1; }}')
        if self.serves and self.running:
            # That the newest entry is committed comes to the disk with the next one (a read through Raft is one), and what
            # is not committed there etcd leaves out when it starts with the backup.
            lines.append("ctl2 ls --quorum / > /dev/null || { drop; return 1; }")
        if self.by_etcdctl:
            own = f"--wal-dir={wal} --backup-wal-dir=" + '"$part/data/member/wal"' if self.wal else ""
            lines.append(f"""for attempt in 1 2 3; do  # a log that is being written to can look torn
  rm -rf "$part/data"
  said=$(ETCDCTL_API=2 "$(tool etcdctl)" backup --data-dir={source} {own} --backup-dir="$part/data" 2>&1) && break
  [ $attempt -lt 3 ] || {{  # its last lines are where it was in its own source
    echo "etcdctl backup:" >&2
    grep -iE -m 3 'fatal|panic|fail|error|no space' <<< "$said" >&2 || head -n 3 <<< "$said" >&2
    drop; return 1; }}
done""")
        if self.serves:
            lines.append(f'read2 > "$part/{AFTER}" || {{ drop; return 1; }}')
        if not self.running:
            lines.append(f"""{self._try(f"{source}/member/snap", wal, COPY)}
try || {{ echo "{COPY}: see above" >&2; drop; return 1; }}""")
        if self.by_etcdctl:
            lines.append(f"""{self._try('"$part/data/member/snap"', '"$part/data/member/wal"', BACKUP)}
{READ_BACKUP}""")
        lines.append(f"""clean || {{ drop; return 1; }}
(cd "$part" && find . -type f ! -name {SUMS} -print0 | sort -z | xargs -0 -r sha256sum > {SUMS}) &&
  find "$part" -type f -print0 | xargs -0 -r sync && mv -T "$part" "$to" && sync "$(dirname "$to")" && return 0
drop""")
        return "\n".join(lines)

    def _try(self, snap: str, wal: str, name: str) -> str:
        return f"""try() {{
{scratch.prepare(quote(self.scratch), quote(self.owner), self.version)}
{scratch.copy(snap, wal)}
{scratch.answer("--enable-v2")}
cp "$scratch/answer" "$part/{name}"
}}"""

    @property
    def seconds(self) -> float:
        """Some gigabytes on a slow disk, and two scratch etcds."""
        return 900 + 2 * scratch.SECONDS

    def after(self, facts: HostFacts) -> HostFacts:
        return facts

"""Changes of a stopped member's write-ahead log: one record behind its last one, first on a copy."""

from __future__ import annotations

import base64
import binascii
import gzip
import zlib
from dataclasses import dataclass

from requorum.changes.change import LABELLED, Change, ChangeFailed, Shell, quote
from requorum.facts.host import HostFacts
from requorum.facts.machine import COMMITTED
from requorum.facts.prediction import Prediction, read_answer
from requorum.facts.process import LIVES
from requorum.facts.runtime import TOOL

SCRATCH_SECONDS = 60
"""How long the scratch etcd may live."""


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
            f"append a hard state to {self.wal_dir}/{one.segment} at byte {one.offset}: {one.record.hex()}\n"
            f"the segment as it was: {self._kept}"
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
stat -c '%i %y' "$new" > {aside}/{COMMITTED} && mv -fT "$new" {path} && sync {quote(self.wal_dir)} {aside}"""

    @property
    def seconds(self) -> float:
        """A segment of some hundred megabytes on a slow disk."""
        return 120

    def after(self, facts: HostFacts) -> HostFacts:
        return facts


@dataclass(frozen=True)
class ProveOnCopy(Change):
    """Start a forced etcd on a copy of the data with the record, out of everybody's reach, and ask it for every key.

    The scratch etcd runs in a network namespace of its own, with nothing but its loopback: a forced etcd adds its old
    peers before it drops them, and would talk to them. It runs as the data's owner, in a folder outside of the data
    directory, under a name of its own, so that nobody takes it for the member; it is stopped, and the folder removed,
    whatever happens, and what a killed run left is found by that folder. Without a prediction (in a plan) it only shows
    itself.
    """

    data_dir: str
    wal_dir: str
    append: Append
    scratch: str
    prediction: Prediction | None

    def shown(self) -> str:
        at = f" at revision {self.prediction.revision}" if self.prediction else ""
        return (
            f"copy the data to {self.scratch}, with the record; start etcd there with --force-new-cluster in a network "
            f"namespace of its own; compare every key{at} with what the log says; remove the copy"
        )

    def test(self) -> str:
        return "false  # a proof is made each time"

    def act(self) -> str:
        return f"""set -o pipefail
export scratch={quote(self.scratch)} limit={SCRATCH_SECONDS}
{self.append.guard(self.wal_dir)}
{_STOP}
{_INSIDE}
clean || return 1  # of what a killed run may have left
uid=$(stat -c %u {quote(self.data_dir)}) && gid=$(stat -c %g {quote(self.data_dir)}) || return 1
etcd=$(tool etcd) && etcdctl=$(tool etcdctl) || {{ echo "expected etcd and etcdctl on this host; found neither" >&2; return 1; }}
export uid gid etcd etcdctl
trap clean EXIT
trap 'exit 1' HUP INT TERM
mkdir -p "$(dirname "$scratch")" && mkdir -m 0700 "$scratch" && mkdir -p "$scratch"/data/member/{{snap,wal}} || return 1
cd {quote(self.data_dir)}/member/snap && find . -maxdepth 1 -type f \\( -name db -o -name '*.snap' -o -name '*.snap.db' \\) \
  -print0 | xargs -0 -r cp -a --sparse=always -t "$scratch/data/member/snap" || return 1
cd {quote(self.wal_dir)} && find . -maxdepth 1 -type f -name '*.wal' -print0 |
  xargs -0 -r cp -a --sparse=always -t "$scratch/data/member/wal" || return 1
cd / || return 1
{self.append.to(f'"$scratch/data/member/wal/{self.append.segment}"')} || return 1
chown -R "$uid:$gid" "$scratch" && chmod -R u+rwX,go= "$scratch/data" && ln -s "$etcd" "$scratch/{_NAME}" ||
  return 1
unshare --net -- bash -c "$(declare -f stop inside); inside" >&2 || return 1
gzip -1 < "$scratch/answer" | base64 -w0"""

    @property
    def seconds(self) -> float:
        """Some gigabytes on a slow disk, then the scratch etcd."""
        return 900 + SCRATCH_SECONDS

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


_NAME = "requorum-try"
"""What the scratch etcd is called: nobody who looks for a process `etcd` finds it."""

_STOP = """
stop() {  # every process that works in the folder, and no other
  local path place pid end=$((SECONDS + 10)) found=yes
  while [ -n "$found" ]; do
    found=
    while read -r path place; do
      case $place in "$scratch"|"$scratch (deleted)") ;; *) continue;; esac
      pid=${path#/proc/}; pid=${pid%/cwd}
      [ "$pid" != $$ ] && [ "$pid" != "$BASHPID" ] || continue
      found=yes; kill -9 "$pid" 2>/dev/null
    done < <(find /proc/[0-9]*/cwd -maxdepth 0 -printf '%p %l\\n' 2>/dev/null)
    [ $SECONDS -lt $end ] || { echo "a process in $scratch does not end" >&2; return 1; }
    [ -z "$found" ] || sleep 0.01
  done
}
clean() {
  [ -e "$scratch" ] || return 0
  cd / && stop && rm -rf --one-file-system -- "$scratch"
}
"""

_INSIDE = f"""
inside() {{  # in the network namespace
  local etcd said
  ip link set lo up || {{ echo "its loopback does not come up" >&2; return 1; }}
  (cd "$scratch" && exec setpriv --reuid "$uid" --regid "$gid" --clear-groups env -i PATH="$PATH" \
    ${{ETCD_UNSUPPORTED_ARCH:+ETCD_UNSUPPORTED_ARCH="$ETCD_UNSUPPORTED_ARCH"}} timeout -k 1 "$limit" ./{_NAME} \
    --name scratch --data-dir data --force-new-cluster --heartbeat-interval 10 --election-timeout 50 \
    --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
    --listen-peer-urls http://127.0.0.1:2380 --initial-advertise-peer-urls http://127.0.0.1:2380 \
    --initial-cluster scratch=http://127.0.0.1:2380) > "$scratch/log" 2>&1 &
  etcd=$!
  until (exec 3<>/dev/tcp/127.0.0.1/2379) 2>/dev/null; do
    kill -0 $etcd 2>/dev/null || break
    sleep 0.01
  done
  env -i PATH="$PATH" ETCDCTL_API=3 "$etcdctl" --endpoints=http://127.0.0.1:2379 --dial-timeout="${{limit}}s" \
    --command-timeout="${{limit}}s" get "" --prefix --keys-only -w json > "$scratch/answer" 2> "$scratch/said" &
  said=$!
  while kill -0 $said 2>/dev/null && kill -0 $etcd 2>/dev/null; do sleep 0.01; done
  kill -0 $etcd 2>/dev/null || {{
    {{ kill -9 $said; wait $said; }} 2>/dev/null
    echo "the scratch etcd ended:" >&2
    grep -E -m 5 'panic:|fatal|C \\|' "$scratch/log" >&2 || tail -n 5 "$scratch/log" >&2
    return 1
  }}
  wait $said || {{ echo "the scratch etcd does not answer: $(cat "$scratch/said")" >&2; return 1; }}
  stop
}}
"""

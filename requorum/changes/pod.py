"""Changes of the static pod that runs etcd: its manifest, where it lies, and what the node service makes of that."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from requorum.changes.change import Change, kept_copy, quote
from requorum.changes.files import EditFile
from requorum.changes.service import CUT_STALLED, SERVES, started
from requorum.facts import manifest
from requorum.facts.beside import Facts
from requorum.facts.host import HostFacts
from requorum.facts.manifest import KEPT
from requorum.facts.process import LIVES
from requorum.facts.runtime import ASIDE, LOG, MANIFEST, PARKED

GONE_SECONDS = 120
"""The node service looks at its folder every 20 s at the latest, and gives a container 30 s to end."""

STAYS_SECONDS = 60
"""The same 20 s and 30 s, and some more."""

_MOVE = f"""
move_manifest() {{  # to $1, by one rename, from wherever it lies; never over another one
  local from
  for from in {MANIFEST} {PARKED} {ASIDE}; do
    [ "$from" != "$1" ] && [ -f "$from" ] || continue
    [ "$from" != {ASIDE} ] || [ ! -f "$1" ] || continue  # an old copy that an operator has left there
    [ ! -e "$1" ] || {{
      echo "expected one manifest of etcd, found two: $from and $1; next: compare them, and take one away" >&2; return 1; }}
    mkdir -p "$(dirname "$1")" && [ "$(stat -c %d "$from")" = "$(stat -c %d "$(dirname "$1")")" ] || {{
      echo "expected $(dirname "$1") on the file system of $from, so that a move is one step" >&2; return 1; }}
    mv -T "$from" "$1" && sync "$(dirname "$1")" "$(dirname "$from")" || return 1
    [ "$from" = {MANIFEST} ] || rmdir "$(dirname "$from")" 2>/dev/null
    return 0
  done
  [ -f "$1" ] || {{ echo "expected a manifest of etcd at {MANIFEST} or $1, found none" >&2; return 1; }}
}}
"""


def _node_runs(node: str) -> str:
    return f"""systemctl is-active -q {node} || {{
  echo "expected {node} running, for it alone starts and ends static pods; found: $(systemctl is-active {node})" >&2
  echo "next: systemctl start {node}; journalctl -u {node}" >&2
  return 1
}}"""


@dataclass(frozen=True)
class ParkManifest(Change):
    """Stop etcd: move its manifest out of the folder that the node service runs, and wait until no process is left.

    No reboot brings it back, for nothing runs it there. `to` is a file outside of that folder: whatever lies in it is run.
    """

    node: str
    to: str = PARKED

    def shown(self) -> str:
        return f"mv {MANIFEST} {quote(self.to)}"

    def test(self) -> str:
        return f"{LIVES}\n[ ! -e {MANIFEST} ] && [ -f {self.to} ] && ! etcd_lives"

    def act(self) -> str:
        return f"""{_MOVE}{CUT_STALLED}
if etcd_lives; then
{_node_runs(self.node)}
fi
move_manifest {quote(self.to)} || return 1
begun=$SECONDS
until holds; do
  if [ $((SECONDS - begun)) -gt {GONE_SECONDS} ]; then
    echo "expected no etcd process {GONE_SECONDS} s after its manifest was moved to {self.to}; found:" \\
      "$(grep -lx etcd /proc/[0-9]*/comm 2>/dev/null | tr '\\n' ' ')" >&2
    echo "next: journalctl -u {self.node} says what it does; a container that it does not know is to be stopped by hand" >&2
    return 1
  fi
  cut_stalled
  sleep 0.1
done"""

    @property
    def seconds(self) -> float:
        return GONE_SECONDS

    def after(self, facts: HostFacts) -> HostFacts:
        runtime = replace(facts.unit.runtime, manifest=self.to)
        sub = "its manifest is moved out"
        parked = replace(facts.unit, active="inactive", sub=sub, file_state="disabled", runtime=runtime)
        return replace(facts, unit=parked, processes=())


@dataclass(frozen=True)
class StartPod(Change):
    """Start etcd: move its manifest back, and wait until etcd serves (`serves`), or lives.

    A container that failed before may be in back-off, for up to five minutes; a restart of the node service ends that,
    and leaves what runs alone.
    """

    node: str
    serves: bool = True
    patience: float = 120

    def shown(self) -> str:
        return f"mv {PARKED} {MANIFEST}"

    def test(self) -> str:
        return f"{SERVES}{LIVES}\n[ -f {MANIFEST} ] && etcd_lives{' && serves' if self.serves else ''}"

    def act(self) -> str:
        return f"""{_MOVE}{LOG}
{_node_runs(self.node)}
move_manifest {MANIFEST} || return 1
begun=$SECONDS cleared=
until holds; do
  if [ -z "$cleared" ] && [ $((SECONDS - begun)) -ge 15 ] && ! etcd_lives; then
    cleared=yes
    echo "no etcd process 15 s after its manifest was moved back: {self.node} is restarted, which ends a back-off"
    systemctl restart {self.node}
  fi
  if [ $((SECONDS - begun)) -ge {int(self.patience)} ]; then
    etcd_log 400 2>&1 | grep -iE 'panic:|fatal|no space|denied|cannot|error' | tail -n 8 >&2
    etcd_log 8 >&2
    return 1
  fi
  sleep 0.05
done"""

    @property
    def seconds(self) -> float:
        return self.patience

    def after(self, facts: HostFacts) -> HostFacts:
        runtime = replace(facts.unit.runtime, manifest=MANIFEST)
        state = "enabled" if runtime.node_at_boot else "disabled"
        there = replace(facts, unit=replace(facts.unit, file_state=state, runtime=runtime))
        return started(there) if self.serves else there


@dataclass(frozen=True)
class KeepManifest(Change):
    """Keep the manifest as it was found, owner and mode too, until its liveness probe is back.

    `sha256` is that of the manifest as it was read, and no other is kept: one that an earlier recovery has left there is
    not what was found, and one without its probe is not to take its place.
    """

    at: str
    sha256: str

    def shown(self) -> str:
        return f"cp -a {quote(self.at)} {KEPT}"

    def test(self) -> str:
        return f'[ "$(sha256sum 2>/dev/null < {KEPT})" = {quote(self.sha256 + "  -")} ]'

    def act(self) -> str:
        return f"""[ "$(sha256sum < {quote(self.at)})" = {quote(self.sha256 + "  -")} ] || {{
  echo {quote(self.at)}" is not what it was when it was read: somebody else edits it" >&2; return 1; }}
{kept_copy(quote(self.at), KEPT)}"""

    def after(self, facts: HostFacts) -> HostFacts:
        pod = facts.unit.pod
        if pod is None:
            return facts
        return replace(facts, unit=replace(facts.unit, pod=replace(pod, kept=pod.manifest)))


@dataclass(frozen=True)
class EditManifest(EditFile):
    """Write the manifest anew. What is not yet whole has a name with a dot: the node service runs every other file."""

    _BESIDE: ClassVar[str] = '"$(dirname "$path")/.etcd"'

    def after(self, facts: Facts) -> Facts:
        if not isinstance(facts, HostFacts) or facts.unit.pod is None:
            return facts
        pod = replace(facts.unit.pod, manifest=manifest.parse(self.content, self.path))
        return replace(facts, unit=replace(facts.unit, pod=pod))


@dataclass(frozen=True)
class AwaitPod(Change):
    """Wait until a process (its number, and its start in clock ticks) is gone, and another lives, after an edit.

    The node service restarts the container of a manifest that changes. With `may_stay` the edit may have brought back what
    that last saw, or be long ago. So a process is right, too, that began after the edit, or is the same STAYS_SECONDS after it.
    """

    pid: int
    started: int
    may_stay: bool = False

    def shown(self) -> str:
        return f"wait until process {self.pid} has given way to one of the new manifest"

    def test(self) -> str:
        return f"""{LIVES}
old() {{ read -r stat 2>/dev/null < /proc/{self.pid}/stat && set -- ${{stat##*) }} && [ "${{20}}" = {self.started} ]; }}
right() {{  # the old process, by its age and the manifest's, in milliseconds
  local up now edited
  read -r up _ < /proc/uptime && now=$(date +%s%3N) && edited=$(stat -c %.3Y {MANIFEST}) || return 1
  edited=$((now - ${{edited/[.,]/}}))
  [ $((10#${{up/./}} * 10 - {self.started} * 1000 / $(getconf CLK_TCK))) -lt $edited ] || [ $edited -ge {STAYS_SECONDS}000 ]
}}
if old; then {"right" if self.may_stay else "false"}; else etcd_lives; fi"""

    def act(self) -> str:
        return "true"

    @property
    def seconds(self) -> float:
        return GONE_SECONDS

    def after(self, facts: HostFacts) -> HostFacts:
        return facts

"""Copies: on the host, and from the host to the machine that runs the runbook."""

from __future__ import annotations

import hashlib
import os
import re
import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from requorum.changes.change import Change, ChangeFailed, Shell, quote
from requorum.facts.host import HostFacts
from requorum.facts.runtime import TOOL

SUMS = "SHA256SUMS"


@dataclass(frozen=True)
class CopyTree(Change):
    """Copy a folder with owners, modes and labels; the copy gets its name, and its checksums, only when it is whole.

    A member may still run: its database is copied until copy and original are equal. Its log may grow meanwhile
    (a vote, a term); the reader of the log proves that copy.
    """

    source: str
    to: str
    leave_out: str = "openshift-backup*"

    def shown(self) -> str:
        return f"cp -a {quote(self.source)}/. {quote(self.to)}/"

    def test(self) -> str:
        return f"[ -f {quote(self.to)}/{SUMS} ]"

    def act(self) -> str:
        source, to, part = quote(self.source), quote(self.to), quote(self.to + ".part")
        return f"""set -o pipefail
mkdir -p "$(dirname {to})" || return 1
sums() {{  # of everything that may not change while it is copied
  (cd "$1" && find . -type f ! -name '*.wal' ! -name '*.tmp' ! -path './{self.leave_out}' -print0 |
    sort -z | xargs -0 -r sha256sum)
}}
copy() {{
  local attempt said
  for attempt in 1 2 3 4 5; do
    rm -rf {part} && mkdir -m 0700 {part} || return 1
    said=$(cd {source} && find . -mindepth 1 -maxdepth 1 ! -name '{self.leave_out}' -print0 |
      xargs -0 -r cp -a --sparse=always -t {part} 2>&1) || {{
      case $said in
        *"No space left"*|*"quota exceeded"*) echo "$said" >&2; return 1;;
        *) continue;;
      esac
    }}
    find {part} -path '*/member/wal/*.tmp' -delete || return 1  # the room that etcd keeps for its next segment
    [ "$(sums {source})" = "$(sums {part})" ] || continue
    (cd {part} && find . -type f ! -name {SUMS} -print0 | sort -z | xargs -0 -r sha256sum > {SUMS}) || return 1
    find {part} -type f -print0 | xargs -0 -r sync && mv -T {part} {to} && sync "$(dirname {to})"
    return
  done
  echo {source}" went on changing while it was copied, five times${{said:+: $said}}" >&2
  return 1
}}
copy && return 0
rm -rf {part}  # what is not whole takes no room
return 1"""

    @property
    def seconds(self) -> float:
        """Some gigabytes on a slow disk."""
        return 900

    def after(self, facts: HostFacts) -> HostFacts:
        return facts


@dataclass(frozen=True)
class FetchTree(Change):
    """Fetch a copied folder as one archive; what arrived has the checksums that the host wrote."""

    source: str
    to: str

    @property
    def seconds(self) -> float:
        """Some gigabytes over a slow line."""
        return 1800

    def shown(self) -> str:
        return f"fetch {quote(self.source)} to {quote(self.to)}"

    def test(self) -> str:
        return f"[ -f {quote(self.source)}/{SUMS} ]"

    def act(self) -> str:
        return f"set -o pipefail; tar -C {quote(self.source)} -S -cf - . | gzip -1"

    def do(self, shell: Shell) -> bool:
        """Fetch, then check every file's SHA-256. Raises ChangeFailed where one differs or is missing."""
        to = Path(self.to)
        if to.exists():
            problem = _checked(to)
            if not problem:
                return False
        part = to.with_name(to.name + ".part")
        try:
            part.parent.mkdir(parents=True, exist_ok=True)
            shell.fetch(self.act(), part, seconds=self.seconds)
        except OSError as error:
            raise ChangeFailed(f"{part} cannot be written here: {error.strerror or error}") from error
        problem = _checked(part)
        if problem:
            raise ChangeFailed(f"{self.shown()}\n{problem}")
        os.replace(part, to)
        return True

    def after(self, facts: HostFacts) -> HostFacts:
        return facts


def sha256_of(stream: IO[bytes]) -> str:
    """The checksum of what a stream still holds, read in blocks: a backup can be larger than the memory."""
    digest = hashlib.sha256()
    while block := stream.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()


def _checked(archive: Path) -> str:
    """What is wrong with a fetched archive; empty where every file has the checksum that the host wrote."""
    found: dict[str, str] = {}
    listed: dict[str, str] = {}
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for entry in tar:
                stream = tar.extractfile(entry) if entry.isfile() or entry.islnk() else None
                if stream is None:
                    continue
                name = str(PurePosixPath(entry.name))
                if name == SUMS:
                    lines = stream.read().decode(errors="surrogateescape").splitlines()
                    listed = dict(_sum(line) for line in lines)
                    continue
                found[name] = sha256_of(stream)
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        return f"{archive} is no whole archive: {error}"
    wrong = sorted(name for name in found.keys() | listed.keys() if found.get(name) != listed.get(name))
    return f"{archive}: not what the host copied: {', '.join(wrong[:5])}" if wrong or not listed else ""


def _sum(line: str) -> tuple[str, str]:
    """Name and checksum from a line of sha256sum, which begins with a backslash where the name is escaped."""
    digest, _, name = line.partition("  ")
    if digest.startswith("\\"):
        digest, name = digest[1:], re.sub(r"\\(.)", lambda m: {"n": "\n", "r": "\r"}.get(m[1], m[1]), name)
    return str(PurePosixPath(name)), digest


@dataclass(frozen=True)
class SaveSnapshot(Change):
    """Have a running member write a snapshot of the key-value store into a folder, with its checksum beside it."""

    to: str

    def shown(self) -> str:
        return f"etcdctl snapshot save {quote(self.to)}/snapshot.db"

    def test(self) -> str:
        return f"[ -f {quote(self.to)}/{SUMS} ]"

    def act(self) -> str:
        to = quote(self.to)
        return f"""mkdir -p -m 0700 {to} && cd {to} && rm -f snapshot.db snapshot.db.part || return 1
{self._saved()} >&2 && sync snapshot.db &&
  sha256sum {self._files()} > {SUMS}.part && sync {SUMS}.part && mv -fT {SUMS}.part {SUMS} && sync . && return 0
rm -f snapshot.db snapshot.db.part {SUMS}.part  # what is not whole takes no room
return 1"""

    def _saved(self) -> str:
        """Shell: writes snapshot.db."""
        return "PATIENCE=600s ctl snapshot save snapshot.db"

    def _files(self) -> str:
        """Shell words: what that has written."""
        return "./snapshot.db"

    @property
    def seconds(self) -> float:
        """As long as etcdctl is given."""
        return 600

    def after(self, facts: HostFacts) -> HostFacts:
        return facts


def snapshot_status(path: str) -> str:
    """The command that has etcd's own tool read a snapshot or a copied database: etcdutl where there is one (3.5)."""
    return f"""{TOOL}
reader=$(type -P etcdutl || tool etcdctl) || {{ echo "expected etcdctl on this host; found none" >&2; exit 127; }}
ETCDCTL_API=3 "$reader" snapshot status {quote(path)} -w json"""

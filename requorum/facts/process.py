"""The etcd processes that live on a host: what is really running, whatever the files say."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass

COMMAND = """#: the living etcd processes
for folder in /proc/[0-9]*; do
  read -r name 2>/dev/null < "$folder/comm" || continue
  [ "$name" = etcd ] || continue
  read -r stat < "$folder/stat" || continue
  set -- ${stat##*) }
  [ "$1" = Z ] && continue
  argv=$(base64 -w0 < "$folder/cmdline") && environ=$(base64 -w0 < "$folder/environ") || continue
  group=
  while IFS=: read -r _ controller path; do  # that of systemd, in whichever of the two hierarchies it has one
    case $controller in ''|name=systemd) [ "$path" = / ] || group=$path;; esac
  done 2>/dev/null < "$folder/cgroup"
  printf '%s %s %s %s %s\\n' "${folder#/proc/}" "${20}" "$argv" "$environ" "${group// /_}"
done
"""
_ASKED = frozenset({"--version", "-version", "--help", "-help", "-h"})
_FLAG = "force-new-cluster"
_VARIABLE = "ETCD_FORCE_NEW_CLUSTER"
_TRUE = ("1", "t", "T", "TRUE", "true", "True")  # as Go's strconv.ParseBool reads them


LIVES = r"""
etcd_lives() {
  local comm name asked
  for comm in /proc/[0-9]*/comm; do
    { read -r name < "$comm"; } 2>/dev/null && [ "$name" = etcd ] || continue
    # A survey asks etcd for its version meanwhile, and that one serves nobody.
    asked=
    { IFS= read -rd '' asked && IFS= read -rd '' asked; } 2>/dev/null < "${comm%comm}cmdline"
    [ "$asked" != --version ] && [ -e "$comm" ] && return 0
  done
  return 1
}
"""
"""Shell: `etcd_lives` says whether any etcd process is left."""


@dataclass(frozen=True, slots=True)
class Process:
    """One living etcd: process id, start time (clock ticks since boot), arguments and its ETCD_ variables.

    `group`: its control group, as a path whose parts name what systemd runs it for; empty where the kernel did not tell.
    """

    pid: int
    started: int
    argv: tuple[str, ...]
    environ: Mapping[str, str]
    group: str = ""

    @property
    def told(self) -> bool:
        """Its arguments could be read; while a process begins or ends, the kernel shows neither them nor variables."""
        return bool(self.argv)

    @property
    def forced(self) -> bool:
        """It was started to force a new cluster, by flag or by variable."""
        return self.forced_by_flag or (not self._flags() and self.environ.get(_VARIABLE, "") in _TRUE)

    @property
    def forced_by_flag(self) -> bool:
        """It was started to force a new cluster by a flag, which Requorum never uses."""
        return self._flags()[-1:] == [True]

    def _flags(self) -> list[bool]:
        words = [word.lstrip("-").partition("=") for word in self.argv if word.startswith("-")]
        return [not equals or value in _TRUE for name, equals, value in words if name == _FLAG]

    def belongs_to(self, unit: str) -> bool:
        """A unit of systemd runs it; so may one of which the kernel did not tell."""
        return not self.group or unit in self.group.split("/")

    @property
    def unit(self) -> str:
        """What systemd runs it for, a service or a scope; empty where that is not known."""
        return next((part for part in reversed(self.group.split("/")) if part.endswith((".service", ".scope"))), "")

    @property
    def data_dir(self) -> str:
        """The data directory that it was started with, without a trailing slash; empty where it says none."""
        return (self._flag("data-dir") or self.environ.get("ETCD_DATA_DIR", "")).rstrip("/")

    @property
    def config_file(self) -> str:
        """The YAML file that makes etcd ignore flags and variables; empty where there is none."""
        return self._flag("config-file") or self.environ.get("ETCD_CONFIG_FILE", "")

    def _flag(self, flag: str) -> str:
        for index, word in enumerate(self.argv):
            name, equals, value = word.lstrip("-").partition("=")
            if word.startswith("-") and name == flag:
                return value if equals else "".join(self.argv[index + 1 : index + 2])
        return ""


def parse(output: str) -> tuple[Process, ...]:
    """The processes from the output of COMMAND, without those that say their version and end: the survey itself asks so.

    Raises ValueError for a line of another shape.
    """
    found = []
    for line in output.splitlines():
        words = line.split(" ")
        if not 4 <= len(words) <= 5 or not words[0].isdigit() or not words[1].isdigit():
            raise ValueError(
                f"expected pid, start time, arguments, environment and group of an etcd process, found {line!r}"
            )
        try:
            argv, pairs = (base64.b64decode(w, validate=True).decode(errors="replace").split("\0") for w in words[2:4])
        except ValueError as error:
            raise ValueError(f"expected arguments and environment in base64, found {line!r} ({error})") from None
        argv = argv[:-1] if argv[-1] == "" else argv  # each argument ends with a NUL
        if not _ASKED.isdisjoint(argv[1:]):
            continue
        environ = dict(pair.partition("=")[::2] for pair in pairs if pair.startswith("ETCD_"))
        found.append(Process(int(words[0]), int(words[1]), tuple(argv), environ, "".join(words[4:])))
    return tuple(found)

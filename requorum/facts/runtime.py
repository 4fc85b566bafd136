"""How etcd runs on a host: as a systemd service, in a container that a unit runs, or as a static pod; and why we say so.

Source: OpenShift 3.11, roles/etcd (service and static pod) and its template etcd.docker.service (container).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from requorum.facts.etcd_conf import FORCE_LINES, FORCE_MARK, PATH

Kind = Literal["service", "container", "static-pod"]

SERVICE = "etcd.service"
CONTAINER = "etcd_container.service"
NODE_UNITS = ("atomic-openshift-node.service", "origin-node.service")

PODS = "/etc/origin/node/pods"
"""The node service runs every file here whose name has no leading dot."""
MANIFEST = f"{PODS}/etcd.yaml"
PARKED = "/etc/origin/node/pods-stopped-requorum/etcd.yaml"
"""Where Requorum moves the manifest to: outside of the folder that is run, on the same file system."""
ASIDE = "/etc/origin/node/pods-stopped/etcd.yaml"
"""Where OpenShift's documents have an operator move it by hand."""
TOOLS = "/var/lib/requorum/tools"
"""What a recovery keeps of an image's etcd and etcdctl while no container runs."""
OF_IMAGE = f"{TOOLS}/image"
"""Out of which image they are."""
NO_TOOLS = f"{TOOLS}/none"
"""The image's could not be had by the process whose number this holds, and the host's own do instead."""

FOLDERS = "usr/bin usr/local/bin bin"
"""Where an image has its programs."""

_FOLDERS = "/etc /run /usr/lib /lib"
SYSTEMD_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin"
"""As systemd gives it to a service that says nothing of its own (systemd.exec(5))."""

FIND = f"""
find_runtime() {{  # sets kind and unit; looks at files alone, and starts no process
  local folder
  kind=service unit={SERVICE}
  if [ -f {MANIFEST} ] || [ -f {PARKED} ] || [ -f {ASIDE} ]; then
    kind=static-pod unit={NODE_UNITS[1]}
    for folder in {_FOLDERS}; do [ ! -f $folder/systemd/system/{NODE_UNITS[0]} ] || unit={NODE_UNITS[0]}; done
    return
  fi
  for folder in {_FOLDERS}; do  # one that is masked is a link to /dev/null, and no file
    [ ! -f $folder/systemd/system/{CONTAINER} ] || {{ kind=container unit={CONTAINER}; }}
  done
}}
"""
"""Shell: `find_runtime` sets `kind`, and `unit`: the one that runs etcd, of a static pod the node service."""

TOOL = f"""
beside_etcd() {{  # the path of a program beside a living etcd; with `$2`, only where that has a root of its own: of an image
  local comm name folder
  for comm in /proc/[0-9]*/comm; do
    {{ read -r name < "$comm"; }} 2>/dev/null && [ "$name" = etcd ] || continue
    [ -z "$2" ] || ! [ "${{comm%comm}}root" -ef / ] || continue
    for folder in {FOLDERS}; do
      [ -x "${{comm%comm}}root/$folder/$1" ] && echo "${{comm%comm}}root/$folder/$1" && return
    done
  done
  return 1
}}
tool() {{  # the path of etcd or etcdctl: the host's, else what was kept of the image, else the one beside the living etcd
  type -P "$1" && return
  [ ! -x {TOOLS}/"$1" ] || {{ echo {TOOLS}/"$1"; return; }}
  beside_etcd "$1"
}}
"""
"""Shell: `tool NAME` prints where a program of etcd is; without a container's help, whose exit codes prove nothing.

Any etcdctl will do. Which etcd is a member's is another question: `etcd_binary`.
"""

ETCD = f"""
of_image() {{ [ $kind != service ] || [[ $1 =~ (docker|podman)' 'run' ' ]]; }}  # after find_runtime; $1: ExecStart, as shown
kept_of_it() {{  # what is kept is of the image that runs next, whose manifest may have been mended since; `$1`: ExecStart
  local of at text=$1 between=$'["\\',{{}}[:space:]]'
  [ -x {TOOLS}/etcd ] && {{ read -r of < {OF_IMAGE}; }} 2>/dev/null || return 1
  [ -n "$of" ] || return 0  # nobody could tell which, and nobody can now
  for at in {MANIFEST} {PARKED} {ASIDE}; do
    [ $kind != static-pod ] || [ ! -f $at ] || {{ text=$(sed -E 's/(^|[[:space:]])#.*//' $at); break; }}
  done
  text=${{text//$between/ }}
  [[ " $text " == *" $of "* ]]
}}
etcd_binary() {{  # the path of the etcd that the start path runs, and of no other; `$1`: its unit's ExecStart, where it is known
  local kind unit path shown=$1
  find_runtime
  [ $# -gt 0 ] || shown=$(systemctl show "$unit" -p ExecStart 2>/dev/null)
  if of_image "$shown"; then  # the host may have another one, for its etcdctl
    if kept_of_it "$shown"; then echo {TOOLS}/etcd; else beside_etcd etcd apart; fi
    return
  fi
  while read -r path; do
    [ -f "$path" ] && [ -x "$path" ] && echo "$path" && return
  done < <(grep '^ExecStart=' <<< "$shown" | grep -oE '/[^][ ;"]*/etcd(-?v?[0-9][0-9.]*)?\\b')
  # A shell in ExecStart looks for it where systemd says; where there is no unit, whatever is there is the best guess.
  if [[ $shown == *'argv[]='* ]] && (PATH={SYSTEMD_PATH}; type -P etcd); then return; fi
  tool etcd
}}
etcd_version() {{  # of this binary, as it says itself; nothing where it does not
  local said
  said=$("$1" --version 2>/dev/null)
  [[ $said == *'etcd Version: '* ]] || return 0
  said=${{said#*'etcd Version: '}}
  printf %s "${{said%%$'\\n'*}}"
}}
"""
"""Shell: `etcd_binary` prints which etcd the next start runs; exit 1 where that is in an image, and not at hand. After `FIND`
and `TOOL`.
"""

LOG = (
    FIND
    + """
etcd_log() {  # the newest lines of etcd's log, `$1` of them
  find_runtime
  case $kind in
    static-pod) master-logs etcd etcd --tail "$1" 2>&1;;
    *) journalctl -u "$unit" -n "$1" --no-pager -o cat;;
  esac
}
"""
)
"""Shell: `etcd_log LINES`."""


@dataclass(frozen=True, slots=True)
class Runtime:
    """What runs etcd on a host.

    `unit` is the systemd unit: etcd's own, or, of a static pod, that of the node service. `beside`: other ways to run
    etcd that are switched on there, too. `manifest`: where that of a static pod lies; `further`: where a manifest of it
    lies besides that. `node`: the node service's state, and `node_at_boot`: it is enabled. `strays`: other files in the
    folder of manifests that run etcd. `container`, `image`: their names, as docker knows them.
    """

    kind: Kind = "service"
    unit: str = SERVICE
    beside: tuple[str, ...] = ()
    manifest: str = ""
    further: tuple[str, ...] = ()
    node: str = ""
    node_at_boot: bool = True
    strays: tuple[str, ...] = ()
    container: str = ""
    image: str = ""

    @property
    def why(self) -> str:
        """Why it is said to be this kind, in words."""
        if self.kind == "static-pod":
            return f"its manifest is {self.manifest}"
        if self.kind == "container":
            return f"{self.unit} runs a container"
        return f"{self.unit} runs it, and there is neither {MANIFEST} nor {CONTAINER}"

    @property
    def over_fence(self) -> bool:
        """Somebody has written the manifest anew while a recovery has it elsewhere: two, of which no move can be made."""
        return self.manifest == MANIFEST and PARKED in self.further

    @property
    def short(self) -> str:
        """The unit as one types it."""
        return self.unit.removesuffix(".service")

    @property
    def fence(self) -> str:
        """Requorum's fence: a drop-in that no reboot takes away, or the manifest where nobody runs it."""
        return PARKED if self.kind == "static-pod" else f"/etc/systemd/system/{self.unit}.d/requorum-fence.conf"

    @property
    def guard(self) -> str:
        """A drop-in without whose condition, a file under /run, a container does not start with the force in etcd.conf."""
        return f"/etc/systemd/system/{self.unit}.d/requorum-force.conf"

    @property
    def force_in_conf(self) -> bool:
        """The force goes into etcd.conf: a drop-in does not reach an etcd in a container."""
        return self.kind != "service"

    @property
    def log_words(self) -> str:
        """What shows etcd's log."""
        return "master-logs etcd etcd" if self.kind == "static-pod" else f"journalctl -u {self.short}"

    @property
    def runs_at_boot(self) -> bool:
        """Of a static pod: its manifest lies where the node service runs it."""
        return self.manifest in ("", MANIFEST)

    def arguments(self, exec_start: str) -> str:
        """The part of ExecStart that etcd gets: what stands before the image is docker's."""
        return docker_run(exec_start)[2] if self.image else exec_start


def docker_run(exec_start: str) -> tuple[str, str, str]:
    """Name, image and the container's own arguments in a line with ``docker run``; empty where there is none."""
    words = exec_start.split()
    at = next((i + 2 for i, word in enumerate(words[:-1]) if _runs(word, words[i + 1])), len(words))
    name = ""
    while at < len(words) and words[at].startswith("-"):
        option, equals, value = words[at].partition("=")
        takes = not equals and option not in _DOCKER_SWITCHES
        if option == "--name":
            name = value if equals else " ".join(words[at + 1 : at + 2])
        at += 2 if takes else 1
    return name, " ".join(words[at : at + 1]), " ".join(words[at + 1 :])


_DOCKER_SWITCHES = ("--rm", "-d", "--detach", "-i", "-t", "-it", "-ti", "--privileged", "--init", "--read-only", "-P")


def _runs(word: str, following: str) -> bool:
    return word.rpartition("/")[2] in ("docker", "podman") and following == "run"


FORCE_SHELL = f"""
force_lines() {{ printf '%s\\n' '{FORCE_MARK}' ETCD_FORCE_NEW_CLUSTER=true; }}
forced_by_us() {{ cmp -s -n {len(FORCE_LINES)} <(force_lines) {PATH}; }}
"""
"""Shell: `forced_by_us` says whether etcd.conf begins with our force."""

"""What runs etcd, and whether it does: a systemd unit as systemd sees it, or a static pod."""

from __future__ import annotations

import re
from dataclasses import dataclass

from requorum.facts import pod
from requorum.facts.etcd_conf import FORCE_LINES, PATH
from requorum.facts.pod import Pod
from requorum.facts.process import LIVES
from requorum.facts.runtime import CONTAINER, FIND, FORCE_SHELL, SERVICE, Runtime, docker_run

NAME = SERVICE
_SERVICE = Runtime()
FENCE = _SERVICE.fence
"""The fence of a service: a drop-in that no reboot takes away."""
FORCE = f"/run/systemd/system/{NAME}.d/requorum-force.conf"
"""The force of a service: a drop-in under /run, so that a reboot takes it away by itself."""
FORCE_ENVIRONMENT = "/run/requorum-force.env"
MANAGER = "systemd's own environment (systemctl unset-environment ETCD_FORCE_NEW_CLUSTER)"
"""What forces every etcd that systemd starts, and how to take that away."""

_PLACES = "NAME|DATA_DIR|WAL_DIR|INITIAL_[A-Z_]*|[A-Z_]*URLS|[A-Z_]*FILE"
_FLAG = re.compile(r"--?(name|data-dir|wal-dir|initial-[a-z-]+|[a-z-]*urls|[a-z-]*file)(?:=| +)(\S*)")
_PROPERTIES = (
    "LoadState,ActiveState,SubState,UnitFileState,MainPID,Result,"
    "FragmentPath,DropInPaths,ExecStart,EnvironmentFiles,User"
)
COMMAND = (
    "#: what runs etcd here, and how it starts\n"
    + FIND
    + FORCE_SHELL
    + LIVES
    + f"""
find_runtime
ours='{FORCE} {FORCE_ENVIRONMENT}'
in_conf=  # Requorum's force in etcd.conf, which is the way of a container
[ $kind = service ] || ! forced_by_us || in_conf=yes
text() {{ if [ -n "$in_conf" ] && [ "$1" = {PATH} ]; then tail -c +{len(FORCE_LINES) + 1} "$1"; else cat "$1"; fi; }}
echo "Runtime=$kind $unit"
"""
    + r"""
told() {  # of each file: does it say to force, or to read a YAML file
  local file words
  for file; do
    [[ -f $file && " $ours " != *" $file "* ]] || continue
    words=$(text "$file" | grep -vE '^[[:space:]]*([#;]|$)' | sed -E "s/force[-_]new[-_]cluster=[\"']?(0|f|false)\b//Ig")
    grep -qiE "force[-_]new[-_]cluster[\"']?(=[\"']?[^\"']|[^=]|\$)" <<< "$words" && echo "Forces=$file"
    grep -qE -- "--?config-file|ETCD_CONFIG_FILE=[\"']?[^\"' ]" <<< "$words" && echo "ConfigFile=$file"
  done
}
"""
    + f"""
beside() {{  # another way to run etcd that is switched on
  local one shown
  for one in {SERVICE} {CONTAINER}; do
    [ "$one" != "$unit" ] || continue
    shown=$(systemctl show "$one" --no-pager -p LoadState -p ActiveState -p UnitFileState)
    case $shown in
      *ActiveState=active*|*ActiveState=activating*|*UnitFileState=enabled*) echo "Beside=$one";;
    esac
  done
}}
units() {{
shown=$(systemctl show "$unit" --no-pager -p {_PROPERTIES}) || exit
"""
    + r"""
printf '%s\n' "$shown"
files=$(sed -n 's/^FragmentPath=//p; s/^DropInPaths=//p; s/^EnvironmentFiles\?=\(.*\) (.*/\1/p' <<< "$shown")
# The next daemon-reload reads them.
folders=$(printf '%s ' {/etc,/run,/usr/lib}/systemd/{system/"$unit"{,.d/*.conf},system.conf{,.d/*.conf}})
words='force[-_]new[-_]cluster|config[-_]file'  # what says neither needs no closer look
told $(grep -lsiE "$words" $(readlink -e $files $folders | sort -u) < /dev/null)
after=
for file in $(sed -n 's/^EnvironmentFiles\?=\(.*\) (.*/\1/p' <<< "$shown"); do  # in this order; the last one wins
"""
    + f"""  [ "$file" != {PATH} ] || {{ after=yes; continue; }}
  [[ -n $after && -f $file && " $ours " != *" $file "* ]] || continue
  sed -nE "s!^[[:space:]]*ETCD_({_PLACES})=.*!Overrides=ETCD_\\1 in $file!p" "$file"
done
systemctl show-environment |
  sed -nE "/^ETCD_FORCE_NEW_CLUSTER=(0|f|F|false|FALSE|False)?\\$/d; s/^ETCD_FORCE_NEW_CLUSTER=.*/Forces={MANAGER}/p"
[[ -e ${{ours%% *}} ]] && echo OurForce=yes
[[ -e {FENCE.replace(NAME, "$unit")} ]] && echo OurFence=yes
}}
"""
    + pod.FUNCTION
    + """
if [ $kind = static-pod ]; then static_pod; else units; fi
[ $kind = service ] || beside
[ -z "$in_conf" ] || echo OurForce=yes
true
"""
)
"""What runs etcd, what is known of it, and which files on the start path, ours apart, say to force or to read a YAML file.

And which variables that say where a member's data, names and certificates are have another value from a later file.
"""


@dataclass(frozen=True, slots=True)
class Unit:
    """What `systemctl show` says of etcd's unit; of a static pod, the same in terms of its manifest and process."""

    load: str
    active: str
    sub: str
    file_state: str
    main_pid: int
    result: str
    fragment: str
    drop_ins: tuple[str, ...]
    exec_start: str
    environment_files: tuple[str, ...]
    user: str
    forces: tuple[str, ...] = ()
    """What forces a new cluster at every start, files or MANAGER: somebody else's, our own is `forced`."""
    config_file: tuple[str, ...] = ()
    """Files that have etcd read a YAML file, and ignore flags and variables."""
    overrides: tuple[str, ...] = ()
    """What overrides a value of etcd.conf: a variable in a later file."""
    force_file: bool = False
    """Requorum's force is there; systemd may not have read it yet, and will with whatever it reads next."""
    fence_file: bool = False
    """The same of a unit's fence."""
    runtime: Runtime = _SERVICE
    pod: Pod | None = None
    """Of a static pod, what more is known."""

    @property
    def is_running(self) -> bool:
        """A process of the unit lives, or is about to (a start that hangs, a restart that waits)."""
        return self.active in ("active", "activating", "reloading", "deactivating")

    @property
    def masked(self) -> bool:
        """Masked by somebody; Requorum's own fence is a drop-in and no mask."""
        return self.load == "masked"

    @property
    def fenced(self) -> bool:
        """Requorum's fence is there, whether it keeps etcd down by now or at the next boot only."""
        return self.fence_file or self.fence_holds

    @property
    def fence_holds(self) -> bool:
        """Requorum's fence is in force: systemd has read it."""
        return self.runtime.fence in (*self.drop_ins, self.runtime.manifest)

    @property
    def forced(self) -> bool:
        """Requorum's force is on the start path."""
        return self.force_file or FORCE in self.drop_ins or self.runtime.guard in self.drop_ins

    @property
    def probed(self) -> bool:
        """A static pod whose manifest has a liveness probe."""
        return self.pod is not None and self.pod.manifest.probed

    @property
    def probe_is_out(self) -> bool:
        """A recovery has taken the liveness probe out of the manifest, and has not put it back."""
        return self.pod is not None and self.pod.kept is not None

    @property
    def overriding_flags(self) -> tuple[str, ...]:
        """The flags of ExecStart that override a variable of etcd.conf: those that do not repeat one."""
        flags = _FLAG.findall(self.runtime.arguments(self.exec_start))
        return tuple(f"--{name} {value}" for name, value in flags if "$" not in value and name != "config-file")

    @property
    def state(self) -> str:
        """The state in a reader's words, such as ``activating (start)``."""
        words = f"{self.active} ({self.sub})"
        if self.masked:
            words += ", masked"
        elif self.file_state == "disabled":
            words += ", disabled"
        return words + (", fenced" if self.fenced else "")


def parse(output: str) -> Unit:
    """The unit from the output of COMMAND. Raises ValueError where a property is missing."""
    values = dict(line.partition("=")[::2] for line in output.splitlines() if "=" in line)
    runtime = _runtime(output)
    found = pod.parse(output) if runtime.kind == "static-pod" else None
    try:
        return Unit(
            load=values["LoadState"],
            active=values["ActiveState"],
            sub=values["SubState"],
            file_state=values["UnitFileState"],
            main_pid=int(values.get("MainPID", "0")),
            result=values.get("Result", ""),
            fragment=values["FragmentPath"],
            drop_ins=tuple(values["DropInPaths"].split()),
            exec_start=found.manifest.command if found else _argv(values.get("ExecStart", "")),
            environment_files=tuple(line.rpartition(" (")[0] or line for line in _environment_files(output)),
            user=values.get("User", ""),
            forces=_all(output, "Forces"),
            config_file=_all(output, "ConfigFile"),
            overrides=_all(output, "Overrides"),
            force_file=values.get("OurForce") == "yes",
            fence_file=values.get("OurFence") == "yes",
            runtime=runtime,
            pod=found,
        )
    except KeyError as missing:
        raise ValueError(
            f"expected the property {missing} from systemctl show {runtime.unit}, found {output[:200]!r}"
        ) from None


def _runtime(output: str) -> Runtime:
    kind, _, unit = (_all(output, "Runtime") or (f"service {SERVICE}",))[0].partition(" ")
    container, image, _ = docker_run(_argv((_all(output, "ExecStart") or ("",))[0]))
    return Runtime(
        kind="static-pod" if kind == "static-pod" else "container" if kind == "container" or image else "service",
        unit=unit,
        beside=_all(output, "Beside"),
        manifest=(_all(output, "Manifest") or ("",))[0],
        node=(_all(output, "Node") or ("",))[0],
        further=_all(output, "Further"),
        node_at_boot="disabled" not in _all(output, "NodeBoot"),
        strays=pod.strays(output),
        container=container,
        image=image,
    )


def _argv(value: str) -> str:
    _, _, rest = value.partition("argv[]=")
    return rest.partition(" ; ignore_errors")[0]


def _environment_files(output: str) -> tuple[str, ...]:
    """Old systemd (219, of RHEL 7) prints the property EnvironmentFiles as ``EnvironmentFile=``."""
    return _all(output, "EnvironmentFiles") or _all(output, "EnvironmentFile")


def _all(output: str, key: str) -> tuple[str, ...]:
    """Every value of a key that has a line for each, as ``EnvironmentFiles=/etc/etcd/etcd.conf (ignore_errors=yes)``."""
    lines = (line.partition("=") for line in output.splitlines())
    return tuple(value for name, _, value in lines if name == key and value)

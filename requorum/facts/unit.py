"""The systemd unit that runs etcd, as systemd sees it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from requorum.facts.etcd_conf import PATH

NAME = "etcd.service"
FENCE = f"/etc/systemd/system/{NAME}.d/requorum-fence.conf"
"""The fence: a drop-in that no reboot takes away."""
FORCE = f"/run/systemd/system/{NAME}.d/requorum-force.conf"
"""The force: a drop-in under /run, so that a reboot takes it away by itself."""
FORCE_ENVIRONMENT = "/run/requorum-force.env"

_PLACES = "NAME|DATA_DIR|WAL_DIR|INITIAL_[A-Z_]*|[A-Z_]*URLS|[A-Z_]*FILE"
_FLAG = re.compile(r"--?(name|data-dir|wal-dir|initial-[a-z-]+|[a-z-]*urls|[a-z-]*file)(?:=| +)(\S*)")
_PROPERTIES = (
    "LoadState,ActiveState,SubState,UnitFileState,MainPID,Result,"
    "FragmentPath,DropInPaths,ExecStart,EnvironmentFiles,User"
)
COMMAND = (
    f"shown=$(systemctl show {NAME} --no-pager -p {_PROPERTIES}) || exit\n"
    f"ours='{FORCE} {FORCE_ENVIRONMENT}'\n"
    + r"""
printf '%s\n' "$shown"
files=$(sed -n 's/^FragmentPath=//p; s/^DropInPaths=//p; s/^EnvironmentFiles=\(.*\) (.*/\1/p' <<< "$shown")
folders=$(printf '%s ' {/etc,/run,/usr/lib}/systemd/system/etcd.service{,.d/*.conf})  # the next daemon-reload reads them
told='force[-_]new[-_]cluster|config[-_]file'  # what says neither needs no closer look
for file in $(grep -lsiE "$told" $(readlink -e $files $folders | sort -u) < /dev/null); do
  [[ -f $file && " $ours " != *" $file "* ]] || continue
  words=$(grep -vE '^[[:space:]]*([#;]|$)' "$file" | sed -E "s/force[-_]new[-_]cluster=[\"']?(0|f|false)\b//Ig")
  grep -qiE "force[-_]new[-_]cluster[\"']?(=[\"']?[^\"']|[^=]|\$)" <<< "$words" && echo "Forces=$file"
  grep -qE -- "--?config-file|ETCD_CONFIG_FILE=[\"']?[^\"' ]" <<< "$words" && echo "ConfigFile=$file"
done
after=
for file in $(sed -n 's/^EnvironmentFiles=\(.*\) (.*/\1/p' <<< "$shown"); do  # in this order; the last one wins
"""
    + f"""  [ "$file" != {PATH} ] || {{ after=yes; continue; }}
  [[ -n $after && -f $file && " $ours " != *" $file "* ]] || continue
  sed -nE "s!^[[:space:]]*ETCD_({_PLACES})=.*!Overrides=ETCD_\\1 in $file!p" "$file"
done
[[ -e ${{ours%% *}} ]] && echo OurForce=yes
true
"""
)
"""What systemd knows, and which files on the start path, ours apart, say to force or to read a YAML file.

And which variables that say where a member's data, names and certificates are have another value from a later file.
"""


@dataclass(frozen=True, slots=True)
class Unit:
    """What `systemctl show` says of etcd.service."""

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
    """Files that force a new cluster at every start: somebody else's, our own is `forced`."""
    config_file: tuple[str, ...] = ()
    """Files that have etcd read a YAML file, and ignore flags and variables."""
    overrides: tuple[str, ...] = ()
    """What overrides a value of etcd.conf: a variable in a later file."""
    force_file: bool = False
    """Requorum's force is there; systemd may not have read it yet, and will with whatever it reads next."""

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
        """Requorum's fence is in force: systemd has read it."""
        return FENCE in self.drop_ins

    @property
    def forced(self) -> bool:
        """Requorum's force is on the start path."""
        return self.force_file or FORCE in self.drop_ins

    @property
    def overriding_flags(self) -> tuple[str, ...]:
        """The flags of ExecStart that override a variable of etcd.conf: those that do not repeat one."""
        flags = _FLAG.findall(self.exec_start)
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
            exec_start=_argv(values.get("ExecStart", "")),
            environment_files=tuple(line.rpartition(" (")[0] or line for line in _all(output, "EnvironmentFiles")),
            user=values.get("User", ""),
            forces=_all(output, "Forces"),
            config_file=_all(output, "ConfigFile"),
            overrides=_all(output, "Overrides"),
            force_file=values.get("OurForce") == "yes",
        )
    except KeyError as missing:
        raise ValueError(
            f"expected the property {missing} from systemctl show {NAME}, found {output[:200]!r}"
        ) from None


def _argv(value: str) -> str:
    _, _, rest = value.partition("argv[]=")
    return rest.partition(" ; ignore_errors")[0]


def _all(output: str, key: str) -> tuple[str, ...]:
    """Every value of a key that has a line for each, as ``EnvironmentFiles=/etc/etcd/etcd.conf (ignore_errors=yes)``."""
    lines = (line.partition("=") for line in output.splitlines())
    return tuple(value for name, _, value in lines if name == key and value)

"""The systemd unit that runs etcd, as systemd sees it."""

from __future__ import annotations

from dataclasses import dataclass

NAME = "etcd.service"
FENCE = f"/etc/systemd/system/{NAME}.d/requorum-fence.conf"
"""The fence: a drop-in that no reboot takes away."""
FORCE = f"/run/systemd/system/{NAME}.d/requorum-force.conf"
"""The force: a drop-in under /run, so that a reboot takes it away by itself."""
FORCE_ENVIRONMENT = "/run/requorum-force.env"

_PROPERTIES = (
    "LoadState,ActiveState,SubState,UnitFileState,MainPID,Result,"
    "FragmentPath,DropInPaths,ExecStart,EnvironmentFiles,User"
)
COMMAND = f"systemctl show {NAME} --no-pager -p {_PROPERTIES}"


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
        """Requorum's force is on the start path: systemd has read it."""
        return FORCE in self.drop_ins

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
            environment_files=_files(output),
            user=values.get("User", ""),
        )
    except KeyError as missing:
        raise ValueError(f"expected the property {missing} from `{COMMAND}`, found {output[:200]!r}") from None


def _argv(value: str) -> str:
    _, _, rest = value.partition("argv[]=")
    return rest.partition(" ; ignore_errors")[0]


def _files(output: str) -> tuple[str, ...]:
    """One line for each environment file: ``EnvironmentFiles=/etc/etcd/etcd.conf (ignore_errors=yes)``."""
    lines = (line.partition("=")[2] for line in output.splitlines() if line.startswith("EnvironmentFiles="))
    return tuple(line.rpartition(" (")[0] or line for line in lines if line)

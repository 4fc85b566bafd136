"""Where the lab keeps what it made, so that `down` finds it again, whatever happened.

Everything is recorded here before it is made. All names outside this directory (bridge, network namespaces,
cgroups) follow from the lab's record.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from lab.errors import LabError
from lab.spec import ON_MASTERS, Host, Spec, beside_of, hosts_of

# Two state directories on one machine must not hand out the same network: this lock is the machine's.
MACHINE_LOCK = Path("/run/lock/requorum-lab.lock")


def base() -> Path:
    """The state directory of all labs: $REQUORUM_LAB_STATE, or /var/lib/requorum-lab."""
    return Path(os.environ.get("REQUORUM_LAB_STATE", "/var/lib/requorum-lab")).absolute()


def write_atomically(path: Path, text: str) -> None:
    """Write a file so that a reader, or a crash, sees the old or the new content and nothing between."""
    new = path.with_name(path.name + ".new")
    with open(new, "w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    new.rename(path)


@contextlib.contextmanager
def locked(path: Path, what: str, *, wait: bool = True) -> Iterator[int]:
    """Hold an exclusive flock on `path`; with wait=False raise LabError if somebody else has it.

    Yields the descriptor: a child that inherits it holds the lock too, as long as it lives.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a", encoding="utf-8") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError as error:
            raise LabError(f"{what} is being worked on by another process (lock: {path}); wait for it") from error
        yield stream.fileno()


@dataclass(frozen=True, slots=True)
class Record:
    """One lab as recorded: all other names follow from it.

    Attributes:
        spec: what was asked for.
        network: the N of 10.213.N.0/24, unique on this machine.
        root: path of the shared root file system.
    """

    spec: Spec
    network: int
    root: str

    @property
    def directory(self) -> Path:
        """Where this lab keeps its files."""
        return directory_of(self.spec.name)

    @property
    def hosts(self) -> tuple[Host, ...]:
        """Its hosts of etcd, in order."""
        return hosts_of(self.spec, self.network)

    @property
    def beside(self) -> tuple[Host, ...]:
        """The hosts beside the cluster, in order."""
        return beside_of(self.spec, self.network)

    @property
    def machines(self) -> tuple[Host, ...]:
        """All of them."""
        return (*self.hosts, *self.beside)

    @property
    def masters(self) -> tuple[Host, ...]:
        """Those that are OpenShift masters."""
        return self.hosts if self.spec.topology in ON_MASTERS else self.beside[: self.spec.masters]

    @property
    def with_flannel(self) -> tuple[Host, ...]:
        """Those that have a flanneld."""
        return (self.beside or self.hosts) if self.spec.flannel else ()

    @property
    def bridge(self) -> str:
        """The lab's own bridge."""
        return f"rqlab{self.network}"

    def host_directory(self, host: Host) -> Path:
        """The host's own directory: `disk` is its disk, `console.log` what it printed."""
        return self.directory / "hosts" / host.short

    def disk(self, host: Host) -> Path:
        """Where the host's disk lies; a file system of its own where the spec gives it a size."""
        return self.host_directory(host) / "disk"

    def upper(self, host: Host) -> Path:
        """The writable layer over the shared root file system: what is on the host's disk."""
        return self.disk(host) / "upper"

    def save(self) -> None:
        """Write the record, before anything it names is made."""
        self.directory.mkdir(parents=True, exist_ok=True)
        write_atomically(self.directory / "lab.json", json.dumps(asdict(self), indent=1) + "\n")


def directory_of(name: str) -> Path:
    """The directory of the lab called `name`."""
    return base() / "labs" / name


def load(name: str) -> Record:
    """Read a lab's record; LabError if there is no such lab."""
    path = directory_of(name) / "lab.json"
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        known = ", ".join(all_names()) or "none"
        raise LabError(f"there is no lab {name!r} (labs here: {known}); run: python -m lab up --name {name}") from error
    except ValueError as error:
        raise LabError(f"{path} is not readable as JSON: {error}") from error
    if unknown := raw["spec"].keys() - {field.name for field in fields(Spec)}:
        raise LabError(f"the lab {name!r} was made by another version of this program: {path} has {sorted(unknown)}")
    return Record(spec=Spec(**raw["spec"]), network=int(raw["network"]), root=str(raw["root"]))


def networks() -> set[int]:
    """The numbers that labs here have been given; also those of a lab that another version of this program made."""
    numbers = set()
    for name in all_names():
        with contextlib.suppress(FileNotFoundError):  # taken down this moment
            numbers.add(int(json.loads((directory_of(name) / "lab.json").read_text(encoding="utf-8"))["network"]))
    return numbers


def forget_unmade(name: str) -> bool:
    """Remove the directory of a lab that was killed before it recorded anything; False if it did record."""
    directory = directory_of(name)
    if not directory.is_dir() or (directory / "lab.json").exists():
        return False
    with locked(directory / "lock", f"the lab {name!r}", wait=False):
        shutil.rmtree(directory)
    return True


@contextlib.contextmanager
def forgotten_if_refused(name: str) -> Iterator[None]:
    """A lab that is refused (LabError) before it is recorded leaves no directory. The caller holds its lock."""
    try:
        yield
    except LabError:
        if not (directory_of(name) / "lab.json").exists():
            shutil.rmtree(directory_of(name))
        raise


def all_names() -> list[str]:
    """The labs recorded in this state directory."""
    return sorted(path.parent.name for path in (base() / "labs").glob("*/lab.json"))

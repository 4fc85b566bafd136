"""Part of the stand-ins: containers, as docker and the node service of OpenShift 3.11 need them.

A container is a transient unit `docker-<id>.service` with a root, mounts, process numbers and an environment of its own,
in the host's network. As the real ones: it sees its image, its volumes and nothing else of the host; what it writes
elsewhere is gone when it is removed; its environment is exactly what it was given; its first process is number 1 (etcd
then ends a SIGTERM with exit code 0), and when that ends, every other process in it is killed. Containers outlive whoever
started them, and end with the host: the state is below /run.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shlex
import shutil
import signal
import subprocess
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

STATE = Path("/run/openshift-standins/containers")
IMAGES = Path("/var/lib/openshift-images")
SOCKET = Path("/run/docker.sock")
"""There while docker.service is up."""
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class ContainerError(Exception):
    """The daemon's refusal, in docker's words."""


@dataclass(frozen=True)
class Volume:
    """A directory of the host in the container."""

    source: str
    target: str
    read_only: bool = False


@dataclass(frozen=True)
class Container:
    """One container as it was created; what became of it is asked by the properties.

    Attributes:
        id: 64 hexadecimal digits.
        name: without a slash.
        image: as it was asked for.
        command: entry point and arguments.
        environment: all of it.
        created: seconds since the epoch.
        labels, volumes, directory: as given.
    """

    id: str
    name: str
    image: str
    command: list[str]
    environment: dict[str, str]
    created: float
    labels: dict[str, str] = field(default_factory=dict)
    volumes: list[Volume] = field(default_factory=list)
    directory: str = "/"

    @property
    def place(self) -> Path:
        """Its folder below STATE."""
        return STATE / self.id

    @property
    def unit(self) -> str:
        """Of systemd."""
        return f"docker-{self.id}.service"

    @property
    def ended(self) -> tuple[int, float] | None:
        """Exit code and time, or None while it runs."""
        try:
            with open(self.place / "ended", encoding="ascii") as stream:
                _, status = stream.read().split()[:2]
                at = os.fstat(stream.fileno()).st_mtime
        except (FileNotFoundError, ValueError):
            return None
        if not status.isalnum():  # systemd knew of no exit of its first process, and left the variable's name
            return 137, at
        return int(status) if status.isdigit() else 128 + signal.Signals[f"SIG{status}"], at

    @property
    def running(self) -> bool:
        """Its first process lives."""
        return self.ended is None

    @property
    def pid(self) -> int:
        """Of its first process; 0 where it has ended."""
        try:
            return int((self.place / "pid").read_text(encoding="ascii")) if self.running else 0
        except (FileNotFoundError, ValueError):
            return 0


def all_containers() -> list[Container]:
    """The newest first."""
    found = []
    for path in STATE.glob("*/config.json"):
        with contextlib.suppress(FileNotFoundError):  # removed this moment
            raw = json.loads(path.read_text(encoding="utf-8"))
            found.append(Container(**{**raw, "volumes": [Volume(**one) for one in raw["volumes"]]}))
    return sorted(found, key=lambda one: one.created, reverse=True)


def find(word: str) -> Container:
    """By id, a beginning of it, or name. Raises ContainerError."""
    known = all_containers()
    exact = [one for one in known if word.lstrip("/") == one.name or word == one.id]
    found = exact or [one for one in known if word and one.id.startswith(word)]
    if len(found) != 1:
        raise ContainerError(f"No such container: {word}")
    return found[0]


@contextlib.contextmanager
def _locked() -> Iterator[None]:
    STATE.mkdir(parents=True, exist_ok=True)
    with open(STATE.parent / "containers.lock", "a", encoding="ascii") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def image_root(image: str) -> Path:
    """The tree of an image. Raises ContainerError."""
    repository = image.rpartition(":")[0] if ":" in image.rpartition("/")[2] else image
    for path in IMAGES.glob("*/references"):
        if repository in path.read_text(encoding="ascii").split():
            return path.parent
    raise ContainerError(f"manifest for {image} not found")


def create(
    name: str,
    image: str,
    command: Sequence[str],
    environment: dict[str, str],
    volumes: Sequence[Volume] = (),
    labels: dict[str, str] | None = None,
    directory: str = "/",
) -> Container:
    """Create and start a container. Raises ContainerError: the name is taken, no such image."""
    root = image_root(image)
    container = Container(
        id=uuid.uuid4().hex + uuid.uuid4().hex,
        name=name,
        image=image,
        command=list(command),
        environment={"PATH": PATH, "HOSTNAME": os.uname().nodename, "HOME": "/root", **environment},
        created=time.time(),
        labels=dict(labels or {}),
        volumes=list(volumes),
        directory=directory,
    )
    with _locked():
        for other in all_containers():
            if other.name == name:
                raise ContainerError(
                    f'Conflict. The container name "/{name}" is already in use by container {other.id}. '
                    "You have to remove (or rename) that container to be able to reuse that name."
                )
        container.place.mkdir()
        (container.place / "launch").write_text(_launch(container, root), encoding="utf-8")
        # Others read it at any moment.
        (container.place / "config.new").write_text(json.dumps(asdict(container), indent=1), encoding="utf-8")
        (container.place / "config.new").rename(container.place / "config.json")
    place = container.place
    done = subprocess.run(
        [
            "systemd-run",
            "--quiet",
            "--collect",
            f"--unit={container.unit}",
            f"--description=Container {name}",
            "--slice=kubepods.slice" if "io.kubernetes.pod.uid" in container.labels else "--slice=system.slice",
            # At shutdown it ends after those who would start it again, and before docker.
            "--property=After=docker.service",
            "--property=Before=origin-node.service",
            "--property=TimeoutStopSec=30",
            f"--property=StandardOutput=append:{place}/stdout",
            f"--property=StandardError=append:{place}/stderr",
            f'--property=ExecStopPost=/bin/sh -c "echo $EXIT_CODE $EXIT_STATUS > {place}/ended"',
            "/bin/sh",
            str(place / "launch"),
        ],
        capture_output=True,
        encoding="utf-8",
        check=False,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode != 0:
        (place / "ended").write_text("exited 127\n", encoding="ascii")
        raise ContainerError(f"oci runtime error: {done.stderr.strip()}")
    return container


def _launch(container: Container, image: Path) -> str:
    """A script: it makes the root, then what becomes the container's first process, and ends as that ends."""
    root = container.place / "root"
    lines = [
        "set -e",
        f"mkdir -p {root} && cd {root}",
        "mkdir -p tmp run var/tmp root proc sys dev && chmod 1777 tmp var/tmp",
        f"cp -a {image}/etc . && cp -L /etc/hosts /etc/hostname etc/",
    ]
    # Its own number as the host sees it: the host's /proc is still there.
    first = f"read -r pid _ < /proc/self/stat && echo $pid > {container.place}/pid"
    mounts = [*(f"mount --rbind /{name} {name}" for name in ("sys", "dev")), "mount -t proc proc proc"]
    for path in sorted(image.iterdir()):
        if path.is_symlink():
            lines.append(f"ln -s {shlex.quote(os.readlink(path))} {path.name}")
        elif path.is_dir() and path.name != "etc":
            lines.append(f"mkdir {path.name}")
            mounts.append(f"mount --bind -o ro {path} {path.name}")
    for volume in container.volumes:
        source, target = shlex.quote(volume.source), shlex.quote(volume.target.lstrip("/"))
        # Docker makes a directory on the host where there is nothing.
        lines.append(
            f"if [ -f {source} ]; then mkdir -p $(dirname {target}); : >> {target}; else mkdir -p {source} {target}; fi"
        )
        mounts.append(f"mount --rbind {source} {target}")
        if volume.read_only:
            mounts.append(f"mount -o remount,bind,ro {target}")
    environment = [f"{name}={value}" for name, value in container.environment.items()]
    inside = ["chroot", ".", "/usr/bin/env", "-i", "-C", container.directory, *environment, *container.command]
    inner = "\n".join(["set -e", first, *mounts, f"exec {shlex.join(inside)}"])
    lines.append(f"mkdir -p .{shlex.quote(container.directory)}")
    lines.append(
        f"exec unshare --mount --pid --fork --kill-child --propagation private /bin/sh -c {shlex.quote(inner)}"
    )
    return "\n".join(lines) + "\n"


def send(container: Container, name: str) -> None:
    """A signal to its first process, or to what is about to become that."""
    pid = container.pid
    if pid:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.Signals[f"SIG{name}"])
    elif container.running:
        command = ["systemctl", "kill", f"--signal={name}", container.unit]
        subprocess.run(command, stderr=subprocess.DEVNULL, check=False)


def wait(container: Container, seconds: float | None = None) -> int | None:
    """Its exit code, or None where it still runs after so many seconds."""
    end = None if seconds is None else time.monotonic() + seconds
    while True:
        ended = container.ended
        if ended is not None:
            return ended[0]
        if not container.place.is_dir():
            return 137  # removed by somebody else
        if end is not None and time.monotonic() > end:
            return None
        time.sleep(0.05)


def stop(container: Container, grace: float = 10) -> None:
    """SIGTERM, and SIGKILL to what is still there after `grace` seconds."""
    send(container, "TERM")
    if wait(container, grace) is None:
        send(container, "KILL")
        wait(container)


def remove(container: Container) -> None:
    """Forget one that has ended, with all that it wrote outside of its volumes."""
    with _locked():
        shutil.rmtree(container.place, ignore_errors=True)


def execute(
    container: Container,
    command: Sequence[str],
    environment: dict[str, str] | None = None,
    *,
    stdin: int | None = subprocess.DEVNULL,
    stdout: int | None = None,
    stderr: int | None = None,
) -> subprocess.Popen[bytes]:
    """Start a command in a container; it ends with the container. Raises ContainerError: that does not run."""
    pid = container.pid
    if not pid:
        raise ContainerError(f"Container {container.id} is not running")
    words = [f"{name}={value}" for name, value in {**container.environment, **(environment or {})}.items()]
    inside = ["/usr/bin/env", "-i", "-C", container.directory, *words, *command]
    joined = [f"echo $$ > {path}" for path in _groups(pid)]
    entered = ["nsenter", f"--target={pid}", "--mount", "--pid", "--root", "--", *inside]
    script = "\n".join(["set -e", *joined, f"exec {shlex.join(entered)}"])
    return subprocess.Popen(["/bin/sh", "-c", script], stdin=stdin, stdout=stdout, stderr=stderr)


def _groups(pid: int) -> list[Path]:
    """The control groups of a process, as this host sees them."""
    found = []
    for line in Path(f"/proc/{pid}/cgroup").read_text(encoding="ascii").splitlines():
        number, controllers, path = line.split(":", 2)
        for base in ("/sys/fs/cgroup", "/sys/fs/cgroup/unified") if number == "0" else ("/sys/fs/cgroup/systemd",):
            place = Path(base + path) / "cgroup.procs"
            if controllers in ("", "name=systemd") and path != "/" and place.exists():
                found.append(place)
    return found

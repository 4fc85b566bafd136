"""Write what makes a host itself into its disk (the upper layer over the shared root file system)."""

from __future__ import annotations

import os
import shutil
import stat
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lab import authority, docker, etcd_files, flannel, masters, pods, runtimes, standins
from lab.docker import File, Link
from lab.errors import LabError
from lab.spec import Host
from lab.state import Record

ETCD_UNIT = "lib/systemd/system/etcd.service"


@dataclass(frozen=True, slots=True)
class Disk:
    """The writable layer `upper` over `lower`. Files get their owner and mode explicitly."""

    lower: Path
    upper: Path

    def directory(self, path: str, mode: int | None = None, owner: tuple[int, int] | None = None) -> Path:
        """Make a directory. Without a mode it looks as in the lower layer, since the upper one hides it."""
        target = self.upper / path
        if not target.is_dir():
            if path not in ("", "."):
                self.directory(os.path.dirname(path))
            target.mkdir()
            below = self.lower / path
            if below.is_dir():
                seen = below.stat()
                os.chown(target, seen.st_uid, seen.st_gid)
                target.chmod(seen.st_mode & 0o7777)
        if owner is not None:
            os.chown(target, *owner)
        if mode is not None:
            target.chmod(mode)
        return target

    def write(self, path: str, content: str | bytes, mode: int = 0o644, owner: tuple[int, int] = (0, 0)) -> None:
        """Write one file, making its directories."""
        self.directory(os.path.dirname(path))
        target = self.upper / path
        target.write_bytes(content.encode() if isinstance(content, str) else content)
        os.chown(target, *owner)
        target.chmod(mode)

    def link(self, path: str, points_at: str) -> None:
        """Make one symbolic link, making its directories."""
        self.directory(os.path.dirname(path))
        (self.upper / path).symlink_to(points_at)

    def hide(self, path: str) -> None:
        """Take a file of the lower layer away: a whiteout (a character device 0:0) hides it."""
        self.directory(os.path.dirname(path))
        os.mknod(self.upper / path, stat.S_IFCHR, os.makedev(0, 0))

    def owner_of(self, user: str) -> tuple[int, int]:
        """User and group id of a user of the lower layer."""
        for line in (self.lower / "etc/passwd").read_text(encoding="utf-8").splitlines():
            fields = line.split(":")
            if fields[0] == user:
                return int(fields[2]), int(fields[3])
        raise LabError(f"there is no user {user} in {self.lower}/etc/passwd; remove that directory and build again")


def provision(record: Record, host: Host, secrets: Path, *, certificates: bool = True) -> None:
    """Make the host's disk anew: as installed, with no data.

    Args:
        record: the lab.
        host: the host, which must be without power.
        secrets: where `pki.make_all` has put keys and certificates.
        certificates: without them, and without the CA, it is a new host that nobody has installed etcd's on.
    """
    spec = record.spec
    upper = record.upper(host)
    if upper.exists():
        shutil.rmtree(upper)
    upper.mkdir(parents=True)
    disk = Disk(Path(record.root), upper)
    disk.directory(".", 0o755, (0, 0))
    # /lib is a symlink to usr/lib on a merged-usr Debian; an upper directory called lib would hide it.
    unit_path = f"usr/{ETCD_UNIT}" if (disk.lower / "lib").is_symlink() else ETCD_UNIT
    is_member = host in record.hosts
    if not is_member:
        for path in (unit_path, "usr/bin/etcd", "usr/bin/etcdctl"):  # it is no host of etcd
            disk.hide(path)
    else:
        disk.write(unit_path, etcd_files.unit(spec))
        if runtimes.of(spec) == runtimes.SERVICE:
            disk.link(runtimes.SERVICE.wants, runtimes.SERVICE.wants_points_at)
    disk.write("etc/hostname", f"{host.name}\n")
    disk.write("etc/machine-id", f"{uuid.uuid4().hex}\n", 0o444)
    names = "".join(f"{one.address} {one.name} {one.short}\n" for one in record.machines)
    disk.write("etc/hosts", f"127.0.0.1 localhost\n::1 localhost ip6-localhost\n{names}")
    _ssh(record, host, secrets, disk)
    if is_member:
        _etcd(record, host, secrets, disk, certificates=certificates)
        disk.directory("backup", 0o700, (0, 0))
    for one in _openshift(record, host, secrets):
        if isinstance(one, Link):
            disk.link(one.path, one.points_at)
        else:
            disk.write(one.path, one.content, one.mode)
    if spec.topology == "static-pod":
        for program in ("etcd", "etcdctl"):  # they are in the image only
            disk.hide(f"usr/bin/{program}")


def _ssh(record: Record, host: Host, secrets: Path, disk: Disk) -> None:
    spec = record.spec
    own = secrets / host.short
    disk.write("etc/ssh/ssh_host_ed25519_key", (own / "ssh_host_ed25519_key").read_bytes(), 0o600)
    disk.write("etc/ssh/ssh_host_ed25519_key.pub", (own / "ssh_host_ed25519_key.pub").read_bytes())
    root_login = "prohibit-password" if spec.user == "root" else "no"
    disk.write("etc/ssh/sshd_config.d/lab.conf", f"Port {spec.ssh_port}\nPermitRootLogin {root_login}\n")
    home = "root" if spec.user == "root" else f"home/{spec.user}"
    owner = disk.owner_of(spec.user)
    disk.directory(f"{home}/.ssh", 0o700, owner)
    disk.write(f"{home}/.ssh/authorized_keys", (secrets / "id_ed25519.pub").read_bytes(), 0o600, owner)


def _etcd(record: Record, host: Host, secrets: Path, disk: Disk, *, certificates: bool) -> None:
    spec = record.spec
    # In a container it runs as root.
    etcd = disk.owner_of("etcd") if runtimes.of(spec) == runtimes.SERVICE else (0, 0)
    own = secrets / host.short
    disk.directory("etc/etcd", 0o700, etcd)
    disk.write("etc/etcd/etcd.conf", etcd_files.conf(spec, record.hosts, host), 0o644, (0, 0))
    if certificates:
        disk.write("etc/etcd/ca.crt", (secrets / "ca/ca.crt").read_bytes(), 0o600, etcd)
        for name in ("server", "peer"):
            for suffix in ("crt", "key"):
                disk.write(f"etc/etcd/{name}.{suffix}", (own / f"{name}.{suffix}").read_bytes(), 0o600, etcd)
        # The CA is on the first host alone; elsewhere the installer leaves an empty directory.
        disk.directory("etc/etcd/ca", 0o700, (0, 0))
        if host.index == 0:
            for one in authority.files(
                secrets, record.hosts, (disk.lower / "etc/ssl/openssl.cnf").read_text(encoding="utf-8")
            ):
                if one.content is None:
                    disk.directory(one.path, one.mode, (0, 0))
                else:
                    disk.write(one.path, one.content, one.mode)
    disk.directory("var/lib/etcd", 0o700, etcd)
    disk.directory(spec.data_dir.strip("/"), 0o700, etcd)


def _openshift(record: Record, host: Host, secrets: Path) -> Iterator[File | Link]:
    """What a topology has beside sshd and etcd."""
    topology = record.spec.topology
    if host in record.with_flannel:
        yield from flannel.files(record, host, secrets)
    if host in record.beside and host in record.masters:
        yield from masters.files(record, host, secrets)
        yield from masters.unit_files()
    if topology == "external":
        return
    yield File("etc/profile.d/etcdctl.sh", standins.text("etcdctl.sh"), 0o755)
    if topology != "colocated":
        yield from docker.files()
    if topology == "container":
        yield from docker.etcd_files()
        return
    yield from masters.files(record, host, secrets)
    yield from masters.unit_files() if topology == "colocated" else pods.files(host, secrets)


def empty_data(record: Record, host: Host) -> None:
    """Destroy the contents of etcd's data directory on a host without power; the directory itself stays."""
    directory = record.upper(host) / record.spec.data_dir.strip("/")
    for path in directory.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()

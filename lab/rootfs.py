"""The shared root file system: built once, read-only ever after."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from lab import images, mounts, state
from lab.errors import LabError
from lab.shell import run

# What a host of an etcd cluster has. No Python on purpose: the runbook may not need one.
PACKAGES = (
    "systemd",
    "systemd-sysv",
    "dbus",
    "openssh-server",
    "etcd-server",
    "etcd-client",
    "ca-certificates",
    "iproute2",
    "sudo",
    "procps",
    "openssl",
    "less",
)

# What the stand-ins for OpenShift and Docker need beside that (lab/standins).
STANDIN_PACKAGES = ("python3", "python3-yaml", "curl")

# Not needed for the work, and each costs time at every boot.
MASKED = (
    "systemd-logind.service",
    "systemd-pstore.service",
    "systemd-networkd.service",
    "systemd-networkd.socket",
    "systemd-firstboot.service",
    "systemd-update-utmp.service",
    "systemd-update-utmp-runlevel.service",
    "systemd-binfmt.service",
    "systemd-hwdb-update.service",
    "systemd-udevd.service",
    "systemd-udev-trigger.service",
    "systemd-journal-catalog-update.service",
    "systemd-user-sessions.service",
    "e2scrub_reap.service",
    "e2scrub_all.timer",
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "dpkg-db-backup.timer",
    "fstrim.timer",
    "getty@tty1.service",
    "console-getty.service",
    "getty-static.service",
    "dev-hugepages.mount",
    "dev-mqueue.mount",
    "sys-kernel-debug.mount",
    "sys-kernel-tracing.mount",
    "sys-kernel-config.mount",
    "sys-fs-fuse-connections.mount",
    "modprobe@.service",
    "kmod-static-nodes.service",
    "proc-sys-fs-binfmt_misc.automount",
)

# They make units of what these hosts do not have (encrypted disks, rc.local, terminals), at each boot and each
# daemon-reload, and take half of its time.
GENERATORS = (
    "cryptsetup",
    "debug",
    "getty",
    "gpt-auto",
    "hibernate-resume",
    "integritysetup",
    "rc-local",
    "run",
    "system-update",
    "sysv",
    "veritysetup",
)

SSHD = """\
Include /etc/ssh/sshd_config.d/*.conf
HostKey /etc/ssh/ssh_host_ed25519_key
KbdInteractiveAuthentication no
PasswordAuthentication no
UsePAM yes
UseDNS no
X11Forwarding no
PrintMotd no
MaxStartups 100:30:200
AcceptEnv LANG LC_*
Subsystem sftp /usr/lib/openssh/sftp-server
"""

# RHEL 7 keeps its journal in memory unless told otherwise.
JOURNALD = "[Journal]\nStorage=volatile\nRuntimeMaxUse=64M\nRateLimitIntervalSec=0\n"

SUDOERS = "ops ALL=(ALL:ALL) NOPASSWD: ALL\n"

# Raise it when the code below changes what it builds.
RECIPE = 2


def packages(topology: str, flannel: bool = False) -> tuple[str, ...]:
    """What is installed on the hosts of a topology, with Flannel or without."""
    return PACKAGES if topology == "external" and not flannel else (*PACKAGES, *STANDIN_PACKAGES)


def path_of(release: str, topology: str = "external", flannel: bool = False) -> Path:
    """Where the root file system of a Debian release lies, or will lie; another recipe, another path."""
    parts = (release, *packages(topology, flannel), *MASKED, *GENERATORS, SSHD, JOURNALD, SUDOERS)
    recipe = "\n".join([str(RECIPE), *parts])
    if topology != "external":
        recipe += f"\n{images.RECIPE}"
    return state.base() / f"rootfs-{release}-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"


def build(release: str, topology: str = "external", flannel: bool = False) -> Path:
    """Build the root file system of `release` for a topology unless it is there; about half a minute.

    Returns:
        Its path.

    Raises:
        LabError: mmdebstrap failed; its last lines are in the message.
    """
    path = path_of(release, topology, flannel)
    if path.is_dir():
        return path
    with state.locked(state.base() / "rootfs.lock", "the root file system") as lock:
        if path.is_dir():
            return path
        part = path.with_name(path.name + ".part")
        shutil.rmtree(part, ignore_errors=True)
        options = [option for pair in _apt_options() for option in ("--aptopt", pair)]
        command = ["mmdebstrap", "--variant=minbase", "--mode=root", "--format=directory", "--quiet"]
        keyring = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
        if keyring.exists():
            command += [f"--keyring={keyring}"]
        command += [*options, f"--include={','.join(packages(topology, flannel))}", release, str(part)]
        # In a process namespace of its own, so that all of it ends when this process is killed, and keeps the lock till
        # then: mmdebstrap itself does not heed SIGTERM while apt works (seen).
        enclosed = ["setpriv", "--pdeathsig", "KILL", "unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
        own_mounts = [*mounts.OWN[1:], *mounts.ENTER]
        run([*enclosed, *own_mounts, *command], timeout=900, keep_open=[lock])
        _customize(part)
        if topology != "external":
            images.make(part)
        part.rename(path)
    return path


def _apt_options() -> list[str]:
    """What this machine's own apt needs to reach its mirror; mmdebstrap does not look for itself."""
    wanted = ("Acquire::http::Proxy", "Acquire::https::Proxy", "Acquire::Check-Valid-Until", "Acquire::Check-Date")
    found = []
    for line in run(["apt-config", "dump"]).stdout.splitlines():
        name, _, value = line.partition(" ")
        if name in wanted:
            found.append(f"{name} {value}")
    return found


def _customize(root: Path) -> None:
    """Make one host's root out of a bare Debian; what differs from host to host is not in here."""
    run(["chroot", str(root), "useradd", "--create-home", "--shell", "/bin/bash", "--password", "*", "ops"])
    units = root / "etc/systemd/system"
    for unit in MASKED:
        link = units / unit
        link.unlink(missing_ok=True)
        link.symlink_to("/dev/null")
    generators = root / "etc/systemd/system-generators"
    generators.mkdir(exist_ok=True)
    for name in GENERATORS:
        (generators / f"systemd-{name}-generator").symlink_to("/dev/null")
    # Each host brings its own etcd unit, and is itself the one to enable it.
    for leftover in ("multi-user.target.wants/etcd.service", "etcd2.service", "sshd.service"):
        (units / leftover).unlink(missing_ok=True)
    (units / "sshd.service").symlink_to("/lib/systemd/system/ssh.service")
    (root / "etc/default/etcd").unlink(missing_ok=True)
    for key in (root / "etc/ssh").glob("ssh_host_*"):
        key.unlink()
    (root / "etc/ssh/sshd_config").write_text(SSHD, encoding="utf-8")
    (root / "etc/systemd/journald.conf").write_text(JOURNALD, encoding="utf-8")
    sudoers = root / "etc/sudoers.d/ops"
    sudoers.write_text(SUDOERS, encoding="utf-8")
    sudoers.chmod(0o440)
    # Without user sessions nothing would ever take /run/nologin away again.
    (root / "etc/tmpfiles.d/systemd-nologin.conf").symlink_to("/dev/null")
    (root / "etc/default/locale").write_text("LANG=C.UTF-8\n", encoding="utf-8")
    shutil.rmtree(root / "var/log/journal", ignore_errors=True)
    for name in ("etc/machine-id", "etc/hostname", "etc/resolv.conf"):
        (root / name).unlink(missing_ok=True)
    if not (root / "usr/bin/etcd").exists() or not (root / "usr/sbin/sshd").exists():
        raise LabError(f"the new root file system {root} has no etcd or no sshd; look at it, then remove it")

"""What this machine must have to run a lab."""

from __future__ import annotations

import os
import platform
import shutil
from pathlib import Path

from lab import cgroups, mounts
from lab.errors import LabError
from lab.shell import run

# Program → Debian package.
PROGRAMS = {
    "mmdebstrap": "mmdebstrap",
    "systemd-nspawn": "systemd-container",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "unshare": "util-linux",
    "setpriv": "util-linux",
    "setsid": "util-linux",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "openssl": "openssl",
    "apt-config": "apt",
    "cp": "coreutils",
}
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


def missing_packages() -> list[str]:
    """Debian packages to install before a lab can run."""
    found = {package for program, package in PROGRAMS.items() if shutil.which(program) is None}
    if not KEYRING.exists():
        found.add("debian-archive-keyring")
    return sorted(found)


def missing() -> str | None:
    """One sentence that says what is missing, or None if a lab can run here."""
    if platform.system() != "Linux":
        return f"The lab needs Linux; this is {platform.system()}."
    if os.geteuid() != 0:
        return "The lab must be run as root: it boots hosts, mounts file systems and makes a bridge."
    packages = missing_packages()
    if packages:
        return f"Not installed here: {', '.join(packages)}; run: python -m lab install"
    try:
        cgroups.trees()
    except LabError as error:
        return f"The lab cannot run here: {error}."
    return _cannot_mount() or _cannot_bridge()


def require() -> None:
    """Raise LabError with that sentence if a lab cannot run here."""
    sentence = missing()
    if sentence:
        raise LabError(sentence)


def cannot_install() -> str | None:
    """One sentence that says why packages cannot be installed here, or None if they can."""
    if os.geteuid() != 0:
        return "Packages can be installed by root only."
    if shutil.which("apt-get") is None:
        return "There is no apt-get here: the lab can install its packages on Debian and Ubuntu only."
    return None


def install() -> list[str]:
    """Install the missing packages with apt-get; return their names."""
    sentence = cannot_install()
    if sentence:
        raise LabError(sentence)
    packages = missing_packages()
    if packages:
        quiet = {"DEBIAN_FRONTEND": "noninteractive"}
        run(["apt-get", "update", "-q"], timeout=600, extra_environment=quiet)
        command = ["apt-get", "install", "-q", "-y", "--no-install-recommends", *packages]
        run(command, timeout=900, extra_environment=quiet)
    return packages


def _cannot_mount() -> str | None:
    if not _file_system_known("overlay"):
        return "The lab cannot run here: the kernel has no overlayfs."
    done = run([*mounts.OWN, *mounts.ENTER, "mount", "-t", "tmpfs", "tmpfs", "/mnt"], check=False)
    if done.returncode != 0:
        return f"The lab cannot run here: mounting is not allowed ({done.stderr.strip()})."
    return None


def _file_system_known(name: str) -> bool:
    def listed() -> bool:
        lines = Path("/proc/filesystems").read_text(encoding="ascii").splitlines()
        return any(line.split()[-1] == name for line in lines)

    if not listed() and shutil.which("modprobe"):
        run(["modprobe", name], check=False)
    return listed()


def _cannot_bridge() -> str | None:
    # In a network namespace of its own: nothing of this machine is touched.
    done = run(["unshare", "--net", "ip", "link", "add", "rqlabtest", "type", "bridge"], check=False)
    if done.returncode != 0:
        return f"The lab cannot run here: no network namespaces or bridges ({done.stderr.strip()})."
    return None

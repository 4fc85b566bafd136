"""What this machine must have to run a lab."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from pathlib import Path

from lab import cgroups, mounts, state
from lab.errors import LabError
from lab.shell import Completed, run

# Program → Debian package.
PROGRAMS = {
    "mmdebstrap": "mmdebstrap",
    "systemd-nspawn": "systemd-container",
    "ip": "iproute2",
    "nft": "nftables",  # rehearsals cut hosts off from each other
    "mount": "mount",
    "nsenter": "util-linux",
    "unshare": "util-linux",
    "setpriv": "util-linux",
    "setsid": "util-linux",
    "mkfs.ext4": "e2fsprogs",
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


def forbidden() -> str | None:
    """One sentence that says why nobody who runs this can have a lab, or even look at one; or None."""
    if platform.system() != "Linux":
        return f"The lab needs Linux; this is {platform.system()}."
    if os.geteuid() != 0:
        return "The lab must be run as root: it boots hosts, mounts file systems and makes a bridge."
    return None


def impossible() -> str | None:
    """One sentence that says why no lab can run here, whatever is installed, or None. Trying it changes nothing."""
    if sentence := forbidden():
        return sentence
    try:
        cgroups.trees()
    except LabError as error:
        return f"The lab cannot run here: {error}."
    if shutil.which("unshare") is None or shutil.which("mount") is None:
        return None  # without them nothing can be tried; they are among the packages
    return _cannot_mount() or _cannot_separate() or _cannot_bridge()


def missing() -> str | None:
    """One sentence that says what is missing, or None if a lab can run here."""
    return impossible() or _not_installed(missing_packages())


def require() -> None:
    """Raise LabError with that sentence if a lab cannot run here."""
    sentence = missing()
    if sentence:
        raise LabError(sentence)


def _not_installed(packages: list[str]) -> str | None:
    if not packages:
        return None
    how = "run: python -m lab install" if _can_install() else "there is no apt-get here that could install it"
    return f"Not installed here: {', '.join(packages)}; {how}"


def _can_install() -> bool:
    return shutil.which("apt-get") is not None


def install() -> list[str]:
    """Install the missing packages with apt-get; return their names. Where no lab can run, nothing is installed.

    Raises:
        LabError: no lab can run here, there is no apt-get, or it failed.
    """
    packages = missing_packages()
    sentence = impossible() or (None if _can_install() else _not_installed(packages))
    if sentence:
        raise LabError(sentence)
    if packages:
        quiet = {"DEBIAN_FRONTEND": "noninteractive"}
        run(["apt-get", "update", "-q"], timeout=600, extra_environment=quiet)
        command = ["apt-get", "install", "-q", "-y", "--no-install-recommends", *packages]
        run(command, timeout=900, extra_environment=quiet)
    return packages


_OVERLAY = """\
cd "$1" && mkdir lower upper work root || exit 1
mount -t overlay overlay -o lowerdir=lower,upperdir=upper,workdir=work root
"""


def _cannot_mount() -> str | None:
    """A host's disk is an overlay beside the lab's files: not every file system can be under one."""
    place = next(path for path in (state.base(), *state.base().parents) if path.is_dir())
    try:
        with tempfile.TemporaryDirectory(prefix=".requorum-lab-", dir=place) as folder:
            done = run([*mounts.OWN, *mounts.ENTER, "sh", "-c", _OVERLAY, "sh", folder], check=False)
    except OSError as error:
        return f"The lab cannot run here: nothing can be written in {place} ({error.strerror})."
    if done.returncode != 0:
        return f"The lab cannot run here: no overlay can be mounted in {place} ({_said(done)})."
    return None


def _cannot_separate() -> str | None:
    done = run(["unshare", "--net", "--pid", "--ipc", "--uts", "--cgroup", "--fork", "true"], check=False)
    if done.returncode != 0:
        return f"The lab cannot run here: no namespaces for its hosts ({_said(done)})."
    return None


# SIOCBRADDBR: what `ip link add … type bridge` does, where there is no `ip` yet.
_BRIDGE = """\
import fcntl, socket, sys
try:
    fcntl.ioctl(socket.socket(), 0x89A0, b"rqlabtest\\0")
except OSError as error:
    sys.exit(str(error))
"""


def _cannot_bridge() -> str | None:
    # In a network namespace of its own: nothing of this machine is touched.
    done = run(["unshare", "--net", sys.executable, "-c", _BRIDGE], check=False)
    if done.returncode != 0:
        return f"The lab cannot run here: no bridge can be made ({_said(done)})."
    return None


def _said(done: Completed) -> str:
    return " ".join(done.stderr.split())

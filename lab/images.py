"""Images of containers: trees beside each other on the shared root file system, made of hard links to its own files.

An image holds what a container sees as its root. `etcd` is rhel7/etcd: its `/bin/sh` is bash, as RHEL's is, and etcd and
etcdctl are there whether the host has them or not. `control-plane` is OpenShift's own, with Python for the stand-ins.
What a host adds to an image lies in the host's own layer, at the same path.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from lab.shell import run

PLACE = "var/lib/openshift-images"
"""Where they lie on a host."""

REFERENCES = {
    "etcd": ("registry.redhat.io/rhel7/etcd", "registry.access.redhat.com/rhel7/etcd"),
    "control-plane": ("docker.io/openshift/origin-control-plane", "docker.io/openshift/origin-pod"),
}
"""Image → the repositories that it is found under, without a tag."""

FIRST_IN_PATH = f"{PLACE}/etcd/usr/local/bin"
"""On a host: a program that is put there comes before the one of the image `etcd`."""

ETCDCTL = "usr/bin/etcdctl"
"""Where the image `etcd` keeps the real one; before it in PATH, below /usr/local, comes a stand-in for that of 3.2."""

RECIPE = 2
"""Raise it when the code below changes what it builds."""

_LINKED = ("bin", "sbin", "lib", "lib64", "usr/bin", "usr/sbin", "usr/lib", "usr/lib64")
_COPIED = ("passwd", "group", "nsswitch.conf", "ld.so.cache", "ssl")


def make(root: Path) -> None:
    """Make the images below `root`."""
    for name in REFERENCES:
        image = root / PLACE / name
        image.mkdir(parents=True)
        for place in _LINKED:
            _link(root / place, image / place)
        (image / "etc").mkdir()
        for place in _COPIED:
            run(["cp", "-a", str(root / "etc" / place), str(image / "etc" / place)])
    etcd = root / PLACE / "etcd"
    _replace(etcd / "usr/bin/sh" if (etcd / "bin").is_symlink() else etcd / "bin/sh", "bash")
    for program in ("etcd", "etcdctl"):
        (root / PLACE / "control-plane/usr/bin" / program).unlink()
    shutil.rmtree(etcd / "usr/lib/python3", ignore_errors=True)


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_symlink() or source.is_dir():
        run(["cp", "-al", str(source), str(target)], timeout=120)


def _replace(path: Path, points_at: str) -> None:
    path.unlink()
    path.symlink_to(points_at)

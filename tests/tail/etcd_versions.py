"""The etcd of three Debian releases, 3.3 to 3.5: fetched by apt into a cache of this user, checked by Debian's keys."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from tail_cluster import Etcd

SUITES = ("bullseye", "bookworm", "trixie")
MIRROR = "http://deb.debian.org/debian"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


class NotThere(Exception):
    """This etcd cannot be had here, and why."""


def cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "requorum/etcd"


def get(suite: str) -> Etcd:
    """The etcd of a Debian release, fetched once. Raises NotThere."""
    folder = cache() / suite
    if not (folder / "etcd").exists():
        _fetch(suite, folder)
    etcd = Etcd(folder)
    try:
        _ = etcd.version
    except (OSError, subprocess.CalledProcessError, IndexError) as error:
        raise NotThere(f"{folder}/etcd does not run: {error}") from None
    return etcd


def _fetch(suite: str, folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as tmp:
        root = Path(tmp)
        for name in ("lists/partial", "cache/archives/partial", "debs", "made"):
            (root / name).mkdir(parents=True)
        (root / "status").touch()
        (root / "sources.list").write_text(f"deb [signed-by={KEYRING}] {MIRROR} {suite} main\n")
        options = {
            "Dir::State": tmp, "Dir::State::lists": f"{tmp}/lists", "Dir::State::status": f"{tmp}/status",
            "Dir::Cache": f"{tmp}/cache", "Dir::Etc::sourcelist": f"{tmp}/sources.list",
            "Dir::Etc::sourceparts": "/dev/null", "APT::Sandbox::User": "root", "Acquire::Languages": "none",
        }  # fmt: skip
        apt = ["apt-get", "-q", *(word for name, value in options.items() for word in ("-o", f"{name}={value}"))]
        _run([*apt, "update"], root)
        _run([*apt, "download", "etcd-server", "etcd-client"], root / "debs")
        for deb in sorted((root / "debs").glob("*.deb")):
            _run(["dpkg-deb", "-x", str(deb), str(root / "unpacked")], root)
        for name in ("etcd", "etcdctl"):
            path = root / "unpacked/usr/bin" / name
            if not path.is_file():
                raise NotThere(f"Debian's packages of {suite} have no /usr/bin/{name}")
            shutil.copy(path, root / "made" / name)
        shutil.rmtree(folder, ignore_errors=True)
        os.rename(root / "made", folder)


def _run(words: list[str], folder: Path) -> None:
    try:
        subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=300, check=True)
    except subprocess.CalledProcessError as error:
        raise NotThere(
            f"`{' '.join(words[:2])} … {words[-1]}`: {(error.stderr or error.stdout).strip()[-300:]}"
        ) from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotThere(f"`{words[0]} … {words[-1]}`: {error}") from None

"""Disks of a size of their own, so that they can be full: an ext4 image, mounted where a host's disk lies.

Full is real: the file system has no block left, for whoever writes, and the kernel says so. The file that takes the
room lies beside what the host sees of its disk.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

from lab.errors import LabError
from lab.shell import run

_FILLER = "filler"
_BLOCK = 4096


def make(place: Path, mebibytes: int) -> None:
    """Mount a new disk of this size at `place`; its image lies beside it."""
    place.mkdir(parents=True, exist_ok=True)
    image = _image(place)
    with image.open("wb") as stream:
        stream.truncate(mebibytes << 20)
    # No room is kept for root: on a host, everything that writes here is root or etcd, and it is full for both.
    run(["mkfs.ext4", "-q", "-F", "-m", "0", "-E", "lazy_itable_init=1,nodiscard", str(image)])
    run(["mount", "-o", "loop,noatime", str(image), str(place)])


def remove_below(folder: Path) -> None:
    """Unmount every disk that lies below `folder`, also one that a killed process made; the images stay."""
    mounted = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
    places = [line.split()[1].encode().decode("unicode_escape") for line in mounted]
    for place in sorted((one for one in places if folder in Path(one).parents), reverse=True):
        run(["umount", place])


def fill(place: Path) -> None:
    """Take every block that is left on the disk mounted at `place`."""
    if not place.is_mount():
        raise LabError(f"{place} has no disk of its own: nothing is filled but what was made for it")
    with (place / _FILLER).open("ab") as stream:
        size = os.fstat(stream.fileno()).st_size
        chunk = 1 << 30
        while chunk >= _BLOCK:
            try:
                os.posix_fallocate(stream.fileno(), size, chunk)
                size += chunk
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                chunk //= 2
                os.truncate(stream.fileno(), size)  # what a failed try took
        os.fsync(stream.fileno())


def make_room(place: Path) -> None:
    """Give back what `fill` took."""
    (place / _FILLER).unlink(missing_ok=True)


def _image(place: Path) -> Path:
    return place.with_name(f"{place.name}.ext4")

"""A mount namespace of one's own, also in a bare chroot."""

from __future__ import annotations

# In a bare chroot `/` is not a mount point: nothing can be said about its propagation, and systemd-nspawn ends with an
# error. There the root is bound below /proc, which is always a mount point, and entered.
_ENTER = """\
mount --make-rslave / 2>/dev/null && exec "$@"
mount --make-private /proc && mount --rbind / /proc/fs && exec chroot /proc/fs sh -c 'mount --make-rslave / && exec "$@"' sh "$@"
exit 1
"""

OWN = ("unshare", "--mount", "--propagation", "unchanged")
"""Begins a command: a namespace from which nothing is seen outside once `ENTER` ran."""
ENTER = ("sh", "-c", _ENTER, "sh")
"""Goes between `OWN` and the command: it sees what is mounted later outside, and nothing of it is seen there."""

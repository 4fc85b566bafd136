"""Real hosts on one Linux machine, to rehearse on: booted Debian systems with etcd, that can be broken and put back."""

from __future__ import annotations

from lab.cluster import Lab
from lab.errors import LabError
from lab.spec import Host, Spec

__all__ = ["Host", "Lab", "LabError", "Spec"]

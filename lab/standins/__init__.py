"""Stand-ins for what OpenShift 3.11 has and Debian does not: each file is copied to the hosts of a lab and run there.

They accept what the real ones accept and are as strict; what they must honour is OpenShift's behaviour as read in its
source, told in the docstring of each. They know nothing of Requorum.
"""

from __future__ import annotations

from pathlib import Path

PLACE = "usr/local/lib/openshift-standins"
"""Where they lie on a host."""

MASTER_PROCESSES = ("etcd_gateway.py", "watch_cache.py", "master_api.py", "master_controllers.py")
"""What a master's API and controllers are made of."""


def text(name: str) -> str:
    """The text of one file."""
    return (Path(__file__).parent / name).read_text(encoding="utf-8")

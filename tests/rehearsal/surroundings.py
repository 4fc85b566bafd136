"""What only the tests of `test_hazards_surroundings.py` do to hosts, and to what an operator has about them."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

from hazards import put

from lab import Lab
from requorum.facts import mark


def with_hosts(lab: Lab, to: Path, lines: dict[str, str], **ssh: object) -> Path:
    """The lab's inventory with other lines for some hosts (what stands between the braces), and other ssh settings."""
    text = lab.inventory_path.read_text(encoding="utf-8")
    for short, line in lines.items():
        name = lab.host(short).name
        text = re.sub(rf"^    {re.escape(name)}: .*$", f"    {name}: {{{line}}}", text, flags=re.MULTILINE)
    for key, value in ssh.items():
        text = re.sub(rf"^  {key}: .*$", f"  {key}: {value}", text, flags=re.MULTILINE)
    to.write_text(text, encoding="utf-8")
    return to


def mark_text(lab: Lab, recovery: str, survivor: str) -> str:
    """The mark of somebody's recovery, as a run writes it."""
    at = "2026-11-05T03:00:00Z"
    return mark.Mark(recovery, lab.record.spec.name, lab.host(survivor).name, "ada@desk", at).text()


def fingerprint(lab: Lab, host: str) -> str:
    """The fingerprint of a host's key, as `ssh-keygen -lf` shows it."""
    blob = base64.b64decode((lab.secrets / host / "ssh_host_ed25519_key.pub").read_text(encoding="ascii").split()[1])
    return f"SHA256:{base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip('=')}"


def known_as(lab: Lab, to: Path, pairs: dict[str, str]) -> Path:
    """A known_hosts file in which hosts (and their addresses) are known by the keys of others: name → whose key."""
    lines = []
    for name, owner in pairs.items():
        key = (lab.secrets / owner / "ssh_host_ed25519_key.pub").read_text(encoding="ascii").split()[:2]
        lines.append(f"{lab.host(name).name} {' '.join(key)}\n")
    to.write_text("".join(lines), encoding="ascii")
    return to


def user_with(lab: Lab, sudoers: str, *, hosts: Sequence[str] = ("etcd-0", "etcd-1", "etcd-2")) -> None:
    """A user `ops` who may log in with the lab's key, and has these lines in sudoers."""
    script = """
id ops > /dev/null || useradd --create-home --shell /bin/bash ops
mkdir -p /home/ops/.ssh && cp /root/.ssh/authorized_keys /home/ops/.ssh/ && chown -R ops: /home/ops && chmod 700 /home/ops/.ssh
rm -f /etc/sudoers.d/*
"""
    for host in hosts:
        lab.run(host, script)
        put(lab, host, "/etc/sudoers.d/ops", sudoers, mode="0440")

"""Reads what the operator keeps on the machine that runs this: the Ansible inventory, and what was noted about it."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import replace
from pathlib import Path

from requorum.facts import ansible_kept
from requorum.facts.ansible_file import AnsibleFile, hidden
from requorum.facts.ansible_groups import Malformed, NotEditable
from requorum.facts.ansible_inventory import VAULT, Inventory
from requorum.facts.ansible_kept import Kept

LARGEST = 4 << 20


def read(path: Path, runs: Path) -> AnsibleFile:
    """The inventory at `path`, and what the runs of this cluster (in the folder `runs`) noted about it. Never raises."""
    try:
        kept, original = _kept(path, runs)
    except ValueError as error:
        advice = "look at the file that is named; when it is not needed any more, move it away"
        return AnsibleFile(path, wrong=str(error), advice=advice)
    return replace(_looked_at(path), kept=kept, original=original)


def _looked_at(path: Path) -> AnsibleFile:
    again = "mend it, or remove the field `ansible_inventory`; then run the same command again"
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode) or found.st_size > LARGEST:
            return AnsibleFile(path, wrong="it is no regular file, or too large", advice=again)
        data = path.read_bytes()
    except OSError as error:
        return AnsibleFile(path, wrong=f"it cannot be read: {error.strerror or error}", advice=again)
    text = data.decode("utf-8", "surrogateescape")
    if text.startswith(VAULT):
        return AnsibleFile(path, aside="it is encrypted (ansible-vault)")
    if found.st_mode & 0o111 or data.startswith(b"#!"):
        return AnsibleFile(path, aside="it is executable: Ansible runs it, and it makes the inventory")
    try:
        Inventory(path, text)
    except Malformed as error:
        return AnsibleFile(path, wrong=hidden(f"{path}:{error.line}: {error}"), advice=again)
    except NotEditable as error:
        return AnsibleFile(path, aside=str(error))
    mode, owner = f"{stat.S_IMODE(found.st_mode):o}", f"{found.st_uid}:{found.st_gid}"
    wrong = _unwritable(path, found)
    advice = "run as a user who may write it, or remove the field `ansible_inventory` and edit it by hand afterwards"
    return AnsibleFile(path, text, mode, owner, wrong, advice if wrong else "")


def _kept(path: Path, runs: Path) -> tuple[Kept | None, str]:
    try:
        kept = ansible_kept.parse((runs / ansible_kept.NAME).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None, ""
    except ValueError as error:
        raise ValueError(f"{runs / ansible_kept.NAME}: {error}") from None
    if kept.path != str(path):
        return None, ""
    copy = runs / kept.copy
    try:
        data = copy.read_bytes()
    except OSError as error:
        raise ValueError(f"its original cannot be read: {copy}: {error.strerror or error}") from None
    if hashlib.sha256(data).hexdigest() != kept.sha256:
        raise ValueError(f"its original is not what was kept: {copy} has another SHA-256 than {kept.sha256}")
    return kept, data.decode("utf-8", "surrogateescape")


def _unwritable(path: Path, found: os.stat_result) -> str:
    """Why it could not be replaced by a file like it; empty where it can be."""
    folder = path.resolve().parent
    if not os.access(folder, os.W_OK | os.X_OK):
        return f"no file can be written in {folder}"
    groups = {os.getegid(), *os.getgroups()}
    if os.geteuid() != 0 and (found.st_uid != os.geteuid() or found.st_gid not in groups):
        return (
            f"it belongs to {found.st_uid}:{found.st_gid}, and this runs as {os.geteuid()}: its owner could not be kept"
        )
    return ""

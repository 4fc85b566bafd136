"""Operations on the operator's Ansible inventory, on the machine that runs this: its original is kept, its group edited."""

from __future__ import annotations

from pathlib import Path

from requorum.changes import Change, CopyHere, EditHere, RemoveFile, WriteFile
from requorum.facts.ansible_file import AnsibleFile
from requorum.facts.ansible_kept import Kept


def keep(machine: str, file: AnsibleFile, copy: Path) -> list[Change]:
    """Keep the inventory as this run found it, with owner and mode."""
    return [CopyHere(machine, str(file.path), str(copy), file.sha256)]


def take_out(machine: str, file: AnsibleFile, text: str, note: Path, kept: Kept) -> list[Change]:
    """First the note of who is taken out, then the edit: a run that is cut off in between is carried on."""
    if text == file.text:
        return []
    noted = WriteFile(machine, str(note), kept.text(), mode="0600")
    return [noted, EditHere(machine, str(file.path), text, before=file.text)]


def put_back(machine: str, file: AnsibleFile, text: str, note: Path, kept: Kept) -> list[Change]:
    """First the edit, then the note, which goes when nobody is out any more."""
    edit: list[Change] = [] if text == file.text else [EditHere(machine, str(file.path), text, before=file.text)]
    if file.kept is None:
        return edit
    noted = WriteFile(machine, str(note), kept.text(), mode="0600") if kept.out else RemoveFile(machine, str(note))
    return [*edit, noted]

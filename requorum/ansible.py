"""What a step may ask of the operator's Ansible inventory, and the changes that it may make there."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

from requorum import enlisted, operations
from requorum.bastion import read
from requorum.changes import Change
from requorum.facts import ansible_kept
from requorum.facts.ansible_file import BY_HAND, AnsibleFile
from requorum.facts.ansible_groups import NotEditable
from requorum.facts.ansible_inventory import GROUP
from requorum.live import Cluster
from requorum.roles import BASTION
from requorum.run import Run
from requorum.survey import Unexpected

NEW_CA = (
    "the first host of the group is taken for the one with the CA (/etc/etcd/ca): a scale-up by openshift-ansible would "
    "silently make a new CA, which no member trusts. Put {first} back before it, or copy /etc/etcd/ca there"
)


class AnsibleGroup:
    """The group [etcd] of the Ansible inventory that our inventory names."""

    def __init__(self, run: Run) -> None:
        if run.ansible is None:
            raise ValueError(f"{run.inventory.path} names no Ansible inventory")
        self._run, self.surveyed = run, run.ansible
        self._note = run.folder.parent / ansible_kept.NAME
        self.copy = run.backup_folder / "ansible-inventory"

    def __repr__(self) -> str:
        return str(self.surveyed.path)

    @property
    def aside(self) -> str:
        """Why it is left to the operator; empty where it is edited."""
        return enlisted.left_aside(self.surveyed)

    @property
    def now(self) -> AnsibleFile:
        """As it lies here now; in a plan, as the changes so far leave it. Raises Unexpected where it cannot be edited."""
        model = self._run.model
        if model is not None:
            return self._planned(model.written)
        found = read(self.surveyed.path, self._note.parent)
        if not found.editable:
            raise self._unexpected(found.wrong or found.aside, found.advice or BY_HAND)
        return found

    def _planned(self, written: dict[str, str | None]) -> AnsibleFile:
        file = self.surveyed
        text, note = written.get(str(file.path)), written.get(str(self._note))
        if note is not None:
            kept = ansible_kept.parse(note)
            own = file.kept is None or file.kept.sha256 != kept.sha256
            file = replace(file, kept=kept, original=file.text if own else file.original)
        return file if text is None else replace(file, text=text)

    def _unexpected(self, found: str, advice: str) -> Unexpected:
        return Unexpected(BASTION, expected=f"an editable group [{GROUP}] in {self}", found=found, advice=advice)

    # Stage 1

    @property
    def leaving(self) -> tuple[str, ...]:
        """The hosts whose members are taken out, or are out already."""
        run = self._run
        stay = enlisted.staying(run.inventory, run.survey, run.proven)
        return tuple(name for name in run.inventory.host_names if name not in stay)

    def problems(self) -> list[str]:
        """What keeps the group from following the member list."""
        return enlisted.wrong_with(self._run.inventory, self.surveyed, self.leaving)

    @property
    def advice(self) -> str:
        """What to do about the problems."""
        return self.surveyed.advice or (
            f"in {self} give the host its name of etcd.hosts, or say beside it which address it has (ansible_host=, etcd_ip=); "
            "or remove the field `ansible_inventory`, and edit the group by hand afterwards"
        )

    def notes(self) -> list[str]:
        """What the operator should know before it is edited, or instead."""
        if self.aside:
            named = ", ".join(self.leaving)
            what = (
                f"take {named} out of [{GROUP}] by hand until they are members again"
                if named
                else "nothing to take out"
            )
            gone = f"; {self._original(self.surveyed)} is its original" if self.surveyed.kept else ""
            return [f"{self} is not edited: {self.aside}; {what}{gone}"]
        run = self._run
        lines = enlisted.told(run.inventory, self.surveyed, self.leaving, run.proven.joiners)
        gone, first = enlisted.first_after(run.inventory, self.surveyed, self.leaving, self._holders)
        if gone:
            held = first in self._holders
            has = "holds the CA's key, too" if held else "holds no CA key, as far as is known"
            lines.append(
                f"{gone}, the first host of [{GROUP}], leaves it until it is a member again; {first}, then the first, {has}"
                + ("" if held else f": {NEW_CA.format(first=gone)}")
            )
        return lines

    # Stages 2, 3 and 6

    def keep(self) -> list[Change]:
        """Keep it as this run found it."""
        return [] if self.aside else operations.ansible.keep(BASTION, self.surveyed, self.copy)

    def kept(self) -> bool:
        """The copy holds every byte of what was found."""
        return hashlib.sha256(self.copy.read_bytes()).hexdigest() == self.surveyed.sha256

    def changed_since(self) -> bool:
        """Somebody has edited it since this run looked."""
        return not self.aside and self.now.text != self.surveyed.text

    def take_out(self) -> list[Change]:
        """Take the hosts whose members are taken out, out of the group."""
        if self.aside:
            return []
        file = self.now
        text, first = self._edited(file, {*self.leaving, *enlisted.absent(self._run.inventory, file)})
        copy = str(self.copy.relative_to(self._note.parent))
        out = enlisted.outside(self._run.inventory, file, text)
        kept = enlisted.note_of(file, self._run.recovery, copy, out, first)
        return operations.ansible.take_out(BASTION, file, text, self._note, kept)

    def put_back(self, cluster: Cluster) -> list[Change]:
        """Put the hosts of all members back into the group; the note goes when nobody is out any more."""
        file, run = self.surveyed if self.aside else self.now, self._run
        if self.aside or file.kept is None:
            return []
        text, first = self._edited(file, set(run.inventory.host_names) - self._members(cluster))
        kept = replace(file.kept, out=enlisted.outside(run.inventory, file, text), first=first)
        return operations.ansible.put_back(BASTION, file, text, self._note, kept)

    def still_out(self, cluster: Cluster) -> list[str]:
        """The hosts of members that a recovery took out, and that are not back."""
        if self.aside:
            return []
        members = self._members(cluster)
        return [host for host in enlisted.taken_out(self._run.inventory, self.now) if host in members]

    def still_in(self) -> list[str]:
        """The hosts that were to be taken out, and are in the group."""
        if self.aside:
            return []
        return [h for h in self.leaving if h not in enlisted.absent(self._run.inventory, self.now)]

    def _members(self, cluster: Cluster) -> set[str]:
        listed = cluster.survivor.now("members").members
        return enlisted.at_home(self._run.inventory, self._run.survey, listed)

    @property
    def _holders(self) -> set[str]:
        """The hosts that hold the CA's key, as far as is known."""
        return {name for name, facts in self._run.reached.items() if facts.ca.has_key}

    def _edited(self, file: AnsibleFile, out: set[str]) -> tuple[str, str]:
        """The text in which these hosts are out of the group, and who was put first in it."""
        try:
            first = enlisted.to_be_first(self._run.inventory, file, out, self._holders)
            return enlisted.edited(self._run.inventory, file, out, first), first
        except NotEditable as error:
            raise self._unexpected(str(error), f"{BY_HAND}; the original: {self._original(file)}") from None

    def _original(self, file: AnsibleFile) -> Path:
        return self._note.parent / file.kept.copy if file.kept else self.copy

    # Stage 9

    @property
    def to_undo(self) -> bool:
        """The recovery that is to be undone took hosts out of the group, here."""
        kept = self.surveyed.kept
        return kept is not None and kept.recovery == self._run.undoing.recovery

    def cannot_undo(self) -> list[str]:
        """Why the group cannot be put back as it was found; empty where it can, or need not be."""
        if not self._note.exists() or self.surveyed.editable:
            return []
        unread = self.surveyed.kept is None
        return [f"{self}: {self.surveyed.wrong or self.surveyed.aside}"] if unread or self.to_undo else []

    def undo(self) -> list[Change]:
        """Put the group back as the recovery found it."""
        if not self.to_undo or not self.surveyed.kept:
            return []
        file, kept = self.now, self.surveyed.kept
        try:
            text = enlisted.restored(file)
        except NotEditable as error:
            raise self._unexpected(str(error), f"{BY_HAND}; the original: {self._original(file)}") from None
        before = replace(kept, out=kept.before, before=(), first=kept.first_before, first_before="")
        return operations.ansible.put_back(BASTION, file, text, self._note, before)

    # Afterwards, and in checks

    def first_without_ca(self, cluster: Cluster) -> str:
        """The first host of the group, where it lacks the CA's key and another member has it; empty elsewhere."""
        first = "" if self.aside else enlisted.first(self._run.inventory, self.now)
        if first not in self._run.reached or cluster.member(first).holds_ca():
            return ""
        holders = [n for n in self._run.reached if n != first and cluster.member(n).holds_ca()]
        if not holders:
            return ""
        return (
            f"{first}, the first host of [{GROUP}], has no key of the CA, and {', '.join(holders)} has: a scale-up by "
            f"openshift-ansible would silently make a new CA. Put {holders[0]} first, or copy /etc/etcd/ca from there"
        )

    def disagreements(self) -> list[str]:
        """Where the group and the member list do not name the same hosts."""
        run = self._run
        return enlisted.disagreements(
            run.inventory, self.surveyed, enlisted.staying(run.inventory, run.survey, run.proven)
        )

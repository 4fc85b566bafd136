"""The only writer. Each change: its intent on disk, then the change, then its outcome on disk."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from requorum.changes import Change, ChangeFailed, ClientChange, RemoveFile, Shell, WriteFile
from requorum.facts.beside import BesideFacts
from requorum.facts.host import HostFacts
from requorum.journal import Journal, JournalError
from requorum.records import ChangeEnded, ChangeIntended, ChangeResult
from requorum.remote import ConnectionLost, RemoteError


class Orphaned(Exception):
    """The run's own controller is gone: nothing more is changed."""


class ChangeStopped(Exception):
    """A change did not come to its end: it may or may not have been made, whole or in part."""

    def __init__(self, change: Change, found: str) -> None:
        super().__init__(found)
        self.change, self.found = change, found


@dataclass
class Model:
    """What the hosts would hold: in a plan, the place where changes are made.

    `written`: the files of the machine that runs this; None for one that is removed. `beside`: the hosts that run no etcd.
    """

    facts: dict[str, HostFacts]
    written: dict[str, str | None] = field(default_factory=dict)
    beside: dict[str, BesideFacts] = field(default_factory=dict)


class Hand:
    """Makes changes for one step, or, in a plan, only believes them."""

    def __init__(
        self,
        shells: Mapping[str, Shell],
        journal: Journal,
        step: str,
        *,
        model: Model | None,
        alive: Callable[[], bool],
    ) -> None:
        self._shells, self._journal, self._step, self._model, self._alive = shells, journal, step, model, alive
        self.began, self._closed = False, False

    def close(self) -> None:
        """The action is over: nothing more can be made."""
        self._closed = True

    def make(self, changes: Iterable[Change]) -> None:
        """Make each change, in this order; the next only when the one before holds.

        Raises ChangeStopped where one does not hold or its outcome is unknown, Orphaned where the run has lost its
        controller, JournalError where the intent cannot be written (then nothing was done).
        """
        for change in changes:
            if self._closed:
                raise RuntimeError(f"a change outside of the step's action: {change.shown()}")
            if self._model is not None:
                self._believe(change, self._model)
            else:
                self._make(change)

    def attempt(self, changes: Iterable[Change]) -> str:
        """Make the changes as far as they can be made, and go on; why one does not hold, empty where all do.

        For what is wanted, and must not stop what is needed: a host may be out of reach. Raises Orphaned, JournalError.
        """
        try:
            self.make(changes)
        except ChangeStopped as stopped:
            return stopped.found
        return ""

    def _shown(self, change: Change) -> str:
        """The change for a reader of the run's folder: what lies in that folder is named from there."""
        return change.shown().replace(f"{self._journal.path.parent}/", "")

    def _ended(self, change: Change, result: ChangeResult, detail: str = "") -> None:
        shown = self._shown(change)
        self._journal.add(ChangeEnded(self._step, change.host, change.identity, shown, result, detail))

    def _believe(self, change: Change, model: Model) -> None:
        if change.host in model.facts:
            model.facts[change.host] = change.after(model.facts[change.host])
        elif change.host in model.beside:
            if not isinstance(change, ClientChange):
                raise RuntimeError(f"a change of etcd's on {change.host}, which runs none: {change.shown()}")
            model.beside[change.host] = change.after(model.beside[change.host])
        elif isinstance(change, WriteFile):
            model.written[change.path] = change.content
        elif isinstance(change, RemoveFile):
            model.written[change.path] = None
        self._ended(change, "planned")

    def _make(self, change: Change) -> None:
        if not self._alive():
            raise Orphaned(f"process {os.getpid()} has lost its controller; nothing more is changed")
        self._journal.add(ChangeIntended(self._step, change.host, change.identity, self._shown(change), change.seconds))
        self.began = True
        try:
            done = change.do(self._shells[change.host])
        except ConnectionLost as error:
            self._ended(change, "unknown", str(error))
            raise ChangeStopped(change, str(error)) from error
        except (ChangeFailed, RemoteError) as error:
            self._ended(change, "failed", str(error))
            raise ChangeStopped(change, str(error)) from error
        try:
            self._ended(change, "done" if done else "held")
        except JournalError as error:
            found = f"it was made, and that cannot be written down: {error}"
            raise ChangeStopped(change, found) from error

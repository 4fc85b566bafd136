"""Waiting for a condition, with a deadline, and never for time to pass."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Generic, TypeVar

from requorum.records import WaitBegan
from requorum.remote import RemoteError
from requorum.stages.step import now

Found = TypeVar("Found")

INTERVAL = 0.1
"""Seconds between two looks."""


class eventually(Generic[Found]):  # noqa: N801 (a word of the runbook's language)
    """A value that is read again until it equals what it is compared with, at most `within` seconds.

    ``assert eventually(etcd.member_names, within=60) == ["etcd-0"]``. A host that cannot be asked for a moment is asked
    again; the last answer is what a failure shows.
    """

    def __init__(self, read: Callable[[], Found], *, within: float) -> None:
        self._read, self._within = read, within
        self._last: Found | RemoteError | None = None

    @property
    def last(self) -> Found | RemoteError | None:
        """What was read last, or why it could not be read; None before it was compared."""
        return self._last

    def __eq__(self, wanted: object) -> bool:
        if not now().run.changes:
            self._within = 0
        end = time.monotonic() + self._within
        told = False
        while True:
            try:
                self._last = self._read()
            except RemoteError as error:
                self._last = error
            if self._last == wanted:
                return True
            if time.monotonic() > end:
                return False
            if not told:
                at = now()
                at.run.journal.add(WaitBegan(at.id, at.host, at.text, self._within))
                told = True
            time.sleep(INTERVAL)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        said = self._last.found if isinstance(self._last, RemoteError) else repr(self._last)
        return f"{said} (waited {self._within:.0f} s)"

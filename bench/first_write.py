"""When writes were possible again: a client that tries a put on one member again and again."""

from __future__ import annotations

import threading
import time

from lab import Lab
from lab.errors import LabError
from lab.spec import Host

EVERY = 0.05
"""Seconds between two tries. One that hangs is given up after PATIENCE, and is answered by etcd's first leader."""
PATIENCE = 0.5


class FirstWrite:
    """Polls from `with` on; `seconds` is the time to the first acknowledged put."""

    def __init__(self, lab: Lab, host: Host) -> None:
        self._client = lab.client(host, PATIENCE)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._poll, name="first write", daemon=True)
        self._began = 0.0
        self._seconds: float | None = None

    def __enter__(self) -> FirstWrite:
        self._began = time.monotonic()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._client.close()

    @property
    def seconds(self) -> float:
        """From the beginning to the first acknowledged put. LabError: there was none."""
        if self._seconds is None:
            raise LabError(f"no put on {self._client.address} was acknowledged while the recovery ran")
        return self._seconds

    def _poll(self) -> None:
        while not self._ended.is_set():
            try:
                self._client.put(b"/bench/first-write", b"1")
            except LabError:
                self._ended.wait(EVERY)
                continue
            self._seconds = time.monotonic() - self._began
            return

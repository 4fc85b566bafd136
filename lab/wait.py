"""Wait for a condition, with a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable

from lab.errors import LabError


def until(condition: Callable[[], bool], what: str, within: float, every: float = 0.05) -> None:
    """Poll `condition` until it holds.

    Args:
        condition: asked again and again.
        what: what is waited for, for the message.
        within: seconds.
        every: seconds between two questions.

    Raises:
        LabError: it did not hold in time.
    """
    deadline = time.monotonic() + within
    while not condition():
        if time.monotonic() > deadline:
            raise LabError(f"waited {within:g} s in vain: {what}")
        time.sleep(every)

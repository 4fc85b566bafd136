"""Pytest's capture, out of the way while a person is asked, or another pytest prints."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest


@contextmanager
def uncaptured(config: pytest.Config) -> Iterator[None]:
    """What is typed meanwhile comes from the operator's terminal; what is printed goes there anyway, before a test runs.

    Afterwards input is captured again and output is not, as pytest has it at the start of a session: else it would hold
    back what it prints itself.
    """
    capture = config.pluginmanager.getplugin("capturemanager")
    capture.suspend_global_capture(in_=True)
    try:
        yield
    finally:
        capture.resume_global_capture()
        capture.suspend_global_capture()

"""The run that pytest is on, if it is on one."""

from __future__ import annotations

import pytest

from requorum.run import Run

RUN = pytest.StashKey[Run]()


def run_of(config: pytest.Config) -> Run:
    """The run. Raises UsageError where Requorum is not active."""
    run = config.stash.get(RUN, None)
    if run is None:
        raise pytest.UsageError("steps run with `pytest runbook/` or `pytest checks/`, and with an inventory")
    return run

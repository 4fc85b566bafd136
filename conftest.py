"""The `host` fixture. It is written here because anywhere else testinfra's own wins, and yields this machine."""

from __future__ import annotations

import pytest
import testinfra.host

from requorum.remote import testinfra_host
from requorum.stages.active import run_of

pytest_plugins = ("requorum.stages.plugin",)


@pytest.fixture
def host(request: pytest.FixtureRequest, target: str) -> testinfra.host.Host:
    """The host that a step is for, through Requorum's own connection."""
    return testinfra_host(run_of(request.config).remotes[target])

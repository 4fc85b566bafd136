"""Real etcd of several versions on loopback. Needs root: each scratch etcd gets a network namespace of its own."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path[:0] = [
    str(Path(__file__).parent),
    str(Path(__file__).parents[1] / "unit"),
    str(Path(__file__).parents[1] / "unit/facts"),
]

from etcd_versions import SUITES, NotThere, get  # noqa: E402
from tail_cluster import Etcd  # noqa: E402
from tail_results import Results  # noqa: E402

SEED = os.environ.get("REQUORUM_SEED", "1")
_missing = pytest.StashKey[list[str]]()


@pytest.fixture(scope="session")
def etcds(pytestconfig: pytest.Config) -> list[Etcd]:
    """One etcd of each Debian release that can be had; what cannot is told at the end."""
    if os.geteuid() != 0:
        pytest.skip("needs root: a scratch etcd gets a network namespace of its own, and the owner of the data")
    found, missing = [], []
    for suite in SUITES:
        try:
            found.append(get(suite))
        except NotThere as error:
            missing.append(f"NOT TESTED: etcd of Debian {suite}: {error}")
    pytestconfig.stash[_missing] = missing
    if not found:
        pytest.skip("; ".join(missing))
    return found


@pytest.fixture(scope="session")
def seed() -> str:
    """What is drawn by chance is drawn from this."""
    return SEED


@pytest.fixture(scope="session")
def results(seed: str) -> Iterator[Results]:
    """The tables of a whole run, written where REQUORUM_TAIL_RESULTS says."""
    found = Results(seed)
    yield found
    out = os.environ.get("REQUORUM_TAIL_RESULTS")
    if out and found.tables:
        Path(out).write_text(found.page(), encoding="utf-8")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for line in config.stash.get(_missing, []):
        terminalreporter.write_line(line, yellow=True)

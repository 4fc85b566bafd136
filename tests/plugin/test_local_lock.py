"""The lock on the operator's machine: taken by what may change hosts, never by what only looks."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import CHECKS, RUNBOOK, run

from requorum.locking import Lock

LOOKING = [(CHECKS,), (CHECKS, "-n2"), (RUNBOOK, "--plan"), (RUNBOOK, "--preconditions"), (RUNBOOK, "--collect-only")]
CHANGING = [(RUNBOOK,), (RUNBOOK, "--abort")]


@pytest.fixture
def words(tmp_path: Path) -> tuple[str, ...]:
    """The inventory of a host where no sshd listens, and where the reports go."""
    file = tmp_path / "prod.yaml"
    file.write_text("cluster: prod\nssh: {port: 1}\netcd: {hosts: {a.example.com: {address: 127.0.0.1}}}\n")
    return f"--inventory={file}", f"--reports={tmp_path / 'reports'}"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "reports/prod/.lock"


@pytest.mark.parametrize("args", LOOKING, ids=lambda args: " ".join(args).rpartition("/")[2])
def test_what_only_looks_makes_no_lock(args: tuple[str, ...], words: tuple[str, ...], path: Path) -> None:
    answer = run(*args, *words)
    assert "Traceback" not in answer.output, answer.output
    assert not path.exists()
    assert path.parent.exists() == ("--collect-only" not in args), answer.output


@pytest.mark.parametrize("args", CHANGING, ids=lambda args: " ".join(args).rpartition("/")[2])
def test_what_may_change_hosts_has_it(args: tuple[str, ...], words: tuple[str, ...], path: Path) -> None:
    run(*args, *words)
    assert "@" in path.read_text()


@pytest.mark.parametrize("args", [*LOOKING, *CHANGING], ids=lambda args: " ".join(args).rpartition("/")[2])
def test_beside_a_held_lock_whoever_looks_is_let_in(args: tuple[str, ...], words: tuple[str, ...], path: Path) -> None:
    """It says the same as without one, and leaves the lock as it is."""
    alone = run(*args, *words)
    with Lock(path).take("run r1 by ada@desk", seconds=1):
        held = path.read_text()
        answer = run(*args, *words)
        assert path.read_text() == held
    refused = "another run is under way: run r1 by ada@desk" in answer.output
    assert refused == (args in CHANGING), answer.output
    assert refused or answer.exit == alone.exit, answer.output

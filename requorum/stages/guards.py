"""What must be true of the collected steps before the first of them begins: ours, whole, and nobody else's `host`."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest


def require_own_host(items: Iterable[pytest.Function], conftest: Path) -> None:
    """Raise UsageError where a step's `host` is not the fixture that `conftest` defines."""
    for item in items:
        # Also where no step asks for it: testinfra's own fixtures and modules would.
        for definition in (item.session._fixturemanager.getfixturedefs("host", item) or ())[-1:]:
            if Path(definition.func.__code__.co_filename).resolve() != conftest:
                raise pytest.UsageError(
                    f"the `host` fixture of {item.nodeid} is not Requorum's (it comes from "
                    f"{definition.func.__code__.co_filename}): it would act on this machine. Remove whatever defines "
                    "it; nothing was done"
                )


def require_whole(folder: Path, collected: Sequence[pytest.Function], left: Sequence[pytest.Item]) -> None:
    """Raise UsageError where a step is missing: `collected` at first, `left` after every plugin had its say.

    Options, settings (``-o python_functions=…``) and other plugins can all leave steps out; a recovery runs whole.
    """
    names = {(item.path.name, item.originalname) for item in collected}
    missing = [f"{file}::{name}" for file, name in _written(folder) if (file, name) not in names]
    kept = {item.nodeid for item in left}
    missing += [item.nodeid for item in collected if item.nodeid not in kept]
    if missing:
        raise pytest.UsageError(
            f"a recovery runs whole and in order, and {len(missing)} steps would be left out, first {missing[0]}: "
            "remove the option, the setting or the plugin that leaves them out; nothing was done"
        )


def _written(folder: Path) -> list[tuple[str, str]]:
    """File and name of every step as the files of the runbook have it."""
    found: list[tuple[str, str]] = []
    for path in sorted(folder.glob("test_*.py")):
        for node in ast.parse(path.read_bytes()).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                found.append((path.name, node.name))
    return found

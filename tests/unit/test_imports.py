"""Imports go one way, and what is pure stays pure (DESIGN.md, layout)."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]

LAYERS: tuple[frozenset[str], ...] = tuple(
    frozenset(layer.split())
    for layer in (
        "__init__ records display",
        "journal inventory locking hostlock",
        "facts remote audit",
        "runtimes",
        "causes",
        "fitness silence kept_down fetched naming",
        "obstacles lineage certifying owed",
        "twins ranking other_clusters forced_starts",
        "bastion survey diagnosis changes wellness undoing told",
        "operations hand enlisted beside roles",
        "run",
        "live clients",
        "returning way_back ansible masters v2_store authority forced_data",
        "former flannel",
        "stages",
        "runbook checks conftest",
    )
)
"""From the ground up: a part imports itself and what lies in lower layers, nothing beside it and nothing above.

The parts of requorum go by their own names here.
"""

PURE = (
    "facts", "ranking", "fitness", "silence", "causes", "other_clusters", "twins", "obstacles", "lineage", "wellness",
    "diagnosis", "operations", "runtimes", "undoing", "enlisted", "naming", "certifying", "beside", "told", "display",
    "kept_down", "forced_starts", "owed", "roles",
)  # fmt: skip
"""No I/O in these: facts come in, values go out."""

DOES_IO = {
    "asyncio", "fcntl", "ftplib", "glob", "http", "io", "multiprocessing", "os", "paramiko", "pty", "select", "selectors",
    "shutil", "signal", "socket", "ssl", "subprocess", "tarfile", "tempfile", "testinfra", "threading", "time", "zipfile",
}  # fmt: skip

FILES = sorted(
    path.relative_to(PROJECT)
    for path in (
        *(PROJECT / "requorum").rglob("*.py"),
        *(PROJECT / "runbook").rglob("*.py"),
        *(PROJECT / "checks").rglob("*.py"),
        PROJECT / "conftest.py",
    )
)


def part_of(path: Path) -> str:
    """The part of the project that a file belongs to."""
    return (path.parts[1] if path.parts[0] == "requorum" else path.parts[0]).removesuffix(".py")


def tree(path: Path) -> ast.Module:
    return ast.parse((PROJECT / path).read_text(encoding="utf-8"), str(path))


def imported(path: Path) -> Iterator[str]:
    """Every module that a file imports, wherever in it, as dotted names."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}, line {node.lineno}: a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def layer_of(part: str) -> int:
    found = [level for level, parts in enumerate(LAYERS) if part in parts]
    assert found, f"{part} has no layer yet: say in {Path(__file__).name} where it belongs"
    return found[0]


@pytest.mark.parametrize("path", FILES, ids=str)
def test_imports_go_one_way(path: Path) -> None:
    own = part_of(path)
    for name in imported(path):
        top, _, rest = name.partition(".")
        assert top != "lab", f"{path} imports {name}: the lab is a place to rehearse, and no part of Requorum"
        assert top not in ("tests", "runbook", "checks"), f"{path} imports {name}"
        if top == "requorum":
            part = rest.partition(".")[0]
            part = "__init__" if part == "__version__" else part
            assert part == own or layer_of(part) < layer_of(own), f"{path} imports {name}: that goes up, or sideways"


@pytest.mark.parametrize("path", [p for p in FILES if part_of(p) in PURE], ids=str)
def test_what_is_pure_does_no_io(path: Path) -> None:
    assert {name.partition(".")[0] for name in imported(path)} & DOES_IO == set()
    calls = {
        node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call)
    }
    assert calls & {"open", "print", "input", "read_text", "read_bytes", "write_text", "write_bytes"} == set()


@pytest.mark.parametrize("path", [p for p in FILES if p.parts[0] == "requorum"], ids=str)
def test_the_library_raises_errors_and_never_asserts(path: Path) -> None:
    """`python -O` would take its assertions away."""
    assert [node.lineno for node in ast.walk(tree(path)) if isinstance(node, ast.Assert)] == []


def test_only_the_hand_makes_changes() -> None:
    """Whoever calls `do` with a shell writes: that is the hand, and a change itself."""
    calling = {
        part_of(path)
        for path in FILES
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "do"
    }
    assert calling == {"hand"}


def test_every_part_has_one_layer() -> None:
    parts = [part for layer in LAYERS for part in layer]
    assert sorted(parts) == sorted(set(parts))
    assert set(parts) == {part_of(path) for path in FILES}

"""Names of files under tests/: no folder there is a package, so pytest knows a file by its base name alone."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

TESTS = Path(__file__).parents[1]


def test_no_two_files_share_a_base_name() -> None:
    """Else `pytest tests/` ends with "import file mismatch", and one helper would be imported for the other."""
    named: dict[str, list[str]] = defaultdict(list)
    for path in sorted(TESTS.rglob("*.py")):
        if path.name != "conftest.py":  # pytest keeps these apart by itself
            named[path.name].append(str(path.relative_to(TESTS)))
    assert [paths for paths in named.values() if len(paths) > 1] == []

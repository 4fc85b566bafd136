"""The small project with the real plugin, for every test here that wants it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import small_project
from small_project import Project


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    (tmp_path / "project").mkdir()
    made = small_project.make(tmp_path / "project", tmp_path / "reports")
    yield made
    made.end()

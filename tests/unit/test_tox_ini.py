"""What tox.ini says to tox itself."""

from __future__ import annotations

from configparser import RawConfigParser
from pathlib import Path


def test_tox_leaves_no_venv_file_in_the_project() -> None:
    ini = RawConfigParser()
    ini.read(Path(__file__).parents[2] / "tox.ini", encoding="utf-8")
    assert ini.getboolean("tox", "venv_redirect") is False
    assert ini.get("tox", "requires") == "tox>=4"  # Debian's tox 3 fetches it

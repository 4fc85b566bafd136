"""A file is fetched whole, or is not there."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from test_run import CUT

from requorum.remote import CommandEnded, ConnectionLost, Remote, RemoteError


def test_digest_mode_and_content(remote: Remote, tmp_path: Path, told: list[CommandEnded]) -> None:
    source, to = tmp_path / "source", tmp_path / "snapshot.db"
    source.write_bytes(bytes(range(256)) * 40_000 + b"\nrequorum")
    digest = remote.fetch(f"echo word >&2; cat {source}", to, seconds=60)
    assert to.read_bytes() == source.read_bytes()
    assert digest == hashlib.sha256(source.read_bytes()).hexdigest()
    assert to.stat().st_mode & 0o777 == 0o600
    assert digest in told[0].stdout
    assert "10240009 bytes" in told[0].stdout
    assert told[0].stderr == "word\n"


def test_script_that_fails_leaves_nothing(remote: Remote, tmp_path: Path) -> None:
    to = tmp_path / "to"
    to.write_text("old")
    with pytest.raises(RemoteError, match="no such snapshot"):
        remote.fetch("echo half; echo no such snapshot >&2; exit 3", to, seconds=10)
    assert to.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir() if "part" in path.name] == []


def test_dropped_connection_begins_again_from_the_first_byte(remote: Remote, tmp_path: Path) -> None:
    log, to = tmp_path / "log", tmp_path / "to"
    script = f"echo x >> {log}; echo half; if [ $(wc -l < {log}) = 1 ]; then {CUT} sleep 5; fi; echo whole"
    assert remote.fetch(script, to, seconds=20) == hashlib.sha256(b"half\nwhole\n").hexdigest()
    assert to.read_text() == "half\nwhole\n"
    with pytest.raises(ConnectionLost):
        remote.fetch(f"echo half; {CUT} sleep 5", tmp_path / "other", seconds=20)
    assert not (tmp_path / "other").exists()

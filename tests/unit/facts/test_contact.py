"""When a member lost its leader, from the journal of its etcd."""

from __future__ import annotations

import json
import subprocess
from datetime import datetime, timezone
from pathlib import Path

import pytest

from requorum.facts import contact

RECORDED = Path(__file__).parent / "recorded" / "hosts"
AT = datetime(2026, 11, 25, 9, 12, 3, tzinfo=timezone.utc).timestamp()


@pytest.mark.parametrize(
    ("line", "at"),
    [
        ("2026-11-25T09:12:03+0000 h etcd[26]: raft.node: 8e9e05c5 lost leader 91bc3c39 at term 2", AT),
        ('2026-11-25T10:12:03+0100 h etcd[26]: {"level":"info","msg":"raft.node: 8e9 lost leader 91b at term 2"}', AT),
        ("2026-11-25T09:12:03+0000 h etcd[26]: raft.node: 8e9e05c5 elected leader 91bc3c39 at term 2", None),
        ("2026-11-25T09:12:03+0000 h etcd[26]: raft.node: 8e9 changed leader from 91b to 8e9 at term 3", None),
        ("yesterday h etcd[26]: raft.node: 8e9e05c5 lost leader 91bc3c39 at term 2", None),
        ("No journal files were found.", None),
        ("", None),
    ],
)
def test_what_the_journal_says(line: str, at: float | None) -> None:
    assert contact.parse(line + "\n") == at


@pytest.mark.parametrize("version", ["3.3.25", "3.5.16"])
def test_what_the_journals_of_other_generations_say(version: str) -> None:
    """As real hosts printed it (record_hosts.py): 3.5 writes JSON."""
    said = json.loads((RECORDED / f"{version}.json").read_text(encoding="utf-8"))
    printed = str(said["contact"]["stdout"])
    assert ('{"level":' in printed) == (version == "3.5.16")
    alone = float(said["machine"]["stdout"].partition("clock=")[2].split()[0])
    found = contact.parse(printed)
    assert found is not None
    assert -1 < found - alone < 60


def test_the_newest_line_counts(tmp_path) -> None:  # type: ignore[no-untyped-def]
    journal = tmp_path / "journalctl"
    journal.write_text(
        "#!/bin/sh\n"
        "echo '2026-11-25T09:13:00+0000 h etcd[26]: 8e9 is starting a new election at term 5'\n"
        "echo '2026-11-25T09:12:03+0000 h etcd[26]: raft.node: 8e9 lost leader 91b at term 2'\n"
        "echo '2026-11-25T09:00:00+0000 h etcd[26]: raft.node: 8e9 elected leader 91b at term 2'\n"
    )
    journal.chmod(0o755)
    said = subprocess.run(
        ["bash", "-c", contact.COMMAND],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
    )
    assert contact.parse(said.stdout) == AT

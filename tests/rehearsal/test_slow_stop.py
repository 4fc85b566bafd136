"""The survivor led when its peers lost power: its etcd does not end by itself, and the run does not wait for it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest
from killed_runs import entries
from runbook_runs import Done, assert_told, assert_whole, declared_lost, run, written

from lab import Lab, wait
from lab.writer import Write
from requorum.records import ChangeEnded, ChangeIntended

SURVIVOR = "etcd-0"
LOST = ("etcd-1", "etcd-2")


def asking_the_dead(lab: Lab) -> list[Write]:
    """The survivor led at the loss, and waits for a dead peer's answer to GET /version, which it asks for every 4 s.

    It does so over a connection that it had before; a leader has four to each peer, another member three. No saved
    state can hold this: putting one back boots the host.
    """
    ours = "ss -Htno state established dport = :2380"
    writes = written(lab)
    lab.lead(SURVIVOR)
    wait.until(lambda: len(lab.run(SURVIVOR, ours).stdout.splitlines()) >= 8, "it asks both for their versions", 30)
    lab.break_hosts(LOST, "dead")
    wait.until(lambda: "timer:(on," in lab.run(SURVIVOR, ours).stdout, "it waits for an answer of the dead", 30)
    # The unit's own patience with a stop decides nothing, not even one without an end.
    folder = "/etc/systemd/system/etcd.service.d"
    text = "[Service]\\nTimeoutStopSec=infinity\\n"
    lab.run(SURVIVOR, f"mkdir -p {folder}; printf '{text}' > {folder}/slow.conf; systemctl daemon-reload")
    return writes


def seconds_to_stop(done: Done) -> float:
    """How long the stop of the survivor took."""
    began, ended = (
        datetime.fromisoformat(entry.at.removesuffix("Z"))
        for entry in entries(done)
        if isinstance(entry.record, (ChangeIntended, ChangeEnded)) and "test_stop_survivor[" in entry.record.step
    )
    return (ended - began).total_seconds()


@pytest.mark.parametrize("helped", [True, pytest.param(False, marks=pytest.mark.full)], ids=["cut", "killed"])
def test_the_survivor_led_and_waits_for_the_dead(lab3: Lab, tmp_path: Path, helped: bool) -> None:
    writes = asking_the_dead(lab3)
    if not helped:
        lab3.run(SURVIVOR, "chmod a-x $(command -v ss)")
    done = run(lab3, inventory=declared_lost(lab3, LOST, tmp_path / "inventory.yaml"))
    assert_told(done, exit=0, outcome="recovered", verdict="lost", says=["1 of 3 members"])
    said = lab3.run(SURVIVOR, "journalctl -u etcd --no-pager -o cat").stdout
    assert ("code=killed, status=9/KILL" in said) is not helped
    assert seconds_to_stop(done) < (15 if helped else 30)
    assert_whole(lab3, writes, [SURVIVOR])

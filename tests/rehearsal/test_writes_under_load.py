"""Clients write before, during and after the loss and the recovery: what the survivor's own log holds is all there."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from client_load import LEASED, Load
from power_loss import Pattern, lose, oracle, without_leader
from runbook_runs import SEED, assert_told, chance, declared_lost, left_behind, run

from lab import Lab, writer

TRIALS = 20
SAMPLE = (0, 3)
"""Which of the trials CI runs: one with three members, one with five."""


@pytest.mark.parametrize(
    ("members", "number"),
    [pytest.param(5 if n % 4 == 3 else 3, n, marks=() if n in SAMPLE else pytest.mark.full) for n in range(TRIALS)],
)
def test_acknowledged_writes_of_the_survivors_log_are_there(
    labs: Callable[..., Lab], tmp_path: Path, members: int, number: int
) -> None:
    lab = labs(members=members)
    drawn = chance("load", number)
    pattern = Pattern.drawn(lab, drawn)
    with Load(lab, 6, drawn) as load:
        load.wait_for(drawn.randrange(100, 300))
        remaining = lose(lab, pattern, load)
        gone_at = time.monotonic()
        without_leader(lab, remaining)
        held = {host.name: oracle(lab, host, tmp_path) for host in remaining}
        lost = pattern.lost if pattern.how == "dead" else ()
        done = run(lab, inventory=declared_lost(lab, lost, tmp_path / "inventory.yaml"), timeout=400)
        assert_told(done, exit=0, outcome="recovered", verdict="lost", says=["what only lost members held is unknown"])
        load.wait_for(30)
    survivor = str(done.summary["survivor"])
    its = held[survivor]
    wanted = [host for host in lab.hosts if host.short not in lost]
    lab.wait_healthy(wanted, within=30)
    found = writer.read_all(lab, survivor)

    acknowledged = [one for one in load.sent if one.revision is not None and not one.key.startswith(LEASED)]
    before = [one for one in acknowledged if one.began < gone_at]
    promised = [one for one in before if one.key in its.keys]
    after = [one for one in acknowledged if one.began >= gone_at]
    only_lost = len(before) - len(promised)
    print(
        f"\nseed {SEED}, trial {number}: {pattern.words}; {len(before)} acknowledged until the loss, of which "
        f"{only_lost} in no log of {survivor}; {its.tail} entries in its tail; {len(after)} acknowledged after it; "
        f"{done.seconds:.0f} s"
    )
    assert after, "the recovered cluster takes writes"
    for one in [*promised, *after]:
        there = found.get(one.key.encode())
        assert there is not None, f"{one} is lost"
        assert (there.value.decode(), there.mod_revision, there.version) == (one.value, one.revision, 1), one

    # No entry twice, nothing that was not foreseen: at the revision of the prediction every key is as predicted.
    client = lab.client(survivor)
    then = client.read_all(revision=its.prediction.revision)
    client.close()
    assert {k: (v.create_revision, v.mod_revision, v.version) for k, v in then.items()} == {
        k: (v.created, v.changed, v.version) for k, v in its.prediction.keys.items()
    }
    assert writer.differences(lab, wanted) == []
    if not lost:
        assert left_behind(lab) == []

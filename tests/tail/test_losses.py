"""Abrupt losses under load; the oracle is the survivor's own log: what it holds of the acknowledged writes stays."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tail_cluster import Etcd
from tail_results import Results
from tail_trials import Loss, lose

LOSSES = int(os.environ.get("REQUORUM_TAIL_LOSSES", "50"))


def run(etcds: list[Etcd], seed: str, count: int, folder: Path) -> list[Loss]:
    found = []
    for number in range(count):
        one = lose(etcds[number % len(etcds)], f"{seed}-{number}", folder / str(number), join=number % 5 == 0)
        print(one.words, flush=True)
        found.append(one)
    assert [one.words for one in found if one.wrong or one.ours] == []
    return found


def test_some_losses(etcds: list[Etcd], seed: str, tmp_path: Path) -> None:
    run(etcds, seed, len(etcds), tmp_path)


@pytest.mark.full
def test_stock_loses_acknowledged_writes_and_requorum_none(
    etcds: list[Etcd], seed: str, tmp_path: Path, results: Results
) -> None:
    found = run(etcds, f"{seed}-whole", LOSSES, tmp_path)
    results.losses(found)
    assert any(one.stock for one in found), "stock lost nothing: the images are no power losses"

"""Logs and images of every kind: what a real etcd holds after the start is what was predicted, key by key."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tail_cluster import Etcd
from tail_host import PREDICTED, UNLIKE
from tail_logs import LOADS
from tail_results import Results
from tail_trials import Trial, trials

RARE = ("members", "received snapshot")
IMAGES = int(os.environ.get("REQUORUM_TAIL_IMAGES", "500"))


def run(etcds: list[Etcd], seed: str, loads: tuple[str, ...], count: int, folder: Path, a_log: int) -> list[Trial]:
    """Each is told as it is made; none may differ from what was predicted."""
    found = []
    for one in trials(etcds, seed, loads, count, folder, a_log=a_log):
        print(one.words[:300], flush=True)
        found.append(one)
    unlike = [one.words for one in found if one.outcome.word == UNLIKE]
    assert unlike == []
    return found


def predicted(found: list[Trial]) -> list[Trial]:
    return [one for one in found if one.outcome.word == PREDICTED]


def test_a_sample_of_images(etcds: list[Etcd], seed: str, tmp_path: Path) -> None:
    found = run(etcds, seed, ("mixed", "plain"), 8 * len(etcds), tmp_path, 4)
    assert len(predicted(found)) > len(found) / 3


def test_a_few_images_of_rare_loads(etcds: list[Etcd], seed: str, tmp_path: Path) -> None:
    """Too few for a share, but no load is there in vain."""
    found = run(etcds, seed, RARE, 6 * len(etcds), tmp_path, 3)
    assert {one.load for one in predicted(found)} == set(RARE)


@pytest.mark.full
def test_every_kind_of_load_and_image(etcds: list[Etcd], seed: str, tmp_path: Path, results: Results) -> None:
    found = run(etcds, seed, LOADS, IMAGES, tmp_path, 15)
    assert len(predicted(found)) > len(found) / 3
    results.images(found)

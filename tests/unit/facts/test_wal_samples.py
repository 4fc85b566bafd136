"""Samples are as a dict would have them, whatever the order in which a log gives its entries."""

from __future__ import annotations

import pickle
import random

import pytest

from requorum.facts.wal_samples import Samples


@pytest.mark.parametrize("seed", range(5))
def test_as_a_dict(seed: int) -> None:
    chance = random.Random(seed)
    found, expected = Samples(), {}
    at = 0
    for _ in range(400):
        # Mostly upwards; back where a new leader overwrites entries; anywhere where a snapshot was received.
        at = chance.choice((at + 1, at + 1, at + 1, max(0, at - chance.randrange(9)), chance.randrange(1 << 64)))
        at %= 1 << 64
        found[at] = expected[at] = (chance.randrange(1 << 64), chance.randrange(1 << 32))
    assert found == expected
    assert expected == found
    assert len(found) == len(expected)
    assert [*found] == sorted(expected)
    assert found.keys() & {at, -1} == {at}
    assert pickle.loads(pickle.dumps(found)) == expected
    del found[at]
    assert at not in found
    with pytest.raises(KeyError):
        del found[at]

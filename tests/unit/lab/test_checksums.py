"""What counts as a change of a host."""

from __future__ import annotations

import pytest

from lab.checksums import DEAF, changes


@pytest.mark.parametrize(
    ("old", "new", "counts"),
    [
        ("InvocationID=a NRestarts=0", "InvocationID=a NRestarts=0", False),
        ("InvocationID=a NRestarts=1", "InvocationID=b NRestarts=2", False),  # its time to start was up
        ("InvocationID=a NRestarts=1", "InvocationID=b NRestarts=0", True),
        ("InvocationID=a NRestarts=0", "InvocationID=b NRestarts=0", True),
        ("InvocationID=a NRestarts=0", None, True),
    ],
)
def test_a_deaf_member_is_restarted_by_systemd_or_by_somebody_else(old: str, new: str | None, counts: bool) -> None:
    after = {} if new is None else {DEAF: new}
    assert bool(changes({"etcd-0": {DEAF: old}}, {"etcd-0": after})) is counts


def test_another_line_must_be_the_same() -> None:
    assert changes({"etcd-0": {"boot": "1"}}, {"etcd-0": {"boot": "2"}}) == ["etcd-0: boot: 1 → 2"]

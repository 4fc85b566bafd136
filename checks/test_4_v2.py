"""Do the members agree on what the v2 API holds? Read-only; nothing is asked where no member is to serve it."""

from __future__ import annotations

from requorum.stages import ANSWERS, eventually, postcondition, step
from requorum.v2_store import V2Store


@step(40, "The members hold the same v2 keys", on="v2", when=ANSWERS)
def test_same_v2_keys(v2: V2Store) -> None:
    """A hash of the v3 store says nothing of them: Flannel's configuration, an old application's keys."""
    advice = "compare `etcdctl ls -r -p /` (ETCDCTL_API=2) on each of them; do not restart anything before"
    with postcondition("one set of keys and values on all members that answer", otherwise=advice):
        assert eventually(v2.differing, within=15) == []
    with postcondition(
        "the member list of the v2 API is the v3 API's", otherwise="find out which of them etcd goes by"
    ):
        assert v2.lists_that_differ() == []

"""What the inventory may say and this version cannot do yet. Refused: to ignore it would do half of a recovery."""

from __future__ import annotations

from requorum.inventory.value import Value


def refuse_separate_master(value: Value) -> None:
    """Note a problem with a master that runs no member: it would go on asking members that are gone."""
    value.complain(
        "masters that are also in etcd.hosts",
        "this version edits master-config.yaml only where etcd runs on the masters; remove the field, and after the "
        "recovery edit etcdClientInfo.urls on every master and restart API and controllers by hand",
        "a master that is no host of etcd",
    )

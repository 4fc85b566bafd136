"""What the inventory may say and this version cannot do yet. Refused: to ignore it would do half of a recovery."""

from __future__ import annotations

from requorum.inventory.value import Value

_RUNTIMES = ("auto", "service")


def refuse_runtime(value: Value, runtime: str) -> None:
    """Note a problem where etcd runs in a way that this version cannot stop and start."""
    if runtime not in _RUNTIMES:
        value.complain(
            "auto or service",
            "this version recovers etcd that runs as a systemd service only",
            f"'{runtime}', which is not yet supported",
        )


def refuse_separate_master(value: Value) -> None:
    """Note a problem with a master that runs no member: it would go on asking members that are gone."""
    value.complain(
        "masters that are also in etcd.hosts",
        "this version edits master-config.yaml only where etcd runs on the masters; remove the field, and after the "
        "recovery edit etcdClientInfo.urls on every master and restart API and controllers by hand",
        "a master that is no host of etcd",
    )

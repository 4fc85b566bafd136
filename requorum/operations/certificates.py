"""Operations on the certificates of a host that joins: requested there, signed where the CA lies, put in place."""

from __future__ import annotations

from collections.abc import Mapping

from requorum.certifying import Order
from requorum.changes import (
    Change,
    ForgetCertificates,
    MakeRequest,
    PlaceCertificates,
    SignRequest,
    TakeCertificatesBack,
    WriteFile,
)
from requorum.facts.host import HostFacts
from requorum.facts.issuing import FOLDER


def request(facts: HostFacts, order: Order) -> list[Change]:
    """A key and a request for each certificate, on the host that is to have it; the key never leaves it."""
    return [MakeRequest(facts.name, kind, order.common_name, order.names) for kind in order.kinds]


def sign(authority: HostFacts, joiner: HostFacts, order: Order) -> list[Change]:
    """Have the CA sign what the joiner requests; what it has signed already is not signed again."""
    return [
        SignRequest(authority.name, kind, order.common_name, order.names, joiner.issuing.request(kind))
        for kind in order.kinds
    ]


def bring(facts: HostFacts, order: Order, signed: Mapping[str, str]) -> list[Change]:
    """Lay what was signed, and the CA where the host has none, beside the keys; `signed` is PEM by kind."""
    changes: list[Change] = [
        WriteFile(facts.name, f"{FOLDER}/{kind}.crt", signed[kind], mode="0600") for kind in order.kinds
    ]
    return changes + [
        WriteFile(facts.name, f"{FOLDER}/{_ca_name(number)}", text, mode="0600")
        for number, (_, text) in enumerate(order.trusted)
    ]


def place(facts: HostFacts, order: Order, recovery: str) -> list[Change]:
    """Put all of it where etcd.conf says, for etcd's user alone; what was there is kept."""
    written = {path: _ca_name(number) for number, (path, _) in enumerate(order.trusted)}
    pairs, proofs = list[tuple[str, str]](), list[tuple[str, str]]()
    for kind, (cert, key, trusted) in zip(order.kinds, order.files, strict=True):
        pairs += [(f"{kind}.crt", cert), (f"{kind}.key", key)]
        proofs.append((kind, f"{FOLDER}/{written[trusted]}" if trusted in written else trusted))
    pairs += [(name, path) for path, name in written.items()]
    owner = facts.unit.user or "root"
    return [PlaceCertificates(facts.name, tuple(pairs), tuple(proofs), owner, aside(recovery))]


def put_back(facts: HostFacts) -> list[Change]:
    """Undo `place`, where it was begun. What the CA has issued stays in its database."""
    if not facts.issuing.there or facts.mark is None:
        return []
    return [TakeCertificatesBack(facts.name, aside(facts.mark.recovery)), ForgetCertificates(facts.name)]


def forget(facts: HostFacts) -> list[Change]:
    """The host has joined: the requests, and the second copy of its keys, go."""
    return [ForgetCertificates(facts.name)]


def aside(recovery: str) -> str:
    """Where the certificates are kept that others took the place of."""
    return f"/etc/etcd/replaced-by-requorum-{recovery}"


def _ca_name(number: int) -> str:
    return f"ca-{number}.crt"

"""The certificate that a master's API serves with: by which names its clients may call it. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from cryptography import x509
from cryptography.x509.oid import NameOID

from requorum.facts.certificates import names_in


def names_of(pem: bytes) -> frozenset[str]:
    """The names in the first certificate of a file: its SAN, or, as Go of 2018 has it, else its CN. Raises ValueError."""
    leaf = x509.load_pem_x509_certificate(pem)
    common = (str(one.value) for one in leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME))
    return frozenset(name.lower() for name in names_in(leaf) or common)


def first_named(candidates: Iterable[str], names: Collection[str]) -> str:
    """The first of these names that a certificate with those has; a `*` stands for one label. Empty where it has none."""
    return next((one for one in candidates if {one.lower(), _starred(one.lower())} & set(names)), "")


def _starred(name: str) -> str:
    return f"*.{name.partition('.')[2]}"

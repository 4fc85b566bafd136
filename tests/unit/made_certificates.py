"""Certificates made in memory: a CA, what it signs, and a member's files as a survey reads them."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from ipaddress import ip_address

from builders import machine
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from requorum.facts.certificates import CertificateFile, Certificates

NOW = datetime.fromtimestamp(machine(0).clock, timezone.utc)
"""The time that the hosts of the builders have."""
BOTH = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)
KEYS = {one: generate_private_key(SECP256R1()) for one in ("ca", "other", "leaf")}
CONF = {
    f"ETCD_{prefix}{key}_FILE": f"/etc/etcd/{path}"
    for prefix, kind in (("", "server"), ("PEER_", "peer"))
    for key, path in (("CERT", f"{kind}.crt"), ("KEY", f"{kind}.key"), ("TRUSTED_CA", "ca.crt"))
}


def public(key: str) -> bytes:
    return KEYS[key].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def certificate(
    key: str,
    issuer: str = "ca",
    names: Iterable[str] = (),
    *,
    usages: Iterable[x509.ObjectIdentifier] | None = BOTH,
    begins: datetime = NOW - timedelta(days=1),
    days: int = 1825,
) -> bytes:
    """A certificate of a key; a CA's has no usages."""

    def called(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    made = x509.CertificateBuilder(
        called(issuer), called(key), KEYS[key].public_key(), 7, begins, begins + timedelta(days=days)
    )
    said = [x509.IPAddress(ip_address(n)) if n[0].isdigit() else x509.DNSName(n) for n in names]
    if said:
        made = made.add_extension(x509.SubjectAlternativeName(said), critical=False)
    if usages is not None and key == "leaf":
        made = made.add_extension(x509.ExtendedKeyUsage(list(usages)), critical=False)
    return made.sign(KEYS[issuer], SHA256()).public_bytes(Encoding.PEM)


CA, OTHER = certificate("ca"), certificate("other", "other")


def files(leaf: bytes | None, trusted: bytes | None = CA, *, key: str = "leaf") -> Certificates:
    """Both pairs of a member with this certificate, and this CA; None: not there."""
    found = []
    for variable, path in CONF.items():
        pem = trusted if "CA" in variable else leaf
        if "KEY" in variable and leaf is not None:
            pem = public(key)
        found.append(CertificateFile(variable, path, pem is not None, pem or b"", pem is not None))
    return Certificates(tuple(found))


def encoded(pem: bytes) -> str:
    return base64.b64encode(pem).decode()

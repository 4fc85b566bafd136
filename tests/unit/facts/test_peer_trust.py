"""Whether two members would take each other for peers: each one's certificate against the other one's CA."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from requorum.facts.certificates import CertificateFile, Certificates, distrust

NOW = datetime.now(timezone.utc)
KEYS = {name: generate_private_key(SECP256R1()) for name in ("ca", "other", "m")}
MINE = "the peer certificate of a is not signed by the CA that b trusts"
THEIRS = "the peer certificate of b is not signed by the CA that a trusts"


def certificate(subject: str, issuer: str) -> bytes:
    def name(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    def key(text: str) -> EllipticCurvePrivateKey:
        return KEYS[text]

    made = x509.CertificateBuilder(
        name(issuer), name(subject), key(subject).public_key(), 7, NOW, NOW + timedelta(days=1)
    )
    return made.sign(key(issuer), SHA256()).public_bytes(Encoding.PEM)


def member(signer: str, trusted: bytes, *, readable: bool = True) -> Certificates:
    leaf = CertificateFile("ETCD_PEER_CERT_FILE", "/peer.crt", readable, certificate("m", signer))
    return Certificates((leaf, CertificateFile("ETCD_PEER_TRUSTED_CA_FILE", "/ca.crt", True, trusted)))


CA, OTHER = certificate("ca", "ca"), certificate("other", "other")


@pytest.mark.parametrize(
    ("one", "found"),
    [
        (member("ca", CA), []),
        (member("ca", CA + OTHER), []),
        (member("other", OTHER), [MINE, THEIRS]),
        (member("other", CA + OTHER), [MINE]),
        (member("ca", OTHER), [THEIRS]),
        (member("ca", b"no PEM"), []),  # told by what is wrong with the files themselves
        (member("other", CA, readable=False), []),
        (Certificates(()), []),
    ],
)
def test_distrust(one: Certificates, found: list[str]) -> None:
    assert distrust(one, "a", member("ca", CA), "b") == found

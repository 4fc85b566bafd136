"""What lies where etcd.conf says: missing, exposed; and certificates that are being made."""

from __future__ import annotations

import base64

import pytest
from builders import conf, name
from made_certificates import CONF, NOW, certificate, encoded, files

from requorum.facts import certificates, issuing
from requorum.facts.issuing import Issuing

HTTPS = conf(
    0,
    ETCD_INITIAL_ADVERTISE_PEER_URLS="https://10.0.0.10:2380",
    ETCD_ADVERTISE_CLIENT_URLS="https://10.0.0.10:2379",
    **CONF,
)
REQUEST = "-----BEGIN CERTIFICATE REQUEST-----\n"


def test_a_file_that_is_missing_and_a_key_that_is_exposed() -> None:
    found = certificates.parse(
        "ETCD_CERT_FILE missing /a.crt \nETCD_KEY_FILE open /a.key \nETCD_PEER_KEY_FILE no /b.key \n"
    )
    assert [(f.there, f.readable, f.exposed) for f in found.files] == [
        (False, False, False),
        (True, True, True),
        (True, False, False),
    ]
    assert found.exposed == (
        "/a.key (ETCD_KEY_FILE) is a private key that everybody on the host may read: chmod o= /a.key",
    )


def test_nothing_is_said_of_what_is_made() -> None:
    """All is missing: both pairs, and the CA of both."""
    held = files(None, None)
    assert len(held.problems(HTTPS, NOW)) == len(CONF)
    assert held.problems(HTTPS, NOW, but=("server", "peer")) == ()
    assert all("peer" in line.lower() for line in held.problems(HTTPS, NOW, but=("server",)))


def test_a_name_by_which_clients_call() -> None:
    held = files(certificate("leaf", "ca", ["10.0.0.10", name(0)]))
    assert held.unnamed([name(0), "api.example.com"]) == ("api.example.com",)
    assert files(None).unnamed(["api.example.com"]) == ()


def test_what_is_being_made() -> None:
    said = f"folder\nrequest peer {encoded(REQUEST.encode())}\nplaced\n"
    assert issuing.parse(said) == Issuing(True, (("peer", REQUEST),), True)
    assert issuing.parse("") == Issuing()
    assert issuing.parse(said).request("server") == ""


@pytest.mark.parametrize(
    "line",
    ["a banner", "request other eA==", "request peer !!!", f"request peer {base64.b64encode(bytes([200])).decode()}"],
)
def test_another_shape_is_told(line: str) -> None:
    with pytest.raises(ValueError, match="expected what lies in /var/lib/requorum/certificates"):
        issuing.parse(f"folder\n{line}\n")

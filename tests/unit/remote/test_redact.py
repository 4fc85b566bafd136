"""Secrets go, what helps a reader stays."""

from __future__ import annotations

import base64
import time

import pytest

from requorum.remote import redact

KEY = "-----BEGIN RSA PRIVATE KEY-----\nMIIsecret\nsecret\n-----END RSA PRIVATE KEY-----"


@pytest.mark.parametrize(
    "text",
    [
        f"before\n{KEY}\nafter",
        "-----BEGIN PRIVATE KEY-----\nsecret cut off",
        f"client-key-data: {base64.b64encode(KEY.encode()).decode()} after",
        f"argv {base64.b64encode(b'PATH=/bin' + bytes(1) + b'ETCDCTL_PASSWORD=secret' + bytes(1) + b'A=1').decode()} 7",
        f"Text={base64.b64encode(b'metadata:' + b'x' * 50 + bytes([10]) + b'  password: secret').decode()}",
        r"'a\n" + base64.b64encode(KEY.encode()).decode(),
        f"data/x/{base64.b64encode(KEY.encode()).decode()}",
        f"cut: {base64.b64encode(KEY.encode()).decode()[:81]}",
        "etcdctl --user root:secret get k",
        "etcdctl --user=root:secret get k",
        "etcdctl --user 'root:secret' get k",
        "tool --password secret",
        "tool --bearer-token=secret",
        "ETCDCTL_PASSWORD=secret etcdctl",
        "ETCDCTL_USER=root:secret etcdctl",
        "ETCD_SOME_TOKEN='secret words' x",
        "A=1\0DB_PASSWORD=secret\0B=2",
        "  password: secret",
        "      bindPassword: secret",
        "      clientSecret: 'secret'",
        "Authorization: Bearer secret",
        "https://user:secret@host:2379/x",
    ],
)
def test_secrets_go(text: str) -> None:
    hidden = redact(text)
    assert "secret" not in hidden
    assert "c2VjcmV0" not in hidden
    assert "[redacted]" in hidden


@pytest.mark.parametrize("text", ["\n" * 20_000, "-" * 20_000, base64.b64encode(b"\n" * 20_000).decode(), " " * 20_000])
def test_no_text_takes_long(text: str) -> None:
    began = time.monotonic()
    assert redact(text) == text
    assert time.monotonic() - began < 5


def test_the_rest_of_the_line_stays() -> None:
    assert redact("etcdctl --user root:secret get k") == "etcdctl --user root:[redacted] get k"
    assert redact("A=1\0DB_PASSWORD=secret\0B=2") == "A=1\0DB_PASSWORD=[redacted]\0B=2"
    assert redact(f"a\n{KEY}\nb") == "a\n[redacted]\nb"


@pytest.mark.parametrize(
    "text",
    [
        "ETCD_INITIAL_CLUSTER_TOKEN=etcd-cluster-1",
        'ETCD_INITIAL_CLUSTER_TOKEN="etcd-cluster"',
        "ETCD_AUTH_TOKEN=simple",
        "-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----",
        base64.b64encode(b"-----BEGIN CERTIFICATE-----\nMII\n" + b"x" * 90).decode(),
        base64.b64encode(b"ETCD_NAME=etcd-0" + bytes(1) + b"ETCD_INITIAL_CLUSTER_TOKEN=etcd-cluster").decode(),
        "/var/lib/requorum/20261129/etcd-0.example.com/member/snap",
        "--peer-urls=https://10.0.0.1:2380 --user etcd",
        "https://10.0.0.1:2379/health",
        "User=etcd",
        "chown root:etcd /etc/etcd",
        "initial-cluster-token: etcd-cluster-1",
    ],
)
def test_names_stay(text: str) -> None:
    assert redact(text) == text

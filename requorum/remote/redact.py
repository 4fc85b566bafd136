"""Takes secrets out of text before anybody writes it down."""

from __future__ import annotations

import base64
import binascii
import re

HIDDEN = "[redacted]"

# A block without its END line is hidden to the end of the text: it may have been cut by a cap.
_PEM = re.compile(r"-----BEGIN (?P<kind>[A-Z0-9 ]*PRIVATE KEY)-----.*?(?:-----END (?P=kind)-----|\Z)", re.DOTALL)
# Base64 of "-----BEGIN ": a kubeconfig's client-key-data, a Secret. Certificates start alike, so it is looked into.
_PEM_BASE64 = re.compile(r"LS0tLS1CRUdJTi[A-Za-z0-9+/]+={0,2}")
_USER_OPTION = re.compile(r"(--user(?:=|\s+)['\"]?[^\s:'\"]+:)[^\s'\"]+")
_SECRET_OPTION = re.compile(
    r"(--?[a-z-]*(?:password|passwd|passphrase|secret|token)(?:=|\s+)['\"]?)[^\s'\"]+", re.IGNORECASE
)
# `ETCD_INITIAL_CLUSTER_TOKEN` only names a cluster, and `ETCD_AUTH_TOKEN` a kind of token: both help the reader.
_VARIABLE = re.compile(
    r"\b(?!ETCD_INITIAL_CLUSTER_TOKEN|ETCD_AUTH_TOKEN)(\w*(?:PASSWORD|PASSWD|PASSPHRASE|SECRET|TOKEN)\s*=\s*)"
    r"(?:'[^']*'|\"[^\"]*\"|[^\s\0'\"]+)"
)
_ETCDCTL_USER = re.compile(r"(\bETCDCTL_USER\s*=\s*['\"]?[^\s\0:'\"]+:)[^\s\0'\"]+")
_YAML = re.compile(
    r"(^\s*-?\s*['\"]?(?:password|token|clientSecret|client-secret|bindPassword)['\"]?\s*:\s+)\S.*$",
    re.IGNORECASE | re.MULTILINE,
)
_BEARER = re.compile(r"(Authorization:\s*(?:Bearer|Basic)\s+)[^\s'\"]+", re.IGNORECASE)
_URL = re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s:/@]+:)[^\s/@]+@", re.IGNORECASE)


def _hide_base64(match: re.Match[str]) -> str:
    head = match.group()[:88]
    try:
        start = base64.b64decode(head[: len(head) // 4 * 4])
    except binascii.Error:
        return HIDDEN  # it begins like a key and cannot be read: better hidden once too often
    return HIDDEN if b"PRIVATE KEY" in start else match.group()


def redact(text: str) -> str:
    """The text with private keys, passwords and tokens replaced by ``[redacted]``.

    What names things, as `ETCD_INITIAL_CLUSTER_TOKEN` does, stays. Certificates stay: they are public.
    """
    text = _PEM.sub(HIDDEN, text)
    text = _PEM_BASE64.sub(_hide_base64, text)
    for pattern in (_USER_OPTION, _SECRET_OPTION, _VARIABLE, _ETCDCTL_USER, _YAML, _BEARER):
        text = pattern.sub(rf"\g<1>{HIDDEN}", text)
    return _URL.sub(rf"\g<1>{HIDDEN}@", text)

"""Takes secrets out of text before anybody writes it down."""

from __future__ import annotations

import base64
import binascii
import re

HIDDEN = "[redacted]"

# A block without its END line is hidden to the end of the text: it may have been cut by a cap.
_PEM = re.compile(r"-----BEGIN (?P<kind>[A-Z0-9 ]*PRIVATE KEY)-----.*?(?:-----END (?P=kind)-----|\Z)", re.DOTALL)
# A kubeconfig's client-key-data, a Secret; also what a read of ours packs: a process's environment, a manifest.
_BASE64 = re.compile(r"[A-Za-z0-9+/]{16,}={0,2}")
# Base64 of "-----BEGIN " where a word begins elsewhere: behind a slash, or the n of a line's end that is spelt out.
_PEM_BASE64 = re.compile(r"LS0tLS1CRUdJTi[A-Za-z0-9+/]+={0,2}")
_USER_OPTION = re.compile(r"(--user(?:=|\s+)['\"]?[^\s:'\"]+:)[^\s'\"]+")
_SECRET_OPTION = re.compile(
    r"(--?[a-z-]{0,40}(?:password|passwd|passphrase|secret|token)(?:=|\s+)['\"]?)[^\s'\"]+", re.IGNORECASE
)
# `ETCD_INITIAL_CLUSTER_TOKEN` only names a cluster, and `ETCD_AUTH_TOKEN` a kind of token: both help the reader.
_VARIABLE = re.compile(
    r"\b(?!ETCD_INITIAL_CLUSTER_TOKEN|ETCD_AUTH_TOKEN)(\w*(?:PASSWORD|PASSWD|PASSPHRASE|SECRET|TOKEN)\s*=\s*)"
    r"(?:'[^']*'|\"[^\"]*\"|[^\s\0'\"]+)"
)
_ETCDCTL_USER = re.compile(r"(\bETCDCTL_USER\s*=\s*['\"]?[^\s\0:'\"]+:)[^\s\0'\"]+")
_YAML = re.compile(
    r"(^[ \t]{0,200}-?[ \t]{0,200}['\"]?(?:password|token|clientSecret|client-secret|bindPassword)['\"]?\s*:\s+)\S.*$",
    re.IGNORECASE | re.MULTILINE,
)
_BEARER = re.compile(r"(Authorization:\s*(?:Bearer|Basic)\s+)[^\s'\"]+", re.IGNORECASE)
_URL = re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s:/@]+:)[^\s/@]+@", re.IGNORECASE)


def _hide_base64(match: re.Match[str]) -> str:
    word = match.group()
    try:
        packed = base64.b64decode(word[: len(word) // 4 * 4])  # its end may have been cut by a cap
    except binascii.Error:
        return word
    text = packed.decode("utf-8", errors="replace")
    return HIDDEN if _redact_plain(text) != text else word


def redact(text: str) -> str:
    """The text with private keys, passwords and tokens replaced by ``[redacted]``.

    What names things, as `ETCD_INITIAL_CLUSTER_TOKEN` does, stays. Certificates stay: they are public.
    """
    for pattern in (_BASE64, _PEM_BASE64):
        text = pattern.sub(_hide_base64, text)
    return _redact_plain(text)


def _redact_plain(text: str) -> str:
    text = _PEM.sub(HIDDEN, text)
    for pattern in (_USER_OPTION, _SECRET_OPTION, _VARIABLE, _ETCDCTL_USER, _YAML, _BEARER):
        text = pattern.sub(rf"\g<1>{HIDDEN}", text)
    return _URL.sub(rf"\g<1>{HIDDEN}@", text)

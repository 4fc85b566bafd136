"""The certificates that a member starts with: read on the host, judged here. No private key leaves its host."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from requorum.facts.etcd_conf import EtcdConf
from requorum.facts.runtime import FIND
from requorum.facts.shell import CONF

_VARIABLES = (
    "ETCD_TRUSTED_CA_FILE", "ETCD_CERT_FILE", "ETCD_KEY_FILE",
    "ETCD_PEER_TRUSTED_CA_FILE", "ETCD_PEER_CERT_FILE", "ETCD_PEER_KEY_FILE",
)  # fmt: skip
_PAIRS = (
    ("ETCD_CERT_FILE", "ETCD_KEY_FILE", "ETCD_TRUSTED_CA_FILE", "client"),
    ("ETCD_PEER_CERT_FILE", "ETCD_PEER_KEY_FILE", "ETCD_PEER_TRUSTED_CA_FILE", "peer"),
)

COMMAND = (
    CONF
    + FIND
    + f"find_runtime\nvariables='{' '.join(_VARIABLES)}'\n"
    + r"""
user=$(systemctl show "$unit" -p User | cut -d= -f2)
paths=()
for variable in $variables; do paths+=("$(conf $variable)"); done
ask=(bash -c 'for path; do [ -r "$path" ] && echo "$path"; done' readable)
[ -z "$user" ] || ask=(runuser -u "$user" -- "${ask[@]}")  # one session of the user for all of them
readable=$("${ask[@]}" "${paths[@]}" 2>/dev/null)
for variable in $variables; do
  path=${paths[0]}; paths=("${paths[@]:1}")
  [ -n "$path" ] || continue
  case $variable in
    *KEY_FILE) public=$(openssl pkey -in "$path" -pubout 2>/dev/null | base64 -w0) ;;
    *) public=$(base64 -w0 < "$path" 2>/dev/null) ;;
  esac
  reads=no; [[ $'\n'$readable$'\n' != *$'\n'"$path"$'\n'* ]] || reads=yes
  printf '%s %s %s %s\n' "$variable" "$reads" "$path" "$public"
done
"""
)


@dataclass(frozen=True, slots=True)
class CertificateFile:
    """One file that etcd.conf names: may etcd's user read it, and its public part in PEM (empty for an unread key)."""

    variable: str
    path: str
    readable: bool
    pem: bytes


@dataclass(frozen=True, slots=True)
class Certificates:
    """The certificate files of one member."""

    files: tuple[CertificateFile, ...]

    def _file(self, variable: str) -> CertificateFile | None:
        return next((f for f in self.files if f.variable == variable), None)

    def _certificates(self, variable: str) -> list[x509.Certificate]:
        file = self._file(variable)
        try:
            return x509.load_pem_x509_certificates(file.pem) if file and file.readable else []
        except ValueError:
            return []

    def problems(self, conf: EtcdConf, now: datetime) -> tuple[str, ...]:
        """What would keep this member from being trusted by peers and clients at `now`; empty where nothing does."""
        found: list[str] = [
            f"{f.path} ({f.variable}) is not there or not readable for etcd" for f in self.files if not f.readable
        ]
        for cert, key, ca, what in _PAIRS:
            urls = conf.client_urls if what == "client" else conf.peer_urls
            if not any(url.startswith("https:") for url in urls):
                continue
            files = (self._file(cert), self._file(key), self._file(ca))
            missing = [v for v, f in zip((cert, key, ca), files, strict=True) if f is None]
            if missing:
                found.append(f"etcd.conf does not set {', '.join(missing)}, and its {what} URL is https")
                continue
            cert_file, key_file, ca_file = (f for f in files if f is not None)
            if cert_file.readable and ca_file.readable:
                found += _pair_problems(cert_file, key_file, ca_file, urls, now)
        return tuple(found)

    def ending(self, before: datetime) -> tuple[str, ...]:
        """The certificates, CAs among them, that are no longer valid at `before`. Raises ValueError for no PEM."""
        found: list[str] = []
        for file in self.files:
            if file.variable.endswith("KEY_FILE") or not file.readable:
                continue
            for one in x509.load_pem_x509_certificates(file.pem):
                if one.not_valid_after_utc <= before:
                    found.append(f"{file.path} ({file.variable}) ends on {one.not_valid_after_utc:%Y-%m-%d %H:%M} UTC")
        return tuple(dict.fromkeys(found))


def distrust(one: Certificates, one_name: str, other: Certificates, other_name: str) -> list[str]:
    """Why two members would not take each other for peers, by their CAs; what is not readable is told elsewhere."""
    found = []
    for mine, my_name, theirs, their_name in ((one, one_name, other, other_name), (other, other_name, one, one_name)):
        leaf, bundle = mine._certificates("ETCD_PEER_CERT_FILE"), theirs._certificates("ETCD_PEER_TRUSTED_CA_FILE")
        if leaf and bundle and not any(_issued(ca, leaf[0]) for ca in bundle):
            found.append(f"the peer certificate of {my_name} is not signed by the CA that {their_name} trusts")
    return found


def _pair_problems(
    cert: CertificateFile, key: CertificateFile, ca: CertificateFile, urls: tuple[str, ...], now: datetime
) -> list[str]:
    try:
        leaf = x509.load_pem_x509_certificate(cert.pem)
        bundle = x509.load_pem_x509_certificates(ca.pem)
    except ValueError as error:
        return [f"{cert.path} or {ca.path} is no certificate in PEM: {error}"]
    found = []
    if not leaf.not_valid_before_utc <= now <= leaf.not_valid_after_utc:
        found.append(
            f"{cert.path} is valid from {leaf.not_valid_before_utc:%Y-%m-%d} to {leaf.not_valid_after_utc:%Y-%m-%d}, "
            f"and the time is {now:%Y-%m-%d %H:%M} UTC"
        )
    issuer = next((c for c in bundle if _issued(c, leaf)), None)
    if issuer is None:
        found.append(f"{cert.path} is not signed by the CA in {ca.path}")
    elif not issuer.not_valid_before_utc <= now <= issuer.not_valid_after_utc:
        found.append(f"the CA in {ca.path} expired on {issuer.not_valid_after_utc:%Y-%m-%d}")
    if key.pem and key.pem.split() != _public_pem(leaf).split():
        found.append(f"{key.path} is not the key of {cert.path}")
    names = _names(leaf)
    found += [
        f"{cert.path} does not name {urlsplit(url).hostname} (it names {', '.join(sorted(names)) or 'nothing'})"
        for url in urls
        if (urlsplit(url).hostname or "") not in names
    ]
    return found


def _issued(ca: x509.Certificate, leaf: x509.Certificate) -> bool:
    try:
        leaf.verify_directly_issued_by(ca)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _public_pem(leaf: x509.Certificate) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return leaf.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _names(leaf: x509.Certificate) -> set[str]:
    try:
        san = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return set()
    addresses = {str(a) for a in san.get_values_for_type(x509.IPAddress)}
    return addresses | set(san.get_values_for_type(x509.DNSName))


def parse(output: str) -> Certificates:
    """The certificate files from the output of COMMAND. Raises ValueError for a line of another shape."""
    files = []
    for line in output.splitlines():
        words = line.split(" ")
        if len(words) != 4 or words[0] not in _VARIABLES:
            raise ValueError(
                f"expected variable, readable, path and content of a certificate file, found {line[:200]!r}"
            )
        try:
            pem = base64.b64decode(words[3], validate=True)
        except ValueError as error:
            raise ValueError(f"expected a certificate file in base64, found {line[:200]!r} ({error})") from None
        files.append(CertificateFile(words[0], words[2], words[1] == "yes", pem))
    return Certificates(tuple(files))

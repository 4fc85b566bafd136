"""The CA of an OpenShift installation where its key lies: on the first host of [etcd], in /etc/etcd/ca.

Source: openshift-ansible, roles/etcd/defaults and roles/etcd/templates/openssl_append.j2. No private key leaves its host.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

FOLDER = "/etc/etcd/ca"
CERTIFICATE, KEY, CONFIG = f"{FOLDER}/ca.crt", f"{FOLDER}/ca.key", f"{FOLDER}/openssl.cnf"
DATABASE, SERIAL, ISSUED = f"{FOLDER}/index.txt", f"{FOLDER}/serial", f"{FOLDER}/certs"
NAME = "etcd_ca"
"""The section of openssl.cnf that is the CA."""
SECTIONS = {"server": "etcd_v3_ca_server", "peer": "etcd_v3_ca_peer"}
"""What each kind of certificate may be used for: sections of openssl.cnf."""

_PLACES = {
    "database": DATABASE, "serial": SERIAL, "new_certs_dir": ISSUED, "certificate": CERTIFICATE, "private_key": KEY,
}  # fmt: skip

COMMAND = rf"""#: the CA
[ -d {FOLDER} ] || exit 0
echo folder
[ ! -s {KEY} ] || echo "key $(openssl pkey -in {KEY} -pubout 2>/dev/null | base64 -w0)"
[ ! -s {CERTIFICATE} ] || echo "certificate $(base64 -w0 < {CERTIFICATE})"
for file in {CONFIG} {DATABASE} {SERIAL} {ISSUED}; do
  [ -e $file ] || {{ [ -e $file.old ] && [ -s $file.new ]; }} || echo "missing $file"  # an openssl was about to rename it
done
[ ! -f {CONFIG} ] || awk '
  {{sub(/#.*/, "")}}
  /^[ \t]*\[/ {{gsub(/[][ \t]/, ""); section = $0; print "section " section; next}}
  section == "{NAME}" && (at = index($0, "=")) {{
    name = substr($0, 1, at - 1); value = substr($0, at + 1)
    gsub(/[ \t]/, "", name); gsub(/^[ \t]+|[ \t]+$/, "", value)
    print "setting " name " " value
  }}' {CONFIG}
"""


@dataclass(frozen=True, slots=True)
class Ca:
    """What lies in /etc/etcd/ca; nothing where `there` is false, an empty folder on hosts without the CA.

    `certificate` is ca.crt, `public` the public part of ca.key (both PEM); `missing` are files that a CA needs.
    """

    there: bool = False
    certificate: bytes = b""
    public: bytes = b""
    missing: tuple[str, ...] = ()
    sections: frozenset[str] = frozenset()
    settings: tuple[tuple[str, str], ...] = ()

    @property
    def has_key(self) -> bool:
        """The key of a CA lies here."""
        return bool(self.public)

    @property
    def own(self) -> x509.Certificate | None:
        """The certificate of the key that lies here; None where there is none."""
        try:
            found = x509.load_pem_x509_certificates(self.certificate)
        except ValueError:
            return None
        return next((one for one in found if public_pem(one).split() == self.public.split()), None)

    def faults(self, now: datetime) -> tuple[str, ...]:
        """Why nothing can be signed here as the installer does it; empty where it can."""
        if not self.has_key:
            return (f"{KEY} is not there, or cannot be read",)
        own = self.own
        if own is None:
            return (f"{KEY} is not the key of {CERTIFICATE}",)
        found = [f"{path} is not there" for path in self.missing]
        if not own.not_valid_before_utc <= now <= own.not_valid_after_utc:
            found.append(
                f"the CA is valid from {own.not_valid_before_utc:%Y-%m-%d} to {own.not_valid_after_utc:%Y-%m-%d}, and the "
                f"time is {now:%Y-%m-%d %H:%M} UTC"
            )
        wanted = (NAME, *SECTIONS.values())
        found += [f"{CONFIG} has no section [{name}]" for name in wanted if name not in self.sections]
        said = dict(self.settings)
        for key, path in _PLACES.items():
            value = said.get(key, "").replace("$dir", said.get("dir", ""))
            if NAME in self.sections and value != path:
                found.append(f"{CONFIG} says {key} = {said.get(key, 'nothing')}, where the installer has {path}")
        if NAME in self.sections and said.get("copy_extensions") != "copy":
            found.append(f"{CONFIG} does not say copy_extensions = copy: a certificate would name no address")
        return tuple(found)


NO_CA = Ca()


def public_pem(certificate: x509.Certificate) -> bytes:
    """The public key of a certificate."""
    return certificate.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def parse(output: str) -> Ca:
    """The CA from the output of COMMAND. Raises ValueError for a line of another shape."""
    words: dict[str, list[str]] = {
        name: [] for name in ("folder", "key", "certificate", "missing", "section", "setting")
    }
    for line in output.splitlines():
        name, _, rest = line.partition(" ")
        if name not in words:
            raise ValueError(f"expected a fact of a CA ({', '.join(words)}), found {line[:200]!r}")
        words[name].append(rest)
    try:
        certificate, public = (base64.b64decode("".join(words[key]), validate=True) for key in ("certificate", "key"))
    except ValueError as error:
        raise ValueError(f"expected ca.crt and the public part of ca.key in base64, found none ({error})") from None
    return Ca(
        there=bool(words["folder"]),
        certificate=certificate,
        public=public,
        missing=tuple(words["missing"]),
        sections=frozenset(words["section"]),
        settings=tuple((name, value) for name, _, value in (one.partition(" ") for one in words["setting"])),
    )

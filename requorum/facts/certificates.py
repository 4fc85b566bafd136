"""The certificates that a member starts with: read on the host, judged here. No private key leaves its host."""

from __future__ import annotations

import base64
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.oid import ExtendedKeyUsageOID

from requorum.facts.ca import public_pem
from requorum.facts.etcd_conf import EtcdConf
from requorum.facts.runtime import FIND
from requorum.facts.shell import CONF

_VARIABLES = (
    "ETCD_TRUSTED_CA_FILE", "ETCD_CERT_FILE", "ETCD_KEY_FILE",
    "ETCD_PEER_TRUSTED_CA_FILE", "ETCD_PEER_CERT_FILE", "ETCD_PEER_KEY_FILE",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Pair:
    """One certificate with its key: the variables of etcd.conf that name them and the CA that is trusted there.

    `urls` says which urls it is for; `usages` what etcd needs of it: a member is its peers' server and their client.
    """

    cert: str
    key: str
    ca: str
    urls: str
    usages: tuple[x509.ObjectIdentifier, ...]

    def urls_in(self, conf: EtcdConf) -> tuple[str, ...]:
        """The urls that it has to name; none where no TLS is spoken there."""
        urls = conf.client_urls if self.urls == "client" else conf.peer_urls
        return urls if any(url.startswith("https:") for url in urls) else ()


PAIRS: dict[str, Pair] = {
    "server": Pair(
        "ETCD_CERT_FILE", "ETCD_KEY_FILE", "ETCD_TRUSTED_CA_FILE", "client", (ExtendedKeyUsageOID.SERVER_AUTH,)
    ),
    "peer": Pair(
        "ETCD_PEER_CERT_FILE", "ETCD_PEER_KEY_FILE", "ETCD_PEER_TRUSTED_CA_FILE", "peer",
        (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH),
    ),
}  # fmt: skip
"""By what the installer calls them."""

COMMAND = (
    "#: the certificates\n"
    + CONF
    + FIND
    + f"find_runtime\nvariables='{' '.join(_VARIABLES)}'\n"
    + r"""
user=$(systemctl show "$unit" -p User | cut -d= -f2)
paths=()
for variable in $variables; do conf_value $variable; paths+=("$value"); done
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
  [ -e "$path" ] || [ -L "$path" ] || reads=missing
  [[ $reads$variable != yes*KEY_FILE || $(stat -L -c %a "$path") == *0 ]] || reads=open
  printf '%s %s %s %s\n' "$variable" "$reads" "$path" "$public"
done
"""
)


@dataclass(frozen=True, slots=True)
class CertificateFile:
    """One file that etcd.conf names: may etcd's user read it, and its public part in PEM (empty for an unread key).

    `there`: it, or a link of its name, lies there. `exposed`: a private key that others than owner and group may use.
    """

    variable: str
    path: str
    readable: bool
    pem: bytes
    there: bool = True
    exposed: bool = False


@dataclass(frozen=True, slots=True)
class Certificates:
    """The certificate files of one member."""

    files: tuple[CertificateFile, ...]

    def file(self, variable: str) -> CertificateFile | None:
        """The file that a variable names; None where etcd.conf does not set it."""
        return next((f for f in self.files if f.variable == variable), None)

    def held(self, variable: str) -> list[x509.Certificate]:
        """The certificates in the file that a variable names; none where it cannot be read."""
        file = self.file(variable)
        try:
            return x509.load_pem_x509_certificates(file.pem) if file and file.readable else []
        except ValueError:
            return []

    def problems(self, conf: EtcdConf, now: datetime, *, but: Collection[str] = ()) -> tuple[str, ...]:
        """What would keep this member from being trusted by peers and clients at `now`; empty where nothing does.

        `but`: of these pairs (`server`, `peer`), and of a CA of theirs that is not there, nothing is said.
        """
        ours = {v for kind in but for v in (PAIRS[kind].cert, PAIRS[kind].key)}
        ours |= {PAIRS[k].ca for k in but if (ca := self.file(PAIRS[k].ca)) is None or not ca.there}
        found: list[str] = [
            f"{f.path} ({f.variable}) is not there or not readable for etcd"
            for f in self.files
            if not f.readable and f.variable not in ours
        ]
        for kind, pair in PAIRS.items():
            urls = pair.urls_in(conf)
            if not urls:
                continue
            missing = [v for v in (pair.cert, pair.key, pair.ca) if self.file(v) is None]
            if missing:
                found.append(f"etcd.conf does not set {', '.join(missing)}, and its {pair.urls} URL is https")
            elif kind not in but:
                found += self._pair_problems(pair, urls, now)
        return tuple(found)

    def _pair_problems(self, pair: Pair, urls: tuple[str, ...], now: datetime) -> list[str]:
        cert, key, ca = self.file(pair.cert), self.file(pair.key), self.file(pair.ca)
        if cert is None or key is None or ca is None or not cert.readable or not ca.readable:
            return []
        return _pair_problems(cert, key, ca, pair, urls, now)

    @property
    def exposed(self) -> tuple[str, ...]:
        """The private keys that everybody on the host may use, each with its cure."""
        return tuple(
            f"{f.path} ({f.variable}) is a private key that everybody on the host may read: chmod o= {f.path}"
            for f in self.files
            if f.exposed
        )

    def unnamed(self, names: Iterable[str]) -> tuple[str, ...]:
        """The names, of those by which clients call this member, that its certificate does not have."""
        leaf = self.held(PAIRS["server"].cert)
        return tuple(sorted(set(names) - names_in(leaf[0]))) if leaf else ()

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
        leaf, bundle = mine.held(PAIRS["peer"].cert), theirs.held(PAIRS["peer"].ca)
        if leaf and bundle and not any(issued(ca, leaf[0]) for ca in bundle):
            found.append(f"the peer certificate of {my_name} is not signed by the CA that {their_name} trusts")
    return found


def _pair_problems(
    cert: CertificateFile, key: CertificateFile, ca: CertificateFile, pair: Pair, urls: tuple[str, ...], now: datetime
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
    issuer = next((c for c in bundle if issued(c, leaf)), None)
    if issuer is None:
        found.append(f"{cert.path} is not signed by the CA in {ca.path}")
    elif not issuer.not_valid_before_utc <= now <= issuer.not_valid_after_utc:
        ends, begins = f"{issuer.not_valid_after_utc:%Y-%m-%d}", f"{issuer.not_valid_before_utc:%Y-%m-%d}"
        early = now < issuer.not_valid_before_utc
        found.append(f"the CA in {ca.path} {f'is not valid before {begins}' if early else f'expired on {ends}'}")
    if key.pem and key.pem.split() != public_pem(leaf).split():
        found.append(f"{key.path} is not the key of {cert.path}")
    if lacking := _lacking(leaf, pair.usages):
        found.append(f"{cert.path} may not be used for {', '.join(lacking)} (its extendedKeyUsage)")
    names = names_in(leaf)
    found += [
        f"{cert.path} does not name {urlsplit(url).hostname} (it names {', '.join(sorted(names)) or 'nothing'})"
        for url in urls
        if (urlsplit(url).hostname or "") not in names
    ]
    return found


def issued(ca: x509.Certificate, leaf: x509.Certificate) -> bool:
    """The CA has signed this certificate."""
    try:
        leaf.verify_directly_issued_by(ca)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _lacking(leaf: x509.Certificate, wanted: Iterable[x509.ObjectIdentifier]) -> list[str]:
    """The usages that a certificate does not have; one that says nothing about it has all of them."""
    try:
        said = set(leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except x509.ExtensionNotFound:
        return []
    if ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in said:
        return []
    return [_USAGES[one] for one in wanted if one not in said]


_USAGES = {ExtendedKeyUsageOID.SERVER_AUTH: "serverAuth", ExtendedKeyUsageOID.CLIENT_AUTH: "clientAuth"}


def names_in(leaf: x509.Certificate) -> set[str]:
    """The names and addresses in the SAN of a certificate; none where it has no SAN."""
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
        if len(words) != 4 or words[0] not in _VARIABLES or words[1] not in ("yes", "no", "missing", "open"):
            raise ValueError(
                f"expected variable, readable, path and content of a certificate file, found {line[:200]!r}"
            )
        try:
            pem = base64.b64decode(words[3], validate=True)
        except ValueError as error:
            raise ValueError(f"expected a certificate file in base64, found {line[:200]!r} ({error})") from None
        how = words[1]
        files.append(CertificateFile(words[0], words[2], how in ("yes", "open"), pem, how != "missing", how == "open"))
    return Certificates(tuple(files))

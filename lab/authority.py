"""The CA of etcd on a lab's first host, in the shape that the OpenShift installer leaves behind.

Source: OpenShift 3.11, openshift-ansible, roles/etcd/tasks/certificates/deploy_ca.yml and
roles/etcd/templates/openssl_append.j2.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from lab.shell import run
from lab.spec import Host

FOLDER = "etc/etcd/ca"
GENERATED = "etc/etcd/generated_certs"

APPENDED = """
[ etcd_v3_req ]
basicConstraints = critical,CA:FALSE
keyUsage         = digitalSignature,keyEncipherment
subjectAltName   = ${ENV::SAN}

[ etcd_ca ]
dir             = /etc/etcd/ca
crl_dir         = /etc/etcd/ca/crl
database        = /etc/etcd/ca/index.txt
new_certs_dir   = /etc/etcd/ca/certs
certificate     = /etc/etcd/ca/ca.crt
serial          = /etc/etcd/ca/serial
private_key     = /etc/etcd/ca/ca.key
crl_number      = /etc/etcd/ca/crlnumber
x509_extensions = etcd_v3_ca_client
default_days    = 1825
default_md      = sha256
preserve        = no
name_opt        = ca_default
cert_opt        = ca_default
policy          = policy_anything
unique_subject  = no
copy_extensions = copy
"""

_USAGES = {"peer": "clientAuth,serverAuth", "server": "serverAuth,clientAuth", "client": "clientAuth"}


@dataclass(frozen=True, slots=True)
class File:
    """One file; a directory where the content is None. Everything here is root's alone."""

    path: str
    content: bytes | None
    mode: int


def extensions() -> str:
    """What is appended to a distribution's openssl.cnf."""
    sections = (
        f"\n[ etcd_v3_ca_{kind} ]\n"
        "authorityKeyIdentifier = keyid,issuer:always\n"
        "basicConstraints       = critical,CA:FALSE\n"
        f"extendedKeyUsage       = {usage}\n"
        "keyUsage               = digitalSignature,keyEncipherment\n"
        "subjectKeyIdentifier   = hash\n"
        for kind, usage in _USAGES.items()
    )
    return APPENDED + "".join(sections)


def files(secrets: Path, hosts: tuple[Host, ...], distribution: str) -> Iterator[File]:
    """Everything of the CA, its database of what `secrets` holds included; `distribution` is the text of openssl.cnf."""
    ca = secrets / "ca"
    made = [
        *sorted(secrets.glob("*.crt")),
        *(path for host in hosts for path in sorted((secrets / host.short).glob("*"))),
    ]
    known = _certificates(ca / "ca.crt", [path for path in made if path.suffix == ".crt"])
    for folder in ("", "/certs", "/crl", "/fragments"):
        yield File(f"{FOLDER}{folder}", None, 0o700)
    yield File(f"{FOLDER}/fragments/openssl.cnf", distribution.encode(), 0o644)
    yield File(f"{FOLDER}/fragments/openssl_append.cnf", extensions().encode(), 0o644)
    yield File(f"{FOLDER}/openssl.cnf", f"{distribution.rstrip()}\n{extensions()}".encode(), 0o644)
    yield File(f"{FOLDER}/ca.crt", (ca / "ca.crt").read_bytes(), 0o644)
    yield File(f"{FOLDER}/ca.key", (ca / "ca.key").read_bytes(), 0o600)
    index, last = "", 0
    for serial, ends, name, path in known:
        index += f"V\t{ends}\t\t{serial:02X}\tunknown\t/CN={name}\n"
        last = max(last, serial)
        yield File(f"{FOLDER}/certs/{serial:02X}.pem", path.read_bytes(), 0o644)
    yield File(f"{FOLDER}/index.txt", index.encode(), 0o644)
    yield File(f"{FOLDER}/index.txt.attr", b"unique_subject = no\n", 0o644)
    yield File(f"{FOLDER}/serial", f"{last + 1:02X}\n".encode(), 0o644)
    yield from _generated(secrets, hosts)


def _certificates(ca: Path, paths: list[Path]) -> list[tuple[int, str, str, Path]]:
    """Serial, end as the database has it, common name and path of what this CA has signed, by serial."""
    wanted = _said(ca, "-subject")["subject"]
    found = []
    for path in paths:
        said = _said(path, "-serial", "-enddate", "-subject", "-issuer")
        if said["issuer"] == wanted:
            ends = datetime.strptime(said["notAfter"], "%b %d %H:%M:%S %Y %Z").replace(tzinfo=timezone.utc)
            found.append((int(said["serial"], 16), f"{ends:%y%m%d%H%M%SZ}", said["subject"].partition("CN=")[2], path))
    return sorted(found)


def _said(path: Path, *what: str) -> dict[str, str]:
    lines = run(["openssl", "x509", "-noout", *what, "-nameopt", "RFC2253", "-in", str(path)]).stdout.splitlines()
    return {key: value for key, _, value in (line.partition("=") for line in lines)}


def _generated(secrets: Path, hosts: tuple[Host, ...]) -> Iterator[File]:
    """What the installer made on this host for the others, keys included, and leaves there."""
    yield File(GENERATED, None, 0o700)
    for host in hosts:
        folder, own = f"{GENERATED}/etcd-{host.name}", secrets / host.short
        inside = {f"{kind}.{end}": own / f"{kind}.{end}" for kind in ("server", "peer") for end in ("crt", "key")}
        inside["ca.crt"] = secrets / "ca/ca.crt"
        archive = io.BytesIO()
        yield File(folder, None, 0o700)
        with tarfile.open(fileobj=archive, mode="w:gz") as tar:
            for name, path in inside.items():
                tar.add(path, f"./{name}")
                yield File(f"{folder}/{name}", path.read_bytes(), 0o600 if name.endswith("key") else 0o644)
        yield File(f"{folder}.tgz", archive.getvalue(), 0o600)

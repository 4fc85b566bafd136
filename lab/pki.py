"""Keys and certificates of a lab: TLS for etcd as the OpenShift installer makes it, SSH keys for the hosts.

Certificates: OPENSHIFT 3.11 installer, roles/etcd/tasks/certificates: CN is the host name, SAN its address and name,
both extended key usages on server and peer, 1825 days, a CA called etcd-signer@<epoch> on the first host.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lab.shell import run
from lab.spec import Host

DAYS = "1825"

_REQUEST = "[req]\ndistinguished_name = name\n[name]\n"
_CA_EXTENSIONS = (
    _REQUEST + "[v3]\nbasicConstraints = critical,CA:TRUE\nkeyUsage = critical,keyCertSign,cRLSign\n"
    "subjectKeyIdentifier = hash\n"
)


def make_ca(directory: Path) -> None:
    """Make `ca.key` and `ca.crt` in `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    config = directory / "make-ca.cnf"
    config.write_text(_CA_EXTENSIONS, encoding="ascii")
    made = ["-keyout", str(directory / "ca.key"), "-out", str(directory / "ca.crt")]
    subject = ["-subj", f"/CN=etcd-signer@{int(time.time())}", "-config", str(config), "-extensions", "v3"]
    run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-sha256", "-days", DAYS, *subject, *made])
    config.unlink()


def make_certificate(ca: Path, target: Path, serial: int, common_name: str, names: str, usage: str) -> None:
    """Make `<target>.key` and `<target>.crt`, signed by the CA in `ca`.

    Args:
        ca: directory of the CA.
        target: path without suffix.
        serial: unique within this CA.
        common_name: CN of the subject.
        names: subjectAltName in openssl's words, as in `IP:192.0.2.1,DNS:m1.example.com`; empty for none.
        usage: extendedKeyUsage in openssl's words.
    """
    request, extensions = target.with_suffix(".csr"), target.with_suffix(".ext")
    text = f"basicConstraints = CA:FALSE\nkeyUsage = digitalSignature,keyEncipherment\nextendedKeyUsage = {usage}\n"
    extensions.write_text(text + (f"subjectAltName = {names}\n" if names else ""), encoding="ascii")
    config = target.with_suffix(".cnf")
    config.write_text(_REQUEST, encoding="ascii")
    asked = ["-subj", f"/CN={common_name}", "-config", str(config), "-out", str(request)]
    key = ["-newkey", "rsa:2048", "-nodes", "-keyout", str(target.with_suffix(".key"))]
    run(["openssl", "req", "-new", "-sha256", *key, *asked])
    signer = ["-CA", str(ca / "ca.crt"), "-CAkey", str(ca / "ca.key"), "-set_serial", str(serial)]
    signed = ["-in", str(request), "-extfile", str(extensions), "-out", str(target.with_suffix(".crt"))]
    run(["openssl", "x509", "-req", "-sha256", "-days", DAYS, *signer, *signed])
    for path in (request, extensions, config):
        path.unlink()


def make_all(directory: Path, hosts: tuple[Host, ...], ssh_user: str, ssh_port: int) -> None:
    """Make everything secret that a lab needs, below `directory` (mode 0700).

    Afterwards there are: `ca/`, `<short>/server.*`, `<short>/peer.*`, `<short>/ssh_host_ed25519_key*`,
    `client.*` (for the lab's own client), `id_ed25519*` (for the operator) and `known_hosts`.
    """
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o700)
    ca = directory / "ca"
    make_ca(ca)
    with ThreadPoolExecutor(max_workers=2) as pool:
        waiting = []
        for host in hosts:
            own = directory / host.short
            own.mkdir(exist_ok=True)
            names, usage = f"IP:{host.address},DNS:{host.name}", "serverAuth,clientAuth"
            for offset, kind in enumerate(("server", "peer")):
                serial = 16 + 2 * host.index + offset
                waiting.append(pool.submit(make_certificate, ca, own / kind, serial, host.name, names, usage))
            waiting.append(pool.submit(_make_ssh_key, own / "ssh_host_ed25519_key", f"root@{host.short}"))
        waiting.append(pool.submit(make_certificate, ca, directory / "client", 8, "lab-client", "", "clientAuth"))
        waiting.append(pool.submit(_make_ssh_key, directory / "id_ed25519", f"{ssh_user}@lab"))
        for one in waiting:
            one.result()
    lines = []
    for host in hosts:
        kind, key = (directory / host.short / "ssh_host_ed25519_key.pub").read_text(encoding="ascii").split()[:2]
        where = [host.address, host.name, host.short]
        shown = [f"[{name}]:{ssh_port}" if ssh_port != 22 else name for name in where]
        lines.append(f"{','.join(shown)} {kind} {key}\n")
    (directory / "known_hosts").write_text("".join(lines), encoding="ascii")


def _make_ssh_key(path: Path, comment: str) -> None:
    path.unlink(missing_ok=True)
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path)])

"""What the tests of `test_hazards_surroundings.py` do to hosts, and to what an operator has about them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta, timezone
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from runbook_runs import Done, assert_told, run, written

from lab import Lab, checksums, network
from lab.shell import run as here
from lab.writer import Write
from requorum.facts import mark

CHANGED_NOTHING = "nothing was changed"


def refused(lab: Lab, verdict: str, says: Iterable[str], *, inventory: Path | None = None) -> Done:
    """The runbook says no, in these words, and changes nothing."""
    before = lab.checksums()
    done = run(lab, inventory=inventory)
    assert checksums.changes(before, lab.checksums()) == []
    assert_told(done, exit=6, outcome="refused", verdict=verdict, says=[*says, CHANGED_NOTHING])
    assert done.summary["changes_made"] == 0
    return done


def may_go_on(lab: Lab, *, inventory: Path | None = None) -> Done:
    """The runbook's preconditions hold for this loss, and looking changes nothing."""
    before = lab.checksums()
    done = run(lab, "--preconditions", inventory=inventory)
    assert checksums.changes(before, lab.checksums()) == []
    assert_told(done, exit=0, outcome="preconditions", verdict="lost", says=[CHANGED_NOTHING])
    return done


def put(lab: Lab, host: str, path: str, text: str, *, owner: str = "root:root", mode: str = "0644") -> None:
    """Write a file on a host."""
    at = shlex.quote(path)
    script = f'mkdir -p "$(dirname {at})" && cat > {at} && chown {owner} {at} && chmod {mode} {at}'
    lab.run(host, script, stdin=text)


def with_hosts(lab: Lab, to: Path, lines: dict[str, str], **ssh: object) -> Path:
    """The lab's inventory with other lines for some hosts (what stands between the braces), and other ssh settings."""
    text = lab.inventory_path.read_text(encoding="utf-8")
    for short, line in lines.items():
        name = lab.host(short).name
        text = re.sub(rf"^    {re.escape(name)}: .*$", f"    {name}: {{{line}}}", text, flags=re.MULTILINE)
    for key, value in ssh.items():
        text = re.sub(rf"^  {key}: .*$", f"  {key}: {value}", text, flags=re.MULTILINE)
    to.write_text(text, encoding="utf-8")
    return to


def mark_text(lab: Lab, recovery: str, survivor: str) -> str:
    """The mark of somebody's recovery, as a run writes it."""
    at = "2026-11-05T03:00:00Z"
    return mark.Mark(recovery, lab.record.spec.name, lab.host(survivor).name, "ada@desk", at).text()


def users_on(lab: Lab) -> list[Write]:
    """200 keys are written, then etcd's users and roles are switched on. Returns the writes."""
    writes = written(lab)
    for words in ("user add root:secret", "role add root", "user grant-role root root", "auth enable"):
        lab.etcdctl("etcd-0", words)
    return writes


def known_as(lab: Lab, to: Path, pairs: dict[str, str]) -> Path:
    """A known_hosts file in which hosts (and their addresses) are known by the keys of others: name → whose key."""
    lines = []
    for name, owner in pairs.items():
        key = (lab.secrets / owner / "ssh_host_ed25519_key.pub").read_text(encoding="ascii").split()[:2]
        lines.append(f"{lab.host(name).name} {' '.join(key)}\n")
    to.write_text("".join(lines), encoding="ascii")
    return to


def _certificate(lab: Lab, ca: Path, host: str, kind: str, *, names: str | None = None, ends: timedelta) -> str:
    """The host's certificate of this kind made anew, for its own key: other names, another end, another CA."""
    old = x509.load_pem_x509_certificate((lab.secrets / host / f"{kind}.crt").read_bytes())
    signer = x509.load_pem_x509_certificate((ca / "ca.crt").read_bytes())
    key = load_pem_private_key((ca / "ca.key").read_bytes(), None)
    now = datetime.now(timezone.utc)
    made = x509.CertificateBuilder(signer.subject, old.subject, old.public_key(), x509.random_serial_number())
    made = made.not_valid_before(now - timedelta(days=400)).not_valid_after(now + ends)
    address = x509.IPAddress(ip_address(lab.host(host).address))
    alternative = [address] if names is None else [x509.DNSName(names)]
    made = made.add_extension(x509.SubjectAlternativeName(alternative), critical=False)
    return made.sign(key, SHA256()).public_bytes(Encoding.PEM).decode()  # type: ignore[arg-type]


def install_certificates(lab: Lab, host: str, ca: Path, **how: object) -> None:
    """Server and peer certificate of a host from this CA; `names` (one DNS name) in place of its address, and `ends`."""
    for kind in ("server", "peer"):
        text = _certificate(lab, ca, host, kind, **how)  # type: ignore[arg-type]
        put(lab, host, f"/etc/etcd/{kind}.crt", text, owner="etcd:etcd", mode="0600")


def firewall(lab: Lab, host: str, verdict: str) -> None:
    """On the host's own side of its cable, for whoever comes to its peer port."""
    rule = f"table inet hazard {{ chain in {{ type filter hook input priority 0; tcp dport 2380 {verdict}; }}; }}"
    here(["ip", "netns", "exec", network.namespace(lab.record, lab.host(host)), "nft", rule])


def user_with(lab: Lab, sudoers: str, *, hosts: Sequence[str] = ("etcd-0", "etcd-1", "etcd-2")) -> None:
    """A user `ops` who may log in with the lab's key, and has these lines in sudoers."""
    script = """
id ops > /dev/null || useradd --create-home --shell /bin/bash ops
mkdir -p /home/ops/.ssh && cp /root/.ssh/authorized_keys /home/ops/.ssh/ && chown -R ops: /home/ops && chmod 700 /home/ops/.ssh
rm -f /etc/sudoers.d/*
"""
    for host in hosts:
        lab.run(host, script)
        put(lab, host, "/etc/sudoers.d/ops", sudoers, mode="0440")

"""What the hazard tests share: a run that must refuse and leave every host as it was, and states nobody wants.

Each test of `test_hazards_*.py` is a row of `docs/hazards.md`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from runbook_runs import Done, assert_told, run, state, written

from lab import Lab, checksums, network, shell, wait
from lab.parallel import in_parallel
from lab.spec import Host
from lab.writer import Write

LOST = ["etcd-1", "etcd-2"]
"""The hosts that a hazard of three members takes away; etcd-0 is left."""


def assert_refused(lab: Lab, *arguments: str, verdict: str, says: Iterable[str], inventory: Path | None = None) -> Done:
    """The runbook refuses, says why and what to do, and no file, process or member is another afterwards."""
    before = lab.checksums()
    done = run(lab, *arguments, inventory=inventory)
    assert checksums.changes(before, lab.checksums()) == []
    assert_told(done, exit=6, outcome="refused", verdict=verdict, says=[*says, "nothing was changed"])
    assert done.summary["changes_made"] == 0
    return done


def assert_verdict(lab: Lab, verdict: str, says: Iterable[str], inventory: Path | None = None) -> Done:
    """What the run would do, shown by its preconditions: the verdict and its words, and nothing is changed."""
    before = lab.checksums()
    done = run(lab, "--preconditions", inventory=inventory)
    assert checksums.changes(before, lab.checksums()) == []
    assert done.exit == 0, done.output
    assert "Traceback" not in done.output, done.output
    assert done.summary["verdict"] == verdict, done.output
    for words in says:
        assert words in done.output, f"expected {words!r} in:\n{done.output}"
    return done


def holding(lab: Lab, name: str, then: Callable[[], None]) -> list[Write]:
    """200 keys are written, all acknowledged; then `then` makes the state called `name`. Returns the writes."""

    def make() -> list[Write]:
        writes = written(lab)
        then()
        return writes

    return state(lab, f"hazard-{name}", make)


def whole(lab: Lab) -> list[Write]:
    """A healthy cluster with 200 keys."""
    return holding(lab, "whole", lambda: None)


def edited(lab: Lab, to: Path, *changes: tuple[str, str]) -> Path:
    """The lab's inventory with each first text replaced by the second, written to `to`."""
    text = lab.inventory_path.read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text, text
        text = text.replace(old, new)
    to.write_text(text, encoding="utf-8")
    return to


def line_of(lab: Lab, host: str) -> str:
    """The host's line in the lab's inventory."""
    where = lab.host(host)
    return f"{where.name}: {{address: {where.address}}}"


def stop(lab: Lab, hosts: Sequence[str | Host]) -> None:
    """Stop etcd, on all of these at once, and let systemd forget how often it failed."""
    in_parallel(lambda host: lab.run(host, "systemctl stop etcd; systemctl reset-failed etcd || true"), hosts)


def start(lab: Lab, hosts: Sequence[str | Host]) -> None:
    """Start etcd, on all of these at once, and do not wait for it."""
    in_parallel(lambda host: lab.run(host, "systemctl reset-failed etcd; systemctl start --no-block etcd"), hosts)


def empty(lab: Lab, hosts: Sequence[str | Host]) -> None:
    """Stop etcd on these hosts and destroy its data."""
    stop(lab, hosts)
    data = lab.record.spec.data_dir
    in_parallel(lambda host: lab.run(host, f"find {data} -mindepth 1 -delete"), hosts)


def found_a_cluster(lab: Lab, hosts: Sequence[str | Host]) -> None:
    """Emptied hosts found a cluster under the old IDs: etcd is stopped on all others, then started on these."""
    stop(lab, lab.hosts)
    empty(lab, hosts)
    start(lab, hosts)
    lab.wait_healthy([lab.host(one) for one in hosts])


def write_conf(lab: Lab, host: str | Host, variable: str, value: str) -> None:
    """Set one variable of a host's etcd.conf, which must be there."""
    path = "/etc/etcd/etcd.conf"
    lab.run(host, f"grep -q '^{variable}=' {path} && sed -i 's|^{variable}=.*|{variable}={value}|' {path}")


def wait_state(lab: Lab, host: str, wanted: str, within: float = 30) -> None:
    """Wait until systemd says of etcd that it is in a state (ActiveState)."""
    show = "systemctl show --property=ActiveState --value etcd"
    wait.until(lambda: lab.run(host, show).stdout.strip() == wanted, f"etcd on {host} is {wanted}", within)


def isolate(lab: Lab, host: str, port: int = 2380) -> None:
    """Drop what goes to or comes from a TCP port elsewhere: a firewall between this host and its peers. SSH works."""
    where = lab.host(host)
    peers = ", ".join(one.address for one in lab.hosts if one is not where)
    match = {"input": "saddr", "output": "daddr"}
    chains = [
        f"chain {hook} {{ type filter hook {hook} priority 0; ip {side} {{ {peers} }} tcp dport {port} drop; "
        f"ip {side} {{ {peers} }} tcp sport {port} drop; }}"
        for hook, side in match.items()
    ]
    rules = "table inet partition {\n" + "\n".join(chains) + "\n}\n"
    shell.run(["nsenter", f"--net=/run/netns/{network.namespace(lab.record, where)}", "nft", "-f", "-"], stdin=rules)


def certified(lab: Lab, host: str, kinds: Sequence[str], begins: float, ends: float, *, ca: bool = False) -> None:
    """Give a host certificates that are valid from `begins` to `ends` hours from now; or, `ca`, such a CA."""
    where, now = lab.host(host), datetime.now(timezone.utc)
    ca_file, key_file = lab.secrets / "ca/ca.crt", lab.secrets / "ca/ca.key"
    issuer = x509.load_pem_x509_certificate(ca_file.read_bytes())
    signer = serialization.load_pem_private_key(key_file.read_bytes(), None)
    assert isinstance(signer, rsa.RSAPrivateKey)
    for name in ["ca"] if ca else kinds:
        path = ca_file if ca else lab.secrets / where.short / f"{name}.crt"
        old = x509.load_pem_x509_certificate(path.read_bytes())
        made = (
            x509.CertificateBuilder(issuer.subject, old.subject, old.public_key(), x509.random_serial_number())
            .not_valid_before(now + timedelta(hours=begins))
            .not_valid_after(now + timedelta(hours=ends))
        )
        for one in old.extensions:
            made = made.add_extension(one.value, one.critical)
        pem = made.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        lab.run(host, f"cat > /etc/etcd/{name}.crt", stdin=pem.decode())


def remove_member(lab: Lab, host: str) -> None:
    """Remove a host's member from the cluster, as the first host of the lab lists it."""
    where = lab.host(host)
    listed = lab.etcdctl(lab.hosts[0], "member list").stdout.splitlines()
    (own,) = (line.partition(",")[0] for line in listed if where.peer_url in line)
    # For some seconds after a start etcd refuses: "unhealthy cluster".
    removed = lambda: lab.etcdctl(lab.hosts[0], "member", "remove", own, check=False).returncode == 0  # noqa: E731
    wait.until(removed, f"{where.name} is removed", 30)

"""What the hazard tests share: runs that must leave every host as it was, and what is done to hosts for them.

Each test of `test_hazards_*.py` is a row of `docs/hazards.md`.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta, timezone
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from runbook_runs import Done, assert_told, assert_whole, left_behind, run, state, written

from lab import Lab, checksums, machine, network, shell, wait
from lab.parallel import in_parallel
from lab.spec import Host
from lab.writer import Write

LOST = ["etcd-1", "etcd-2"]
"""The hosts that a hazard of three members takes away; etcd-0 is left."""


LATER = 100
"""So many keys were written after etcd-4 had been stopped."""

CHANGED_NOTHING = "nothing was changed"

FAILED_STEP = re.compile(
    r"^\w+ does not hold on .+\n  expected: .+\n(?:.*\n)*?  found: .+\n(?:.*\n)*?  changed: .+\n  next: .*(?:\n {12}.+)*",
    re.MULTILINE,
)
BEFORE_ANY_STEP = re.compile(r"^refused   .+: expected .+; found (?:.*\n)*?next {6}.+", re.MULTILINE)
"""How a refusal is told, from its first word to what to do next: by a step, or by the survey."""


def refused(
    lab: Lab,
    verdict: str,
    says: Iterable[str],
    *,
    inventory: Path | None = None,
    by_itself: Sequence[str] = (),
    of_all: bool = False,
) -> Done:
    """The runbook says no, in these words, and changes nothing: no file, process or member is another afterwards.

    Not compared is what the test says changes `by_itself`: how its names begin in lab/checksums.py. `of_all`: what is found
    is so of every host, and none is named. `verdict` is empty where the survey itself is refused.
    """
    before = lab.checksums()
    done = run(lab, inventory=inventory)
    changes = checksums.changes(before, lab.checksums())
    assert [line for line in changes if not any(f".com: {name}" in line for name in by_itself)] == []
    assert_told(done, exit=6, outcome="refused", verdict=verdict, says=[*says, CHANGED_NOTHING])
    assert done.summary["changes_made"] == 0
    assert_says_where_and_what_next(lab, done, of_all=of_all)
    return done


def assert_says_where_and_what_next(lab: Lab, done: Done, *, of_all: bool = False) -> None:
    """Each reason has what was expected and what was found, a host (unless it is so `of_all`), and what to do next."""
    told = FAILED_STEP.findall(done.output) or BEFORE_ANY_STEP.findall(done.output)
    assert told, done.output
    for reason in told:
        assert re.search(r"^ *next:? +\S", reason, re.MULTILINE), f"nothing to do is said:\n{reason}"
        assert of_all or any(host.name in reason for host in lab.machines), f"no host is named:\n{reason}"


def may_go_on(lab: Lab, says: Iterable[str] = (), *, inventory: Path | None = None) -> Done:
    """The quorum is lost, said in these words; the runbook's preconditions hold, and looking changes nothing."""
    before = lab.checksums()
    done = run(lab, "--preconditions", inventory=inventory)
    assert checksums.changes(before, lab.checksums()) == []
    assert_told(done, exit=0, outcome="preconditions", verdict="lost", says=[*says, CHANGED_NOTHING])
    return done


def recovers(lab: Lab, writes: Iterable[Write], says: Iterable[str], *, inventory: Path | None = None) -> Done:
    """The quorum is lost, said in these words; every host is a member in the end, and no acknowledged write is missing."""
    done, members = run(lab, inventory=inventory), len(lab.hosts)
    says = [*says, f"{members} of {members} members"]
    assert_told(done, exit=0, outcome="recovered", verdict="lost", says=says)
    assert_whole(lab, writes)
    assert left_behind(lab) == []
    return done


def healthy(lab: Lab, says: Iterable[str], *, inventory: Path | None = None) -> Done:
    """There is nothing to do, said in these words, and nothing is changed."""
    before = lab.checksums()
    done = run(lab, inventory=inventory)
    assert checksums.changes(before, lab.checksums()) == []
    assert_told(done, exit=0, outcome="healthy", verdict="healthy", says=says)
    return done


def assert_never_forced(done: Done) -> None:
    """The run recovered with the quorum: nothing was forced."""
    assert "test_force_new_cluster" not in done.journal.read_text(encoding="utf-8")


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


def naming_survivor(lab: Lab, to: Path, survivor: str, more: str = "") -> Path:
    """The lab's inventory with this host for its survivor, and further lines, written to `to`."""
    return edited(lab, to, ("  survivor: auto\n", f"  survivor: {lab.host(survivor).name}\n{more}"))


def line_of(lab: Lab, host: str) -> str:
    """The host's line in the lab's inventory."""
    where = lab.host(host)
    return f"{where.name}: {{address: {where.address}}}"


def stop(lab: Lab, hosts: Sequence[str | Host]) -> None:
    """Stop etcd, on all of these at once, and let systemd forget how often it failed.

    One that led, and whose peers have lost power, does not end by itself (docs/adr/0010-etcd-is-helped-to-stop.md).
    """
    script = "timeout 20 systemctl stop etcd || systemctl kill -s KILL etcd; systemctl stop etcd"
    in_parallel(lambda host: lab.run(host, f"{script}; systemctl reset-failed etcd || true"), hosts)


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


def stale_runs(lab: Lab) -> list[Write]:
    """Of five members etcd-0 holds the most and is stopped, etcd-4 is behind and runs; the others are emptied.

    Returns every write, the LATER ones last.
    """

    def make() -> list[Write]:
        writes = written(lab)
        stop(lab, ["etcd-4"])
        writes += written(lab, LATER, [f"etcd-{n}" for n in range(4)])
        stop(lab, ["etcd-0"])
        empty(lab, ["etcd-1", "etcd-2", "etcd-3"])
        start(lab, ["etcd-4"])
        lab.wait_peers_listen([lab.host("etcd-4")])
        return writes

    return state(lab, "hazard-stale-runs", make)


def write_conf(lab: Lab, host: str | Host, variable: str, value: str) -> None:
    """Set one variable of a host's etcd.conf, which must be there."""
    path = "/etc/etcd/etcd.conf"
    lab.run(host, f"grep -q '^{variable}=' {path} && sed -i 's|^{variable}=.*|{variable}={value}|' {path}")


def wait_state(lab: Lab, host: str, wanted: str, within: float = 30) -> None:
    """Wait until systemd says of etcd that it is in a state (ActiveState)."""
    show = "systemctl show --property=ActiveState --value etcd"
    wait.until(lambda: lab.run(host, show).stdout.strip() == wanted, f"etcd on {host} is {wanted}", within)


def put(lab: Lab, host: str, path: str, text: str, *, owner: str = "root:root", mode: str = "0644") -> None:
    """Write a file on a host."""
    at = shlex.quote(path)
    script = f'mkdir -p "$(dirname {at})" && cat > {at} && chown {owner} {at} && chmod {mode} {at}'
    lab.run(host, script, stdin=text)


def put_other_etcd(lab: Lab, hosts: Iterable[str], version: str = "3.5.16") -> None:
    """Another etcd comes first in the path of each host, with an etcdctl, as of a package: a stand-in that never starts."""
    says = f'#!/bin/sh\n[ "$1" = --version ] && exec echo "etcd Version: {version}"\necho panic: another etcd >&2; exit 1\n'
    ctl = "for at in /usr/bin/etcdctl /var/lib/openshift-images/etcd/usr/bin/etcdctl; do [ ! -x $at ] || break; done"
    for host in hosts:
        put(lab, host, "/usr/local/bin/etcd", says, mode="0755")
        lab.run(host, f"{ctl}; ln -sf $at /usr/local/bin/etcdctl")
        assert lab.run(host, "type -P etcd").stdout == "/usr/local/bin/etcd\n"


def take_port(lab: Lab, host: str, port: int) -> None:
    """Another process than etcd listens on a port of a host."""
    listen = f"push @kept, IO::Socket::INET->new(Listen => 5, LocalPort => {port}); sleep"
    lab.run(host, f"systemd-run --unit=other perl -MIO::Socket::INET -e '{listen}'")
    wait.until(lambda: machine.listens(lab.record, lab.host(host), port), "the other process listens", 10)


def firewall(lab: Lab, host: str, verdict: str = "drop", *, both_ways: bool = False) -> None:
    """On the host's own side of its cable, for whoever comes to its peer port; or, both ways, for all that peers say."""
    rules = f"iifname != lo tcp dport 2380 {verdict}"
    chains = [f"chain in {{ type filter hook input priority 0; {rules}; }}"]
    if both_ways:
        ports = f"tcp sport 2380 {verdict}; tcp dport 2380 {verdict}"
        chains = [
            f"chain {hook} {{ type filter hook {hook} priority 0; {side} lo accept; {ports}; }}"
            for hook, side in (("input", "iifname"), ("output", "oifname"))
        ]
    table = f"table inet hazard {{ {'; '.join(chains)}; }}"
    shell.run(["ip", "netns", "exec", network.namespace(lab.record, lab.host(host)), "nft", table])


def certified(
    lab: Lab,
    host: str,
    kinds: Sequence[str] = ("server", "peer"),
    *,
    begins: timedelta = timedelta(days=-400),
    ends: timedelta = timedelta(days=400),
    names: str | None = None,
    ca: Path | None = None,
) -> None:
    """A host's certificates of these kinds (or `ca`) made anew, for the keys that are there.

    Another time; one DNS name in place of the host's address; signed by another CA (its folder).
    """
    signer_at = ca or lab.secrets / "ca"
    signer = x509.load_pem_x509_certificate((signer_at / "ca.crt").read_bytes())
    key = load_pem_private_key((signer_at / "ca.key").read_bytes(), None)
    address = x509.IPAddress(ip_address(lab.host(host).address))
    now = datetime.now(timezone.utc)
    for kind in kinds:
        folder = signer_at if kind == "ca" else lab.secrets / lab.host(host).short
        old = x509.load_pem_x509_certificate((folder / f"{kind}.crt").read_bytes())
        made = x509.CertificateBuilder(signer.subject, old.subject, old.public_key(), x509.random_serial_number())
        made = made.not_valid_before(now + begins).not_valid_after(now + ends)
        if kind == "ca":
            for one in old.extensions:
                made = made.add_extension(one.value, one.critical)
        else:
            alternative = [address] if names is None else [x509.DNSName(names)]
            made = made.add_extension(x509.SubjectAlternativeName(alternative), critical=False)
        text = made.sign(key, SHA256()).public_bytes(Encoding.PEM).decode()  # type: ignore[arg-type]
        put(lab, host, f"/etc/etcd/{kind}.crt", text, owner="etcd:etcd", mode="0600")


def change_a_value(lab: Lab, host: str) -> None:
    """One value is another on this host's disk, and it lives again: what bbolt does not notice, and hashkv does."""
    stop(lab, [host])
    lab.run(host, f"sed -i 's/value 7 /value 8 /g' {lab.record.spec.data_dir}/member/snap/db")
    start(lab, [host])
    lab.wait_healthy()


def refused_for_other_data(lab: Lab, host: str) -> None:
    """Step 14 says no: this host's member, which answers, does not hold what the others do."""
    refused(lab, "healthy", ["FAILED   14", f"{host}.example.com has hash", "find out which members hold your data"])


def remove_member(lab: Lab, host: str) -> None:
    """Remove a host's member from the cluster; another one, which is asked for it, has to live."""
    where = lab.host(host)
    speaker = next(other for other in lab.hosts if other != where)
    listed = lab.etcdctl(speaker, "member list").stdout.splitlines()
    (own,) = (line.partition(",")[0] for line in listed if where.peer_url in line)
    # For some seconds after a start etcd refuses: "unhealthy cluster".
    removed = lambda: lab.etcdctl(speaker, "member", "remove", own, check=False).returncode == 0  # noqa: E731
    wait.until(removed, f"{where.name} is removed", 30)


def leave(lab: Lab, host: str) -> None:
    """Stop the member, and remove it by hand: a quorum answers, and its data is on its host."""
    lab.run(host, "systemctl stop etcd")
    remove_member(lab, host)


def tree(lab: Lab, host: str, *folders: str) -> str:
    """Every file in these folders with its checksum, owner and mode; an attic of a recovery that was undone apart."""
    paths = " ".join(folders)
    return lab.run(
        host,
        f"find {paths} -path '*-after' -prune -o -type f -print0 | sort -z | xargs -0 sha256sum; "
        f"find {paths} -path '*-after' -prune -o -printf '%p %u:%g %m\\n' | sort",
    ).stdout

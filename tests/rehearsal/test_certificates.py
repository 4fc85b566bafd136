"""Certificates of a host that joins: made for a new one as the installer does it, refused where they will not do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hazards import edited, line_of
from runbook_runs import Done, assert_told, assert_whole, declared_lost, left_behind, run, state, written
from sabotage import sabotaged

from lab import Lab, checksums, masters
from lab.spec import IN_CONTAINERS, ON_MASTERS, Host
from lab.writer import Write

Labs = Callable[..., Lab]

NEW, OTHER = "etcd-2", "etcd-1"
CA_HOST = "etcd-0"
KINDS = ("server", "peer")
STEP = f"test_make_certificates[{NEW}.example.com]"
MAKING = "its certificates (server, peer) are made in step 39, and signed on etcd-0.example.com"
FOLDER = "/var/lib/requorum/certificates"

full = pytest.mark.full


def replaced(lab: Lab) -> list[Write]:
    """Two of three are lost: one comes back empty, in place of the other there is a new host without certificates."""

    def make() -> list[Write]:
        writes = written(lab)
        _, other, new = lab.hosts
        lab.power_off(new, other)
        lab.destroy_data(other)
        lab.boot(other)
        lab.boot(new, new=True, certificates=False)
        return writes

    return state(lab, "certificates-replaced", make)


def certificate(lab: Lab, host: Host, path: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(lab.run(host, f"cat {path}").stdout.encode())


def serials(lab: Lab) -> list[str]:
    """The serials in the CA's database, in its order."""
    lines = lab.run(lab.hosts[0], "cat /etc/etcd/ca/index.txt").stdout.splitlines()
    return [line.split("\t")[3] for line in lines]


def assert_as_installed(lab: Lab, where: Host, *also: str) -> None:
    """Names, usages, days, owner and mode as the installer's; the CA's database has them, each serial once."""
    known = serials(lab)
    assert len(known) == len(set(known))
    assert lab.run(lab.hosts[0], "cat /etc/etcd/ca/serial").stdout.strip() not in known
    ca = certificate(lab, lab.hosts[0], "/etc/etcd/ca/ca.crt")
    for kind in KINDS:
        made = certificate(lab, where, f"/etc/etcd/{kind}.crt")
        made.verify_directly_issued_by(ca)
        assert [one.value for one in made.subject.get_attributes_for_oid(NameOID.COMMON_NAME)] == [where.name]
        names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert [str(one) for one in names.get_values_for_type(x509.IPAddress)] == [where.address]
        assert names.get_values_for_type(x509.DNSName) == [where.name, *also]
        usages = made.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        assert set(usages) == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
        assert made.not_valid_after_utc - made.not_valid_before_utc == timedelta(days=1825)
        serial = f"{made.serial_number:02X}"
        assert serial in known
        kept = certificate(lab, lab.hosts[0], f"/etc/etcd/ca/certs/{serial}.pem")
        assert kept == made
    paths = "/etc/etcd/{ca.crt,server.crt,server.key,peer.crt,peer.key}"
    modes = lab.run(where, f"stat -c '%U:%G %a' {paths}").stdout.splitlines()
    assert modes == [f"{'root:root' if lab.record.spec.topology in IN_CONTAINERS else 'etcd:etcd'} 600"] * 5


def test_the_lab_has_what_the_installer_leaves_behind(lab3: Lab) -> None:
    """The CA, and what it made for each host, on the first one; on the others its folder is there, and empty."""
    first, *others = lab3.hosts
    sums = "sha256sum ca.crt {server,peer}.{crt,key}"
    for host in lab3.hosts:
        assert_as_installed(lab3, host)
        own = lab3.run(host, f"cd /etc/etcd && {sums}").stdout
        kept = f"/etc/etcd/generated_certs/etcd-{host.name}"
        assert lab3.run(first, f"cd {kept} && {sums}").stdout == own
        packed = f"mkdir /root/{host.short} && cd /root/{host.short} && tar -xzf {kept}.tgz"
        assert lab3.run(first, f"{packed} && {sums}").stdout == own
    for host in others:
        seen = "stat -c '%U %a' /etc/etcd/ca; ls -A /etc/etcd/ca; ls -d /etc/etcd/generated_certs"
        assert lab3.run(host, seen, check=False).stdout == "root 700\n"


def assert_no_key_anywhere(lab: Lab, done: Done) -> None:
    """No private key in the run's folder but in the fetched backups, none left beside the ones in use."""
    assert done.folder is not None
    for path in done.folder.rglob("*"):
        if path.is_file() and "backup" not in path.parts:
            assert b"PRIVATE KEY" not in path.read_bytes(), path
    assert lab.run(lab.hosts[2], f"ls -A {FOLDER} 2>/dev/null || true").stdout == ""
    assert lab.run(lab.hosts[0], f"ls -A {FOLDER} 2>/dev/null || true").stdout == ""


def recovered(lab: Lab, done: Done, writes: Sequence[Write], *also: str) -> None:
    verdict = str(done.summary["verdict"])
    assert_told(done, exit=0, outcome="recovered", verdict=verdict, says=["3 of 3 members"])
    assert_whole(lab, writes)
    assert left_behind(lab) == []
    assert_as_installed(lab, lab.hosts[2], *also)


@pytest.mark.system("a new host, new certificates")
def test_a_new_host_gets_certificates(lab3: Lab) -> None:
    """2 of 3 lost, one replaced by a host without certificates: 3 of 3, and its certificates are as the installer's."""
    writes = replaced(lab3)
    done = run(lab3)
    recovered(lab3, done, writes)
    assert MAKING in done.output
    assert_no_key_anywhere(lab3, done)


@full
def test_a_new_host_whose_kernel_has_a_name_without_its_domain(lab3: Lab) -> None:
    """The installer goes by `hostname -f`, and masters call a member by that."""
    writes = replaced(lab3)
    lab3.run(NEW, f"hostname {NEW}")
    recovered(lab3, run(lab3), writes, NEW)


@pytest.mark.system("a new host, new certificates")
@full
@pytest.mark.parametrize("topology", ["colocated", "container", "static-pod"])
def test_other_topologies(labs: Labs, topology: str) -> None:
    """A new master is given etcd's certificates, and has its own already."""
    lab = labs(topology=topology)
    if topology in ON_MASTERS:
        masters.wait_ready(lab)
    writes = replaced(lab)
    done = run(lab, timeout=400)
    recovered(lab, done, writes)
    assert_no_key_anywhere(lab, done)


@full
def test_the_plan_shows_what_would_be_made(lab3: Lab) -> None:
    replaced(lab3)
    before = lab3.checksums()
    for mode in ("--plan", "--preconditions"):
        done = run(lab3, mode)
        assert done.exit == 0, done.output
        assert MAKING in done.output
    plan = run(lab3, "--plan").report.read_text(encoding="utf-8")
    for words in ("openssl req -new", "openssl ca -name etcd_ca", "-extensions etcd_v3_ca_peer", "/etc/etcd/peer.key"):
        assert words in plan
    assert checksums.changes(before, lab3.checksums()) == []


@full
@pytest.mark.parametrize("change", range(1, 9))
def test_killed_after_each_change_and_resumed(lab3: Lab, change: int) -> None:
    """Two requests, two signatures, three files, and putting them in place; no serial is used twice, no key is lost."""
    writes = replaced(lab3)
    first = sabotaged(lab3, {"point": f"{STEP} change {change}", "how": "after"})
    assert first.returncode == -9, first.stdout
    known = serials(lab3)
    recovered(lab3, run(lab3), writes)
    signed = min(2, max(0, change - 2))
    assert len(serials(lab3)) == len(known) + 2 - signed, "what was signed before the kill is used"


@full
@pytest.mark.parametrize("point", ["placing", "forgetting"])
def test_killed_in_the_middle_of(lab3: Lab, point: str) -> None:
    """The host loses power with all but the last file in place; the requests are gone and the run is not over."""
    writes = replaced(lab3)
    if point == "placing":
        # Each file takes its place by way of mktemp: the change's own shell is killed at the last one.
        shim = '#!/bin/bash\ncase $1 in /etc/etcd/ca.crt.*) kill -9 $PPID;; esac\nexec /usr/bin/mktemp "$@"\n'
        lab3.run(NEW, "cat > /usr/local/bin/mktemp && chmod 755 /usr/local/bin/mktemp", stdin=shim)
        done = run(lab3)
        assert_told(done, exit=1, outcome="failed", verdict="lost", says=[f"FAILED   39  {NEW}.example.com"])
        placed = lab3.run(NEW, "cd /etc/etcd && echo *.crt *.key").stdout.split()
        assert placed == ["peer.crt", "server.crt", "peer.key", "server.key"]
        lab3.run(NEW, "rm /usr/local/bin/mktemp")
        lab3.power_off(NEW)
        lab3.boot(NEW)
    else:
        first = sabotaged(lab3, {"point": f"test_forget_issuing[{NEW}.example.com] change 1", "how": "before"})
        assert first.returncode == -9, first.stdout
        assert lab3.run(NEW, f"ls {FOLDER}").stdout
    done = run(lab3)
    recovered(lab3, done, writes)
    assert_no_key_anywhere(lab3, done)


@full
def test_an_abort_takes_them_away_again(lab3: Lab) -> None:
    """The host is as it was; what the CA has issued stays in its database."""
    replaced(lab3)
    before = lab3.checksums()
    first = sabotaged(lab3, {"point": "test_stop_survivor[etcd-0.example.com] change 1", "how": "after"})
    assert first.returncode == -9, first.stdout
    done = run(lab3, "--abort")
    assert_told(done, exit=0, outcome="aborted", verdict="lost", says=["undone: every host is as it was found"])
    changed = [line for line in checksums.changes(before, lab3.checksums()) if ": /backup" not in line]
    assert [line for line in changed if "/etc/etcd/ca/" not in line] == []
    assert lab3.run(NEW, "ls /etc/etcd").stdout.split() == ["etcd.conf"]


@full
def test_certificates_that_will_not_do_are_replaced_by_the_operators_word_alone(lab3: Lab, tmp_path: Path) -> None:
    """A key of another certificate: refused with nothing changed; with `certificates: make` replaced, and kept aside."""
    writes = replaced(lab3)
    lab3.power_off(NEW)
    lab3.boot(NEW, new=True)
    lab3.run(NEW, "cp /etc/etcd/server.key /etc/etcd/peer.key")
    old = lab3.run(NEW, "cat /etc/etcd/server.crt").stdout
    assert_refused(lab3, "/etc/etcd/peer.key is not the key of /etc/etcd/peer.crt")
    line = line_of(lab3, NEW)
    inventory = edited(lab3, tmp_path / "inventory.yaml", (line, line.replace("}", ", certificates: make}")))
    recovered(lab3, run(lab3, inventory=inventory), writes)
    assert lab3.run(NEW, "cat /etc/etcd/replaced-by-requorum-*/etc/etcd/server.crt").stdout == old
    known = serials(lab3)
    assert run(lab3, inventory=inventory).exit == 0
    assert serials(lab3) == known, "certificates that will do are not made again"


def assert_refused(lab: Lab, *says: str, inventory: Path | None = None) -> None:
    before = lab.checksums()
    done = run(lab, inventory=inventory)
    assert checksums.changes(before, lab.checksums()) == []
    assert_told(done, exit=6, outcome="refused", verdict="lost", says=[*says, "nothing was changed"])


@full
@pytest.mark.parametrize(
    ("broken", "says"),
    [
        ("chmod 0644 /etc/etcd/peer.key", "is a private key that everybody on the host may read: chmod o="),
        ("chown root: /etc/etcd/peer.key", "/etc/etcd/peer.key (ETCD_PEER_KEY_FILE) is not there or not readable"),
        ("rm /etc/etcd/peer.key", "/etc/etcd/peer.key (ETCD_PEER_KEY_FILE) is not there or not readable"),
    ],
)
def test_what_is_there_and_wrong_is_refused(lab3: Lab, broken: str, says: str) -> None:
    replaced(lab3)
    lab3.power_off(NEW)
    lab3.boot(NEW, new=True)
    lab3.run(NEW, broken)
    assert_refused(lab3, says)


@full
def test_the_host_of_the_ca_is_lost(lab3: Lab, tmp_path: Path) -> None:
    """Said, with the consequence; the others go on with their own certificates, and nobody makes a new CA."""
    writes = written(lab3)
    lab3.power_off(CA_HOST, NEW)
    lab3.destroy_data(NEW)
    lab3.boot(NEW)
    inventory = declared_lost(lab3, [CA_HOST], tmp_path / "inventory.yaml")
    said = "no reached host holds the CA's key, /etc/etcd/ca/ca.key; it may lie on etcd-0.example.com, silent"
    done = run(lab3, inventory=inventory)
    says = [said, "would silently make a new CA", "2 of 3 members"]
    assert_told(done, exit=0, outcome="recovered", verdict="lost", says=says)
    assert_whole(lab3, writes, [OTHER, NEW])


@full
def test_a_new_host_and_no_ca(lab3: Lab, tmp_path: Path) -> None:
    """Refused before anything is changed, with both ways out; without the new host the others are recovered."""
    writes = written(lab3)
    lab3.power_off(CA_HOST, NEW)
    lab3.boot(CA_HOST, new=True, certificates=False)
    lab3.destroy_data(NEW)
    lab3.boot(NEW)
    needs = "it needs certificates (server, peer), and no reached host holds the CA's key"
    assert_refused(lab3, needs, "Bring its host back", "`rejoin:`")
    inventory = edited(lab3, tmp_path / "inventory.yaml", ("  hosts:\n", f"  rejoin: [{NEW}.example.com]\n  hosts:\n"))
    done = run(lab3, inventory=inventory)
    assert_told(done, exit=0, outcome="recovered", verdict="lost", says=["2 of 3 members"])
    assert_whole(lab3, writes, [OTHER, NEW])


@full
def test_the_ca_lies_on_a_member_that_nothing_else_is_done_to(lab3: Lab) -> None:
    """With a quorum: the leader speaks for the cluster, another member signs, and its CA is in the backup first."""
    writes = written(lab3)
    lab3.lead(OTHER)
    lab3.power_off(NEW)
    lab3.boot(NEW, new=True, certificates=False)
    done = run(lab3)
    assert done.summary["survivor"] == lab3.host(OTHER).name
    recovered(lab3, done, writes)
    kept = lab3.run(CA_HOST, "cat /backup/etcd-config-*/ca/serial").stdout
    assert lab3.run(CA_HOST, "cat /etc/etcd/ca/serial").stdout != kept


@full
def test_openssl_was_killed_while_it_wrote_the_database(lab3: Lab) -> None:
    """Between its renames, and after it had written a certificate that its database does not have."""
    writes = replaced(lab3)
    script = """cd /etc/etcd/ca && cp -p serial serial.new && mv serial serial.old
cp -p index.txt index.txt.new && mv index.txt index.txt.old
cp certs/10.pem "certs/$(cat serial.new).pem" """
    lab3.run(CA_HOST, script)
    recovered(lab3, run(lab3), writes)

"""Hazards around the members: hosts, logins, certificates, other people. See docs/hazards.md, *Surroundings*.

Each test builds its state for real, and holds the verdict, what is said, and that nothing was changed. Where nothing
else is said, etcd-1 and etcd-2 have lost their data, etcd-0 is to be the survivor, and the loss alone would be recovered.
"""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest
from hazards import (
    LOST,
    certified,
    firewall,
    may_go_on,
    put,
    put_other_etcd,
    refused,
    stop,
    write_conf,
)
from power_loss import assert_tail_kept, grow_tail
from runbook_runs import assert_told, broken, run
from surroundings import fingerprint, known_as, mark_text, user_with, with_hosts

from lab import Lab, pki
from requorum.facts import mark, unit

FULL = pytest.mark.full
DROP_IN = "/etc/systemd/system/etcd.service.d/temp.conf"
FLAG = "[Service]\nExecStart=\nExecStart=/usr/bin/etcd --force-new-cluster\n"
VARIABLE = "[Service]\nEnvironment=ETCD_FORCE_NEW_CLUSTER=true\n"


@pytest.fixture
def lost(lab3: Lab) -> Lab:
    """etcd-1 and etcd-2 have lost their data, and their etcd is stopped; the runbook would recover this.

    Stopped, since emptied members found a cluster of their own as soon as they cannot reach the survivor, or trust it.
    """
    broken(lab3, LOST, "destroyed")
    stop(lab3, LOST)
    return lab3


# -- somebody has been at work -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "text", "reload"),
    [
        pytest.param(DROP_IN, VARIABLE, True, id="variable"),
        pytest.param(DROP_IN, FLAG, True, id="flag", marks=FULL),
        pytest.param(DROP_IN, FLAG, False, id="not-reloaded", marks=FULL),
        pytest.param("/etc/etcd/etcd.conf", 'ETCD_FORCE_NEW_CLUSTER="true"\n', False, id="etcd.conf", marks=FULL),
    ],
)
@pytest.mark.parametrize("host", ["etcd-0", pytest.param("etcd-1", marks=FULL)])
def test_forced_by_hand_on_the_start_path(lost: Lab, host: str, path: str, text: str, reload: bool) -> None:
    """What is left of somebody's try would throw every new member out at the next start."""
    old = lost.run(host, f"cat {path} 2>/dev/null || true").stdout
    put(lost, host, path, old + text)
    if reload:
        lost.run(host, "systemctl daemon-reload")
    does = "At its next start it would throw every other member out; take it away"
    says = [lost.host(host).name, f"somebody has forced a new cluster here already: in {path}", does]
    refused(lost, "lost", says)


@pytest.mark.parametrize(
    ("text", "how"),
    [(FLAG, "--force-new-cluster"), (VARIABLE, "ETCD_FORCE_NEW_CLUSTER")],
    ids=["argv", "environ"],
)
@pytest.mark.full
def test_forced_by_hand_and_alive(lost: Lab, text: str, how: str) -> None:
    """The chapter by hand, up to its forced start; the drop-in is gone, the process still forces."""
    put(lost, "etcd-0", DROP_IN, text)
    lost.run("etcd-0", f"systemctl daemon-reload && systemctl restart etcd && rm {DROP_IN} && systemctl daemon-reload")
    lost.wait_healthy(["etcd-0"])
    refused(lost, "unfinished", [f"{how} in the living process", "somebody has forced a new cluster here already"])


@pytest.mark.full
def test_a_force_waits_on_a_healthy_cluster(lab3: Lab) -> None:
    """It is not healthy: the next reboot of that host would end it."""
    lab3.run("etcd-1", "echo ETCD_FORCE_NEW_CLUSTER=true >> /etc/etcd/etcd.conf")
    says = [f"{lab3.host('etcd-1').name} forces a new cluster, and Requorum did not say so: in /etc/etcd/etcd.conf"]
    refused(lab3, "unfinished", says)


@pytest.mark.full
def test_the_survivor_of_an_unfinished_run_is_silent(lab3: Lab) -> None:
    """It may be forced, alive and written to: the old members must not be started, though they are a quorum."""
    broken(lab3, LOST, "stopped")
    for host in ("etcd-1", "etcd-2"):
        put(lab3, host, mark.PATH, mark_text(lab3, "20261105T030000Z", "etcd-0"), mode="0600")
        put(lab3, host, unit.FENCE, "[Unit]\nAssertPathExists=/this-host-is-fenced-by-requorum\n")
        lab3.run(host, "systemctl daemon-reload")
    lab3.power_off("etcd-0")
    says = [
        "recovery 20261105T030000Z by ada@desk is unfinished, and may have forced its survivor etcd-0.example.com",
        "bring up etcd-0.example.com with its data",
        "or, if it will not come back, write `lost: true`",
    ]
    done = refused(lab3, "unproven", says)
    assert "systemctl start etcd" not in done.output


@pytest.mark.full
def test_unfinished_runs_of_two_survivors(lost: Lab) -> None:
    """Two operators, two machines: which of them has forced cannot be seen from here."""
    put(lost, "etcd-0", mark.PATH, mark_text(lost, "20261105T030000Z", "etcd-0"), mode="0600")
    put(lost, "etcd-1", mark.PATH, mark_text(lost, "20261105T040000Z", "etcd-1"), mode="0600")
    said = "bears the mark of recovery 20261105T0{}0000Z by ada@desk, survivor {}.example.com"
    says = [f"etcd-{n}.example.com {said.format(3 + n, f'etcd-{n}')}" for n in (0, 1)]
    says.append(f"on the hosts that bear the other mark: rm {mark.PATH}")
    refused(lost, "unproven", says)


# -- which machine is this ---------------------------------------------------------------------------------------------


def test_two_names_of_one_machine(lost: Lab, tmp_path: Path) -> None:
    """The survivor under a second name would be fenced, and emptied as a joiner."""
    second = lost.host("etcd-0").address.rpartition(".")[0] + ".200"
    lost.run(
        "etcd-0",
        f"ip address add {second}/24 dev $(ip -o -4 route show scope link | sed 's/.* dev \\([^ ]*\\).*/\\1/')",
    )
    known = known_as(lost, tmp_path / "known", {"etcd-0": "etcd-0", "etcd-1": "etcd-0", "etcd-2": "etcd-2"})
    inventory = with_hosts(lost, tmp_path / "i.yaml", {"etcd-1": f"address: {second}"}, known_hosts=known)
    says = ["etcd-0.example.com and etcd-1.example.com lead to the same machine", "correct the address of"]
    refused(lost, "unproven", says, inventory=inventory)


@pytest.mark.full
def test_exchanged_addresses(lost: Lab, tmp_path: Path) -> None:
    """`lost: true`, or `survivor:`, would mean another machine than the operator has in mind."""
    one, other = lost.host("etcd-0"), lost.host("etcd-2")
    pairs = {"etcd-0": "etcd-2", "etcd-1": "etcd-1", "etcd-2": "etcd-0"}
    known = known_as(lost, tmp_path / "known", pairs)
    lines = {"etcd-0": f"address: {other.address}", "etcd-2": f"address: {one.address}"}
    says = [
        f"the machine that {one.name} leads to calls itself {other.name}",
        f"are the addresses of {one.name} and {other.name} exchanged?",
    ]
    refused(lost, "unproven", says, inventory=with_hosts(lost, tmp_path / "i.yaml", lines, known_hosts=known))


@pytest.mark.full
def test_a_machine_with_another_name(lost: Lab) -> None:
    """Nobody else's name: the host key says that it is the right machine."""
    lost.run("etcd-0", "hostname node-7.internal")
    done = may_go_on(lost)
    assert "node-7.internal" in done.report.read_text(encoding="utf-8")


# -- the joiners -------------------------------------------------------------------------------------------------------


def test_a_joiner_of_another_ca(lost: Lab, tmp_path: Path) -> None:
    """Its own files agree with each other: only beside the survivor's they are wrong."""
    pki.make_ca(tmp_path / "ca")
    certified(lost, "etcd-2", ca=tmp_path / "ca")
    put(lost, "etcd-2", "/etc/etcd/ca.crt", (tmp_path / "ca/ca.crt").read_text(), owner="etcd:etcd", mode="0600")
    says = [
        "the peer certificate of etcd-2.example.com is not signed by the CA that etcd-0.example.com trusts",
        "the peer certificate of etcd-0.example.com is not signed by the CA that etcd-2.example.com trusts",
    ]
    refused(lost, "lost", says)


@pytest.mark.full
def test_a_joiner_with_expired_certificates(lost: Lab) -> None:
    certified(lost, "etcd-2", ends=timedelta(days=-1))
    done = refused(lost, "lost", ["etcd-2.example.com"])
    dates = r"/etc/etcd/peer\.crt is valid from \d{4}-\d\d-\d\d to \d{4}-\d\d-\d\d, and the time is \d{4}-\d\d-\d\d"
    assert re.search(dates, done.output), done.output


@pytest.mark.full
def test_a_joiner_without_its_own_name(lost: Lab) -> None:
    certified(lost, "etcd-2", names="old-name.example.com")
    address = lost.host("etcd-2").address
    refused(lost, "lost", [f"/etc/etcd/peer.crt does not name {address} (it names old-name.example.com)"])


@pytest.mark.parametrize("version", ["3.5.16", "3.3.25"])
@pytest.mark.full
def test_a_joiner_of_another_release(lost: Lab, version: str) -> None:
    """A stand-in: a wrapper that says another version."""
    wrapper = f'#!/bin/sh\n[ "$1" != --version ] || exec echo "etcd Version: {version}"\nexec /usr/bin/etcd.real "$@"\n'
    lost.run("etcd-2", "mv /usr/bin/etcd /usr/bin/etcd.real")
    put(lost, "etcd-2", "/usr/bin/etcd", wrapper, mode="0755")
    refused(lost, "lost", ["etcd-2.example.com", f"etcd {version} here, 3.4.23 on etcd-0.example.com"])


@pytest.mark.full
def test_the_version_is_that_of_the_unit_s_binary(lost: Lab) -> None:
    """A newer etcd that lies in an administrator's path and that no unit starts is not the member's, nor tried on the copy."""
    put_other_etcd(lost, ["etcd-0", "etcd-2"])
    grow_tail(lost, "etcd-0")
    done = run(lost)
    assert_told(done, exit=0, outcome="recovered", verdict="lost", says=["3 of 3 members"])
    assert_tail_kept(done)


@pytest.mark.parametrize(
    ("behind", "verdict"),
    [
        ("etcd-0", "drop"),
        pytest.param("etcd-0", "reject with tcp reset", marks=FULL),
        pytest.param("etcd-2", "drop", marks=FULL),
    ],
)
def test_a_firewall_between_the_peers(lost: Lab, behind: str, verdict: str) -> None:
    """SSH goes through, port 2380 does not."""
    firewall(lost, behind, verdict)
    other = {"etcd-0": "etcd-1", "etcd-2": "etcd-0"}[behind]
    url = f"{lost.host(behind).address}:2380 (of {lost.host(behind).name})"
    refused(lost, "lost", [f"{url} cannot be reached from {lost.host(other).name}", "open port 2380"])


@pytest.mark.full
def test_a_firewall_that_refuses_before_a_joiner(lost: Lab) -> None:
    """Where nobody listens it looks like a closed port. Peers that dial out get through; the checks tell the rest."""
    firewall(lost, "etcd-2", "reject with tcp reset")
    assert_told(run(lost), exit=0, outcome="recovered", verdict="lost", says=["3 of 3 members"])
    done = run(lost, "checks/")
    assert (done.exit, done.summary["class"]) == (1, "failed"), done.output
    assert f"not reached from here: {lost.host('etcd-2').address}:2380" in done.output, done.output


# -- how etcd is started -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("[Service]\nExecStart=\nExecStart=/usr/bin/etcd --config-file /etc/etcd/etcd.yaml\n", id="flag"),
        pytest.param("[Service]\nEnvironment=ETCD_CONFIG_FILE=/etc/etcd/etcd.yaml\n", id="variable"),
    ],
)
@pytest.mark.parametrize("host", ["etcd-0", "etcd-2"])
@pytest.mark.full
def test_etcd_is_started_from_a_yaml_file(lost: Lab, host: str, text: str) -> None:
    """It would ignore the force, and every variable of etcd.conf."""
    put(lost, host, DROP_IN, text)
    lost.run(host, "systemctl daemon-reload")
    why = "it would ignore the force, and this is refused"
    says = [lost.host(host).name, f"etcd is started from a YAML file (set in {DROP_IN}): {why}"]
    refused(lost, "lost", says)


# -- disks -------------------------------------------------------------------------------------------------------------


def test_no_room_for_the_backup(lost: Lab) -> None:
    lost.run("etcd-0", "mount -t tmpfs -o size=1m tmpfs /backup")
    done = refused(lost, "lost", ["etcd-0.example.com", "the backup directory has 1048576 bytes free"])
    assert re.search(r"bytes free; .*\bwants? .*\d", done.output), done.output


@pytest.mark.parametrize(
    ("script", "place"),
    [
        ("mount -t tmpfs -o ro tmpfs /backup", "/backup"),
        ("rmdir /backup && touch /backup", "/backup"),
        ("mount --bind /etc /etc && mount -o remount,ro,bind /etc", "/etc/etcd, /etc/systemd/system"),
        ("mount --bind /var/lib/etcd /var/lib/etcd && mount -o remount,ro,bind /var/lib/etcd", "/var/lib/etcd"),
        (
            "mkdir /mnt/etcd && mv /var/lib/etcd/member /mnt/etcd/ && ln -s /mnt/etcd/member /var/lib/etcd/member && "
            "mount --bind /mnt/etcd /mnt/etcd && mount -o remount,ro,bind /mnt/etcd",
            "/var/lib/etcd/member/wal",
        ),
    ],
    ids=["backup", "backup-is-a-file", "etc", "data", "behind-a-link"],
)
@pytest.mark.full
def test_a_place_that_cannot_be_written_to(lost: Lab, script: str, place: str) -> None:
    """Read-only file systems, and what is no directory: found before the first change."""
    lost.run("etcd-0", script)
    refused(lost, "lost", ["etcd-0.example.com", f"nothing can be written to {place}: mount it read-write"])


@pytest.mark.full
def test_a_backup_directory_that_leads_into_the_data(lost: Lab) -> None:
    """The inventory cannot see the link; step 50 would move the backup aside with what it is to save."""
    lost.run("etcd-1", "rmdir /backup && mkdir /var/lib/etcd/safe && ln -s /var/lib/etcd/safe /backup")
    says = ["etcd-1.example.com", "the backup directory /backup lies in /var/lib/etcd", "choose another one"]
    refused(lost, "lost", says)


@pytest.mark.parametrize(
    ("prepare", "directory", "words"),
    [
        ("true", "/var/lib", "/var/lib is to be etcd's own, and is, or holds, /var/lib, /var/lib/requorum, "),
        pytest.param("true", "/", "/ is to be etcd's own, and is, or holds, /etc, /etc/etcd, ", marks=FULL),
        pytest.param(
            "ln -s /var /data", "/data/lib", "/data/lib is to be etcd's own, and is, or holds, /var/", marks=FULL
        ),
        pytest.param(
            "mkdir /data && touch /data/www", "/data", "etcd, and things that are not etcd's: www", marks=FULL
        ),
    ],
    ids=["system", "root", "link", "somebody-else-s"],
)
def test_a_data_directory_that_is_not_etcd_s(lost: Lab, prepare: str, directory: str, words: str) -> None:
    """Step 50 would move all of it aside: of /var/lib, the end of the host."""
    lost.run("etcd-2", prepare)
    write_conf(lost, "etcd-2", "ETCD_DATA_DIR", directory)
    refused(lost, "lost", ["etcd-2.example.com", words, "orrect ETCD_DATA_DIR in /etc/etcd/etcd.conf"])


# -- the way to the host -----------------------------------------------------------------------------------------------


@pytest.mark.full
def test_an_unknown_host_key(lost: Lab, tmp_path: Path) -> None:
    """Given up, and yet it answers: it is not lost."""
    known = known_as(lost, tmp_path / "known", {"etcd-0": "etcd-0", "etcd-1": "etcd-1"})
    line = f"address: {lost.host('etcd-2').address}, lost: true"
    inventory = with_hosts(lost, tmp_path / "i.yaml", {"etcd-2": line}, known_hosts=known)
    says = ["etcd-2.example.com answers and lets nobody in", "SHA256:", "which is not known"]
    says += ["compare it on the console of etcd-2.example.com", f">> {known}"]
    refused(lost, "unproven", says, inventory=inventory)


def test_a_changed_host_key(lost: Lab, tmp_path: Path) -> None:
    known = known_as(lost, tmp_path / "known", {"etcd-0": "etcd-0", "etcd-1": "etcd-1", "etcd-2": "etcd-1"})
    line = f"address: {lost.host('etcd-2').address}, lost: true"
    inventory = with_hosts(lost, tmp_path / "i.yaml", {"etcd-2": line}, known_hosts=known)
    says = ["etcd-2.example.com answers and lets nobody in", "was the host reinstalled", "ssh-keygen -R"]
    says += [fingerprint(lost, "etcd-1"), fingerprint(lost, "etcd-2")]
    refused(lost, "unproven", says, inventory=inventory)


@pytest.mark.parametrize(
    ("sudoers", "then", "says"),
    [
        ("ops ALL=(root) ALL\n", "true", ["a password is required", "NOPASSWD"]),
        ("# nobody\n", "true", ["a password is required", "NOPASSWD"]),
        ("ops ALL=(root) NOPASSWD: ALL\nDefaults requiretty\n", "true", ["a tty", "!requiretty"]),
        ("# no sudo\n", "chmod 0 /usr/bin/sudo && mv /usr/bin/sudo /root/", ["sudo", "install sudo"]),
    ],
    ids=["password", "not-allowed", "requiretty", "not-installed"],
)
@pytest.mark.full
def test_sudo_says_no(lost: Lab, tmp_path: Path, sudoers: str, then: str, says: list[str]) -> None:
    user_with(lost, sudoers)
    for host in lost.hosts:
        lost.run(host, then)
    inventory = with_hosts(lost, tmp_path / "i.yaml", {}, user="ops", sudo="true")
    refused(
        lost,
        "unproven",
        ["no host of the inventory could be reached", "etcd-0.example.com", *says],
        inventory=inventory,
    )


@pytest.mark.full
def test_a_user_who_is_not_root(lost: Lab, tmp_path: Path) -> None:
    """The survey cannot read the configuration; it says who would."""
    user_with(lost, "# nobody\n")
    inventory = with_hosts(lost, tmp_path / "i.yaml", {}, user="ops", sudo="false")
    refused(lost, "", ["/etc/etcd/etcd.conf", "Permission denied", "sudo: true"], inventory=inventory)


NOISE = ("oops", "nonsense", "AUTHORISED USE ONLY", "uid=7", "uid=9")
"""What banner and profiles print."""


@pytest.mark.full
def test_banners_and_profiles_that_print(lost: Lab) -> None:
    """What they print is cut off: the facts are the same."""
    for host in lost.hosts:
        put(lost, host.short, "/etc/issue.net", "AUTHORISED USE ONLY\nuid=7\nstatus=none\n")
        put(lost, host.short, "/etc/ssh/sshd_config.d/banner.conf", "Banner /etc/issue.net\n")
        for profile in ("/root/.bashrc", "/root/.profile", "/etc/profile.d/shout.sh", "/etc/bash.bashrc"):
            put(lost, host.short, profile, "echo LoadState=nonsense; echo uid=9; echo oops >&2\n")
        lost.run(host, "systemctl reload ssh")
    done = may_go_on(lost)
    assert done.folder is not None
    told = {path.name: path.read_text(encoding="utf-8") for path in (done.journal, done.report)}
    for where, text in {"terminal": done.output, **told}.items():
        assert [word for word in NOISE if word in text] == [], where

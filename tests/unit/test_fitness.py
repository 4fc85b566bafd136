"""What keeps a host from being changed, or from joining: each problem named, with what to do."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import PurePosixPath

import pytest
from builders import (
    STOPPED,
    conf,
    data,
    deaf,
    emptied,
    facts,
    healthy,
    machine,
    mark,
    member,
    members,
    process,
    stopped,
    unit,
)
from made_certificates import CONF, NOW, certificate, files

from requorum.causes import why_down
from requorum.facts.host import HostFacts
from requorum.facts.unit import MANAGER
from requorum.fitness import cannot_join, forces, is_added, unfit

FIT = facts(0)
BACKUP = PurePosixPath("/backup")
BY_FLAG = replace(process(), argv=("etcd", "--force-new-cluster"))


def test_a_good_host_is_fit() -> None:
    assert unfit(FIT, BACKUP) == []
    assert cannot_join(emptied(1), FIT, ()) == []


@pytest.mark.parametrize(
    ("host", "words"),
    [
        (replace(FIT, machine=machine(0, uid=1000)), "sudo: true"),
        (replace(FIT, machine=machine(0, etcdctl_version="")), "install etcd-client"),
        (replace(FIT, machine=machine(0, etcd_version="")), "install etcd-server"),
        (replace(FIT, machine=machine(0, etcd_version="3.2.32")), "knows 3.3 and later"),
        (replace(FIT, machine=machine(0, data_free=1_999_999)), "twice the data, 2000000"),
        (replace(FIT, machine=machine(0, backup_free=1_999_999)), "backup directory"),
        (replace(FIT, unit=unit(load="not-found")), "etcd.service is not-found"),
        (replace(FIT, unit=replace(unit(), environment_files=())), "does not read /etc/etcd/etcd.conf"),
        (replace(FIT, unit=replace(unit(), config_file=("/etc/x.conf",))), "YAML file (set in /etc/x.conf)"),
        (replace(FIT, processes=(replace(process(), argv=("etcd", "--config-file", "/x.yaml")),)), "/x.yaml"),
        (replace(FIT, unit=replace(unit(), forces=("/etc/temp.conf",))), "already: in /etc/temp.conf"),
        (replace(FIT, processes=(process(forced=True),)), "ETCD_FORCE_NEW_CLUSTER in the living process 100"),
        (replace(FIT, processes=(BY_FLAG,), mark=mark()), "--force-new-cluster in the living process 100"),
        (replace(FIT, machine=machine(0, unwritable=("/etc/etcd", "/backup"))), "written to /etc/etcd, /backup:"),
        (replace(FIT, machine=machine(0, unmounted=("/srv/etcd", "/srv"))), "one should be: `mount /srv/etcd`"),
        (replace(FIT, machine=machine(0, data_error="ls: Input/output error")), "Input/output error"),
        (
            replace(FIT, conf=conf(0, ETCD_WAL_DIR="/wal")),
            "etcd writes its log elsewhere than /etc/etcd/etcd.conf says",
        ),
        (replace(FIT, conf=conf(0, ETCD_NAME="")), "does not set ETCD_NAME"),
    ],
)
def test_unfit(host: HostFacts, words: str) -> None:
    [problem] = unfit(host, BACKUP)
    assert words in problem


TLS = {
    "ETCD_INITIAL_ADVERTISE_PEER_URLS": "https://10.0.0.10:2380",
    "ETCD_ADVERTISE_CLIENT_URLS": "https://10.0.0.10:2379",
}
EXPIRED = files(certificate("leaf", names=["10.0.0.10"], begins=NOW - timedelta(days=9), days=8))
BY_HAND = replace(process(), group="/system.slice/handmade.service")


@pytest.mark.parametrize(
    ("survivor", "words"),
    [
        (replace(deaf(0), conf=conf(0, **CONF, **TLS), certificates=EXPIRED), "/etc/etcd/peer.crt is valid from"),
        (replace(stopped(0), conf=conf(0, **TLS)), "etcd.conf does not set ETCD_CERT_FILE, ETCD_KEY_FILE"),
        (replace(stopped(0), machine=machine(0, ports=frozenset(), data_foreign="/d/m")), "/d/m is not etcd's to read"),
        (stopped(0, masked=True), "etcd.service is masked, and not by Requorum: systemctl unmask etcd"),
        (replace(deaf(0), unit=replace(deaf(0).unit, load="masked")), "systemctl unmask etcd"),
        (replace(stopped(0), machine=machine(0, ports=frozenset({2380}))), "another process listens on port 2380"),
        (replace(stopped(0), processes=(BY_HAND,)), "its process 100 below handmade.service"),
    ],
)
def test_a_survivor_that_could_not_start_again(survivor: HostFacts, words: str) -> None:
    assert words in "\n".join(unfit(survivor, BACKUP, survivor=survivor.name))
    known = [line for line in why_down(survivor) if words in line]
    assert known == [] or known[0].removeprefix(f"{survivor.name}: ") in unfit(survivor, BACKUP, survivor=survivor.name)


@pytest.mark.parametrize(
    "survivor",
    [
        stopped(0),
        deaf(0),
        stopped(0, fenced=True, mark=mark()),
        replace(deaf(0), processes=(replace(process(), group="/system.slice/etcd.service"),)),
        # As root etcd reads what anybody owns: in a container, or where the unit names no user.
        replace(
            stopped(0), machine=machine(0, ports=frozenset(), data_foreign="/d/m"), unit=replace(unit(STOPPED), user="")
        ),
        # It answers, and is not started again.
        replace(healthy(0), conf=conf(0, **TLS)),
    ],
)
def test_a_survivor_that_can_start_again(survivor: HostFacts) -> None:
    assert unfit(survivor, BACKUP, survivor=survivor.name) == []


def test_what_keeps_another_host_than_the_survivor_from_starting_is_not_asked() -> None:
    other = replace(stopped(1), conf=conf(1, **TLS), machine=machine(1, ports=frozenset(), data_foreign="/d/m"))
    assert unfit(other, BACKUP, survivor=FIT.name) == []


def test_a_port_of_another_process_keeps_any_host_from_being_fenced() -> None:
    """A host without data whose etcd comes and goes has its ports for itself, whenever they were looked at."""
    taken = replace(emptied(1), machine=machine(1, has_wal=False, ports=frozenset({2379})))
    [problem] = unfit(taken, BACKUP)
    assert "another process listens on port 2379" in problem
    assert unfit(replace(taken, unit=unit("activating/auto-restart")), BACKUP) == []


def test_an_etcd_outside_of_its_unit() -> None:
    by_hand = replace(stopped(0), processes=(BY_HAND,))
    [problem] = unfit(by_hand, BACKUP, survivor=by_hand.name)
    assert "end it by hand, see that `systemctl start --no-block etcd` brings it back" in problem
    [problem] = unfit(by_hand, BACKUP)
    assert "systemctl start" not in problem
    in_login = replace(BY_HAND, group="/user.slice/user-0.slice/session-3.scope")
    assert "below session-3.scope" in unfit(replace(by_hand, processes=(in_login,)), BACKUP)[0]
    # Caught in the middle of its exec or of its end: as a rule the survey's own `etcd --version`, below sshd.
    assert unfit(replace(by_hand, processes=(replace(in_login, argv=()),)), BACKUP) == []
    # A unit with a process of its own may have a wrapper that takes etcd elsewhere.
    assert unfit(replace(deaf(0), processes=(in_login,), unit=unit()), BACKUP) == []


def test_where_a_new_cluster_is_forced() -> None:
    assert forces(FIT) == []
    ours = replace(FIT, unit=unit(forced=True), processes=(process(forced=True),), mark=mark())
    assert forces(ours) == [
        "by Requorum's own force on the start path",
        "ETCD_FORCE_NEW_CLUSTER in the living process 100",
    ]
    everywhere = replace(FIT, unit=replace(unit(), forces=(MANAGER,)))
    assert forces(everywhere) == [f"in {MANAGER}"]
    assert "systemctl unset-environment ETCD_FORCE_NEW_CLUSTER" in unfit(everywhere, BACKUP)[0]


DATA_IN_SYSTEM = {"data_needed": ("/var/lib", "/var/lib/requorum", "/var/lib/docker", "/var/lib/dpkg", "/var/lib")}


def test_a_data_directory_of_the_system() -> None:
    """Step 50 would move all of it aside, and the copy of a survivor would be one of the system."""
    [problem] = unfit(
        replace(FIT, conf=conf(0, ETCD_DATA_DIR="/var/lib/"), machine=machine(0, **DATA_IN_SYSTEM)), BACKUP
    )
    assert "the data directory /var/lib is to be etcd's own, and is, or holds, /var/lib, /var/lib/requorum, " in problem
    assert "/var/lib/docker and 1 more" in problem
    assert "correct ETCD_DATA_DIR in /etc/etcd/etcd.conf" in problem


def test_the_data_directory_is_the_root() -> None:
    """One reason, with its path: the backup directory lies in it, too, and is not to blame."""
    root = replace(FIT, conf=conf(0, ETCD_DATA_DIR="/"), machine=machine(0, data_needed=("/etc",), backup_inside="/"))
    [problem] = unfit(root, BACKUP)
    assert "the data directory / is to be etcd's own" in problem


def test_a_directory_of_the_log_in_which_the_data_lies() -> None:
    [problem] = unfit(
        replace(FIT, conf=conf(0, ETCD_WAL_DIR="/srv/e"), machine=machine(0, wal_needed=("/srv/e/data",)),
                processes=(replace(process(), argv=(), environ={}),)), BACKUP,
    )  # fmt: skip
    assert "the directory of the log /srv/e is to be etcd's own, and is, or holds, /srv/e/data" in problem
    assert "correct ETCD_WAL_DIR" in problem


@pytest.mark.parametrize("backup", ["/var/lib/etcd", "/var/lib/etcd/backup"])
def test_a_backup_plainly_in_what_it_is_to_keep(backup: str) -> None:
    [problem] = unfit(FIT, PurePosixPath(backup))
    assert f"the backup directory {backup} lies in" in problem


def test_a_backup_in_what_it_is_to_keep() -> None:
    """The copy would grow while it is made, and be thrown out with what it is to save."""
    [problem] = unfit(replace(FIT, machine=machine(0, backup_inside="/srv/etcd")), BACKUP)
    assert f"the backup directory {BACKUP} lies in /srv/etcd" in problem


def test_our_own_force_is_no_problem() -> None:
    assert unfit(replace(FIT, processes=(process(forced=True),), mark=mark()), BACKUP) == []


def test_a_process_that_ends_says_nothing_of_its_log() -> None:
    ending = replace(process(), argv=(), environ={})
    assert unfit(replace(FIT, conf=conf(0, ETCD_WAL_DIR="/wal"), processes=(ending,)), BACKUP) == []


def test_a_masked_unit_has_no_environment_files() -> None:
    masked = replace(unit(load="masked"), environment_files=())
    assert unfit(replace(FIT, unit=masked), BACKUP) == []


@pytest.mark.parametrize(
    ("joiner", "words"),
    [
        (replace(emptied(1), unit=unit(load="masked")), "systemctl unmask etcd"),
        (replace(emptied(1), machine=machine(1, etcd_version="3.5.16")), "etcd 3.5.16 here, 3.4.23 on"),
        (replace(emptied(1), conf=conf(1, ETCD_NAME="m0")), "ETCD_NAME is m0"),
        (replace(emptied(1), machine=machine(1, clock=1_700_000_060.0)), "+60 s"),
        (replace(emptied(1), machine=machine(1, data_there=False)), "is not there"),
    ],
)
def test_cannot_join(joiner: HostFacts, words: str) -> None:
    [problem] = cannot_join(joiner, healthy(0), ())
    assert words in problem


OF_CONTAINERS = ("containers", "image", "network", "overlay2")
BY_ROOT = replace(unit("failed/failed"), user="root")


def joiner(entries: tuple[str, ...], **more: object) -> HostFacts:
    return replace(emptied(1), machine=machine(1, has_wal=False, data_entries=entries, **more))


@pytest.mark.parametrize(
    "host",
    [
        replace(joiner(OF_CONTAINERS), unit=BY_ROOT),
        joiner(OF_CONTAINERS, data_foreign="/var/lib/etcd"),
        replace(joiner(OF_CONTAINERS), unit=replace(BY_ROOT, user="")),
    ],
    ids=["etcd is root", "not of etcd's user", "user unknown"],
)
def test_a_joiner_whose_data_directory_looks_like_somebody_else_s(host: HostFacts) -> None:
    [problem] = cannot_join(host, healthy(0), ())
    assert (
        "/var/lib/etcd holds no data of etcd, and things that are not etcd's: containers, image, network and 1 more"
        in problem
    )
    assert "is it etcd's own? Correct ETCD_DATA_DIR in /etc/etcd/etcd.conf, or move them away" in problem


@pytest.mark.parametrize(
    "entries",
    [
        ("member", "notes.txt"),
        ("member.bak", "snapshot.db", "backup-2026", "lost+found", "openshift-backup-requorum-r1", "etcd-old", "proxy"),
        (),
    ],
)
def test_leftovers_beside_etcd_s_data_are_no_problem(entries: tuple[str, ...]) -> None:
    """They are moved aside with it, and kept."""
    assert cannot_join(replace(joiner(entries), unit=BY_ROOT), healthy(0), ()) == []


def test_what_etcd_s_user_owns_is_etcd_s() -> None:
    assert cannot_join(joiner(("notes.txt", ".bash_history")), healthy(0), ()) == []


def test_an_emptied_directory_of_the_log_that_looks_like_somebody_else_s() -> None:
    at = {"conf": conf(1, ETCD_WAL_DIR="/data")}
    [problem] = cannot_join(replace(joiner((), wal_entries=("www", "0-0.wal.bak")), **at), healthy(0), ())  # type: ignore[arg-type]
    assert "the directory of the log /data holds no data of etcd, and things that are not etcd's: www: is it" in problem
    assert cannot_join(replace(joiner((), wal_entries=("0.tmp", "1-0.wal.broken")), **at), healthy(0), ()) == []  # type: ignore[arg-type]


def test_certificates_come_along() -> None:
    assert cannot_join(emptied(1), healthy(0), ("expired",)) == ["expired"]


@pytest.mark.parametrize(
    "survivor",
    [
        healthy(0, members(0, 2, learners=[2])),
        healthy(0, members(0, 2, learners=[2], unstarted=[2])),
        healthy(0, members(0, 2, unstarted=[2])),
        stopped(0, data(0, members(0, 2, learners=[2]))),
    ],
    ids=["learner", "unstarted learner", "unstarted voter", "read from its disk"],
)
def test_who_is_in_the_member_list_already_joins_first(survivor: HostFacts) -> None:
    """Until it votes and runs, etcd adds nobody."""
    assert [is_added(emptied(n), survivor, ()) for n in (1, 2)] == [False, True]


def test_who_is_to_be_removed_from_the_list_joins_anew() -> None:
    assert not is_added(emptied(1), healthy(0), (member(1),))

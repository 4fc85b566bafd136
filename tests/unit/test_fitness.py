"""What keeps a host from being changed, or from joining: each problem named, with what to do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import PurePosixPath

import pytest
from builders import conf, emptied, facts, healthy, machine, mark, process, unit

from requorum.facts.host import HostFacts
from requorum.fitness import cannot_join, unfit

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


def test_certificates_come_along() -> None:
    assert cannot_join(emptied(1), healthy(0), ("expired",)) == ["expired"]

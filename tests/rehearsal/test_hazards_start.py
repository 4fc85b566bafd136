"""What keeps the survivor's etcd from starting again, asked before the first change. Rows of docs/hazards.md, *Survivor*.

etcd-1 and etcd-2 have lost their data. Without the cause that is named, the recovery would go on.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from hazards import LOST, certified, put, refused, stop, take_port
from runbook_runs import broken

from lab import Lab, machine, wait

FULL = pytest.mark.full
CONF = "/etc/etcd/etcd.conf"
FORCED = "somebody has forced a new cluster here already: in "


def _expired(lab: Lab) -> None:
    certified(lab, "etcd-0", ends=timedelta(days=-1))


def _no_key(lab: Lab) -> None:
    lab.run("etcd-0", "rm /etc/etcd/server.key")


def _no_tls(lab: Lab) -> None:
    lab.run("etcd-0", f"sed -i -E '/_FILE=|CLIENT_CERT_AUTH=/d' {CONF}")


def _foreign(lab: Lab) -> None:
    lab.run("etcd-0", f"chown -R root: {lab.record.spec.data_dir}/member")


def _masked(lab: Lab) -> None:
    lab.run("etcd-0", "systemctl mask etcd")


def _port_taken(lab: Lab) -> None:
    take_port(lab, "etcd-0", 2379)


def _by_hand(lab: Lab) -> None:
    lab.run("etcd-0", f"systemd-run --unit=handmade --uid=etcd bash -c 'set -a; . {CONF}; exec etcd'")
    wait.until(lambda: machine.listens(lab.record, lab.host("etcd-0"), 2380), "etcd by hand listens", 10)


def _set_environment(lab: Lab) -> None:
    lab.run("etcd-0", "systemctl set-environment ETCD_FORCE_NEW_CLUSTER=true")


def _default_environment(lab: Lab) -> None:
    put(
        lab,
        "etcd-0",
        "/etc/systemd/system.conf.d/x.conf",
        "[Manager]\nDefaultEnvironment=ETCD_FORCE_NEW_CLUSTER=true\n",
    )


CAUSES: dict[str, tuple[Callable[[Lab], None], list[str]]] = {
    "expired": (_expired, ["/etc/etcd/server.crt is valid from", "/etc/etcd/peer.crt is valid from"]),
    "no-key": (_no_key, ["/etc/etcd/server.key (ETCD_KEY_FILE) is not there or not readable for etcd"]),
    "no-tls": (_no_tls, ["etcd.conf does not set ETCD_PEER_CERT_FILE, ETCD_PEER_KEY_FILE, ETCD_PEER_TRUSTED_CA_FILE"]),
    "foreign-data": (_foreign, ["/member is not etcd's to read and write: give it back (chown, chmod)"]),
    "masked": (_masked, ["etcd.service is masked, and not by Requorum: systemctl unmask etcd"]),
    "port-taken": (_port_taken, ["another process listens on port 2379: find it (ss -ltnp) and stop it"]),
    "by-hand": (_by_hand, ["below handmade.service", "end it by hand", "systemctl start --no-block etcd"]),
    "set-environment": (_set_environment, [f"{FORCED}systemd's own environment", "systemctl unset-environment ETCD_"]),
    "default-environment": (_default_environment, [f"{FORCED}/etc/systemd/system.conf.d/x.conf"]),
}
"""Name → how it is brought about on etcd-0, and the words that name it."""

RUNNING = ("expired", "masked")
"""Those that are seen, too, while etcd still runs: it started before."""


@pytest.mark.parametrize(
    ("cause", "runs"),
    [
        pytest.param(cause, runs, id=f"{cause}{'-and-etcd-runs' * runs}", marks=() if cause in ("expired",) else FULL)
        for cause in CAUSES
        for runs in (False, True)
        if not runs or cause in RUNNING
    ],
)
def test_the_survivor_could_not_start_again(lab3: Lab, cause: str, runs: bool) -> None:
    """It would be found out behind the point of no return, or after the other hosts were fenced."""
    broken(lab3, LOST, "destroyed")
    stop(lab3, LOST if runs else ["etcd-0", *LOST])
    make, says = CAUSES[cause]
    make(lab3)
    done = refused(lab3, "lost", ["etcd-0.example.com", "Check that the host may be changed", *says])
    assert "its CA is not the one that" not in done.output


@FULL
def test_a_port_of_another_process_on_a_joiner(lab3: Lab) -> None:
    """A fence is proven by closed ports: the run would stop after it had fenced the others."""
    broken(lab3, LOST, "destroyed")
    stop(lab3, LOST)
    take_port(lab3, "etcd-2", 2380)
    refused(lab3, "lost", ["etcd-2.example.com", "another process listens on port 2380"])

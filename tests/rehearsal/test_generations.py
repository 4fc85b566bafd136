"""Three generations of etcd (Debian 11 to 13): quorum is lost, and the same command brings the cluster back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from failed_starts import CAUSES, ITS_START_KILLED, Cause, mend, spoil
from killed_runs import Point, stopped
from meetings import met
from runbook_runs import (
    Done,
    assert_told,
    assert_whole,
    broken,
    chance,
    left_behind,
    run,
    state,
    written,
)
from test_failed_joins import (
    JOINER,
    START,
    SURVIVOR,
    TAKEN,
    THIRD,
    assert_alone,
    assert_fenced,
    assert_whole_again,
    forces,
    lost,
    voter_dies,
    voter_mended,
)

from lab import Lab
from lab.writer import Write

Labs = Callable[..., Lab]


def lost_hosts(lab: Lab) -> list[str]:
    return sorted(chance("lost", lab.record.spec.release).sample([host.short for host in lab.hosts], 2))


def assert_recovered(lab: Lab, done: Done, writes: list[Write]) -> None:
    assert_told(done, exit=0, outcome="recovered", verdict="lost", says=["3 of 3 members"])
    assert done.summary["unknown_changes"] == []
    assert_whole(lab, writes)
    assert left_behind(lab) == []


def assert_survives_restarts(lab: Lab, writes: list[Write]) -> None:
    """Each member by itself, then all hosts at once: what a force left on a start path would destroy the cluster."""
    for host in lab.hosts:
        lab.run(host, "systemctl restart etcd")
        lab.wait_healthy()
    lab.reboot(*lab.hosts)
    assert_whole(lab, writes)
    assert_told(run(lab, "checks/"), exit=0, outcome="checks", verdict="healthy")


@pytest.mark.full
def test_the_unit_of_rhel_7(labs: Labs) -> None:
    """Its ExecStart repeats three variables as flags, which etcd from 3.4 on refuses."""
    lab = labs(release="bullseye", exec_start="rhel", quoted=True)
    writes = broken(lab, lost_hosts(lab), "destroyed")
    assert_recovered(lab, run(lab), writes)
    assert_survives_restarts(lab, writes)


# Data of the v2 API

V2 = """
. /etc/etcd/etcd.conf
v2() {
  ETCDCTL_API=2 etcdctl --endpoints "$ETCD_ADVERTISE_CLIENT_URLS" --ca-file "$ETCD_TRUSTED_CA_FILE" \\
    --cert-file "$ETCD_PEER_CERT_FILE" --key-file "$ETCD_PEER_KEY_FILE" "$@"
}
"""
V2_KEYS = {
    "/openshift.com/network/config": '{"Network":"10.128.0.0/14"}',
    **{f"/app/{number}": f"value {number}" for number in range(20)},
}


def assert_v2_keys(lab: Lab) -> None:
    read = 'for key in $(v2 ls -r -p / | grep -v "/$"); do echo "$key=$(v2 get "$key")"; done'
    for host in lab.hosts:
        lines = lab.run(host, f"{V2}{read}").stdout.splitlines()
        assert dict(line.split("=", 1) for line in lines) == V2_KEYS, host.short


@pytest.mark.full
def test_data_of_the_v2_api_alone(labs: Labs) -> None:
    """To the v3 store nothing was ever written: this is no log that an emptied host makes when it starts."""
    lab = labs(release="bullseye")

    def make() -> list[Write]:
        lab.run("etcd-0", V2 + "\n".join(f"v2 set {key} '{value}'" for key, value in V2_KEYS.items()))
        lab.break_hosts(["etcd-1", "etcd-2"], "destroyed")
        return []

    state(lab, "v2-destroyed", make)
    assert_recovered(lab, run(lab), [])
    assert_v2_keys(lab)
    assert_survives_restarts(lab, [])
    assert_v2_keys(lab)


# The way back


def assert_forced_again(lab: Lab, done: Done, writes: list[Write], *says: str) -> None:
    """The run has dropped the voter that does not answer, and ends with a cluster of one that takes writes."""
    forced = f"{SURVIVOR}.example.com was forced once more and takes writes; {JOINER}.example.com was dropped"
    assert_told(done, exit=1, outcome="failed", verdict="lost", says=[TAKEN, forced, *says])
    assert forces(done) == 2, "the recovery's own, and the way back"
    assert_alone(lab, writes)


@pytest.mark.parametrize(
    "cause",
    [
        pytest.param(cause, id=name, marks=[] if name == "bad binary" else pytest.mark.full)
        for name, cause in {**CAUSES, "its start is killed": ITS_START_KILLED}.items()
    ],
)
def test_a_voter_that_does_not_start(labs: Labs, tmp_path: Path, cause: Cause) -> None:
    """etcd 3.3 has no learners: with the add the cluster of one has lost its quorum."""
    lab = labs(release="bullseye")
    writes = lost(lab)
    cause.before(lab)
    done = met(lab, START, lambda: cause.act(lab), tmp_path / "meet")
    assert_forced_again(lab, done, writes, *cause.says)
    assert_fenced(lab, JOINER, data=cause.data)
    cause.mend(lab)
    assert_whole_again(lab, writes)


@pytest.mark.full
def test_a_voter_that_does_not_start_twice(labs: Labs) -> None:
    """The way back was taken once: the second run stops without a quorum, and the third one forces as any recovery."""
    lab = labs(release="bullseye")
    writes = lost(lab)
    spoil(lab)
    assert TAKEN in run(lab).output
    again = run(lab)
    says = ["THE WAY BACK DID NOT COME TO ITS END", "the record that this was done once in this recovery"]
    assert_told(again, exit=1, outcome="failed", verdict="unfinished", says=says)
    mend(lab)
    done = run(lab)
    assert_told(done, exit=0, outcome="recovered", verdict="lost", says=["3 of 3 members"])
    assert_whole(lab, writes)
    assert left_behind(lab) == []


@pytest.mark.full
@pytest.mark.parametrize("change", [4, 5, 6])
def test_killed_about_the_add_of_a_voter(labs: Labs, tmp_path: Path, change: int) -> None:
    """The operator's machine dies right before the add, or between it and the start; the same command goes on."""
    lab = labs(release="bullseye")
    writes = lost(lab)
    stopped(lab, "kill-group", Point("test_join", change).reached, output=tmp_path / "first")
    done = run(lab)
    assert_told(done, exit=0, outcome="recovered", verdict=str(done.summary["verdict"]), says=["3 of 3 members"])
    assert_whole(lab, writes)
    assert left_behind(lab) == []


@pytest.mark.full
@pytest.mark.parametrize("release", ["bullseye", "trixie"])
def test_the_first_voter_dies_while_the_next_host_joins(labs: Labs, tmp_path: Path, release: str) -> None:
    """etcd 3.5 lists its members only with a quorum: who votes is read from the survivor's disk."""
    lab = labs(release=release)
    writes = lost(lab)

    def die() -> None:
        writes.extend(written(lab, 20, [SURVIVOR, JOINER]))
        voter_dies(lab, "etcd")()

    done = met(lab, f"test_join[{THIRD}.example.com] change 1", die, tmp_path / "meet")
    assert_forced_again(lab, done, writes)
    assert_fenced(lab, THIRD, data=False)
    assert_fenced(lab, JOINER, data=True)
    voter_mended(lab, "etcd")
    assert_whole_again(lab, writes)

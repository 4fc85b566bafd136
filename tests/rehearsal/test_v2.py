"""Data of both APIs in one cluster: the v2 store is backed up and proven, and is there afterwards, key by key."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hazards import may_go_on
from killed_runs import Point, stopped
from runbook_runs import Done, assert_told, assert_whole, chance, left_behind, run, state, written
from v2_clients import V2Load, assert_served, fill, served, v2

from lab import Lab, checksums, masters
from lab.spec import ON_MASTERS
from lab.writer import Write

Labs = Callable[..., Lab]

SURVIVOR, LOST = "etcd-0", ["etcd-1", "etcd-2"]
WITH_V2 = {"bullseye": {}, "bookworm": {"v2": True}, "trixie": {"v2": True}}
"""etcd 3.3 serves the v2 API by itself."""
SAMPLE = chance("v2").choice(["bullseye", "bookworm"])


def lab_of(labs: Labs, release: str) -> Lab:
    return labs(release=release, **WITH_V2[release])


def lost(lab: Lab, *, deaf: bool = False) -> list[Write]:
    """Keys of both APIs are written; two of three hosts are emptied. `deaf`: the survivor lost power, too."""

    def make() -> list[Write]:
        fill(lab, SURVIVOR)
        writes = written(lab)
        lab.break_hosts(LOST, "destroyed", reboot_survivor=deaf)
        return writes

    return state(lab, f"v2-destroyed{'-deaf' * deaf}", make)


def assert_recovered(lab: Lab, done: Done, writes: list[Write]) -> None:
    assert_told(done, exit=0, outcome="recovered", verdict="lost", says=["3 of 3 members", "Back up the v2 data"])
    assert_whole(lab, writes)
    assert_served(lab, {})
    assert left_behind(lab) == []


@pytest.mark.system("v2 data beside v3")
@pytest.mark.parametrize(
    ("release", "deaf"),
    [
        pytest.param(
            release,
            deaf,
            id=f"{release}-{'deaf' if deaf else 'serves'}",
            marks=[] if release == SAMPLE and not deaf else pytest.mark.full,
        )
        for release in WITH_V2
        for deaf in (False, True)
    ],
)
def test_two_of_three_are_back_empty(labs: Labs, release: str, deaf: bool) -> None:
    """`serves`: the survivor answers v2 reads without a quorum; `deaf`: restarted after the loss, it serves nobody."""
    lab = lab_of(labs, release)
    writes = lost(lab, deaf=deaf)
    done = run(lab)
    assert_recovered(lab, done, writes)
    page = done.report.read_text(encoding="utf-8")
    assert ("is unhealthy: " in page) == (not deaf), "what cluster-health and endpoint health said"
    kept = lab.run(SURVIVOR, "cd /backup/etcd-v2-* && find . -type f | sort && sha256sum --quiet -c SHA256SUMS").stdout
    assert "./backup.keys" in kept
    assert "./copy.keys" in kept
    assert ("./after.keys" in kept) == (not deaf)
    assert "./data/member/snap/db" in kept
    assert (done.report.parent / "backup" / f"{SURVIVOR}.example.com-v2.tar.gz").exists()
    for host in lab.hosts:
        lab.run(host, "systemctl restart etcd")
        lab.wait_healthy()
    assert_served(lab, {})
    checked = run(lab, "checks/")
    assert_told(checked, exit=0, outcome="checks", verdict="healthy", says=["The members hold the same v2 keys"])


def snapshotted(lab: Lab) -> list[Write]:
    """v2 keys, then so many of v3 that the log begins with a Raft snapshot: as in every cluster that lived for a while."""
    for host in lab.hosts:
        lab.run(host, "echo ETCD_SNAPSHOT_COUNT=50 >> /etc/etcd/etcd.conf; systemctl restart etcd")
        lab.wait_healthy()
    fill(lab, SURVIVOR)
    lab.run(
        SURVIVOR, f"{v2(lab)}v2 rm -r /leases && v2 rm /app/soon"
    )  # a leader proposes v2 entries while any key expires
    return written(lab)


@pytest.mark.parametrize(
    ("release", "kept"),
    [
        pytest.param("bullseye", False),
        pytest.param("bookworm", False, marks=pytest.mark.full),
        pytest.param("trixie", True, marks=pytest.mark.full),
    ],
)
def test_a_log_that_begins_with_a_snapshot(labs: Labs, release: str, kept: bool) -> None:
    """etcd issue 9890: up to 3.4 nobody can start what etcdctl writes of it. The copied data counts, and it is said."""
    lab = lab_of(labs, release)
    writes = snapshotted(lab)
    lab.break_hosts(LOST, "destroyed", reboot_survivor=True)
    done = run(lab)
    assert_recovered(lab, done, writes)
    says = r"what etcdctl wrote is not kept \(etcd issue 9890\): \S.*; the copied data, and every key .* is the backup"
    assert bool(re.search(says, done.output)) == (not kept), done.output
    names = lab.run(SURVIVOR, "ls /backup/etcd-v2-*").stdout.split()
    assert ("backup.keys" in names, "data" in names, "copy.keys" in names) == (kept, kept, True)


@pytest.mark.full
def test_degraded_and_the_log_begins_with_a_snapshot(labs: Labs) -> None:
    lab = lab_of(labs, "bullseye")
    writes = snapshotted(lab)
    lab.break_hosts(LOST[:1], "destroyed")
    lab.wait_healthy([SURVIVOR, *LOST[1:]])
    done = run(lab)
    assert_told(done, exit=0, outcome="recovered", verdict="degraded", says=["3 of 3 members", "Back up the v2 data"])
    assert_whole(lab, writes)
    assert_served(lab, {})
    assert {"before.keys", "after.keys"} <= set(lab.run(SURVIVOR, "ls /backup/etcd-v2-*").stdout.split())


@pytest.mark.system("v2 data beside v3")
@pytest.mark.full
@pytest.mark.parametrize("topology", ["colocated", "container", "static-pod"])
def test_other_topologies(labs: Labs, topology: str) -> None:
    """As an older cluster that became a 3.11 one: v2 data beside the v3 data of the platform."""
    lab = labs(topology=topology, v2=True)
    if topology in ON_MASTERS:
        masters.wait_ready(lab)
    fill(lab, lab.hosts[0])
    writes = written(lab)
    lab.break_hosts(lab.hosts[1:], "destroyed")
    assert_recovered(lab, run(lab, timeout=400), writes)
    assert_told(run(lab, "checks/"), exit=0, outcome="checks", verdict="healthy", says=["hold the same v2 keys"])


@pytest.mark.full
def test_etcdctl_without_a_backup_command(labs: Labs) -> None:
    """Stand-in for an etcdctl that lost it: the copied data alone counts, and its keys are read and compared."""
    lab = lab_of(labs, "bookworm")
    writes = lost(lab)
    wrapper = (
        '#!/bin/bash\n/usr/bin/etcdctl "$@" 2>&1 | if [ "$1" = --help ]; then grep -v \'^ *backup \'; else cat; fi\n'
    )
    put_before_etcdctl(lab, wrapper + 'exit "${PIPESTATUS[0]}"\n')
    done = run(lab)
    assert_recovered(lab, done, writes)
    assert "has no `backup` of the v2 API" in done.output
    assert "backup.keys" not in lab.run(SURVIVOR, "ls /backup/etcd-v2-*").stdout


@pytest.mark.full
@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        ('truncate -s 100 "$to"/member/wal/*.wal', ["what etcdctl wrote: /app", "it is not there"]),
        ('sed -i s/value/VALUE/g "$to"/member/wal/*.wal', ["crc mismatch", "backup.keys: see above"]),
    ],
    ids=["it holds no key", "etcd does not start"],
)
def test_a_backup_that_is_not_what_the_member_holds(labs: Labs, spoil: str, says: list[str]) -> None:
    """Nothing is forced on it: the run stops in stage 2, says what differs, and what was begun can be undone."""
    lab = lab_of(labs, "bookworm")
    writes = lost(lab)
    put_before_etcdctl(
        lab,
        f"""#!/bin/bash
[ "$1" = backup ] && [ "$#" -gt 2 ] || exec /usr/bin/etcdctl "$@"
/usr/bin/etcdctl "$@" || exit
for word; do case $word in --backup-dir=*) to=${{word#*=}};; esac; done
{spoil}
""",
    )
    done = run(lab)
    assert_told(done, exit=1, outcome="failed", verdict="lost", says=["FAILED   26", *says])
    assert "the point of no return: the old cluster ends here" not in done.output
    lab.run(SURVIVOR, "rm /usr/local/bin/etcdctl; rm -rf /backup/etcd-v2-*")
    again = run(lab)
    assert_recovered(lab, again, writes)


@pytest.mark.full
@pytest.mark.parametrize("change", [1, 2])
def test_killed_while_the_v2_data_is_backed_up(labs: Labs, tmp_path: Path, change: int) -> None:
    lab = lab_of(labs, "bookworm")
    writes = lost(lab)
    stopped(lab, "kill-group", Point("test_back_up_v2", change).reached, output=tmp_path / "first")
    assert_recovered(lab, run(lab), writes)
    assert not lab.run(SURVIVOR, "ls -d /backup/*.part /backup/etcd-scratch-* 2>/dev/null || true").stdout


@pytest.mark.full
@pytest.mark.parametrize("release", ["bullseye", "bookworm"])
def test_degraded_while_an_old_application_writes(labs: Labs, release: str) -> None:
    """With a quorum: `etcdctl backup` from the running member. No v2 write fails, and all of them are on every member."""
    lab = lab_of(labs, release)

    def make() -> list[Write]:
        fill(lab, SURVIVOR)
        writes = written(lab)
        lab.break_hosts(["etcd-2"], "destroyed")
        lab.wait_healthy(["etcd-0", "etcd-1"])
        return writes

    writes = state(lab, "v2-degraded", make)
    with V2Load(lab, "etcd-1") as load:
        done = run(lab)
    assert_told(done, exit=0, outcome="recovered", verdict="degraded", says=["3 of 3 members", "Back up the v2 data"])
    assert load.failed == []
    assert len(load.written) > 20
    assert_whole(lab, writes)
    assert_served(lab, load.written)
    assert left_behind(lab) == []


@pytest.mark.full
@pytest.mark.parametrize("release", list(WITH_V2))
def test_a_key_is_written_right_before_its_backup(labs: Labs, release: str) -> None:
    """And nothing after it: its commit is not on the member's disk yet, and etcdctl would leave it out. Nothing expires here,
    or etcd itself would write on.
    """
    lab = lab_of(labs, release)
    lab.run(SURVIVOR, f"{v2(lab)}v2 set /app/early x")
    writes = written(lab)
    lab.break_hosts(["etcd-2"], "destroyed")
    lab.wait_healthy(["etcd-0", "etcd-1"])
    script = """#!/bin/bash
if [[ $* == *' -o json ls -r /' ]] && compgen -G '/backup/etcd-v2-*.part' > /dev/null && mkdir /run/late 2> /dev/null; then
  /usr/bin/etcdctl "${@:1:$#-5}" set /app/late y > /dev/null || exit
fi
exec /usr/bin/etcdctl "$@"
"""
    for host in ("etcd-0", "etcd-1"):
        put_before_etcdctl(lab, script, host)
    done = run(lab)
    assert_told(done, exit=0, outcome="recovered", verdict="degraded", says=["3 of 3 members", "Back up the v2 data"])
    survivor = str(done.summary["survivor"]).partition(".")[0]
    assert "/app/late" in lab.run(survivor, "cat /backup/etcd-v2-*/backup.keys").stdout
    assert [served(lab, host).get("/app/late") for host in lab.hosts] == ["y"] * 3
    assert_whole(lab, writes)
    assert left_behind(lab) == []


@pytest.mark.full
def test_where_the_v2_api_is_off(labs: Labs) -> None:
    """etcd 3.4 as it comes: nothing of it is asked or backed up, and the report says that it is off."""
    lab = labs()
    before = lab.checksums()
    done = run(lab)
    assert_told(done, exit=0, outcome="healthy", verdict="healthy")
    assert checksums.changes(before, lab.checksums()) == []
    page = done.report.read_text(encoding="utf-8")
    assert "off: switched off, or etcd 3.4 or later without ETCD_ENABLE_V2" in page
    assert "is healthy: successfully committed proposal" in page, "endpoint health"


@pytest.mark.full
def test_both_health_commands_are_told(labs: Labs) -> None:
    lab = lab_of(labs, "bookworm")
    page = run(lab).report.read_text(encoding="utf-8")
    assert "cluster is healthy" in page, "cluster-health"
    assert "is healthy: successfully committed proposal" in page, "endpoint health"


@pytest.mark.full
def test_looking_changes_nothing(labs: Labs) -> None:
    lab = lab_of(labs, "bookworm")
    lost(lab)
    may_go_on(lab)
    planned = run(lab, "--plan")
    assert planned.exit == 0, planned.output
    assert "etcdctl backup --data-dir /backup/etcd-data-" in planned.report.read_text(encoding="utf-8")


def put_before_etcdctl(lab: Lab, script: str, host: str = SURVIVOR) -> None:
    """A script that is found instead of a host's etcdctl."""
    lab.run(host, "cat > /usr/local/bin/etcdctl && chmod 755 /usr/local/bin/etcdctl", stdin=script)

"""Every way to run etcd, with each of its generations: quorum is lost, and the same command brings the cluster back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hazards import put_other_etcd
from power_loss import assert_tail_kept, grow_tail
from runbook_runs import (
    Done,
    assert_told,
    assert_whole,
    broken,
    chance,
    declared_lost,
    left_behind,
    run,
    written,
)
from sabotage import sabotaged
from systems_results import RELEASES, TOPOLOGIES, cell, side_by_side, too_slow
from test_masters import assert_masters_serve

from lab import Lab, masters, pods, wait
from lab.parallel import in_parallel
from lab.spec import ON_MASTERS
from lab.writer import Write

Labs = Callable[..., Lab]

RUNTIMES = ("container", "static-pod")
FILES = """
for place in /etc/etcd /etc/origin/node /etc/origin/master /etc/systemd/system /var/lib/requorum; do
  [ ! -e $place ] || find $place ! -type d -printf '%p %m %u:%g %l ' -exec sh -c 'sha256sum < "$1"' - {} \\;
done | sort
ls -A /etc/origin/node 2> /dev/null || true
"""
"""Everything that a recovery writes to, but backups and data."""

NOT_BY_OC = "cat /backup/*/saved-on-the-host.txt; find /var/lib/etcd -name 'requorum-snapshot.db*'"
"""What a snapshot that did not come through `oc exec` leaves beside it, and one that was cut off in the pod's data."""

FORCED = {"container": 5, "static-pod": 2}
"""The number of the change in step 42 that writes the force into etcd.conf; the next one starts etcd with it."""

MANIFEST = f"/{pods.FOLDER}/etcd.yaml"
AS_JSON = "import json, sys, yaml; print(json.dumps(yaml.safe_load(sys.stdin)))"
BRACES = f"text=$(python3 -c '{AS_JSON}' < {MANIFEST}) && echo \"$text\" > {MANIFEST}"
full = pytest.mark.full
each = pytest.mark.parametrize("runtime", RUNTIMES)

SAMPLE = (
    ("external", chance("generation").choice(["bullseye", "trixie"])),  # most of CI's other rehearsals are on bookworm
    (chance("runtime").choice(RUNTIMES), "bookworm"),  # and none of them recovers what is no service
)
"""What CI runs of the cells."""


def cells(*sampled: tuple[str, str]) -> pytest.MarkDecorator:
    """Every topology with every release; all are `full`, apart from those sampled."""
    both = [(topology, release) for release in RELEASES for topology in TOPOLOGIES]
    return pytest.mark.parametrize(
        ("topology", "release"),
        [pytest.param(*one, id="-".join(one), marks=[] if one in sampled else full) for one in both],
    )


@pytest.fixture(scope="module")
def in_time() -> Iterator[None]:
    """Cells that ran alone are held to the limit."""
    yield
    if not side_by_side():
        assert too_slow() == []


def given(labs: Labs, topology: str, release: str = "bookworm", members: int = 3) -> Lab:
    lab = labs(topology=topology, release=release, members=members)
    if topology in ON_MASTERS:
        masters.wait_ready(lab)
    return lab


def lost_hosts(lab: Lab) -> list[str]:
    short = [host.short for host in lab.hosts]
    return sorted(chance("lost", lab.record.spec.topology).sample(short, len(short) // 2 + 1))


def survivor_of(lab: Lab) -> str:
    return next(host.short for host in lab.hosts if host.short not in lost_hosts(lab))


def files(lab: Lab) -> dict[str, list[str]]:
    """What lies in the places that a recovery edits, on each host that has power."""
    return {host.short: lab.run(host, FILES).stdout.splitlines() for host in lab.hosts if lab.is_on(host)}


def put_aside(lines: set[str]) -> set[str]:
    """`files` of a host whose data was gone, after --abort: the manifest as it was, where nobody runs it."""
    there, aside = f"/{pods.FOLDER}/etcd.yaml ", f"/{pods.STOPPED}/etcd.yaml "
    return {"pods-stopped", *(line.replace(there, aside) for line in lines)}


def assert_recovered(lab: Lab, done: Done, writes: list[Write], before: dict[str, list[str]]) -> None:
    all_of_them = f"{len(lab.hosts)} of {len(lab.hosts)} members"
    assert_told(done, exit=0, outcome="recovered", verdict=str(done.summary["verdict"]), says=[all_of_them])
    assert done.summary["unknown_changes"] == []
    assert_whole(lab, writes)
    assert left_behind(lab) == []
    changed = {line for host, lines in files(lab).items() for line in set(lines) ^ set(before[host])}
    assert {line.split()[0] for line in changed} <= {"/etc/etcd/etcd.conf"}
    if lab.record.spec.topology == "static-pod":
        assert_saved_by_oc(lab, done)
    if lab.record.spec.topology in ON_MASTERS:
        assert_masters_serve(lab, list(lab.hosts), [], "after")


def assert_saved_by_oc(lab: Lab, done: Done) -> None:
    """With a quorum the chapter's way works: no snapshot, of this run or one before, had to be saved on the host instead."""
    lab.run(str(done.summary["survivor"]), "ls /backup/etcd-snapshot-after-*/snapshot.db")
    said = in_parallel(lambda host: lab.run(host, NOT_BY_OC, check=False).stdout, lab.hosts)
    assert said == [""] * len(lab.hosts)


def forget_containers(lab: Lab, hosts: list[str]) -> None:
    """As the kubelet does a minute after their end; with them goes the log."""
    for host in hosts:
        lab.run(host, "docker ps -aq --filter status=exited | xargs -r docker rm")
        assert "etcd" not in lab.run(host, "docker ps -a --format '{{.Names}}'").stdout, host


def assert_survives_restarts(lab: Lab, writes: list[Write]) -> None:
    """Each member by itself, then all hosts at once."""
    for host in lab.hosts:
        lab.run(host, lab.runtime.stop, timeout=120)
        lab.run(host, lab.runtime.start)
        lab.wait_healthy(within=60)
    lab.reboot(*lab.hosts)
    lab.wait_healthy(within=60)
    assert_whole(lab, writes)
    assert_told(run(lab, "checks/"), exit=0, outcome="checks", verdict="healthy")


@pytest.mark.system
@cells(*SAMPLE)
@pytest.mark.usefixtures("in_time")
def test_hosts_back_empty(labs: Labs, topology: str, release: str) -> None:
    lab = given(labs, topology, release)
    shows = {"container": "docker exec etcd_container ", "static-pod": "master-exec etcd etcd "}.get(topology, "")
    assert f"etcd Version: {RELEASES[release]}\n" in lab.run(lab.hosts[0], f"{shows}etcd --version").stdout
    before = files(lab)
    writes = broken(lab, lost_hosts(lab), "destroyed")
    with cell(lab, "empty") as counted:
        assert_recovered(lab, counted(run(lab, timeout=600)), writes, before)
        assert_survives_restarts(lab, writes)


@pytest.mark.system
@cells()
@pytest.mark.usefixtures("in_time")
def test_silent_and_back_later(labs: Labs, tmp_path: Path, topology: str, release: str) -> None:
    lab = given(labs, topology, release)
    lost = lost_hosts(lab)
    before = files(lab)
    inventory = declared_lost(lab, lost, tmp_path / "inventory.yaml")
    writes = broken(lab, lost, "dead")
    with cell(lab, "later") as counted:
        alone = counted(run(lab, inventory=inventory, timeout=600))
        sentence = f"1 of 3 members; run the same command when {', '.join(lost)} are back"
        assert_told(alone, exit=0, outcome="recovered", verdict="lost", says=[sentence])
        assert_whole(lab, writes, [survivor_of(lab)])
        writes += written(lab, 20, [survivor_of(lab)])

        lab.boot(*lost, wipe=True)
        done = counted(run(lab, inventory=inventory, timeout=600))
        assert done.summary["verdict"] == "unfinished"
        assert_recovered(lab, done, writes, before)
        assert_survives_restarts(lab, writes)


@full
@pytest.mark.system("5 members, 3 lost")
@pytest.mark.parametrize("topology", ["colocated", *RUNTIMES])
def test_three_of_five(labs: Labs, topology: str) -> None:
    lab = given(labs, topology, members=5)
    before = files(lab)
    writes = broken(lab, lost_hosts(lab), "destroyed")
    assert_recovered(lab, run(lab, "-n", "3", timeout=900), writes, before)
    assert_survives_restarts(lab, writes)


@full
@each
def test_another_etcd_on_the_host(labs: Labs, runtime: str) -> None:
    """As a package leaves it that somebody wanted for its etcdctl: the image's is the member's, and tried on the copy."""
    lab = given(labs, runtime)
    before = files(lab)
    writes = broken(lab, lost_hosts(lab), "destroyed")
    put_other_etcd(lab, [host.short for host in lab.hosts])
    lab.power_off(*lost_hosts(lab))  # emptied, and without the survivor, they would found a cluster of their own
    grow_tail(lab, survivor_of(lab))
    lab.boot(*lost_hosts(lab))
    done = run(lab, timeout=600)
    assert_recovered(lab, done, writes, before)
    assert_tail_kept(done)


@full
@each
def test_undone_before_the_force(labs: Labs, runtime: str) -> None:
    """The force lies in etcd.conf, and nobody has started with it: manifests, units and etcd.conf are as they were."""
    lab = given(labs, runtime)
    writes = broken(lab, lost_hosts(lab), "destroyed")
    before, survivor = files(lab), lab.host(survivor_of(lab))
    killed = sabotaged(
        lab, {"point": f"test_force_new_cluster[{survivor.name}] change {FORCED[runtime]}", "how": "after"}
    )
    assert killed.returncode == -9, killed.stdout
    assert "ETCD_FORCE_NEW_CLUSTER=true\n" in lab.run(survivor, "cat /etc/etcd/etcd.conf").stdout
    done = run(lab, "--abort", timeout=600)
    verdict = str(done.summary["verdict"])
    assert_told(done, exit=0, outcome="aborted", verdict=verdict, says=["undone: every host is as it was found"])
    for host, lines in files(lab).items():
        emptied_pod = runtime == "static-pod" and host != survivor.short
        assert set(lines) == (put_aside(set(before[host])) if emptied_pod else set(before[host])), host

    # Nothing is moved back by hand: the same command finds a manifest where the abort has left it, and etcd in its image.
    if runtime == "static-pod":
        forget_containers(lab, lost_hosts(lab))
    again = run(lab, timeout=600)
    assert_recovered(lab, again, writes, before)
    assert again.summary["verdict"] == "lost"


@full
@each
@pytest.mark.parametrize(
    "point",
    [
        "test_fence[{lost}] change 1",
        "test_stop_survivor[{survivor}] change 1",
        "test_force_new_cluster[{survivor}] change {forced}",
        "test_force_new_cluster[{survivor}] change {started}",
        "test_take_force_away[{survivor}] change 1",
        "test_take_force_away[{survivor}] change 2",
    ],
)
def test_killed_and_typed_again(labs: Labs, runtime: str, point: str) -> None:
    lab = given(labs, runtime)
    before = files(lab)
    writes = broken(lab, lost_hosts(lab), "destroyed")
    names = {"lost": lab.host(lost_hosts(lab)[0]).name, "survivor": lab.host(survivor_of(lab)).name}
    number = FORCED[runtime]
    killed = sabotaged(lab, {"point": point.format(**names, forced=number, started=number + 1), "how": "after"})
    assert killed.returncode == -9, killed.stdout
    done = run(lab, timeout=600)
    assert done.exit == 0, done.output
    assert_recovered(lab, done, writes, before)


@full
def test_killed_and_the_fenced_host_boots(labs: Labs) -> None:
    """Of an emptied pod that nobody runs no container is left, and no log: what tells its version was kept before."""
    lab = given(labs, "static-pod")
    before = files(lab)
    writes = broken(lab, lost_hosts(lab), "destroyed")
    fenced = lost_hosts(lab)[0]
    killed = sabotaged(lab, {"point": f"test_fence[{lab.host(fenced).name}] change 1", "how": "after"})
    assert killed.returncode == -9, killed.stdout
    lab.reboot(fenced)
    forget_containers(lab, [fenced])
    done = run(lab, timeout=600)
    assert_recovered(lab, done, writes, before)


@full
def test_every_manifest_was_moved_out_by_hand_before(labs: Labs) -> None:
    """No container tells of any image. By the survivor's is chosen what is done: taken out in step 20, it is chosen anew."""
    lab = given(labs, "static-pod")
    before = files(lab)
    writes = broken(lab, lost_hosts(lab), "destroyed")
    for host in (*lost_hosts(lab), survivor_of(lab)):  # without the survivor, emptied hosts would found a cluster
        lab.run(host, lab.runtime.stop, timeout=120)
    forget_containers(lab, [host.short for host in lab.hosts])
    for mode in ("--preconditions", "--plan"):
        looked = run(lab, mode)
        assert looked.exit == 0, looked.output
        assert "is not known yet" in looked.report.read_text(encoding="utf-8")
    first = run(lab)
    says = [", which the survey could not know", "run the same command again"]
    assert_told(first, exit=1, outcome="failed", verdict="lost", says=says)
    done = run(lab, timeout=600)
    assert_recovered(lab, done, writes, before)


@full
@each
def test_another_runtime_is_declared(labs: Labs, tmp_path: Path, runtime: str) -> None:
    lab = given(labs, runtime)
    inventory = tmp_path / "inventory.yaml"
    inventory.write_text(lab.inventory_path.read_text().replace("runtime: auto", "runtime: service"))
    broken(lab, lost_hosts(lab), "destroyed")
    before = files(lab)
    done = run(lab, inventory=inventory)
    says = ["expected etcd as the inventory declares it (etcd.runtime: service)", f"found a {runtime}"]
    assert_told(done, exit=6, outcome="refused", verdict="unproven", says=says)
    assert files(lab) == before


@full
def test_the_node_service_does_not_run(labs: Labs) -> None:
    """Nobody would end what is to be ended: refused in stage 1, and said how to mend it."""
    lab = given(labs, "static-pod")
    broken(lab, lost_hosts(lab), "destroyed")
    lab.run(survivor_of(lab), f"systemctl stop {pods.UNIT}")
    before = files(lab)
    done = run(lab)
    assert done.exit == 6, done.output
    assert f"systemctl start {pods.UNIT}" in done.output
    assert files(lab) == before


@full
@pytest.mark.parametrize(
    ("topology", "spoils", "says"),
    [
        ("static-pod", f"printf 'spec:\\n  containers: [\\n' > {MANIFEST}", f"{MANIFEST}, line 3: expected YAML"),
        ("static-pod", BRACES, f"{MANIFEST}, line 1: expected livenessProbe on lines of its own"),
        (
            "static-pod",
            "sed -i 's/^ETCD_DATA_DIR=.*/&   # ssd/' /etc/etcd/etcd.conf",
            "etcd.conf, line 3: expected what a shell reads",
        ),
        (
            "container",
            """sed -i 's/^ETCD_DATA_DIR=\\(.*\\)/ETCD_DATA_DIR="\\1"/' /etc/etcd/etcd.conf""",
            "etcd.conf, line 3: expected a bare value",
        ),
    ],
    ids=["no YAML", "braces", "etcd.conf of a pod", "etcd.conf of a container"],
)
def test_a_file_that_cannot_be_worked_with_is_refused(labs: Labs, topology: str, spoils: str, says: str) -> None:
    lab = given(labs, topology)
    broken(lab, lost_hosts(lab), "destroyed")
    lab.run(survivor_of(lab), spoils)
    before = files(lab)
    done = run(lab)
    assert done.exit == 6, done.output
    assert says in done.output
    assert "Traceback" not in done.output
    assert files(lab) == before


@full
def test_a_playbook_writes_a_manifest_over_a_fence(labs: Labs) -> None:
    """An unfinished recovery has moved it out: etcd runs there again. Nothing is changed until one of the two is away."""
    lab = given(labs, "static-pod")
    before, lost = files(lab), lost_hosts(lab)
    writes = broken(lab, lost, "destroyed")
    killed = sabotaged(
        lab, {"point": f"test_stop_survivor[{lab.host(survivor_of(lab)).name}] change 1", "how": "before"}
    )
    assert killed.returncode == -9, killed.stdout
    parked = "/etc/origin/node/pods-stopped-requorum/etcd.yaml"
    lab.run(lost[0], f"cp -a {parked} {MANIFEST}")
    found = files(lab)
    for arguments in ((), ("--abort",)):
        done = run(lab, *arguments)
        assert done.exit == 6, done.output
        assert f"two manifests of etcd: {parked}, where a recovery has put it, and {MANIFEST}" in done.output
        assert f"{lab.host(lost[0]).name}: a playbook has probably written {MANIFEST}" in done.output
        assert files(lab) == found
    lab.run(lost[0], f"mv {MANIFEST} /root/")
    forgotten = "is stopped or not running"  # for a minute the log of a fenced pod is left, which says etcd's version
    ended = lambda: [forgotten in lab.run(host, "master-logs etcd etcd").stderr for host in lost]  # noqa: E731
    wait.until(lambda: all(ended()), "nothing is left of the fenced pods", 120)
    assert_recovered(lab, run(lab, timeout=600), writes, before)

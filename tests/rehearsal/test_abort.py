"""`--abort`: what an unfinished recovery did is undone, until the point of no return; held against checksums of before."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hazards import edited, line_of
from runbook_runs import Done, assert_told, assert_whole, broken, declared_lost, left_behind, not_undone, run
from sabotage import LOST, lost, sabotaged

from lab import Lab, checksums

Labs = Callable[..., Lab]
State = dict[str, dict[str, str]]

STAGE_2 = "test_back_up_data[etcd-0.example.com] change 1"
STAGE_3 = "test_drop_others[etcd-0.example.com] change 1"
STOPPED = "test_stop_survivor[etcd-0.example.com] change 1"
BEFORE_THE_FORCE = "test_force_new_cluster[etcd-0.example.com] change 4"
FORCED = "test_force_new_cluster[etcd-0.example.com] change 7"
FORCE_TAKEN_AWAY = "test_take_force_away[etcd-0.example.com] change 5"
UNDONE = ("undone: every host is as it was found", "the backups stay on the hosts: /backup/etcd-*-")

full = pytest.mark.full


def killed(lab: Lab, point: str, how: str = "after", *arguments: str) -> None:
    """A run is killed (-9) at this point."""
    done = sabotaged(lab, {"point": point, "how": how}, *arguments)
    assert done.returncode == -9, done.stdout


def assert_undone(done: Done, before: State, lab: Lab) -> None:
    """It ended well, and the hosts are as they were."""
    assert_told(done, exit=0, outcome="aborted", verdict=str(done.summary["verdict"]), says=UNDONE)
    assert not_undone(before, lab.checksums()) == []
    left = lab.run("etcd-0", f"ls -d {lab.record.spec.data_dir}/openshift-backup* || true").stdout
    assert left == "", "what step 41 appended to the survivor's log was not put back"


def assert_refused(lab: Lab, *says: str, inventory: Path | None = None) -> None:
    """An abort says why not, and changes nothing."""
    before = lab.checksums()
    done = run(lab, "--abort", inventory=inventory)
    verdict = str(done.summary["verdict"])
    assert_told(done, exit=6, outcome="refused", verdict=verdict, says=[*says, "stopped; nothing was changed"])
    assert checksums.changes(before, lab.checksums()) == []


@pytest.mark.parametrize(
    ("point", "elsewhere"),
    [
        pytest.param(STAGE_2, False, marks=full, id="stage 2"),
        pytest.param(STAGE_3, False, marks=full, id="stage 3"),
        pytest.param(STOPPED, True, marks=full, id="the survivor is stopped, another machine"),
        pytest.param(BEFORE_THE_FORCE, True, id="just before the force, another machine"),
    ],
)
def test_undone(lab3: Lab, tmp_path: Path, point: str, elsewhere: bool) -> None:
    """Files, owners, modes, units and what runs are as before; a second abort has nothing to do."""
    lost(lab3)
    before = lab3.checksums()
    killed(lab3, point)
    reports = tmp_path / "elsewhere" if elsewhere else None
    assert_undone(run(lab3, "--abort", reports=reports), before, lab3)
    again = run(lab3, "--abort", reports=reports)
    assert_told(again, exit=0, outcome="aborted", verdict="lost", says=["nothing to undo, nothing was changed"])


@full
def test_undone_and_begun_anew(lab3: Lab) -> None:
    writes = lost(lab3)
    killed(lab3, BEFORE_THE_FORCE)
    assert run(lab3, "--abort").exit == 0
    assert_told(run(lab3), exit=0, outcome="recovered", verdict="lost", says=["3 of 3 members"])
    assert_whole(lab3, writes)
    assert left_behind(lab3) == []


@full
def test_an_abort_that_is_killed_is_carried_on(lab3: Lab) -> None:
    """Four times, each time further on."""
    lost(lab3)
    before = lab3.checksums()
    killed(lab3, BEFORE_THE_FORCE)
    for point, how in (
        ("test_restore_configuration[etcd-0.example.com] change 1", "after"),
        ("test_start_survivor[etcd-0.example.com] change 3", "before"),
        ("test_lift_fence[etcd-1.example.com] change 1", "after"),
        ("test_strike_after_abort[etcd-0.example.com] change 1", "after"),
    ):
        killed(lab3, point, how, "--abort")
    assert_undone(run(lab3, "--abort"), before, lab3)


@pytest.mark.parametrize(
    ("point", "says"),
    [
        pytest.param(FORCED, "etcd on etcd-0.example.com forces a new cluster at this moment", id="forced"),
        pytest.param(FORCE_TAKEN_AWAY, "the point of no return has passed: the member list", marks=full, id="settled"),
    ],
)
def test_refused_after_the_force(lab3: Lab, point: str, says: str) -> None:
    """Nothing is changed; the recovery can be finished, as the kill matrix shows."""
    lost(lab3)
    killed(lab3, point)
    assert_refused(lab3, says, "finish the recovery: the same command without --abort")


@full
def test_the_survivor_ran_through_the_loss(lab3: Lab) -> None:
    broken(lab3, LOST, "destroyed")
    before = lab3.checksums()
    killed(lab3, STOPPED)
    done = run(lab3, "--abort")
    assert_told(done, exit=0, outcome="aborted", verdict="lost", says=UNDONE)
    assert not_undone(before, lab3.checksums(), ran_on=True) == []
    assert lab3.run("etcd-0", "systemctl show etcd -p ActiveState").stdout == "ActiveState=activating\n"


@full
def test_a_fenced_member_with_data_runs_again(labs: Labs) -> None:
    """Two of five are left, and both lost power meanwhile: neither has a leader."""
    lab = labs(members=5)
    broken(lab, ("etcd-2", "etcd-3", "etcd-4"), "destroyed")
    for host in ("etcd-0", "etcd-1"):
        lab.power_off(host)
        lab.boot(host)
    before = lab.checksums()
    done = sabotaged(lab, {"point": "test_fence[etcd-4.example.com] change 3", "how": "after"})
    assert done.returncode == -9, done.stdout
    lab.run("etcd-1", "! pidof etcd || ! pidof -x etcd")
    assert_undone(run(lab, "--abort"), before, lab)
    lab.run("etcd-1", "pidof etcd")


@full
def test_with_a_quorum_a_removal_is_the_point_of_no_return(lab3: Lab) -> None:
    writes = broken(lab3, ("etcd-2",), "destroyed")
    before = lab3.checksums()
    killed(lab3, "test_fence[etcd-2.example.com] change 3")
    assert_undone(run(lab3, "--abort"), before, lab3)
    lab3.lead("etcd-0")
    killed(lab3, "test_remove_failed[etcd-0.example.com] change 1")
    gone = lab3.host("etcd-2").peer_url
    assert_refused(lab3, "the point of no return has passed", "no longer in it: ", gone, "finish the recovery")
    assert run(lab3).exit == 0
    assert_whole(lab3, writes)


@full
def test_what_somebody_else_edited_is_not_overwritten(lab3: Lab) -> None:
    lost(lab3)
    killed(lab3, STOPPED)
    lab3.run("etcd-0", "echo '# mine' >> /etc/etcd/etcd.conf")
    assert_refused(lab3, "/etc/etcd/etcd.conf", "somebody else has edited it (backup: /backup/", "abort again")


@full
def test_a_silent_host_may_be_fenced(lab3: Lab, tmp_path: Path) -> None:
    """Refused, until it is given up; when it is back, it is undone, too."""
    lost(lab3)
    before = lab3.checksums()
    killed(lab3, STOPPED)
    lab3.power_off("etcd-2")
    assert_refused(lab3, "etcd-2.example.com is silent", "`lost: true`")
    inventory = declared_lost(lab3, ["etcd-2"], tmp_path / "inventory.yaml")
    done = run(lab3, "--abort", inventory=inventory)
    assert_told(done, exit=0, outcome="aborted", verdict="lost", says=[*UNDONE, "Left as it is: etcd-2.example.com"])
    lab3.boot("etcd-2")
    done = run(lab3, "--abort")
    assert_told(done, exit=0, outcome="aborted", verdict="lost", says=UNDONE)
    changed = not_undone(before, lab3.checksums())
    assert [line for line in changed if ": boot:" not in line and ": process sshd:" not in line] == []


@full
def test_a_fenced_host_is_taken_out_of_the_inventory(lab3: Lab, tmp_path: Path) -> None:
    """Nobody looks at it then: *every host is as it was found* would be untrue."""
    lost(lab3)
    before = lab3.checksums()
    killed(lab3, "test_fence[etcd-2.example.com] change 3")
    inventory = edited(lab3, tmp_path / "inventory.yaml", (line_of(lab3, "etcd-2"), ""))
    url = lab3.host("etcd-2").peer_url
    assert_refused(lab3, url, "may be fenced by this recovery", f"put the host of {url} back", inventory=inventory)
    assert_undone(run(lab3, "--abort"), before, lab3)

"""`--abort`: what an unfinished recovery did is undone, until the point of no return; held against checksums of before."""

from __future__ import annotations

from pathlib import Path

import pytest
from runbook_runs import assert_told, assert_whole, left_behind, run
from sabotage import lost, sabotaged

from lab import Lab, checksums

State = dict[str, dict[str, str]]

STAGE_2 = "test_back_up_data[etcd-0.example.com] change 1"
STAGE_3 = "test_drop_others[etcd-0.example.com] change 1"
STOPPED = "test_stop_survivor[etcd-0.example.com] change 1"
BEFORE_THE_FORCE = "test_force_new_cluster[etcd-0.example.com] change 3"
FORCED = "test_force_new_cluster[etcd-0.example.com] change 4"
UNDONE = ("undone: every host is as it was found", "the backups stay on the hosts: /backup/etcd-*-")

full = pytest.mark.full


def killed(lab: Lab, point: str, how: str = "after", *arguments: str) -> None:
    """A run is killed (-9) at this point."""
    done = sabotaged(lab, {"point": point, "how": how}, *arguments)
    assert done.returncode == -9, done.stdout


def differences(before: State, after: State) -> list[str]:
    """What is not as it was; the backups stay."""
    return [line for line in checksums.changes(before, after) if ": /backup" not in line]


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
    """Files, owners, modes, units and what runs are as before; a second abort has nothing to do; the recovery may begin anew."""
    writes = lost(lab3)
    before = lab3.checksums()
    killed(lab3, point)

    reports = tmp_path / "elsewhere" if elsewhere else None
    done = run(lab3, "--abort", reports=reports)
    assert_told(done, exit=0, outcome="aborted", verdict="lost", says=UNDONE)
    assert differences(before, lab3.checksums()) == []

    again = run(lab3, "--abort", reports=reports)
    assert_told(again, exit=0, outcome="aborted", verdict="lost", says=["nothing to undo, nothing was changed"])
    if point == BEFORE_THE_FORCE:
        assert_told(run(lab3), exit=0, outcome="recovered", verdict="lost", says=["3 of 3 members"])
        assert_whole(lab3, writes)
        assert left_behind(lab3) == []

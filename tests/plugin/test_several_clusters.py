"""The checks of several clusters: each by itself, told apart, and nothing begun where one inventory is not right."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import CHECKS, RUNBOOK, run

USAGE, FAILED = 4, 1


def inventory(folder: Path, cluster: str, *, port: int = 1) -> str:
    """Of a host where no sshd listens."""
    file = folder / f"{cluster}.yaml"
    file.write_text(
        f"cluster: {cluster}\nssh: {{port: {port}}}\netcd: {{hosts: {{a.example.com: {{address: 127.0.0.1}}}}}}\n"
    )
    return str(file)


@pytest.fixture
def reports(tmp_path: Path) -> Path:
    return tmp_path / "reports"


def test_each_cluster_is_checked_and_told_apart(tmp_path: Path, reports: Path) -> None:
    first, second = inventory(tmp_path, "prod"), inventory(tmp_path, "test")
    answer = run(CHECKS, "--inventory", first, f"--inventory={second}", f"--reports={reports}")
    answer.assert_told(FAILED, "clusters  prod: a check failed", "          test: a check failed")
    places = [answer.output.find(words) for words in ("cluster  prod: ", "/prod/", "cluster  test: ", "/test/")]
    assert -1 not in places, answer.output
    assert places == sorted(places), answer.output
    for name in ("prod", "test"):
        assert len(list(reports.glob(f"{name}/*/report.html"))) == 1


def test_an_inventory_that_is_not_right_lets_none_begin(tmp_path: Path, reports: Path) -> None:
    words = (inventory(tmp_path, "prod"), inventory(tmp_path, "test", port=70000), str(tmp_path / "none.yaml"))
    answer = run(CHECKS, *(f"--inventory={word}" for word in words), f"--reports={reports}")
    answer.assert_told(USAGE, "nothing was done", "the number 70000", "none.yaml")
    assert not reports.exists()


def test_a_cluster_is_given_once(tmp_path: Path) -> None:
    given = f"--inventory={inventory(tmp_path, 'prod')}"
    run(CHECKS, given, given).assert_told(USAGE, "two inventories of the cluster prod")


def test_from_the_environment_they_cannot_be_told_apart(tmp_path: Path) -> None:
    first, second = inventory(tmp_path, "prod"), inventory(tmp_path, "test")
    answer = run(CHECKS, f"--inventory={first}", PYTEST_ADDOPTS=f"--inventory={second}")
    answer.assert_told(USAGE, "on the command line itself")


def test_a_recovery_is_of_one_cluster(tmp_path: Path) -> None:
    first, second = inventory(tmp_path, "prod"), inventory(tmp_path, "test")
    answer = run(RUNBOOK, f"--inventory={first}", f"--inventory={second}")
    answer.assert_told(USAGE, "a run of the runbook is for one cluster", "only checks/ take several")

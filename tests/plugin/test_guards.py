"""The guards: a run uses our `host` and the whole runbook, or does not begin; the rest of pytest is left alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import ROOT, RUNBOOK, run
from small_project import ORDER, STEPS, Project

from requorum.records import Noted

GOOD = "cluster: prod\nssh: {port: 1}\netcd: {hosts: {a.example.com: {address: 127.0.0.1}}}\n"
HOST = "import pytest\n\n@pytest.fixture\ndef host():\n    return 'this machine'\n"
LEAVER = "def pytest_collection_modifyitems(items):\n    del items[2]\n"
both = pytest.mark.parametrize("args", [(), ("-n2",)], ids=["plain", "n2"])


def assert_nothing_began(project: Project, exit: int, output: str) -> None:
    assert exit in (4, 6), output
    assert project.made == []
    assert "Traceback" not in output
    assert "INTERNALERROR" not in output


# Our host


@both
def test_a_conftest_in_the_runbook_that_defines_host_stops_everything(project: Project, args: tuple[str, ...]) -> None:
    """No step asks for `host` here: what is there to be asked for is what counts."""
    (project.folder / "runbook" / "conftest.py").write_text(HOST)
    answer = project.run(*args)
    assert_nothing_began(project, answer.exit, answer.output)
    assert "the `host` fixture of" in answer.output
    assert "runbook/conftest.py" in answer.output
    assert "Remove whatever defines it; nothing was done" in answer.output


def test_a_file_of_the_runbook_that_defines_host_stops_everything(project: Project) -> None:
    (project.folder / "runbook" / "test_1_all.py").write_text(HOST + STEPS)
    answer = project.run()
    answer.assert_told(4, "the `host` fixture of", "it would act on this machine")
    assert project.made == []


def test_without_our_host_testinfra_s_own_stops_everything(project: Project) -> None:
    conftest = project.folder / "conftest.py"
    conftest.write_text(conftest.read_text().replace("def host(", "def another_name("))
    answer = project.run()
    answer.assert_told(4, "the `host` fixture of", "testinfra", "it would act on this machine")
    assert project.made == []


def test_a_plugin_that_defines_host_does_not_take_the_place_of_ours(project: Project) -> None:
    """A conftest's fixture comes before a plugin's."""
    (project.folder / "other_host.py").write_text(HOST)
    steps = project.folder / "runbook" / "test_1_all.py"
    steps.write_text(
        STEPS.replace(
            "def test_survivor(etcd):", "def test_survivor(etcd, host):\n    assert host.backend.NAME != 'local'"
        )
    )
    answer = project.run("-p", "other_host")
    assert answer.exit == 0, answer.output
    assert project.made == ORDER


SKIPPER = """
import pytest


def pytest_runtest_setup(item):
    pytest.skip("not today")
"""


# The whole runbook


@both
def test_a_plugin_that_leaves_a_step_out_stops_everything(project: Project, args: tuple[str, ...]) -> None:
    (project.folder / "runbook" / "conftest.py").write_text(LEAVER)
    answer = project.run(*args)
    assert_nothing_began(project, answer.exit, answer.output)
    words = "a recovery runs whole and in order, and 1 steps would be left out, first"
    told = [line for line in answer.output.splitlines() if words in line]
    assert [line.split()[0] for line in told] == ["refused" if args else "ERROR:"], answer.output
    assert [record.text.startswith(words) for record in project.records(Noted)] == [True]


def test_a_test_that_is_no_step_stops_everything(project: Project) -> None:
    (project.folder / "runbook" / "test_2_other.py").write_text("def test_other():\n    pass\n")
    answer = project.run()
    answer.assert_told(4, "test_other is not marked with @step")
    assert project.made == []


@both
def test_a_file_that_cannot_be_imported_stops_everything(project: Project, args: tuple[str, ...]) -> None:
    (project.folder / "runbook" / "test_2_other.py").write_text("import no_such_module\n")
    answer = project.run(*args)
    assert answer.exit != 0, answer.output
    assert project.made == []
    assert "no_such_module" in answer.output


@both
def test_a_plugin_that_skips_every_step_is_no_success(project: Project, args: tuple[str, ...]) -> None:
    (project.folder / "skipper.py").write_text(SKIPPER)
    answer = project.run("-p", "skipper", *args)
    answer.assert_told(1, "6 steps of the plan were not run", "does a plugin of pytest skip tests?")
    assert project.made == []


def test_a_plan_may_be_of_a_part(project: Project) -> None:
    answer = project.run("--plan", "-k", "survivor")
    answer.assert_told(0, "plan", "touch /30", "nothing was changed")
    assert "touch /20" not in answer.output
    assert project.made == []


# Pytest where Requorum is not asked for


@pytest.fixture
def inventory(tmp_path: Path) -> str:
    file = tmp_path / "prod.yaml"
    file.write_text(GOOD)
    return f"--inventory={file}"


def test_other_tests_are_left_alone() -> None:
    """No inventory is asked for, no host is looked at, options keep their meaning, the reporter is pytest's own."""
    before = sorted((ROOT / "reports").glob("*/*"))
    answer = run("tests/unit/inventory/test_inventory_good.py", "-k", "defaults", "-x", "-v")
    assert answer.exit == 0, answer.output
    assert " PASSED " in answer.output
    assert "%]" in answer.output
    assert "verdict" not in answer.output.splitlines()[-1]
    assert "cluster  " not in answer.output
    assert sorted((ROOT / "reports").glob("*/*")) == before


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ("--help", "--inventory=FILE"),
        ("--fixtures", "etcd"),
        ("--markers", "@pytest.mark.rehearsal"),
        ("--version", "pytest"),
    ],
)
@pytest.mark.parametrize("path", [(), ("runbook/",)], ids=["checkout", "runbook"])
def test_pytest_s_own_questions_are_answered(words: str, part: str, path: tuple[str, ...]) -> None:
    """Also without an inventory."""
    answer = run(*path, words)
    assert answer.exit == 0, answer.output
    assert part in answer.output


def test_an_outline_shows_the_steps_and_leaves_nothing(inventory: str, tmp_path: Path) -> None:
    answer = run(RUNBOOK, inventory, "--collect-only", f"--reports={tmp_path / 'reports'}")
    answer.assert_told(0, "<Function test_verdict[bastion]>")
    assert not (tmp_path / "reports").exists()


def test_an_outline_follows_the_verdict(project: Project) -> None:
    outline = project.start("--collect-only").finish()
    outline.assert_told(0, "test_others[b]", "test_survivor[a]", "test_joiners[c]")
    assert not project.reports.exists()
    outline = project.start("--collect-only", verdict="healthy").finish()
    assert "test_look[bastion]" in outline.output
    assert "test_survivor" not in outline.output


def test_nobody_follows_an_outline(project: Project) -> None:
    """Its journal goes away when it ends: under load a thread that read on ended in a traceback (seen)."""
    threads = "import threading\ndef pytest_unconfigure():\n    print([t.name for t in threading.enumerate()])\n"
    (project.folder / "telling_threads.py").write_text(threads)
    outline = project.start("--collect-only", "-p", "telling_threads").finish()
    outline.assert_told(0, "MainThread")
    assert "requorum-terminal" not in outline.output

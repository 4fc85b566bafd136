"""Bad command lines and bad inventories: each gets its field or option, the fix, an exit code, and no traceback.

The corpus of inventories with each error and line is in tests/unit/inventory; here they come the way an operator meets
them. Nothing in this file may leave a folder of a run, but where a host was looked for.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from command_line import CHECKS, ROOT, RUNBOOK, environment, real, run

USAGE, REFUSED = 4, 6
GOOD = "cluster: prod\nssh: {port: 1}\netcd: {hosts: {a.example.com: {address: 127.0.0.1}}}\n"


@pytest.fixture
def good(tmp_path: Path) -> str:
    """An inventory that is right, of a host where no sshd listens."""
    file = tmp_path / "prod.yaml"
    file.write_text(GOOD)
    return f"--inventory={file}"


@pytest.fixture
def reports(tmp_path: Path) -> Path:
    return tmp_path / "reports"


def of(*hosts: str, more: str = "") -> str:
    """An inventory's text, from the text of each host."""
    return f"cluster: prod\netcd:\n  hosts:\n    {{{', '.join(hosts)}}}\n{more}"


A, B = "a: {address: 127.0.0.1}", "b: {address: 127.0.0.2}"

INVENTORIES = [
    ("empty", b"", ["expected an inventory, found an empty file", "inventories/external.yaml"]),
    ("comment only", b"# nothing yet\n", ["found no content"]),
    ("binary", b"cluster: prod\n\x00\x01\x02", ["found binary data", "is this the right file?"]),
    ("not utf-8", b"cluster: pr\xf6d\n", ["the byte 0xf6", "save the file as UTF-8"]),
    ("tab", b"cluster: prod\netcd:\n\thosts: {}\n", [":3: ", "found a tab", "replace tabs by spaces"]),
    ("no yaml", b"cluster: [prod\n", [":1: ", "what YAML cannot read", "close the `[` of column 10"]),
    ("list", b"- prod\n", ["found a list"]),
    ("no cluster", b"etcd: {hosts: {a: {address: 127.0.0.1}}}\n", ["cluster"]),
    ("no hosts", b"cluster: prod\netcd: {hosts: {}}\n", ["etcd.hosts"]),
    ("hosts a list", b"cluster: prod\netcd: {hosts: [a, b]}\n", ["etcd.hosts", "found a list"]),
    ("cluster a number", of(A).replace("prod", "7").encode(), ["cluster", "the number 7", "put it in quotes"]),
    ("port text", of(A, more="ssh: {port: ssh}\n").encode(), ["ssh.port", "a port from 1 to 65535", "such as 22"]),
    ("port too high", of(A, more="ssh: {port: 70000}\n").encode(), ["ssh.port", "the number 70000"]),
    ("lost text", of("a: {lost: maybe}", B).encode(), ["etcd.hosts[a].lost", "expected true or false"]),
    ("unknown field", of(A, more="confrim: false\n").encode(), ["confrim", "did you mean 'confirm'?"]),
    ("host twice", of(A, A).encode(), ["etcd.hosts[a]", "a second time", "keep one of them"]),
    ("field twice", of(A, more="cluster: other\n").encode(), ["cluster", "a second time"]),
    ("address twice", of(A, "b: {address: 127.0.0.1}").encode(), ["etcd.hosts[b]", "127.0.0.1"]),
    ("rejoin unknown", of(A, B, more="  rejoin: [c]\n").encode(), ["etcd.rejoin", "'c'"]),
    ("survivor lost", of("a: {lost: true}", B, more="  survivor: a\n").encode(), ["etcd.survivor", "lost"]),
    ("survivor unknown", of(A, B, more="  survivor: c\n").encode(), ["etcd.survivor", "'c'"]),
    ("all lost", of("a: {lost: true}", "b: {lost: true}").encode(), ["lost"]),
    ("key not there", of(A, more="ssh: {identity_file: /nowhere/id}\n").encode(), ["ssh.identity_file", "/nowhere/id"]),
    ("key a folder", of(A, more="ssh: {identity_file: /etc}\n").encode(), ["ssh.identity_file", "regular file"]),
    ("known hosts not there", of(A, more="ssh: {known_hosts: /nowhere}\n").encode(), ["ssh.known_hosts", "/nowhere"]),
    ("name unresolved", of("no-such-host.invalid: {}").encode(), ["no-such-host.invalid", "address"]),
    ("python object", b"!!python/object:os.system {}\n", ["the tag", "plain YAML only"]),
    ("backup in root", of(A, more="backup: {directory: /}\n").encode(), ["backup.directory"]),
]


@pytest.mark.parametrize(("text", "parts"), [case[1:] for case in INVENTORIES], ids=[case[0] for case in INVENTORIES])
def test_a_bad_inventory_is_told_with_line_field_and_fix(tmp_path: Path, text: bytes, parts: list[str]) -> None:
    file = tmp_path / "bad.yaml"
    file.write_bytes(text)
    answer = run(RUNBOOK, f"--inventory={file}", f"--reports={tmp_path / 'reports'}")
    answer.assert_told(USAGE, "the inventory is not right; nothing was done", f"{file}:", "; fix: ", *parts)
    assert not (tmp_path / "reports").exists()


SUBSET = ["a recovery runs whole and in order", "--preconditions"]
NOTHING = ["no step would run, and all would count as passed", "--collect-only"]
HOSTS = ["the inventory says which hosts there are"]
HERE = ["workers run on this machine only", "-n NUMBER"]
COMMAND_LINES: list[tuple[str, list[str]]] = [
    ("-k fence", ["-k is refused", *SUBSET]),
    ("-m slow", ["-m is refused", *SUBSET]),
    ("--deselect=runbook/test_3_take_out.py", ["--deselect is refused", *SUBSET]),
    ("--ignore=runbook/test_3_take_out.py", ["--ignore is refused", *SUBSET]),
    ("--ignore-glob=*3*", ["--ignore-glob is refused", *SUBSET]),
    ("--lf", ["--lf is refused", *SUBSET]),
    ("--ff", ["--ff is refused", *SUBSET]),
    ("--nf", ["--nf is refused", *SUBSET]),
    ("--sw", ["--sw is refused", *SUBSET]),
    ("--sw-skip", ["--sw-skip is refused", *SUBSET]),
    ("--sw-reset", ["--sw-reset is refused", *SUBSET]),
    ("--setup-only", ["--setup-only is refused", *NOTHING]),
    ("--setup-plan", ["--setup-plan is refused", *NOTHING]),
    ("--plan --setup-only", ["--setup-only is refused", *NOTHING]),
    ("--preconditions --setup-plan", ["--setup-plan is refused", *NOTHING]),
    ("--cache-show", ["--cache-show is refused", "nothing to show"]),
    ("--cache-show=*", ["--cache-show is refused", "nothing to show"]),
    ("--plan --cache-show", ["--cache-show is refused", "nothing to show"]),
    ("--max-warnings=9", ["--max-warnings is refused", "6"]),
    ("--continue-on-collection-errors", ["--continue-on-collection-errors is refused", *SUBSET]),
    ("--doctest-glob=*.py", ["--doctest-glob is refused", *SUBSET]),
    ("--inversion=x", ["--inversion is refused", *SUBSET]),
    ("--junitxml=/proc/none/x.xml", ["--junit-xml /proc/none/x.xml cannot be written", "name another file"]),
    ("--log-file=/proc/none/x", ["--log-file /proc/none/x cannot be written", "name another file"]),
    ("--break-lock=", ["--break-lock names no run", "--plan"]),
    ("--collect-only --break-lock=r1", ["--break-lock is not for --collect-only, which locks nothing"]),
    ("--setup-show", ["--setup-show is refused", *SUBSET]),
    ("--pdb", ["--pdb is refused", *SUBSET]),
    ("--trace", ["--trace is refused", *SUBSET]),
    ("--keep-duplicates", ["--keep-duplicates is refused", *SUBSET]),
    ("--doctest-modules", ["--doctest-modules is refused", *SUBSET]),
    ("--allure-features=x", ["--allure-features is refused", *SUBSET]),
    ("--allure-ids=x", ["--allure-ids is refused", *SUBSET]),
    ("--hosts=local://", ["--hosts is not for Requorum", *HOSTS]),
    ("--connection=ssh", ["--connection is not for Requorum", *HOSTS]),
    ("--sudo", ["--sudo is not for Requorum", *HOSTS]),
    ("--sudo-user=root", ["--sudo-user is not for Requorum", *HOSTS]),
    ("--ansible-inventory=/etc/hosts", ["--ansible-inventory is not for Requorum", *HOSTS]),
    ("--force-ansible", ["--force-ansible is not for Requorum", *HOSTS]),
    ("--ssh-config=/x", ["--ssh-config is not for Requorum", *HOSTS]),
    ("--ssh-identity-file=/x", ["--ssh-identity-file is not for Requorum", *HOSTS]),
    ("--nagios", ["--nagios is not for Requorum", *HOSTS]),
    ("--confirm=other", ["--confirm other", "cluster prod", "nothing was done"]),
    ("--plan --preconditions", ["are different runs", "give one of them"]),
    ("--alluredir=/tmp/x", ["--alluredir is not for Requorum", "under reports/"]),
    ("--pastebin=all", ["--pastebin is refused", "publish"]),
    ("--looponfail", ["--looponfail is refused"]),
    ("--plan --looponfail", ["--looponfail is refused"]),
    ("--dist=load --tx=ssh=elsewhere", ["--tx ssh=elsewhere is refused", *HERE]),
    ("--dist=load --tx=popen//python=python2", ["is refused", *HERE]),
    ("-n2 --px=ssh=elsewhere", ["--px and --rsyncdir are refused", *HERE]),
    ("-n x", ["-n"]),
    ("-n -1", ["-n -1 is no number of workers", "leave it out"]),
    ("-p no:terminal", ["-p no:terminal is refused", "leave it out"]),
    ("-p no:terminalreporter", ["-p no:terminalreporter is refused", "leave it out"]),
    ("-p no:capture", ["-p no:capture is refused", "leave it out"]),
    ("-p no:capturemanager", ["-p no:capturemanager is refused", "leave it out"]),
    ("-p no:funcmanage", ["-p no:funcmanage is refused", "leave it out"]),
    ("-p no:assertion", ["-p no:assertion is refused", "leave it out"]),
    ("-p no:requorum-steps", ["-p no:requorum-steps is refused"]),
    ("-p no:requorum-barriers", ["-p no:requorum-barriers is refused"]),
    ("-p no:requorum.stages.plugin", ["unrecognized arguments: --inventory"]),
    ("--noconftest", ["unrecognized arguments: --inventory"]),
    ("-o python_functions=test_verdict", ["a recovery runs whole", "would be left out", "nothing was done"]),
    ("-o python_files=test_1*", ["a recovery runs whole", "would be left out", "nothing was done"]),
    ("--assert=plain", ["--assert=plain", "every precondition would pass"]),
    ("--conf prod", ["unrecognized arguments: --conf"]),  # no abbreviations: --conf could be --confcutdir
    ("--precond", ["unrecognized arguments: --precond"]),
]


@pytest.mark.parametrize(("words", "parts"), COMMAND_LINES, ids=[words for words, _ in COMMAND_LINES])
def test_a_bad_option_is_refused_with_the_reason(good: str, reports: Path, words: str, parts: list[str]) -> None:
    run(RUNBOOK, good, f"--reports={reports}", *words.split()).assert_told(USAGE, *parts)


@pytest.mark.parametrize(
    ("paths", "parts"),
    [
        (["runbook/test_1_survey.py"], ["a part of the runbook is refused", "write `pytest runbook/`"]),
        (["runbook/test_1_survey.py::test_verdict"], ["a part of the runbook is refused"]),
        (["runbook/no_such_file.py"], ["a part of the runbook is refused"]),
        (["runbook/", "tests/"], ["runbook/ and checks/ are run alone"]),
        (["runbook/", "checks/"], ["runbook/ and checks/ are run alone"]),
        (["runbook/", "/tmp"], ["runbook/ and checks/ are run alone"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_bad_paths_are_refused(good: str, reports: Path, paths: list[str], parts: list[str]) -> None:
    run(*paths, good, f"--reports={reports}").assert_told(USAGE, *parts)
    assert not reports.exists()


def test_no_inventory_says_how_to_get_one() -> None:
    real("runbook/").assert_told(USAGE, "no inventory", "--inventory FILE", "inventories/external.yaml")


def test_two_inventories_are_one_too_many(good: str) -> None:
    run(RUNBOOK, good, good).assert_told(USAGE, "--inventory was given more than once")


def test_an_inventory_that_is_not_there_names_the_one_beside_it(tmp_path: Path, good: str) -> None:
    answer = run(RUNBOOK, f"--inventory={tmp_path / 'prd.yaml'}")
    answer.assert_told(USAGE, f"did you mean {tmp_path / 'prod.yaml'}?")


@pytest.mark.parametrize("value", ["", "."], ids=["empty", "folder"])
def test_an_inventory_is_a_file(value: str) -> None:
    run(RUNBOOK, f"--inventory={value}").assert_told(USAGE, "expected a file, found a directory")


@pytest.mark.parametrize(
    "words", ["--plan", "--preconditions", "--abort", "--confirm=prod", "--confirm=", "--break-lock=r", "--break-lock="]
)
def test_checks_have_no_modes(good: str, words: str) -> None:
    run(CHECKS, good, words).assert_told(USAGE, "belongs to runbook/: checks/ never change anything")


@pytest.mark.parametrize("words", ["--cache-show", "--setup-plan", "--setup-only"])
def test_checks_that_would_not_run_do_not_pass(good: str, words: str) -> None:
    run(CHECKS, good, words).assert_told(USAGE, f"{words} is refused")


@pytest.mark.parametrize("name", ["terminalreporter", "capturemanager"])
def test_checks_of_several_clusters_need_the_same_plugins(good: str, name: str) -> None:
    run(CHECKS, good, good, "-p", f"no:{name}").assert_told(USAGE, f"-p no:{name} is refused")


@pytest.mark.parametrize(
    ("path", "words", "shown"),
    [
        (RUNBOOK, "-k verdict", "test_verdict[bastion]"),
        (RUNBOOK, "--abort -k undone", "test_can_be_undone[bastion]"),
        (f"{RUNBOOK}/test_1_survey.py", "-v", "test_verdict[bastion]"),
    ],
    ids=["-k", "--abort -k", "a file"],
)
def test_a_part_of_the_outline_may_be_shown(good: str, reports: Path, path: str, words: str, shown: str) -> None:
    """--collect-only runs nothing, so nothing is run by halves."""
    answer = run(path, good, f"--reports={reports}", "--collect-only", *words.split())
    answer.assert_told(0, shown)
    assert not reports.exists()


def test_an_inventory_that_may_not_be_read_is_told(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read every file")
    file = tmp_path / "prod.yaml"
    file.write_text(GOOD)
    file.chmod(0)
    run(RUNBOOK, f"--inventory={file}").assert_told(USAGE, "permission denied", "change its mode")


@pytest.mark.parametrize("args", [(), ("-s",), ("--capture=no", "-q"), ("-x",), ("-v", "--tb=no")], ids=" ".join)
def test_a_port_where_nobody_listens_leaves_the_verdict_unproven(
    good: str, reports: Path, args: tuple[str, ...]
) -> None:
    """No usage error: the command line is right, and the cluster cannot be judged. Options that fit change nothing."""
    answer = run(RUNBOOK, good, f"--reports={reports}", *args)
    answer.assert_told(
        REFUSED, "unproven", "127.0.0.1 port 1 refuses connections", "check `port:` in the inventory",
        "nothing was changed", "report.html",
    )  # fmt: skip
    assert len(list(reports.glob("prod/*/summary.json"))) == 1


@pytest.mark.parametrize(
    ("python", "variables"),
    [(("-O",), {}), (("-OO",), {}), ((), {"PYTHONOPTIMIZE": "1"})],
    ids=["-O", "-OO", "PYTHONOPTIMIZE"],
)
def test_optimized_python_is_refused(good: str, python: tuple[str, ...], variables: dict[str, str]) -> None:
    answer = real("runbook/", good, python=python, **variables)
    assert answer.exit == USAGE, answer.output
    assert "python -O, PYTHONOPTIMIZE and --assert=plain" in answer.output
    assert "Traceback" not in answer.output


def test_the_project_is_where_these_tests_think_it_is() -> None:
    assert (ROOT / "runbook" / "test_1_survey.py").is_file()
    assert "PYTEST_CURRENT_TEST" not in environment()

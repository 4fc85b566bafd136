"""What may be asked of pytest's command line, and what is refused with a reason."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Literal

import pytest

from requorum.inventory import Inventory, InventoryError, load, unresolvable
from requorum.records import Mode

PROJECT = Path(__file__).resolve().parents[2]
"""The checkout. pytest's rootdir will not do: an inventory elsewhere can move it."""

RUNBOOK, CHECKS = PROJECT / "runbook", PROJECT / "checks"

_SUBSETS = {
    "keyword": "-k", "markexpr": "-m", "deselect": "--deselect", "ignore": "--ignore", "ignore_glob": "--ignore-glob",
    "lf": "--lf", "failedfirst": "--ff", "newfirst": "--nf", "stepwise": "--sw", "stepwise_skip": "--sw-skip",
    "stepwise_reset": "--sw-reset", "setupshow": "--setup-show", "pyargs": "--pyargs", "usepdb": "--pdb",
    "trace": "--trace", "keepduplicates": "--keep-duplicates", "doctestmodules": "--doctest-modules",
    "doctestglob": "--doctest-glob", "continue_on_collection_errors": "--continue-on-collection-errors",
    "inversion": "--inversion",
    "allure_features": "--allure-features", "allure_epics": "--allure-epics", "allure_stories": "--allure-stories",
    "allure_ids": "--allure-ids", "allure_labels": "--allure-label", "allure_severities": "--allure-severities",
}  # fmt: skip
"""Options by pytest's name for them that run a part of the steps, or each of them otherwise."""
_TESTINFRA = {
    "hosts": "--hosts", "connection": "--connection", "sudo": "--sudo", "sudo_user": "--sudo-user",
    "ansible_inventory": "--ansible-inventory", "force_ansible": "--force-ansible", "ssh_config": "--ssh-config",
    "ssh_extra_args": "--ssh-extra-args", "ssh_identity_file": "--ssh-identity-file", "nagios": "--nagios",
}  # fmt: skip
_RUNS_NOTHING = {
    "cacheshow": ("--cache-show", "pytest keeps no cache here, so there is nothing to show; what ran is in reports/"),
    "setupplan": ("--setup-plan", "no step would run, and all would count as passed; --collect-only lists them"),
    "setuponly": ("--setup-only", "no step would run, and all would count as passed; --collect-only lists them"),
}
"""Options by pytest's name for them that are to show something and run nothing, and why that cannot be had here."""
_WRITTEN = {"xmlpath": "--junit-xml", "log_file": "--log-file"}
"""Options by pytest's name for them that name a file which pytest writes, some of them after the last step."""
_NEEDED = (
    "python", "funcmanage", "terminal", "terminalreporter", "capture", "capturemanager", "assertion", "reports",
)  # fmt: skip
"""Plugins of pytest that a run cannot do without; of some, what they register has a name of its own."""


def add_options(parser: pytest.Parser) -> None:
    """Requorum's own options."""
    group = parser.getgroup("requorum", "Requorum: an etcd cluster's way back from lost quorum")
    group.addoption("--inventory", action="append", metavar="FILE", help="the cluster: a file as in inventories/")
    group.addoption(
        "--preconditions", action="store_true", help="check the preconditions of every step; change nothing"
    )
    group.addoption("--plan", action="store_true", help="show every step, host and change in order; change nothing")
    group.addoption(
        "--abort", action="store_true", help="undo what an unfinished recovery did, as long as it can be undone"
    )
    group.addoption("--confirm", metavar="CLUSTER", help="agree, without a terminal, to what is done to this cluster")
    group.addoption("--break-lock", metavar="RUN", help="take the hosts' locks from this run, whose machine is dead")
    group.addoption("--reports", metavar="FOLDER", help="where reports go (default: reports/ in the checkout)")


def place(config: pytest.Config) -> Literal["runbook", "checks", "elsewhere"]:
    """Where this run's tests lie. Raises UsageError where runbook/ or checks/ is mixed with something else."""
    option = config.option
    if option.help or option.version or option.showfixtures or option.show_fixtures_per_test or option.markers:
        return "elsewhere"
    paths = [(config.invocation_params.dir / arg.partition("::")[0]).resolve() for arg in config.args]
    places = {_place_of(path) for path in paths}
    if places == {"runbook"}:
        return "runbook"
    if places == {"checks"}:
        return "checks"
    if "runbook" in places or "checks" in places:
        raise pytest.UsageError("runbook/ and checks/ are run alone: name nothing else beside them")
    return "elsewhere"


def _place_of(path: Path) -> Literal["runbook", "checks", "elsewhere"]:
    if path == RUNBOOK or RUNBOOK in path.parents:
        return "runbook"
    return "checks" if path == CHECKS or CHECKS in path.parents else "elsewhere"


def mode_of(config: pytest.Config, where: Literal["runbook", "checks"]) -> Mode:
    """What this run is for; every option that does not fit it is refused. Raises UsageError."""
    option = config.option
    refuse_without_needed(config)
    if sys.flags.optimize or config.option.assertmode == "plain":
        raise pytest.UsageError(
            "python -O, PYTHONOPTIMIZE and --assert=plain switch assertions off; every precondition would pass: refused"
        )
    for name, flag in _TESTINFRA.items():
        if getattr(option, name, None):
            raise pytest.UsageError(
                f"{flag} is not for Requorum: the inventory says which hosts there are and how to reach them"
            )
    for name, (flag, why) in _RUNS_NOTHING.items():
        if getattr(option, name, None):
            raise pytest.UsageError(f"{flag} is refused: {why}")
    _refuse_other_machines(config)
    _refuse_unwritable(config)
    if getattr(option, "max_warnings", None) is not None:
        raise pytest.UsageError("--max-warnings is refused: pytest would end with 6, which is for a refused run here")
    if (getattr(option, "numprocesses", None) or 0) < 0:
        raise pytest.UsageError(f"-n {option.numprocesses} is no number of workers: write -n 3, or leave it out")
    if getattr(option, "pastebin", None):
        raise pytest.UsageError("--pastebin is refused: it would publish the names and addresses of your hosts")
    if getattr(option, "allure_report_dir", None):
        raise pytest.UsageError(
            "--alluredir is not for Requorum: each run's allure-results/ lie in its folder under reports/"
        )
    flags: dict[str, Mode] = {"--preconditions": "preconditions", "--plan": "plan", "--abort": "abort"}
    chosen = [flag for flag, mode in flags.items() if getattr(option, mode)]
    if where == "checks":
        given = [*chosen, *(f"--{name}" for name in ("confirm", "break-lock") if _said(config, name))]
        if given:
            raise pytest.UsageError(f"{given[0]} belongs to runbook/: checks/ never change anything")
        return "checks"
    if len(chosen) > 1:
        raise pytest.UsageError(f"{' and '.join(chosen)} are different runs: give one of them")
    mode = flags[chosen[0]] if chosen else "recovery"
    looks = "--collect-only" if option.collectonly else chosen[0] if mode in ("plan", "preconditions") else ""
    if _said(config, "break-lock"):
        if looks:
            raise pytest.UsageError(f"--break-lock is not for {looks}, which locks nothing: leave it out")
        if not option.break_lock.strip():
            raise pytest.UsageError(
                "--break-lock names no run: write the one that a refusal, or --plan, shows as holder"
            )
    if looks:
        return mode
    for name, flag in _SUBSETS.items():
        if getattr(option, name, None):
            raise pytest.UsageError(
                f"{flag} is refused for a run that changes anything: a recovery runs whole and in order. "
                "It may be used with --preconditions, --plan, --collect-only and for checks/"
            )
    parts = [arg for arg in config.args if (config.invocation_params.dir / arg).resolve() != RUNBOOK]
    if parts:
        raise pytest.UsageError(
            f"{parts[0]}: a part of the runbook is refused for a run that changes anything; write `pytest runbook/`"
        )
    return mode


def _said(config: pytest.Config, name: str) -> bool:
    """This option was given, if only an empty word."""
    return config.getoption(f"--{name}") is not None


def refuse_without_needed(config: pytest.Config) -> None:
    """Raise UsageError where a plugin of pytest was switched off that nothing here does without."""
    refuse_without(config, _NEEDED)


def refuse_without(config: pytest.Config, plugins: tuple[str, ...]) -> None:
    """Raise UsageError where one of these plugins was switched off."""
    for name in plugins:
        if config.pluginmanager.is_blocked(name):
            raise pytest.UsageError(f"-p no:{name} is refused: Requorum cannot do without {name}; leave it out")


def refuse_watching(config: pytest.Config) -> None:
    """Raise UsageError for --looponfail, which would begin before anything is configured."""
    if getattr(config.option, "looponfail", False) and place(config) != "elsewhere":
        raise pytest.UsageError("--looponfail is refused: a changed file here is no reason to run anything on a host")


def _refuse_other_machines(config: pytest.Config) -> None:
    """Workers hold the run's lock and take its permits, so they run on this machine."""
    specs: list[str] = getattr(config.option, "tx", None) or []
    for spec in specs:
        if not re.fullmatch(r"(\d+\*)?popen", spec):
            raise pytest.UsageError(f"--tx {spec} is refused: workers run on this machine only; write -n NUMBER")
    if getattr(config.option, "px", None) or getattr(config.option, "rsyncdir", None):
        raise pytest.UsageError("--px and --rsyncdir are refused: workers run on this machine only; write -n NUMBER")


def _refuse_unwritable(config: pytest.Config) -> None:
    """What pytest cannot write in the end would cost the account of the run: it is tried now."""
    for name, flag in _WRITTEN.items():
        given = getattr(config.option, name, None)
        if not given:
            continue
        path = Path(os.path.expandvars(given)).expanduser().absolute()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.open("a", encoding="utf-8").close()
        except OSError as error:
            raise pytest.UsageError(
                f"{flag} {given} cannot be written ({error.strerror or error}): name another file, or leave it out"
            ) from None


def bound_workers(config: pytest.Config, hosts: int) -> None:
    """Have xdist start no more workers than there are `hosts`: no step could use them, and each costs its start."""
    specs: list[str] = getattr(config.option, "tx", None) or []
    if getattr(config.option, "numprocesses", None) and len(specs) > hosts:
        config.option.numprocesses, config.option.tx = hosts, specs[:hosts]


def inventory_of(config: pytest.Config) -> Inventory:
    """The inventory, whole and right, with names that resolve. Raises UsageError with every problem."""
    given: list[str] = config.option.inventory or []
    if not given:
        raise pytest.UsageError(
            "no inventory: say which cluster with --inventory FILE; inventories/external.yaml is an example to copy"
        )
    if len(given) > 1:
        raise pytest.UsageError(
            "--inventory was given more than once: a run of the runbook is for one cluster; only checks/ take several"
        )
    (inventory,) = inventories_of(config)
    confirm = config.option.confirm
    if confirm is not None and confirm != inventory.cluster:
        raise pytest.UsageError(
            f"--confirm {confirm}: the inventory is of cluster {inventory.cluster}; nothing was done"
        )
    return inventory


def inventories_of(config: pytest.Config) -> list[Inventory]:
    """Every inventory of the command line, in its order, each of another cluster. Raises UsageError with every problem."""
    found: list[Inventory] = []
    wrong: list[str] = []
    for given in config.option.inventory:
        try:
            inventory = load(config.invocation_params.dir / given)
            if problems := unresolvable(inventory):
                raise InventoryError(problems)
            found.append(inventory)
        except InventoryError as error:
            wrong.append(str(error))
    if wrong:
        raise pytest.UsageError("\n".join(["the inventory is not right; nothing was done", *wrong]))
    names = [inventory.cluster for inventory in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise pytest.UsageError(f"two inventories of the cluster {', '.join(twice)}: give each cluster once")
    return found


def reports_of(config: pytest.Config) -> Path:
    """Where the folders of the runs are."""
    chosen = config.option.reports
    return (config.invocation_params.dir / chosen).resolve() if chosen else PROJECT / "reports"

"""What may be asked of pytest's command line, and what is refused with a reason."""

from __future__ import annotations

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
    "lf": "--lf", "failedfirst": "--ff", "newfirst": "--nf", "stepwise": "--sw", "setuponly": "--setup-only",
    "setupshow": "--setup-show", "setupplan": "--setup-plan", "pyargs": "--pyargs", "usepdb": "--pdb",
    "trace": "--trace", "dist_loop": "--looponfail",
}  # fmt: skip
_TESTINFRA = {
    "hosts": "--hosts", "connection": "--connection", "sudo": "--sudo", "sudo_user": "--sudo-user",
    "ansible_inventory": "--ansible-inventory", "ssh_config": "--ssh-config",
}  # fmt: skip


def add_options(parser: pytest.Parser) -> None:
    """Requorum's own options."""
    group = parser.getgroup("requorum", "Requorum: an etcd cluster's way back from lost quorum")
    group.addoption("--inventory", action="append", metavar="FILE", help="the cluster: a file as in inventories/")
    group.addoption(
        "--preconditions", action="store_true", help="check the preconditions of every step; change nothing"
    )
    group.addoption("--plan", action="store_true", help="show every step, host and change in order; change nothing")
    group.addoption("--confirm", metavar="CLUSTER", help="agree, without a terminal, to the recovery of this cluster")
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
    if sys.flags.optimize or config.option.assertmode == "plain":
        raise pytest.UsageError(
            "python -O, PYTHONOPTIMIZE and --assert=plain switch assertions off; every precondition would pass: refused"
        )
    for name, flag in _TESTINFRA.items():
        if getattr(option, name, None):
            raise pytest.UsageError(
                f"{flag} is not for Requorum: the inventory says which hosts there are and how to reach them"
            )
    if getattr(option, "allure_report_dir", None):
        raise pytest.UsageError(
            "--alluredir is not for Requorum: each run's allure-results/ lie in its folder under reports/"
        )
    chosen = [flag for flag, given in (("--preconditions", option.preconditions), ("--plan", option.plan)) if given]
    if where == "checks":
        if chosen or option.confirm:
            raise pytest.UsageError(
                f"{(chosen or ['--confirm'])[0]} belongs to runbook/: checks/ never change anything"
            )
        return "checks"
    if len(chosen) == 2:
        raise pytest.UsageError("--preconditions and --plan are two different runs: give one of them")
    if chosen:
        return "plan" if option.plan else "preconditions"
    for name, flag in _SUBSETS.items():
        if getattr(option, name, None):
            raise pytest.UsageError(
                f"{flag} is refused for a run that changes anything: a recovery runs whole and in order. "
                "It may be used with --preconditions, with --plan and for checks/"
            )
    given = [arg for arg in config.args if (config.invocation_params.dir / arg).resolve() != RUNBOOK]
    if given:
        raise pytest.UsageError(
            f"{given[0]}: a part of the runbook is refused for a run that changes anything; write `pytest runbook/`"
        )
    return "recovery"


def inventory_of(config: pytest.Config) -> Inventory:
    """The inventory, whole and right, with names that resolve. Raises UsageError with every problem."""
    given: list[str] = config.option.inventory or []
    if not given:
        raise pytest.UsageError(
            "no inventory: say which cluster with --inventory FILE; inventories/external.yaml is an example to copy"
        )
    if len(given) > 1:
        raise pytest.UsageError("--inventory was given more than once: one run is for one cluster")
    try:
        inventory = load(config.invocation_params.dir / given[0])
        problems = unresolvable(inventory)
        if problems:
            raise InventoryError(problems)
    except InventoryError as error:
        raise pytest.UsageError(f"the inventory is not right; nothing was done\n{error}") from None
    confirm = config.option.confirm
    if confirm is not None and confirm != inventory.cluster:
        raise pytest.UsageError(
            f"--confirm {confirm}: the inventory is of cluster {inventory.cluster}; nothing was done"
        )
    return inventory


def reports_of(config: pytest.Config) -> Path:
    """Where the folders of the runs are."""
    chosen = config.option.reports
    return (config.invocation_params.dir / chosen).resolve() if chosen else PROJECT / "reports"

"""The pytest plugin. It is active only where all arguments lie in runbook/ or checks/."""

from __future__ import annotations

import gc
import pickle
import warnings

import pytest
from pluggy import PluggyTeardownRaisedWarning

from requorum.ansible import AnsibleGroup
from requorum.authority import Authority
from requorum.clients import Client
from requorum.flannel import FlannelHosts
from requorum.former import FormerClients, FormerHost
from requorum.live import Cluster, EtcdMember
from requorum.masters import Masters
from requorum.stages import barriers, options, several, signals
from requorum.stages.active import RUN, run_of
from requorum.stages.controller import HANDED, Controller
from requorum.stages.steps import Steps
from requorum.v2_store import V2Store

NAME = "requorum-steps"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Requorum's options."""
    options.add_options(parser)


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> int | None:
    """Refuse what would begin before anything is configured; check each of several clusters by itself."""
    options.refuse_watching(config)
    return several.check_each(config)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Look at the command line; become active, or leave pytest as it is."""
    handed = getattr(config, "workerinput", {}).get(HANDED)
    if handed is not None:
        # Ctrl-C may reach a worker while Python collects garbage (seen): nothing is lost, and no traceback is owed.
        warnings.simplefilter("ignore", pytest.PytestUnraisableExceptionWarning)
        # A controller that was killed cannot be told anything: the journal has it, and the prompt is the operator's.
        warnings.simplefilter("ignore", PluggyTeardownRaisedWarning)
        signals.leave_hang_up_to_controller()
        # Made by our own controller a moment ago, and handed over a pipe of ours.
        run = pickle.loads(handed)
        if run.changes:
            run.share_lock()
        _activate(config, Steps(config, run))
        return
    where = options.place(config)
    if where == "elsewhere" or hasattr(config, "workerinput"):
        return
    mode = options.mode_of(config, where)
    inventory = options.inventory_of(config)
    # In a plan a step sees what the steps before it would leave: they are believed in one process.
    options.bound_workers(config, 1 if mode == "plan" else len(inventory.all_names))
    _activate(config, Controller(config, mode, inventory))


def _activate(config: pytest.Config, steps: Steps) -> None:
    options.refuse_without(config, (NAME, barriers.NAME))
    config._inicache["verbosity_assertions"] = 2  # a failure shows all that it found; pytest.ini may not be in use
    gc.freeze()  # what is imported by now stays to the end: no collection has to look at it
    config.stash[RUN] = steps.run
    config.pluginmanager.register(steps, NAME)
    barriers.install(
        config,
        steps.place_of,
        block_on_failure=steps.mode not in ("preconditions", "checks"),
        on_not_run=steps.not_run,
        on_interrupt=steps.interrupt,
    )


@pytest.fixture
def target(request: pytest.FixtureRequest) -> str:
    """The name of the host that a step is for."""
    return str(request.param)


@pytest.fixture
def etcd(request: pytest.FixtureRequest, target: str) -> EtcdMember:
    """The etcd of the host that a step is for."""
    return EtcdMember(run_of(request.config), target)


@pytest.fixture
def client(request: pytest.FixtureRequest, target: str) -> Client:
    """The host that a step is for, where its master or its flanneld is what counts."""
    return Client(run_of(request.config), target)


@pytest.fixture
def former(request: pytest.FixtureRequest, target: str) -> FormerHost:
    """The host that a step is for, as the recovery that is to be undone found it."""
    return FormerHost(run_of(request.config), target)


@pytest.fixture
def former_clients(request: pytest.FixtureRequest) -> FormerClients:
    """The hosts beside the cluster, as the recovery that is to be undone found them."""
    return FormerClients(run_of(request.config))


@pytest.fixture
def ansible(request: pytest.FixtureRequest) -> AnsibleGroup:
    """The group [etcd] of the operator's Ansible inventory."""
    return AnsibleGroup(run_of(request.config))


@pytest.fixture
def cluster(request: pytest.FixtureRequest) -> Cluster:
    """Every host at once."""
    return Cluster(run_of(request.config))


@pytest.fixture
def v2(request: pytest.FixtureRequest) -> V2Store:
    """The v2 keys of the cluster, and their backup."""
    return V2Store(run_of(request.config))


@pytest.fixture
def authority(request: pytest.FixtureRequest) -> Authority:
    """The CA, and the certificates of hosts that join."""
    return Authority(run_of(request.config))


@pytest.fixture
def masters(request: pytest.FixtureRequest) -> Masters:
    """The OpenShift masters that use this etcd."""
    return Masters(run_of(request.config))


@pytest.fixture
def flannel(request: pytest.FixtureRequest) -> FlannelHosts:
    """Flannel on the hosts that have it."""
    return FlannelHosts(run_of(request.config))

"""Labs for rehearsals.

`lab3` is a lab of three members as after `up`: healthy, root over SSH on port 22. It is built once for a whole test run
and put back into its `whole` state before each test that uses it; states a test saves stay, so that another one can
restore them. `labs(members=5, user="ops", …)` gives labs of other shapes in the same way. One lab has power at a time.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest

from lab import Lab, LabError, Spec, requirements, state

pytest.register_assert_rewrite("runbook_runs", "hazards")  # what differs is in the message

import systems_results  # noqa: E402 - it imports what is rewritten

Labs = Callable[..., Lab]
_shape = pytest.StashKey[Spec]()
"""Of the lab that a test was given last."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Before `-m` is looked at; a test that a row of docs/hazards.md links to is a `hazard`."""
    here = Path(__file__).parent
    rows = (here.parents[1] / "docs/hazards.md").read_text(encoding="utf-8")
    for item in items:
        if not item.path.is_relative_to(here):
            continue
        item.add_marker(pytest.mark.rehearsal)
        if isinstance(item, pytest.Function) and f"[{item.originalname}](../tests/rehearsal/{item.path.name})" in rows:
            item.add_marker(pytest.mark.hazard)


def _remove_leftovers() -> None:
    """Labs of test runs that were killed: their names carry the process number."""
    for name in state.all_names():
        found = re.fullmatch(r"test-(\d+)-\d+", name)
        if found and not Path(f"/proc/{found[1]}").exists():
            try:
                Lab.attach(name).down()
            except LabError as error:  # another test run, begun at the same moment, is taking it down
                warnings.warn(f"the leftover lab {name} was left alone: {error}", stacklevel=1)


@pytest.fixture(scope="session")
def _built() -> Iterator[dict[Spec, Lab]]:
    sentence = requirements.missing()
    if sentence:
        pytest.skip(sentence)
    _remove_leftovers()
    built: dict[Spec, Lab] = {}
    yield built
    for lab in built.values():
        lab.down()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test marked `system("…")` is a row of docs/systems.md; the cells there are marked without a name, and say more."""
    report = yield
    row = next((words for mark in item.iter_markers("system") for words in mark.args), "")
    if row and _shape in item.stash and (report.failed or (report.when == "call" and report.passed)):
        systems_results.record(item.stash[_shape], row, call.excinfo.exconly() if call.excinfo else "")
    return report


@pytest.fixture
def labs(request: pytest.FixtureRequest, _built: dict[Spec, Lab]) -> Labs:
    """A function from the fields of a Spec (without `name`) to a lab of that shape in its whole state.

    `whole=False`: as the last test left it, for a test that begins by putting another state back.
    """

    def give(*, whole: bool = True, **fields: object) -> Lab:
        shape = Spec(**fields)  # type: ignore[arg-type]
        request.node.stash[_shape] = shape
        # Only the lab of the present test has power: what the others would take (inotify instances, time) it can have.
        for other in (lab for built, lab in _built.items() if built != shape):
            other.power_off(*other.machines)
        if shape in _built:
            if whole:
                _built[shape].restore("whole")
            return _built[shape]
        name = f"test-{os.getpid()}-{len(_built)}"
        _built[shape] = Lab.up(Spec(**{**fields, "name": name}))  # type: ignore[arg-type]
        return _built[shape]

    return give


@pytest.fixture
def lab3(labs: Labs) -> Lab:
    """Three members, healthy, as after `up`."""
    return labs()

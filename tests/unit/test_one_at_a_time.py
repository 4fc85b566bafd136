"""Steps whose hosts must not be gone at once are not parallel: `-n` lets the hosts of a parallel step run together."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

from requorum.stages.step import ATTRIBUTE, Step

RUNBOOK = Path(__file__).parents[2] / "runbook"


def steps() -> Iterator[tuple[str, Step]]:
    """Every step of the runbook, by the name of its function."""
    for path in sorted(RUNBOOK.glob("test_*.py")):
        spec = spec_from_file_location(path.stem, path)
        assert spec is not None
        assert spec.loader is not None
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
        for name, function in vars(module).items():
            if isinstance(found := getattr(function, ATTRIBUTE, None), Step):
                yield name, found


def serial(role: str) -> dict[str, int]:
    return {name: one.number for name, one in steps() if one.on == role and one.when and not one.parallel}


def test_of_the_masters_one_is_restarted_at_a_time() -> None:
    """All APIs, one after the other, and then all controllers: each a step of its own."""
    assert serial("masters") == {
        "test_restart_api": 48,
        "test_restart_controllers": 49,
        "test_restart_api_again": 66,
        "test_restart_controllers_again": 67,
    }


def test_of_the_pods_the_joiners_and_flannel_too() -> None:
    assert serial("probed") == {"test_take_probe_out": 37}
    assert serial("joiners") == {"test_join": 51}
    assert serial("whole pods") == {"test_return_probe": 59}
    assert serial("flannel") == {"test_restart_flannel": 71}

"""Checks of several clusters: one pytest for each of them, one after the other, as if each had been typed alone."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence
from types import FrameType

import pytest

from requorum.inventory import Inventory
from requorum.stages import options
from requorum.stages.outcome import DONE, FAILED, INTERRUPTED, NONE_CHOSEN
from requorum.stages.uncaptured import uncaptured

OPTION = "--inventory"
_SAID = {DONE: "all is well", FAILED: "a check failed", INTERRUPTED: "interrupted", NONE_CHOSEN: "no check was chosen"}


def check_each(config: pytest.Config) -> int | None:
    """Run the checks of each inventory, where several are given for checks/; else None.

    The exit code is the highest of theirs; an interruption ends all. Raises UsageError where an inventory is not right,
    before anything is looked at.
    """
    if len(config.option.inventory or ()) < 2 or options.place(config) != "checks":
        return None
    options.refuse_without_needed(config)
    inventories = options.inventories_of(config)
    words, given = _without_inventories(config.invocation_params.args)
    if len(given) != len(inventories):
        raise pytest.UsageError(f"several {OPTION}: write them all on the command line itself, not in PYTEST_ADDOPTS")
    codes: dict[str, int] = {}
    with uncaptured(config):
        for path, inventory in zip(given, inventories, strict=True):
            codes[inventory.cluster] = _run([*words, OPTION, path])
            if codes[inventory.cluster] == INTERRUPTED:
                break
        _tell(codes, inventories)
    return INTERRUPTED if INTERRUPTED in codes.values() else max(codes.values())


def _without_inventories(args: Sequence[str]) -> tuple[list[str], list[str]]:
    """The command line without its inventories, and these."""
    words, given = list[str](), list[str]()
    left = iter(args)
    for word in left:
        name, has_value, value = word.partition("=")
        if name != OPTION:
            words.append(word)
        else:
            given.append(value if has_value else next(left))
    return words, given


def _run(args: Sequence[str]) -> int:
    """Run one pytest to its end. Ctrl-C reaches it by itself, SIGTERM through us: it says how it ended, not we."""
    child = subprocess.Popen([sys.executable, "-m", "pytest", *args])

    def hand_on(number: int, frame: FrameType | None) -> None:
        if number == signal.SIGTERM:
            child.send_signal(number)

    before = {number: signal.signal(number, hand_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        return child.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _tell(codes: dict[str, int], inventories: Sequence[Inventory]) -> None:
    """The answers once more, a line for each cluster."""
    lines = [f"{one.cluster}: {_word(codes.get(one.cluster))}" for one in inventories]
    print("", *(f"{'clusters' if not n else '':9} {line}" for n, line in enumerate(lines)), sep="\n", flush=True)


def _word(code: int | None) -> str:
    return "not begun" if code is None else _SAID.get(code, f"exit {code}")

"""The pytest plugin: steps, their three words, their order, what may be asked of the command line, what is printed."""

from requorum.diagnosis import Verdict
from requorum.stages.step import action, note, postcondition, precondition, proven, step
from requorum.stages.waiting import eventually

LOST = frozenset({Verdict.LOST})
OWED = frozenset({Verdict.LOST, Verdict.UNFINISHED})
"""A recovery that begins, or one that is carried on."""
ACTS = frozenset({Verdict.LOST, Verdict.UNFINISHED, Verdict.DEGRADED})
"""Whatever the runbook does something about."""
QUORUM = frozenset({Verdict.UNFINISHED, Verdict.DEGRADED})
"""A quorum answers, and something is to be done."""
ALWAYS = frozenset(Verdict)

__all__ = [
    "ACTS",
    "ALWAYS",
    "LOST",
    "OWED",
    "QUORUM",
    "action",
    "eventually",
    "note",
    "postcondition",
    "precondition",
    "proven",
    "step",
]

"""The pytest plugin: steps, their three words, their order, what may be asked of the command line, what is printed."""

from requorum.diagnosis import Verdict
from requorum.hand import Hand
from requorum.stages.step import action, note, postcondition, precondition, proven, step
from requorum.stages.waiting import eventually

LOST = frozenset({Verdict.LOST})
ACTS = frozenset({Verdict.LOST, Verdict.UNFINISHED, Verdict.DEGRADED})
"""Whatever the runbook does something about."""
QUORUM = frozenset({Verdict.UNFINISHED, Verdict.DEGRADED})
"""The member list is settled, and something is to be done."""
ANSWERS = frozenset({Verdict.HEALTHY, Verdict.UNFINISHED, Verdict.DEGRADED})
"""A quorum answers, or will once the survivor is started."""
ALWAYS = frozenset(Verdict)
ABORT = frozenset[Verdict]()
"""No verdict calls for it: `--abort` does."""

__all__ = [
    "ABORT",
    "ACTS",
    "ALWAYS",
    "ANSWERS",
    "LOST",
    "QUORUM",
    "Hand",
    "action",
    "eventually",
    "note",
    "postcondition",
    "precondition",
    "proven",
    "step",
]

"""How a run ended: its class, its exit code, and the one sentence that says it. See docs/exit-codes.md."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from requorum.diagnosis import Diagnosis, Verdict
from requorum.display import title_of
from requorum.facts.host import Silent
from requorum.journal import Journal
from requorum.records import (
    NEVER_WRITTEN,
    WRITABLE,
    ChangeEnded,
    ChangeIntended,
    Ended,
    Mode,
    Noted,
    Planned,
    StepBegan,
    StepEnded,
)
from requorum.run import Run

DONE, FAILED, INTERRUPTED, NONE_CHOSEN, REFUSED = 0, 1, 2, 5, 6


_LOOKED: dict[Mode, str] = {
    "preconditions": "every precondition holds now, or an earlier step establishes it",
    "plan": "this is what a recovery would do",
    "checks": "every check passed",
}
"""What a run that changes nothing has shown when all is well."""


@dataclass(frozen=True)
class Counted:
    """What the journal says of a run: steps by outcome, changes made, changes whose outcome is unknown.

    `left_out`: steps of the plan of which nothing is written down.
    """

    failed: int
    left_out: int
    blocked: int
    interrupted: int
    changed: int
    unknown: int
    writable_at: str


def counted(journal: Journal) -> Counted:
    """Count what happened. Raises JournalError where the journal's chain does not hold."""
    failed = blocked = interrupted = changed = 0
    open_: set[tuple[str, str]] = set()
    writable_at = ""
    planned: set[str] = set()
    for entry in journal.entries():
        record = entry.record
        if isinstance(record, Planned):
            planned.update(step.step for step in record.steps)
        elif isinstance(record, StepEnded):
            planned.discard(record.step)
            failed += record.outcome == "failed"
            blocked += record.outcome == "blocked"
            interrupted += record.outcome == "interrupted"
        elif isinstance(record, ChangeIntended):
            open_.add((record.step, record.change))
        elif isinstance(record, ChangeEnded):
            changed += record.result in ("done", "failed")
            if record.result != "unknown":
                open_.discard((record.step, record.change))
        elif isinstance(record, Noted) and record.text.startswith(WRITABLE):
            writable_at = entry.at
    return Counted(failed, len(planned), blocked, interrupted, changed, len(open_), writable_at)


def end_of(journal: Journal, step: str) -> StepEnded | None:
    """The record of this step's end; None where there is none. Raises JournalError as `counted` does."""
    ends = (entry.record for entry in journal.entries() if isinstance(entry.record, StepEnded))
    return next((end for end in ends if end.step == step), None)


def has_begun(journal: Journal, step: str) -> bool:
    """There is a record of this step's beginning. Raises JournalError as `counted` does."""
    return any(isinstance(entry.record, StepBegan) and entry.record.step == step for entry in journal.entries())


def step_words(journal: Journal, step: str) -> str:
    """What a step that was cut off has changed. Raises JournalError as `counted` does."""
    began, open_, made = False, dict[tuple[str, str], str](), 0
    for entry in journal.entries():
        record = entry.record
        if not isinstance(record, (StepBegan, ChangeIntended, ChangeEnded)) or record.step != step:
            continue
        if isinstance(record, StepBegan):
            began = True
        elif isinstance(record, ChangeIntended):
            open_[record.host, record.change] = title_of(record.shown)
        elif record.result != "unknown":
            open_.pop((record.host, record.change), None)
            made += record.result != "held"
    if open_:
        return f"it is not known whether this was done: {', '.join(open_.values())}"
    if made:
        return f"the {made} changes that it began are made" if made > 1 else "the one change that it began is made"
    return "this step had changed nothing" if began else "this step had not begun, and changed nothing"


def changed_words(journal: Journal) -> str:
    """What this run has changed so far, for a failure's text."""
    found = counted(journal)
    made = f"{found.changed} change{'' if found.changed == 1 else 's'}"
    if found.unknown:
        return f"This run made {made}, and the outcome of {found.unknown} is unknown; see the report."
    return f"This run made {made}; see the report." if found.changed else "This run has changed nothing so far."


def outcome(run: Run, final: Diagnosis | None, *, stopped: bool, refused: str = "", status: int = 0) -> Ended:
    """The last record.

    `final` is the diagnosis at the end, None where nobody looked; `stopped` says that pytest was interrupted, `refused`
    why the run did not begin; `status` is pytest's own exit status.
    """
    found = counted(run.journal)
    failed = found.failed or status == pytest.ExitCode.TESTS_FAILED  # what a full disk kept out of the journal counts
    first = run.diagnosis
    answers = final is not None and final.verdict in (Verdict.HEALTHY, Verdict.UNFINISHED, Verdict.DEGRADED)
    healthy = final.members if final is not None and answers else ()
    missing: tuple[str, ...] = ()
    if final is not None:
        missing = (*(name for name in run.inventory.host_names if name not in healthy), *final.strangers)
    count = f"{len(healthy)} of {len(healthy) + len(missing)} members"
    if refused:
        result, code = ("interrupted", INTERRUPTED) if stopped else ("refused", REFUSED)
        answer = refused
    elif status == pytest.ExitCode.INTERNAL_ERROR:
        result, code, answer = "internal error", status, "a bug of Requorum's stopped the run; please report it"
    elif status == pytest.ExitCode.USAGE_ERROR:
        result, code, answer = "refused", status, "the command line was refused; nothing was changed"
    elif stopped or found.interrupted:
        result, code = "interrupted", INTERRUPTED
        answer = "interrupted: run the same command again; it looks first, and carries on"
    elif failed and run.mode == "checks":
        result, code, answer = "failed", FAILED, "a check failed; nothing was changed"
    elif failed and not found.changed and not found.unknown:
        result, code, answer = "refused", REFUSED, "stopped; nothing was changed"
    elif failed and run.mode == "recovery" and not found.blocked and final is not None:
        result, code = "failed", FAILED
        answer = f"{count}; a step failed and the others went on: see it, mend it, and run the same command again"
    elif failed:
        result, code, answer = "failed", FAILED, "stopped; see the failed step, mend it, and run the same command again"
    elif found.left_out:
        result, code = "failed", FAILED
        answer = f"{found.left_out} steps of the plan were not run: does a plugin of pytest skip tests? Leave it out"
    elif run.mode == "abort":
        result, code, answer = "aborted", DONE, _undone(run)
    elif status == pytest.ExitCode.NO_TESTS_COLLECTED:
        result, code = run.mode, NONE_CHOSEN
        answer = "none of the steps that are chosen is due on this cluster as it is; nothing was changed"
    elif run.mode != "recovery":
        said = _LOOKED[run.mode] if run.acts or run.mode == "checks" else "there is nothing to do"
        result, code, answer = run.mode, DONE, f"{said}; nothing was changed{_emptiness(first)}"
    else:
        result, code = ("recovered" if found.changed else "healthy"), DONE
        answer = count
        if final is None:
            answer = "every step passed; the last look at the members failed: run the same command again"
        elif back := [_short(name, run) for name in missing if name in final.joiners]:
            answer += f"; {', '.join(back)} {'is' if len(back) == 1 else 'are'} back: run the same command again"
        elif missing or run.unseen:
            answer += _absence(run, missing)
        if final is not None and not found.changed:
            answer += "; nothing was changed" if missing or run.unseen else "; nothing to do, nothing was changed"
            answer += _emptiness(final)
    return Ended(
        result=result,
        exit=code,
        verdict=first.verdict.value if first else "",
        survivor=first.survivor if first else "",
        healthy=healthy,
        missing=missing,
        writable_at=found.writable_at,
        answer=answer,
    )


def _emptiness(found: Diagnosis | None) -> str:
    """What is to be said of a cluster that is healthy and was never written to: its members may have been emptied."""
    if found is None or found.verdict is not Verdict.HEALTHY or NEVER_WRITTEN not in found.proof:
        return ""
    return f"; {NEVER_WRITTEN}; if it held data, restore a snapshot"


def _absence(run: Run, missing: tuple[str, ...]) -> str:
    """What members that are missing, and silent hosts beside the cluster, wait for: their hosts, or a line in the inventory."""
    rejoin = run.inventory.etcd.rejoin
    left_out = [name for name in missing if rejoin is not None and name not in rejoin]
    away = [*(name for name in missing if name not in left_out), *run.unseen]
    shut = [host for name in away if isinstance(host := run.everybody.get(name), Silent) and host.alive]
    away = [name for name in away if name not in {host.name for host in shut}]
    words = "".join(
        f"; {_short(host.name, run)} {host.answers}, and could not be read ({host.reason}): {host.advice}; then run the same "
        "command again"
        for host in shut
    )
    for names, one, more, what in (
        (away, "is back", "are back", "run the same command when"),
        (left_out, "does not rejoin", "do not rejoin", "as the inventory says (`rejoin`),"),
    ):
        if names:
            said = ", ".join(_short(name, run) for name in names)
            words += f"; {what} {said} {one if len(names) == 1 else more}"
    return words


def _undone(run: Run) -> str:
    left = "".join(f"; {line}" for line in run.undoing.left)
    if not run.undoing.hosts:
        return f"nothing to undo, nothing was changed{left}"
    kept = f"{run.inventory.backup.directory}/etcd-*-{run.undoing.recovery}"
    return f"undone: every host is as it was found; the backups stay on the hosts: {kept}{left}"


def _short(name: str, run: Run) -> str:
    """The host's name without its domain, where that is enough to tell the hosts apart."""
    short = [host.partition(".")[0] for host in run.inventory.all_names]
    return name.partition(".")[0] if len(set(short)) == len(short) and not name[0].isdigit() else name

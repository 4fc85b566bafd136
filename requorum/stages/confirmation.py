"""The operator's word before the first change."""

from __future__ import annotations

import sys

import pytest

from requorum.diagnosis import Verdict
from requorum.records import Confirmed
from requorum.run import Run


class NotConfirmed(Exception):
    """The operator did not agree, or could not be asked; `advice` says how to agree."""

    def __init__(self, why: str, advice: str) -> None:
        super().__init__(why)
        self.advice = advice


def asked(run: Run) -> str:
    """What the operator agrees to."""
    found = run.proven
    lines = [f"Cluster {run.inventory.cluster}: {found.verdict.value}."]
    lines += [f"  {line}" for line in found.proof]
    if found.verdict is Verdict.LOST:
        lines += [
            f"Survivor:  {found.survivor}. Its data becomes the cluster.",
            f"Loss:      {found.loss}.",
            f"Fenced:    {', '.join(found.others) or 'no host'} (etcd stopped, across reboots too, until they join).",
            "Step 42 forces a new cluster on the survivor: from there on there is no way back to the old one.",
        ]
    elif found.removals:
        lines.append(f"Removed:   {', '.join(m.name for m in found.removals)} leave the member list.")
    if found.joiners:
        lines.append(f"Rejoining: {', '.join(found.joiners)}. Their old data is moved aside, never deleted.")
    return "\n".join(lines)


def confirm(run: Run, config: pytest.Config) -> None:
    """Get the operator's word and write it down. Raises NotConfirmed."""

    def agreed(how: str) -> None:
        run.journal.add(Confirmed(how, run.operator, True))

    if not run.inventory.confirm:
        return agreed("`confirm: false` in the inventory")
    if config.option.confirm == run.inventory.cluster:
        return agreed(f"--confirm {config.option.confirm}")
    typed = _typed(f"\n{asked(run)}\n\nType the cluster's name to go on ({run.inventory.cluster}): ", config)
    if typed is None:
        run.journal.add(Confirmed("no terminal to ask on", run.operator, False))
        raise NotConfirmed(
            "the recovery has to be agreed to, and there is no terminal to ask on",
            f"read the plan (--plan); then agree with the same command and --confirm {run.inventory.cluster}",
        )
    run.journal.add(Confirmed("typed on the terminal", run.operator, typed.strip() == run.inventory.cluster))
    if typed.strip() != run.inventory.cluster:
        raise NotConfirmed(
            f"expected the cluster's name, {run.inventory.cluster!r}, found {typed.strip()!r}",
            "run the same command again, and type the name",
        )
    return None


def _typed(question: str, config: pytest.Config) -> str | None:
    """What the operator typed, empty at the end of the input; None without a terminal to ask on."""
    capture = config.pluginmanager.getplugin("capturemanager")
    capture.suspend_global_capture(in_=True)  # first: what pytest puts in the place of a terminal is none
    try:
        return input(question) if sys.stdin.isatty() else None
    except EOFError:
        return ""
    finally:
        capture.resume_global_capture()

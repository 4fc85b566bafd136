"""The whole story once, for a reader: a cluster is built, written to, broken, and recovered by the runbook."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

from lab import inotify, requirements, state, wait, writer
from lab.cluster import Lab
from lab.errors import LabError
from lab.spec import Spec

NAME = "rehearsal"
"""Of the lab, unless another is chosen: a lab of this name is taken for what a killed rehearsal left."""
KEYS = 200
PROJECT = Path(__file__).resolve().parents[1]


def rehearse(name: str, say: Callable[[str], None]) -> int:
    """Rehearse the main job; the runbook's own exit code, or 1 where the members' data is not as it should be.

    The lab is taken down afterwards, also after Ctrl-C, SIGTERM or a closed terminal (KeyboardInterrupt). Raises
    LabError where a lab cannot run here.
    """
    with _signals(_interrupt), contextlib.ExitStack() as locks:
        if sentence := requirements.impossible():
            raise LabError(sentence)
        if name not in state.all_names():  # else what a killed rehearsal left is taken down first, and leaves room
            inotify.require(Spec().members)
        requirements.install()
        requirements.require()
        if name != NAME and name in state.all_names():
            raise LabError(
                f"there is a lab {name!r} already: choose another --name, or: python -m lab down --name {name}"
            )
        locks.enter_context(state.locked(state.base() / f"{name}.lock", f"the rehearsal {name!r}", wait=False))
        _down(name)  # what a killed rehearsal left
        say("A cluster of three members is built: three hosts with systemd, sshd and etcd.")
        try:
            return _story(Lab.up(Spec(name=name), say=say), say)
        finally:
            # Ignored, not handled: what `down` starts ignores them as well.
            with _signals(signal.SIG_IGN):
                _down(name)
            say("The lab is taken down; the report stays.")


def _down(name: str) -> None:
    if not state.forget_unmade(name) and name in state.all_names():
        Lab.attach(name).down()


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


@contextlib.contextmanager
def _signals(handler: Callable[[int, FrameType | None], None] | signal.Handlers) -> Iterator[None]:
    """SIGINT, SIGTERM (tox) and SIGHUP (a closed terminal) are handled so for a while."""
    before = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)


def _run(command: list[str]) -> int:
    """Run to its end with our terminal. An interruption is passed on, once, and its end is waited for."""
    # In a session of its own: Ctrl-C would reach it twice, from the terminal and from here.
    with subprocess.Popen(command, cwd=PROJECT, start_new_session=True) as process:
        try:
            return process.wait()
        except KeyboardInterrupt:
            with _signals(signal.SIG_IGN):
                process.send_signal(signal.SIGINT)
                process.wait()
            raise


def _story(lab: Lab, say: Callable[[str], None]) -> int:
    record = lab.record.directory / "acknowledged.jsonl"
    client = writer.Writer(lab, record)
    acknowledged = [one for one in client.write(KEYS) if one.revision is not None]
    client.close()
    wait.until(lambda: not writer.differences(lab), "every member holds what was written", within=30)
    say(f"\n{len(acknowledged)} of {KEYS} writes were acknowledged.")

    survivor, *lost = lab.hosts
    lab.break_hosts(lost, "destroyed")
    names = " and ".join(host.short for host in lost)
    say(
        f"{names} lost power and their data, and are on again. Quorum is lost: {survivor.short} alone can write nothing."
    )

    command = [sys.executable, "-m", "pytest", "runbook/", "--inventory", str(lab.inventory_path)]
    say(f"\n$ pytest runbook/ --inventory {lab.inventory_path}")
    code = _run(command)
    if code != 0:
        say(f"\nThe runbook ended with exit code {code}: see its last lines above.")
        return code

    wrong = writer.differences(lab)
    for host in lab.hosts:
        wrong += [f"{host.short}: {one}" for one in writer.missing(writer.read(record), writer.read_all(lab, host))]
    if wrong:
        raise LabError("the members' data is not as it should be:\n  " + "\n  ".join(wrong[:50]))
    say(
        f"\nAll three members are back. Every key was compared: they hold the same, and none of the {len(acknowledged)} "
        "acknowledged writes is missing.\nThe line `report` above names the audit report: open it in a browser."
    )
    return 0

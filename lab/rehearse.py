"""The whole story once, for a reader: a cluster is built, written to, broken, and recovered by the runbook."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from lab import requirements, state, wait, writer
from lab.cluster import Lab
from lab.errors import LabError
from lab.spec import Spec

KEYS = 200
PROJECT = Path(__file__).resolve().parents[1]


def rehearse(name: str, say: Callable[[str], None]) -> int:
    """Rehearse the main job; the runbook's own exit code, or 1 where the members' data is not as it should be.

    The lab is taken down afterwards, whatever happens. Raises LabError where a lab cannot run here.
    """
    requirements.install()
    requirements.require()
    if name in state.all_names():
        Lab.attach(name).down()
    say("A cluster of three members is built: three hosts with systemd, sshd and etcd.")
    try:
        return _story(Lab.up(Spec(name=name), say=say), say)
    finally:
        if name in state.all_names():
            Lab.attach(name).down()
            say("The lab is taken down; the report stays.")


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
    code = subprocess.run(command, cwd=PROJECT, check=False).returncode
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

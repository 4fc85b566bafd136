"""A static pod's manifest is kept, edited, and its restart awaited, under bash, on a host below a folder of the test's own."""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest
from builders import facts
from pods import POD, pod_unit
from test_changes_runtimes import HOST, Rooted, sha256

from requorum.changes import AwaitPod, ChangeFailed, KeepManifest
from requorum.facts.manifest import KEPT
from requorum.facts.pod import Pod
from requorum.facts.runtime import MANIFEST


@pytest.fixture
def host(tmp_path: Path) -> Rooted:
    return Rooted(tmp_path)


def test_what_an_earlier_recovery_has_kept_is_not_what_was_found(host: Rooted) -> None:
    """It stayed where not every host came back; a playbook wrote the manifest anew, and the older one was put back."""
    host.put(KEPT, "of another time\n")
    at, kept = host.put(MANIFEST, "a\nprobe\n"), host.root / KEPT.lstrip("/")
    change = KeepManifest(HOST, MANIFEST, sha256("a\nprobe\n"))
    assert change.do(host)
    assert kept.read_text() == "a\nprobe\n"
    at.write_text("a\n")
    assert not change.do(host), "made again behind the edit"
    assert kept.read_text() == "a\nprobe\n"
    kept.unlink()
    with pytest.raises(ChangeFailed, match="somebody else edits it"):
        change.do(host)
    assert not kept.exists()


def test_after_it_is_kept_it_is_the_present_one() -> None:
    stale = Pod(POD.manifest, replace(POD.manifest, text="of another time\n"))
    found = KeepManifest(HOST, MANIFEST, POD.manifest.sha256).after(facts(0, unit=pod_unit(pod=stale)))
    assert found.unit.pod is not None
    assert found.unit.pod.kept == POD.manifest


def test_the_restart_of_an_edited_pod_is_awaited(host: Rooted) -> None:
    """The old process is told by its start, too: numbers come again."""
    ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    same, other = AwaitPod(HOST, os.getpid(), ticks), AwaitPod(HOST, os.getpid(), ticks + 1)
    for change, lives, holds in ((same, True, False), (other, True, True), (other, False, False)):
        (host.root / "lives").unlink(missing_ok=True)
        if lives:
            host.put("lives")
        assert (host.run(f"holds() {{\n{change.test()}\n}}\nholds", seconds=10).exit == 0) == holds


@pytest.mark.parametrize(("may_stay", "age", "holds"), [(True, 90, True), (True, 5, False), (False, 90, False)])
def test_an_edit_that_brought_back_what_the_node_service_last_saw(
    host: Rooted, may_stay: bool, age: int, holds: bool
) -> None:
    """A run was killed between an edit and its end; an abort put the manifest back, and waited in vain for a restart."""
    ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    edited = time.time() - age
    os.utime(host.put(MANIFEST, "pod"), (edited, edited))
    host.put("lives")
    # This process may have begun after that edit: an etcd that began before it is asked about.
    change = AwaitPod(HOST, os.getpid(), ticks, may_stay)
    script = change.test().replace(f"- {ticks} * 1000", "- 0 * 1000")
    assert (host.run(f"holds() {{\n{script}\n}}\nholds", seconds=10).exit == 0) == holds


@pytest.mark.parametrize(("edited", "holds"), [(-0.5, True), (0.5, False)])
def test_a_pod_that_began_after_the_edit_has_been_restarted(host: Rooted, edited: float, holds: bool) -> None:
    """A run that is carried on a moment after a kill has not to wait for a restart that is over."""
    with subprocess.Popen(["sleep", "20"]) as pod:
        ticks = int(Path(f"/proc/{pod.pid}/stat").read_text().rpartition(")")[2].split()[19])
        at = time.time() + edited
        os.utime(host.put(MANIFEST, "pod"), (at, at))
        change = AwaitPod(HOST, pod.pid, ticks, may_stay=True)
        assert (host.run(f"holds() {{\n{change.test()}\n}}\nholds", seconds=10).exit == 0) == holds
        pod.kill()

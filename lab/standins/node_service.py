"""Stand-in for the node service of OpenShift 3.11 (origin-node.service): it runs the static pods of its folder.

What of the real one (kubelet 1.11) it honours:
- it notices by inotify what comes into /etc/origin/node/pods and what leaves it, and reads the folder again every 20 s;
- a pod has a container that holds it (POD, the pause container) and its own; where the first ends, the others are
  stopped, and all are made anew; one that has ended is started again;
- a stop is SIGTERM, 30 s, SIGKILL;
- a container that ends again is started again at once the first time, then 10 s after its end, 20 s, … at most 5 min;
  the count is forgotten 10 min after the last start, and when this service is restarted;
- liveness probes: after the delay every 10 s; three failures in a row, and the container is stopped and started again;
- stopped, it leaves its containers running, and ignores its folder; started, it takes them over, and stops those whose
  pods are not asked for any more;
- it needs docker, and no API; it tells the API of its pods, and runs commands for it, where there is one.

The lab may shorten its times: see TIMES.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import ssl
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any, ClassVar

sys.path.insert(0, str(Path(__file__).resolve().parent))
import containers  # type: ignore[import-not-found]
import manifests  # type: ignore[import-not-found]
import node_exec  # type: ignore[import-not-found]
import node_mirror  # type: ignore[import-not-found]
from containers import Container, ContainerError, Volume

FOLDER = Path("/etc/origin/node/pods")
TIMING = Path("/etc/openshift-standins/timing.json")
TIMES: dict[str, float | None] = {
    "rescan": 20,  # of the folder
    "backoff_first": 10,
    "backoff_most": 300,
    "probe_delay": None,  # what the manifest says
    "probe_period": None,
    "grace": None,
}
"""Seconds; what the lab's file TIMING says, read once at the start, goes before. None: what the manifest says."""
POD = "POD"
_UID, _NAME, _CONTAINER = "io.kubernetes.pod.uid", "io.kubernetes.pod.name", "io.kubernetes.container.name"
_NAMESPACE, _ATTEMPT = "io.kubernetes.pod.namespace", "annotation.io.kubernetes.container.restartCount"
_PAUSE = ("docker.io/openshift/origin-pod:v3.11.0", ["/usr/bin/pod"])
_CHANGES = 0x80 | 0x40 | 0x200 | 0x100 | 0x8 | 0x400  # moved to, moved from, delete, create, close after write, self


def log(text: str) -> None:
    """To the journal."""
    print(text, file=sys.stderr, flush=True)


def times() -> dict[str, Any]:
    """TIMES, with what the lab's file says."""
    try:
        return {**TIMES, **json.loads(TIMING.read_text(encoding="utf-8"))}
    except FileNotFoundError:
        return dict(TIMES)


class Backoff:
    """When a container that has ended may start again (client-go's flowcontrol.Backoff)."""

    def __init__(self, first: float, most: float) -> None:
        self._first, self._most = first, most
        self._seconds, self._updated = 0.0, 0.0

    def left(self, ended: float) -> float:
        """Seconds still to wait for one that ended then."""
        if self._seconds == 0 or ended - self._updated > 2 * self._most:
            return 0
        return max(0.0, ended + self._seconds - time.time())

    def started(self) -> None:
        """One was started again."""
        now = time.time()
        forgotten = self._seconds == 0 or now - self._updated > 2 * self._most
        self._seconds = self._first if forgotten else min(2 * self._seconds, self._most)
        self._updated = now


class Worker(threading.Thread):
    """Keeps one pod as it is to be, until it is told to end it."""

    backoffs: ClassVar[dict[tuple[str, str], Backoff]] = {}
    """By uid and container: a manifest that goes and comes back changes nothing about it."""

    def __init__(self, pod: manifests.Pod, timing: dict[str, Any]) -> None:
        super().__init__(daemon=True)
        self.pod, self._timing = pod, timing
        self.unwanted = threading.Event()
        self._wake = threading.Event()
        self._failed: set[str] = set()
        self._probing: set[str] = set()
        self._waiting: set[str] = set()

    def end(self) -> None:
        """Stop the pod, and this thread."""
        self.unwanted.set()
        self._wake.set()

    def fail(self, container: Container) -> None:
        """A probe has given this container up."""
        self._failed.add(container.id)
        self._wake.set()

    def run(self) -> None:
        """Look once a second, as the real one does."""
        while not self.unwanted.is_set():
            try:
                self._sync()
            except (ContainerError, OSError, ValueError, LookupError) as error:
                log(f"E1129 pod_workers.go] Error syncing pod {self.pod.uid} ({self.pod.name}), skipping: {error}")
            self._wake.wait(1)
            self._wake.clear()
        mine = containers_of(self.pod.uid)
        for one in sorted(mine, key=lambda one: one.labels[_CONTAINER] == POD):
            if one.running:
                self._end(one, "the pod is not asked for any more")
        log(f"I1129 kubelet.go] pod {self.pod.name} ({self.pod.uid}) is gone")

    def _end(self, container: Container, why: str) -> None:
        log(f"I1129 kuberuntime_manager.go] Killing container {container.name}: {why}")
        grace = self._timing["grace"]
        containers.stop(container, self.pod.grace if grace is None else grace)

    def _sync(self) -> None:
        mine = containers_of(self.pod.uid)
        pause = next((one for one in mine if one.labels[_CONTAINER] == POD), None)
        if pause is None or not pause.running:
            for one in mine:
                if one.running:
                    self._end(one, "its sandbox has ended")
            attempt = int(pause.labels[_ATTEMPT]) + 1 if pause else 0
            labels = {**self.pod.labels, "io.kubernetes.docker.type": "podsandbox"}
            self._create(POD, *_PAUSE, attempt, labels)
            mine = containers_of(self.pod.uid)
        for program in self.pod.programs:
            if self.unwanted.is_set():
                return
            last = next((one for one in mine if one.labels[_CONTAINER] == program.name), None)
            if last is not None and last.running and last.id in self._failed:
                self._end(last, "container failed liveness probe, container will be killed and recreated")
            if last is not None and last.running:
                self._probe(last, program)
            else:
                self._start(program, last)
            for old in [one for one in mine if one.labels[_CONTAINER] == program.name and not one.running][1:]:
                containers.remove(old)  # the newest of those that have ended is kept
        for old in [one for one in mine if one.labels[_CONTAINER] == POD and not one.running][1:]:
            containers.remove(old)

    def _start(self, program: manifests.Program, last: Container | None) -> None:
        if last is not None and last.ended is not None:
            new = Backoff(self._timing["backoff_first"], self._timing["backoff_most"])
            backoff = self.backoffs.setdefault((self.pod.uid, program.name), new)
            left = backoff.left(last.ended[1])
            if left > 0:
                if last.id not in self._waiting:
                    self._waiting.add(last.id)
                    log(
                        f"I1129 kuberuntime_manager.go] Back-off {left:.0f}s restarting failed container={program.name}"
                    )
                return
            backoff.started()
        attempt = int(last.labels[_ATTEMPT]) + 1 if last else 0
        volumes = [Volume(*one) for one in program.volumes]
        container = self._create(
            program.name,
            program.image,
            list(program.command),
            attempt,
            {"io.kubernetes.docker.type": "container"},
            dict(program.environment),
            volumes,
            program.directory,
        )
        self._probe(container, program)

    def _create(
        self,
        name: str,
        image: str,
        command: list[str],
        attempt: int,
        labels: dict[str, str],
        environment: dict[str, str] | None = None,
        volumes: list[Volume] | None = None,
        directory: str = "/",
    ) -> Container:
        pod = self.pod
        full = f"k8s_{name}_{pod.name}_{pod.namespace}_{pod.uid}_{attempt}"
        labels = {
            **labels,
            _UID: pod.uid,
            _NAME: pod.name,
            _NAMESPACE: pod.namespace,
            _CONTAINER: name,
            _ATTEMPT: str(attempt),
        }
        log(f"I1129 kuberuntime_manager.go] Starting container {full}")
        return containers.create(full, image, command, environment or {}, volumes or [], labels, directory)

    def _probe(self, container: Container, program: manifests.Program) -> None:
        if program.probe is not None and container.id not in self._probing:
            self._probing.add(container.id)
            threading.Thread(target=self._watch, args=(container, program.probe), daemon=True).start()

    def _watch(self, container: Container, probe: manifests.Probe) -> None:
        delay, period = self._timing["probe_delay"], self._timing["probe_period"]
        delay = probe.delay if delay is None else delay
        period = probe.period if period is None else period
        failures = 0
        while container.running and not self.unwanted.is_set():
            began = time.monotonic()
            if time.time() - container.created >= delay:
                said = probed(container, probe)
                if said is None:
                    failures = 0
                elif container.running:
                    failures += 1
                    log(f"I1129 prober.go] Liveness probe for {container.name} failed (failure): {said[-300:]}")
                    if failures >= probe.failures:
                        self.fail(container)
                        return
            self.unwanted.wait(max(0.0, period - (time.monotonic() - began)))


def probed(container: Container, probe: manifests.Probe) -> str | None:
    """None where it succeeds, else what was said."""
    if probe.url:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        try:
            with urllib.request.urlopen(probe.url, timeout=probe.timeout, context=context):
                return None
        except (OSError, ValueError) as error:
            return str(error)
    try:
        process = containers.execute(
            container, probe.command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
    except (ContainerError, OSError) as error:
        return str(error)
    said = process.communicate()[0].decode(errors="replace")
    return None if process.returncode == 0 else said or f"exit code {process.returncode}"


def containers_of(uid: str) -> list[Container]:
    """Of one pod, the newest first."""
    return [one for one in containers.all_containers() if one.labels.get(_UID) == uid]


class Folder:
    """Waits for changes of FOLDER."""

    def __init__(self) -> None:
        library = ctypes.CDLL(None, use_errno=True)
        self._library, self._descriptor = library, library.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        self._watch()

    def _watch(self) -> None:
        if self._descriptor >= 0:
            self._library.inotify_add_watch(self._descriptor, os.fsencode(FOLDER), _CHANGES)

    def wait(self, seconds: float) -> None:
        """Until something changes, at most so long."""
        if self._descriptor < 0:  # none left for us: the rescan alone
            time.sleep(seconds)
            return
        if select.select([self._descriptor], [], [], seconds)[0]:
            os.read(self._descriptor, 65536)
        else:
            self._watch()  # the folder may have been made anew


def main() -> int:
    """Serve for ever."""
    timing = times()
    workers: dict[str, Worker] = {}
    folder = Folder()
    node_exec.serve()
    threading.Thread(target=node_mirror.keep, args=(lambda: wanted(workers),), daemon=True).start()
    while True:
        if containers.SOCKET.exists():
            pods = {pod.uid: pod for pod in manifests.read_folder(FOLDER)}
            for uid, worker in list(workers.items()):
                if uid not in pods:
                    worker.end()
                if not worker.is_alive():
                    del workers[uid]
            for uid, pod in pods.items():
                # One that is being ended ends first, although it is asked for again.
                if uid not in workers:
                    workers[uid] = Worker(pod, timing)
                    workers[uid].start()
            for one in containers.all_containers():
                uid = one.labels.get(_UID)
                if uid is not None and uid not in pods and uid not in workers and one.running:
                    end_unwanted(uid, timing, workers)
            forget(pods.keys() | workers.keys())
        ending = any(worker.unwanted.is_set() for worker in workers.values())
        folder.wait(0.5 if ending or not containers.SOCKET.exists() else timing["rescan"])


def wanted(workers: dict[str, Worker]) -> list[manifests.Pod]:
    """The pods that are asked for."""
    return [worker.pod for worker in list(workers.values()) if not worker.unwanted.is_set()]


def end_unwanted(uid: str, timing: dict[str, Any], workers: dict[str, Worker]) -> None:
    """Stop what is left of a pod that nobody asks for: it was removed while this service was stopped."""
    labels = containers_of(uid)[0].labels
    worker = Worker(manifests.Pod(uid, labels[_NAME], labels[_NAMESPACE], {}), timing)
    worker.end()
    workers[uid] = worker
    worker.start()


def forget(known: set[str]) -> None:
    """Remove what is left of pods that are gone, a minute after their end."""
    for one in containers.all_containers():
        ended = one.ended
        if one.labels.get(_UID, "") and one.labels[_UID] not in known and ended and time.time() - ended[1] > 60:
            containers.remove(one)


if __name__ == "__main__":
    sys.exit(main())

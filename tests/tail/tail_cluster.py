"""A cluster of real etcd processes on loopback, to make logs with."""

from __future__ import annotations

import base64
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

BUSY = (OSError, http.client.HTTPException, ValueError)
"""What a request to a member that is killed, or has no leader, ends with."""


def until(what: str, holds: Callable[[], bool], seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {seconds} s for {what}")
        time.sleep(0.02)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@dataclass(frozen=True)
class Etcd:
    """One version of etcd: a folder with its `etcd` and `etcdctl`."""

    folder: Path

    @cached_property
    def version(self) -> str:
        said = subprocess.run([self.folder / "etcd", "--version"], capture_output=True, text=True, check=True).stdout
        return said.split()[2]

    @property
    def path(self) -> str:
        return f"{self.folder}:/usr/sbin:/usr/bin:/sbin:/bin"

    @property
    def api(self) -> str:
        return "/v3beta" if self.version.startswith("3.3.") else "/v3"

    @property
    def has_learners(self) -> bool:
        return not self.version.startswith("3.3.")

    @property
    def keeps_few_entries(self) -> bool:
        """There is a flag for how much of the log stays behind a snapshot."""
        return self.version.startswith("3.5.")


class Client:
    """A connection to one member's JSON gateway. Not for use by several threads."""

    def __init__(self, etcd: Etcd, port: int, timeout: float = 3) -> None:
        self._api = etcd.api
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)

    def call(self, path: str, **body: Any) -> dict[str, Any]:
        """Raises one of BUSY where it is not acknowledged."""
        try:
            self._connection.request("POST", f"{self._api}/{path}", json.dumps(body))
            answer = self._connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            raise
        if answer.status != 200:
            raise ValueError(text.decode(errors="replace"))
        found: dict[str, Any] = json.loads(text)
        return found


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


@dataclass
class Member:
    """One member, or what is left of it."""

    etcd: Etcd
    folder: Path
    name: str
    client_port: int = field(default_factory=free_port)
    peer_port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    directory: str = ""

    @property
    def peer(self) -> str:
        return f"http://127.0.0.1:{self.peer_port}"

    @property
    def data(self) -> Path:
        return self.folder / (self.directory or self.name)

    def client(self, timeout: float = 3) -> Client:
        return Client(self.etcd, self.client_port, timeout)

    def start(self, cluster: list[Member], *extra: str, state: str = "new") -> None:
        url = f"http://127.0.0.1:{self.client_port}"
        words = [
            str(self.etcd.folder / "etcd"), "--name", self.name, "--data-dir", str(self.data),
            "--listen-client-urls", url, "--advertise-client-urls", url,
            "--listen-peer-urls", self.peer, "--initial-advertise-peer-urls", self.peer,
            "--initial-cluster", ",".join(f"{m.name}={m.peer}" for m in cluster), "--initial-cluster-state", state,
            "--heartbeat-interval", "100", "--election-timeout", "1000", *extra,
        ]  # fmt: skip
        environment = {key: value for key, value in os.environ.items() if not key.startswith("ETCD")}
        with (self.folder / f"{self.name}.log").open("ab") as log:
            self.process = subprocess.Popen(words, stdout=log, stderr=log, env=environment)

    def serves(self) -> bool:
        """It answers a linearizable read."""
        try:
            self.client(1).call("kv/range", key=b64(b"none"))
        except BUSY:
            return False
        return True

    def hash_at(self, revision: int) -> int:
        return int(self.client().call("maintenance/hash", revision=str(revision))["hash"])

    def kill(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()


@dataclass
class Cluster:
    """Some members in one folder; `with` kills them at the end, and removes the folder."""

    etcd: Etcd
    folder: Path
    members: list[Member]
    extra: tuple[str, ...]

    @classmethod
    def of(cls, etcd: Etcd, folder: Path, count: int, *extra: str) -> Cluster:
        return cls(etcd, folder, [Member(etcd, folder, f"m{n}") for n in range(count)], extra)

    def __enter__(self) -> Cluster:
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            for member in self.members:
                member.start(self.members, *self.extra)
            until("the cluster", lambda: all(member.serves() for member in self.members))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def kill(self) -> None:
        """Every member, as nearly at once as this can be done."""
        for member in self.members:
            if member.process and member.process.poll() is None:
                member.process.send_signal(signal.SIGKILL)
        for member in self.members:
            member.kill()

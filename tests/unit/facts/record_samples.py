"""Records real data directories of etcd, with what etcd itself says of them, for the tests of the parsers.

    python record_samples.py 3.4.23=/usr/bin 3.3.25=FOLDER 3.5.16=FOLDER

FOLDER holds that version's `etcd` and `etcdctl`. Three members run on loopback; writes of every kind, a compaction and
changes of the membership are made (a fourth member joins, with 3.5 by a snapshot, and is removed); then two members are
killed, one more write is left hanging on the leader, and it is killed too. What the leader's log holds above its commit
index is counted by etcd: by a forced start of a copy.
"""

from __future__ import annotations

import base64
import hashlib
import json
import lzma
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

RECORDED = Path(__file__).parent / "recorded"
SNAPSHOT_COUNT = 100


def until(what: str, holds: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            raise SystemExit(f"waited {seconds} s for {what}")
        time.sleep(0.05)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@dataclass
class Member:
    version: str
    binaries: Path
    folder: Path
    name: str
    client: str = field(default_factory=lambda: f"http://127.0.0.1:{free_port()}")
    peer: str = field(default_factory=lambda: f"http://127.0.0.1:{free_port()}")
    process: subprocess.Popen[bytes] | None = None

    @property
    def data(self) -> Path:
        return self.folder / self.name

    @property
    def log(self) -> Path:
        return self.folder / f"{self.name}.log"

    def start(self, cluster: list[Member], state: str, *extra: str, data: Path | None = None) -> None:
        words = [
            str(self.binaries / "etcd"), "--name", self.name, "--data-dir", str(data or self.data),
            "--listen-client-urls", self.client, "--advertise-client-urls", self.client,
            "--listen-peer-urls", self.peer, "--initial-advertise-peer-urls", self.peer,
            "--initial-cluster", ",".join(f"{m.name}={m.peer}" for m in cluster), "--initial-cluster-state", state,
            "--snapshot-count", str(SNAPSHOT_COUNT), *extra,
        ]  # fmt: skip
        if self.version.startswith("3.5"):
            words += ["--experimental-snapshot-catchup-entries", "10"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(words, stdout=log, stderr=log)

    def kill(self) -> None:
        assert self.process
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def ctl(self, *words: str, stdin: str | None = None, check: bool = True) -> str:
        done = subprocess.run(
            [self.binaries / "etcdctl", "--endpoints", self.client, "--command-timeout", "5s", *words],
            env={**os.environ, "ETCDCTL_API": "3"}, input=stdin, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if check and done.returncode:
            raise RuntimeError(f"{words}: {done.stderr}")
        return done.stdout

    def json(self, *words: str) -> Any:
        return json.loads(self.ctl(*words, "-w", "json"))

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = self.json("endpoint", "status")[0]["Status"]
        return found

    def serves(self) -> bool:
        return bool(self.ctl("get", "--consistency=l", "none", "-w", "json", check=False))

    def keys(self, revision: int) -> dict[str, int]:
        found = self.json("get", "", "--prefix", "--rev", str(revision))
        return {kv["key"]: kv["mod_revision"] for kv in found.get("kvs", [])}


def load(member: Member) -> int:
    """Writes of every kind; returns the revision of the compaction."""
    for n in range(120):
        member.ctl("put", f"/registry/pods/{n % 50:03}", f"value {n} " * 4)
    member.ctl("del", "/registry/pods/003")
    member.ctl("del", "--prefix", "/registry/pods/01")
    compacted = member.status()["header"]["revision"]
    member.ctl("put", "/registry/pods/012", "born again")
    member.ctl("put", "/registry/big", "b" * 20_000)
    lease = member.json("lease", "grant", "100000")["ID"]
    member.ctl("put", "/leased", "x", f"--lease={lease:x}")
    member.ctl("txn", stdin="\n\nput /txn/a 1\nput /txn/b 2\ndel /registry/pods/005\n\n\n")
    member.ctl("compact", str(compacted))
    for n in range(40):
        member.ctl("put", f"/late/{n}", "late")
    member.ctl("put", "/registry/big", "B" * 9_000)
    member.ctl("del", "--prefix", "/late/3")
    return int(compacted)


def change_members(members: list[Member], fourth: Member) -> None:
    """Add, (promote,) remove; and a learner that is added and never starts, where the version has learners."""
    one = members[0]
    learners = not fourth.version.startswith("3.3")
    flags = ["--learner"] if learners else []

    def done(*words: str, seen: Callable[[str], bool] = lambda listed: False) -> Callable[[], bool]:
        """Etcd refuses while a member that joined is not in sync; and it may do the work of a call that timed out."""
        return lambda: bool(one.ctl(*words, check=False)) or seen(one.ctl("member", "list", check=False))

    until(
        "member add",
        done(
            "member",
            "add",
            fourth.name,
            f"--peer-urls={fourth.peer}",
            *flags,
            seen=lambda listed: fourth.peer in listed,
        ),
    )
    fourth.start([*members, fourth], "existing")
    listed = {m.get("name"): m for m in one.json("member", "list")["members"]}
    fourth_id = next(m["ID"] for m in one.json("member", "list")["members"] if fourth.peer in m["peerURLs"])
    assert fourth.name not in listed or listed[fourth.name]["ID"] == fourth_id
    if learners:
        until("promotion", done("member", "promote", f"{fourth_id:x}"))
    until("the fourth member", fourth.serves)
    gone = f"{fourth_id:x}"
    until(
        "member remove", done("member", "remove", gone, seen=lambda listed: "started" in listed and gone not in listed)
    )
    fourth.kill()
    third = next(m for m in one.json("member", "list")["members"] if m.get("name") == members[2].name)
    until("update", done("member", "update", f"{third['ID']:x}", f"--peer-urls={members[2].peer},http://127.0.0.2:1"))
    if learners:
        never = f"http://127.0.0.1:{free_port()}"
        until(
            "learner", done("member", "add", "never", f"--peer-urls={never}", *flags, seen=lambda text: never in text)
        )


def force_copy(member: Member) -> dict[str, int]:
    """What etcd says of the log when it is forced: its commit index, and how many entries it throws away."""
    copy = member.folder / "copy"
    shutil.copytree(member.data, copy)
    member.log.write_bytes(b"")
    member.start([member], "new", "--force-new-cluster", data=copy)
    until("the forced copy", member.serves)
    member.kill()
    said = member.log.read_text()
    commit = re.search(r"(?:forcing restart of member .* at commit index |\"commit-index\":)(\d+)", said)
    discarded = re.search(r"(?:discarding |\"number-of-discarded-entries\":)(\d+)", said)
    assert commit, said
    return {"commit": int(commit[1]), "discarded": int(discarded[1]) if discarded else 0}


def pack(target: Path, path: Path) -> None:
    (target / f"{path.name}.xz").write_bytes(lzma.compress(path.read_bytes(), preset=6))


def record(version: str, binaries: Path) -> None:
    target = RECORDED / version
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as tmp:
        every = [Member(version, binaries, Path(tmp), f"m{n}") for n in range(4)]
        try:
            run(target, every)
        finally:
            for member in every:
                if member.process and member.process.poll() is None:
                    member.kill()


def run(target: Path, every: list[Member]) -> None:
    members, version = every[:3], every[0].version
    for member in members:
        member.start(members, "new")
    until("the cluster", lambda: all(member.serves() for member in members))
    compacted = load(members[0])
    change_members(members, every[3])
    revision = members[0].status()["header"]["revision"]
    said: dict[str, Any] = {
        "version": version,
        "compacted": compacted,
        "keys": {str(r): members[0].keys(r) for r in (compacted, (compacted + revision) // 2, revision)},
        "list": members[0].json("member", "list"),
        "members": {},
    }
    until("one index everywhere", lambda: len({m.status()["raftIndex"] for m in members}) == 1)
    leader_id = members[0].status()["leader"]
    leader = next(m for m in members if m.status()["header"]["member_id"] == leader_id)
    for member in members:
        member.ctl("snapshot", "save", str(member.folder / "snapshot.db"))  # etcd commits its database for it
        said["members"][member.name] = {"status": member.status()}
        if member is leader:
            said["snapshot"] = member.json("snapshot", "status", str(member.folder / "snapshot.db"))
            pack(target, member.folder / "snapshot.db")
        (member.folder / "snapshot.db").unlink()
    for member in members:
        if member is not leader:
            member.kill()
    leader.ctl("put", "/hanging", "never acknowledged", check=False)
    leader.kill()
    said["leader"] = leader.name
    said["members"][leader.name] |= force_copy(leader)
    for member in every:
        folder = target / member.name
        folder.mkdir()
        pack(folder, member.data / "member/snap/db")
        for segment in sorted((member.data / "member/wal").glob("*.wal")):
            pack(folder, segment)
    (target / "said.json").write_text(json.dumps(said, indent=1, sort_keys=True) + "\n")


def record_segments(version: str, binaries: Path) -> None:
    """One member that wrote so much that its log has three segments."""
    target = RECORDED / f"{version}-segments"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as tmp:
        member = Member(version, binaries, Path(tmp), "m0")
        member.start([member], "new", "--max-wals", "9")
        try:
            until("the member", member.serves)
            for n in range(14 * 10):
                ask = json.dumps({"key": base64.b64encode(b"k%d" % (n % 3)).decode(), "value": "QUJD" * 330_000})
                subprocess.run(
                    ["curl", "-sfo", "/dev/null", "-d", "@-", f"{member.client}/v3/kv/put"],
                    input=ask.encode(), check=True,
                )  # fmt: skip
            status = member.status()
        finally:
            member.kill()
        for segment in sorted((member.data / "member/wal").glob("*.wal"))[-2:]:
            pack(target, segment)
        (target / "said.json").write_text(json.dumps({"status": status}, indent=1, sort_keys=True) + "\n")


def record_wide(version: str, binaries: Path) -> None:
    """One member with so many keys that its tree is three pages high, full, and with users switched on."""
    target = RECORDED / f"{version}-wide"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as tmp:
        member = Member(version, binaries, Path(tmp), "m0")
        member.start([member], "new", "--quota-backend-bytes", "8000000")
        try:
            until("the member", member.serves)
            for first in range(0, 10_000, 125):
                puts = "".join(f"put /wide/{n * 7919 % 10_000} {n}\n" for n in range(first, first + 125))
                member.ctl("txn", stdin=f"\n{puts}\n\n")
            revision = member.status()["header"]["revision"]
            keys = member.keys(revision)
            while not member.ctl("alarm", "list"):
                member.ctl("put", "/large", stdin="L" * 500_000, check=False)
            said = {"status": member.status(), "at": revision, "count": len(keys), "sha256": digest(keys)}
            for words in ("role add root", "user add root:root", "user grant-role root root", "auth enable"):
                member.ctl(*words.split())
            saved = member.folder / "snapshot.db"
            member.ctl("--user", "root:root", "snapshot", "save", str(saved))
        finally:
            member.kill()
        pack(target, saved)
        (target / "said.json").write_text(json.dumps(said, indent=1, sort_keys=True) + "\n")


def digest(keys: dict[str, int]) -> str:
    lines = (f"{base64.b64decode(key).decode()} {changed}" for key, changed in keys.items())
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        version, _, folder = argument.partition("=")
        record(version, Path(folder))
        if version.startswith("3.4"):
            record_segments(version, Path(folder))
            record_wide(version, Path(folder))
        print(version, "recorded")

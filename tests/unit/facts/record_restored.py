"""Records what `etcdctl snapshot restore` makes of the recorded snapshots, for the tests of the membership.

    python record_restored.py 3.4.23=/usr/bin 3.3.25=FOLDER 3.5.16=FOLDER

FOLDER as in `record_samples.py`, whose snapshots these are: of a cluster of m0, m1 and m2 that has removed a member. Each is
restored under the old peer URLs: on all three hosts under another token, as it lies there (`restored`) and after it has
run (`ran`); and on m0 alone under the old token, to which m1 was added after that (`scaled`).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from record_samples import RECORDED, Member, pack, until
from samples import Sample

RESTORED = RECORDED / "restored"
TOKEN = "etcd-cluster"


def restore(member: Member, cluster: list[Member], snapshot: Path, token: str) -> None:
    words = (
        "snapshot", "restore", str(snapshot), "--name", member.name, "--data-dir", str(member.data),
        "--initial-cluster", ",".join(f"{m.name}={m.peer}" for m in cluster), "--initial-cluster-token", token,
        "--initial-advertise-peer-urls", member.peer,
    )  # fmt: skip
    environment = {**os.environ, "ETCDCTL_API": "3"}
    subprocess.run([member.binaries / "etcdctl", *words], env=environment, check=True, capture_output=True)


def keep(member: Member, target: Path, said: Any = None) -> None:
    """Database, log and Raft's snapshots of a member that does not run, and what it said of its members."""
    target.mkdir(parents=True)
    snap = member.data / "member/snap"
    for path in (snap / "db", *snap.glob("*.snap"), *(member.data / "member/wal").glob("*.wal")):
        pack(target, path)
    if said is not None:
        (target / "said.json").write_text(json.dumps(said, indent=1, sort_keys=True) + "\n")


def run_until_written(members: list[Member], grow: bool) -> Any:
    """Start these and write; `grow`: the first one alone, which then takes in the others. Returns the member list."""
    first, *others = members
    for member in [first] if grow else members:
        member.start(members, "new")
    until("the cluster", first.serves)
    for position, member in enumerate(others, start=2) if grow else ():
        until(
            "member add",
            lambda member=member: bool(
                first.ctl("member", "add", member.name, f"--peer-urls={member.peer}", check=False)
            ),
        )
        member.start(members[:position], "existing")
        until("the joiner", member.serves)
    until("every member's name", lambda: all(m.get("name") for m in first.json("member", "list")["members"]))
    for number in range(5):
        first.ctl("put", f"/after/{number}", "x")
    return first.json("member", "list")


def record(version: str, binaries: Path) -> None:
    target, sample = RESTORED / version, Sample(version)
    shutil.rmtree(target, ignore_errors=True)
    peers = {m.get("name"): m["peerURLs"][0] for m in sample.said["list"]["members"]}
    for how, names, token in (("ran", ("m0", "m1", "m2"), "another"), ("scaled", ("m0",), TOKEN)):
        with tempfile.TemporaryDirectory() as tmp:
            snapshot = Path(tmp) / "snapshot.db"
            snapshot.write_bytes(sample.snapshot())
            every = [Member(version, binaries, Path(tmp), name, peer=peers[name]) for name in ("m0", "m1", "m2")]
            founders = [m for m in every if m.name in names]
            for member in founders:
                restore(member, founders, snapshot, token)
            if how == "ran":
                keep(founders[0], target / "restored")
            members = every if how == "ran" else every[:2]
            try:
                said = run_until_written(members, grow=how == "scaled")
            finally:
                for member in members:
                    if member.process and member.process.poll() is None:
                        member.process.terminate()
                        member.process.wait()
            keep(members[0], target / how, said)


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        version, _, folder = argument.partition("=")
        record(version, Path(folder))
        print(version, "recorded")

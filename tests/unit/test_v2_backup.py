"""The backup of a v2 store as an operation, the room and the tools that it wants, and a quorum that only v2 knows of."""

from __future__ import annotations

import shlex
import subprocess
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest
from builders import answers, conf, deaf, facts, healthy, inventory, machine, members, name, survey

from requorum import operations
from requorum.changes import BackUpV2, FetchTree, v2
from requorum.diagnosis import Verdict, diagnose
from requorum.facts.host import HostFacts
from requorum.facts.v2 import V2, V2Member
from requorum.fitness import SCRATCH_ROOM, unfit
from requorum.operations.backup import BackupPlace

BACKUP = PurePosixPath("/backup")
HERE = BackupPlace(BACKUP, "r1", Path("/reports/backup"))
ON = {"ETCD_ENABLE_V2": "true"}
SPEAKS = V2(there=True, speaks=True, backs_up=True, asked=True, served=True)


def on(n: int = 0, said: V2 = SPEAKS, **more: str) -> HostFacts:
    """A host whose etcd does not run, and is to serve the v2 API."""
    found = facts(n, conf=conf(n, **ON, **more), processes=())
    return replace(found, v2=said)


def test_the_copy_is_read_where_no_quorum_answers() -> None:
    kept, fetched = operations.backup.keep_v2(on(), HERE, running=False)
    assert isinstance(kept, BackUpV2)
    assert (kept.source, kept.wal, kept.to) == ("/backup/etcd-data-r1", "", "/backup/etcd-v2-r1")
    assert (kept.running, kept.serves, kept.by_etcdctl) == (False, True, True)
    assert fetched == FetchTree(name(0), "/backup/etcd-v2-r1", f"/reports/backup/{name(0)}-v2.tar.gz")


def test_the_member_itself_is_backed_up_where_a_quorum_answers() -> None:
    kept, _ = operations.backup.keep_v2(on(ETCD_WAL_DIR="/wal"), HERE, running=True)
    assert isinstance(kept, BackUpV2)
    assert (kept.source, kept.wal, kept.running) == ("/var/lib/etcd", "/wal", True)


def test_a_log_of_its_own_is_read_from_its_own_copy() -> None:
    kept, _ = operations.backup.keep_v2(on(ETCD_WAL_DIR="/wal"), HERE, running=False)
    assert isinstance(kept, BackUpV2)
    assert kept.wal == "/backup/etcd-wal-r1"


def test_nothing_where_the_api_is_off_or_no_data_is_there() -> None:
    assert operations.backup.keep_v2(facts(0), HERE, running=False) == []
    emptied = replace(on(), machine=machine(0, has_wal=False))
    assert operations.backup.keep_v2(emptied, HERE, running=False) == []


@pytest.mark.parametrize("running", [False, True])
@pytest.mark.parametrize("backs_up", [False, True])
@pytest.mark.parametrize("wal", [{}, {"ETCD_WAL_DIR": "/wal"}])
def test_the_script_is_bash(running: bool, backs_up: bool, wal: dict[str, str]) -> None:
    said = replace(SPEAKS, backs_up=backs_up)
    kept = operations.backup.keep_v2(on(said=said, **wal), HERE, running=running)[0]
    done = subprocess.run(["bash", "-n"], input=kept.script(), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert ('"$(tool etcdctl)" backup --data-dir' in kept.script()) == backs_up
    assert ("etcdctl backup" in kept.shown()) == backs_up


def test_room_and_tools_for_it_are_looked_for() -> None:
    here = on()
    need = 3 * here.machine.data_used + SCRATCH_ROOM

    def problems(**more: object) -> list[str]:
        return unfit(replace(here, machine=replace(here.machine, **more)), BACKUP)  # type: ignore[arg-type]

    assert problems(backup_free=need) == []
    assert "v2" in problems(backup_free=need - 1)[0]
    assert "not installed: unshare" in problems(missing=("unshare",))[0]


def test_an_etcdctl_that_does_not_speak_it_is_refused() -> None:
    assert "does not speak it" in unfit(on(said=V2(there=True)), BACKUP)[0]
    assert unfit(on(said=V2()), BACKUP) == []  # of an image whose container does not run there is none to ask


def test_etcd_2_is_refused_in_words_of_its_own() -> None:
    old = replace(on(), machine=machine(0, etcd_version="2.3.8"))
    assert "the v2 API alone" in unfit(old, BACKUP)[0]


def test_a_quorum_that_only_v2_knows_of_is_never_forced() -> None:
    spoken = replace(deaf(0), v2=replace(SPEAKS, health=("member a0 is healthy: got healthy result from x",)))
    found = diagnose(inventory(lost=(1, 2)), survey(spoken, *(replace(deaf(n), data=None) for n in (1, 2))))
    assert (found.verdict, found.path, found.settling) == (Verdict.UNPROVEN, False, True)
    assert "the v2 API of etcd-0.example.com says that a member is healthy" in found.proof[0]
    assert "nothing may be forced" in found.advice[0]


def test_member_lists_that_disagree_are_named() -> None:
    listed = members(0, 1, 2)
    same = tuple(V2Member(m.id, m.name, m.peer_urls) for m in listed)
    hosts = [replace(healthy(n), v2=replace(SPEAKS, members=same)) for n in (0, 1, 2)]
    assert not [line for line in diagnose(inventory(), survey(*hosts)).proof if "v2" in line]
    hosts[1] = replace(hosts[1], api=answers(1, listed), v2=replace(SPEAKS, members=same[:2]))
    [line] = [line for line in diagnose(inventory(), survey(*hosts)).proof if "v2" in line]
    assert line.startswith("etcd-1.example.com: the member a2: the v2 API says nothing")


PANIC, RANGE = (
    "panic: missing log entry [last: 0, append at: 204]",
    "panic: 5b state.commit 203 is out of range [204, 205]",
)
TOOK, IGNORED = "recovered store from snapshot at index 204", "starting member"


@pytest.mark.parametrize(
    ("snapshot", "log", "said", "code", "unusable"),
    [
        (True, TOOK, "", 0, None),
        (True, '{"msg":"recovered v2 store from snapshot"}', "", 0, None),
        (False, IGNORED, "", 0, None),
        (True, IGNORED, "", 0, "etcd starts without the Raft snapshot that is in it\n"),
        (True, PANIC, f"line 2: Killed\nthe scratch etcd ended:\n{PANIC}\n", 0, f"the scratch etcd ended:\n{PANIC}\n"),
        (True, RANGE, f"the scratch etcd ended:\n{RANGE}\n", 0, f"the scratch etcd ended:\n{RANGE}\n"),
        (False, PANIC, f"the scratch etcd ended:\n{PANIC}\n", 1, None),
        (True, TOOK, "the scratch etcd ended:\nreceived terminated signal\n", 1, None),
        (True, "create wal error: no space left on device", "the scratch etcd ended:\nno space\n", 1, None),
        (True, TOOK, "no space left on device\n", 1, None),
    ],
)
def test_what_etcdctl_wrote_is_kept_only_where_etcd_starts_with_its_snapshot(
    tmp_path: Path, snapshot: bool, log: str, said: str, code: int, unusable: str | None
) -> None:
    """etcd issue 9890. What nothing explains stops the run."""
    part = tmp_path / "part"
    (part / "data/member/snap").mkdir(parents=True)
    (tmp_path / "log").write_text(f"{log}\n", encoding="utf-8")
    if snapshot:
        (part / "data/member/snap/0000000000000003-00000000000000cc.snap").touch()
    ends = f"printf %s {shlex.quote(said)} >&2; return 1" if said else f'touch "$part/{v2.BACKUP}"'
    script = f"part={part} scratch={tmp_path}\ntry() {{ {ends}; }}\ndrop() {{ rm -rf $part; return 1; }}\n"
    done = subprocess.run(
        ["bash", "-c", f"{script}act() {{\n{v2.READ_BACKUP}\n}}\nact"], capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stderr
    if code:
        assert said in done.stderr
        assert not part.exists()
        return
    kept = part / v2.UNUSABLE
    assert (kept.read_text(encoding="utf-8") if kept.exists() else None) == unusable
    assert {(part / "data").exists(), (part / v2.BACKUP).exists()} == {unusable is None}
    assert not (part / "said").exists()

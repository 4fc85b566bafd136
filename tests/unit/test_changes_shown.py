"""What a change shows can be pasted into a shell: a path with a space or a quote in it stays one word."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from builders import name
from local_shell import LocalShell

from requorum.changes import Change, ChangeFailed, MoveAside, MoveBack
from requorum.changes.backup import CopyTree, FetchTree, SaveSnapshot
from requorum.changes.files import RemoveFile
from requorum.changes.here import CopyHere
from requorum.changes.membership import AddMember, UpdatePeerUrls
from requorum.changes.oc import SaveSnapshotByOc
from requorum.changes.pod import KeepManifest, ParkManifest
from requorum.changes.undo import RestoreFile
from requorum.changes.v2 import BackUpV2

HOST = name(0)
PLAIN, ODD = "/backup/a", "/b'q; touch /tmp/pwn/$(id) `id`"


def changes(path: str) -> list[Change]:
    return [
        CopyTree(HOST, path, path),
        FetchTree(HOST, path, path),
        SaveSnapshot(HOST, path),
        SaveSnapshotByOc(HOST, path, "https://here:8443", path),
        RemoveFile(HOST, path),
        MoveAside(HOST, path, path),
        CopyHere(HOST, path, path, "0"),
        AddMember(HOST, path, (path,)),
        UpdatePeerUrls(HOST, "m0", (path,), 7),
        ParkManifest(HOST, "kubelet", path),
        KeepManifest(HOST, path, "0"),
        MoveBack(HOST, path, path, path),
        RestoreFile(HOST, path, path, "0", "0"),
        BackUpV2(HOST, path, path, "etcd", path, path, "3.4.23", running=True, serves=True, by_etcdctl=True),
    ]


@pytest.mark.parametrize("number", range(len(changes(PLAIN))), ids=[type(one).__name__ for one in changes(PLAIN)])
def test_a_path_that_a_shell_would_misread_is_quoted_and_no_other(number: int) -> None:
    plain, odd = changes(PLAIN)[number].shown(), changes(ODD)[number].shown()
    assert "'" not in plain
    assert odd == plain.replace(PLAIN, shlex.quote(ODD))
    words = shlex.split(odd.partition("\n")[0])
    assert not any(re.fullmatch(r"touch|/tmp/pwn/.*|q;", word) for word in words), words


@pytest.mark.parametrize(
    "change",
    [MoveAside(HOST, "/nowhere/$(touch PWN)", "/nowhere/to"), CopyHere(HOST, "`touch PWN`", "copy", "0" * 64)],
    ids=lambda change: type(change).__name__,
)
def test_a_path_in_an_error_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Change) -> None:
    monkeypatch.chdir(tmp_path)
    Path("`touch PWN`").touch()
    with pytest.raises(ChangeFailed):
        change.do(LocalShell())
    assert not (tmp_path / "PWN").exists()

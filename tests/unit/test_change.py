"""What all changes have in common: look, act, wait until it holds."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from builders import name
from local_shell import LocalShell, Said

from requorum.changes import Change, ChangeFailed, StopEtcd, WriteFile
from requorum.facts.host import HostFacts


@dataclass(frozen=True)
class Touch(Change):
    """A change of the tests: a file is there."""

    path: str
    doing: str = "touch $path"
    patience: float = 30

    def shown(self) -> str:
        return f"touch {self.path}"

    def test(self) -> str:
        return f"[ -e {self.path} ]"

    def act(self) -> str:
        return f"path={self.path}; {self.doing}"

    @property
    def seconds(self) -> float:
        return self.patience

    def after(self, facts: HostFacts) -> HostFacts:
        return facts


def test_done_then_held(tmp_path: Path) -> None:
    shell, change = LocalShell(), Touch(name(0), str(tmp_path / "file"))
    assert change.do(shell) is True
    assert change.do(shell) is False
    assert len(shell.asked) == 2  # one round trip each


def test_what_holds_only_later_is_waited_for(tmp_path: Path) -> None:
    assert Touch(name(0), str(tmp_path / "file"), "( sleep 0.3; touch $path ) >/dev/null 2>&1 &").do(LocalShell())


def test_what_never_holds_fails_at_its_deadline(tmp_path: Path) -> None:
    begun = time.monotonic()
    with pytest.raises(ChangeFailed, match="does not hold"):
        Touch(name(0), str(tmp_path / "file"), "true", patience=1).do(LocalShell())
    assert 0.5 < time.monotonic() - begun < 10


def test_an_action_that_failed_is_not_waited_for(tmp_path: Path) -> None:
    begun = time.monotonic()
    with pytest.raises(ChangeFailed, match=r"(?s)exit 1: .*no such thing.*exit code was 7"):
        Touch(name(0), str(tmp_path / "file"), "echo no such thing >&2; return 7").do(LocalShell())
    assert time.monotonic() - begun < 10


def test_an_action_that_failed_and_holds_nevertheless_is_done(tmp_path: Path) -> None:
    """Success is that it holds afterwards, whoever made it so."""
    assert Touch(name(0), str(tmp_path / "file"), "touch $path; return 7").do(LocalShell()) is True


class Answers(LocalShell):
    """A host that answers one thing, whatever it is asked."""

    said = Said(0, "", "")

    def run(self, script: str, *, seconds: float, change: bool = False) -> Said:
        return self.said


@pytest.mark.parametrize("stdout", ["", "something else\n", "requorum: done, said a banner\n"])
def test_an_answer_of_another_shape_is_no_success(stdout: str) -> None:
    shell = Answers()
    shell.said = Said(0, stdout, "")
    with pytest.raises(ChangeFailed):
        Touch(name(0), "/x").do(shell)


def test_identity_is_of_the_value() -> None:
    one = WriteFile(name(0), "/a", "x")
    assert one.identity == WriteFile(name(0), "/a", "x").identity
    others = {
        WriteFile(name(1), "/a", "x"),
        WriteFile(name(0), "/b", "x"),
        WriteFile(name(0), "/a", "y"),
        StopEtcd(name(0)),
    }
    assert one.identity not in {other.identity for other in others}

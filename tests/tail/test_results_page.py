"""The page of a whole run says of which code it is, of which etcd, and of which day."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest
import tail_results
from tail_host import Outcome
from tail_results import Results
from tail_trials import Loss, Trial


@pytest.mark.parametrize(("edited", "said"), [("", ""), (" M requorum/run.py", ", with edits that are in none")])
def test_the_head(monkeypatch: pytest.MonkeyPatch, edited: str, said: str) -> None:
    monkeypatch.setattr(tail_results, "_git", lambda *words: edited if words[0] == "status" else "abc1234")
    results = Results("7")
    monkeypatch.setattr(tail_results, "_git", lambda *_: "of another commit, an hour later")
    results.images([Trial("3.5.16", "plain", "as killed", Outcome(1, None), 0.1)])
    results.losses([Loss("3.3.25", "as killed", 9, 0, 1, 1, 0, "")])
    head = results.page().partition("\n## ")[0]
    day = f"{datetime.now(timezone.utc):%Y-%m-%d}"
    assert f"\n{day}, commit abc1234{said}; etcd 3.3.25, 3.5.16; seed 7.\n" in head


def test_without_git_there_is_no_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: str) -> str:
        raise FileNotFoundError("git")

    monkeypatch.setattr(tail_results, "_git", missing)
    assert ", commit none; etcd ; seed 7." in Results("7").page()

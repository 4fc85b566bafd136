"""Many reads in one round trip, each with its own answer."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Collection
from pathlib import Path

import pytest

from requorum.remote import CommandEnded, Output, Remote
from requorum.remote import script as wire


@pytest.mark.parametrize("together", [(), (3, 4, 20), range(25)])
def test_each_answer_apart(remote: Remote, told: list[CommandEnded], together: Collection[int]) -> None:
    commands = {f"fact {n}": f"echo out{n}; echo err{n} >&2; exit {n}" for n in range(25)}
    outputs = remote.batch(commands, together=[f"fact {n}" for n in together])
    assert list(outputs) == list(commands)
    for n in range(25):
        assert outputs[f"fact {n}"] == Output(n, f"out{n}\n", f"err{n}\n", False, f"out{n}\n".encode())
    assert [(event.command, event.exit) for event in told] == [(c, n) for n, c in enumerate(commands.values())]
    assert remote.batch({}) == {}


@pytest.mark.parametrize("together", [(), ("large", "binary", "empty", "quotes", "stdin", "missing")])
def test_binary_and_large_outputs(remote: Remote, together: Collection[str]) -> None:
    outputs = remote.batch(
        {
            "large": "head -c 2000000 /dev/zero; head -c 1000000 /dev/zero >&2",
            "binary": r"printf '\000\377\n:requorum'",
            "empty": "",
            "quotes": "echo \"it's\" '$x' \\\\",
            "stdin": "cat",
            "killed": "kill -9 $$",
            "missing": "no-such-command",
        },
        seconds=30,
        together=together,
    )
    assert (len(outputs["large"].stdout_bytes), len(outputs["large"].stderr)) == (2_000_000, 1_000_000)
    assert outputs["binary"].stdout_bytes == b"\0\377\n:requorum"
    assert outputs["empty"] == Output(0, "", "")
    assert outputs["quotes"].stdout == "it's $x \\\n"
    assert outputs["stdin"] == Output(0, "", "")
    assert outputs["killed"].exit == 137
    assert outputs["missing"].exit == 127


def test_all_at_the_same_time(remote: Remote) -> None:
    remote.connect()
    began = time.monotonic()
    outputs = remote.batch({str(n): "sleep 1" for n in range(8)})
    assert {output.exit for output in outputs.values()} == {0}
    assert time.monotonic() - began < 4


def test_command_that_hangs_costs_only_its_own_answer(remote: Remote) -> None:
    outputs = remote.batch(
        {"hangs": "echo half; sleep 60", "deaf": "trap '' TERM; sleep 60", "fine": "echo fine"}, seconds=1
    )
    assert (outputs["hangs"].exit, outputs["hangs"].stdout) == (124, "half\n")
    assert outputs["deaf"].exit == 137 or outputs["deaf"].exit == 124
    assert outputs["fine"] == Output(0, "fine\n", "", False, b"fine\n")


def test_one_that_hangs_costs_those_behind_it_in_the_chain(remote: Remote) -> None:
    commands = {"apart": "echo apart", "fine": "echo fine; exit 3", "hangs": "echo half; sleep 60", "behind": "echo no"}
    outputs = remote.batch(commands, seconds=1, together=("fine", "hangs", "behind"))
    assert [(key, output.exit, output.stdout) for key, output in outputs.items()] == [
        ("apart", 0, "apart\n"), ("fine", 3, "fine\n"), ("hangs", 124, "half\n"), ("behind", 124, ""),
    ]  # fmt: skip


def test_command_that_cannot_be_stopped_costs_only_its_own_answer(remote: Remote) -> None:
    """Stands for a process that a dead disk holds: out of the deadline's reach, with its output open."""
    outputs = remote.batch({"stuck": "setsid sleep 12 & wait", "fine": "echo fine"}, seconds=1)
    assert outputs["fine"].stdout == "fine\n"
    assert outputs["stuck"].exit == 124
    assert "could not be stopped" in outputs["stuck"].stderr


def test_one_alone_is_run_as_it_is(remote: Remote, told: list[CommandEnded]) -> None:
    assert remote.batch({"a": "echo out; echo err >&2; exit 3"}) == {"a": Output(3, "out\n", "err\n", False, b"out\n")}
    assert [(event.command, event.exit) for event in told] == [("echo out; echo err >&2; exit 3", 3)]
    hangs = remote.batch({"a": "sleep 60"}, seconds=1)["a"]
    assert (hangs.exit, hangs.stderr) == (124, "that it did not; the host has stopped it, with its children")


def test_stream_above_the_cap(remote: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "STREAM_BYTES", 100_000)
    output = remote.batch({"a": "head -c 500000 /dev/zero", "b": "true"})["a"]
    assert (len(output.stdout_bytes), output.truncated) == (100_000, True)


ALONE = """
for folder in $2; do mount -t tmpfs requorum "$folder" || exit 9; done
stat -c '%n %y' $2 && bash --norc -c "$1" > /dev/null && stat -c '%n %y' $2
"""
"""In a mount namespace: whoever makes a file there, and removes it again, changes the folder's time."""


def test_nothing_is_written_on_the_host() -> None:
    """Where nobody else writes: other runs use the same folders meanwhile."""
    script = wire.batch(["echo a", "head -c 1000000 /dev/zero"], mark="M", seconds=10)
    words = [
        "unshare",
        "--mount",
        *([] if os.geteuid() == 0 else ["--map-root-user"]),
        "bash",
        "--norc",
        "-c",
        ALONE,
        "-",
    ]
    done = subprocess.run(
        [*words, script, "/tmp /run/lock /dev/shm"], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 6, done.stdout
    assert lines[:3] == lines[3:]


def test_long_batch(remote: Remote) -> None:
    commands = {str(n): f"# {'x' * 10_000}\necho {n}" for n in range(30)}
    assert [output.stdout for output in remote.batch(commands).values()] == [f"{n}\n" for n in range(30)]
    with pytest.raises(ValueError, match="a command of a batch"):
        remote.batch({"a": "x" * 100_000, "b": "true"})


def test_frames_that_are_cut_or_strange_are_missing() -> None:
    found = wire.frames(b"noise\nM:0:b3V0:ZXJy:3\nM:1:b3V0:ZX\nM:x:::\n", ["a", "b"], mark="M", seconds=2)
    assert found["a"] == Output(3, "out", "err", False, b"out")
    assert (found["b"].exit, found["b"].stdout) == (124, "")


def test_told_with_the_readable_command(remote: Remote, told: list[CommandEnded], tmp_path: Path) -> None:
    remote.batch({"a": "echo a"})
    assert (told[0].command, told[0].stdout) == ("echo a", "a\n")

"""The command line of the bench, and what it prints."""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

from bench import runbook
from bench.rounds import Bench, Round
from bench.runbook import Spent
from lab import Lab, LabError, Spec, requirements, state

RATIO, OUTLINE = 1.25, 1.0
"""The limits: the runbook's time to the floor's, and what an outline adds to pytest's own start, in seconds."""


def main(words: Sequence[str]) -> int:
    """Measure and print; 0: within the limits, 1: above them, or not measured (the reason is on stderr), 130: Ctrl-C."""
    arguments = _parser().parse_args(words)
    try:
        requirements.require()
        # A lab that was there before stays.
        ours = arguments.name not in state.all_names()
        try:
            with TemporaryDirectory(prefix="rq-bench-") as folder:
                return _measure(arguments, Path(folder))
        finally:
            if ours and arguments.name in state.all_names():
                Lab.attach(arguments.name).down()
    except LabError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("bench: interrupted", file=sys.stderr)
        return 130


def _measure(arguments: argparse.Namespace, folder: Path) -> int:
    lab = Lab.up(Spec(name=arguments.name, members=arguments.members), say=_say)
    lab.restore("whole")
    ours, theirs = runbook.outline_seconds(lab)
    _say(
        f"\n--collect-only on a healthy lab: {ours:.2f} s; of an empty folder: {theirs:.2f} s; added: {ours - theirs:.2f}"
    )
    bench = Bench(
        lab, folder, arguments.reports.absolute() if arguments.reports else folder / "reports", tail=arguments.tail
    )
    rounds: list[Round] = []
    _say("\nround   load  floor  first write    load  runbook   cpu  first write   ratio")
    for number in range(arguments.rounds):
        one = bench.round(floor_first=number % 2 == 0)
        rounds.append(one)
        bare, whole = one.floor, one.runbook
        _say(
            f"{number + 1:5}  {bare.load:5.2f}  {bare.seconds:5.1f}  {bare.first_write:11.1f}"
            f"   {whole.load:5.2f}  {whole.seconds:7.1f}  {whole.cpu:4.1f}  {whole.first_write:11.1f}  {one.ratio:6.2f}"
        )
    ratio = statistics.median(one.ratio for one in rounds)
    _say(f"median ratio {ratio:.2f} (limit {RATIO}), --collect-only adds {ours - theirs:.2f} s (limit {OUTLINE})")
    quickest = min(rounds, key=lambda one: one.runbook.seconds)
    _table("Where the floor's time went, in the runbook's quickest round:", quickest.floor.spent)
    _table("Where the runbook's time went, in the same round:", quickest.runbook.spent)
    if arguments.out is not None:
        outline = {"ours": ours, "empty": theirs}
        result = {
            "tail": arguments.tail,
            "ratio": ratio,
            "collect_only": outline,
            "rounds": [asdict(one) for one in rounds],
        }
        arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0 if ratio <= RATIO and ours - theirs <= OUTLINE else 1


def _table(title: str, parts: Sequence[Spent]) -> None:
    _say(f"\n{title}\nseconds  on hosts  commands")
    for one in parts:
        _say(f"{one.seconds:7.2f}  {one.remote:8.2f}  {one.commands:8}  {one.step}")


def _say(text: str) -> None:
    print(text, flush=True)


def _parser() -> argparse.ArgumentParser:
    text = (
        "On one lab, put back and broken in the same way each time, a cluster without quorum is recovered by the bare "
        "commands of the procedure over OpenSSH (the floor) and by pytest runbook/, in turns. Both are proven: every "
        "member healthy, equal data, no acknowledged write missing. Without --tail the survivor's log ends at its commit index, "
        "and what the runbook tries on a copy before it keeps a tail is in no number."
    )
    parser = argparse.ArgumentParser(prog="python bench/recovery.py", description=text)
    parser.add_argument("--rounds", type=_positive, default=4, help="how many (default: 4)")
    parser.add_argument("--members", type=int, default=3, choices=(3, 5, 7), help="all but one are lost (default: 3)")
    parser.add_argument("--tail", action="store_true", help="the survivor has entries above its commit index, too")
    parser.add_argument("--name", default="bench", help="of the lab; it is taken down unless it was there before")
    parser.add_argument("--reports", type=Path, metavar="DIR", help="keep the reports of the runbook's runs there")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write every number to FILE, as JSON")
    return parser


def _positive(text: str) -> int:
    number = int(text) if text.isdecimal() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text}: at least 1")
    return number

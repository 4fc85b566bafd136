"""Records what the commands of the facts print on real hosts, and what etcdctl of several versions prints.

    python record_hosts.py hosts NAME              a lab of three, just up; it is broken on the way
    python record_hosts.py generation NAME         the same, of another release; kept under etcd's version
    python record_hosts.py etcdctl VERSION FOLDER  FOLDER holds that version's `etcd` and `etcdctl`

Run it from the project's root, as root, with PYTHONPATH=.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from record_samples import Member, until

from lab import Lab
from requorum.facts import contact, unit
from requorum.facts.host import commands

RECORDED = Path(__file__).parent / "recorded" / "hosts"
ETCDCTL = Path(__file__).parent / "recorded" / "etcdctl"


def keep(lab: Lab, state: str, host: str, *nouns: str) -> None:
    """Keep the output of these nouns' commands on a host; all of them where none is named."""
    wanted = {noun: command for noun, command in commands("/backup").items() if not nouns or noun in nouns}
    keep_said(state, {noun: said_to(lab, host, command) for noun, command in wanted.items()})


def said_to(lab: Lab, host: str, command: str) -> dict[str, int | str]:
    done = lab.run(host, command, check=False)
    return {"exit": done.returncode, "stdout": done.stdout, "stderr": done.stderr}


def keep_said(state: str, said: Mapping[str, object]) -> None:
    RECORDED.mkdir(parents=True, exist_ok=True)
    (RECORDED / f"{state}.json").write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")
    print(state, "recorded")


def record_hosts(name: str) -> None:
    lab = Lab.attach(name)
    changing = ("unit", "process", "api")
    keep(lab, "healthy", "etcd-0")
    lab.run("etcd-1", "systemctl stop etcd")
    keep(lab, "stopped", "etcd-1", *changing)
    lab.run("etcd-1", "systemctl mask etcd", check=False)
    keep(lab, "masked", "etcd-1", *changing)
    lab.run("etcd-1", "systemctl unmask etcd")
    text = "[Unit]\nAssertPathExists=/this-host-is-fenced-by-requorum\n"
    fence = f"mkdir -p {Path(unit.FENCE).parent} && printf %s '{text}' > {unit.FENCE} && systemctl daemon-reload"
    lab.run("etcd-1", fence)
    keep(lab, "fenced", "etcd-1", *changing)
    lab.run("etcd-1", f"rm {unit.FENCE} && systemctl daemon-reload && systemctl start etcd")
    lab.power_off("etcd-2")
    lab.destroy_data("etcd-2")
    lab.boot("etcd-2")
    failing = "systemctl show etcd -p SubState,Result | grep -Eq 'auto-restart|failed|exit-code'"
    until("the emptied host to fail", lambda: lab.run("etcd-2", failing, check=False).returncode == 0)
    keep(lab, "emptied", "etcd-2", *changing, "machine")
    lab.power_off("etcd-0", "etcd-1", "etcd-2")
    lab.boot("etcd-0")
    starting = "systemctl show etcd -p SubState | grep -q =start && pgrep -x etcd"
    until("the survivor to start", lambda: lab.run("etcd-0", starting, check=False).returncode == 0)
    keep(lab, "deaf", "etcd-0", *changing, "machine")


def record_generation(name: str) -> None:
    """A member in good health, and what its journal and its API say when it is alone."""
    lab = Lab.attach(name)
    wanted = {noun: commands("/backup")[noun] for noun in ("machine", "unit", "process", "api")}
    said = {noun: said_to(lab, "etcd-0", command) for noun, command in wanted.items()}
    lab.run("etcd-1", "systemctl stop etcd")
    lab.run("etcd-2", "systemctl stop etcd")
    alone = lambda: "lost leader" in lab.run("etcd-0", contact.COMMAND).stdout  # noqa: E731
    until("the leader to be lost", alone)
    said |= {"contact": said_to(lab, "etcd-0", contact.COMMAND), "api-alone": said_to(lab, "etcd-0", wanted["api"])}
    keep_said(lab.run("etcd-0", "etcd --version").stdout.split()[2], said)


def record_etcdctl(version: str, binaries: Path) -> None:
    ETCDCTL.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        member = Member(version, binaries, Path(folder), "m0")
        member.start([member], "new")
        try:
            until("the member", member.serves)
            learner = [] if version.startswith("3.3") else ["--learner"]
            status, held = member.json("endpoint", "status"), member.json("endpoint", "hashkv", "--rev=1")
            member.ctl("member", "add", "m1", "--peer-urls=http://127.0.0.1:1", *learner)
            said = {"status": status, "hash": held, "list": member.json("member", "list")}
        finally:
            member.kill()
    (ETCDCTL / f"{version}.json").write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")
    print(version, "recorded")


if __name__ == "__main__":
    if sys.argv[1] == "hosts":
        record_hosts(sys.argv[2])
    elif sys.argv[1] == "generation":
        record_generation(sys.argv[2])
    else:
        record_etcdctl(sys.argv[2], Path(sys.argv[3]))

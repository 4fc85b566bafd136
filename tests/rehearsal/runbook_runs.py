"""The runbook as an operator starts it, on a lab; what it said; and what must hold of the hosts afterwards.

A lab is broken for real the first time a test asks for it, and put back from a saved state later.
"""

from __future__ import annotations

import base64
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from lab import Lab, checksums, saved, wait, writer
from lab.parallel import in_parallel
from lab.spec import Host
from lab.writer import Write

PROJECT = Path(__file__).parents[2]
SEED = os.environ.get("REQUORUM_SEED", "1")
"""What is drawn by chance (which hosts are lost) is drawn from this; a failed test is repeated with the same one."""


@dataclass(frozen=True, slots=True)
class Done:
    """One run of the runbook or the checks.

    Attributes:
        exit: the exit code.
        output: standard output and standard error, as one text.
        folder: the run's folder under reports/; None where the run ended before it had one.
        seconds: how long it took.
    """

    exit: int
    output: str
    folder: Path | None
    seconds: float

    @property
    def report(self) -> Path:
        """report.html."""
        return self._folder / "report.html"

    @property
    def journal(self) -> Path:
        """journal.jsonl."""
        return self._folder / "journal.jsonl"

    @property
    def summary(self) -> dict[str, object]:
        """What summary.json says."""
        read = json.loads((self._folder / "summary.json").read_text(encoding="utf-8"))
        assert isinstance(read, dict)
        return read

    @property
    def _folder(self) -> Path:
        assert self.folder is not None, f"the run made no folder; it said:\n{self.output}"
        return self.folder


def chance(*what: object) -> random.Random:
    """Chance for one purpose, the same for the same seed, in any order of tests."""
    return random.Random(f"{SEED}:{what}")


def reports_of(lab: Lab) -> Path:
    """Where the runs on this lab keep their folders: one place, so that they know of each other's locks."""
    return lab.record.directory / "reports"


def command(lab: Lab, *arguments: str, inventory: Path | None = None, reports: Path | None = None) -> list[str]:
    """The command line of a run: `runbook/` unless the arguments begin with another place."""
    place = () if arguments and arguments[0].rstrip("/") in ("runbook", "checks") else ("runbook/",)
    where = ("--inventory", str(inventory or lab.inventory_path), "--reports", str(reports or reports_of(lab)))
    return [sys.executable, "-m", "pytest", *place, *arguments, *where]


def environment() -> dict[str, str]:
    """The environment of a run: nothing of the pytest that started it."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV_"))}


def folders(lab: Lab, reports: Path | None = None) -> set[Path]:
    """The folders of all runs on this lab so far."""
    return {journal.parent for journal in (reports or reports_of(lab)).glob("*/*/journal.jsonl")}


def run(
    lab: Lab,
    *arguments: str,
    timeout: float = 240,
    inventory: Path | None = None,
    reports: Path | None = None,
    beside: Mapping[str, str] | None = None,
) -> Done:
    """Run `pytest runbook/ --inventory … ARGUMENTS` to its end.

    Args:
        lab: on which hosts.
        arguments: further ones; `checks/` as the first one runs the checks.
        timeout: seconds, then TimeoutExpired.
        inventory: another one than the lab's own.
        reports: another place for the run's folder: another operator's machine.
        beside: further variables of its environment.
    """
    before, began = folders(lab, reports), time.monotonic()
    done = subprocess.run(
        command(lab, *arguments, inventory=inventory, reports=reports),
        cwd=PROJECT,
        env=environment() | dict(beside or {}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=timeout,
        check=False,
    )
    new = sorted(folders(lab, reports) - before)
    assert len(new) <= 1, f"one run made several folders: {new}"
    assert new == [] or values_told(lab, new[0]) == []
    return Done(done.returncode, done.stdout, new[0] if new else None, time.monotonic() - began)


def values_told(lab: Lab, folder: Path) -> list[str]:
    """Values that clients wrote and that a run's folder tells, plainly or in base64; only its backup may hold them."""
    written = (writer.read(path) for path in lab.record.directory.glob("writes*.jsonl"))
    values = {one.value.encode() for writes in written for one in writes[:: max(1, len(writes) // 4)]}
    forms = {form: value for value in values for form in (value, *_in_base64(value))}
    files = [path for path in folder.rglob("*") if path.is_file() and "backup" not in path.relative_to(folder).parts]
    return [
        f"{path}: {value.decode()}"
        for path in files
        for content in [path.read_bytes()]
        for form, value in forms.items()
        if form in content
    ]


def _in_base64(value: bytes) -> Iterator[bytes]:
    """What is always the same of a value's base64, wherever it begins in what is encoded."""
    for before in range(3):
        whole = base64.b64encode(bytes(before) + value)
        yield whole[(0, 2, 3)[before] : -4]


def assert_told(done: Done, *, exit: int, outcome: str, verdict: str, says: Iterable[str] = ()) -> None:
    """The run ended so, and says so: exit code, summary.json, report.html, terminal; and no traceback.

    `verdict` is empty where the run ended before it had one.
    """
    assert done.exit == exit, done.output
    assert "Traceback" not in done.output, done.output
    summary = done.summary
    found = (summary["class"], summary["exit"], summary["verdict"], summary["journal_fault"])
    assert found == (outcome, exit, verdict, ""), done.output
    assert (f"\nverdict   {verdict}" in done.output) == bool(verdict), done.output
    for words in says:
        assert words in done.output, f"expected {words!r} in:\n{done.output}"
    page = done.report.read_text(encoding="utf-8")
    assert verdict in page
    assert str(done.report) in done.output, done.output


def not_undone(
    before: dict[str, dict[str, str]], after: dict[str, dict[str, str]], *, ran_on: bool = False
) -> list[str]:
    """What an abort has not put back; the backups stay, and a survivor that was stopped is another process.

    `ran_on`: the survivor had run through the loss, and was active. It runs again; without a leader systemd calls it
    activating, and it answers nothing: that cannot be brought back.
    """
    others = [": /backup", f": {checksums.DEAF}: ", *[": process etcd:", ": etcd revision:"] * ran_on]
    return [line for line in checksums.changes(before, after) if not any(one in line for one in others)]


def assert_undone(lab: Lab, before: dict[str, dict[str, str]]) -> Done:
    """`--abort` puts every host back as it was `before`, by its checksums; the backups stay, and a stopped etcd is started."""
    done = run(lab, "--abort")
    assert_told(done, exit=0, outcome="aborted", verdict=str(done.summary["verdict"]), says=["as it was found"])
    assert not_undone(before, lab.checksums()) == []
    return done


def assert_whole(lab: Lab, writes: Iterable[Write], hosts: Sequence[str | Host] | None = None) -> None:
    """Every member (or those on `hosts`) is healthy, all hold the same, and no acknowledged write is missing."""
    wanted = list(lab.hosts) if hosts is None else [lab.host(one) for one in hosts]
    lab.wait_healthy(wanted, within=15)
    listed = lab.etcdctl(wanted[0], "member list").stdout.splitlines()
    assert len(listed) == len(wanted), listed
    assert all(", started, " in line and not line.endswith("true") for line in listed), listed
    assert writer.differences(lab, wanted) == []
    assert writer.missing(writes, writer.read_all(lab, wanted[0])) == []


def left_behind(lab: Lab) -> list[str]:
    """What a recovery must not leave: a force on any start path or in a live process, a fence, a mark."""
    script = r"""
grep -rnIE 'force.new.cluster' /etc/systemd /run/systemd /usr/lib/systemd/system /etc/etcd /etc/environment -i
systemctl show $unit --property=ExecStart,Environment,EnvironmentFiles,DropInPaths | grep -iE 'force|requorum'
for pid in $(pidof etcd); do
    for file in cmdline environ; do tr '\0' '\n' < /proc/$pid/$file | grep -i force; done
done
find /etc/systemd /run/systemd /run/requorum* /var/lib/requorum ! -type d -path '*requorum*' 2>/dev/null
find /etc -name '*.requorum.*'
[ ! -d /etc/origin/node/pods ] || find /etc/origin/node \( -name 'pods-stopped*' -o -name '.*' \)
systemctl is-enabled $unit | grep -vx enabled
true
"""
    unit = {"container": "etcd_container", "static-pod": "origin-node"}.get(lab.record.spec.topology, "etcd")
    script = f"unit={unit}\n{script}"
    found = in_parallel(lambda host: lab.run(host, script).stdout.splitlines(), lab.hosts)
    return [f"{host.short}: {line}" for host, lines in zip(lab.hosts, found, strict=True) for line in lines]


def state(lab: Lab, name: str, make: Callable[[], Iterable[Write]]) -> list[Write]:
    """Bring the lab into the state called `name`: made the first time, put back later. Returns its writes."""
    if name in saved.names(lab):
        lab.restore(name)
        return writer.read(_kept(lab, name))
    return keep(lab, name, make())


def keep(lab: Lab, name: str, writes: Iterable[Write]) -> list[Write]:
    """Save the lab as it is, and the writes that it must hold, for `state`. Returns the writes."""
    found = list(writes)
    text = "".join(json.dumps(asdict(one)) + "\n" for one in found)
    _kept(lab, name).write_text(text, encoding="utf-8")
    lab.save(name)
    return found


def broken(lab: Lab, hosts: Sequence[str], how: str, *, reboot_survivor: bool = False) -> list[Write]:
    """200 keys are written, all acknowledged; then `hosts` are broken (see `Lab.break_hosts`). Returns the writes."""
    name = broken_name(hosts, how, reboot_survivor=reboot_survivor)

    def make() -> list[Write]:
        writes = written(lab)
        lab.break_hosts(hosts, how, reboot_survivor=reboot_survivor)
        return writes

    return state(lab, name, make)


def broken_name(hosts: Sequence[str], how: str, *, reboot_survivor: bool = False) -> str:
    """The name under which `broken` keeps the state."""
    return "-".join([how, *hosts, *(["deaf"] if reboot_survivor else [])])


def written(lab: Lab, count: int = 200, hosts: Sequence[str] | None = None) -> list[Write]:
    """Write `count` keys, and wait until every member written to holds them: load right through a loss is not this."""
    path = lab.record.directory / "writes.jsonl"
    path.unlink(missing_ok=True)
    client = writer.Writer(lab, path, hosts)
    writes = client.write(count)
    client.close()
    assert [one for one in writes if one.revision is None] == []
    _wait_level(lab, list(lab.hosts) if hosts is None else [lab.host(one) for one in hosts])
    return writes


def declared_lost(lab: Lab, hosts: Iterable[str], to: Path) -> Path:
    """The lab's inventory with `lost: true` for some hosts, written to `to`."""
    text = lab.inventory_path.read_text(encoding="utf-8")
    for host in map(lab.host, hosts):
        old = f"{host.name}: {{address: {host.address}}}"
        assert old in text, text
        text = text.replace(old, f"{host.name}: {{address: {host.address}, lost: true}}")
    to.write_text(text, encoding="utf-8")
    return to


def _wait_level(lab: Lab, hosts: Sequence[Host]) -> None:
    clients = [lab.client(host) for host in hosts]
    try:
        wait.until(lambda: len({client.revision() for client in clients}) == 1, "all members at one revision", 10)
    finally:
        for client in clients:
            client.close()


def _kept(lab: Lab, name: str) -> Path:
    return lab.record.directory / f"writes-{name}.jsonl"

"""The lab itself, on real hosts."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from lab import Lab, LabError, Spec, cgroups, checksums, cli, machine, network, state, wait, writer
from lab.shell import run
from lab.spec import LEAST_DISK_MIB

Labs = Callable[..., Lab]
PROJECT = Path(__file__).parents[2]


def test_an_operator_can_log_in_with_strict_host_keys(lab3: Lab) -> None:
    for host in lab3.hosts:
        done = run(lab3.ssh_command(host, ["hostname"]))
        assert done.stdout.strip() == host.name
        assert lab3.healthy(host)


def test_the_inventory_names_every_host(lab3: Lab) -> None:
    written = yaml.safe_load(lab3.inventory_path.read_text(encoding="utf-8"))
    assert written["cluster"] == lab3.record.spec.name
    assert written["etcd"]["hosts"] == {host.name: {"address": host.address} for host in lab3.hosts}
    assert Path(written["ssh"]["identity_file"]).is_file()
    assert Path(written["ssh"]["known_hosts"]).is_file()


def test_another_shape_of_host(labs: Labs) -> None:
    lab = labs(
        user="ops", ssh_port=2222, data_dir="/srv/etcd-data", etcd_names="other", quoted=True, exec_start="plain"
    )
    who = run(lab.ssh_command("etcd-1", ["id -un; sudo -n id -un; sudo -n ls /srv/etcd-data"]))
    assert who.stdout.split() == ["ops", "root", "member"]
    command = lab.ssh_command("etcd-1", ["true"])
    refused = run([*(word.replace("ops@", "root@") for word in command)], check=False)
    assert "Permission denied" in refused.stderr
    assert ", m1, https://" in lab.etcdctl("etcd-1", "member list").stdout
    assert 'ETCD_NAME="m1"' in lab.run("etcd-1", "cat /etc/etcd/etcd.conf").stdout
    assert lab.run("etcd-1", "readlink -f /proc/$(pidof etcd)/exe").stdout.strip() == "/usr/bin/etcd"


def test_a_full_disk_is_full_for_whoever_writes(labs: Labs) -> None:
    lab = labs(members=1, disk_mib=LEAST_DISK_MIB)
    write = "for place in /etc /backup /var/lib /var/lib/etcd; do echo x > $place/x; done"
    lab.fill_disk("etcd-0")
    assert lab.run("etcd-0", "df --output=avail / | tail -n 1").stdout.strip() == "0"
    assert lab.run("etcd-0", write, check=False).stderr.count("No space left on device") == 4
    lab.make_room("etcd-0")
    assert lab.run("etcd-0", write, check=False).stderr == ""


def test_the_disk_of_this_machine_is_never_filled(lab3: Lab) -> None:
    with pytest.raises(LabError, match="has no disk of its own"):
        lab3.fill_disk("etcd-0")


def test_power_loss_leaves_nothing_running(lab3: Lab) -> None:
    host = lab3.host("etcd-1")
    pid = int(lab3.run(host, "cat /proc/self/stat").stdout.split()[0])
    assert pid > 0
    before = cgroups.pids(machine.group(lab3.record, host))
    lab3.power_off(host)
    assert not lab3.is_on(host)
    assert not [one for one in before if Path(f"/proc/{one}/exe").exists()]
    assert not Path(f"/sys/class/net/{network.cable(lab3.record, host)}").exists()
    assert not Path(f"/run/netns/{network.namespace(lab3.record, host)}").exists()
    with socket.socket() as connection:
        connection.settimeout(0.5)
        assert connection.connect_ex((host.address, 2379)) != 0
    lab3.wait_healthy(["etcd-0", "etcd-2"])
    lab3.boot(host)
    lab3.wait_healthy()


def test_destroyed_members_do_not_come_back_by_themselves(lab3: Lab, tmp_path: Path) -> None:
    client = writer.Writer(lab3, tmp_path / "writes.jsonl", timeout=2)
    writes = client.write(200)
    assert all(one.revision for one in writes)
    assert writer.differences(lab3) == []
    lab3.break_hosts(["etcd-1", "etcd-2"], "destroyed")
    assert not lab3.healthy("etcd-0")
    assert writer.missing(writes, writer.read_all(lab3, "etcd-0")) == []
    lab3.checksums()  # waits until the emptied members have stopped trying
    log = lab3.run("etcd-1", "journalctl --unit etcd --output cat").stdout
    assert "has already been bootstrapped" in log
    assert client.write(1)[0].revision is None
    client.close()
    lab3.save("two-destroyed")
    lab3.restore("whole")
    assert [one.split(":")[0] for one in writer.missing(writes, writer.read_all(lab3, "etcd-0"))] != []
    lab3.restore("two-destroyed")
    assert not lab3.healthy("etcd-0")
    assert not any(lab3.data_directory("etcd-1").glob("member/wal/*.wal"))


def test_a_restarted_survivor_listens_and_answers_nothing(lab3: Lab) -> None:
    lab3.break_hosts(["etcd-1", "etcd-2"], "destroyed", reboot_survivor=True)
    host = lab3.host("etcd-0")
    wait.until(lambda: machine.listens(lab3.record, host, 2379), "etcd listens", 20)
    assert lab3.run(host, "systemctl show --property=SubState --value etcd").stdout.strip() == "start"
    status = lab3.etcdctl(host, "--command-timeout=2s endpoint status", check=False)
    assert status.returncode != 0
    before = lab3.checksums()
    assert checksums.changes(before, lab3.checksums()) == []
    lab3.run(host, "systemctl restart --no-block etcd")
    assert [checksums.DEAF in line for line in checksums.changes(before, lab3.checksums())] == [True]


@pytest.mark.parametrize(("how", "state_of_unit"), [("stopped", "enabled"), ("masked", "masked")])
def test_a_stopped_member_stays_stopped_in_a_saved_state(lab3: Lab, how: str, state_of_unit: str) -> None:
    lab3.break_hosts(["etcd-1", "etcd-2"], how)
    before = lab3.checksums()
    lab3.save(how)
    assert checksums.changes(before, lab3.checksums()) == []
    lab3.restore(how)
    after = lab3.checksums()
    for host in ("etcd-1", "etcd-2"):
        enabled = lab3.run(host, "systemctl is-enabled etcd", check=False).stdout.strip()
        assert enabled == state_of_unit
        assert lab3.run(host, "pidof etcd", check=False).stdout == ""
        name = lab3.host(host).name
        files = [line for line in checksums.changes({name: before[name]}, {name: after[name]}) if ": /" in line]
        assert files == []
    lab3.heal()


def test_checksums_see_every_change(lab3: Lab) -> None:
    before = lab3.checksums()
    assert checksums.changes(before, lab3.checksums()) == []
    lab3.run("etcd-1", "mkdir /var/lib/requorum && chmod 600 /etc/etcd/etcd.conf && systemctl mask etcd")
    lab3.etcdctl("etcd-0", "put", "a", "b c")
    seen = "\n".join(checksums.changes(before, lab3.checksums()))
    for part in ("/var/lib/requorum", "f 644 root:root", "/dev/null", "etcd enabled", "etcd revision"):
        assert part in seen
    assert seen.count("etcd revision") == 3
    assert seen.count("etcd-0.example.com") == 1


def test_clean_reboots(lab3: Lab) -> None:
    before = {host: machine.boot_id(lab3.record, host) for host in lab3.hosts}
    lab3.reboot(*lab3.hosts)
    lab3.wait_healthy()
    assert all(machine.boot_id(lab3.record, host) != before[host] for host in lab3.hosts)


def test_a_new_host_under_an_old_name(lab3: Lab) -> None:
    lab3.run("etcd-2", "touch /backup/old")
    lab3.break_hosts(["etcd-1", "etcd-2"], "dead")
    lab3.boot("etcd-1", wipe=True)
    lab3.boot("etcd-2", new=True)
    assert lab3.run("etcd-2", "ls /backup").stdout == ""
    assert run(lab3.ssh_command("etcd-2", ["hostname"])).stdout.strip() == "etcd-2.example.com"


def test_a_host_that_ends_at_its_boot_says_how(lab3: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    lab3.run("etcd-2", "systemctl poweroff", check=False)
    wait.until(lambda: not lab3.is_on("etcd-2"), "etcd-2 is off", 20)
    assert machine.last_power(lab3.record, lab3.host("etcd-2")).endswith("Z systemd-nspawn ended with exit code 0")
    lab3.power_off("etcd-1")
    init = lab3.record.upper(lab3.host("etcd-1")) / "usr/lib/systemd/systemd"
    init.write_text("#!/bin/sh\nexit 3\n", encoding="utf-8")
    init.chmod(0o755)
    ended = r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ systemd-nspawn ended with exit code 3"
    with pytest.raises(LabError, match=rf"etcd-1.example.com went off while booting, twice: {ended}\."):
        lab3.boot("etcd-1")
    assert cli.main(["status"]) == 0
    shown = next(line for line in capsys.readouterr().out.splitlines() if lab3.host("etcd-1").address in line)
    assert re.fullmatch(rf"  etcd-1.example.com  [\d.]+  without power \({ended}\)", shown)


def test_plain_errors(lab3: Lab) -> None:
    with pytest.raises(LabError, match="has no host 'etcd-9'; it has etcd-0, etcd-1, etcd-2"):
        lab3.run("etcd-9", "true")
    with pytest.raises(LabError, match="no saved state 'nothing'"):
        lab3.restore("nothing")
    with pytest.raises(LabError, match="has power; take it first"):
        lab3.destroy_data("etcd-1")
    with pytest.raises(LabError, match="exists in another shape"):
        Lab.up(Spec(name=lab3.record.spec.name, members=5))


def _traces(name: str, record: state.Record) -> list[str]:
    """What is left of a lab on this machine."""
    # Not `glob(bridge*)`: rqlab14 is the bridge of another lab than rqlab1.
    links = [link.name for pattern in ("", "p*") for link in Path("/sys/class/net").glob(record.bridge + pattern)]
    left = [f"link {link}" for link in links]
    left += [f"namespace {one.name}" for one in Path("/run/netns").glob(f"{record.bridge}-*")]
    left += [
        str(machine.propagated(record, host)) for host in record.hosts if machine.propagated(record, host).exists()
    ]
    left += [f"group {tree / cgroups.TOP}" for tree in cgroups.trees() for _ in tree.glob(f"{cgroups.TOP}/*-{name}")]
    mark = f"/labs/{name}/"
    for process in Path("/proc").glob("[0-9]*"):
        for what in ("cmdline", "mountinfo"):
            try:
                text = (process / what).read_text(encoding="utf-8", errors="replace")
            except OSError:
                continue  # it has ended meanwhile
            if mark in text:
                left.append(f"{what} of process {process.name}")
    return left + [str(path) for path in [state.directory_of(name)] if path.exists()]


def _lab(*words: str) -> list[str]:
    return [sys.executable, "-m", "lab", *words]


# Seconds after the start of `up`: before its record, among the keys, while disks are written, while hosts boot.
@pytest.mark.parametrize("after", [0.15, 0.4, 0.8, 1.4, 2.2, 3.2])
def test_down_cleans_up_after_a_killed_up_and_touches_nothing_else(lab3: Lab, after: float) -> None:
    others = {host: machine.boot_id(lab3.record, host) for host in lab3.hosts}
    name = f"killed-{os.getpid()}"
    process = subprocess.Popen(_lab("up", "--name", name), cwd=PROJECT, stdout=subprocess.DEVNULL)
    try:
        process.wait(after)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
    process.wait()
    record = state.load(name) if name in state.all_names() else None
    if state.directory_of(name).exists():
        subprocess.run(_lab("down", "--name", name), cwd=PROJECT, check=True, stdout=subprocess.DEVNULL)
    assert not state.directory_of(name).exists()
    if record is not None:
        wait.until(lambda: not _traces(name, record), f"nothing is left of it: {_traces(name, record)}", 5)
    assert {host: machine.boot_id(lab3.record, host) for host in lab3.hosts} == others
    assert all(lab3.healthy(host) for host in lab3.hosts)


@pytest.fixture
def small() -> Iterator[Lab]:
    """A lab of one member, to be taken down; whatever is left of it is removed afterwards."""
    name = f"killed-{os.getpid()}"
    yield Lab.up(Spec(name=name, members=1))
    if name in state.all_names():
        Lab.attach(name).down()


def _down(lab: Lab) -> None:
    """Take it down from the command line; it says so, and nothing else, and leaves nothing."""
    name = lab.record.spec.name
    done = subprocess.run(_lab("down", "--name", name), cwd=PROJECT, check=False, capture_output=True, encoding="utf-8")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"the lab {name!r} is gone\n", "")
    assert _traces(name, lab.record) == []


def _has_namespace(lab: Lab) -> bool:
    return Path("/run/netns", network.namespace(lab.record, lab.hosts[0])).exists()


# What is killed, and when.
MOMENTS: dict[str, tuple[list[str], Callable[[Lab], bool]]] = {
    "restore, without power": (["restore", "whole"], lambda lab: not lab.is_on("etcd-0")),
    "restore, without disk": (["restore", "whole"], lambda lab: not lab.record.upper(lab.hosts[0]).exists()),
    "break, emptied": (
        ["break", "--hosts=etcd-0", "--how=destroyed"],
        lambda lab: not (lab.data_directory("etcd-0") / "member").exists(),
    ),
    "save": (["save", "half"], lambda lab: (lab.record.directory / "states/.half.part").exists()),
    "down, without cable": (["down"], lambda lab: not _has_namespace(lab)),
    "down, without bridge": (["down"], lambda lab: not Path("/sys/class/net", lab.record.bridge).exists()),
    "down, without keys": (["down"], lambda lab: not lab.secrets.exists()),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_down_after_a_killed_command(small: Lab, moment: str) -> None:
    """Some moments last a millisecond: a command that was not seen in it has ended, and the lab is as it left it."""
    words, reached = MOMENTS[moment]
    process = subprocess.Popen(_lab(*words, "--name", small.record.spec.name), cwd=PROJECT, stdout=subprocess.DEVNULL)
    wait.until(lambda: reached(small) or process.poll() is not None, moment, 20, every=0.001)
    process.kill()
    process.wait()
    if (small.record.directory / "lab.json").exists():
        _down(small)
    else:  # it was quicker
        assert not state.forget_unmade(small.record.spec.name) or not _traces(small.record.spec.name, small.record)


def test_down_while_its_hosts_are_frozen(small: Lab) -> None:
    """As a killed `save` leaves them."""
    cgroups.freeze(machine.group(small.record, small.hosts[0]), True)
    _down(small)


def test_down_after_this_machine_was_restarted(small: Lab) -> None:
    small.power_off("etcd-0")
    network.bridge_down(small.record)
    cgroups.remove(cgroups.group_of(small.record.spec.name, small.record.network, ""))
    _down(small)


def test_down_takes_disks_also_full_ones(lab3: Lab) -> None:
    """lab3 is on: its hosts have mount namespaces of their own."""
    name = f"killed-{os.getpid()}"
    second = Lab.up(Spec(name=name, members=1, disk_mib=LEAST_DISK_MIB))
    lab3.power_off("etcd-1")
    lab3.boot("etcd-1")
    second.fill_disk("etcd-0")
    _down(second)
    assert name not in run(["losetup", "--all"]).stdout


def test_down_without_its_bridge_takes_the_hosts_too(small: Lab) -> None:
    network.bridge_down(small.record)
    _down(small)


def test_down_spares_a_lab_that_was_given_the_same_number(
    lab3: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {host: machine.boot_id(lab3.record, host) for host in lab3.hosts}
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("REQUORUM_LAB_STATE", str(tmp_path))
        lab3.record.save()  # the same name and number, in another state directory
        Lab.attach(lab3.record.spec.name).down()
        assert state.all_names() == []
    assert {host: machine.boot_id(lab3.record, host) for host in lab3.hosts} == before
    lab3.wait_healthy(within=5)


def test_two_labs_side_by_side(lab3: Lab) -> None:
    name = f"killed-{os.getpid()}"
    second = Lab.up(Spec(name=name, members=1))
    record = second.record
    try:
        assert second.record.network != lab3.record.network
        second.etcdctl("etcd-0", "put only here")
        assert not writer.read_all(lab3, "etcd-0")
    finally:
        second.down()
    assert _traces(name, record) == []
    assert all(lab3.healthy(host) for host in lab3.hosts)

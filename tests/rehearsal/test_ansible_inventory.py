"""The group [etcd] of an Ansible inventory follows the member list, and is in the end what it was, byte for byte."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_core import Ansible, assert_left
from killed_runs import Point, stopped
from runbook_runs import (
    assert_told,
    assert_whole,
    broken,
    declared_lost,
    left_behind,
    not_undone,
    reports_of,
    run,
)

from lab import Lab, checksums, masters
from lab.spec import ON_MASTERS

LOST = ["etcd-0", "etcd-1"]
SURVIVOR = "etcd-2.example.com"
GONE = {"etcd-0.example.com", "etcd-1.example.com"}

INI = b"""# our cluster\x20\x20
[OSEv3:children]
masters
etcd

[OSEv3:vars]
ansible_user=root

[masters]
master-[0:1].example.com ansible_ssh_pass=hush

[etcd]\t# the first has the CA
\xe9 is no UTF-8, and in a comment
etcd-[0:2].example.com   openshift_master=no \r
; the end""".replace(b"\xe9", b"# \xe9")

YAML = b"""---
all:
  children:
    OSEv3:
      vars: {ansible_user: root}
      children:
        masters:
          hosts:
            "master-[0:1].example.com":
        etcd:
          hosts:
            # the first has the CA
            etcd-0.example.com:
              etcd_ip: 192.0.2.1   # never used

            etcd-[1:2].example.com: {site: a}   # the others
        new_etcd: {}
"""

BY_RANGE = "[OSEv3:children]\nmasters\netcd\n\n[masters]\n{names}\n\n[etcd]\n{names} # all\n"
BY_RANGE_IN_YAML = """\
all:
  children:
    OSEv3:
      children:
        masters:
          hosts:
            {names}:
        etcd:
          hosts:
            {names}:   # all
"""


class Both:
    """Our inventory of a lab, and the Ansible inventory that it names."""

    def __init__(self, lab: Lab, folder: Path, name: str, content: bytes, *, lost: bool = False) -> None:
        self.ansible, self.content = folder / name, content
        self.ansible.write_bytes(content)
        self.ansible.chmod(0o640)
        self.before = Ansible(self.ansible)
        self.ours = folder / "ours.yaml"
        if lost:
            declared_lost(lab, LOST, self.ours)
        else:
            self.ours.write_text(lab.inventory_path.read_text(encoding="utf-8"), encoding="utf-8")
        with self.ours.open("a", encoding="utf-8") as file:
            file.write(f"ansible_inventory: {self.ansible}\n")
        self.note = reports_of(lab) / lab.record.spec.name / "ansible-inventory.json"

    def assert_as_it_was(self) -> None:
        assert self.ansible.read_bytes() == self.content
        assert oct(self.ansible.stat().st_mode & 0o777) == "0o640"
        assert os.listdir(self.ansible.parent).count(self.ansible.name) == 1
        assert not [one for one in self.ansible.parent.iterdir() if "requorum" in one.name]
        assert not self.note.exists()

    def assert_survivor_alone(self) -> None:
        after = Ansible(self.ansible)
        assert after.direct["etcd"] == [SURVIVOR]
        assert_left(self.before, after, GONE)


@pytest.mark.system("Ansible inventory, INI")
def test_two_are_lost_and_back_empty(lab3: Lab, tmp_path: Path) -> None:
    """INI. A run that is killed after it edited the group is undone; then the whole recovery."""
    both = Both(lab3, tmp_path, "hosts", INI)
    writes = broken(lab3, LOST, "destroyed")
    before = lab3.checksums()
    killed = Point("test_stop_survivor").reached
    stopped(lab3, "kill-group", killed, output=tmp_path / "killed.log", inventory=both.ours)
    both.assert_survivor_alone()
    undone = run(lab3, "--abort", inventory=both.ours)
    back = f"{both.ansible}: [etcd] is put back."
    assert_told(undone, exit=0, outcome="aborted", verdict=str(undone.summary["verdict"]), says=[back])
    both.assert_as_it_was()
    assert not_undone(before, lab3.checksums(), ran_on=True) == []

    planned = run(lab3, "--plan", inventory=both.ours)
    assert_told(planned, exit=0, outcome="plan", verdict="lost", says=[f"+{SURVIVOR}   openshift_master=no"])
    both.assert_as_it_was()
    done = run(lab3, inventory=both.ours)
    first = f"etcd-0.example.com, the first host of [etcd], leaves it until it is a member again; {SURVIVOR}"
    assert_told(done, exit=0, outcome="recovered", verdict="lost", says=["3 of 3 members", first])
    assert f"etcd-0.example.com, etcd-1.example.com leave [etcd] in {both.ansible}" in done.output
    both.assert_as_it_was()
    assert (done.journal.parent / "backup/ansible-inventory").read_bytes() == INI
    assert b"hush" not in done.journal.read_bytes()
    assert_whole(lab3, writes)
    assert left_behind(lab3) == []


@pytest.mark.full
@pytest.mark.parametrize(
    ("topology", "name", "content"),
    [
        *(
            pytest.param(one, "hosts", BY_RANGE, id=one, marks=pytest.mark.system("Ansible inventory, INI"))
            for one in ("colocated", "static-pod", "container")
        ),
        pytest.param(
            "static-pod",
            "hosts.yml",
            BY_RANGE_IN_YAML,
            id="static-pod-yaml",
            marks=pytest.mark.system("Ansible inventory, YAML"),
        ),
    ],
)
def test_other_topologies(labs: Callable[..., Lab], tmp_path: Path, topology: str, name: str, content: str) -> None:
    """The masters are in two groups: they leave [etcd], and stay in [masters]."""
    lab = labs(topology=topology)
    if topology in ON_MASTERS:
        masters.wait_ready(lab)
    names = lab.hosts[0].name.replace("-0", "-[0:2]")
    both = Both(lab, tmp_path, name, content.format(names=names).encode())
    writes = broken(lab, [host.short for host in lab.hosts[:2]], "destroyed")
    done = run(lab, inventory=both.ours, timeout=400)
    gone = ", ".join(host.name for host in lab.hosts[:2])
    left = f"{gone} leave [etcd] in {both.ansible}"
    assert_told(done, exit=0, outcome="recovered", verdict="lost", says=["3 of 3 members", left])
    both.assert_as_it_was()
    assert_whole(lab, writes)
    assert left_behind(lab) == []


@pytest.mark.full
@pytest.mark.parametrize(
    "point",
    [
        Point("test_keep_ansible_inventory"),
        Point("test_leave_group", 1),
        Point("test_leave_group", 2),
        Point("test_rejoin_group", 1),
        Point("test_rejoin_group", 2),
    ],
    ids=lambda point: f"{point.step}-{point.change}",
)
def test_killed_and_run_again(lab3: Lab, tmp_path: Path, point: Point) -> None:
    both = Both(lab3, tmp_path, "hosts", INI)
    writes = broken(lab3, LOST, "destroyed")
    stopped(lab3, "kill-group", point.reached, output=tmp_path / "killed.log", inventory=both.ours)
    assert run(lab3, inventory=both.ours).exit == 0
    both.assert_as_it_was()
    assert_whole(lab3, writes)
    assert left_behind(lab3) == []


@pytest.mark.system("Ansible inventory, YAML")
@pytest.mark.full
def test_two_stay_dead_and_come_back_later(lab3: Lab, tmp_path: Path) -> None:
    """YAML. The group holds the survivor alone for as long as nobody else is a member."""
    both = Both(lab3, tmp_path, "hosts.yml", YAML, lost=True)
    writes = broken(lab3, LOST, "dead")
    assert_told(run(lab3, inventory=both.ours), exit=0, outcome="recovered", verdict="lost", says=["1 of 3 members"])
    both.assert_survivor_alone()
    alone = both.ansible.read_bytes()

    again = run(lab3, inventory=both.ours)
    assert_told(again, exit=0, outcome="healthy", verdict="healthy")
    assert both.ansible.read_bytes() == alone
    checked = run(lab3, "checks/", inventory=both.ours)
    assert "[etcd]" not in checked.output, checked.output

    lab3.boot(*LOST, wipe=True)
    done = run(lab3, inventory=both.ours)
    assert_told(done, exit=0, outcome="recovered", verdict="unfinished", says=["3 of 3 members"])
    both.assert_as_it_was()
    assert_whole(lab3, writes)
    assert run(lab3, "checks/", inventory=both.ours).exit == 0


@pytest.mark.full
def test_degraded(lab3: Lab, tmp_path: Path) -> None:
    """With a quorum: the member that is removed leaves the group, and nobody else."""
    both = Both(lab3, tmp_path, "hosts.yml", YAML)
    declared_lost(lab3, ["etcd-1"], both.ours)
    with both.ours.open("a", encoding="utf-8") as file:
        file.write(f"ansible_inventory: {both.ansible}\n")
    writes = broken(lab3, ["etcd-1"], "dead")
    assert_told(run(lab3, inventory=both.ours), exit=0, outcome="recovered", verdict="degraded")
    assert_left(both.before, Ansible(both.ansible), {"etcd-1.example.com"})
    lab3.boot("etcd-1", wipe=True)
    assert_told(run(lab3, inventory=both.ours), exit=0, outcome="recovered", verdict="unfinished")
    both.assert_as_it_was()
    assert_whole(lab3, writes)


@pytest.mark.full
def test_the_first_host_is_lost_and_the_last_one_has_a_copy_of_the_ca(lab3: Lab, tmp_path: Path) -> None:
    """It is put first, as openshift-ansible expects the CA there, and goes back to its place with the first one's return."""
    copied = lab3.run("etcd-0", "tar -C /etc/etcd -c ca | base64 -w0").stdout
    lab3.run("etcd-2", "base64 -d | tar -C /etc/etcd -x", stdin=copied)
    both = Both(lab3, tmp_path, "hosts", INI)
    declared_lost(lab3, ["etcd-0"], both.ours)
    with both.ours.open("a", encoding="utf-8") as file:
        file.write(f"ansible_inventory: {both.ansible}\n")
    lab3.break_hosts(["etcd-0"], "dead")
    done = run(lab3, inventory=both.ours)
    said = "etcd-2.example.com, then the first, holds the CA's key, too"
    assert_told(done, exit=0, outcome="recovered", verdict="degraded", says=[said])
    after = Ansible(both.ansible)
    assert after.direct["etcd"] == ["etcd-2.example.com", "etcd-1.example.com"]
    assert (after.direct["masters"], after.variables["etcd-2.example.com"]) == (
        both.before.direct["masters"],
        both.before.variables["etcd-2.example.com"],
    )
    checked = run(lab3, "checks/", inventory=both.ours)
    assert "first host of [etcd]" not in checked.output, checked.output
    lab3.boot("etcd-0", wipe=True)
    assert_told(run(lab3, inventory=both.ours), exit=0, outcome="recovered", verdict="unfinished")
    both.assert_as_it_was()


@pytest.mark.full
def test_an_edit_that_is_owed_is_found_later(lab3: Lab, tmp_path: Path) -> None:
    """Another machine took the hosts in again; this one still has a group without them."""
    both = Both(lab3, tmp_path, "hosts", INI, lost=True)
    broken(lab3, LOST, "dead")
    assert run(lab3, inventory=both.ours).exit == 0
    lab3.boot(*LOST, wipe=True)
    assert run(lab3, reports=tmp_path / "elsewhere").exit == 0
    both.assert_survivor_alone()
    checked = run(lab3, "checks/", inventory=both.ours)
    assert checked.exit == 1
    assert "etcd-0.example.com is a member, and not in [etcd]: a recovery took it out" in checked.output
    done = run(lab3, inventory=both.ours)
    assert_told(done, exit=0, outcome="recovered", verdict="unfinished", says=["is to be put back into [etcd]"])
    both.assert_as_it_was()
    assert left_behind(lab3) == []


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("hosts", b"[etcd]\netcd-[0:2.example.com\n", "hosts:2: expected a host name or a range"),
        pytest.param("hosts.yml", b"all:\n  hosts: [a]\n", "hosts.yml:2: expected a mapping", marks=pytest.mark.full),
        pytest.param("hosts", b"[etcd]\netcd-0\netcd-1\netcd-2\n", "cannot be found in it", marks=pytest.mark.full),
    ],
    ids=["ini", "yaml", "other-names"],
)
def test_refused_before_anything_is_changed(lab3: Lab, tmp_path: Path, name: str, content: bytes, says: str) -> None:
    good = INI if name == "hosts" else YAML
    both = Both(lab3, tmp_path, name, good)
    both.ansible.write_bytes(content)
    broken(lab3, LOST, "destroyed")
    before = lab3.checksums()
    done = run(lab3, inventory=both.ours)
    assert_told(done, exit=6, outcome="refused", verdict="lost", says=[says, "nothing was changed"])
    assert checksums.changes(before, lab3.checksums()) == []
    assert both.ansible.read_bytes() == content

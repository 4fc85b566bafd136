"""Every place that names the members at once: the member list, master-config.yaml, etcd.conf, Ansible's [etcd], Flannel."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from runbook_runs import assert_told, assert_whole, broken, left_behind, run
from test_ansible_inventory import Both
from test_flannel import assert_flannel_serves, confs, lost_hosts, notes
from test_masters import assert_masters_serve, configs

from lab import Lab, flannel, masters

STRANGER = "old=https://192.0.2.9:2380"


@pytest.mark.system("masters, Flannel and Ansible at once")
@pytest.mark.full
def test_they_agree_after_a_recovery_and_the_checks_name_each_that_does_not(
    labs: Callable[..., Lab], tmp_path: Path
) -> None:
    lab = labs(topology="colocated", flannel=True)
    masters.wait_ready(lab)
    flannel.wait_ready(lab)
    first, second, third = lab.hosts
    names = "".join(f"{host.name}\n" for host in lab.hosts)
    both = Both(lab, tmp_path, "hosts", f"[masters]\n{names}\n[etcd]\n{names}".encode())
    before, leases = (configs(lab), confs(lab)), flannel.leases(lab, first)
    writes = broken(lab, lost_hosts(lab), "destroyed")
    done = run(lab, inventory=both.ours, timeout=400)
    assert_told(done, exit=0, outcome="recovered", verdict="lost", says=["3 of 3 members"])
    assert_whole(lab, writes)
    assert left_behind(lab) == []
    assert (configs(lab), confs(lab)) == before
    assert notes(lab) == ["", "", ""]
    both.assert_as_it_was()
    assert_masters_serve(lab, list(lab.hosts), [], "after")
    assert_flannel_serves(lab, lab.hosts, leases, lab.hosts)
    assert_told(run(lab, "checks/", inventory=both.ours), exit=0, outcome="checks", verdict="healthy")

    # Each place but the member list is made wrong, on a host of its own; one run names them all.
    masters.edit_config(lab, first, f"c['etcdClientInfo']['urls'].remove('https://{second.name}:2379')")
    lab.run(second, f"sed -i '/^ETCD_INITIAL_CLUSTER=/s|$|,{STRANGER}|' /etc/etcd/etcd.conf")
    lab.run(third, f"sed -i 's!,{third.client_url}!!' {flannel.CONF}")
    kept = "".join(f"{host.name}\n" for host in (first, second))
    both.ansible.write_text(f"[masters]\n{names}\n[etcd]\n{kept}", encoding="utf-8")
    checked = run(lab, "checks/", inventory=both.ours)
    assert_told(checked, exit=1, outcome="failed", verdict="unfinished", says=[
        "FAILED   30", f"{third.name} is a member, and not in [etcd]",
        f"FAILED   31  {first.name}", f"{first.name}: etcdClientInfo.urls does not name the member on {second.name}",
        f"ok       31  {second.name}",
        f"FAILED   32  {third.name}", f"{third.name}: FLANNEL_ETCD does not name the member on {third.name}",
        f"ok       32  {first.name}",
        f"FAILED   33  {second.name}", "names old (https://192.0.2.9:2380), which is no member",
        f"ok       33  {third.name}",
    ])  # fmt: skip

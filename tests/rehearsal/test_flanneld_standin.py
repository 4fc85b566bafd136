"""The stand-in for flanneld keeps to what the real one does, good and bad; on a lab with a real etcd behind it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lab import Lab, flannel, wait
from lab.shell import Completed
from lab.spec import Host

Labs = Callable[..., Lab]
SUBNET_FILE = "/run/flannel/subnet.env"
LOG = f"journalctl -u {flannel.UNIT} -o cat --no-pager"


@pytest.fixture
def flannel3(labs: Labs) -> Lab:
    lab = labs(flannel=True)
    flannel.wait_ready(lab)
    return lab


def unit(lab: Lab, host: Host, *properties: str) -> list[str]:
    return lab.run(host, f"systemctl show {flannel.UNIT} --value -p {','.join(properties)}").stdout.split()


def lease_of(lab: Lab, host: Host) -> str:
    """The subnet of a host, by the file for docker."""
    shown = lab.run(host, f"sed -n 's/^FLANNEL_SUBNET=//p' {SUBNET_FILE}").stdout.strip()
    return shown.replace(".1/24", ".0-24")


def started(lab: Lab, host: Host, words: str) -> Completed:
    """A second flanneld by hand, with other flags; it ends by itself, or is ended."""
    return lab.run(host, f"timeout 10 flanneld-start -subnet-file=/tmp/subnet.env {words}", check=False)


def test_it_leases_a_subnet_and_takes_it_again(flannel3: Lab) -> None:
    """Three shapes of its file, both spellings; the lease has a TTL, and outlives the process."""
    lab = flannel3
    leases = flannel.leases(lab, lab.hosts[0])
    assert leases == {lease_of(lab, host): host.address for host in lab.hosts}
    assert len(leases) == 3
    node = flannel.v2(lab, lab.hosts[1], "", f"{flannel.PREFIX}/subnets/{next(iter(leases))}")["node"]
    assert 86000 < node["ttl"] <= 86400
    for host in lab.hosts:
        assert unit(lab, host, "Type", "ActiveState") == ["notify", "active"]
        lab.run(host, f"systemctl restart {flannel.UNIT}")
    assert flannel.leases(lab, lab.hosts[2]) == leases
    assert {lease_of(lab, host): host.address for host in lab.hosts} == leases


@pytest.mark.full
def test_without_its_network_it_is_not_ready(flannel3: Lab) -> None:
    lab, host = flannel3, flannel3.hosts[0]
    flannel.v2(lab, host, "-X DELETE", f"{flannel.PREFIX}/config")
    lab.run(host, f"systemctl restart --no-block {flannel.UNIT}")
    wait.until(lambda: "Key not found" in lab.run(host, LOG).stdout, "flanneld says that there is no network", 20)
    assert unit(lab, host, "ActiveState") != ["active"]
    flannel.write_network(lab)
    flannel.wait_ready(lab, [host], within=20)


@pytest.mark.full
def test_endpoints_are_tried_in_order_and_certificates_are_needed(flannel3: Lab) -> None:
    lab, (host, other, _) = flannel3, flannel3.hosts
    tls = "--etcd-cafile=/etc/origin/node/flannel.etcd-ca.crt"
    own = f"{tls} --etcd-certfile /etc/origin/node/flannel.etcd-client.crt -etcd-keyfile /etc/origin/node/flannel.etcd-client.key"
    prefix = f"-etcd-prefix={flannel.PREFIX} -iface={host.address}"
    closed = f"https://{host.address}:1"
    going_on = started(lab, host, f"{prefix} {own} -etcd-endpoints={closed},{other.client_url}")
    assert going_on.returncode == 124, going_on.stderr
    assert "Lease acquired" in going_on.stderr
    nobody = started(lab, host, f"{prefix} {own} -etcd-endpoints={closed}")
    assert (nobody.returncode, "Couldn't fetch network config" in nobody.stderr) == (1, True), nobody.stderr
    bare = started(lab, host, f"{prefix} {tls} -etcd-endpoints={other.client_url}")
    assert bare.returncode == 1, bare.stderr
    unsigned = started(lab, host, f"{prefix} -etcd-endpoints={other.client_url}")
    assert "CERTIFICATE_VERIFY_FAILED" in unsigned.stderr
    gone = started(lab, host, f"{prefix} --etcd-cafile=/nowhere -etcd-endpoints={other.client_url}")
    assert "No such file or directory" in gone.stderr
    assert "flag provided but not defined: -nonsense" in started(lab, host, "-nonsense").stderr


@pytest.mark.full
def test_a_running_one_outlives_the_loss_and_renews(flannel3: Lab) -> None:
    """It goes on without a quorum; a start does not come to its end; with a quorum again it renews its lease."""
    lab, (host, second, third) = flannel3, flannel3.hosts
    lab.run(host, f"sed -i 's/--iface/--subnet-lease-renew-margin=1440 --iface/' {flannel.CONF}")  # at every second
    lab.run(host, f"systemctl restart {flannel.UNIT}")
    for one in (second, third):
        lab.run(one, "systemctl stop etcd")
    wait.until(lambda: "Error renewing lease" in lab.run(host, LOG).stdout, "flanneld cannot renew its lease", 30)
    assert unit(lab, host, "ActiveState") == ["active"]
    lab.run(third, f"systemctl restart --no-block {flannel.UNIT}")
    wait.until(lambda: "Couldn't fetch network config" in lab.run(third, LOG).stdout, "the start does not succeed", 60)
    assert unit(lab, third, "ActiveState") != ["active"]
    for one in (second, third):
        lab.run(one, "systemctl start etcd")
    flannel.wait_ready(lab)
    key = f"{flannel.PREFIX}/subnets/{lease_of(lab, host)}"
    before = flannel.v2(lab, host, "", key)["node"]["modifiedIndex"]
    wait.until(lambda: flannel.v2(lab, host, "", key)["node"]["modifiedIndex"] > before, "the lease is renewed", 20)

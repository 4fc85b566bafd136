"""Flannel on the hosts of a lab: its files in the shapes that an installation leaves behind, and what to ask of it.

Source: OpenShift 3.11, roles/flannel and roles/flannel_register. flanneld is a stand-in: lab/standins.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab import pki, standins, wait
from lab.docker import File, Link
from lab.parallel import in_parallel
from lab.spec import Host
from lab.state import Record

if TYPE_CHECKING:
    from lab.cluster import Lab

CONF = "/etc/sysconfig/flanneld"
UNIT = "flanneld.service"
PREFIX = "/openshift.com/network"
NETWORK = {"Network": "10.1.0.0/16", "SubnetLen": 24, "Backend": {"Type": "vxlan"}}

_FOLDER = "etc/origin/node"
_OPTIONS = (
    f"--iface={{address}} --etcd-cafile=/{_FOLDER}/flannel.etcd-ca.crt "
    f"--etcd-keyfile=/{_FOLDER}/flannel.etcd-client.key --etcd-certfile=/{_FOLDER}/flannel.etcd-client.crt"
)

_UNIT = f"""\
[Unit]
Description=Stand-in for flanneld
After=network.target
After=network-online.target
Wants=network-online.target
After=etcd.service
Before=docker.service

[Service]
Type=notify
EnvironmentFile={CONF}
ExecStart=/usr/bin/flanneld-start $FLANNEL_OPTIONS
Restart=on-failure
# The real one goes on trying; the stand-in ends, and is started again.
RestartSec=5s

[Install]
WantedBy=multi-user.target
"""

_SHAPES = (
    # As the package has it: quoted, with comments.
    """\
# Where Flannel finds etcd
FLANNEL_ETCD_ENDPOINTS="{urls}"   

# Where its configuration lies in etcd
FLANNEL_ETCD_PREFIX="{prefix}"

# What else is to be passed on
FLANNEL_OPTIONS="{options}"
""",  # noqa: W291 (somebody's blanks)
    # As the installer has it: bare.
    "FLANNEL_ETCD_ENDPOINTS={urls}\nFLANNEL_ETCD_PREFIX={prefix}\nFLANNEL_OPTIONS={options}\n\n",
    # As older releases have it; here with addresses, and no end to the last line.
    "; rack 3\nFLANNEL_ETCD='{urls}'\nFLANNEL_ETCD_KEY={prefix}\nFLANNEL_OPTIONS=\"{options}\"",
)


def conf(hosts: tuple[Host, ...], host: Host) -> str:
    """/etc/sysconfig/flanneld; one host after the other has it in another shape."""
    shape = host.index % len(_SHAPES)
    urls = ",".join(one.client_url if shape == 2 else f"https://{one.name}:2379" for one in hosts)
    return _SHAPES[shape].format(urls=urls, prefix=PREFIX, options=_OPTIONS.format(address=host.address))


def make_certificates(secrets: Path, hosts: tuple[Host, ...]) -> None:
    """Of Flannel as a client of etcd, on each host."""
    for host in hosts:
        names = f"IP:{host.address},DNS:{host.name}"
        pki.make_certificate(
            secrets / "ca", secrets / host.short / "flannel", 200 + host.index, host.name, names, "clientAuth"
        )


def files(record: Record, host: Host, secrets: Path) -> Iterable[File | Link]:
    """Everything of Flannel on a host."""
    own = secrets / host.short
    yield File(CONF.lstrip("/"), conf(record.hosts, host), 0o644)
    for name, source in (
        ("flannel.etcd-ca.crt", secrets / "ca/ca.crt"),
        ("flannel.etcd-client.crt", own / "flannel.crt"),
        ("flannel.etcd-client.key", own / "flannel.key"),
    ):
        yield File(f"{_FOLDER}/{name}", source.read_bytes(), 0o600)
    yield File("usr/bin/flanneld", standins.text("flanneld.py"), 0o755)
    yield File("usr/bin/flanneld-start", standins.text("flanneld-start"), 0o755)
    yield File(f"etc/systemd/system/{UNIT}", _UNIT, 0o644)
    yield Link(f"etc/systemd/system/multi-user.target.wants/{UNIT}", f"/etc/systemd/system/{UNIT}")


def v2(lab: Lab, host: Host, words: str, key: str) -> Any:
    """What etcd's v2 API on a host answers of a key; `words` are curl's, as in `-X PUT -d value=1`."""
    tls = "--cacert /etc/etcd/ca.crt --cert /etc/etcd/peer.crt --key /etc/etcd/peer.key"
    return json.loads(lab.run(host, f"curl -sS --max-time 5 {tls} {words} '{host.client_url}/v2/keys{key}'").stdout)


def write_network(lab: Lab) -> None:
    """What Flannel reads at its start."""
    v2(lab, lab.hosts[0], f"-X PUT --data-urlencode 'value={json.dumps(NETWORK)}'", f"{PREFIX}/config")


def leases(lab: Lab, host: Host) -> dict[str, str]:
    """Subnet → the address of the host that has leased it, as the member on a host lists them with a quorum."""
    nodes = v2(lab, host, "", f"{PREFIX}/subnets?quorum=true").get("node", {}).get("nodes", [])
    return {os.path.basename(one["key"]): json.loads(one["value"])["PublicIP"] for one in nodes}


def wait_ready(lab: Lab, hosts: Iterable[Host] | None = None, within: float = 60) -> None:
    """Wait until flanneld has its lease on every host, or on these; seconds."""

    def one(host: Host) -> None:
        shown = f"systemctl show {UNIT} -p ActiveState --value"
        wait.until(lambda: lab.run(host, shown).stdout == "active\n", f"flanneld on {host.name} is active", within)

    in_parallel(one, list(lab.record.with_flannel if hosts is None else hosts))


def begin(lab: Lab) -> None:
    """Write the network, and have flanneld lease a subnet on every host."""
    write_network(lab)
    in_parallel(lambda host: lab.run(host, f"systemctl restart --no-block {UNIT}"), lab.record.with_flannel)
    wait_ready(lab)

"""A cluster that was restored once: up to etcd 3.4 its database lists the old members for ever. A row of *Loss*."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hazards import empty, refused, start, stop
from runbook_runs import assert_whole, run, state, written

from lab import Lab
from lab.parallel import in_parallel
from lab.spec import Host
from lab.writer import Write

Labs = Callable[..., Lab]
full = pytest.mark.full
SAVED = "/root/snapshot.db"


def _restored_everywhere(lab: Lab, token: str) -> None:
    """As the etcd documentation has it: one snapshot, restored on every host under its old URL."""
    lab.etcdctl("etcd-0", "snapshot", "save", SAVED)
    sent = lab.run("etcd-0", f"gzip -9 < {SAVED} | base64 -w0").stdout
    stop(lab, lab.hosts)
    data = lab.record.spec.data_dir
    cluster = ",".join(f"{one.etcd_name}={one.peer_url}" for one in lab.hosts)

    def restore(host: Host) -> None:
        lab.run(host, f"base64 -d | gzip -d > {SAVED}", stdin=sent)
        lab.run(
            host,
            f"ETCDCTL_API=3 etcdctl snapshot restore {SAVED} --name {host.etcd_name} --initial-cluster {cluster} "
            f"--initial-advertise-peer-urls {host.peer_url} --initial-cluster-token {token} --data-dir /root/restored && "
            f"rm -rf {data}/member && mv /root/restored/member {data}/ && rm -r /root/restored {SAVED} && "
            f"chown -R etcd: {data} && sed -i 's/^ETCD_INITIAL_CLUSTER_TOKEN=.*/ETCD_INITIAL_CLUSTER_TOKEN={token}/' "
            "/etc/etcd/etcd.conf",
        )

    in_parallel(restore, lab.hosts)
    start(lab, lab.hosts)
    lab.wait_healthy()


@pytest.mark.parametrize("release", ["bookworm", *(pytest.param(r, marks=full) for r in ("bullseye", "trixie"))])
@pytest.mark.parametrize("replaced", [False, pytest.param(True, marks=full)], ids=["another token", "replaced before"])
def test_a_cluster_that_was_restored_once(labs: Labs, release: str, replaced: bool) -> None:
    """Counted with the old members, two of three would be no quorum, and be forced.

    A member that was replaced before a restore under the same token comes again under the ID that was removed then.
    """
    lab = labs(release=release)

    def make() -> list[Write]:
        writes = written(lab)
        if replaced:
            empty(lab, ["etcd-2"])
            assert run(lab).exit == 0
        _restored_everywhere(lab, "etcd-cluster-1" if replaced else "etcd-cluster-2")
        writes += written(lab, 20)
        assert_whole(lab, writes)
        empty(lab, ["etcd-0"])
        stop(lab, ["etcd-1", "etcd-2"])
        return writes

    state(lab, "hazard-restored-once" + "-replaced" * replaced, make)
    done = refused(
        lab,
        "restartable",
        [
            "3 voting members: ",
            "a quorum is 2",
            "2 members have their data, enough for a quorum once they run; never force",
            "etcd-1.example.com: systemctl start etcd",
            "etcd-2.example.com: systemctl start etcd",
        ],
    )
    assert "test_force_new_cluster" not in done.journal.read_text(encoding="utf-8")
    assert "forced apart" not in done.output

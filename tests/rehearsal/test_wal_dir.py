"""The log lies in a directory of its own (`ETCD_WAL_DIR`): it is read, kept, backed up and moved aside there."""

from __future__ import annotations

import pytest
from hazards import leave, tree
from runbook_runs import assert_told, assert_whole, left_behind, run, written
from sabotage import sabotaged

from lab import Lab
from lab.parallel import in_parallel

HOME = "/var/lib/etcd-log"
MOVE = f"""set -e
systemctl stop etcd
mkdir {HOME} && mv /var/lib/etcd/member/wal {HOME}/wal && chown -R etcd:etcd {HOME}
echo 'ETCD_WAL_DIR={HOME}/wal' >> /etc/etcd/etcd.conf
systemctl start --no-block etcd
"""


@pytest.mark.full
def test_a_log_in_a_directory_of_its_own(lab3: Lab) -> None:
    in_parallel(lambda host: lab3.run(host, MOVE), lab3.hosts)
    lab3.wait_healthy()
    writes = written(lab3)
    survivor, *lost = lab3.hosts
    lab3.power_off(*lost)
    for host in lost:
        lab3.destroy_data(host)
        log = lab3.record.upper(host) / HOME.strip("/") / "wal"
        for path in log.iterdir():
            path.unlink()
    lab3.boot(*lost)
    done = run(lab3)
    assert_told(done, exit=0, outcome="recovered", verdict="lost", says=["3 of 3 members"])
    assert_whole(lab3, writes)
    assert left_behind(lab3) == []
    recovery = str(done.summary["recovery"])
    assert ".wal" in lab3.run(survivor, f"ls /backup/etcd-wal-*-{recovery}").stdout
    log_of = [lab3.run(host, f"ls {HOME}/wal").stdout for host in lab3.hosts]
    assert all(".wal" in said for said in log_of)


@pytest.mark.full
def test_an_abort_moves_the_log_back_to_its_own_directory(lab3: Lab) -> None:
    """The member was removed by hand; its data and log are aside when the run is killed, before the host is added."""
    in_parallel(lambda host: lab3.run(host, MOVE), lab3.hosts)
    lab3.wait_healthy()
    writes, gone = written(lab3), "etcd-2"
    leave(lab3, gone)
    before = tree(lab3, gone, "/var/lib/etcd", HOME)
    killed = sabotaged(lab3, {"point": f"test_join[{gone}.example.com] change 1", "how": "before"})
    assert killed.returncode == -9, killed.stdout
    assert ".wal" in lab3.run(gone, "ls /var/lib/etcd/openshift-backup-requorum-*/log/1").stdout
    done = run(lab3, "--abort")
    says = [f"{gone}.example.com: its data is moved back", "as it was found"]
    assert_told(done, exit=0, outcome="aborted", verdict=str(done.summary["verdict"]), says=says)
    assert tree(lab3, gone, "/var/lib/etcd", HOME) == before
    assert_told(run(lab3), exit=0, outcome="recovered", verdict="unfinished", says=["3 of 3 members"])
    assert_whole(lab3, writes)
    assert left_behind(lab3) == []

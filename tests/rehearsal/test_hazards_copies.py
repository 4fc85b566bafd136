"""One member's data on two hosts, or on another's, and an etcd that is no member. Rows of docs/hazards.md, *Survivor*."""

from __future__ import annotations

import pytest
from hazards import empty, put, refused, start, stop, whole
from runbook_runs import assert_told, assert_whole, run, written

from lab import Lab, checksums, wait

full = pytest.mark.full


def _data(lab: Lab, host: str) -> str:
    """A member's data, as an archive in base64: etcd is stopped there."""
    return lab.run(host, f"tar -C {lab.record.spec.data_dir} -Szc member | base64").stdout


def _put_data(lab: Lab, host: str, data: str) -> None:
    """Put an archive of data in the place of a host's own."""
    at = lab.record.spec.data_dir
    lab.run(host, f"rm -rf {at}/member && base64 -d | tar -C {at} -Szx && chown -R etcd: {at}/member", stdin=data)


def test_an_old_copy_of_a_member_lies_on_another_host(lab3: Lab) -> None:
    """Somebody restored an old backup of etcd-0 on etcd-1: of the two the worse was taken, and 100 writes were lost."""
    whole(lab3)
    stop(lab3, lab3.hosts)
    old = _data(lab3, "etcd-0")
    start(lab3, lab3.hosts)
    lab3.wait_healthy()
    writes = written(lab3, 100)
    stop(lab3, lab3.hosts)
    empty(lab3, ["etcd-2"])
    _put_data(lab3, "etcd-1", old)
    says = ["etcd-0.example.com and etcd-1.example.com hold data of one member", "find out which is the member's own"]
    refused(lab3, "unproven", says)

    at = lab3.record.spec.data_dir
    lab3.run("etcd-1", f"mv {at}/member /root/copy")
    done = run(lab3)
    assert_told(done, exit=0, outcome="recovered", verdict="lost", says=["3 of 3 members"])
    assert_whole(lab3, writes)


@full
def test_a_copy_of_a_living_member_lives_too(lab3: Lab) -> None:
    whole(lab3)
    stop(lab3, lab3.hosts)
    _put_data(lab3, "etcd-2", _data(lab3, "etcd-0"))
    start(lab3, lab3.hosts)
    wait.until(lambda: lab3.run("etcd-2", "pgrep -x etcd", check=False).returncode == 0, "etcd-2 runs", 30)
    says = ["etcd-0.example.com and etcd-2.example.com hold data of one member", "delete none of it"]
    # The two elect and fall by turns.
    live = ("process etcd", "etcd revision", checksums.DEAF, f"{lab3.record.spec.data_dir}/member")
    refused(lab3, "unproven", says, by_itself=live)


def test_the_data_of_two_hosts_is_exchanged(lab3: Lab) -> None:
    whole(lab3)
    stop(lab3, lab3.hosts)
    one, other = _data(lab3, "etcd-1"), _data(lab3, "etcd-2")
    _put_data(lab3, "etcd-1", other)
    _put_data(lab3, "etcd-2", one)
    says = [
        "etcd-1.example.com has the data of etcd-2.example.com's member",
        "etcd-2.example.com has the data of etcd-1.example.com's member",
        "etcd-0.example.com: systemctl start etcd",
    ]
    done = refused(lab3, "restartable", says)
    assert "ETCD_LISTEN_PEER_URLS" not in done.output


@full
def test_an_etcd_that_is_no_member_lives_beside_one(lab3: Lab) -> None:
    """A developer's, on ports of its own: its data directory is not to be written into the member's configuration."""
    whole(lab3)
    urls = "http://127.0.0.1:12379", "http://127.0.0.1:12380"
    script = (
        "#!/bin/sh\nexec /usr/bin/etcd --name dev --data-dir /var/tmp/dev.etcd "
        f"--listen-client-urls {urls[0]} --advertise-client-urls {urls[0]} --listen-peer-urls {urls[1]} "
        f"--initial-advertise-peer-urls {urls[1]} --initial-cluster dev={urls[1]}\n"
    )
    put(lab3, "etcd-0", "/usr/local/bin/dev-etcd", script, mode="0755")
    lab3.run("etcd-0", "systemd-run --unit=dev-etcd /usr/local/bin/dev-etcd")
    empty(lab3, ["etcd-1", "etcd-2"])
    done = refused(lab3, "unproven", ["beside the member another etcd lives", "(data directory /var/tmp/dev.etcd)"])
    assert "write these values into" not in done.output

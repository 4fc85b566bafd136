"""What keeps a member that has its data from running, as the tests of `test_hazards_loss.py` bring it about."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from hazards import certified, stop, take_port, write_conf

from lab import Lab, wait

PAST = timedelta(days=-1)


def _disabled(lab: Lab) -> None:
    lab.run("etcd-1", "systemctl disable --now etcd")


def _foreign(lab: Lab) -> None:
    stop(lab, ["etcd-1"])
    lab.run("etcd-1", f"chown -R root:root {lab.record.spec.data_dir}/member; systemctl start etcd || true")


def _closed(lab: Lab) -> None:
    stop(lab, ["etcd-1"])
    lab.run("etcd-1", f"chmod 0000 {lab.record.spec.data_dir}; systemctl start etcd || true")


def _full_disk(lab: Lab) -> None:
    stop(lab, ["etcd-1"])
    data = lab.record.spec.data_dir
    lab.run(
        "etcd-1",
        f"cp -a {data}/member /root/member && rm -f /root/member/wal/*.tmp && mount -t tmpfs -o size=80m tmpfs {data} && "
        f"mv /root/member {data}/ && chown etcd:etcd {data} && chmod 700 {data}; "
        f"cat /dev/zero > {data}/fill 2>/dev/null; chown etcd:etcd {data}/fill; systemctl start etcd || true",
    )

    def has_failed() -> bool:
        """A write makes it grow; one may come too early, while the two have no leader yet."""
        lab.etcdctl("etcd-0", "put big $(head -c 100000 /dev/zero | tr '\\0' x)", check=False)
        return lab.run("etcd-1", "systemctl is-failed etcd", check=False).returncode == 0

    wait.until(has_failed, "etcd on etcd-1 has failed", 60)


def _expired_server(lab: Lab) -> None:
    for host in lab.hosts:  # etcd reads it anew for each connection
        certified(lab, host.short, ["server"], ends=PAST)


def _expired_peer(lab: Lab) -> None:
    certified(lab, "etcd-1", ["peer"], ends=PAST)
    lab.run("etcd-1", "systemctl restart --no-block etcd")


def _expired_ca(lab: Lab) -> None:
    certified(lab, "etcd-1", ["ca"], ends=PAST)
    lab.run("etcd-1", "systemctl restart --no-block etcd")


def _an_hour_behind(lab: Lab) -> None:
    certified(lab, "etcd-1", begins=timedelta(hours=1))
    lab.run("etcd-1", "systemctl restart --no-block etcd")


def _port_taken(lab: Lab) -> None:
    stop(lab, ["etcd-1"])
    take_port(lab, "etcd-1", 2380)
    lab.run("etcd-1", "systemctl start etcd || true")


def _wrong_peer_url(lab: Lab) -> None:
    stop(lab, ["etcd-1"])
    for variable in ("ETCD_LISTEN_PEER_URLS", "ETCD_INITIAL_ADVERTISE_PEER_URLS"):
        write_conf(lab, "etcd-1", variable, "https://10.9.9.9:2380")
    lab.run("etcd-1", "systemctl start etcd || true")


def _no_binary(lab: Lab) -> None:
    stop(lab, ["etcd-1"])
    lab.run("etcd-1", "mv /usr/bin/etcd /root/; systemctl start etcd || true")


HOST = "etcd-1.example.com"
CAUSES: dict[str, tuple[Callable[[Lab], None], list[str]]] = {
    "disabled": (_disabled, [f"{HOST}: systemctl start etcd"]),
    "foreign-data": (_foreign, [f"{HOST}: /var/lib/etcd/member is not etcd's to read and write"]),
    "closed-data": (_closed, [f"{HOST}: /var/lib/etcd is not etcd's to read and write"]),
    "full-disk": (_full_disk, [f"{HOST}: the file system of /var/lib/etcd has 0 bytes free: make room"]),
    "expired-server-certificate": (_expired_server, [f"{HOST}: /etc/etcd/server.crt is valid from"]),
    "expired-peer-certificate": (_expired_peer, [f"{HOST}: /etc/etcd/peer.crt is valid from"]),
    "expired-ca": (_expired_ca, [f"{HOST}: the CA in /etc/etcd/ca.crt expired on"]),
    "clock-an-hour-behind": (_an_hour_behind, [f"{HOST}: /etc/etcd/peer.crt is valid from"]),
    "port-taken": (_port_taken, [f"{HOST}: another process listens on port 2380"]),
    "wrong-peer-url": (
        _wrong_peer_url,
        [f"{HOST}: /etc/etcd/etcd.conf advertises https://10.9.9.9:2380", "correct ETCD_INITIAL_"],
    ),
    "no-binary": (_no_binary, [f"{HOST}: etcd is not installed, or does not run"]),
}
"""Why etcd-1 does not run although it has its data; etcd-2 is stopped. Name → how, and the words that name the cause."""

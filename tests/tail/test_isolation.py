"""The scratch etcd reaches nobody: a forced etcd adds its old peers before it drops them, and would talk to them."""

from __future__ import annotations

import random
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tail_cluster import Cluster, Etcd, Member, until
from tail_host import PREDICTED, kept
from tail_images import image
from tail_load import Load
from tail_trials import forced

UP = """
for file in /proc/sys/net/ipv6/conf/*/disable_ipv6; do echo 1 > $file; done  # it sends by itself
ip link set lo up && ip link add out0 type veth peer name out1 && echo 1 > /proc/sys/net/ipv6/conf/out0/disable_ipv6 &&
echo 1 > /proc/sys/net/ipv6/conf/out1/disable_ipv6 && ip address add 192.0.2.1/24 dev out0 && ip link set out1 up &&
ip link set out0 up && ip route add default dev out0 && echo ready && exec sleep infinity
"""
NOTHING = {"lo": 0, "out0": 0, "out1": 0}


@contextmanager
def network() -> Iterator[tuple[str, ...]]:
    """A network of its own, with a loopback and a way out; gives the words that enter it."""
    with subprocess.Popen(["unshare", "--net", "bash", "-c", UP], stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "ready\n"
            yield ("nsenter", f"--net=/proc/{holder.pid}/ns/net")
        finally:
            holder.kill()


def sent(around: tuple[str, ...]) -> dict[str, int]:
    """Packets that each interface has sent."""
    said = subprocess.run([*around, "cat", "/proc/net/dev"], capture_output=True, text=True, check=True).stdout
    lines = [line.partition(":") for line in said.splitlines()[2:]]
    return {name.strip(): int(numbers.split()[9]) for name, _, numbers in lines}


@contextmanager
def listening(members: list[Member]) -> Iterator[list[int]]:
    """Somebody listens where these members did; the list grows with each connection."""
    met: list[int] = []
    with_sockets = [socket.create_server(("127.0.0.1", member.peer_port)) for member in members]

    def meet(one: socket.socket, port: int) -> None:
        while True:
            try:
                one.accept()[0].close()
            except OSError:
                return
            met.append(port)

    threads = [threading.Thread(target=meet, args=(s, s.getsockname()[1])) for s in with_sockets]
    for thread in threads:
        thread.start()
    try:
        yield met
    finally:
        for one in with_sockets:
            one.shutdown(socket.SHUT_RDWR)
            one.close()
        for thread in threads:
            thread.join()


def test_no_packet_leaves_the_namespace(etcds: list[Etcd], seed: str, tmp_path: Path) -> None:
    for etcd in etcds:
        folder = tmp_path / etcd.version
        with Cluster.of(etcd, folder / "cluster", 3) as cluster:
            with Load(cluster, seed, 4, plain=True) as writing:
                writing.run(0.3)
                cluster.kill()
            chance = random.Random(seed)
            one = image(cluster.members[0].data, folder / "one", "cut after the last synced entry", chance)
            same = image(cluster.members[0].data, folder / "same", "cut after the last synced entry", chance)
            with network() as around:
                assert sent(around) == NOTHING
                outcome = kept(etcd, one, around)
                assert outcome.word == PREDICTED, outcome.words
                assert sent(around) == NOTHING
                subprocess.run([*around, "bash", "-c", "echo > /dev/udp/127.0.0.1/9"], check=True)
                assert sent(around)["lo"] > 0, "the counters count"
            with listening(cluster.members[1:]) as met, forced(etcd, same, cluster.members[0]):
                until("what the namespace is for: a forced etcd calls its old peers", lambda: bool(met), 20)

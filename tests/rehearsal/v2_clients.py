"""The v2 API as an old application and Flannel use it: keys, directories, and keys that expire; and what members serve."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence

from lab import Lab
from lab.errors import LabError
from lab.spec import Host


def v2(lab: Lab) -> str:
    """Shell: the function `v2`, etcdctl as it speaks the old API, against the host's own member."""
    etcdctl = lab.runtime.etcdctl.replace("ETCDCTL_API=3", "ETCDCTL_API=2")
    return f"""
. /etc/etcd/etcd.conf
v2() {{
  {etcdctl} --no-sync --endpoints "$ETCD_ADVERTISE_CLIENT_URLS" --ca-file "$ETCD_TRUSTED_CA_FILE" \\
    --cert-file "$ETCD_PEER_CERT_FILE" --key-file "$ETCD_PEER_KEY_FILE" "$@"
}}
"""


FLANNEL = "/openshift.com/network/config"
KEYS: Mapping[str, str] = {
    FLANNEL: '{"Network":"10.128.0.0/14","SubnetLen":23,"Backend":{"Type":"vxlan"}}',
    "/openshift.com/network/subnets/10.128.2.0-23": '{"PublicIP":"192.0.2.11"}',
    "/app/name with spaces": "a value\nof two lines",
    "/app/empty": "",
    "/app/unicode": "naïve ☃",
    **{f"/app/many/{number:02d}": f"value {number}" for number in range(20)},
}
"""What is written once, and does not expire."""


def fill(lab: Lab, host: str | Host) -> None:
    """Write KEYS, a directory without keys, keys that expire, and a key that is deleted again."""
    lines = [f"v2 set -- {_quoted(key)} {_quoted(value)}" for key, value in KEYS.items()]
    lines += ["v2 mkdir /app/bare", "v2 set /app/soon gone --ttl 3600", "v2 set /app/deleted x", "v2 rm /app/deleted"]
    lines += ["v2 mkdir /leases --ttl 3600", "v2 set /leases/one a"]
    lab.run(host, v2(lab) + "set -e\n" + "\n".join(f"{line} > /dev/null" for line in lines), timeout=120)


def served(lab: Lab, host: str | Host) -> dict[str, str | None]:
    """What a member itself serves: each key with its value, each directory with None; what expires is left out."""
    top = json.loads(lab.run(host, f"{v2(lab)}v2 -o json ls -r /").stdout)["node"]
    found: dict[str, str | None] = {}

    def collect(nodes: Sequence[dict[str, object]]) -> None:
        for one in nodes:
            if "expiration" in one:
                continue
            found[str(one["key"])] = None if one.get("dir") else str(one["value"])
            below = one.get("nodes")
            collect(below if isinstance(below, list) else [])

    collect(top["nodes"] or [])
    return found


def assert_served(lab: Lab, wanted: Mapping[str, str], hosts: Sequence[str | Host] | None = None) -> None:
    """Every member serves KEYS, and these, and nothing else that does not expire."""
    for host in lab.hosts if hosts is None else hosts:
        keys = {key: value for key, value in served(lab, host).items() if value is not None}
        assert keys == {**KEYS, **wanted}, host


class V2Load:
    """An old application that writes a key at a time through one member, from `with` to its end."""

    def __init__(self, lab: Lab, host: str) -> None:
        self._lab, self._host, self._stop = lab, host, threading.Event()
        self._thread = threading.Thread(target=self._write)
        self.written: dict[str, str] = {}
        self.failed: list[str] = []

    def __enter__(self) -> V2Load:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _write(self) -> None:
        number = 0
        while not self._stop.wait(0.3):
            key, number = f"/load/{number:05d}", number + 1
            try:
                self._lab.run(
                    self._host, f"{v2(self._lab)}v2 set {key} {number} && v2 set /counter {number}", timeout=30
                )
                self.written |= {key: str(number), "/counter": str(number)}
            except LabError as error:
                self.failed.append(str(error))


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"

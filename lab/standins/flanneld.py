#!/usr/bin/python3
"""Stand-in for flanneld: leases a subnet to this host in etcd, by etcd's v2 API, and keeps the lease.

What of the real one it honours (flannel 0.7, which OpenShift 3.11 uses): its flags, with one dash or two; the endpoints
are tried in their order; the certificates that are given must be there, and etcd's is checked against the CA; the
network is read from PREFIX/config, with a quorum; the lease is PREFIX/subnets/<a.b.c.0-24> with a TTL of 24 hours, taken
again by the host whose PublicIP it holds, and renewed a margin before its end; the subnet file is written before systemd
is told that it is ready. Without the network it does not become ready: the real one tries until systemd's start timeout
ends it, this one tries each endpoint once and ends. It moves no packet.
"""

from __future__ import annotations

import fcntl
import http.client
import ipaddress
import json
import os
import random
import socket
import ssl
import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

TTL_SECONDS = 24 * 60 * 60
PATIENCE_SECONDS, AGAIN_SECONDS = 5, 5
DEFAULTS = {
    "etcd-endpoints": "http://127.0.0.1:4001,http://127.0.0.1:2379",
    "etcd-prefix": "/coreos.com/network",
    "etcd-cafile": "",
    "etcd-certfile": "",
    "etcd-keyfile": "",
    "iface": "",
    "subnet-file": "/run/flannel/subnet.env",
    "subnet-lease-renew-margin": "60",
}
NOT_FOUND, EXISTS = 100, 105
"""etcd's errorCode where a key is not there, and where it is."""


class EtcdError(Exception):
    """No endpoint did what it was asked; the message has each one's answer."""


class Refused(Exception):
    """etcd has answered, and says no: `code` is its errorCode."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class EtcdV2:
    """The keys of etcd's v2 API."""

    def __init__(self, options: dict[str, str]) -> None:
        """Raises OSError where a certificate is not there."""
        self.urls = [url for url in options["etcd-endpoints"].split(",") if url]
        self._tls = ssl.create_default_context(cafile=options["etcd-cafile"] or None)
        if options["etcd-certfile"]:
            self._tls.load_cert_chain(options["etcd-certfile"], options["etcd-keyfile"])

    def ask(self, method: str, key: str, **form: str) -> dict[str, Any]:
        """One request, to the first endpoint that answers. Raises Refused, EtcdError."""
        said = []
        for url in self.urls:
            try:
                return self._ask_one(url, method, key, form)
            except (OSError, http.client.HTTPException, ValueError) as error:
                said.append(f"{url}: {error}")
        raise EtcdError("; ".join(said))

    def _ask_one(self, url: str, method: str, key: str, form: dict[str, str]) -> dict[str, Any]:
        place = urlsplit(url)
        where, port = place.hostname or "", place.port or 2379
        connection = (
            http.client.HTTPSConnection(where, port, timeout=PATIENCE_SECONDS, context=self._tls)
            if place.scheme == "https"
            else http.client.HTTPConnection(where, port, timeout=PATIENCE_SECONDS)
        )
        path = f"/v2/keys{quote(key)}" + ("?quorum=true" if method == "GET" else "")
        try:
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
            connection.request(method, path, urlencode(form) if form else None, headers)
            answer = connection.getresponse()
            text = answer.read().decode(errors="replace")
        finally:
            connection.close()
        said = json.loads(text) if text.startswith("{") else {}
        if answer.status in (200, 201):
            return dict(said["node"])
        if "errorCode" not in said or said["errorCode"] >= 300:  # no v2 API, or a member without a leader
            raise ValueError(f"{answer.status} {text.strip()}")
        raise Refused(int(said["errorCode"]), f"{said.get('message')} ({said.get('cause')})")


def options_from(words: list[str]) -> dict[str, str]:
    """The flags. Raises ValueError for one that is not known."""
    found, rest = dict(DEFAULTS), list(words)
    while rest:
        word = rest.pop(0)
        name, equals, value = word.lstrip("-").partition("=")
        if not word.startswith("-") or name not in DEFAULTS:
            raise ValueError(f"flag provided but not defined: {word}")
        found[name] = value if equals else rest.pop(0)
    return found


def address_of(iface: str) -> str:
    """The address of an interface, which may be given by its address. Raises OSError."""
    try:
        return str(ipaddress.IPv4Address(iface))
    except ValueError:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
            answer = fcntl.ioctl(asked, 0x8915, struct.pack("256s", iface.encode()[:15]))  # SIOCGIFADDR
        return socket.inet_ntoa(answer[20:24])


class Lease:
    """The subnet of this host."""

    def __init__(self, etcd: EtcdV2, prefix: str, public: str) -> None:
        """Take the lease that this host has already, or a free one. Raises EtcdError, Refused."""
        self._etcd, self._public = etcd, public
        self._folder = f"{prefix}/subnets"
        self.config: dict[str, Any] = json.loads(etcd.ask("GET", f"{prefix}/config")["value"])
        self.network = ipaddress.IPv4Network(self.config["Network"])
        own = self._own()
        for subnet in (*own, *self._free()):
            try:
                self._put(subnet, prevExist="true" if subnet in own else "false")
            except Refused as refused:
                if refused.code not in (EXISTS, NOT_FOUND):
                    raise
                continue  # somebody else was faster, or it has just expired
            self.subnet = subnet
            return
        raise EtcdError("out of subnets")

    def _own(self) -> list[ipaddress.IPv4Network]:
        try:
            nodes = self._etcd.ask("GET", self._folder).get("nodes") or []
        except Refused:
            return []
        mine = [node for node in nodes if json.loads(node["value"])["PublicIP"] == self._public]
        return [ipaddress.IPv4Network(node["key"].rpartition("/")[2].replace("-", "/")) for node in mine]

    def _free(self) -> Iterator[ipaddress.IPv4Network]:
        length = int(self.config.get("SubnetLen") or 24)
        count = 2 ** (length - self.network.prefixlen)
        for number in random.sample(range(1, count), min(100, count - 1)):
            first = self.network.network_address + number * 2 ** (32 - length)
            yield ipaddress.IPv4Network((first, length))

    def _put(self, subnet: ipaddress.IPv4Network, **more: str) -> None:
        key = f"{self._folder}/{subnet.network_address}-{subnet.prefixlen}"
        value = json.dumps({"PublicIP": self._public})
        self._etcd.ask("PUT", key, value=value, ttl=str(TTL_SECONDS), **more)

    def renew(self) -> None:
        """Give the lease its whole time again. Raises EtcdError, Refused."""
        self._put(self.subnet)

    def text(self) -> str:
        """The subnet file."""
        first = f"{self.subnet.network_address + 1}/{self.subnet.prefixlen}"
        lines = (f"FLANNEL_NETWORK={self.network}", f"FLANNEL_SUBNET={first}", "FLANNEL_MTU=1450")
        return "\n".join((*lines, "FLANNEL_IPMASQ=false")) + "\n"


def tell_systemd(words: str) -> None:
    """What sd_notify does."""
    place = os.environ.get("NOTIFY_SOCKET", "")
    if place:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as said:
            said.connect(f"\0{place[1:]}" if place.startswith("@") else place)
            said.send(words.encode())


def main(words: list[str]) -> int:
    """Lease, tell, and renew for ever; 1 where no endpoint gives the network or the lease."""
    try:
        options = options_from(words)
        etcd = EtcdV2(options)
        lease = Lease(etcd, options["etcd-prefix"], address_of(options["iface"]))
    except (EtcdError, Refused, OSError, ValueError) as error:
        print(f"E1125 main.go] Couldn't fetch network config: {error}", file=sys.stderr)
        return 1
    file = Path(options["subnet-file"])
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f"{file.name}.part")
    part.write_text(lease.text(), encoding="ascii")
    part.replace(file)
    tell_systemd("READY=1")
    print(f"I1125 manager.go] Lease acquired: {lease.subnet}", file=sys.stderr, flush=True)
    pause: float = max(1, TTL_SECONDS - 60 * int(options["subnet-lease-renew-margin"]))
    while True:
        time.sleep(pause)
        try:
            lease.renew()
            pause = max(1, TTL_SECONDS - 60 * int(options["subnet-lease-renew-margin"]))
        except (EtcdError, Refused) as error:
            print(f"E1125 network.go] Error renewing lease: {error}", file=sys.stderr, flush=True)
            pause = AGAIN_SECONDS


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

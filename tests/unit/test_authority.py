"""Whether the survivor's etcd takes a joiner's certificate: openssl speaks with it, and is not waited for."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from builders import conf, facts, inventory, name
from local_shell import LocalShell, stand_in
from made_certificates import certificate

from requorum.authority import Authority
from requorum.certifying import Order
from requorum.facts import master_config
from requorum.facts.certificates import PAIRS, CertificateFile, Certificates
from requorum.facts.master import Master
from requorum.live import EtcdMember
from requorum.run import Run

PEER = PAIRS["peer"]
LINGERS = "exec sleep 20"


def untaken(tmp_path: Path, openssl: str) -> str:
    files = tuple(CertificateFile(v, f"/etc/etcd/{v}", True, b"") for v in (PEER.cert, PEER.key, PEER.ca))
    shell = LocalShell(stand_in(tmp_path / "bin", "openssl", openssl))
    survivor = facts(0, conf=conf(0, ETCD_INITIAL_ADVERTISE_PEER_URLS="https://10.0.0.10:2380"))
    known = {name(0): survivor, name(1): replace(facts(1), certificates=Certificates(files))}
    run = cast("Run", SimpleNamespace(orders=lambda: (), remotes=dict.fromkeys(known, shell), survey=known))
    return Authority(run).untaken(EtcdMember(run, name(1)), EtcdMember(run, name(0)))


@pytest.mark.parametrize("then", ["", LINGERS])
def test_an_answer_of_etcd_is_enough(tmp_path: Path, then: str) -> None:
    """Once in a while s_client outlives its connection; it must not cost its five seconds, nor be left behind."""
    began = time.monotonic()
    answer = """printf 'HTTP/1.0 200 OK\\r\\n\\r\\n{"etcdserver":"3.4.23","etcdcluster":"3.4.0"}'"""
    assert untaken(tmp_path, f"echo $$ > {tmp_path}/pid\n{answer}\n{then}") == ""
    assert time.monotonic() - began < 4
    left = Path("/proc", (tmp_path / "pid").read_text().strip())
    while left.exists():
        assert time.monotonic() - began < 4


def test_what_openssl_says_is_told(tmp_path: Path) -> None:
    said = untaken(tmp_path, "echo 'verify error:num=19:self-signed certificate in certificate chain' >&2; exit 1")
    assert said == "verify error:num=19:self-signed certificate in certificate chain"


def test_no_answer_is_told(tmp_path: Path) -> None:
    assert untaken(tmp_path, "exit 1") == "no answer"


@pytest.mark.parametrize(
    ("made", "told"),
    [((), ["db1.example.com"]), (("peer",), ["db1.example.com"]), (("server", "peer"), [])],
    ids=["its own", "the peer's alone is made", "both are made"],
)
def test_a_name_by_which_masters_call_it_and_that_stays_out_of_its_certificate_is_told(
    made: tuple[str, ...], told: list[str]
) -> None:
    config = master_config.parse("etcdClientInfo:\n  urls:\n  - https://db1.example.com:2379\n")
    leaf = CertificateFile(PAIRS["server"].cert, "/etc/etcd/server.crt", True, certificate("leaf", "ca", [name(1)]))
    host = replace(
        facts(1, conf=conf(1, ETCD_ADVERTISE_CLIENT_URLS="https://db1.example.com:2379")),
        certificates=Certificates((leaf,)),
    )
    known = {name(0): replace(facts(0), master=Master(config)), name(1): host}
    orders = [Order(name(1), made, (), (), name(0), name(1), ())] if made else []
    fields: dict[str, object] = {
        "orders": lambda: orders,
        "inventory": inventory(),
        "survey": known,
        "all_reached": known,
    }
    fields["remotes"] = dict.fromkeys(known)
    run = cast("Run", SimpleNamespace(**fields))
    lines = [line for line in Authority(run).notes(EtcdMember(run, name(1))) if "as masters call it" in line]
    assert [line.split()[6].rstrip(",") for line in lines] == told

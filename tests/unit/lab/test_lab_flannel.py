"""The texts of a lab with Flannel, and what its stand-in makes of a command line."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from lab import etcd_files, flannel, rootfs, standins
from lab.spec import Spec, hosts_of


@pytest.fixture
def flanneld() -> ModuleType:
    path = Path(standins.__file__).with_name("flanneld.py")
    found = importlib.util.spec_from_file_location("flanneld", path)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def test_etcd_serves_the_v2_api_to_flannel_alone() -> None:
    for spec, line in ((Spec(flannel=True), "\nETCD_ENABLE_V2=true\n"), (Spec(), "\n#ETCD_ENABLE_V2=true\n")):
        hosts = hosts_of(spec, 7)
        assert line in etcd_files.conf(spec, hosts, hosts[0])


def test_hosts_without_stand_ins_have_no_python() -> None:
    assert "python3" not in rootfs.packages("external")
    assert rootfs.packages("external", flannel=True) == rootfs.packages("colocated")


def test_one_host_after_the_other_has_another_shape() -> None:
    hosts = hosts_of(Spec(flannel=True), 7)
    quoted, bare, old = (flannel.conf(hosts, host) for host in hosts)
    assert '\nFLANNEL_ETCD_ENDPOINTS="https://etcd-0.example.com:2379,https://etcd-1' in quoted
    assert bare.startswith("FLANNEL_ETCD_ENDPOINTS=https://etcd-0.example.com:2379,https://etcd-1")
    assert "\nFLANNEL_ETCD='https://10.213.7.10:2379," in old
    assert not old.endswith("\n")


def test_flags_as_go_reads_them(flanneld: ModuleType) -> None:
    said = flanneld.options_from(["--etcd-endpoints=https://a:2379", "-etcd-prefix", "/net", "-iface=10.0.0.1"])
    assert (said["etcd-endpoints"], said["etcd-prefix"]) == ("https://a:2379", "/net")
    assert said["subnet-file"] == "/run/flannel/subnet.env"
    assert flanneld.address_of(said["iface"]) == "10.0.0.1"
    assert flanneld.address_of("lo") == "127.0.0.1"
    for words in (["--nonsense"], ["word"]):
        with pytest.raises(ValueError, match="flag provided but not defined"):
            flanneld.options_from(words)

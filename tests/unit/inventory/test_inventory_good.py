"""What a good inventory says is what comes out, with its defaults."""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path, PurePosixPath

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from requorum.inventory import Backup, Etcd, EtcdHost, Inventory, MasterHost, Masters, NodeHost, Nodes, Ssh, load

GOOD = Path(__file__).parent / "good"
EXAMPLES = Path(__file__).parents[3] / "inventories"


def test_defaults() -> None:
    path = GOOD / "smallest.yaml"
    host = EtcdHost("etcd-0", "etcd-0", lost=False, ssh=Ssh(None, None, None, None, sudo=False))
    assert load(path) == Inventory(
        path=path,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        cluster="one",
        etcd=Etcd("auto", (host,), survivor=None, rejoin=None),
        masters=None,
        ansible_inventory=None,
        backup=Backup(PurePosixPath("/backup"), fetch=True),
        confirm=True,
    )


def test_certificates_are_made_anew_by_the_operators_word_alone(tmp_path: Path) -> None:
    path = tmp_path / "inventory.yaml"
    path.write_text(
        "cluster: one\netcd:\n  hosts:\n    a: {certificates: make}\n    b: {certificates: keep}\n    c: {}\n"
    )
    assert [host.certificates for host in load(path).etcd.hosts] == ["make", "keep", "keep"]


def test_yaml_of_every_kind() -> None:
    inventory = load(GOOD / "yaml-of-every-kind.yaml")
    assert (inventory.cluster, inventory.confirm) == ("prod.eu_1-a", False)
    assert inventory.backup == Backup(PurePosixPath("/srv/backup"), fetch=False)
    assert (inventory.etcd.runtime, inventory.etcd.survivor, inventory.etcd.rejoin) == ("service", None, ())
    ops, sudo = Ssh("ops", 2222), Ssh("ops", 2222, sudo=True)
    assert inventory.etcd.hosts == (
        EtcdHost("etcd-0.example.com", "192.0.2.1", lost=False, ssh=sudo),
        EtcdHost("etcd-1.example.com", "192.0.2.2", lost=True, ssh=sudo),
        EtcdHost("17", "2001:db8::17", lost=False, ssh=Ssh("root", 2222)),
        EtcdHost("192.0.2.4", "192.0.2.4", lost=False, ssh=ops),
    )
    assert [host.line for host in inventory.etcd.hosts] == [11, 14, 15, 16]


def test_a_master_is_reached_as_the_host_of_etcd_is() -> None:
    inventory = load(GOOD / "masters.yaml")
    one = MasterHost("b.example.com", "2001:db8::2", Ssh("ops"))
    assert inventory.masters == Masters((one, MasterHost("a.example.com", "192.0.2.1", Ssh("ops", 2222))))
    assert inventory.master_names == ("b.example.com", "a.example.com")
    assert load(GOOD / "smallest.yaml").master_names == ()


def test_masters_and_nodes_may_run_beside_the_cluster() -> None:
    inventory = load(GOOD / "apart.yaml")
    apart = MasterHost("m.example.com", "192.0.2.20", Ssh("ops", 2222))
    node = NodeHost("node-0.example.com", "node-0.example.com", Ssh("ops"))
    assert inventory.masters == Masters((apart, MasterHost("b.example.com", "192.0.2.2", Ssh("ops"))))
    assert inventory.nodes == Nodes((node,))
    assert inventory.beside == (apart, node)
    assert inventory.beside_names == ("m.example.com", "node-0.example.com")
    assert inventory.host_names == ("a.example.com", "b.example.com")
    assert load(GOOD / "masters.yaml").beside == ()


def test_hosts_are_found_by_name() -> None:
    inventory = load(GOOD / "forwarded-ports.yaml")
    assert inventory.host_names == ("etcd-0", "etcd-1")
    assert inventory.host("etcd-1").ssh.port == 2201
    with pytest.raises(KeyError, match="etcd-0, etcd-1"):
        inventory.host("etcd-2")


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_examples_load(path: Path) -> None:
    assert load(path).confirm


def test_paths_start_at_home_or_at_the_inventorys_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    key = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    for name, data in (("home/.ssh/id", key), ("site/keys/known", b"# nobody yet\n")):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(data)
    path = tmp_path / "site/prod.yaml"
    path.write_text("cluster: c\nssh: {identity_file: ~/.ssh/id, known_hosts: keys/known}\netcd: {hosts: {a: {}}}\n")
    monkeypatch.chdir(tmp_path)
    ssh = load(Path("site/prod.yaml")).host("a").ssh
    assert ssh.identity_file == tmp_path / "home/.ssh/id"
    assert ssh.known_hosts == tmp_path / "site/keys/known"


def test_an_inventory_survives_pickling() -> None:
    inventory = load(GOOD / "yaml-of-every-kind.yaml")
    assert pickle.loads(pickle.dumps(inventory)) == inventory


def test_a_byte_order_mark_and_windows_line_ends_are_read(tmp_path: Path) -> None:
    path = tmp_path / "windows.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + (GOOD / "smallest.yaml").read_bytes().replace(b"\n", b"\r\n"))
    assert load(path).cluster == "one"

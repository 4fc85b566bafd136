"""master-config.yaml: every place that names members is understood, and an edit keeps everything else byte for byte.

In master_configs/ lie golden files: NAME.yaml, and NAME.edited.yaml, in which master-1 is gone and master-3 new.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Collection
from pathlib import Path

import pytest

from lab import masters
from lab.spec import Spec
from lab.state import Record
from requorum.facts import master, master_config
from requorum.facts.master_config import MasterConfig, MasterConfigError, host_of

GOLDEN = Path(__file__).parent / "master_configs"
NAMES = sorted(path.name.partition(".")[0] for path in GOLDEN.glob("*.yaml") if ".edited." not in path.name)
NEW = "https://master-3.example.com:2379"


def edited(config: MasterConfig, gone: str = "master-1.example.com", new: Collection[str] = (NEW,)) -> str:
    return config.edited(lambda url: host_of(url) != gone, lambda kept: [url for url in new if url not in kept])


def read(name: str) -> str:
    return (GOLDEN / name).read_bytes().decode()  # line ends as they are


@pytest.mark.parametrize("name", NAMES)
def test_golden_files(name: str) -> None:
    config = master_config.parse(read(f"{name}.yaml"))
    assert edited(config) == read(f"{name}.edited.yaml")
    again = master_config.parse(read(f"{name}.edited.yaml"))
    assert [one.field for one in again.lists] == [one.field for one in config.lists]
    assert all("master-1" not in url for url in again.urls)
    assert edited(again) == again.text


def test_the_golden_files_are_there() -> None:
    assert len(NAMES) >= 6


@pytest.mark.parametrize("index", range(3))
def test_the_installers_two_shapes(index: int) -> None:
    lab = Record(Spec(topology="colocated"), 7, "/")
    config = master_config.parse(masters.config(lab, lab.hosts[index]))
    assert host_of(config.urls[0]) == lab.hosts[index].name
    assert (config.port, config.prefix, config.overrides) == (8443, "kubernetes.io", ())
    alone = master_config.parse(config.edited(lambda url: "master-0" in url, lambda kept: []))
    assert alone.urls == ("https://master-0.example.com:2379",)
    assert config.edited(lambda url: True, lambda kept: []) == config.text


WHOLE = "etcdClientInfo:\n  urls:\n  - https://a:2379\n"


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("etcdClientInfo:\n  urls: [https://a:2379\nkind: x\n", 3, "expected YAML"),
        ("etcdClientInfo:\n\turls: 1\n", 2, "cannot start any token"),
        ("", 1, "expected a mapping"),
        ("- a\n", 1, "expected a mapping"),
        ("kind: MasterConfig\n", 1, "etcdClientInfo.urls"),
        ("etcdClientInfo:\n  urls: []\n", 2, "found none"),
        ("etcdClientInfo:\n  urls:\n", 2, "no list"),
        ("etcdClientInfo:\n  urls: https://a:2379\n", 2, "no list"),
        ("etcdClientInfo:\n  urls:\n  - a:2379\n", 3, "'a:2379'"),
        ("etcdClientInfo:\n  urls:\n  - >\n    https://a:2379\n", 3, "on one line"),
        (WHOLE + "etcdClientInfo:\n  urls:\n  - https://a:2379\n", 4, "a second time"),
        ("x: &x\n- https://a:2379\netcdClientInfo:\n  urls: *x\n", 4, "an alias"),
        (WHOLE + "servingInfo: {bindAddress: nowhere}\n", 1, "a port"),
    ],
)
def test_what_is_not_understood_is_refused_with_its_line(text: str, line: int, said: str) -> None:
    with pytest.raises(MasterConfigError) as caught:
        master_config.parse(text)
    assert f"{master_config.PATH}, line {line}: " in str(caught.value)
    assert said in str(caught.value)


def test_a_list_never_becomes_empty() -> None:
    with pytest.raises(MasterConfigError, match="would name nobody"):
        master_config.parse(WHOLE).edited(lambda url: False, lambda kept: [])


A, B = "https://a:2379", "https://b:2379"
UNEDITABLE = {
    "a dash alone": (f"etcdClientInfo:\n  urls:\n  -\n    {A}\n  - {B}\n", 4),
    "a comment before a comma": (f"etcdClientInfo:\n  urls: [{A}  # rack 1\n    , {B}]\n", 2),
    "a question mark": (f"etcdClientInfo:\n  ? urls\n  : - {A}\n    - {B}\n", 3),
    "an anchor": (f"etcdClientInfo:\n  urls:\n  - &own {A}\n  - {B}\nkind: *own\n", 3),
}


@pytest.mark.parametrize(("text", "line"), UNEDITABLE.values(), ids=list(UNEDITABLE))
def test_a_list_that_is_not_edited_is_told(text: str, line: int) -> None:
    """Legal YAML all; an edit came to a file that named nobody, or was none."""
    config = master_config.parse(text)
    assert config.urls == (A, B)
    assert config.uneditable.startswith(
        f"{master_config.PATH}, line {line}: expected the urls of etcdClientInfo.urls each "
    )


@pytest.mark.parametrize("name", NAMES)
def test_the_golden_files_can_be_edited(name: str) -> None:
    assert master_config.parse(read(f"{name}.yaml")).uneditable == ""


def test_overrides_are_told() -> None:
    arguments = (
        "kubernetesMasterConfig:\n  apiServerArguments:\n    etcd-servers-overrides:\n    - /events#https://e:2379\n"
    )
    config = master_config.parse(WHOLE + arguments)
    assert config.overrides == ("/events#https://e:2379",)
    assert len(config.lists) == 1


def said_by(config: str, *notes: str, found: str = "") -> str:
    """What COMMAND prints."""
    digest = hashlib.sha256(config.encode()).hexdigest()
    lines = "".join(f"{note}\n" for note in notes)
    return (
        f"--- requorum: notes ---\n{lines}--- requorum: sum ---\n{digest}  -\n--- requorum: config ---\n"
        f"{config}\n--- requorum: found ---\n{found}"
    )


def test_a_master_is_parsed() -> None:
    notes = ("missing oc", "owes controllers", "owes api", 'proxy ".svc,master-1.example.com"')
    read = master.parse(said_by(WHOLE.rstrip("\n"), *notes, found=WHOLE))
    assert read.config.text == WHOLE.rstrip("\n")
    assert read.found is not None
    assert read.found.text == WHOLE
    assert (read.owes, read.missing) == (("api", "controllers"), ("oc",))
    assert read.no_proxy == (".svc", "master-1.example.com")


def test_a_certificate_that_is_gone_is_told_before_its_api_is_restarted(tmp_path: Path) -> None:
    (tmp_path / "master.etcd-ca.crt").write_text("a certificate")
    (tmp_path / "other.crt").write_text("another one")
    (tmp_path / "master-config.yaml").write_text(
        "servingInfo:\n  certFile: other.crt\n"
        "etcdClientInfo:\n  ca: 'master.etcd-ca.crt'\n  certFile: gone.crt  # since monday\n  keyFile: /gone/client.key\n"
        "  urls:\n  - https://etcd-0.example.com:2379\noauthConfig:\n  keyFile: other.key\n"
    )
    script = master.COMMAND.replace("/etc/origin/master", str(tmp_path))
    said = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True).stdout
    missing = [one for one in master.parse(said).missing if one.startswith("/") and "kubeconfig" not in one]
    assert missing == [f"{tmp_path}/gone.crt", "/gone/client.key"]


@pytest.mark.parametrize("there", [False, True], ids=["nothing", "a folder"])
def test_a_host_that_is_no_master_is_told_in_words_alone(tmp_path: Path, there: bool) -> None:
    if there:
        (tmp_path / "master-config.yaml").mkdir()
    script = master.COMMAND.replace("/etc/origin/master", str(tmp_path))
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    why = "no such file" if os.geteuid() == 0 else "Permission denied"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"{tmp_path}/master-config.yaml: {why}\n")


def test_the_line_of_what_is_missing() -> None:
    with pytest.raises(MasterConfigError, match=r"line 2: expected the field etcdClientInfo\.urls"):
        master_config.parse("kind: MasterConfig\netcdClientInfo:\n  ca: ca.crt\n")


@pytest.mark.parametrize("output", ["", "--- requorum: notes ---\n", said_by(WHOLE).replace("a:2379", "b:2379")])
def test_a_master_that_cannot_be_read(output: str) -> None:
    with pytest.raises(ValueError, match=r"master-config\.yaml"):
        master.parse(output)

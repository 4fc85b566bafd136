"""By which name a master's API is asked on its own host: one that the certificate has that it serves with."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from builders import healthy, inventory, name, survey
from made_certificates import certificate, encoded

from requorum import operations
from requorum.changes import RestartMaster
from requorum.diagnosis import diagnose
from requorum.facts import master, master_config
from requorum.facts.host import HostFacts
from requorum.facts.master import Master
from requorum.inventory import MasterHost
from requorum.inventory import Masters as Declared
from requorum.masters import Masters
from requorum.run import Run

CONFIG = "etcdClientInfo:\n  urls:\n  - https://etcd-0.example.com:2379\n"


def on(n: int, **more: object) -> HostFacts:
    return replace(healthy(n), master=Master(master_config.parse(CONFIG), **more))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("serving", "names"),
    [
        ("  bindAddress: 0.0.0.0:8443\n  certFile: 'own.crt'\n", {"m1.example.com", "192.0.2.1"}),
        ("  namedCertificates:\n  - names: [a]\n    certFile: gone.crt\n  certFile: own.crt\n", {"m1.example.com", "192.0.2.1"}),
        ("  certFile: bare.crt\n", {"leaf"}),
        ("  bindAddress: 0.0.0.0:8443\n", set()),
    ],
    ids=["own", "beside named ones", "a name in the subject alone", "none"],
)  # fmt: skip
def test_the_names_of_the_certificate_that_an_api_serves_with(tmp_path: Path, serving: str, names: set[str]) -> None:
    (tmp_path / "own.crt").write_bytes(certificate("leaf", "ca", ["M1.example.com", "192.0.2.1"]))
    (tmp_path / "bare.crt").write_bytes(certificate("leaf"))
    (tmp_path / "master-config.yaml").write_text(
        f"{CONFIG}servingInfo:\n{serving}volumeConfig:\n  certFile: other.crt\n"
    )
    script = master.COMMAND.replace("/etc/origin/master", str(tmp_path))
    said = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True).stdout
    read = master.parse(said)
    assert read.serving == names
    assert [one for one in read.missing if ".crt" in one] == []
    here = subprocess.run(["hostname", "-I"], capture_output=True, text=True, check=True).stdout.split()
    assert list(read.addresses) == here
    if names and "leaf" not in names:
        (told,) = master.parse(said.replace(encoded((tmp_path / "own.crt").read_bytes()), encoded(b"none"))).missing[
            -1:
        ]
        assert told.startswith("a certificate in the file that servingInfo.certFile of")


SHORT = "etcd-2"
"""What the kernel of a host may call itself; `hostname -f`, by which the installer goes, has the domain, too."""


@pytest.mark.parametrize(
    ("serving", "server"),
    [
        ((), "https://etcd-2:8443"),
        ((SHORT, name(2)), "https://etcd-2:8443"),
        ((name(2), "10.0.0.12"), "https://etcd-2.example.com:8443"),
        (("*.example.com",), "https://etcd-2.example.com:8443"),
        (("kubernetes", "10.0.0.12"), "https://10.0.0.12:8443"),
        (("kubernetes", "fd00::12"), "https://[fd00::12]:8443"),
    ],
)
def test_an_api_is_asked_by_a_name_that_its_certificate_has(serving: tuple[str, ...], server: str) -> None:
    facts = on(2, owes=("api",), serving=frozenset(serving), addresses=("10.0.0.12", "fd00::12"))
    facts = replace(facts, machine=replace(facts.machine, hostname=SHORT))
    assert operations.masters.restart(facts, "api") == [RestartMaster(name(2), "api", server, 8443)]


def test_an_api_whose_certificate_has_no_name_of_its_host_is_a_problem(tmp_path: Path) -> None:
    """Before any change: oc would trust it at no step, and the first that asks comes after the force."""
    foreign = frozenset({"kubernetes", "*.other.example.com"})
    ours = inventory()
    ours = replace(ours, masters=Declared(tuple(MasterHost(h.name, h.address, h.ssh) for h in ours.etcd.hosts)))
    run = Run("checks", ours, tmp_path, "20261125T000000Z", "ada@desk", 1, ())
    run.survey = survey(on(0, serving=foreign, addresses=("10.0.0.10",)), healthy(1), healthy(2))
    run.diagnosis = diagnose(ours, run.survey)
    (problem,) = Masters(run).problems(name(0))
    assert f"names *.other.example.com, kubernetes, and none of {name(0)}, 10.0.0.10" in problem

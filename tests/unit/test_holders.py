"""What names members beside master-config.yaml: read from etcd, of which etcdctl is a stand-in here."""

from __future__ import annotations

from pathlib import Path

import pytest
from local_shell import LocalShell, stand_in

from requorum.facts.holders import HOLDERS, Held, command, parse

CATALOG, CALICO, NUAGE = HOLDERS
ETCDCTL = r"""
args=" $* "
key=${args##*get }; key=${key%% *}
case $key in
  /kubernetes.io/daemonsets/kube-service-catalog/apiserver) object='--etcd-servers\n\x12\x34[https://etcd-0.example.com:2379,https://[fd00::11]:2379]\x1a';;
  /kubernetes.io/configmaps/kube-system/calico-config) object='k8s:enc:aescbc:v1:\xff\x00';;
  /kubernetes.io/masterleases/) echo "${key}10.0.0.10"; echo; echo "${key}10.0.0.99"; echo; exit;;
  *) exit 0;;
esac
case $args in *--keys-only*) echo "$key"; echo;; *) printf -- "$object";; esac
"""


def test_urls_are_found_in_what_the_api_server_stores(tmp_path: Path) -> None:
    shell = LocalShell(stand_in(tmp_path / "bin", "etcdctl", ETCDCTL))
    said = shell.run(command("kubernetes.io"), seconds=10)
    assert (said.exit, said.stderr) == (0, "")
    urls = ("https://etcd-0.example.com:2379", "https://[fd00::11]:2379")
    assert parse(said.stdout) == Held({CATALOG: urls, CALICO: ()}, ("10.0.0.10", "10.0.0.99"))


@pytest.mark.parametrize("when", ["true", "[[ $* != *--keys-only* ]]"])
def test_an_etcd_that_does_not_answer_is_an_error(tmp_path: Path, when: str) -> None:
    shell = LocalShell(stand_in(tmp_path / "bin", "etcdctl", f"{when} && {{ echo no leader >&2; exit 1; }}\necho key"))
    said = shell.run(command("kubernetes.io"), seconds=10)
    assert said.exit == 1
    assert "no leader" in said.stderr


@pytest.mark.parametrize(
    "output", ["hello\n", "url 0 https://x\n", "there 9\n", "there 0 more\n", "there x\n", "lease\n", "lease a b\n"]
)
def test_anything_else_is_an_error(output: str) -> None:
    with pytest.raises(ValueError, match="expected urls and leases"):
        parse(output)


def test_only_what_differs_is_told() -> None:
    assert CATALOG.disagreement({"a", "b"}, {"a", "b"}) == ""
    assert CALICO.disagreement({"a", "b"}, {"a", "c"}) == (
        "Calico (ConfigMap kube-system/calico-config) names b, which is no member; does not name the member on c: "
        + CALICO.mend
    )
    assert "cannot be read from etcd: oc -n kube-system edit" in NUAGE.disagreement(set(), {"a"})

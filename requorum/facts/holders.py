"""What OpenShift keeps in etcd that names members, and is not edited, or API servers: read from etcd, judged here.

Source: openshift-ansible 3.11, roles openshift_service_catalog, calico and nuage_master. An object is kept in etcd as
protobuf or JSON; its urls are plain text in both, unless the API server encrypts what it stores.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from requorum.facts.shell import CTL


@dataclass(frozen=True, slots=True)
class Holder:
    """One such object: what it is, its key below the API's prefix, and what to do where it names others than the members."""

    name: str
    key: str
    mend: str

    def disagreement(self, named: set[str], wanted: set[str]) -> str:
        """How the hosts that it names differ from those of the members, with what to do; empty where they do not."""
        told = [f"names {host}, which is no member" for host in sorted(named - wanted)]
        told += [f"does not name the member on {host}" for host in sorted(wanted - named)]
        if not named:
            told = ["is there, and whom it names cannot be read from etcd"]
        return f"{self.name} {'; '.join(told)}: {self.mend}" if told else ""


HOLDERS = (
    Holder(
        "the service catalog (DaemonSet kube-service-catalog/apiserver)",
        "daemonsets/kube-service-catalog/apiserver",
        "oc -n kube-service-catalog edit daemonset apiserver: the word after --etcd-servers",
    ),
    Holder(
        "Calico (ConfigMap kube-system/calico-config)",
        "configmaps/kube-system/calico-config",
        "oc -n kube-system edit configmap calico-config: etcd_endpoints; then delete the pods of calico-node and of "
        "calico-kube-controllers, one after the other",
    ),
    Holder(
        "Nuage (ConfigMap kube-system/nuage-master-config)",
        "configmaps/kube-system/nuage-master-config",
        "oc -n kube-system edit configmap nuage-master-config: etcdClientConfig.urls; then delete the pods of "
        "nuage-master-config, one after the other",
    ),
)


@dataclass(frozen=True, slots=True)
class Held:
    """The urls in each object that is there, and the addresses of API servers whose leases have not ended."""

    urls: Mapping[Holder, tuple[str, ...]]
    leases: tuple[str, ...]


def command(prefix: str) -> str:
    """The command that `parse` reads; `prefix` is the API's own in etcd. Of an object only its urls are printed."""
    lines = [f"urls {number} {shlex.quote(f'/{prefix}/{holder.key}')} || exit" for number, holder in enumerate(HOLDERS)]
    return (
        CTL
        + r"""set -o pipefail
url='https?://(\[[0-9A-Fa-f:]+\]|[A-Za-z0-9._-]+)(:[0-9]+)?'
urls() {
  local key
  key=$(ctl get "$2" --keys-only) || return
  [ -n "$key" ] || return 0
  echo "there $1"
  ctl get "$2" --print-value-only | { grep -aoE "$url" || [ $? -eq 1 ]; } | sed "s/^/url $1 /"
}
"""
        + "\n".join(lines)
        + f"\nctl get {shlex.quote(f'/{prefix}/masterleases/')} --prefix --keys-only | sed -n 's!.*/!lease !p'"
    )


def parse(output: str) -> Held:
    """What was found there. Raises ValueError for anything else."""
    found: dict[Holder, tuple[str, ...]] = {}
    leases: list[str] = []
    try:
        for line in output.splitlines():
            kind, number, *url = line.split(" ")
            if kind == "lease" and not url:
                leases.append(number)
                continue
            holder = HOLDERS[int(number)]
            if kind == "there" and not url:
                found[holder] = ()
            elif kind == "url" and len(url) == 1:
                found[holder] += (url[0],)
            else:
                raise ValueError(f"it begins with {kind!r}")
    except (ValueError, IndexError, KeyError) as error:
        raise ValueError(f"expected urls and leases, found {output[:200]!r} ({error})") from None
    return Held(found, tuple(leases))

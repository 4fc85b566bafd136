"""A snapshot through `oc exec`: the chapter's way for a static pod."""

from __future__ import annotations

from dataclasses import dataclass

from requorum.changes.backup import SaveSnapshot
from requorum.changes.change import quote
from requorum.facts.master import KUBECONFIG

_NAME = "requorum-snapshot.db"
FALLBACK = "saved-on-the-host.txt"
"""Beside a snapshot that did not come through oc: why."""


@dataclass(frozen=True)
class SaveSnapshotByOc(SaveSnapshot):
    """Have etcdctl in this host's own pod write the snapshot into the data directory, and move it from there.

    The data directory is what the pod can write to and what outlives it. The API and a quorum are needed: without them
    etcdctl is run on the host, and a file beside the snapshot says why.
    """

    server: str
    data_dir: str

    def shown(self) -> str:
        inside, to = f"{quote(self.data_dir)}/{_NAME}", quote(self.to)
        return f"oc exec master-etcd-<this host> -- etcdctl snapshot save {inside}; mv {inside} {to}/snapshot.db"

    def act(self) -> str:
        file = quote(f"{self.data_dir}/{_NAME}")
        oc = f"oc --config={KUBECONFIG} --server={quote(self.server)}"
        return f"""PATH=$PATH:/usr/local/bin
by_oc() {{
  local pod words said
  # As its own container says: the kubelet may go by another name than the kernel.
  pod=$(docker ps --filter label=io.kubernetes.container.name=etcd --filter label=io.kubernetes.pod.namespace=kube-system \
    --format '{{{{.Label "io.kubernetes.pod.name"}}}}' 2>/dev/null | head -n 1)
  [ -n "$pod" ] || pod=master-etcd-$(uname -n | tr '[:upper:]' '[:lower:]')
  words="--endpoints=$(conf ETCD_ADVERTISE_CLIENT_URLS) --cacert=$(conf ETCD_TRUSTED_CA_FILE)"
  words="$words --cert=$(conf ETCD_PEER_CERT_FILE) --key=$(conf ETCD_PEER_KEY_FILE) --command-timeout=500s"
  rm -f {file} {file}.part {FALLBACK} || return 1
  # An exit code proves nothing here: the file does.
  said=$(timeout 540 {oc} exec -n kube-system "$pod" -c etcd -- \
    /bin/sh -c "ETCDCTL_API=3 etcdctl $words snapshot save {self.data_dir}/{_NAME}" < /dev/null 2>&1)
  [ -s {file} ] && mv -fT {file} snapshot.db && echo "saved by oc exec in the pod $pod" && return
  rm -f {file} {file}.part
  echo "oc exec in the pod $pod saved nothing (${{said:-it said nothing}}): etcdctl is run on the host instead" | tee {FALLBACK}
  PATIENCE=600s ctl snapshot save snapshot.db
}}
{super().act()}"""

    def _saved(self) -> str:
        return "by_oc"

    def _files(self) -> str:
        return f"./snapshot.db $(ls ./{FALLBACK} 2>/dev/null)"

    @property
    def seconds(self) -> float:
        """Both ways, one after the other."""
        return 1200

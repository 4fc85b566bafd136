"""Shell words that the commands of several nouns share. They run on the host, under bash."""

from __future__ import annotations

from requorum.facts.etcd_conf import PATH
from requorum.facts.runtime import TOOL

PROBE = "requorum/probe"
"""Below it keys are written, read and deleted, to prove that writes work."""

CONF = rf"""
conf() {{  # the value of a variable of etcd.conf, quotes removed; the last assignment counts. No process but the shell
  local line value=
  while IFS= read -r line || [ -n "$line" ]; do
    line=${{line#"${{line%%[![:space:]]*}}"}}
    case $line in "$1="*) value=${{line#*=}};; esac
  done 2>/dev/null < {PATH}
  value=${{value%"${{value##*[![:space:]]}}"}}
  case $value in
    \"*\") value=${{value#\"}}; value=${{value%\"}};;
    \'*\') value=${{value#\'}}; value=${{value%\'}};;
  esac
  printf %s "$value"
}}
"""
"""`conf VARIABLE` prints a value of etcd.conf."""

CTL = (
    CONF
    + TOOL
    + r"""
ctl() {  # etcdctl against this host's own member, with the member's own certificates
  local words=(--endpoints="${ENDPOINTS:-$(conf ETCD_ADVERTISE_CLIENT_URLS)}" --command-timeout="${PATIENCE:-5s}")
  local ca cert key
  ca=$(conf ETCD_TRUSTED_CA_FILE); [ -n "$ca" ] || ca=$(conf ETCD_PEER_TRUSTED_CA_FILE)
  cert=$(conf ETCD_PEER_CERT_FILE); key=$(conf ETCD_PEER_KEY_FILE)
  [ -n "$ca" ] && words+=(--cacert="$ca")
  [ -n "$cert" ] && words+=(--cert="$cert" --key="$key")
  local etcdctl=etcdctl
  type -P etcdctl > /dev/null || etcdctl=$(tool etcdctl) || {
    echo "expected etcdctl on the host, or in the image of an etcd that lives; found neither" >&2; return 127; }
  env -u ETCDCTL_ENDPOINTS -u ETCDCTL_CACERT -u ETCDCTL_CERT -u ETCDCTL_KEY ETCDCTL_API=3 "$etcdctl" "${words[@]}" "$@"
}
"""
)
"""`ctl ARGUMENTS…` runs etcdctl (v3 API). ENDPOINTS and PATIENCE, where set, replace the endpoints and the timeout."""

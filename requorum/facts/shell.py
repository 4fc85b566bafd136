"""Shell words that the commands of several nouns share. They run on the host, under bash."""

from __future__ import annotations

from requorum.facts.etcd_conf import PATH
from requorum.facts.runtime import TOOL

PROBE = "requorum/probe"
"""Below it keys are written, read and deleted, to prove that writes work."""

CONF = rf"""
conf_value() {{  # sets `value` to that of a variable of etcd.conf, or of the file $2; quotes removed, the last counts
  local line lines=()
  value=
  mapfile -t lines 2>/dev/null < "${{2:-{PATH}}}"
  for line in "${{lines[@]}}"; do
    [[ $line == *"$1="* ]] || continue
    line=${{line#"${{line%%[![:space:]]*}}"}}
    case $line in "$1="*) value=${{line#*=}};; esac
  done
  value=${{value%"${{value##*[![:space:]]}}"}}
  case $value in
    \"*\") value=${{value#\"}}; value=${{value%\"}};;
    \'*\') value=${{value#\'}}; value=${{value%\'}};;
  esac
}}
conf() {{
  local value
  conf_value "$@"
  printf %s "$value"
}}
"""
"""`conf VARIABLE [FILE]` prints a value of etcd.conf, or of another file of variables; `conf_value` sets `value` to it, which
costs no process."""

CTL = (
    CONF
    + TOOL
    + r"""
own_access() {  # sets url, ca, cert and key: how this host's own member is asked
  local value
  conf_value ETCD_ADVERTISE_CLIENT_URLS; url=$value
  conf_value ETCD_TRUSTED_CA_FILE; [ -n "$value" ] || conf_value ETCD_PEER_TRUSTED_CA_FILE
  ca=$value
  conf_value ETCD_PEER_CERT_FILE; cert=$value
  conf_value ETCD_PEER_KEY_FILE; key=$value
}
ctl() {  # etcdctl against this host's own member, with the member's own certificates
  local url ca cert key words etcdctl=etcdctl
  own_access
  words=(--endpoints="${ENDPOINTS:-$url}" --command-timeout="${PATIENCE:-5s}")
  [ -n "$ca" ] && words+=(--cacert="$ca")
  [ -n "$cert" ] && words+=(--cert="$cert" --key="$key")
  type -P etcdctl > /dev/null || etcdctl=$(tool etcdctl) || {
    echo "expected etcdctl on the host, or in the image of an etcd that lives; found neither" >&2; return 127; }
  env -u ETCDCTL_ENDPOINTS -u ETCDCTL_CACERT -u ETCDCTL_CERT -u ETCDCTL_KEY ETCDCTL_API=3 "$etcdctl" "${words[@]}" "$@"
}
"""
)
"""`ctl ARGUMENTS…` runs etcdctl (v3 API). ENDPOINTS and PATIENCE, where set, replace the endpoints and the timeout."""

NEEDED = r"""
needed_in() {  # which folders of the system, and of $2…, a folder is, or leads to by links, or holds; one a line
  local at place
  { read -r at; at=${at%/}; while read -r place; do [[ $place/ != "$at"/* ]] || echo "$place"; done; } < <(
    readlink -m -- "$@" /etc /etc/etcd /etc/origin /etc/systemd /usr /usr/bin /usr/lib /usr/local /usr/sbin /usr/share \
      /var /var/lib /var/lib/requorum /var/cache /var/log /var/spool /var/tmp /var/lib/containers /var/lib/docker \
      /var/lib/dpkg /var/lib/kubelet /var/lib/rpm /var/lib/systemd /bin /boot /dev /home /lib /lib64 /opt /proc /root /run \
      /sbin /srv /sys /tmp)
}
"""
"""`needed_in FOLDER [MORE…]`: what is to stay where it is when the contents of the folder are moved aside; empty is safe."""

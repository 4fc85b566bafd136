#!/bin/bash
# The floor: the bare commands of the procedure (38.1.2 to 38.1.4) over OpenSSH, one after the other, and the waits
# without which they fail. No survey, no verdict, no backup, no record, no proof of the data; OpenShift's own timers.
#
# usage: floor.sh SSH_CONFIG SURVIVOR JOINER...      (names as in SSH_CONFIG; each host knows its own etcd.conf)
set -euo pipefail
config=$1 survivor=$2
shift 2

phase() { printf '%s %s\n' "$EPOCHREALTIME" "$*"; }

# Runs the script on standard input on a host.
on() { ssh -F "$config" "$1" bash -euo pipefail -s; }

ctl='ctl() {
  . /etc/etcd/etcd.conf
  ETCDCTL_API=3 etcdctl --endpoints="$ETCD_ADVERTISE_CLIENT_URLS" --cacert="$ETCD_TRUSTED_CA_FILE" \
    --cert="$ETCD_PEER_CERT_FILE" --key="$ETCD_PEER_KEY_FILE" "$@"
}
until_within_60s() {
  local end=$((SECONDS + 60)) said
  until said=$("$@" 2>&1); do
    [ $SECONDS -lt $end ] || { echo "60 s in vain: $*: $said" >&2; exit 1; }
    sleep 0.05
  done
  printf "%s\n" "$said"
}'

for joiner; do
  phase "fence $joiner"
  on "$joiner" <<< 'systemctl mask --now etcd 2>/dev/null'
done

phase "stop $survivor"
on "$survivor" <<< 'systemctl stop etcd'

phase "force $survivor"
on "$survivor" <<< "$ctl"'
mkdir -p /etc/systemd/system/etcd.service.d
printf "[Service]\nEnvironment=ETCD_FORCE_NEW_CLUSTER=true\n" > /etc/systemd/system/etcd.service.d/temp.conf
systemctl daemon-reload
systemctl start etcd
[ "$(ctl member list | wc -l)" = 1 ]'

phase "take the force away"
on "$survivor" <<< "$ctl"'
rm -r /etc/systemd/system/etcd.service.d
systemctl daemon-reload
systemctl restart etcd
until_within_60s ctl endpoint health > /dev/null'

for joiner; do
  phase "add $joiner"
  own=$(on "$joiner" <<< '. /etc/etcd/etcd.conf; rm -Rf "${ETCD_DATA_DIR:?}"/*
    echo "$ETCD_NAME --peer-urls=$ETCD_INITIAL_ADVERTISE_PEER_URLS"')
  # Refused for some five seconds after a join: "unhealthy cluster".
  added=$(on "$survivor" <<< "$ctl"$'\n'"until_within_60s ctl member add $own")
  cluster=$(sed -n 's/^ETCD_INITIAL_CLUSTER="\(.*\)"$/\1/p' <<< "$added")
  [ -n "$cluster" ] || { echo "member add said: $added" >&2; exit 1; }

  phase "start $joiner"
  on "$joiner" <<< "$ctl"'
sed -i "s|^ETCD_INITIAL_CLUSTER=.*|ETCD_INITIAL_CLUSTER='"$cluster"'|
        s|^ETCD_INITIAL_CLUSTER_STATE=.*|ETCD_INITIAL_CLUSTER_STATE=existing|" /etc/etcd/etcd.conf
systemctl unmask etcd 2>/dev/null
systemctl reset-failed etcd
systemctl start etcd
until_within_60s ctl endpoint health > /dev/null'
done
phase end

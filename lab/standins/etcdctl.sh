#!/bin/bash
# /etc/profile.d/etcdctl.sh in the shape of OpenShift 3.11: etcdctl with this member's certificates and address. It goes
# through master-exec where there is one, so that without a pod it says nothing and exits with 0.

etcdctl2() {
  if [ -f /usr/local/bin/master-exec ]; then
    /usr/local/bin/master-exec etcd etcd /bin/sh -c "ETCDCTL_API=2 etcdctl --cert-file /etc/etcd/peer.crt \
      --key-file /etc/etcd/peer.key --ca-file /etc/etcd/ca.crt --endpoints https://$(hostname):2379 $*"
  else
    ETCDCTL_API=2 /usr/bin/etcdctl --cert-file /etc/etcd/peer.crt --key-file /etc/etcd/peer.key \
      --ca-file /etc/etcd/ca.crt --endpoints "https://$(hostname):2379" "$@"
  fi
}

etcdctl3() {
  if [ -f /usr/local/bin/master-exec ]; then
    /usr/local/bin/master-exec etcd etcd /bin/sh -c "ETCDCTL_API=3 etcdctl --cert /etc/etcd/peer.crt \
      --key /etc/etcd/peer.key --cacert /etc/etcd/ca.crt --endpoints https://$(hostname):2379 $*"
  else
    ETCDCTL_API=3 /usr/bin/etcdctl --cert /etc/etcd/peer.crt --key /etc/etcd/peer.key \
      --cacert /etc/etcd/ca.crt --endpoints "https://$(hostname):2379" "$@"
  fi
}

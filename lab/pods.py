"""Static pods on the masters of a lab: manifests, the node service and the tools, as OpenShift 3.11 leaves them behind.

Source: roles/etcd/files/etcd.yaml, roles/openshift_control_plane/files/{apiserver,controller}.yaml and scripts/docker.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from lab import images, masters, standins
from lab.docker import File, Link
from lab.spec import Host

FOLDER = "etc/origin/node/pods"
STOPPED = "etc/origin/node/pods-stopped"
"""Where the lab parks a manifest; no installer makes it."""
MANIFESTS = ("apiserver.yaml", "controller.yaml", "etcd.yaml")
UNIT = "origin-node.service"
TIMING = "etc/openshift-standins/timing.json"

_NODE_SERVICE = f"""\
[Unit]
Description=Stand-in for the OpenShift Node
After=docker.service
Wants=docker.service

[Service]
ExecStart=/usr/bin/python3 /{standins.PLACE}/node_service.py
Restart=always
RestartSec=5s

[Install]
WantedBy=multi-user.target
"""

# As the installer's files are written; yedit has put the address in.
_ETCD = """\
kind: Pod
apiVersion: v1
metadata:
  name: master-etcd
  namespace: kube-system
  labels:
    openshift.io/control-plane: "true"
    openshift.io/component: etcd
  annotations:
    scheduler.alpha.kubernetes.io/critical-pod: ''
spec:
  restartPolicy: Always
  hostNetwork: true
  priorityClassName: system-node-critical
  containers:
  - name: etcd
    image: registry.redhat.io/rhel7/etcd:3.2.26
    workingDir: /var/lib/etcd
    command: ["/bin/sh", "-c"]
    args:
    - |
      #!/bin/sh
      set -o allexport
      source /etc/etcd/etcd.conf
      exec etcd
    securityContext:
      privileged: true
    volumeMounts:
     - mountPath: /etc/etcd/
       name: master-config
       readOnly: true
     - mountPath: /var/lib/etcd/
       name: master-data
     - mountPath: /etc/localtime
       name: host-localtime
       readOnly: true
    livenessProbe:
      exec:
        command:
        - etcdctl
        - --cert-file
        - /etc/etcd/peer.crt
        - --key-file
        - /etc/etcd/peer.key
        - --ca-file
        - /etc/etcd/ca.crt
        - --endpoints
        - https://{address}:2379
        - cluster-health
      initialDelaySeconds: 45
  volumes:
  - name: master-config
    hostPath:
      path: /etc/etcd/
  - name: master-data
    hostPath:
      path: /var/lib/etcd
  - name: host-localtime
    hostPath:
      path: /etc/localtime
"""

# The same, as yedit writes it: keys in order, dashes below their key, the script in one string.
_ETCD_REWRITTEN = """\
apiVersion: v1
kind: Pod
metadata:
  annotations:
    scheduler.alpha.kubernetes.io/critical-pod: ''
  labels:
    openshift.io/component: etcd
    openshift.io/control-plane: 'true'
  name: master-etcd
  namespace: kube-system
spec:
  containers:
  - args:
    - '#!/bin/sh

      set -o allexport

      source /etc/etcd/etcd.conf

      exec etcd

      '
    command:
    - /bin/sh
    - -c
    image: registry.redhat.io/rhel7/etcd:3.2.26
    livenessProbe:
      exec:
        command:
        - etcdctl
        - --cert-file
        - /etc/etcd/peer.crt
        - --key-file
        - /etc/etcd/peer.key
        - --ca-file
        - /etc/etcd/ca.crt
        - --endpoints
        - https://{address}:2379
        - cluster-health
      initialDelaySeconds: 45
    name: etcd
    securityContext:
      privileged: true
    volumeMounts:
    - mountPath: /etc/etcd/
      name: master-config
      readOnly: true
    - mountPath: /var/lib/etcd/
      name: master-data
    - mountPath: /etc/localtime
      name: host-localtime
      readOnly: true
    workingDir: /var/lib/etcd
  hostNetwork: true
  priorityClassName: system-node-critical
  restartPolicy: Always
  volumes:
  - hostPath:
      path: /etc/etcd/
    name: master-config
  - hostPath:
      path: /var/lib/etcd
    name: master-data
  - hostPath:
      path: /etc/localtime
    name: host-localtime
"""

_MASTER = """\
kind: Pod
apiVersion: v1
metadata:
  name: master-{component}
  namespace: kube-system
  labels:
    openshift.io/control-plane: "true"
    openshift.io/component: {component}
  annotations:
    scheduler.alpha.kubernetes.io/critical-pod: ''
spec:
  restartPolicy: Always
  hostNetwork: true
  priorityClassName: system-node-critical
  containers:
  - name: {component}
    image: docker.io/openshift/origin-control-plane:v3.11.0
    command: ["/bin/bash", "-c"]
    args:
    - |
      #!/bin/bash
      set -euo pipefail
      if [[ -f /etc/origin/master/master.env ]]; then
        set -o allexport
        source /etc/origin/master/master.env
      fi
      exec openshift start master {component} --config=/etc/origin/master/master-config.yaml{listen} \
--loglevel=${{DEBUG_LOGLEVEL:-2}}
    securityContext:
      privileged: true
    volumeMounts:
     - mountPath: /etc/origin/master/
       name: master-config
     - mountPath: /etc/origin/cloudprovider/
       name: master-cloud-provider
     - mountPath: /var/lib/origin/
       name: master-data
    livenessProbe:
      httpGet:
        scheme: HTTPS
        port: {port}
        path: healthz
      initialDelaySeconds: 45
      timeoutSeconds: 10
{readiness}  volumes:
  - name: master-config
    hostPath:
      path: /etc/origin/master/
  - name: master-cloud-provider
    hostPath:
      path: /etc/origin/cloudprovider
  - name: master-data
    hostPath:
      path: /var/lib/origin
"""

# Of the API alone. It restarts nothing: no stand-in asks for it.
_READINESS = """\
    readinessProbe:
      httpGet:
        scheme: HTTPS
        port: 8443
        path: healthz/ready
      initialDelaySeconds: 10
      timeoutSeconds: 10
"""


def etcd_manifest(host: Host) -> str:
    """etcd.yaml of one host; the first one's as the installer has it, the others' as yedit writes it."""
    return (_ETCD if host.index == 0 else _ETCD_REWRITTEN).format(address=host.address)


def master_manifest(component: str, port: int, listen: str = "") -> str:
    """The manifest of the API, or of the controllers."""
    readiness = _READINESS if component == "api" else ""
    return _MASTER.format(component=component, port=port, listen=listen, readiness=readiness)


def files(host: Host, secrets: Path) -> Iterable[File | Link]:
    """What makes a master one whose parts are static pods."""
    own = secrets / host.short
    yield File("etc/origin/node/node.kubeconfig", masters.kubeconfig(host, secrets), 0o600)
    yield File("etc/origin/node/client-ca.crt", (secrets / "master-ca/ca.crt").read_bytes(), 0o600)
    both = (own / "master.crt").read_bytes() + (own / "master.key").read_bytes()
    yield File("etc/origin/node/certificates/kubelet-server-current.pem", both, 0o600)
    yield File(f"{FOLDER}/etcd.yaml", etcd_manifest(host), 0o600)
    yield File(f"{FOLDER}/apiserver.yaml", master_manifest("api", 8443), 0o600)
    listen = " --listen=https://0.0.0.0:8444"
    yield File(f"{FOLDER}/controller.yaml", master_manifest("controllers", 8444, listen), 0o600)
    for name in ("manifests.py", "node_exec.py", "node_mirror.py", "node_service.py"):
        yield File(f"{standins.PLACE}/{name}", standins.text(name), 0o644)
    yield File(f"etc/systemd/system/{UNIT}", _NODE_SERVICE, 0o644)
    yield Link(f"etc/systemd/system/multi-user.target.wants/{UNIT}", f"/etc/systemd/system/{UNIT}")
    image = f"{images.PLACE}/control-plane"
    yield File(f"{image}/usr/bin/openshift", standins.text("image-openshift"), 0o755)
    yield File(f"{image}/usr/bin/pod", standins.text("image-pod"), 0o755)
    for name in standins.MASTER_PROCESSES:
        yield File(f"{image}/{standins.PLACE}/{name}", standins.text(name), 0o644)
    # An upgrade masks both.
    for unit in ("etcd.service", "etcd_container.service"):
        yield Link(f"etc/systemd/system/{unit}", "/dev/null")


def timing(**seconds: float) -> File:
    """Other times for the node service than the real ones: see TIMES in lab/standins/node_service.py."""
    return File(TIMING, json.dumps(seconds, indent=1) + "\n", 0o644)

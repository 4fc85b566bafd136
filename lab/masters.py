"""OpenShift masters of a lab: their files in the shape that an installation leaves behind, and what to ask of them.

Source: OpenShift 3.11, roles/openshift_control_plane/templates/master.yaml.v1.j2. API, controllers and tools are
stand-ins: lab/standins.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from lab import pki, standins, wait
from lab.docker import File, Link
from lab.parallel import in_parallel
from lab.spec import Host
from lab.state import Record

if TYPE_CHECKING:
    from lab.cluster import Lab

FOLDER = "etc/origin/master"
CONFIG = f"/{FOLDER}/master-config.yaml"
API, CONTROLLERS = "origin-master-api.service", "origin-master-controllers.service"

_UNIT = """\
[Unit]
Description=Stand-in for the master {what} of OpenShift
After=network.target etcd.service

[Service]
EnvironmentFile=-/etc/origin/master/master.env
ExecStart=/usr/bin/python3 /{place}/{script} --config={config}
Restart=always
RestartSec=5s

[Install]
WantedBy=multi-user.target
"""

_CONFIG = """\
admissionConfig:
  pluginConfig:
    BuildDefaults:
      configuration:
        apiVersion: v1
        env: []
        kind: BuildDefaultsConfig
aggregatorConfig:
  proxyClientInfo:
    certFile: aggregator-front-proxy.crt
    keyFile: aggregator-front-proxy.key
apiLevels:
- v1
apiVersion: v1
authConfig:
  requestHeader:
    clientCA: front-proxy-ca.crt
controllerConfig:
  election:
    lockName: openshift-master-controllers
  serviceServingCert:
    signer:
      certFile: service-signer.crt
      keyFile: service-signer.key
controllers: '*'
corsAllowedOrigins:
- (?i)//127\\.0\\.0\\.1(:|\\z)
- (?i)//localhost(:|\\z)
dnsConfig:
  bindAddress: 0.0.0.0:8053
  bindNetwork: tcp4
etcdClientInfo:
  ca: master.etcd-ca.crt
  certFile: master.etcd-client.crt
  keyFile: master.etcd-client.key
  urls:
{urls}
etcdStorageConfig:
  kubernetesStoragePrefix: kubernetes.io
  kubernetesStorageVersion: v1
  openShiftStoragePrefix: openshift.io
  openShiftStorageVersion: v1
kind: MasterConfig
kubeletClientInfo:
  ca: ca.crt
  certFile: master.kubelet-client.crt
  keyFile: master.kubelet-client.key
  port: 10250
kubernetesMasterConfig:
  apiServerArguments:
    storage-backend:
    - etcd3
    storage-media-type:
    - application/vnd.kubernetes.protobuf
  controllerArguments:
    cluster-signing-cert-file:
    - /etc/origin/master/ca.crt
  masterCount: {count}
  podEvictionTimeout: null
masterClients:
  openshiftLoopbackKubeConfig: openshift-master.kubeconfig
masterPublicURL: https://{name}:8443
oauthConfig:
  grantConfig:
    method: auto
  identityProviders:
  - challenge: true
    login: true
    mappingMethod: claim
    name: ldap
    provider:
      apiVersion: v1
      bindPassword: not-a-real-password
      kind: LDAPPasswordIdentityProvider
servingInfo:
  bindAddress: 0.0.0.0:8443
  bindNetwork: tcp4
  certFile: master.server.crt
  clientCA: ca.crt
  keyFile: master.server.key
  maxRequestsInFlight: 500
  requestTimeoutSeconds: 3600
"""


def config(record: Record, host: Host) -> str:
    """master-config.yaml: each master lists itself first, or, where it runs no member, has an order of its own.

    On the first one as the installer's template writes it (the dash at 4, and a comment by an administrator), elsewhere
    as the installer's own later edits leave it (the dash under `urls`).
    """
    hosts, masters = record.hosts, record.masters
    at = masters.index(host)
    order = [host, *(one for one in hosts if one != host)] if host in hosts else [*hosts[at:], *hosts[:at]]
    lead = "    - " if at == 0 else "  - "
    lines = [f"{lead}https://{one.name}:2379" for one in order]
    if at == 0 and len(lines) > 1:
        lines[1] += "   # rack 2"
        lines.insert(1, "    # the others")
    return _CONFIG.format(urls="\n".join(lines), count=len(masters), name=host.name)


def make_certificates(secrets: Path, hosts: tuple[Host, ...]) -> None:
    """The masters' own CA with a server's certificate for each and an administrator's, and etcd's for its clients."""
    ca = secrets / "master-ca"
    pki.make_ca(ca)
    pki.make_certificate(ca, secrets / "admin", 2, "system:admin", "", "clientAuth")
    pki.make_certificate(ca, secrets / "kubelet-client", 3, "system:openshift-node-admin", "", "clientAuth")
    for host in hosts:
        own, names = secrets / host.short, f"IP:{host.address},DNS:{host.name}"
        pki.make_certificate(ca, own / "master", 16 + host.index, host.name, names, "serverAuth")
        pki.make_certificate(secrets / "ca", own / "etcd-client", 100 + host.index, host.name, names, "clientAuth")


def files(record: Record, host: Host, secrets: Path) -> Iterable[File]:
    """What makes a host a master, whatever runs its parts."""
    own = secrets / host.short
    yield File(CONFIG.lstrip("/"), config(record, host), 0o600)
    yield File(f"{FOLDER}/master.env", "DEBUG_LOGLEVEL=2\nNO_PROXY=.svc,.cluster.local,172.30.0.1\n", 0o600)
    for place in (f"{FOLDER}/admin.kubeconfig", "root/.kube/config"):
        yield File(place, kubeconfig(host, secrets), 0o600)
    for name, source in (
        ("master.etcd-ca.crt", secrets / "ca/ca.crt"),
        ("master.etcd-client.crt", own / "etcd-client.crt"),
        ("master.etcd-client.key", own / "etcd-client.key"),
        ("ca.crt", secrets / "master-ca/ca.crt"),
        ("master.kubelet-client.crt", secrets / "kubelet-client.crt"),
        ("master.kubelet-client.key", secrets / "kubelet-client.key"),
        ("master.server.crt", own / "master.crt"),
        ("master.server.key", own / "master.key"),
    ):
        yield File(f"{FOLDER}/{name}", source.read_bytes(), 0o600)
    yield File("usr/local/bin/oc", standins.text("oc.py"), 0o755)
    for name in ("master-restart", "master-exec", "master-logs"):
        yield File(f"usr/local/bin/{name}", standins.text(name), 0o500)


def unit_files() -> Iterable[File | Link]:
    """API and controllers as systemd units."""
    for name in standins.MASTER_PROCESSES:
        yield File(f"{standins.PLACE}/{name}", standins.text(name), 0o644)
    for unit, what, script in ((API, "API", "master_api.py"), (CONTROLLERS, "controllers", "master_controllers.py")):
        text = _UNIT.format(what=what, script=script, place=standins.PLACE, config=CONFIG)
        yield File(f"etc/systemd/system/{unit}", text, 0o644)
        yield Link(f"etc/systemd/system/multi-user.target.wants/{unit}", f"/etc/systemd/system/{unit}")


def kubeconfig(host: Host, secrets: Path) -> str:
    """The administrator's, for the API of this host; JSON is YAML."""

    def data(path: str) -> str:
        return base64.b64encode((secrets / path).read_bytes()).decode("ascii")

    cluster = {"certificate-authority-data": data("master-ca/ca.crt"), "server": f"https://{host.name}:8443"}
    user = {"client-certificate-data": data("admin.crt"), "client-key-data": data("admin.key")}
    said = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "lab", "cluster": cluster}],
        "users": [{"name": "system:admin", "user": user}],
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "system:admin"}}],
        "current-context": "lab",
    }
    return json.dumps(said, indent=1) + "\n"


def oc(host: Host, words: str) -> str:
    """The command line of `oc` against one host's own API."""
    return f"oc --config=/{FOLDER}/admin.kubeconfig --server=https://{host.name}:8443 --request-timeout=15s {words}"


def edit_config(lab: Lab, host: Host, lines: str) -> None:
    """Change `c`, what master-config.yaml says, and write it anew, as the installer's later tasks do (sorted keys)."""
    script = (
        f"import yaml\np = '{CONFIG}'\nc = yaml.safe_load(open(p))\n{lines}\n"
        "t = yaml.safe_dump(c, default_flow_style=False)\nopen(p, 'w').write(t)\n"
    )
    lab.run(host, "python3 -", stdin=script)


def ready(lab: Lab, host: Host) -> bool:
    """The API of this host says that it is ready, and the controllers that they are well."""
    api = lab.run(host, oc(host, "get --raw /healthz/ready"), check=False)
    controllers = lab.run(host, "curl -ksS --max-time 5 https://127.0.0.1:8444/healthz", check=False)
    return (api.stdout, controllers.stdout) == ("ok", "ok")


def wait_ready(lab: Lab, hosts: Iterable[Host] | None = None, within: float = 90) -> None:
    """Wait until API and controllers are there on every host, or on these; seconds."""

    def one(host: Host) -> None:
        wait.until(lambda: ready(lab, host), f"API and controllers on {host.name} are ready", within)

    in_parallel(one, list(lab.record.masters if hosts is None else hosts))

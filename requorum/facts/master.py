"""An OpenShift master: its configuration, what a recovery has noted down there, and what the steps need to find."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, replace
from typing import Literal

from requorum.facts import master_config, serving
from requorum.facts.master_config import MasterConfig

Component = Literal["api", "controllers"]
COMPONENTS: tuple[Component, ...] = ("api", "controllers")

FOUND = "/var/lib/requorum/master-config.yaml"
"""master-config.yaml as the recovery found it, until every member is named again: each master has an order of its own."""

ENVIRONMENT = "/etc/origin/master/master.env"
KUBECONFIG = "/etc/origin/master/admin.kubeconfig"
_TOOLS = ("master-restart", "oc", "curl")


def owed_path(component: Component) -> str:
    """The file that says that a component still runs with the configuration of before."""
    return f"/var/lib/requorum/restart-master-{component}"


OWED = {owed_path(one): one for one in COMPONENTS}
"""Of each such file, whose it is."""


def _part(name: str) -> str:
    return f"--- requorum: {name} ---"


_NOTES, _SUM, _CONFIG, _WAS = map(_part, ("notes", "sum", "config", "found"))

COMMAND = f"""#: the OpenShift master
[ -f {master_config.PATH} ] && [ -r {master_config.PATH} ] || {{
  [ $EUID -eq 0 ] && said='no such file' || said='Permission denied'  # who is not root may not even see that it is there
  echo "{master_config.PATH}: $said" >&2; exit 1; }}
echo '{_NOTES}'
for tool in {" ".join(_TOOLS)}; do
  command -v "$tool" >/dev/null || [ -x "/usr/local/bin/$tool" ] || echo "missing $tool"
done
[ -r {KUBECONFIG} ] || echo 'missing {KUBECONFIG}'
# What its API connects to etcd with: a file that is gone would be noticed at its restart, after the force.
awk '/^etcdClientInfo:/ {{on=1; next}}  /^[^ #]/ {{on=0}}  on && $1 ~ /^(ca|certFile|keyFile):$/ {{print $2}}' \\
  {master_config.PATH} | tr -d '\\042\\047' | while read -r file; do
    [ -n "$file" ] || continue
    case $file in /*) ;; *) file=$(dirname {master_config.PATH})/$file;; esac
    [ -s "$file" ] || echo "missing $file"
  done
# What it serves with: its clients here have to call it by a name in that certificate.
file=$(awk '/^servingInfo:/ {{on=1; next}}  /^[^ #]/ {{on=0}}
  on && $1 == "certFile:" && (at = match($0, /[^ ]/)) && (!least || at < least) {{least = at; file = $2}}
  END {{print file}}' {master_config.PATH} | tr -d '\\042\\047')  # the least indented: namedCertificates has others
case $file in ''|/*) ;; *) file=$(dirname {master_config.PATH})/$file;; esac
[ -z "$file" ] || if [ -s "$file" ]; then echo "serving $(base64 -w0 < "$file")"; else echo "missing $file"; fi
echo "addresses $(hostname -I 2>/dev/null)"
{"".join(f"[ ! -e {owed_path(one)} ] || echo 'owes {one}'{chr(10)}" for one in COMPONENTS)}
sed -n 's/^[[:space:]]*NO_PROXY=/proxy /p' {ENVIRONMENT} 2>/dev/null
echo '{_SUM}'; sha256sum < {master_config.PATH} || exit 1
echo '{_CONFIG}'; cat {master_config.PATH} || exit 1
printf '\\n%s\\n' '{_WAS}'; cat {FOUND} 2>/dev/null || true"""


@dataclass(frozen=True, slots=True)
class Master:
    """What was read on one master.

    `found` is its configuration as a recovery found it, where one has edited it and not yet put every member back.
    `owes`: the components that still run with another configuration. `no_proxy`: the names in NO_PROXY of master.env.
    `missing`: what the steps need and the host does not have. `serving`: the names in the certificate of its API, none
    where it is not known; `addresses`: the host's own.
    """

    config: MasterConfig
    found: MasterConfig | None = None
    owes: tuple[Component, ...] = ()
    no_proxy: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    serving: frozenset[str] = frozenset()
    addresses: tuple[str, ...] = ()

    def owing(self, component: Component) -> Master:
        """The same, once it is noted down that a component is to be restarted."""
        return replace(self, owes=tuple(one for one in COMPONENTS if one in {*self.owes, component}))

    def settled(self, component: Component) -> Master:
        """The same, once a component was restarted and proven."""
        return replace(self, owes=tuple(one for one in self.owes if one != component))

    @property
    def named(self) -> frozenset[str]:
        """The hosts that its configuration names as members'."""
        return frozenset(map(master_config.host_of, self.config.urls))


def parse(output: str) -> Master:
    """The master from the output of COMMAND. Raises ValueError, with file and line, for what cannot be read."""
    head, there, config = output.partition(f"{_CONFIG}\n")
    config, whole, was = config.partition(f"\n{_WAS}\n")
    if not there or not whole:
        raise ValueError(f"expected a master's configuration in {master_config.PATH}, found none")
    notes, _, digest = head.partition(f"{_SUM}\n")
    if digest.split()[:1] != [hashlib.sha256(config.encode(errors="replace")).hexdigest()]:
        raise ValueError(f"{master_config.PATH}: expected text in UTF-8, found other bytes")
    lines = [line.partition(" ") for line in notes.splitlines()]
    proxied = [name for kind, _, rest in lines if kind == "proxy" for name in rest.strip("\"'").split(",")]
    owed = {rest for kind, _, rest in lines if kind == "owes"}
    missing = [rest for kind, _, rest in lines if kind == "missing"]
    names = frozenset[str]()
    for pem in (rest for kind, _, rest in lines if kind == "serving"):
        try:
            names = serving.names_of(base64.b64decode(pem, validate=True))
        except ValueError:
            missing.append(f"a certificate in the file that servingInfo.certFile of {master_config.PATH} names")
    return Master(
        config=master_config.parse(config),
        found=master_config.parse(was) if was else None,
        owes=tuple(one for one in COMPONENTS if one in owed),
        no_proxy=tuple(name.strip() for name in proxied if name.strip()),
        missing=tuple(missing),
        serving=names,
        addresses=tuple(one for kind, _, rest in lines if kind == "addresses" for one in rest.split()),
    )

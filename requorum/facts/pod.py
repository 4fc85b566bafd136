"""The static pod that runs etcd: its manifest, and what the node service makes of it."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

from requorum.facts import manifest
from requorum.facts.etcd_conf import PATH
from requorum.facts.manifest import KEPT, Manifest
from requorum.facts.runtime import ASIDE, MANIFEST, PARKED, PODS

_OF_ETCD = r"""
perhaps_of_etcd() {  # YAML or JSON: keys and values may be in quotes, in braces, and on lines of their own
  local before="(^|[[:space:]{,\"'])" is="[\"']?[[:space:]]*:[[:space:]]*[\"']?"
  sed '/^[[:space:]]*#/d' "$1" | tr '\n' ' ' | grep -qE "${before}(openshift\.io/component${is}etcd|name${is}master-etcd)"
}
"""
"""Shell: `perhaps_of_etcd FILE` says whether a manifest has what is the label or the name of etcd's pod, wherever it has it.

A volume, a container, a selector of others may be called so: `strays` judges.
"""

_PROBING = r"""
probing_etcdctl() {  # the version of the one that a probe finds first in a living container; none where none lives
  local comm name folder
  for comm in /proc/[0-9]*/comm; do
    { read -r name < "$comm"; } 2>/dev/null && [ "$name" = etcd ] || continue
    for folder in usr/local/bin usr/bin bin; do
      [ -x "${comm%comm}root/$folder/etcdctl" ] || continue
      ETCDCTL_API=2 timeout 5 "${comm%comm}root/$folder/etcdctl" --version 2>/dev/null | sed -n 's/^etcdctl version: /Probing=/p'
      return
    done
  done
}
"""
"""Shell: `probing_etcdctl`. The host's, and the one kept of an image, are not what a probe runs."""

FUNCTION = f"""{_OF_ETCD}{_PROBING}
static_pod() {{  # in the words of a unit: active, activating (to be started, or waiting in back-off), inactive
  local at node active=inactive sub='its manifest is moved out' boot=disabled node_boot=disabled file
  for at in {MANIFEST} {PARKED} {ASIDE}; do [ ! -f $at ] || break; done
  node=$(systemctl show "$unit" -p ActiveState); node=${{node#*=}}
  ! systemctl is-enabled -q "$unit" 2>/dev/null || node_boot=enabled
  if [ $at = {MANIFEST} ]; then
    boot=$node_boot sub='the node service does not run'
    [ "$node" != active ] || {{ active=activating sub='no process: the node service starts it, or waits in back-off'; }}
    ! etcd_lives || {{ active=active sub=running; }}
  elif etcd_lives; then
    active=deactivating sub='its manifest is moved out'
  fi
  printf '%s\\n' LoadState=loaded "ActiveState=$active" "SubState=$sub" "UnitFileState=$boot" "FragmentPath=$at" \\
    DropInPaths= 'EnvironmentFiles={PATH} (ignore_errors=no)' "Manifest=$at" "Node=$node" "NodeBoot=$node_boot"
  echo "Text=$(base64 -w0 < $at)"
  [ ! -f {KEPT} ] || echo "Kept=$(base64 -w0 < {KEPT})"
  for file in {MANIFEST} {PARKED} {ASIDE}; do
    [ "$file" = $at ] || [ ! -f "$file" ] || echo "Further=$file"
  done
  for file in {PODS}/*; do
    [ -f "$file" ] && [ "$file" != {MANIFEST} ] && perhaps_of_etcd "$file" && echo "Perhaps=$(base64 -w0 < "$file") $file"
  done
  told $at {PATH}
  [ $at != {MANIFEST} ] || ! grep -q cluster-health $at || probing_etcdctl
}}
"""
"""Shell: `static_pod` tells of it, as `systemctl show` does of a unit. Needs `told`, `etcd_lives` and `unit`."""


@dataclass(frozen=True, slots=True)
class Pod:
    """What is known of a static pod. `kept`: the manifest as a recovery found it, while that has taken its probe out.

    `probing`: the version of the etcdctl that a probe of the cluster's health runs; empty where no container lives.
    """

    manifest: Manifest
    kept: Manifest | None = None
    probing: str = ""


def parse(output: str) -> Pod:
    """The pod from the output of the facts' command. Raises ValueError, with file and line, for what cannot be read."""
    values = dict(line.partition("=")[::2] for line in output.splitlines())
    kept = manifest.parse(_text(values["Kept"]), KEPT) if "Kept" in values else None
    found = manifest.parse(_text(values.get("Text", "")), values.get("Manifest", ""))
    return Pod(found, kept, values.get("Probing", ""))


def strays(output: str) -> tuple[str, ...]:
    """The other files in the folder of manifests that are pods of etcd. Raises ValueError for an output that is none."""
    lines = (line.partition("=") for line in output.splitlines())
    found = (value.partition(" ") for key, _, value in lines if key == "Perhaps")
    return tuple(
        path for encoded, _, path in found if manifest.is_of_etcd(base64.b64decode(encoded).decode(errors="replace"))
    )


def _text(encoded: str) -> str:
    try:
        return base64.b64decode(encoded, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise ValueError(f"expected a manifest in UTF-8, found other bytes ({error})") from None

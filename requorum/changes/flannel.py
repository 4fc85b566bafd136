"""The change of Flannel's daemon."""

from __future__ import annotations

from dataclasses import dataclass, replace

from requorum.changes.change import ClientChange, quote
from requorum.facts.beside import Facts
from requorum.facts.flannel import OWED, SUBNET, UNIT
from requorum.facts.flanneld_conf import FlanneldConf

_NEXT = (
    "next: does etcd serve the v2 API (ETCD_ENABLE_V2=true in etcd.conf; etcd from 3.4 on does not by itself), and is "
    "Flannel's data there? The backup holds it"
)


@dataclass(frozen=True)
class RestartFlannel(ClientChange):
    """Restart flanneld, and prove that a new process is ready and that this host's lease is in etcd.

    Not before etcd gives what flanneld reads at its start, by its own endpoints and certificates: where docker.service
    requires flanneld.service, as in RHEL's package, a daemon that does not come back takes every container with it.
    Only after the proof the note goes that says that the restart is owed.
    """

    config: FlanneldConf
    patience: float = 60

    @property
    def seconds(self) -> float:
        """The patience, and what etcd is given to answer before and after."""
        return self.patience + 45

    def shown(self) -> str:
        return f"systemctl restart {UNIT}"

    def test(self) -> str:
        return f"[ ! -e {OWED} ]"

    def act(self) -> str:
        conf, patience = self.config, int(self.patience)
        tls = [word for flag, path in (("--cacert", conf.ca), ("--cert", conf.certificate), ("--key", conf.key)) if path
               for word in (flag, path)]  # fmt: skip
        words = " ".join(map(quote, tls))
        urls = " ".join(quote(url.rstrip("/")) for url in conf.urls)
        return f"""v2() {{  # a key from the first endpoint that has it, read with a quorum; else what each of them says
  local url answer said=
  for url in {urls}; do
    answer=$(curl -sS --max-time 5 {words} "$url/v2/keys{conf.prefix}/$1?quorum=true" 2>&1)
    case $answer in '{{"action":"get"'*) return 0;; esac
    said+="$url: $answer; "
  done
  echo "$said"
  return 1
}}
state() {{ systemctl show {UNIT} -p ActiveState -p MainPID -p ExecMainStartTimestampMonotonic | tr '\\n' ' '; }}
said=$(v2 config) || {{
  echo "expected Flannel's network in etcd (v2 API, {conf.prefix}/config), found: $said flanneld was not restarted" >&2
  echo {quote(_NEXT)} >&2
  return 1
}}
before=$(state) begun=$SECONDS
systemctl reset-failed {UNIT} 2>/dev/null
systemctl restart --no-block {UNIT} || return 1
until now=$(state) && [ "${{now#*MainPID=}}" != "${{before#*MainPID=}}" ] && [[ $now = *ActiveState=active* ]] &&
  subnet=$(sed -n 's/^FLANNEL_SUBNET=//p' {SUBNET} 2>/dev/null) && [ -n "$subnet" ]; do
  if [ $((SECONDS - begun)) -ge {patience} ]; then
    echo "expected another process of flanneld that is ready, within {patience} s; found: before $before, now $now" >&2
    journalctl -u {UNIT} -n 5 --no-pager -o cat >&2
    return 1
  fi
  sleep 0.1
done
# The file has the first address of the subnet, the key the subnet itself.
address=${{subnet%/*}} lease=
lease=${{address%.*}}.$((${{address##*.}} - 1))-${{subnet#*/}}
said=$(v2 "subnets/$lease") || {{
  echo "expected the lease of this host in etcd ({conf.prefix}/subnets/$lease), found: $said" >&2
  return 1
}}
rm -f {OWED} && sync "$(dirname {OWED})" """

    def after(self, facts: Facts) -> Facts:
        if facts.flannel is None:
            return facts
        return replace(facts, flannel=replace(facts.flannel, active="active", queued=False, owes=False))

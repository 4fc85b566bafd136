"""Changes of an OpenShift master's processes, and the note of how its configuration was found."""

from __future__ import annotations

from dataclasses import dataclass, replace

from requorum.changes.change import ClientChange, kept_copy
from requorum.facts import master, master_config
from requorum.facts.beside import Facts
from requorum.facts.master import Component
from requorum.facts.master_api import CONTROLLERS_PORT, PROBE, here
from requorum.facts.runtime import NODE_UNITS, PODS

_RESTART = 120
"""Seconds for master-restart itself, which stops a container (30 s) and waits for its end (60 s) before it returns."""
_PATIENCE = {"api": 120, "controllers": 60}
"""Seconds for the proof, once it has returned. The API gives etcd 30 s at its start, and the next one may be put off."""


@dataclass(frozen=True)
class KeepFound(ClientChange):
    """Keep master-config.yaml as it was found, owner and mode too, until every member is named again."""

    def shown(self) -> str:
        return f"cp -a {master_config.PATH} {master.FOUND}"

    def test(self) -> str:
        return f"[ -f {master.FOUND} ]"

    def act(self) -> str:
        return kept_copy(master_config.PATH, master.FOUND)

    def after(self, facts: Facts) -> Facts:
        if facts.master is None or facts.master.found:
            return facts
        return replace(facts, master=replace(facts.master, found=facts.master.config))


@dataclass(frozen=True)
class RestartMaster(ClientChange):
    """Restart the API or the controllers of one master, and prove that what answers is a new process that works.

    The exit code of master-restart proves nothing, and /healthz of the API proves no quorum: a write, a read, a watch and
    a delete through this very API do. Only then the note goes that says that the restart is owed.
    """

    component: Component
    server: str
    port: int

    @property
    def seconds(self) -> float:
        return _RESTART + _PATIENCE[self.component]

    def shown(self) -> str:
        return f"master-restart {self.component}"

    def test(self) -> str:
        return f"[ ! -e {master.owed_path(self.component)} ]"

    def act(self) -> str:
        owed, patience = master.owed_path(self.component), _PATIENCE[self.component]
        port = self.port if self.component == "api" else CONTROLLERS_PORT
        works = '[ "$(here get --raw /healthz/ready 2>&1)" = ok ] && probed'
        if self.component == "controllers":
            works = f'[ "$(curl -ksS --max-time 5 https://127.0.0.1:{port}/healthz 2>&1)" = ok ]'
        return f"""patience() {{ local left=$((end - SECONDS)); echo $((left < 1 ? 1 : left < 15 ? left : 15)); }}  # a request
{here(self.server, seconds="$(patience)")}
probed() {{
{PROBE}
}}
works() {{ {works}; }}
listening() {{ ss -ltnp 'sport = :{port}' | grep -oE '(pid=|",)[0-9]+' | sort; }}  # with iproute 3.10: ("name",PID,
before=$(listening)
for name in atomic-openshift origin; do  # what failed again and again is started at once
  systemctl reset-failed "$name-master-{self.component}.service" 2>/dev/null
done
said=$(timeout {_RESTART} master-restart {self.component} 2>&1); code=$?
begun=$SECONDS end=$((SECONDS + {patience})) cleared=
until now=$(listening) && [ -n "$now" ] && [ "$now" != "$before" ] && why=$(works 2>&1); do
  # A pod that failed without a quorum waits in back-off, for up to five minutes. What runs goes on meanwhile.
  if [ -z "$cleared$now" ] && [ -d {PODS} ] && [ $((SECONDS - begun)) -ge $([ -n "$before" ] && echo 30 || echo 5) ]; then
    cleared=yes
    for unit in {" ".join(NODE_UNITS)}; do
      ! systemctl is-active -q $unit || {{ echo "nothing listens on port {port}: $unit is restarted, which ends a back-off"
        systemctl restart $unit; }}
    done
  fi
  if [ $SECONDS -ge $end ]; then
    echo "expected another process of the {self.component} than before on port {port}, and that it says ok, within" \\
      "{patience} s; found: before ${{before:-none}}, now ${{now:-none}}; master-restart said (exit $code):" \\
      "${{said:-nothing}}${{why:+; $why}}" >&2
    return 1
  fi
  sleep 0.3
done
rm -f {owed} && sync "$(dirname {owed})" """

    def after(self, facts: Facts) -> Facts:
        return replace(facts, master=facts.master.settled(self.component)) if facts.master else facts

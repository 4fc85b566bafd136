"""Changes of the unit that runs etcd: a service, or a container."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from requorum.changes.change import Change, quote
from requorum.facts.host import HostFacts
from requorum.facts.members import Api, Member, MemberList, Status
from requorum.facts.process import LIVES, Process
from requorum.facts.runtime import SERVICE

_GONE_SECONDS = 40
"""What a killed process is given to be gone: its disk may be slow."""

CUT_STALLED = r"""
cut_stalled() {  # end each connection of etcd in which something was sent again and is still not acknowledged
  local state received sent from to rest
  ss -tnpo 2>/dev/null | while read -r state received sent from to rest; do
    case $rest in
      *'"etcd"'*'timer:(on,'*',0)'*) ;;
      *'"etcd"'*'timer:(on,'*)
        # It lists what it has ended; a dial that is not answered (SYN-SENT) comes again and again.
        ss -Ktn src "$from" dst "$to" 2>/dev/null | grep -qF "$to" && [ "$state" = ESTAB ] && echo "cut: $from $to";;
    esac
  done
}
"""
"""Shell. Needs ss, and a Linux from 4.5 with INET_DIAG_DESTROY; without them it ends nothing, and a kill does."""


SERVES = """
serves() {  # this host's own member answers, and knows a leader
  case $(PATIENCE=3s ctl endpoint status -w json 2>/dev/null) in *'"leader":'[1-9]*) return 0;; esac
  return 1
}
"""
"""Shell: `serves`, for an etcd that cannot tell systemd. Needs `ctl`."""


@dataclass(frozen=True)
class ReloadUnits(Change):
    """Have systemd read its files again, until it knows of a drop-in, or knows no more of it.

    NeedDaemonReload alone does not tell: of a drop-in whose folder is new, systemd 252 says that no reload is needed.
    """

    drop_in: str
    present: bool

    def shown(self) -> str:
        return "systemctl daemon-reload"

    def test(self) -> str:
        unit = PurePosixPath(self.drop_in).parent.name.removesuffix(".d")
        sees = f"systemctl show {unit} -p DropInPaths | tr '= ' '\\n\\n' | grep -qxF {quote(self.drop_in)}"
        fresh = f"systemctl show {unit} -p NeedDaemonReload | grep -q '=no$'"
        return f"{'' if self.present else '! '}{{ {sees}; }} && {fresh}"

    def act(self) -> str:
        return "systemctl daemon-reload"

    def after(self, facts: HostFacts) -> HostFacts:
        others = tuple(path for path in facts.unit.drop_ins if path != self.drop_in)
        drop_ins = (*others, self.drop_in) if self.present else others
        return replace(facts, unit=replace(facts.unit, drop_ins=drop_ins))


@dataclass(frozen=True)
class StopEtcd(Change):
    """Stop etcd's unit and wait until no etcd process is left.

    A member that led when its peers lost power does not end by itself: etcd before 3.6 waits for a peer's answer without
    a timeout (GET /version), until TCP gives up after a quarter of an hour. So connections whose other end acknowledges
    nothing are cut while it stops, and what lives after `patience` is killed, which costs less than a power loss, and
    the runbook begins after one: docs/adr/0010-etcd-is-helped-to-stop.md. `container`: what docker is to kill then.
    """

    patience: float = 20
    """With OpenShift's timers etcd gives its clients at most 10 s, and the handing over of its lead 10 s."""
    unit: str = SERVICE
    container: str = ""

    def shown(self) -> str:
        return f"systemctl stop {self.unit} (SIGKILL if it has not ended after {self.patience:g} s)"

    def test(self) -> str:
        return f"""{LIVES}
case $(systemctl show {self.unit} -p ActiveState) in
  ActiveState=inactive|ActiveState=failed) ;;
  *) return 1;;
esac
! etcd_lives"""

    def act(self) -> str:
        patience, seconds = int(self.patience), int(self.seconds)
        kill = f"docker kill {quote(self.container)}" if self.container else f"systemctl kill -s KILL {self.unit}"
        return f"""{CUT_STALLED}
found() {{
  systemctl show {self.unit} -p ActiveState -p SubState
  for comm in $(grep -lx etcd /proc/[0-9]*/comm 2>/dev/null); do
    echo "process ${{comm//[!0-9]/}}: $(grep ^State: "${{comm%comm}}status" 2>&1)"
  done
}}
systemctl stop --no-block {self.unit} || return 1
begun=$SECONDS killed=
until holds; do
  if [ -z "$killed" ] && [ $((SECONDS - begun)) -gt {patience} ]; then
    echo "etcd has not ended {patience} s after SIGTERM: SIGKILL"
    {kill}
    killed=yes
  elif [ $((SECONDS - begun)) -gt {seconds} ]; then
    echo "expected {self.unit} stopped and no etcd process {seconds} s after SIGTERM, found:" $(found) >&2
    echo "next: state D is a disk that does not answer; an etcd outside of the unit is to be ended by hand" >&2
    return 1
  fi
  cut_stalled
  sleep 0.1
done"""

    @property
    def seconds(self) -> float:
        """Whatever the unit's own TimeoutStopSec is: nobody but this script ends the wait."""
        return self.patience + _GONE_SECONDS

    def after(self, facts: HostFacts) -> HostFacts:
        stopped = replace(facts.unit, active="inactive", sub="dead", main_pid=0)
        return replace(facts, unit=facts.unit if not facts.unit.is_running else stopped, processes=())


@dataclass(frozen=True)
class StartEtcd(Change):
    """Start etcd's unit and wait until etcd says that it is ready (Type=notify: it has a leader).

    `asked`: what runs in a container cannot tell systemd, and is asked instead.
    """

    patience: float = 60
    unit: str = SERVICE
    asked: bool = False

    def shown(self) -> str:
        return f"systemctl start {self.unit}"

    def test(self) -> str:
        active = f"systemctl show {self.unit} -p ActiveState | grep -q '=active$'"
        return f"{SERVES}{active} && serves" if self.asked else active

    def act(self) -> str:
        return f"""systemctl reset-failed {self.unit} 2>/dev/null
systemctl start --no-block {self.unit} || return 1
end=$((SECONDS + {int(self.patience)}))
while [ $SECONDS -lt $end ]; do
  case $(systemctl show {self.unit} -p ActiveState) in
    ActiveState=active) {"! serves || return 0" if self.asked else "return 0"};;
    ActiveState=failed) break;;
  esac
  sleep 0.05
done
# A panic writes some hundred lines, the reason first.
journalctl -u {self.unit} -n 400 --no-pager -o cat | grep -iE 'panic:|fatal|no space|denied|cannot|error' | tail -n 8 >&2
journalctl -u {self.unit} -n 8 --no-pager -o cat >&2
return 1"""

    @property
    def seconds(self) -> float:
        """The patience; what comes afterwards is a look."""
        return self.patience

    def after(self, facts: HostFacts) -> HostFacts:
        return started(facts)


@dataclass(frozen=True)
class RunEtcd(Change):
    """Start etcd's unit and wait until etcd lives: without a quorum it is never ready."""

    unit: str = SERVICE

    def shown(self) -> str:
        return f"systemctl start --no-block {self.unit}"

    def test(self) -> str:
        return f"""{LIVES}
case $(systemctl show {self.unit} -p MainPID) in MainPID=0) return 1;; esac
etcd_lives"""

    def act(self) -> str:
        return f"systemctl reset-failed {self.unit} 2>/dev/null; systemctl start --no-block {self.unit}"

    def after(self, facts: HostFacts) -> HostFacts:
        return facts


@dataclass(frozen=True)
class EnableEtcd(Change):
    """Have the unit that runs etcd start at boot: etcd's own, or, of a static pod, the node service."""

    unit: str = SERVICE

    def shown(self) -> str:
        return f"systemctl enable {self.unit}"

    def test(self) -> str:
        return f"systemctl is-enabled -q {self.unit}"

    def act(self) -> str:
        return f"systemctl enable {self.unit}"

    def after(self, facts: HostFacts) -> HostFacts:
        return _enabled(facts, "enabled")


@dataclass(frozen=True)
class DisableEtcd(Change):
    """Undo that: no boot starts the unit, as it was found."""

    unit: str = SERVICE

    def shown(self) -> str:
        return f"systemctl disable {self.unit}"

    def test(self) -> str:
        return f"! systemctl is-enabled -q {self.unit}"

    def act(self) -> str:
        return f"systemctl disable {self.unit}"

    def after(self, facts: HostFacts) -> HostFacts:
        return _enabled(facts, "disabled")


def _enabled(facts: HostFacts, state: str) -> HostFacts:
    runtime = replace(facts.unit.runtime, node_at_boot=state == "enabled")
    return replace(facts, unit=replace(facts.unit, file_state=state, runtime=runtime))


def started(facts: HostFacts) -> HostFacts:
    """What is known of a host once its etcd serves."""
    if facts.unit.active == "active" and facts.processes:
        return facts
    environ = {"ETCD_FORCE_NEW_CLUSTER": "true"} if facts.unit.forced else {}
    process = Process(pid=1, started=0, argv=("etcd",), environ=environ)
    running = replace(facts.unit, active="active", sub="running")
    return replace(facts, unit=running, processes=(process,), api=_alone(facts) if _starts_alone(facts) else facts.api)


def _starts_alone(facts: HostFacts) -> bool:
    """It is forced, or was forced before: its data lists no other voter."""
    voters = [m.id for m in facts.data.members if not m.is_learner] if facts.data is not None else []
    return facts.unit.forced or (
        facts.api.members is None and facts.data is not None and voters == [facts.data.node_id]
    )


def _alone(facts: HostFacts) -> Api:
    """What the API answers where there is one member, this one."""
    data = facts.data
    if data is None or data.log is None:
        return facts.api
    cluster, own = data.log.cluster_id, data.log.node_id
    me = Member(own, facts.conf.name, facts.conf.peer_urls, facts.conf.client_urls, False)
    revision = data.db.revision if data.db else 1
    status = Status(cluster, own, facts.machine.etcd_version, own, revision, data.log.term, data.log.commit, 0, False)
    return Api(MemberList(cluster, (me,)), status, linear=True, error="")

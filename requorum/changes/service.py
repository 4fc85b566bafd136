"""Changes of etcd's service under systemd."""

from __future__ import annotations

from dataclasses import dataclass, replace

from requorum.changes.change import Change, quote
from requorum.facts import unit
from requorum.facts.host import HostFacts
from requorum.facts.members import Api, Member, MemberList, Status
from requorum.facts.process import LIVES, Process


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
        sees = f"systemctl show {unit.NAME} -p DropInPaths | tr '= ' '\\n\\n' | grep -qxF {quote(self.drop_in)}"
        fresh = f"systemctl show {unit.NAME} -p NeedDaemonReload | grep -q '=no$'"
        return f"{'' if self.present else '! '}{{ {sees}; }} && {fresh}"

    def act(self) -> str:
        return "systemctl daemon-reload"

    def after(self, facts: HostFacts) -> HostFacts:
        others = tuple(path for path in facts.unit.drop_ins if path != self.drop_in)
        drop_ins = (*others, self.drop_in) if self.present else others
        return replace(facts, unit=replace(facts.unit, drop_ins=drop_ins))


@dataclass(frozen=True)
class StopEtcd(Change):
    """Stop etcd.service and wait until no etcd process is left."""

    def shown(self) -> str:
        return f"systemctl stop {unit.NAME}"

    def test(self) -> str:
        return f"""{LIVES}
case $(systemctl show {unit.NAME} -p ActiveState) in
  ActiveState=inactive|ActiveState=failed) ;;
  *) return 1;;
esac
! etcd_lives"""

    def act(self) -> str:
        return f"systemctl stop {unit.NAME}"

    @property
    def seconds(self) -> float:
        """systemd's own patience with a stop is 90 s."""
        return 100

    def after(self, facts: HostFacts) -> HostFacts:
        stopped = replace(facts.unit, active="inactive", sub="dead", main_pid=0)
        return replace(facts, unit=facts.unit if not facts.unit.is_running else stopped, processes=())


@dataclass(frozen=True)
class StartEtcd(Change):
    """Start etcd.service and wait until etcd says that it is ready (Type=notify: it has a leader)."""

    patience: float = 60

    def shown(self) -> str:
        return f"systemctl start {unit.NAME}"

    def test(self) -> str:
        return f"systemctl show {unit.NAME} -p ActiveState | grep -q '=active$'"

    def act(self) -> str:
        return f"""systemctl reset-failed {unit.NAME} 2>/dev/null
systemctl start --no-block {unit.NAME} || return 1
end=$((SECONDS + {int(self.patience)}))
while [ $SECONDS -lt $end ]; do
  case $(systemctl show {unit.NAME} -p ActiveState) in
    ActiveState=active) return 0;;
    ActiveState=failed) break;;
  esac
  sleep 0.05
done
journalctl -u {unit.NAME} -n 15 --no-pager -o cat >&2
return 1"""

    @property
    def seconds(self) -> float:
        """The patience; what comes afterwards is a look."""
        return self.patience

    def after(self, facts: HostFacts) -> HostFacts:
        if facts.unit.active == "active" and facts.processes:
            return facts
        environ = {"ETCD_FORCE_NEW_CLUSTER": "true"} if facts.unit.forced else {}
        process = Process(pid=1, started=0, argv=("etcd",), environ=environ)
        started = replace(facts.unit, active="active", sub="running")
        return replace(facts, unit=started, processes=(process,), api=_alone(facts) if facts.unit.forced else facts.api)


@dataclass(frozen=True)
class EnableEtcd(Change):
    """Have etcd.service start at boot."""

    def shown(self) -> str:
        return f"systemctl enable {unit.NAME}"

    def test(self) -> str:
        return f"systemctl is-enabled -q {unit.NAME}"

    def act(self) -> str:
        return f"systemctl enable {unit.NAME}"

    def after(self, facts: HostFacts) -> HostFacts:
        return replace(facts, unit=replace(facts.unit, file_state="enabled"))


def _alone(facts: HostFacts) -> Api:
    """What the API answers after a forced start: one member, this one."""
    data = facts.data
    if data is None or data.log is None:
        return facts.api
    cluster, own = data.log.cluster_id, data.log.node_id
    me = Member(own, facts.conf.name, facts.conf.peer_urls, facts.conf.client_urls, False)
    revision = data.db.revision if data.db else 1
    status = Status(cluster, own, facts.machine.etcd_version, own, revision, data.log.term, data.log.commit, 0, False)
    return Api(MemberList(cluster, (me,)), status, linear=True, error="")

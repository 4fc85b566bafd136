"""Facts made tersely: a cluster of hosts etcd-0, etcd-1, … whose members are m0, m1, …

A host is told by its number. What a test does not say is as on a healthy member.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from requorum.facts import etcd_conf
from requorum.facts.bolt import Db, DbMember
from requorum.facts.certificates import Certificates
from requorum.facts.data_dir import DataDir
from requorum.facts.etcd_conf import EtcdConf
from requorum.facts.host import HostFacts, Silent
from requorum.facts.machine import Machine
from requorum.facts.mark import Mark
from requorum.facts.members import Api, Member, MemberList, Status
from requorum.facts.process import Process
from requorum.facts.unit import FENCE, FORCE, Unit
from requorum.facts.wal import Log, LogEnd
from requorum.facts.wal_changes import ConfChange
from requorum.inventory import Etcd, EtcdHost, Inventory, Ssh

CLUSTER = 0xC1
THREE = (0, 1, 2)
FIVE = (0, 1, 2, 3, 4)


def name(n: int) -> str:
    return f"etcd-{n}.example.com"


def names(*numbers: int) -> tuple[str, ...]:
    return tuple(name(n) for n in numbers)


def node(n: int) -> int:
    return 0xA0 + n


def peer(n: int) -> str:
    return f"http://10.0.0.{10 + n}:2380"


def client(n: int) -> str:
    return f"http://10.0.0.{10 + n}:2379"


def inventory(
    count: int = 3, *, lost: Iterable[int] = (), survivor: int | None = None, rejoin: Iterable[int] | None = None,
    accept_loss: bool = False,
) -> Inventory:  # fmt: skip
    given_up = set(lost)
    hosts = tuple(EtcdHost(name(n), f"10.0.0.{10 + n}", n in given_up, Ssh()) for n in range(count))
    named = None if survivor is None else name(survivor)
    etcd = Etcd("auto", hosts, named, None if rejoin is None else names(*rejoin), accept_loss)
    return Inventory(Path("prod.yaml"), "0" * 64, "prod", etcd)


def member(n: int, *, learner: bool = False, started: bool = True) -> Member:
    return Member(node(n), f"m{n}" if started else "", (peer(n),), (client(n),) if started else (), learner)


def members(*numbers: int, learners: Iterable[int] = (), unstarted: Iterable[int] = ()) -> tuple[Member, ...]:
    learning, new = set(learners), set(unstarted)
    return tuple(member(n, learner=n in learning, started=n not in new) for n in numbers)


def answers(n: int, listed: tuple[Member, ...], *, leader: int = 0, cluster: int = CLUSTER) -> Api:
    """What member n answers while a quorum stands behind it."""
    own = next((m for m in listed if m.id == node(n)), None)
    learner = own is not None and own.is_learner
    status = Status(cluster, node(n), "3.4.23", node(leader), 50, 2, 100, 20480, learner)
    return Api(MemberList(cluster, listed), status, linear=True, error="")


DEAF = Api(None, None, linear=False, error="etcd is not active")


def conf(n: int, among: Iterable[int] = THREE, **more: str) -> EtcdConf:
    values = {
        "ETCD_NAME": f"m{n}",
        "ETCD_DATA_DIR": "/var/lib/etcd/",
        "ETCD_INITIAL_ADVERTISE_PEER_URLS": peer(n),
        "ETCD_ADVERTISE_CLIENT_URLS": client(n),
        "ETCD_INITIAL_CLUSTER": ",".join(f"m{k}={peer(k)}" for k in among),
        "ETCD_INITIAL_CLUSTER_STATE": "new",
        **more,
    }
    return etcd_conf.parse("".join(f"{key}={value}\n" for key, value in values.items()))


def unit(
    state: str = "active/running", *, load: str = "loaded", file_state: str = "enabled",
    fenced: bool = False, forced: bool = False,
) -> Unit:  # fmt: skip
    active, _, sub = state.partition("/")
    drop_ins = ((FENCE,) if fenced else ()) + ((FORCE,) if forced else ())
    return Unit(
        load=load, active=active, sub=sub, file_state=file_state, main_pid=100 if active == "active" else 0,
        result="success", fragment="/lib/systemd/system/etcd.service", drop_ins=drop_ins, exec_start="/usr/bin/etcd",
        environment_files=(etcd_conf.PATH,), user="etcd",
    )  # fmt: skip


STOPPED = "inactive/dead"
STARTING = "activating/start"
CRASHED = "failed/failed"


def machine(n: int, *, has_wal: bool = True, **more: object) -> Machine:
    values: dict[str, object] = {
        "uid": 0, "hostname": name(n), "machine_id": f"machine-{n}", "boot_id": f"boot-{n}", "clock": 1_700_000_000.0,
        "ports": frozenset({2379, 2380}), "etcd_version": "3.4.23", "etcdctl_version": "3.4.23",
        "data_free": 1_000_000_000, "data_used": 1_000_000, "data_there": True,
        "data_entries": ("member",) if has_wal else (), "data_has_wal": has_wal, "backup_free": 1_000_000_000,
    }  # fmt: skip
    return Machine(**{**values, **more})  # type: ignore[arg-type]


def db_member(m: Member) -> DbMember:
    return DbMember(m.id, m.name, m.peer_urls, m.client_urls, m.is_learner)


def data(
    n: int, listed: tuple[Member, ...] | None = None, *, last: tuple[int, int] = (2, 100), commit: int = 99,
    consistent: int = 99, revision: int = 50, stale: bool = False, cluster: int = CLUSTER, error: str = "",
    changes: tuple[ConfChange, ...] = (), removed: tuple[int, ...] = (), unwritten: bool = False,
    samples: Mapping[int, tuple[int, int]] | None = None, commit_term: int | None = None,
) -> DataDir:  # fmt: skip
    """Readable data of member n, whose database lists these members."""
    log = Log(
        node_id=node(n), cluster_id=cluster, term=last[0], vote=0, commit=commit,
        commit_term=last[0] if commit_term is None else commit_term, first_index=1, last_index=last[1], last_term=last[0],
        torn=False, stale=stale, snapshot_index=0, snapshot_term=0, conf_changes=changes,
        needs_more=False,
        end=LogEnd("", 0, 0, 0),
    )  # fmt: skip
    db = Db(
        page_size=4096, txid=9, consistent_index=consistent, term=None, revision=revision, compact_revision=0,
        members=tuple(db_member(m) for m in (members(*THREE) if listed is None else listed)), removed=removed,
        learners=None, auth_enabled=False, cluster_version="3.4.0", alarms=(),
    )  # fmt: skip
    return DataDir(log, db, error, unwritten, samples or {})


def mark(survivor: int = 0) -> Mark:
    return Mark("20261105-0300", "prod", name(survivor), "ada@desk", "2026-11-05T03:00:00Z")


def process(*, forced: bool = False, started: int = 5000) -> Process:
    return Process(100, started, ("/usr/bin/etcd",), {"ETCD_FORCE_NEW_CLUSTER": "true"} if forced else {})


def facts(
    n: int, *, api: Api = DEAF, unit: Unit | None = None, data: DataDir | None = None, machine: Machine | None = None,
    conf: EtcdConf | None = None, processes: tuple[Process, ...] | None = None, mark: Mark | None = None,
) -> HostFacts:  # fmt: skip
    shown = unit or _unit()
    running = (process(forced=shown.forced),) if shown.active in ("active", "activating") else ()
    return HostFacts(
        name=name(n),
        machine=machine or _machine(n),
        conf=conf or _conf(n),
        unit=shown,
        processes=running if processes is None else processes,
        api=api,
        certificates=Certificates(()),
        mark=mark,
        data=data,
    )


_unit, _machine, _conf = unit, machine, conf


def healthy(
    n: int, listed: tuple[Member, ...] | None = None, *, unit: Unit | None = None, mark: Mark | None = None,
    leader: int = 0, cluster: int = CLUSTER,
) -> HostFacts:  # fmt: skip
    """A member that answers a linearizable read, and lists these members."""
    listed = members(*THREE) if listed is None else listed
    return facts(n, api=answers(n, listed, leader=leader, cluster=cluster), unit=unit, mark=mark)


def emptied(n: int, state: str = CRASHED, *, fenced: bool = False, mark: Mark | None = None) -> HostFacts:
    """A host whose data is gone; its etcd crash-loops, or was stopped."""
    return facts(n, machine=machine(n, has_wal=False), unit=unit(state, fenced=fenced), mark=mark)


def deaf(n: int, data: DataDir | None = None, *, mark: Mark | None = None) -> HostFacts:
    """A member that runs, has its data, and has found no leader since its start."""
    return facts(n, unit=unit(STARTING), data=data or _data(n), mark=mark)


def stopped(
    n: int, data: DataDir | None = None, *, masked: bool = False, fenced: bool = False, mark: Mark | None = None
) -> HostFacts:
    """A member that has its data and does not run."""
    shown = unit(STOPPED, load="masked" if masked else "loaded", fenced=fenced)
    return facts(n, unit=shown, data=data or _data(n), machine=_machine(n, ports=frozenset()), mark=mark)


_data = data


def silent(n: int, *, alive: bool = False) -> Silent:
    if alive:
        return Silent(name(n), "its host key is unknown: SHA256:abc", "compare it, then add it to known_hosts", True)
    return Silent(name(n), "no route to host", "is it switched on?")


def survey(*hosts: HostFacts | Silent) -> dict[str, HostFacts | Silent]:
    return {host.name: host for host in hosts}

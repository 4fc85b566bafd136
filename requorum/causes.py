"""Why members that have their data do not run, or take no writes, as far as the facts say; how to start them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from requorum.facts.etcd_conf import PATH
from requorum.facts.host import HostFacts
from requorum.facts.machine import CLIENT_PORT, PEER_PORT
from requorum.facts.manifest import PROBE
from requorum.facts.runtime import MANIFEST
from requorum.facts.unit import FORCE, FORCE_ENVIRONMENT
from requorum.inventory import Inventory
from requorum.runtimes import not_bare, wants_every_member

GONE = "its data is gone"
FULL = 1 << 20
"""With fewer bytes free than this etcd cannot be expected to write."""
NOSPACE_CURE = (
    "on one member: compact (etcdctl compact REVISION), on every member: etcdctl defrag; raise ETCD_QUOTA_BACKEND_BYTES "
    "if it is too small; then etcdctl alarm disarm"
)


def starts(intact: Sequence[HostFacts], owners: Mapping[str, str], quorum: int) -> tuple[str, ...]:
    """What is to be started: whose log ends highest first, then the easiest. What runs is named only where it should be enough.

    A member that starts is led by nobody whose log ends below its own; an emptied host that nobody sees votes for whoever asks.

    `owners`: on which host the member belongs whose data each host has, as its peer URL says.
    """
    able = [f for f in intact if not f.ran_committed]  # which comes back as a new member, once the others answer
    intact = able if len(able) >= quorum else intact
    down = sorted((f for f in intact if not f.unit.is_running), key=lambda f: (f.unit.fenced, f.unit.masked))
    down.sort(key=lambda f: (f.data.last if f.data is not None else None) or (0, 0), reverse=True)
    running = [f for f in intact if f.unit.is_running]
    named = [*down, *(running if len(running) >= quorum or not down else [])]
    lines = [line for f in named for line in _start(f, owners.get(f.name, ""))]
    return (*lines, "then run the same command again: it says whether the cluster is whole")


def _start(facts: HostFacts, owner: str) -> list[str]:
    if owner in ("", facts.name):
        return [*why_down(facts), f"{facts.name}: {how_to_start(facts)}"]
    return [
        f"{facts.name} has the data of {owner}'s member in {facts.conf.data_dir}: with etcd stopped on both, keep what "
        f"{owner} has now, move it there (owner, modes and SELinux labels kept), and start etcd on {owner} then"
    ]


def how_to_start(facts: HostFacts) -> str:
    """What to type on a host whose etcd could simply be started."""
    unit, first, why = facts.unit, list[str](), list[str]()
    if facts.machine.kept_log and not unit.is_running:
        segment = PurePosixPath(facts.machine.kept_log).name.rpartition(".")[0]
        first.append(f"mv -f {facts.machine.kept_log} {facts.conf.wal_dir}/{segment}")
        why.append("a recovery had committed its log, for a cluster of one; beside its peers it starts as it was")
    runtime = unit.runtime
    if runtime.force_in_conf and facts.conf.forced:
        first.append(f"sed -i 1,2d {PATH}")
        why.append("a recovery would have forced it")
    if runtime.kind == "static-pod":
        return _how_to_start_pod(facts, first, why)
    force = (
        [path for path in unit.drop_ins if path == runtime.guard]
        if runtime.force_in_conf
        else [FORCE, FORCE_ENVIRONMENT]
    )
    away = [runtime.fence] * unit.fenced + force * unit.forced
    if away:
        first.append(f"rm -f {' '.join(away)} && systemctl daemon-reload")
        why.append("it is fenced by a recovery" if unit.fenced else "a recovery would have forced it")
    if unit.masked:
        first.append(f"systemctl unmask {runtime.short}")
        why.append("it is masked")
    if first:
        return f"{' && '.join(first)} && systemctl start {runtime.short} ({'; '.join(why)})"
    if unit.is_running:
        return f"{runtime.log_words} (it is {unit.state} and finds no leader; its log says why)"
    return f"systemctl start {runtime.short} (it is {unit.state}; {runtime.log_words} says why)"


def _how_to_start_pod(facts: HostFacts, first: list[str], why: list[str]) -> str:
    unit, runtime, probe = facts.unit, facts.unit.runtime, ""
    if unit.probed:
        probe = "; without a quorum its liveness probe kills it about every minute, then it waits for up to 5 minutes"
    if wants_every_member(facts):
        probe += (
            ", and so it does while any member is away, where the image has etcdctl 3.3 or later: then run the same command "
            f"again while enough of them run, or take {PROBE} out by hand (move the file out of its folder, edit, move it back)"
        )
    if runtime.manifest != MANIFEST:
        first.append(f"mv {runtime.manifest} {MANIFEST}")
        why.append("it is fenced by a recovery" if unit.fenced else "its manifest was moved out")
    if runtime.node != "active":
        first.append(f"systemctl start {runtime.short}")
        why.append(f"{runtime.unit} is {runtime.node}, and it alone runs static pods")
    if first:
        return f"{' && '.join(first)} ({'; '.join(why)})"
    return f"{runtime.log_words} (it is {unit.state}{probe}; its log says why)"


def is_worthless(facts: HostFacts) -> bool:
    """Nothing that a member has acknowledged can be read here: the data is gone, damaged, or an emptied host's own."""
    data = facts.data
    return data is None or data.empty or data.unwritten or bool(data.error)


def worth_of(facts: HostFacts) -> str:
    """Why what lies in a reached host's data directory is no member's data that counts."""
    if facts.data is None or facts.data.empty:
        logless = "member" in facts.machine.data_entries
        return f"its data is without a log ({facts.conf.wal_dir}), and so worth nothing" if logless else GONE
    if facts.data.unwritten:
        return "nothing was ever written to the log there: an emptied host makes such a log when it starts"
    return facts.data.error or "it holds another member's data"


def damaged(facts: HostFacts, inventory: Inventory) -> str:
    """What to do about data that is damaged, or cannot be seen: it may hold what nobody else has; empty where it is none.

    Also where the operator has given the member up: then it counts as gone.
    """
    if facts.data is None or not facts.data.error or inventory.host(facts.name).lost:
        return ""
    return (
        f"{facts.name}: {facts.data.error}: do not start etcd on this data; mend it, or put back an undamaged disk of it; if "
        f"it is damaged for good, give the member up: `{facts.name}: {{…, lost: true}}`; it is then moved aside, and kept"
    )


def masked(facts: HostFacts) -> list[str]:
    """That systemd does not start etcd's unit, and the cure; empty where it does. Requorum's own fence is no mask."""
    runtime = facts.unit.runtime
    return [f"{runtime.unit} is masked, and not by Requorum: systemctl unmask {runtime.short}"] * facts.unit.masked


def taken_ports(facts: HostFacts) -> list[str]:
    """That somebody listens on etcd's ports while no etcd lives, and the cure; empty where nobody does."""
    taken = sorted({CLIENT_PORT, PEER_PORT} & facts.machine.ports) if not facts.processes else []
    ports = " and ".join(map(str, taken))
    return [f"another process listens on port {ports}: find it (ss -ltnp) and stop it"] if taken else []


def cannot_start(facts: HostFacts) -> list[str]:
    """What would keep etcd's unit from starting with the data and certificates that are here, each with its cure.

    Beside what keeps any host from being changed (`requorum.fitness.unfit`). Whether etcd runs now does not matter: it
    may have started before that, and is to be started again.
    """
    return [*masked(facts), *_foreign(facts), *taken_ports(facts), *_untrusted(facts)]


def _foreign(facts: HostFacts) -> list[str]:
    loaded, path = facts.unit.load == "loaded", facts.machine.data_foreign
    if not path or (loaded and facts.unit.user in ("", "root")):  # root may read whatever there is
        return []
    user = facts.unit.user if loaded else "its owner"
    return [f"{path} is not {user}'s to read and write: give it back (chown, chmod)"]


def _untrusted(facts: HostFacts) -> list[str]:
    now = datetime.fromtimestamp(facts.machine.clock, timezone.utc)
    return list(facts.certificates.problems(facts.conf, now))


def why_down(facts: HostFacts) -> list[str]:
    """What keeps etcd from running well here, each with its cure; empty where the facts do not say."""
    machine, conf, name = facts.machine, facts.conf, facts.name
    found = []
    if not machine.etcd_version and not facts.version_unread:
        found.append(f"{name}: etcd is not installed, or does not run (etcd --version): install it as it was")
    if machine.data_free < FULL:
        found.append(
            f"{name}: the file system of {conf.data_dir} has {machine.data_free} bytes free: make room, without touching "
            "what etcd wrote there"
        )
    here = (*_foreign(facts), *not_bare(facts), *taken_ports(facts), *_untrusted(facts))
    found += [f"{name}: {problem}" for problem in here]
    return found + _peer_url_problems(facts)


def _peer_url_problems(facts: HostFacts) -> list[str]:
    data, conf, found = facts.data, facts.conf, []
    own = next((m for m in data.members if m.id == data.node_id), None) if data is not None else None
    if own is not None and own.peer_urls and not set(own.peer_urls) & set(conf.peer_urls):
        found.append(
            f"{facts.name}: {PATH} advertises {', '.join(conf.peer_urls) or 'no peer URL'}, and the other members know "
            f"this one at {', '.join(own.peer_urls)}: correct ETCD_INITIAL_ADVERTISE_PEER_URLS"
        )
    listening = conf.get("ETCD_LISTEN_PEER_URLS")
    at = {urlsplit(url).hostname for url in listening.split(",")} if listening else set()
    wanted = own.peer_urls if own is not None and own.peer_urls else conf.peer_urls
    if at and not at & ({urlsplit(url).hostname for url in wanted} | {"0.0.0.0", "::"}):
        found.append(
            f"{facts.name}: ETCD_LISTEN_PEER_URLS in {PATH} is {listening}, and the other members know this one at "
            f"{', '.join(wanted)}: correct it"
        )
    return found


def alarms(answering: Sequence[HostFacts], kind: str) -> list[str]:
    """The hosts whose member reports an alarm of this kind."""
    return [f.name for f in answering if f.api.status and any(kind in error for error in f.api.status.errors)]

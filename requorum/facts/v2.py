"""The v2 API of a member, and what its health command says.

Source: chapter 38, introduction (`cluster-health`); etcd's etcdctl/ctlv2, 3.3 to 3.5. etcd 3.3 serves the
v2 API unless it is switched off, 3.4 and 3.5 only where it is switched on (ETCD_ENABLE_V2), 3.6 has none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from requorum.facts.etcd_conf import EtcdConf
from requorum.facts.machine import release_of
from requorum.facts.members import MemberList
from requorum.facts.process import LIVES, Process
from requorum.facts.runtime import FIND
from requorum.facts.shell import CTL
from requorum.facts.unit import Unit

CTL2 = r"""
ctl2() {  # etcdctl of the v2 API against this host's own member, and no other, with the member's own certificates
  local url ca cert key etcdctl words
  own_access
  words=(--no-sync --endpoints="$url")
  [ -n "$ca" ] && words+=(--ca-file="$ca")
  [ -n "$cert" ] && words+=(--cert-file="$cert" --key-file="$key")
  etcdctl=$(tool etcdctl) || { echo "no etcdctl was found" >&2; return 127; }
  env -u ETCDCTL_ENDPOINTS -u ETCDCTL_ENDPOINT -u ETCDCTL_PEERS -u ETCDCTL_CA_FILE -u ETCDCTL_CERT_FILE \
    -u ETCDCTL_KEY_FILE ETCDCTL_API=2 "$etcdctl" "${words[@]}" "$@"
}
ctl2_within() {  # the same, for so many seconds at most; some of its commands know no timeout
  timeout "$1" bash -c "$(declare -f conf_value own_access beside_etcd tool ctl2); ctl2 \"\${@:2}\"" ctl2 "$@"
}
"""
"""`ctl2 ARGUMENTS…` runs etcdctl (v2 API), `ctl2_within SECONDS ARGUMENTS…` for a while; after `CTL`."""

COMMAND = (
    "#: what the v2 API says\n"
    + CTL
    + CTL2
    + FIND
    + LIVES
    + r"""
etcdctl=$(tool etcdctl) || exit 0  # that of an image is there only beside a living etcd
echo there=yes
words=$(ETCDCTL_API=2 "$etcdctl" --help 2>&1)
for word in backup cluster-health; do grep -q "^ *$word " <<< "$words" && echo "knows=$word"; done
# Before it has had a leader a member serves nobody: every question would time out.
find_runtime
if [ $kind = static-pod ]; then
  etcd_lives || exit 0
else
  [ "$(systemctl show "$unit" -p ActiveState)" = ActiveState=active ] || exit 0
fi
echo asked=yes
if grep -q '^ *cluster-health ' <<< "$words"; then
  # A read is answered without a leader, too; the member list is not.
  if said=$(ctl2 --timeout 1s --total-timeout 2s ls / 2>&1); then
    echo served=yes
    (ctl2_within 2 --timeout 1s cluster-health 2>&1 | sed 's/^/health=/') &
    said=$(ctl2 --timeout 1s --total-timeout 2s member list 2>/dev/null) && sed 's/^/member=/' <<< "$said"
  else
    echo "error=$(tail -n 1 <<< "$said")"
  fi
fi
wait
true
"""
)

_MEMBER = re.compile(r"([0-9a-f]+)(?:\[unstarted\])?: (?:name=(\S*) )?peerURLs=(\S*)(?: clientURLs=(\S*))?.*")
_TRUE = ("1", "t", "T", "TRUE", "true", "True")  # as Go's strconv.ParseBool reads them
_FLAG = re.compile(r"--?enable-v2(?:=(\w+))?(?![\w-])")


@dataclass(frozen=True, slots=True)
class V2Member:
    """One line of the v2 API's member list."""

    id: int
    name: str
    peer_urls: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class V2:
    """What was read: the lines of `cluster-health` as etcdctl printed them, and the v2 API's member list.

    `asked`: the member ran, so that it could be asked. `served`: it answers the v2 API; else `error` is what etcdctl said.
    `there`: this host has an etcdctl now; `speaks`: it speaks the v2 API at all; `backs_up`: it has the v2 `backup`.
    """

    there: bool = False
    speaks: bool = False
    backs_up: bool = False
    asked: bool = False
    served: bool = False
    members: tuple[V2Member, ...] = ()
    health: tuple[str, ...] = ()
    error: str = ""

    @property
    def has_quorum(self) -> bool:
        """The v2 API says that some member is healthy: such a one has a leader, and so a quorum."""
        return any(" is healthy: " in line for line in self.health)

    def unlike(self, listed: MemberList | None) -> list[str]:
        """How the v2 API's member list differs from the v3 API's, in words; empty where it does not, or one is not known."""
        if not self.members or listed is None:
            return []
        here = {m.id: (m.name, frozenset(m.peer_urls)) for m in self.members}
        there = {m.id: (m.name, frozenset(m.peer_urls)) for m in listed.members}
        return [
            f"the member {id_:x}: the v2 API says {_told(here.get(id_))}, the v3 API says {_told(there.get(id_))}"
            for id_ in sorted(here.keys() | there.keys())
            if here.get(id_) != there.get(id_)
        ]


UNASKED = V2()

V2_ONLY = (
    "a quorum is there, so nothing may be forced; and members are removed, added and proven by the v3 API alone, which does "
    "not answer: find out why (etcd before 3.0 has none; users and roles; a proxy). Where only v2 is there, by hand: "
    "ETCDCTL_API=2 etcdctl member list, member remove ID, member add NAME URL"
)
"""What to do where the v2 API answers and the v3 API does not."""


def enables(conf: EtcdConf, unit: Unit, processes: tuple[Process, ...], version: str) -> bool:
    """Whether etcd is to serve the v2 API here: by its flag, its variable, or what this version does by itself.

    A living process counts before what files say.
    """
    release = release_of(version)
    if not release or release >= (3, 6):
        return False
    for process in processes:
        if process.told:
            return _enabled(" ".join(process.argv), process.environ, release)
    return _enabled(unit.exec_start, conf.values, release)


def _enabled(words: str, variables: Mapping[str, str], release: tuple[int, ...]) -> bool:
    flags = _FLAG.findall(words)
    if flags:
        return not flags[-1] or flags[-1] in _TRUE
    variable = variables.get("ETCD_ENABLE_V2", "")
    return variable in _TRUE if variable else release < (3, 4)


def parse(output: str) -> V2:
    """What COMMAND printed. Raises ValueError for a line of another shape."""
    found: dict[str, list[str]] = {}
    for line in output.splitlines():
        key, equals, value = line.partition("=")
        if not equals or key not in ("there", "knows", "asked", "served", "error", "member", "health"):
            raise ValueError(f"expected what the health commands say, found {line[:200]!r}")
        found.setdefault(key, []).append(value.strip())
    return V2(
        there="there" in found,
        speaks="cluster-health" in found.get("knows", []),
        backs_up="backup" in found.get("knows", []),
        asked="asked" in found,
        served="served" in found,
        members=tuple(_member(line) for line in found.get("member", []) if line),
        health=tuple(line for line in found.get("health", []) if line),
        error=" ".join(found.get("error", [])),
    )


def _member(line: str) -> V2Member:
    found = _MEMBER.fullmatch(line)
    if not found:
        raise ValueError(f"expected a line of the v2 member list, found {line[:200]!r}")
    urls = tuple(url.rstrip("/") for url in found[3].split(",") if url)
    return V2Member(int(found[1], 16), found[2] or "", urls)


def _told(member: tuple[str, frozenset[str]] | None) -> str:
    return f"{member[0] or 'no name'} at {', '.join(sorted(member[1]))}" if member else "nothing"

"""What a running member answers over its API: the member list, its status, and whether a quorum stands behind it."""

from __future__ import annotations

import json
from dataclasses import dataclass

from requorum.facts.process import LIVES
from requorum.facts.runtime import FIND
from requorum.facts.shell import CTL

LIST_COMMAND = CTL + "ctl member list -w json"
STATUS_COMMAND = CTL + "ctl endpoint status -w json"
API_COMMAND = (
    "#: what the member answers\n"
    + CTL
    + FIND
    + LIVES
    + r"""
find_runtime
if [ $kind = service ]; then
  # systemd calls etcd active only once it has had a leader; before that, every question would time out.
  [ "$(systemctl show "$unit" -p ActiveState)" = ActiveState=active ] || { echo "etcd is not active" >&2; exit 0; }
else
  # Of a container nobody knows that. A member without a leader lets the first question time out, and is asked no other.
  etcd_lives || { echo "no etcd lives" >&2; exit 0; }
  PATIENCE=3s
fi
status=$(ctl endpoint status -w json) || exit 0
echo "status=$status"
case $status in *'"leader":'[1-9]*) ;; *) echo "it knows no leader" >&2; exit 0;; esac
[ -z "$with_health" ] || ctl endpoint health 2>&1 | sed 's/^/health=/' &
# A linearizable read: only a member that reaches a leader with quorum answers it.
ctl get --consistency=l requorum/probe -w json > /dev/null && echo linear=yes &
list=$(ctl member list -w json) && echo "list=$list"
wait
"""
)
"""All of it in one, without a question that a member without a leader would let time out."""
API_AND_HEALTH_COMMAND = f"with_health=yes\n{API_COMMAND}"
"""And what `endpoint health` says, as the chapter asks, for a reader; nothing is taken from it."""


_WHO_ARE_YOU = ("permission denied", "user name not found", "user name is empty", "authentication failed")
"""What etcd answers (api/v3rpc/rpctypes) where its users and roles are switched on."""


@dataclass(frozen=True, slots=True)
class Member:
    """One line of a member list."""

    id: int
    name: str
    peer_urls: tuple[str, ...]
    client_urls: tuple[str, ...]
    is_learner: bool

    @property
    def hex_id(self) -> str:
        """The ID as etcdctl writes it."""
        return f"{self.id:x}"


@dataclass(frozen=True, slots=True)
class MemberList:
    """The members as one member sees them."""

    cluster_id: int
    members: tuple[Member, ...]

    @property
    def voters(self) -> tuple[Member, ...]:
        """The members that count for the quorum."""
        return tuple(member for member in self.members if not member.is_learner)

    @property
    def quorum(self) -> int:
        """How many voters make a majority."""
        return len(self.voters) // 2 + 1

    def of(self, peer_urls: tuple[str, ...]) -> Member | None:
        """The member with one of these peer URLs."""
        return next((m for m in self.members if set(m.peer_urls) & set(peer_urls)), None)


@dataclass(frozen=True, slots=True)
class Hash:
    """The hash of everything that a member holds up to a revision."""

    cluster_id: int
    value: int

    def __str__(self) -> str:
        return f"hash {self.value} of cluster {self.cluster_id:x}"


@dataclass(frozen=True, slots=True)
class Status:
    """What one member says of itself."""

    cluster_id: int
    member_id: int
    version: str
    leader: int
    revision: int
    raft_term: int
    raft_index: int
    db_bytes: int
    is_learner: bool
    errors: tuple[str, ...] = ()
    """Alarms (NOSPACE, CORRUPT). Read here, because `alarm list` is a Raft proposal: it needs quorum, and is logged."""


@dataclass(frozen=True, slots=True)
class Api:
    """A member's answers; None and False where it did not answer in time. `health`: lines of `endpoint health`."""

    members: MemberList | None
    status: Status | None
    linear: bool
    error: str
    health: tuple[str, ...] = ()

    @property
    def denied(self) -> bool:
        """It asks who we are: its users and roles are switched on."""
        return any(words in self.error for words in _WHO_ARE_YOU)

    @property
    def answers(self) -> bool:
        """The member stands in a quorum and says so."""
        return self.linear and self.members is not None


def hash_command(revision: int) -> str:
    """The command that `parse_hash` reads; a large store takes its time."""
    return f"{CTL}PATIENCE=60s ctl endpoint hashkv --rev={revision} -w json"


def parse_hash(output: str) -> Hash:
    """The hash from ``etcdctl endpoint hashkv -w json``. Raises ValueError for anything else."""
    try:
        found = json.loads(output)[0]["HashKV"]
        return Hash(int(found["header"]["cluster_id"]), int(found["hash"]))
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise ValueError(f"expected a hash in JSON, found {output[:200]!r} ({error})") from None


def parse_list(output: str) -> MemberList:
    """The member list from ``etcdctl member list -w json``. Raises ValueError for anything else."""
    try:
        fields = json.loads(output)
        members = tuple(
            Member(
                id=int(m["ID"]),
                name=str(m.get("name", "")),
                peer_urls=tuple(str(u).rstrip("/") for u in m.get("peerURLs", [])),
                client_urls=tuple(str(u).rstrip("/") for u in m.get("clientURLs", [])),
                is_learner=bool(m.get("isLearner", False)),
            )
            for m in fields["members"]
        )
        return MemberList(int(fields["header"]["cluster_id"]), members)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"expected a member list in JSON, found {output[:200]!r} ({error})") from None


def parse_api(output: str, error: str) -> Api:
    """The answers from API_COMMAND, with or without health, whose error output is `error`.

    Raises ValueError for anything else.
    """
    lines = [line.partition("=")[::2] for line in output.splitlines()]
    said = dict(lines)
    if said.keys() - {"status", "linear", "list", "health"}:
        raise ValueError(f"expected status, list and linear, found {output[:200]!r}")
    return Api(
        members=parse_list(said["list"]) if "list" in said else None,
        status=parse_status(said["status"]) if said.get("status", "null") not in ("null", "[]") else None,
        linear=said.get("linear") == "yes",
        error=error.strip().rpartition("\n")[2],
        # etcd's own log of the attempt, in JSON, stands before the answer.
        health=tuple(words for key, words in lines if key == "health" and words and not words.startswith("{")),
    )


def parse_status(output: str) -> Status:
    """The status from ``etcdctl endpoint status -w json``. Raises ValueError for anything else."""
    try:
        status = json.loads(output)[0]["Status"]
        header = status["header"]
        return Status(
            cluster_id=int(header["cluster_id"]),
            member_id=int(header["member_id"]),
            version=str(status["version"]),
            leader=int(status.get("leader", 0)),
            revision=int(header.get("revision", 0)),
            raft_term=int(header.get("raft_term", 0)),
            raft_index=int(status.get("raftIndex", 0)),
            db_bytes=int(status.get("dbSize", 0)),
            is_learner=bool(status.get("isLearner", False)),
            errors=tuple(str(error) for error in status.get("errors") or ()),
        )
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise ValueError(f"expected an endpoint status in JSON, found {output[:200]!r} ({error})") from None

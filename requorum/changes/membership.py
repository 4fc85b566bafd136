"""Changes of the member list, asked of a running member."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from requorum.changes.change import Change, quote
from requorum.facts.host import HostFacts
from requorum.facts.members import Member
from requorum.facts.shell import PROBE


@dataclass(frozen=True)
class MemberChange(Change):
    """A change of the member list, asked of `host`, a running member."""

    name: str
    peer_urls: tuple[str, ...]

    def listed(self) -> str:
        """Shell: the line of the member with these peer URLs, `ID, status, name, peers, clients, learner`."""
        return f"ctl member list | grep -F -- {quote(', ' + ','.join(self.peer_urls) + ', ')}"

    def _members(self, facts: HostFacts, change: Callable[[tuple[Member, ...]], tuple[Member, ...]]) -> HostFacts:
        if facts.api.members is None:
            return facts
        listed = replace(facts.api.members, members=change(facts.api.members.members))
        return replace(facts, api=replace(facts.api, members=listed))


@dataclass(frozen=True)
class AddMember(MemberChange):
    """Add a member that has not started yet. etcd refuses for some seconds after a join: that is waited for."""

    learner: bool = True

    def shown(self) -> str:
        flag = " --learner" if self.learner else ""
        return f"etcdctl member add {quote(self.name)}{flag} --peer-urls={quote(','.join(self.peer_urls))}"

    def test(self) -> str:
        return f"{self.listed()} >/dev/null"

    def act(self) -> str:
        flag = "--learner" if self.learner else ""
        return f"""end=$((SECONDS + {int(self.seconds)}))
while :; do
  said=$(ctl member add {quote(self.name)} {flag} --peer-urls={quote(",".join(self.peer_urls))} 2>&1) && return 0
  case $said in
    *"unhealthy cluster"*|*"not enough started members"*|*"too many learner members"*) ;;
    *) echo "$said" >&2; return 1;;
  esac
  [ $SECONDS -lt $end ] || {{ echo "$said" >&2; return 1; }}
  sleep 0.1
done"""

    def after(self, facts: HostFacts) -> HostFacts:
        if facts.api.members is None or facts.api.members.of(self.peer_urls):
            return facts
        added = Member(0, self.name, self.peer_urls, (), self.learner)
        return self._members(facts, lambda members: (*members, added))


@dataclass(frozen=True)
class PromoteMember(MemberChange):
    """Make a learner a voter, once it is proven: a vote that does not answer can stop every write.

    It answers now, as this learner, without an alarm; it holds a key that is written this moment (and deleted), and as
    many keys as this member. etcd refuses only while the learner's log is behind; what a log that was cut does not hold,
    no learner replays, and etcd does not notice (etcd issue 14009).
    """

    client_urls: tuple[str, ...]

    def shown(self) -> str:
        return f"etcdctl member promote <ID of {quote(self.name)}>"

    def test(self) -> str:
        return f"{self.listed()} | grep -q ', started, .*, false$'"

    def act(self) -> str:
        return f"""id=$({self.listed()} | cut -d, -f1)
[ -n "$id" ] || {{ echo "no member has the peer URL "{quote(",".join(self.peer_urls))} >&2; return 1; }}
end=$((SECONDS + {int(self.seconds)}))
number() {{ grep -o "\\"$1\\":[0-9]*" | head -n 1 | cut -d: -f2; }}
its() {{ ENDPOINTS={quote(",".join(self.client_urls))} ctl "$@" -w json; }}
ctl put {PROBE}/learner "$id" >/dev/null || return 1
mine=$(ctl del {PROBE}/learner -w json | number revision)
proven() {{  # what is not yet so, in a word or two
  status=$(its endpoint status 2>/dev/null) || {{ echo "it does not answer"; return 1; }}
  case $status in *'"errors":'*) echo "it has an alarm: $status"; return 1;; esac
  [ "$(number member_id <<< "$status")" = "$(printf %u "0x$id")" ] || {{ echo "another member answers: $status"; return 1; }}
  held=$(number revision <<< "$status")
  [ "${{held:-0}}" -ge "${{mine:?}}" ] || {{ echo "it holds revision ${{held:-none}}, this member $mine"; return 1; }}
  set -- get '' --prefix --keys-only --limit=1 --consistency=s --rev="$mine"  # its count is of all
  held=$(its "$@" 2>&1) && there=$(ctl "$@" -w json 2>&1) || {{ echo "its keys: $held $there"; return 1; }}
  held=$(number count <<< "$held") there=$(number count <<< "$there")  # none where there are none
  [ "$held" = "$there" ] || {{ echo "it holds ${{held:-no}} keys at revision $mine, this member ${{there:-none}}"; return 1; }}
}}
until said=$(proven); do
  [ $SECONDS -lt $end ] || {{ echo "the learner is not fit to vote: $said" >&2; return 1; }}
  sleep 0.05
done
while :; do
  said=$(ctl member promote "$id" 2>&1) && return 0
  case $said in
    *"in sync with leader"*|*"unhealthy cluster"*|*"not enough started members"*) ;;
    *) echo "$said" >&2; return 1;;
  esac
  [ $SECONDS -lt $end ] || {{ echo "$said" >&2; return 1; }}
  sleep 0.05
done"""

    def after(self, facts: HostFacts) -> HostFacts:
        def promoted(member: Member) -> Member:
            return replace(member, is_learner=False) if member.peer_urls == self.peer_urls else member

        return self._members(facts, lambda members: tuple(promoted(m) for m in members))


@dataclass(frozen=True)
class RemoveMember(MemberChange):
    """Remove a member by its ID; needs a quorum."""

    id: int

    def shown(self) -> str:
        return f"etcdctl member remove {self.id:x}    ({self.name})"

    def test(self) -> str:
        return f"said=$(ctl member list) && ! grep -q '^{self.id:x}, ' <<< \"$said\""

    def act(self) -> str:
        return f"ctl member remove {self.id:x} >&2"

    def after(self, facts: HostFacts) -> HostFacts:
        return self._members(facts, lambda members: tuple(m for m in members if m.id != self.id))


@dataclass(frozen=True)
class UpdatePeerUrls(MemberChange):
    """Have a member listed under the peer URLs that it advertises."""

    id: int

    def shown(self) -> str:
        return f"etcdctl member update {self.id:x} --peer-urls={quote(','.join(self.peer_urls))}"

    def test(self) -> str:
        return f"{self.listed()} | grep -q '^{self.id:x}, '"

    def act(self) -> str:
        return f"ctl member update {self.id:x} --peer-urls={quote(','.join(self.peer_urls))} >&2"

    def after(self, facts: HostFacts) -> HostFacts:
        return self._members(
            facts,
            lambda members: tuple(replace(m, peer_urls=self.peer_urls) if m.id == self.id else m for m in members),
        )

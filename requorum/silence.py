"""What is known of the hosts that SSH does not reach: whether their members may live, and what to do. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from urllib.parse import urlsplit

from requorum.facts.bolt import DbMember
from requorum.facts.host import HostFacts, Silent
from requorum.facts.members import Member
from requorum.inventory import Inventory

Survey = Mapping[str, "HostFacts | Silent"]


def reasons(survey: Survey) -> tuple[str, ...]:
    """Why each silent host is silent, and what to do."""
    return tuple(f"{s.name}: {s.reason}; {s.advice}" for s in survey.values() if isinstance(s, Silent))


def not_read(reached: Sequence[HostFacts]) -> tuple[list[str], list[str]]:
    """Whose data did not come from the host, and what to do about it; empty where there is none.

    It may hold the most, whatever is declared: nobody may be forced, removed or moved aside without knowing.
    """
    late = [(facts.name, facts.data.error) for facts in reached if facts.data is not None and facts.data.unread]
    return [f"the data of {name} was not read: {why}" for name, why in late], [
        f"run the same command again, where the line is slow from a machine nearer to {name}; if it is the host's disk "
        f"that hangs or fails, take the host's power, and declare it lost: `{name}: {{…, lost: true}}`"
        for name, _ in late
    ]


def edited_later(name: str, *, is_master: bool) -> str:
    """What becomes of a silent master, or of a silent node with Flannel, in words."""
    kind, file = ("master", "its master-config.yaml") if is_master else ("node", "Flannel's configuration there")
    return f"the {kind} {name} is silent: {file} is edited when the host is back, by this command"


def listening(places: Collection[str], survey: Survey) -> str:
    """At which URLs of these hosts (names and addresses) a member listens, and who saw it; empty where none does."""
    seen = [
        f"{url} listens, as seen from {f.name}"
        for f in survey.values()
        if isinstance(f, HostFacts)
        for url in f.heard
        if urlsplit(url).hostname in places
    ]
    return ", ".join(seen)


def places_of(member: Member | DbMember) -> set[str]:
    """Names and addresses at which a member's peers and clients look for it."""
    return {urlsplit(url).hostname or "" for url in (*member.peer_urls, *member.client_urls)}


def sought_at(member: Member | DbMember, inventory: Inventory) -> str:
    """The host where the others look for a member; empty where its URLs name none of the inventory."""
    return next((host.name for host in inventory.etcd.hosts if places_of(member) & {host.name, host.address}), "")


def places_of_host(name: str, inventory: Inventory, survey: Survey) -> set[str]:
    """Names and addresses of a host: the inventory's, and those at which the data of others knows its member."""
    found = {name, inventory.host(name).address}
    for facts in survey.values():
        for member in facts.data.members if isinstance(facts, HostFacts) and facts.data else ():
            if member.name == name or places_of(member) & found:
                found |= places_of(member)
    return found


def given_up(name: str, inventory: Inventory, survey: Survey, member: Member | None = None) -> bool:
    """Declared lost, and nothing at the places of the host (and of its member) contradicts that."""
    facts = survey[name]
    if not inventory.host(name).lost or not isinstance(facts, Silent) or facts.alive:
        return False
    places = places_of_host(name, inventory, survey) | (places_of(member) if member else set())
    return not listening(places, survey)


def lives(name: str, member: Member | DbMember, survey: Survey) -> bool:
    """SSH does not reach the host of a member, and something there answers all the same."""
    facts = survey.get(name)
    if isinstance(facts, HostFacts):
        return False
    return (facts is not None and facts.alive) or bool(listening(places_of(member), survey))


def declare(member: Member | DbMember, name: str, survey: Survey) -> str:
    """What to do about a member of a silent host, or of one that the inventory does not have."""
    facts = survey.get(name)
    listens = listening(places_of(member), survey)
    if not isinstance(facts, Silent):
        return f"add {name} to etcd.hosts in the inventory, with `lost: true` if it will not come back"
    if listens:
        cure = facts.advice if facts.alive else f"mend SSH ({facts.advice}), or take the host's power"
        return f"the etcd of {name} lives ({listens}), and SSH does not reach it ({facts.reason}): {cure}"
    if facts.alive:
        return f"{name} {facts.answers} and lets nobody in ({facts.reason}): {facts.advice}"
    return (
        f"{name} is silent ({facts.reason}): bring it up, or, if it will not come back by itself, "
        f"write under etcd.hosts in the inventory: `{name}: {{…, lost: true}}`"
    )

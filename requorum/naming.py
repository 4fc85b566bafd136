"""Which host a url means, as the configurations of masters and of Flannel name members: by host name or address. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from requorum.facts.beside import AnyFacts
from requorum.facts.host import HostFacts, Silent
from requorum.facts.master_config import host_of
from requorum.facts.members import Member, MemberList
from requorum.inventory import Inventory

Places = Mapping[str, str]
"""From a name or an address, as it stands in a url, to the inventory's name of the host."""


class UrlList(Protocol):
    """One place that names members."""

    @property
    def field(self) -> str:
        """What it is called."""

    @property
    def urls(self) -> tuple[str, ...]:
        """The urls in it."""


class NamesMembers(Protocol):
    """A configuration that names members."""

    @property
    def urls(self) -> tuple[str, ...]:
        """Every url that it names, once."""

    @property
    def lists(self) -> Sequence[UrlList]:
        """The places in which they stand."""


class Configured(Protocol):
    """A master, or Flannel on a host."""

    @property
    def config(self) -> NamesMembers:
        """Its configuration."""


_OWN = ("localhost", "127.0.0.1", "::1")


def places(inventory: Inventory, survey: Mapping[str, HostFacts | Silent]) -> Places:
    """Every name and address by which a host of the inventory is known."""
    found: dict[str, str] = {}
    for host in inventory.etcd.hosts:
        facts = survey.get(host.name)
        known = {host.name, host.address}
        if isinstance(facts, HostFacts):
            known |= {facts.machine.hostname, *map(host_of, (*facts.conf.client_urls, *facts.conf.peer_urls))}
        found |= {name.lower(): host.name for name in known if name}
    return found


def place_of(url: str, on: str, known: Places) -> str:
    """The host that a url means in the configuration of the host `on`; empty for one that nobody knows.

    Beside the cluster `localhost` is nobody: no member runs there.
    """
    name = host_of(url)
    return known.get(on.lower() if name in _OWN else name, "")


def hosts_of(members: Iterable[Member], known: Places) -> frozenset[str]:
    """The hosts of these members, as far as they are known."""
    urls = (url for member in members for url in (*member.peer_urls, *member.client_urls))
    return frozenset(filter(None, (known.get(host_of(url), "") for url in urls)))


def called_by_masters(known: Places, everybody: Iterable[AnyFacts]) -> dict[str, frozenset[str]]:
    """By which names and addresses masters call each host of etcd, a recovery's own edits of their files left out."""
    found: dict[str, set[str]] = {}
    for facts in everybody:
        if facts.master is not None:
            for url in (facts.master.found or facts.master.config).urls:
                found.setdefault(place_of(url, facts.name, known), set()).add(host_of(url))
    return {name: frozenset(called - {*_OWN}) for name, called in found.items() if name}


def strangers(name: str, found: Configured, known: Places) -> list[str]:
    """The urls in a host's configuration that mean no host of the inventory."""
    return [url for url in found.config.urls if not place_of(url, name, known)]


def disagreements(name: str, configured: Configured, wanted: frozenset[str], known: Places) -> list[str]:
    """How each list of a host's configuration differs from the hosts of the members; empty where none does."""
    found = []
    for one in configured.config.lists:
        named = {place_of(url, name, known) or url for url in one.urls}
        told = [f"names {other}, which is no member" for other in sorted(named - wanted)]
        told += [f"does not name the member on {other}" for other in sorted(wanted - named)]
        found += [f"{name}: {one.field} {words}" for words in told]
    return found


def owed_where_named(
    inventory: Inventory, survey: Mapping[str, HostFacts | Silent], listed: MemberList, *, whole: bool
) -> list[str]:
    """What a recovery left undone on masters, and then of Flannel, in words; `whole`: no host of the inventory is missing."""
    known = places(inventory, survey)
    reached = [facts for facts in survey.values() if isinstance(facts, HostFacts)]
    return owed_by(reached, hosts_of(listed.members, known), known, whole=whole)


def owed_by(reached: Sequence[AnyFacts], wanted: frozenset[str], known: Places, *, whole: bool) -> list[str]:
    """The same of these hosts, which are to name the members on the hosts `wanted`."""
    found: list[str] = []
    for facts in reached:
        if facts.master is not None:
            found += disagreements(facts.name, facts.master, wanted, known)
            found += [f"a restart of the {component} on the master {facts.name}" for component in facts.master.owes]
            if whole and facts.master.found:
                found.append(f"the master {facts.name} remembers how its configuration was found")
    for facts in reached:
        if facts.flannel is not None and facts.flannel.in_use:
            found += disagreements(facts.name, facts.flannel, wanted, known)
            if facts.flannel.owes:
                found.append(f"a restart of flanneld on {facts.name}")
            if facts.flannel.kept is not None:
                found.append(f"{facts.name} remembers which leases Flannel had")
            if whole and facts.flannel.found:
                found.append(f"{facts.name} remembers how Flannel's configuration was found")
    return found

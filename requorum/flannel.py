"""What a step may ask of Flannel on the hosts that have it. Reads only."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import datetime, timezone

from requorum.clients import Client
from requorum.facts import flannel, flanneld_conf
from requorum.facts.beside import AnyFacts, BesideFacts
from requorum.facts.flannel import NO_API, NO_NETWORK, SERVED, UNKNOWN, Lease
from requorum.facts.host import MissingFact
from requorum.live import Cluster
from requorum.masters import Masters
from requorum.naming import Places, disagreements, place_of, strangers
from requorum.run import Run
from requorum.survey import Unexpected

MEND = (
    "look at it on that host: systemctl status flanneld, journalctl -u flanneld; mend what is named, then run the same "
    "command again: everything else is done"
)

_V2 = {
    NO_API: "etcd {where} serves no v2 API, which Flannel needs: ETCD_ENABLE_V2=true in etcd.conf (etcd from 3.4 on)",
    NO_NETWORK: "etcd {where} has no network of Flannel below {prefix} (v2 data)",
    UNKNOWN: "etcd {where} does not answer by the v2 API now: which leases Flannel has cannot be told",
}


class FlannelHosts:
    """Flannel on the hosts of the inventory, and the members that its configuration is to name."""

    def __init__(self, run: Run) -> None:
        self._run, self._cluster, self._masters = run, Cluster(run), Masters(run)

    def __repr__(self) -> str:
        return f"Flannel on the hosts of {self._cluster}"

    @property
    def places(self) -> Places:
        """By which names and addresses each host is known."""
        return self._masters.places

    @property
    def urls(self) -> dict[str, str]:
        """What to write for a host that a configuration has never named."""
        return self._masters.urls

    @property
    def remaining(self) -> tuple[str, ...]:
        """The hosts of the members that are left while others are away."""
        return self._masters.remaining

    def listed(self) -> tuple[str, ...]:
        """The hosts of the members as the survivor lists them now; in a plan, as the changes so far leave them."""
        return self._masters.listed()

    def now(self, client: Client) -> flannel.Flannel:
        """Flannel on a host, now. Raises MissingFact for a host without it."""
        return _of(client.name, client.now("flannel").flannel)

    def facts(self, client: Client) -> AnyFacts:
        """A host with Flannel read now; of one beside the cluster, which has no member, the survivor tells the leases."""
        found = client.now("flannel")
        if self._run.model is not None or not isinstance(found, BesideFacts) or found.flannel is None:
            return found
        keys, leases = self._told_by_survivor(found.flannel.config.prefix)
        return replace(found, flannel=replace(found.flannel, keys=keys, leases=leases))

    def problems(self, client: Client) -> list[str]:
        """What keeps Flannel on a host from being changed safely; empty where it may."""
        found = _of(client.name, client.surveyed.flannel)
        lines = client.unfit
        lines += [f"{what} is not there: the proof of a restarted flanneld needs it" for what in found.missing]
        return lines + [
            f"{flanneld_conf.PATH}, line {found.config.line}: it names {url}, which is no host of the inventory: is it a "
            "member? Then add its host to etcd.hosts; if it is another name of one, write that host's name there"
            for url in strangers(client.name, found, self.places)
        ]

    def notes(self, client: Client) -> list[str]:
        """What of Flannel on a host should be known before anything is changed."""
        found = _of(client.name, client.surveyed.flannel)
        said = [] if found.is_to_run else [f"flanneld does not run here ({found.active}): it is not started"]
        survivor, keys, where = self._cluster.diagnosis.survivor, found.keys, "here"
        if isinstance(client.surveyed, BesideFacts):
            keys, where = self._told_by_survivor(found.config.prefix)[0], f"on {survivor}"
        elif client.name != survivor:  # of an emptied host nothing else was to be expected; the survivor's data counts
            return said
        if keys != SERVED and found.kept is None:
            said.append(_V2[keys].format(where=where, prefix=found.config.prefix))
        return said

    def named(self, client: Client) -> set[str]:
        """The hosts that a host's configuration names now, and the urls that mean none of them."""
        return {place_of(url, client.name, self.places) or url for url in self.now(client).config.urls}

    def disagreements(self, client: Client) -> list[str]:
        """How a host's configuration differs now from the member list; empty where it agrees."""
        return disagreements(client.name, self.now(client), frozenset(self.listed()), self.places)

    def lost_leases(self, client: Client) -> list[str]:
        """The leases that this host noted down, that etcd does not have now, and that have not ended by themselves."""
        return [f"{one.subnet} of {one.address}, until {one.ends}" for one in self._gone(client) if not _has_ended(one)]

    def ended_leases(self, client: Client) -> list[str]:
        """The leases that have ended by themselves since this host noted them down, in words."""
        return [
            f"the lease {one.subnet} of {one.address} ended at {one.ends}"
            for one in self._gone(client)
            if _has_ended(one)
        ]

    def _gone(self, client: Client) -> list[Lease]:
        kept = self.now(client).kept or ()
        there = {(one.subnet, one.address) for one in self._leases(client)} if kept else set()
        return [one for one in kept if (one.subnet, one.address) not in there]

    def _leases(self, client: Client) -> tuple[Lease, ...]:
        """As the member on this host has them, or, where it is no member, the survivor. Raises MissingFact."""
        here = _of(client.name, self.facts(client).flannel)
        keys, leases = here.keys, here.leases
        if keys != SERVED and client.name != self._cluster.diagnosis.survivor:
            keys, leases = self._told_by_survivor(here.config.prefix)
        if keys != SERVED:
            raise MissingFact(client.name, "Flannel's leases in etcd (v2 API)", keys)
        return leases

    def _told_by_survivor(self, prefix: str) -> tuple[str, tuple[Lease, ...]]:
        survivor = self._cluster.survivor.name
        answer = self._run.remotes[survivor].run(flannel.keys_command(prefix), seconds=15)
        try:
            return flannel.parse_keys(answer.stdout)
        except ValueError as error:
            advice = "look at Flannel's keys in etcd (v2 API)"
            raise Unexpected(survivor, expected="Flannel's keys", found=str(error), advice=advice) from None


def _has_ended(lease: Lease) -> bool:
    """By its own end, and the clock here; one without an end never does."""
    if not lease.ends:
        return False
    ends = datetime.strptime(lease.ends[:19], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=timezone.utc)
    return ends.timestamp() <= time.time()


def _of(name: str, found: flannel.Flannel | None) -> flannel.Flannel:
    if found is None:
        raise MissingFact(name, "Flannel", "a host without /etc/sysconfig/flanneld")
    return found

"""What a step may ask of the OpenShift masters and of their APIs. Reads only, but for the proof that an API writes."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import TypeVar

from requorum.changes.oc import FALLBACK
from requorum.clients import Client
from requorum.diagnosis import Verdict
from requorum.facts import holders, master, master_api, master_config
from requorum.facts.beside import AnyFacts, BesideFacts
from requorum.facts.host import HostFacts, MissingFact, Silent
from requorum.facts.master import Master
from requorum.facts.prediction import mod_revisions
from requorum.facts.shell import CTL
from requorum.live import Cluster
from requorum.naming import Places, disagreements, hosts_of, place_of, places, strangers
from requorum.remote import RemoteError
from requorum.run import Run
from requorum.silence import edited_later
from requorum.survey import Unexpected

Found = TypeVar("Found")

MEND = (
    "look at it on that master: systemctl status origin-master-api origin-master-controllers (or atomic-openshift-…), "
    "master-logs api api; mend what is named, then run the same command again"
)


EDIT = (
    "look at that host (df -h; is a file system read-only?), mend it, then run the same command again; one that runs no etcd "
    "can also be left out of the inventory: edit the file there by hand afterwards, and restart what reads it"
)

MISSED = (
    "what only lost members held is unknown, so etcd's revision may have gone back, and kubelets, the SDN and routers may "
    "have missed events without a word, which no restart of an API cures: restart the node service on every node "
    "(systemctl restart origin-node, or atomic-openshift-node), then the router pods"
)

NO_OC = "oc needs the API, and that a quorum: no snapshot by `oc exec`; the data of this static pod is copied on the host instead"

LOOK = "oc -n kube-service-catalog get daemonset apiserver -o yaml; oc -n kube-system get configmaps -o yaml"


class Masters:
    """The masters of the inventory, and the members that their configuration is to name."""

    def __init__(self, run: Run) -> None:
        self._run, self._cluster = run, Cluster(run)

    def __repr__(self) -> str:
        return f"the masters of {self._cluster}"

    @property
    def places(self) -> Places:
        """By which names and addresses each host is known."""
        return places(self._run.inventory, self._run.survey)

    @property
    def _places_of_masters(self) -> Places:
        """The same, and of the masters beside the cluster."""
        reached = self._run.beside.values()
        found = {
            one: facts.name for facts in reached if isinstance(facts, BesideFacts) for one in facts.machine.addresses
        }
        return {**self.places, **found, **{host.address.lower(): host.name for host in self._run.inventory.beside}}

    @property
    def silence(self) -> list[str]:
        """What becomes of the masters that are silent, in words; of those beside the cluster the verdict tells."""
        silent = [n for n in self._run.inventory.master_names if isinstance(self._run.survey.get(n), Silent)]
        return [edited_later(name, is_master=True) for name in silent]

    @property
    def urls(self) -> dict[str, str]:
        """What to write for a host that a configuration has never named: where its member tells clients to go."""
        return {facts.name: facts.conf.client_urls[0] for facts in self._cluster.reached if facts.conf.client_urls}

    @property
    def remaining(self) -> tuple[str, ...]:
        """The hosts of the members that are left while others are away."""
        return self._cluster.diagnosis.members

    def listed(self) -> tuple[str, ...]:
        """The hosts of the members as the survivor lists them now; in a plan, as the changes so far leave them."""
        found = hosts_of(self._cluster.survivor.now("members").members, self.places)
        return tuple(name for name in self._run.inventory.host_names if name in found)

    def surveyed(self, name: str) -> Master:
        """What the survey read on a master. Raises MissingFact for a host that was not read as one."""
        return _master(name, Client(self._run, name).surveyed)

    def now(self, client: Client) -> Master:
        """A master, now. Raises MissingFact for a host that is none."""
        return _master(client.name, client.now("master"))

    def unproven_before(self, client: Client) -> list[str]:
        """The masters before this one, in the inventory's order, whose API is to be restarted and proven first."""
        names = self._run.hosts("masters")
        before = [Client(self._run, name) for name in names[: names.index(client.name)]]
        return [one.name for one in before if "api" in self.now(one).owes]

    def problems(self, name: str) -> list[str]:
        """What keeps a master from being changed safely; empty where it may."""
        found = self.surveyed(name)
        lines = [f"{what} is not there: a master needs it" for what in found.missing]
        lines += Client(self._run, name).unfit
        facts = Client(self._run, name).surveyed
        if not master_api.name_of(facts):
            lines.append(
                f"the certificate of its API (servingInfo.certFile) names {', '.join(sorted(found.serving))}, and none of "
                f"{', '.join(master_api.own_names(facts))}, by which it is asked there: no oc would trust it. Name the host "
                "in the inventory as the certificate does, or give the API a certificate with one of these"
            )
        lines += filter(None, [found.config.uneditable])
        return lines + [
            f"{master_config.PATH}, line {found.config.line_of(url)}: it names {url}, which is no host of the inventory: is "
            "it a member? Then add its host to etcd.hosts; if it is another name of one, write that host's name there"
            for url in strangers(name, found, self.places)
        ]

    def notes(self, name: str) -> list[str]:
        """What names members on a master and is not edited, with what to do."""
        found, known = self.surveyed(name), self.places
        away = {n for n in self._run.inventory.host_names if n not in self.remaining}
        lines = [
            f"etcd-servers-overrides says {value}: it is not edited; take members that are gone out of it by hand, then "
            "master-restart api"
            for value in found.config.overrides
        ]
        named = [one for one in found.no_proxy if known.get(one.lower()) in away]
        if named:
            lines.append(f"NO_PROXY in {master.ENVIRONMENT} names {', '.join(named)}: harmless; it is not edited")
        return lines

    def named(self, client: Client) -> set[str]:
        """The hosts that every list of a master's configuration names now, and the urls that mean none of them."""
        found = self.now(client).config
        return {place_of(url, client.name, self.places) or url for url in found.urls}

    def disagreements(self, client: Client) -> list[str]:
        """How a master's configuration differs now from the member list; empty where it agrees."""
        return disagreements(client.name, self.now(client), frozenset(self.listed()), self.places)

    def writes(self, client: Client) -> str:
        """Write, read, watch and delete a ConfigMap through this master's API; empty where it does, else what it said.

        Raises RuntimeError in a mode that changes nothing: this is a write that is no change.
        """
        if self._run.mode != "recovery":
            raise RuntimeError(f"a write in a run that changes nothing ({self._run.mode})")
        script = f"{self._here(client)}probed() {{\n{master_api.PROBE}\n}}\nprobed"
        answer = self._run.remotes[client.name].run(script, seconds=90)
        return "" if answer.exit == 0 else answer.stderr.strip() or f"exit {answer.exit}"

    def stale(self, client: Client) -> list[str]:
        """What this master's API lists from its memory and etcd does not hold, or the other way round."""
        listed, held = self._from_memory(client), self._in_etcd(client)
        return sorted(
            f"{name}: the API lists revision {listed.get(name, 'none')}, etcd holds {held.get(name, 'none')}"
            for name in listed.keys() | held.keys()
            if listed.get(name) != held.get(name)
        )

    def saved_without_oc(self, facts: HostFacts, folder: PurePosixPath) -> str:
        """Why the snapshot in a folder was saved on the host, where oc was to do it; empty where oc did, or was not to."""
        if not facts.by_oc:
            return ""
        script = f"cat {shlex.quote(str(folder / FALLBACK))} 2>/dev/null || true"
        return self._run.remotes[facts.name].run(script, seconds=30).stdout.strip()

    def left_to_do(self) -> list[str]:
        """What is left to an administrator, in words: who may have missed events, and what else names members."""
        if not self._run.hosts("masters"):
            return []
        forced = any(facts.forced_by for facts in self._cluster.reached)
        lines = [MISSED] if forced or self._cluster.diagnosis.verdict is Verdict.LOST else []
        try:
            wanted, held = set(self.listed()), self._held()
        except RemoteError as error:  # it must not make a recovery that has ended a failed one
            return [
                *lines,
                f"whom the service catalog, Calico and Nuage name could not be read ({error.found}): {LOOK}",
            ]
        known, apis, here = self.places, self._places_of_masters, self._run.hosts("masters")
        for holder, urls in held.urls.items():
            named = {known[host] for url in urls if (host := master_config.host_of(url)) in known}
            lines.append(holder.disagreement(named, wanted))
        lines += [
            f"an API server at {address}, where no reached master is known to be, has a lease in etcd: if it is gone, the "
            "service `kubernetes` sends clients there until that ends; oc -n default get endpoints kubernetes shows it"
            for address in held.leases
            if apis.get(address) not in here
        ]
        return [line for line in lines if line]

    def _held(self) -> holders.Held:
        """What the API keeps in etcd that names members and is not edited, or API servers, from the survivor."""
        survivor = self._cluster.survivor.name
        prefix = self.surveyed(self._run.hosts("masters")[0]).config.prefix
        return self._asked(survivor, holders.command(prefix), holders.parse, "objects in etcd", MEND)

    def _here(self, client: Client) -> str:
        return master_api.here(master_api.server_of(client.surveyed))

    def _from_memory(self, client: Client) -> dict[str, int]:
        script = self._here(client) + master_api.LIST
        return self._asked(client.name, script, master_api.parse_list, "a list by its API", MEND)

    def _in_etcd(self, client: Client) -> dict[str, int]:
        """The ConfigMaps of the same namespace, from the survivor, with a quorum."""
        prefix = f"/{self.surveyed(client.name).config.prefix}/configmaps/{master_api.NAMESPACE}/"
        script = f"{CTL}ctl get {shlex.quote(prefix)} --prefix --keys-only -w json"
        found = self._asked(self._cluster.survivor.name, script, mod_revisions, "keys in JSON", "look at etcd")
        return {key.decode(errors="replace").removeprefix(prefix): revision for key, revision in found.items()}

    def _asked(self, name: str, script: str, parse: Callable[[str], Found], expected: str, advice: str) -> Found:
        """What a host answers to a script. Raises Unexpected where it fails, or says something else than `expected`."""
        answer = self._run.remotes[name].run(script, seconds=30)
        try:
            if answer.exit != 0:
                raise ValueError(answer.stderr.strip() or f"exit {answer.exit}")
            return parse(answer.stdout)
        except ValueError as error:
            raise Unexpected(name, expected=expected, found=str(error), advice=advice) from None


def _master(name: str, facts: AnyFacts) -> Master:
    if facts.master is None:
        raise MissingFact(name, "a master", "a host that was not read as one")
    return facts.master

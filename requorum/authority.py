"""What a step may ask of the CA and of certificates that are made with it. Reads only."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from urllib.parse import urlsplit

from requorum.certifying import Order, clock, without_ca
from requorum.changes.certificates import ISSUED
from requorum.facts.certificates import PAIRS, distrust
from requorum.facts.host import MissingFact
from requorum.live import EtcdMember
from requorum.naming import called_by_masters, places
from requorum.run import Run
from requorum.wellness import CERTIFICATE_DAYS

_SECONDS = 5


class Authority:
    """The CA of the cluster, and the certificates of the hosts that are to join."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._orders = {one.host: one for one in run.orders()}

    def __repr__(self) -> str:
        return f"the CA of {self._run.inventory.cluster}"

    # Stage 1

    @property
    def lost(self) -> list[str]:
        """That the CA of the installation is not at hand, and the consequence; empty where it is, or there is none."""
        return without_ca(self._run.survey, self._run.proven.survivor)

    def kinds(self, etcd: EtcdMember) -> tuple[str, ...]:
        """The certificates that are made for a host; none where its own will do."""
        order = self._orders.get(etcd.name)
        return order.kinds if order else ()

    def problems(self, etcd: EtcdMember) -> tuple[str, ...]:
        """Why a host's certificates will not do, and cannot be made; empty where they will, or can."""
        order, facts = self._orders.get(etcd.name), etcd.surveyed
        own = facts.certificates.problems(facts.conf, clock(facts), but=self.kinds(etcd))
        return (*(order.problems if order else ()), *own, *facts.certificates.exposed)

    def notes(self, etcd: EtcdMember) -> list[str]:
        """What the operator should know of a host's certificates."""
        order = self._orders.get(etcd.name)
        if order:
            made = f"its certificates ({', '.join(order.kinds)}) are made in step 39, and signed on {order.authority}"
            lines = [f"{made}: CN={order.common_name}, {', '.join(order.names)}"]
        else:
            lines = [f"{line}: soon" for line in etcd.certificates_ending(CERTIFICATE_DAYS)]
        if order and "server" in order.kinds:  # it is made with these names
            return lines
        known = places(self._run.inventory, self._run.survey)
        called = called_by_masters(known, self._run.all_reached.values()).get(etcd.name, ())
        return lines + [
            f"its server certificate does not name {name}, as masters call it: their APIs cannot use this member"
            for name in etcd.surveyed.certificates.unnamed(called)
        ]

    # Stage 3

    def order(self, etcd: EtcdMember) -> Order:
        """What is made for a host. Raises MissingFact where nothing is."""
        if etcd.name not in self._orders:
            raise MissingFact(etcd.name, "a host that needs certificates", "one whose own will do")
        return self._orders[etcd.name]

    def signer(self, etcd: EtcdMember) -> EtcdMember:
        """The host where the CA signs for this one."""
        return EtcdMember(self._run, self.order(etcd).authority)

    def signed(self, etcd: EtcdMember) -> Mapping[str, str]:
        """What the CA has signed for a host, in PEM, by kind; in a plan nothing yet.

        Raises MissingFact where the CA's database does not have it.
        """
        order, requests = self.order(etcd), etcd.now("issuing").issuing
        if self._run.model is not None:
            return dict.fromkeys(order.kinds, "")
        found = {}
        for kind in order.kinds:
            script = f"{ISSUED}\nissued {shlex.quote(order.common_name)} {shlex.quote(requests.request(kind))}"
            answer = self._run.remotes[order.authority].run(script, seconds=30)
            if answer.exit != 0 or "BEGIN CERTIFICATE" not in answer.stdout:
                raise MissingFact(order.authority, f"a {kind} certificate for {etcd.name} in the CA's database", "none")
            found[kind] = answer.stdout
        return found

    def problems_now(self, etcd: EtcdMember) -> list[str]:
        """What is wrong with a host's certificates as they lie there now, beside the survivor's."""
        facts, survivor = etcd.now("certificates", "machine"), EtcdMember(self._run, self._run.proven.survivor).surveyed
        held = facts.certificates
        found = [*held.problems(facts.conf, clock(facts)), *held.exposed]
        return found + distrust(held, facts.name, survivor.certificates, survivor.name)

    # Stage 5

    def untaken(self, etcd: EtcdMember, survivor: EtcdMember) -> str:
        """Why the survivor's etcd does not speak with a host that shows its peer certificate; empty where it does.

        Each side proves the other's certificate, and etcd also that it names the address from which the host comes.
        """
        url = next((u for u in survivor.surveyed.conf.peer_urls if u.startswith("https:")), "")
        files = [etcd.surveyed.certificates.file(v) for v in (PAIRS["peer"].cert, PAIRS["peer"].key, PAIRS["peer"].ca)]
        paths = [shlex.quote(file.path) for file in files if file]
        if not url or len(paths) != len(files):
            return ""
        place, name = urlsplit(url).netloc, urlsplit(url).hostname or ""
        what = "ip" if ":" in name or name.replace(".", "").isdigit() else "hostname"
        words = f"-connect {shlex.quote(place)} -verify_{what} {shlex.quote(name)} -verify_return_error -verify 8"
        cert, key, trusted = paths
        # s_client does not always end with its connection: it is read until the answer is there, then ended. `2>&1` is
        # for the whole substitution: a standard error left open would keep SSH waiting for the end of s_client. `timeout`
        # leads a group of its own, which is ended: by itself it leaves s_client behind where it has just begun it.
        script = (
            f"exec 3< <(exec 2>&1; exec timeout {_SECONDS} openssl s_client {words} -partial_chain -cert {cert} "
            f"-key {key} -CAfile {trusted} -quiet < <(printf 'GET /version HTTP/1.0\\r\\n\\r\\n'))\n"
            f"IFS= read -r -d '}}' -t {_SECONDS + 1} said <&3; kill -- -$! 2>/dev/null; exec 3<&-\n"
            "[[ $said == *etcdserver* ]] || printf '%s\\n' \"${said:-no answer}\" | tail -n 4"
        )
        return self._run.remotes[etcd.name].run(script, seconds=_SECONDS + 10).stdout.strip()

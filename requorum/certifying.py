"""Which hosts need certificates, which host can sign them, and what stands in the way. Pure.

They are as the installer makes them (openshift-ansible, roles/etcd/tasks/certificates): CN is the host's name, SAN its
addresses and its names, usages and days are those of the CA's openssl.cnf.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from ipaddress import ip_address
from urllib.parse import urlsplit

from requorum.facts import ca
from requorum.facts.certificates import PAIRS, CertificateFile, distrust
from requorum.facts.host import HostFacts, Silent
from requorum.fitness import CLOCK_SECONDS
from requorum.inventory import Inventory

LONGEST_NAME = 64
"""Of a CN, in characters (X.520, ub-common-name)."""

CONSEQUENCE = (
    "new hosts cannot get certificates, and a scale-up by openshift-ansible would silently make a new CA, which no member "
    "trusts"
)
BRING_BACK = f"bring its host back, or put {ca.FOLDER} of a backup on a host that is reached, with owners and modes"

_PLAIN = re.compile(r"[A-Za-z0-9.:_-]+")


@dataclass(frozen=True)
class Order:
    """Certificates that are to be made for one host.

    `kinds`: server, peer. `files`: for each kind its certificate, key and CA, the paths that etcd.conf names.
    `trusted`: what is written as CA, path → PEM. `authority`: the host where they are signed; empty where none can.
    `names`: the SAN in openssl's words. `problems`: why they cannot be made; each says what to do.
    """

    host: str
    kinds: tuple[str, ...]
    files: tuple[tuple[str, str, str], ...]
    trusted: tuple[tuple[str, str], ...]
    authority: str
    common_name: str
    names: tuple[str, ...]
    problems: tuple[str, ...] = ()


def orders(
    inventory: Inventory,
    reached: Mapping[str, HostFacts],
    survivor: str,
    hosts: Iterable[str],
    called: Mapping[str, Collection[str]],
) -> list[Order]:
    """What is to be made for these hosts, beside this survivor; nothing for a host whose own certificates will do.

    `called`: by which names masters call each host; a certificate that lacks one cannot be used by their APIs.
    """
    speaker = reached.get(survivor)
    if speaker is None:
        return []
    found = (
        _order(inventory, reached, speaker, reached[name], called.get(name, ())) for name in hosts if name in reached
    )
    return [one for one in found if one is not None]


def _order(
    inventory: Inventory,
    reached: Mapping[str, HostFacts],
    survivor: HostFacts,
    host: HostFacts,
    called: Collection[str],
) -> Order | None:
    anew = inventory.host(host.name).certificates == "make"
    kinds = _kinds(host, survivor, anew=anew)
    if not kinds or host.name == survivor.name:
        return None
    authority, why = _authority(reached, survivor)
    trusted, problems = _trusted(host, survivor, reached[authority].ca if authority else None, kinds, anew=anew)
    names, own = _names(host, called), _own_name(host)
    if not authority:
        problems = [_unsigned(host.name, kinds, why), *problems]
    elif (ahead := reached[authority].machine.clock - host.machine.clock) and abs(ahead) > CLOCK_SECONDS:
        problems.append(f"the clock of {authority}, which signs, is {ahead:+.0f} s from that of {host.name}: set it")
    odd = [name for name in names if not _PLAIN.fullmatch(name)]
    if odd or not names or len(own) > LONGEST_NAME:
        problems.append(
            f"no certificate can name {host.name}: expected a host name of at most {LONGEST_NAME} plain characters, found "
            f"{own!r}, and {', '.join(names) or 'no address'}"
        )
    return Order(
        host=host.name,
        kinds=kinds,
        files=tuple(_paths(host, kind) for kind in kinds),
        trusted=tuple(trusted.items()),
        authority=authority,
        common_name=own,
        names=names,
        problems=tuple(problems),
    )


def clock(facts: HostFacts) -> datetime:
    """The time as the host has it."""
    return datetime.fromtimestamp(facts.machine.clock, timezone.utc)


def _kinds(host: HostFacts, survivor: HostFacts, *, anew: bool) -> tuple[str, ...]:
    """What is not there at all, or was begun to be made; with the operator's word all of it, where it will not do."""
    held, conf = host.certificates, host.conf
    named = [
        k for k, pair in PAIRS.items() if pair.urls_in(conf) and all(map(held.file, (pair.cert, pair.key, pair.ca)))
    ]
    if anew and (held.problems(conf, clock(host)) or distrust(held, host.name, survivor.certificates, survivor.name)):
        return tuple(named)
    begun = {kind for kind, _ in host.issuing.requests} if not host.issuing.placed else set()
    return tuple(k for k in named if k in begun or not (_there(host, PAIRS[k].cert) or _there(host, PAIRS[k].key)))


def _file(host: HostFacts, variable: str) -> CertificateFile:
    found = host.certificates.file(variable)
    if found is None:
        raise ValueError(f"{host.name}: etcd.conf does not set {variable}")
    return found


def _there(host: HostFacts, variable: str) -> bool:
    return _file(host, variable).there


def _paths(host: HostFacts, kind: str) -> tuple[str, str, str]:
    pair = PAIRS[kind]
    return _file(host, pair.cert).path, _file(host, pair.key).path, _file(host, pair.ca).path


def _own_name(host: HostFacts) -> str:
    """Its name, with the domain where only the inventory has that: the installer goes by `hostname -f`, not by the kernel."""
    own = host.machine.hostname
    return host.name if host.name.startswith(f"{own}.") else own


def _names(host: HostFacts, called: Collection[str]) -> tuple[str, ...]:
    """What its urls, its names and the masters say, addresses first: ``IP:192.0.2.1``, ``DNS:etcd-1.example.com``."""
    said = [urlsplit(url).hostname or "" for url in (*host.conf.peer_urls, *host.conf.client_urls)]
    unique = dict.fromkeys([*said, host.name, host.machine.hostname, *sorted(called)])
    addresses = [f"IP:{name}" for name in unique if _is_address(name)]
    return (*addresses, *(f"DNS:{name}" for name in unique if name and not _is_address(name)))


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _authority(reached: Mapping[str, HostFacts], survivor: HostFacts) -> tuple[str, list[str]]:
    """The host that holds the key of the CA that the survivor trusts, or why there is none."""
    trusted = survivor.certificates.held(PAIRS["peer"].ca)
    why = []
    for facts in reached.values():
        if not facts.ca.has_key:
            continue
        faults = facts.ca.faults(clock(facts))
        if not trusted:
            faults += (f"which CA {survivor.name} trusts is not known: {PAIRS['peer'].ca} there names no readable one",)
        elif not faults and facts.ca.own not in trusted:
            faults = (f"its CA is not the one that {survivor.name} trusts",)
        if not faults:
            return facts.name, []
        why += [f"{facts.name}: {fault}" for fault in faults]
    return "", why


def _unsigned(host: str, kinds: Iterable[str], why: list[str]) -> str:
    reason = f"the CA cannot sign: {'; '.join(why)}" if why else f"no reached host holds the CA's key, {ca.KEY}"
    cure = "Mend that" if why else f"{BRING_BACK[0].upper()}{BRING_BACK[1:]}"
    return (
        f"it needs certificates ({', '.join(kinds)}), and {reason}. {cure}; or recover "
        f"without this host: list the others under `rejoin:` in the inventory, without {host}"
    )


def _trusted(
    host: HostFacts, survivor: HostFacts, authority: ca.Ca | None, kinds: Iterable[str], *, anew: bool
) -> tuple[dict[str, str], list[str]]:
    """The CA files that are written, as the survivor has them, and what is wrong with those that stay."""
    written, problems = dict[str, str](), list[str]()
    for kind in kinds:
        file = _file(host, PAIRS[kind].ca)
        holds = authority is not None and authority.own in host.certificates.held(PAIRS[kind].ca)
        if file.there and (holds or authority is None):
            continue
        if file.there and not anew:
            problems.append(
                f"{file.path} does not hold the CA that signs: write `certificates: make` for {host.name} in the inventory "
                "(what is there is kept aside), or put the right one there"
            )
            continue
        source = survivor.certificates.file(PAIRS[kind].ca) or _file(survivor, PAIRS["peer"].ca)
        written[file.path] = source.pem.decode("ascii", "replace")
    return written, problems


def without_ca(survey: Mapping[str, HostFacts | Silent], survivor: str) -> list[str]:
    """That the CA of an installation is lost, or out of reach, and what follows; empty where it is at hand.

    A cluster on whose hosts there is no folder of the installer's has its CA elsewhere: nothing is said.
    """
    reached = {name: facts for name, facts in survey.items() if isinstance(facts, HostFacts)}
    speaker = reached.get(survivor)
    if speaker is None or not any(facts.ca.there for facts in reached.values()):
        return []
    authority, why = _authority(reached, speaker)
    if authority:
        return []
    silent = [name for name in survey if name not in reached]
    told = [f"the CA cannot sign: {'; '.join(why)}"] if why else [f"no reached host holds the CA's key, {ca.KEY}"]
    if silent and not why:
        told.append(f"it may lie on {', '.join(silent)}, silent")
    cure = "mend that" if why else BRING_BACK
    return [f"{'; '.join(told)}: {CONSEQUENCE}. Before either, {cure}"]

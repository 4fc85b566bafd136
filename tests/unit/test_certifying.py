"""Which hosts get certificates, who signs, and why not."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from builders import conf, emptied, facts, inventory, machine, name, silent, survey
from cryptography.x509.oid import ExtendedKeyUsageOID
from made_certificates import CA, CONF, NOW, OTHER, certificate, encoded, files, public

from lab import authority
from requorum.certifying import Order, orders, without_ca
from requorum.facts import ca
from requorum.facts.ca import Ca
from requorum.facts.host import HostFacts
from requorum.facts.issuing import Issuing

WHERE = {0: "10.0.0.10", 1: "10.0.0.11", 2: "10.0.0.12"}
SETTINGS = tuple(
    (key.strip(), value.strip())
    for key, _, value in (line.partition("=") for line in authority.extensions().splitlines())
    if value and "ENV" not in value
)
SIGNS = Ca(True, CA, public("ca"), (), frozenset({"etcd_ca", "etcd_v3_ca_server", "etcd_v3_ca_peer"}), SETTINGS)


def host(n: int, leaf: bytes | None, trusted: bytes | None = CA, **more: object) -> HostFacts:
    urls = {
        "ETCD_INITIAL_ADVERTISE_PEER_URLS": f"https://{WHERE[n]}:2380",
        "ETCD_ADVERTISE_CLIENT_URLS": f"https://{WHERE[n]}:2379",
    }
    found = replace(emptied(n), conf=conf(n, **CONF, **urls), certificates=files(leaf, trusted))
    return replace(found, **more)  # type: ignore[arg-type]


def leaf(n: int, issuer: str = "ca") -> bytes:
    return certificate("leaf", issuer, [WHERE[n], name(n)])


SURVIVOR = host(0, leaf(0), ca=SIGNS)
NEW = host(2, None, None)


def told(*reached: HostFacts, anew: bool = False, called: tuple[str, ...] = ()) -> list[Order]:
    wanted = inventory()
    if anew:
        hosts = tuple(replace(one, certificates="make") for one in wanted.etcd.hosts)
        wanted = replace(wanted, etcd=replace(wanted.etcd, hosts=hosts))
    return orders(wanted, {one.name: one for one in reached}, name(0), [one.name for one in reached], {name(2): called})


def problem(*reached: HostFacts, anew: bool = False) -> str:
    (order,) = told(*reached, anew=anew)
    return "\n".join(order.problems)


def test_a_new_host_gets_what_the_installer_gives() -> None:
    (order,) = told(SURVIVOR, host(1, leaf(1)), NEW)
    assert order == Order(
        host=name(2),
        kinds=("server", "peer"),
        files=(
            ("/etc/etcd/server.crt", "/etc/etcd/server.key", "/etc/etcd/ca.crt"),
            ("/etc/etcd/peer.crt", "/etc/etcd/peer.key", "/etc/etcd/ca.crt"),
        ),
        trusted=(("/etc/etcd/ca.crt", CA.decode()),),
        authority=name(0),
        common_name=name(2),
        names=("IP:10.0.0.12", f"DNS:{name(2)}"),
    )


def test_a_host_is_named_as_masters_and_the_inventory_call_it() -> None:
    """The kernel's name may lack the domain; by the name with it masters, and `hostname -f`, know the host."""
    short = replace(NEW, machine=machine(2, hostname="etcd-2"))
    (order,) = told(SURVIVOR, short, called=("10.0.9.12", "db2.example.com", name(2)))
    assert order.common_name == name(2)
    assert order.names == (
        "IP:10.0.0.12", "IP:10.0.9.12", f"DNS:{name(2)}", "DNS:etcd-2", "DNS:db2.example.com",
    )  # fmt: skip
    (other,) = told(SURVIVOR, replace(NEW, machine=machine(2, hostname="node-7.example.com")))
    assert (other.common_name, other.problems) == ("node-7.example.com", ())


def test_no_tls_no_certificates() -> None:
    assert told(facts(0), emptied(2)) == []


def test_a_bundle_is_taken_as_the_survivor_has_it() -> None:
    (order,) = told(host(0, leaf(0), OTHER + CA, ca=SIGNS), NEW)
    assert (order.problems, order.trusted) == ((), (("/etc/etcd/ca.crt", (OTHER + CA).decode()),))


def test_what_was_begun_is_finished() -> None:
    """Killed with the server's in place: nothing is missing of it, and its key is the new one."""
    half = replace(NEW, certificates=files(leaf(2)), issuing=Issuing(True, (("server", "x"), ("peer", "y"))))
    assert [order.kinds for order in told(SURVIVOR, half)] == [("server", "peer")]
    assert told(SURVIVOR, replace(half, issuing=Issuing(True, (("server", "x"), ("peer", "y")), True))) == []


EXPIRED = certificate("leaf", "ca", [WHERE[2]], begins=NOW - timedelta(days=9), days=1)


@pytest.mark.parametrize("will_not_do", [files(EXPIRED), files(leaf(2, "other"), OTHER), files(leaf(2), key="other")])
def test_what_is_there_needs_the_operators_word(will_not_do: object) -> None:
    found = replace(NEW, certificates=will_not_do)  # type: ignore[arg-type]
    assert told(SURVIVOR, found) == []
    assert [(order.kinds, order.problems) for order in told(SURVIVOR, found, anew=True)] == [(("server", "peer"), ())]


def test_the_word_makes_nothing_anew_that_will_do() -> None:
    assert told(SURVIVOR, host(2, leaf(2)), anew=True) == []


def test_a_ca_that_is_there_and_another_one_stays() -> None:
    found = host(2, None, OTHER)
    assert "does not hold the CA that signs: write `certificates: make`" in problem(SURVIVOR, found)
    (order,) = told(SURVIVOR, found, anew=True)
    assert order.trusted == (("/etc/etcd/ca.crt", CA.decode()),)


@pytest.mark.parametrize(
    ("survivor", "words"),
    [
        (host(0, leaf(0)), "no reached host holds the CA's key, /etc/etcd/ca/ca.key"),
        (host(0, leaf(0), ca=replace(SIGNS, public=public("other"))), "ca.key is not the key of /etc/etcd/ca/ca.crt"),
        (host(0, leaf(0), ca=replace(SIGNS, missing=(ca.SERIAL,))), "/etc/etcd/ca/serial is not there"),
        (host(0, leaf(0), ca=replace(SIGNS, certificate=certificate("ca", days=-1))), "the CA is valid from"),
        (host(0, leaf(0), ca=replace(SIGNS, sections=frozenset({"etcd_ca"}))), "no section [etcd_v3_ca_peer]"),
        (host(0, leaf(0), ca=replace(SIGNS, settings=())), "/openssl.cnf says"),
        (host(0, leaf(0), None, ca=SIGNS), "ETCD_PEER_TRUSTED_CA_FILE there names no readable one"),
        (host(0, leaf(0, "other"), OTHER, ca=SIGNS), "its CA is not the one that etcd-0.example.com trusts"),
    ],
)
def test_nobody_can_sign(survivor: HostFacts, words: str) -> None:
    found = problem(survivor, NEW)
    assert words in found
    assert "without this host: list the others under `rejoin:` in the inventory, without etcd-2.example.com" in found


def test_a_name_that_no_certificate_can_have() -> None:
    long = replace(NEW, machine=machine(2, hostname="e" * 65))
    assert "a host name of at most 64 plain characters" in problem(SURVIVOR, long)
    assert "found 'a/b'" in problem(SURVIVOR, replace(NEW, machine=machine(2, hostname="a/b")))


def test_the_clock_of_the_signer() -> None:
    assert "-60 s" in problem(SURVIVOR, replace(NEW, machine=machine(2, clock=1_700_000_060.0)))


def test_a_lost_ca_is_told_with_the_consequence() -> None:
    found = without_ca(survey(silent(0), host(1, leaf(1), ca=Ca(there=True)), NEW), name(1))
    assert (
        "no reached host holds the CA's key, /etc/etcd/ca/ca.key; it may lie on etcd-0.example.com, silent" in found[0]
    )
    assert "a scale-up by openshift-ansible would silently make a new CA" in found[0]
    assert without_ca(survey(SURVIVOR, NEW), name(0)) == []
    assert without_ca(survey(silent(0), host(1, leaf(1))), name(1)) == [], "a cluster with its CA elsewhere"
    assert without_ca(survey(silent(0)), name(0)) == []


@pytest.mark.parametrize(
    ("usages", "words"),
    [
        ((ExtendedKeyUsageOID.CLIENT_AUTH,), ["server.crt may not be used for serverAuth", "peer.crt may not be used"]),
        ((ExtendedKeyUsageOID.SERVER_AUTH,), ["peer.crt may not be used for clientAuth"]),
        ((ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,), []),
        (None, []),
    ],
)
def test_usages(usages: tuple[object, ...] | None, words: list[str]) -> None:
    made = certificate("leaf", "ca", [WHERE[0]], usages=usages)  # type: ignore[arg-type]
    problems = host(0, made).certificates.problems(host(0, made).conf, NOW)
    assert len(problems) == len(words)
    assert all(said in found for said, found in zip(words, problems, strict=True))


def test_a_ca_that_is_not_valid_yet() -> None:
    early = certificate("ca", begins=NOW + timedelta(days=1))
    found = host(0, leaf(0), early)
    assert all("is not valid before" in line for line in found.certificates.problems(found.conf, NOW))


def test_the_facts_of_a_ca() -> None:
    lines = [
        "folder", f"key {encoded(public('ca'))}", f"certificate {encoded(CA)}", "section etcd_ca",
        "setting dir /etc/etcd/ca", "missing /etc/etcd/ca/serial",
    ]  # fmt: skip
    found = ca.parse("\n".join(lines) + "\n")
    assert (found.there, found.has_key, found.missing) == (True, True, ("/etc/etcd/ca/serial",))
    assert found.settings == (("dir", "/etc/etcd/ca"),)
    assert ca.parse("") == Ca()
    for wrong in ("a banner\n", "key !!!\n"):
        with pytest.raises(ValueError, match="expected"):
            ca.parse(wrong)

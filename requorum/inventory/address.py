"""What may be a host's name or address, by its form alone; whether it resolves is asked in `resolve`."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from requorum.inventory.problem import without_hidden

_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")
_NUMERIC = re.compile(r"[0-9]+|0[xX][0-9a-fA-F]*")


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a text is no name or address, as the two halves of a problem."""

    expected: str
    fix: str


def name_fault(text: str) -> Fault | None:
    """What is wrong with a host's name (RFC 1123, and underscores); an IPv4 address will do, None where all is well."""
    if _ip(text) is not None and ":" in text:
        # A pytest node id is split at `::`, and a folder or a shell word with colons is trouble elsewhere.
        return Fault("a host name", "give the host a name here, and write the IPv6 address in its field 'address'")
    if fix := without_hidden(text):
        return Fault("a host name of characters that show", fix)
    if text == "auto":
        return Fault("a host name", "'auto' means 'choose' for the survivor; give the host its full name")
    if _LABEL.fullmatch(text):
        return None  # also a number: a name needs to be no address where the inventory gives one
    return address_fault(text)


def address_fault(text: str) -> Fault | None:
    """What is wrong with an address: an IPv4 or IPv6 address, or a name as the resolver takes it."""
    expected = "a host name or an IP address"
    ip = _ip(text)
    if ip is not None:
        if ip.is_unspecified or ip.is_multicast or text == "255.255.255.255":
            return Fault("the address of one host", "write the address that ssh is to connect to")
        return None
    if "@" in text:
        return Fault(expected, "the user belongs into ssh: {user: …}")
    if "://" in text or "/" in text:
        return Fault(expected, "write the host only, without scheme or path")
    if text.startswith("["):
        return Fault(expected, "write an IPv6 address without brackets; the port belongs into ssh: {port: …}")
    if ":" in text:
        return Fault(expected, "the port belongs into ssh: {port: …}")
    if text.endswith("."):
        return Fault(expected, "remove the dot at its end")
    labels = text.split(".")
    if _NUMERIC.fullmatch(labels[-1]):
        return Fault(expected, "an IPv4 address has four numbers from 0 to 255, without leading zeros")
    if len(text) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        return Fault(expected, "a name has letters, digits, '-' and '.', at most 63 characters between two dots")
    return None


def same_place(address: str) -> str:
    """One spelling for all spellings of an address, to find two hosts that are one."""
    ip = _ip(address)
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        return str(ip.ipv4_mapped)
    return str(ip) if ip is not None else address.lower()


def _ip(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None

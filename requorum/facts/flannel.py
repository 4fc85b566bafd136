"""Flannel on a host: its configuration, its daemon, its leases in etcd, and what a recovery has noted down there.

A host without /etc/sysconfig/flanneld has none. Flannel's data is of etcd's v2 API, which a snapshot does not hold.
"""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace

from requorum.facts import flanneld_conf
from requorum.facts.flanneld_conf import PATH, FlanneldConf
from requorum.facts.shell import CONF

UNIT = "flanneld.service"
SUBNET = "/run/flannel/subnet.env"
"""What flanneld writes once it has a lease."""

FOUND = "/var/lib/requorum/flanneld"
"""The configuration as the recovery found it, until every member is named again."""
OWED = "/var/lib/requorum/restart-flanneld"
"""It says that flanneld still runs with the configuration of before."""
LEASES = "/var/lib/requorum/flannel-leases.json"
"""The leases that were in etcd before the recovery came to the restart of flanneld."""
FILES = (PATH, FOUND, OWED, LEASES)

_UNWANTED = ("disabled", "masked", "masked-runtime", "")
"""How systemd calls a unit (`UnitFileState`) that nothing starts by itself, and one that is not there."""

NO_API, NO_NETWORK, SERVED, UNKNOWN = "no v2 API", "no network", "served", "no answer"


def _part(name: str) -> str:
    return f"--- requorum: {name} ---"


_NOTES, _CONF, _WAS, _KEPT, _KEYS = map(_part, ("notes", "configuration", "found", "leases", "keys"))

_KEYS_COMMAND = """
own=$(conf ETCD_ADVERTISE_CLIENT_URLS) words=()
ca=$(conf ETCD_TRUSTED_CA_FILE) cert=$(conf ETCD_PEER_CERT_FILE) key=$(conf ETCD_PEER_KEY_FILE)
[ -z "$ca" ] || words+=(--cacert "$ca")
[ -z "$cert" ] || words+=(--cert "$cert" --key "$key")
curl -sS --max-time 2 "${words[@]}" "${own%%,*}/v2/keys/${prefix#/}?recursive=true" 2>/dev/null || true"""
"""Shell: what this host's own member says of everything below `prefix`, as a member is asked."""

COMMAND = f"""#: Flannel
[ -e {PATH} ] || exit 0
{CONF}
echo '{_NOTES}'
systemctl show {UNIT} -p ActiveState -p UnitFileState -p Job
command -v curl >/dev/null || echo 'missing=curl'
[ ! -e {OWED} ] || echo 'owes=yes'
echo "sum=$(sha256sum < {PATH})"
echo '{_CONF}'; cat {PATH} || exit 1
printf '\\n%s\\n' '{_WAS}'; cat {FOUND} 2>/dev/null
printf '\\n%s\\n' '{_KEPT}'; cat {LEASES} 2>/dev/null
printf '\\n%s\\n' '{_KEYS}'
# Of this host's own member; without a leader it answers, too.
prefix=$(conf FLANNEL_ETCD_PREFIX {PATH}); [ -n "$prefix" ] || prefix=$(conf FLANNEL_ETCD_KEY {PATH})
[ -n "$prefix" ] || prefix=/coreos.com/network
{_KEYS_COMMAND}"""


@dataclass(frozen=True, slots=True)
class Lease:
    """A subnet that a host has leased: its key's last part, the host's address, and when it ends (UTC, as etcd says it)."""

    subnet: str
    address: str
    ends: str


@dataclass(frozen=True, slots=True)
class Flannel:
    """What was read on one host.

    `found` and `kept` are what a recovery has noted down: the configuration as it was, the leases as they were. `owes`: a
    restart. `active` and `enabled` are systemd's; `queued`: it is to be started, once etcd on this host is. `keys` is what
    this host's own member says by the v2 API.
    """

    config: FlanneldConf
    found: FlanneldConf | None = None
    kept: tuple[Lease, ...] | None = None
    owes: bool = False
    active: str = "active"
    enabled: str = "enabled"
    queued: bool = False
    missing: tuple[str, ...] = ()
    keys: str = UNKNOWN
    leases: tuple[Lease, ...] = ()

    @property
    def is_to_run(self) -> bool:
        """It runs, or would: one that starts while etcd is away waits, tries again, or has failed."""
        return (
            self.queued
            or self.active in ("active", "activating", "reloading")
            or (self.active == "failed" and self.enabled == "enabled")
        )

    @property
    def in_use(self) -> bool:
        """Somebody wants it to run here, or a recovery has noted something down; a package left as it came counts for nothing.

        Its default names 127.0.0.1, where no member need be. One that has failed was started by somebody.
        """
        ours = self.owes or self.found is not None or self.kept is not None
        return ours or _is_wanted(self.active, self.enabled, queued=self.queued)

    def with_file(self, path: str, text: str | None) -> Flannel:
        """The same, once one of its files has this text, or is removed (None)."""
        if path == PATH and text is not None:
            return replace(self, config=flanneld_conf.parse(text) or self.config)
        if path == FOUND:
            return replace(self, found=None if text is None else flanneld_conf.parse(text))
        if path == LEASES:
            return replace(self, kept=None if text is None else parse_kept(text))
        return replace(self, owes=text is not None) if path == OWED else self


def _is_wanted(active: str, enabled: str, *, queued: bool) -> bool:
    return queued or active not in ("inactive", "") or enabled not in _UNWANTED


def parse(output: str) -> Flannel | None:
    """Flannel from the output of COMMAND; None where there is none. Raises ValueError, with file and line.

    A configuration that cannot be read is none where nobody uses it: it is to stop no recovery.
    """
    if not output:
        return None
    parts = []
    rest = output.partition(f"{_NOTES}\n")[2]
    for name in (f"{_CONF}\n", f"\n{_WAS}\n", f"\n{_KEPT}\n", f"\n{_KEYS}\n"):
        part, there, rest = rest.partition(name)
        if not there:
            raise ValueError(f"expected the configuration of flanneld in {PATH}, found none")
        parts.append(part)
    notes, conf, was, kept = parts
    said = [line.partition("=")[::2] for line in notes.splitlines()]
    values = dict(said)
    active, enabled = values.get("ActiveState", ""), values.get("UnitFileState", "")
    queued = values.get("Job", "0") not in ("", "0")
    try:
        config = _configuration(conf, values.get("sum", ""))
    except ValueError:
        if was or kept or "owes" in values or _is_wanted(active, enabled, queued=queued):
            raise
        return None
    if config is None:
        return None
    keys, leases = parse_keys(rest)
    return Flannel(
        config=config,
        found=flanneld_conf.parse(was) if was else None,
        kept=parse_kept(kept) if kept else None,
        owes="owes" in values,
        active=active,
        enabled=enabled,
        queued=queued,
        missing=tuple(value for name, value in said if name == "missing"),
        keys=keys,
        leases=leases,
    )


def _configuration(text: str, digest: str) -> FlanneldConf | None:
    if digest.split()[:1] != [hashlib.sha256(text.encode(errors="replace")).hexdigest()]:
        raise ValueError(f"{PATH}: expected text in UTF-8, found other bytes")
    return flanneld_conf.parse(text)


def keys_command(prefix: str) -> str:
    """The command that `parse_keys` reads: what the member of a host says of everything below Flannel's prefix."""
    return f"{CONF}\nprefix={shlex.quote(prefix)}{_KEYS_COMMAND}"


def parse_keys(answer: str) -> tuple[str, tuple[Lease, ...]]:
    """What etcd says of everything below Flannel's prefix (v2 API, recursive), and the leases in it.

    Raises ValueError for keys that are not Flannel's.
    """
    if not answer.strip():
        return UNKNOWN, ()
    try:
        said = json.loads(answer)
    except ValueError:
        return (NO_API if answer.startswith("404") else UNKNOWN), ()
    if "node" not in said:
        return (NO_NETWORK if said.get("errorCode") == 100 else UNKNOWN), ()
    nodes = {node["key"].rpartition("/")[2]: node for node in said["node"].get("nodes", ())}
    try:
        leases = tuple(
            Lease(one["key"].rpartition("/")[2], str(json.loads(one["value"])["PublicIP"]), one.get("expiration", ""))
            for one in nodes.get("subnets", {}).get("nodes", ())
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"expected Flannel's leases in etcd, found {answer[:200]!r} ({error})") from None
    return (SERVED if "config" in nodes else NO_NETWORK), tuple(sorted(leases, key=lambda one: one.subnet))


def kept_text(leases: Iterable[Lease]) -> str:
    """The leases as they are noted down."""
    return json.dumps([asdict(one) for one in leases], indent=1) + "\n"


def parse_kept(text: str) -> tuple[Lease, ...]:
    """The leases that were noted down. Raises ValueError."""
    try:
        return tuple(Lease(**one) for one in json.loads(text))
    except (TypeError, ValueError) as error:
        raise ValueError(f"expected leases in {LEASES}, found {text[:200]!r} ({error})") from None

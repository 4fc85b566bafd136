"""etcd.conf as systemd reads it (EnvironmentFile), and as it is after an edit that keeps everything else.

The pod's shell sources it; where that would read anything else, the file is refused.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass

from requorum.facts.env_file import EnvFileError, assignments, refuse_unlike_shell

PATH = "/etc/etcd/etcd.conf"
COMMAND = f"cat {PATH}"

FORCE_MARK = "# Requorum forces a new cluster by the next line, and takes both away again."
FORCE_LINES = f"{FORCE_MARK}\nETCD_FORCE_NEW_CLUSTER=true\n"
"""What Requorum puts at the beginning of etcd.conf to force an etcd in a container.

There all that follows stays byte for byte. Bare, because ``docker --env-file`` takes quotes literally.
"""

_ASSIGNMENT = re.compile(r"^\s*([A-Za-z_][A-Za-z0-9_]*)=(.*)$")
_BARE = re.compile(r"[A-Za-z0-9_.,:=/@%+\[\]-]*")


class ConfError(ValueError):
    """etcd.conf holds something that Requorum cannot read or write safely."""


@dataclass(frozen=True, slots=True)
class EtcdConf:
    """The text of etcd.conf and the variables that systemd takes from it.

    `forced`: it begins with Requorum's own force, which `text` is without.
    """

    text: str
    values: Mapping[str, str]
    forced: bool = False

    def get(self, key: str, default: str = "") -> str:
        """The value of a variable, quotes removed; `default` where it is not set."""
        return self.values.get(key, default)

    @property
    def sha256(self) -> str:
        """Of the text."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def name(self) -> str:
        """ETCD_NAME; etcd itself says `default` where it is not set."""
        return self.get("ETCD_NAME", "default")

    @property
    def data_dir(self) -> str:
        """ETCD_DATA_DIR without a trailing slash (but for ``/`` itself); empty where it is not set."""
        said = self.get("ETCD_DATA_DIR")
        return said.rstrip("/") or said[:1]

    @property
    def wal_dir(self) -> str:
        """The directory of the write-ahead log: ETCD_WAL_DIR, or where etcd puts it by itself."""
        return self.get("ETCD_WAL_DIR").rstrip("/") or f"{self.data_dir}/member/wal"

    @property
    def own_wal_dir(self) -> str:
        """The directory of the write-ahead log, where it lies outside of the data directory; else empty."""
        return "" if self.wal_dir.startswith(f"{self.data_dir}/") else self.wal_dir

    @property
    def peer_urls(self) -> tuple[str, ...]:
        """What the member tells its peers: ETCD_INITIAL_ADVERTISE_PEER_URLS, sorted, as etcd lists them."""
        return tuple(sorted(_urls(self.get("ETCD_INITIAL_ADVERTISE_PEER_URLS"))))

    @property
    def client_urls(self) -> tuple[str, ...]:
        """What the member tells its clients: ETCD_ADVERTISE_CLIENT_URLS."""
        return _urls(self.get("ETCD_ADVERTISE_CLIENT_URLS"))

    @property
    def initial_cluster(self) -> tuple[tuple[str, str], ...]:
        """Name and peer URL pairs of ETCD_INITIAL_CLUSTER, in the file's order."""
        pairs = (item.partition("=") for item in self.get("ETCD_INITIAL_CLUSTER").split(",") if item)
        return tuple((name.strip(), url.strip()) for name, _, url in pairs)

    @property
    def itself(self) -> frozenset[tuple[str, str]]:
        """What ETCD_INITIAL_CLUSTER holds where it names this member alone: a pair for each of its peer URLs."""
        return frozenset((self.name, url) for url in self.peer_urls)

    @property
    def not_bare(self) -> tuple[tuple[int, str], ...]:
        """The assignments that count and have quotes, or blanks around their value: each with its line (from 1)."""
        lines = enumerate(self.text.splitlines(), start=1)
        last = {m[1]: (number, m[2]) for number, line in lines if (m := _ASSIGNMENT.match(line))}
        return tuple((at, f"{key}={value}") for key, (at, value) in last.items() if value != self.values[key])

    def edited(self, changes: Mapping[str, str]) -> str:
        """The text with these variables set to bare values.

        Only the line that counts (the last assignment of the variable) changes; a variable that is not there is added
        at the end. Bare, because systemd, the shell and ``docker --env-file`` read quotes differently.
        Raises ConfError for a value that would need quotes.
        """
        lines = self.text.splitlines(keepends=True)
        for key, value in changes.items():
            if not _BARE.fullmatch(value):
                raise ConfError(f"{key} cannot be written without quotes: {value!r}")
            at = [i for i, line in enumerate(lines) if (m := _ASSIGNMENT.match(line)) and m.group(1) == key]
            if at:
                ending = lines[at[-1]][len(lines[at[-1]].rstrip("\r\n")) :]
                lines[at[-1]] = f"{key}={value}{ending}"
            else:
                if lines and not lines[-1].endswith("\n"):
                    lines[-1] += "\n"
                lines.append(f"{key}={value}\n")
        return "".join(lines)


def _urls(value: str) -> tuple[str, ...]:
    return tuple(url.strip().rstrip("/") for url in value.split(",") if url.strip())


def parse(text: str) -> EtcdConf:
    """The configuration in `text`. A later assignment of a variable replaces an earlier one, as with systemd.

    Raises ConfError, with the line, where it is neither a comment nor an assignment, or is continued by a backslash.
    """
    forced = text.startswith(FORCE_LINES)
    text = text.removeprefix(FORCE_LINES)
    try:
        found = assignments(text, PATH)
    except EnvFileError as error:
        raise ConfError(str(error)) from None
    return EtcdConf(text, {one.key: one.value for one in found}, forced)


def parse_sourced(text: str) -> EtcdConf:
    """The configuration of a static pod. Raises ConfError also where its shell reads another value than systemd would."""
    try:
        refuse_unlike_shell(text, PATH)
    except EnvFileError as error:
        raise ConfError(str(error)) from None
    return parse(text)

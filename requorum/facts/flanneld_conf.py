"""/etc/sysconfig/flanneld as far as it says where etcd is, and as it is after an edit that keeps everything else.

Source: OpenShift 3.11, roles/flannel; flannel's package for RHEL 7, whose flanneld-start passes the variables on as
flags, the old spellings where the new ones are not set.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from requorum.facts.env_file import Assignment, EnvFileError, assignments

PATH = "/etc/sysconfig/flanneld"

_ENDPOINTS = ("FLANNEL_ETCD_ENDPOINTS", "FLANNEL_ETCD")
_PREFIX = ("FLANNEL_ETCD_PREFIX", "FLANNEL_ETCD_KEY")
_OPTIONS = "FLANNEL_OPTIONS"
_DEFAULT_PREFIX = "/coreos.com/network"
_KEY = re.compile(r"(/[A-Za-z0-9._-]+)+")
_URL = re.compile(r"https?://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+)(:[0-9]{1,5})?/?")
_WITHOUT_ETCD = "kube-subnet-mgr"
_WINS = {"etcd-endpoints": _ENDPOINTS[0], "etcd-prefix": _PREFIX[0]}


class FlanneldConfError(ValueError):
    """The file holds something that Requorum cannot read or edit safely."""


@dataclass(frozen=True, slots=True)
class FlanneldConf:
    """The text of the file, the endpoints in it that count, and what else flanneld reaches etcd with.

    `field` is the variable that flanneld takes, on `line`; `start` and `end` are those of its value, without quotes.
    `ca`, `certificate` and `key` are paths, empty where none is given.
    """

    text: str
    field: str
    urls: tuple[str, ...]
    start: int
    end: int
    line: int
    prefix: str
    ca: str = ""
    certificate: str = ""
    key: str = ""

    @property
    def lists(self) -> tuple[FlanneldConf, ...]:
        """The lists of members in the file: there is one."""
        return (self,)

    def line_of(self, url: str) -> int:
        """The line where a url stands."""
        return self.line

    def edited(self, keep: Callable[[str], bool], added: Callable[[Collection[str]], Sequence[str]]) -> str:
        """The text with the endpoints reduced to the urls to `keep`, in their order, and what `added` says at their end.

        `added` is asked with the urls that are kept. Raises FlanneldConfError where nobody would be left.
        """
        kept = [url for url in self.urls if keep(url)]
        new = [*kept, *added(kept)]
        if not new:
            raise FlanneldConfError(f"{PATH}: {self.field} would name nobody")
        if new == list(self.urls):
            return self.text
        return self.text[: self.start] + ",".join(new) + self.text[self.end :]


def parse(text: str) -> FlanneldConf | None:
    """What the file says; None where Flannel does without etcd. Raises FlanneldConfError, with the line."""
    try:
        found = {one.key: one for one in assignments(text, PATH)}
    except EnvFileError as error:
        raise FlanneldConfError(str(error)) from None
    options = found.get(_OPTIONS)
    flags = _flags(options.value if options else "")
    if _WITHOUT_ETCD in flags and flags[_WITHOUT_ETCD] != "false":
        return None
    for flag, variable in _WINS.items():
        if options and flag in flags:
            expected = f"{variable} alone to say so: the flag wins over it"
            raise _wrong(options.line, expected, f"--{flag} in {_OPTIONS}")
    endpoints, prefix = _first(found, _ENDPOINTS), _first(found, _PREFIX)
    if endpoints is None:
        expected = f"{_ENDPOINTS[0]}=https://HOST:2379,… (a host without Flannel has no such file: move it away)"
        raise _wrong(max(1, len(text.splitlines())), expected, "none in the whole file")
    urls = tuple(url.strip() for url in endpoints.value.split(","))
    for url in urls:
        if not _URL.fullmatch(url):
            raise _wrong(endpoints.line, f"a url such as https://etcd-0.example.com:2379 in {endpoints.key}", repr(url))
    where = "/" + (prefix.value if prefix else _DEFAULT_PREFIX).strip("/")
    if prefix and not _KEY.fullmatch(where):
        raise _wrong(prefix.line, f"a key of etcd such as /openshift.com/network in {prefix.key}", repr(prefix.value))
    return FlanneldConf(
        text=text,
        field=endpoints.key,
        urls=urls,
        start=endpoints.start,
        end=endpoints.end,
        line=endpoints.line,
        prefix=where,
        ca=flags.get("etcd-cafile", ""),
        certificate=flags.get("etcd-certfile", ""),
        key=flags.get("etcd-keyfile", ""),
    )


def _first(found: dict[str, Assignment], names: Sequence[str]) -> Assignment | None:
    return next((found[name] for name in names if name in found and found[name].value), None)


def _flags(options: str) -> dict[str, str]:
    """The flags as Go reads them: one dash or two, the value behind an equals sign or in the next word."""
    found: dict[str, str] = {}
    words = options.split()
    for at, word in enumerate(words):
        if word.startswith("-"):
            name, equals, value = word.lstrip("-").partition("=")
            after = words[at + 1] if at + 1 < len(words) and not words[at + 1].startswith("-") else ""
            found[name] = value if equals else after
    return found


def _wrong(line: int, expected: str, found: str) -> FlanneldConfError:
    return FlanneldConfError(f"{PATH}, line {line}: expected {expected}, found {found}")

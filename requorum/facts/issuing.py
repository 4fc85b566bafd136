"""Certificates that are being made for a host: what lies on it until it has joined. No private key leaves the host."""

from __future__ import annotations

import base64
from dataclasses import dataclass

FOLDER = "/var/lib/requorum/certificates"
KINDS = ("server", "peer")
"""As the installer names them: for clients, and for the other members."""

PLACED = f"{FOLDER}/placed"
"""Everything is where etcd.conf says."""
TARGETS = f"{FOLDER}/targets"
"""What is put where, a line for each: SHA-256, name in the folder, path."""

COMMAND = rf"""#: what is left of the making of certificates
[ -d {FOLDER} ] || exit 0
echo folder
for kind in {" ".join(KINDS)}; do
  [ -s {FOLDER}/$kind.key ] && [ -s {FOLDER}/$kind.csr ] && echo "request $kind $(base64 -w0 < {FOLDER}/$kind.csr)"
done
[ ! -e {PLACED} ] || echo placed
"""


@dataclass(frozen=True, slots=True)
class Issuing:
    """What lies there: requests (kind, PEM) for keys that lie beside them; `placed`: the certificates are in place."""

    there: bool = False
    requests: tuple[tuple[str, str], ...] = ()
    placed: bool = False

    def request(self, kind: str) -> str:
        """The request of a kind; empty where there is none."""
        return dict(self.requests).get(kind, "")


NOTHING = Issuing()


def parse(output: str) -> Issuing:
    """What lies there, from the output of COMMAND. Raises ValueError for a line of another shape."""
    there, placed, requests = False, False, list[tuple[str, str]]()
    for line in output.splitlines():
        words = line.split(" ")
        try:
            if words == ["folder"]:
                there = True
            elif words == ["placed"]:
                placed = True
            elif len(words) == 3 and words[0] == "request" and words[1] in KINDS:
                requests.append((words[1], base64.b64decode(words[2], validate=True).decode("ascii")))
            else:
                raise ValueError("another shape")
        except ValueError as error:
            raise ValueError(
                f"expected what lies in {FOLDER} (folder, request, placed), found {line[:200]!r} ({error})"
            ) from None
    return Issuing(there, tuple(requests), placed)

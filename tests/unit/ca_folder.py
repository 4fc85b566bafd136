"""A CA as the installer leaves it, and a joiner's folders, below a folder of the test's own; changes are made there."""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass
from pathlib import Path

from builders import name
from local_shell import LocalShell, Said

from lab import authority, pki
from requorum.changes import MakeRequest, SignRequest
from requorum.facts import ca, issuing
from requorum.facts.ca import Ca
from requorum.facts.issuing import Issuing

SIGNER, JOINER = name(0), name(2)
NAMES = ("IP:10.0.0.12", f"DNS:{JOINER}")
ME = pwd.getpwuid(os.geteuid()).pw_name
POLICY = "[ policy_anything ]\ncommonName = supplied\n"


@dataclass
class Elsewhere(LocalShell):
    """This machine, with a folder in the place of /etc/etcd and of /var/lib/requorum."""

    root: Path = Path("/nonexistent")

    def moved(self, text: str) -> str:
        for path in ("/etc/etcd", "/var/lib/requorum"):
            text = text.replace(path, f"{self.root}{path}")
        return text

    def moved_back(self, text: str) -> str:
        return text.replace(str(self.root), "")

    def run(self, script: str, *, seconds: float, change: bool = False) -> Said:
        return super().run(self.moved(script), seconds=seconds, change=change)


@dataclass(frozen=True)
class Place:
    """Both hosts in one folder."""

    shell: Elsewhere

    def path(self, path: str) -> Path:
        return Path(f"{self.shell.root}{path}")

    def read(self, path: str) -> str:
        return self.path(path).read_text(encoding="utf-8")

    @property
    def ca(self) -> Ca:
        return ca.parse(self.shell.moved_back(self.shell.run(ca.COMMAND, seconds=10).stdout))

    @property
    def issuing(self) -> Issuing:
        return issuing.parse(self.shell.run(issuing.COMMAND, seconds=10).stdout)

    def requested(self, kind: str = "peer") -> SignRequest:
        """A request is made; what signs it."""
        MakeRequest(JOINER, kind, JOINER, NAMES).do(self.shell)
        return SignRequest(SIGNER, kind, JOINER, NAMES, self.issuing.request(kind))

    @property
    def serials(self) -> list[str]:
        return [line.split("\t")[3] for line in self.read(ca.DATABASE).splitlines()]


def make(root: Path) -> Place:
    """A CA that has signed nothing yet."""
    place = Place(Elsewhere(root=root))
    folder = place.path(ca.FOLDER)
    pki.make_ca(folder)
    (folder / "certs").mkdir()
    (folder / "openssl.cnf").write_text(place.shell.moved(POLICY + authority.extensions()), encoding="ascii")
    (folder / "index.txt").touch()
    (folder / "serial").write_text("01\n", encoding="ascii")
    return place

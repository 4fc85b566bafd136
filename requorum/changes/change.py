"""What a change is.

A change is a small frozen value: it names its host and knows how it is shown, whether it holds already, how it is done,
and what of the facts it sets. On the host a change is one script: look whether it holds; if not, do it, and wait until
it holds. So one round trip makes it, and making it again is harmless.
"""

from __future__ import annotations

import hashlib
import shlex
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from requorum.facts.beside import Facts
from requorum.facts.host import HostFacts
from requorum.facts.shell import CTL

quote = shlex.quote

LABELLED = 'command -v getenforce >/dev/null && [ "$(getenforce)" != Disabled ]'
"""Shell: SELinux labels files here."""


UNFINISHED = ".requorum.new-??????"
"""How the name of a file ends that is to take another one's place, once it is whole."""


def new_file(beside: str) -> str:
    """Shell: `new`, a file beside another (a word) that is to take its place; one that a kill has left goes first.

    Where it was killed, the change is made again: no half a file stays, nor a second copy of a secret.
    """
    return f"rm -f {beside}{UNFINISHED}\nnew=$(mktemp {beside}{UNFINISHED.replace('?', 'X')}) || return 1"


def kept_copy(source: str, to: str) -> str:
    """Shell: copy a file, with owner and mode, to a path that it has only when it is whole and on disk; both are words."""
    return f"""mkdir -p "$(dirname {to})" || return 1
{new_file(to)}
cp -a -L -T {source} "$new" && sync "$new" && mv -fT "$new" {to} && sync "$(dirname {to})" || {{
  rm -f "$new"; return 1; }}"""


_HELD, _DONE = "requorum: it holds already", "requorum: done"


class Answer(Protocol):
    """A command's exit code and output."""

    @property
    def exit(self) -> int: ...
    @property
    def stdout(self) -> str: ...
    @property
    def stderr(self) -> str: ...


class Shell(Protocol):
    """What a change needs of a host."""

    def run(self, script: str, *, seconds: float, change: bool = False) -> Answer: ...
    def fetch(self, script: str, to: Path, *, seconds: float) -> str: ...


class ChangeFailed(Exception):
    """A change was tried and does not hold; the message says what the host answered."""


@dataclass(frozen=True)
class Change(ABC):
    """One change on one host."""

    host: str

    @property
    def identity(self) -> str:
        """The same for the same change, in every run."""
        return hashlib.sha256(repr(self).encode()).hexdigest()[:12]

    @abstractmethod
    def shown(self) -> str:
        """The command or the file difference, for the plan and the report; what a shell would misread is quoted."""

    @abstractmethod
    def test(self) -> str:
        """A shell condition: exit 0 where the change holds."""

    @abstractmethod
    def act(self) -> str:
        """The shell words that make it so."""

    @abstractmethod
    def after(self, facts: HostFacts) -> HostFacts:
        """The facts of the host once the change is made; the same facts where it holds already."""

    @property
    def seconds(self) -> float:
        """How long it may take until it holds."""
        return 30

    def script(self) -> str:
        """The whole of it, for bash on the host."""
        return f"""#: the change: look whether it holds, do it, wait until it holds
{CTL}
holds() {{
{self.test()}
}}
act() {{
{self.act()}
}}
if holds; then echo {quote(_HELD)}; exit 0; fi
act; code=$?
end=$((SECONDS + {int(self.seconds)} + 1))  # bash counts whole seconds
until holds; do
  if [ $code -ne 0 ] || [ $SECONDS -ge $end ]; then
    echo "requorum: it does not hold (the action's exit code was $code)" >&2
    exit 1
  fi
  sleep 0.05
done
echo {quote(_DONE)}
"""

    def do(self, shell: Shell) -> bool:
        """Make it so; True where something was done, False where it held already.

        Raises ChangeFailed where it does not hold afterwards, and whatever the way to the host raises.
        """
        answer = shell.run(self.script(), seconds=self.seconds + 30, change=True)
        last = answer.stdout.strip().rpartition("\n")[2]
        if answer.exit != 0 or last not in (_HELD, _DONE):
            raise ChangeFailed(f"exit {answer.exit}: {(answer.stderr or answer.stdout).strip()[-2000:]}")
        return last == _DONE


class ClientChange(Change):
    """A change that may be made on a host beside the cluster, too: of a client of etcd, or of any file."""

    @abstractmethod
    def after(self, facts: Facts) -> Facts:
        """The facts of the host, of etcd's or beside it, once the change is made; the same where it holds already."""

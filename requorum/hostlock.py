"""The lock of a run on a host: one file, whose line names the run and its holder. Text only, no I/O.

The holder is a process on the host at the other end of the run's own connection: it ends with the connection, however
that ends, and a lock without a living holder is free. A run that connects again takes it again, before anything else.
The file is locked (flock) while a change is made and while a run takes it, and every change looks whether the line is
still its own run's: so two runs never write to one host.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass

PATH = "/run/lock/requorum.lock"
HOURS = 12
"""The longest that a holder lives: a connection whose other end lost its power can seem to stand for long."""
WAIT_SECONDS = 60
"""How long a change, or a run that takes the lock, waits for another change on the host."""

TAKEN, OTHER, BUSY = "taken", "other", "busy"
"""What `claim` answers: it is ours now; the line is not the expected one; a change runs on and on."""
LOST = "requorum: the lock is of another run now:"
"""How a change that was refused begins its answer."""

_LIVES = """
lives() {  # the process with this number began at this time
  local stat
  { read -r stat < "/proc/$1/stat"; } 2>/dev/null || return 1
  set -- "$2" ${stat##*) }
  [ "$2" != Z ] && [ "${21}" = "$1" ]
}
"""


@dataclass(frozen=True, slots=True)
class Owner:
    """Who takes a lock: `token` is the run's own, and in no other line; `since` is UTC."""

    token: str
    run: str
    operator: str
    since: str


@dataclass(frozen=True, slots=True)
class HostLock:
    """What a host says of its lock. `line` is the file's; `alive`: its holder lives; `busy`: a change is made now."""

    line: str
    alive: bool
    busy: bool

    @property
    def token(self) -> str:
        """That of the run that took it last; empty where none did since the host's boot."""
        return self._word(0)

    @property
    def run(self) -> str:
        """The run that took it last; empty where none did since the host's boot."""
        return self._word(4)

    @property
    def words(self) -> str:
        """For a reader; times are UTC."""
        return f"run {self.run} by {self._word(5)}, since {self._word(3)}" if self.run else "no run"

    def _word(self, number: int) -> str:
        words = self.line.split(" ", 5)
        return words[number] if len(words) == 6 else ""


FREE = HostLock("", alive=False, busy=False)

COMMAND = f"""#: the lock of a run
{_LIVES}
[ -e {PATH} ] || exit 0  # a look makes no file
flock -s -n {PATH} true && busy=no || busy=yes
line=$(cat {PATH}) || exit
read -r token pid start rest <<< "$line"
lives "${{pid:-none}}" "$start" && alive=yes || alive=no
echo "$busy $alive $line"
"""
"""Looks at the lock. Read-only."""


def parse(output: str) -> HostLock:
    """The lock from the output of COMMAND; empty where there is none yet. Raises ValueError for anything else."""
    if not output.strip():
        return FREE
    busy, _, rest = output.rstrip("\n").partition(" ")
    alive, _, line = rest.partition(" ")
    if {busy, alive} - {"yes", "no"}:
        raise ValueError(f"expected the state of {PATH}, found {output[:200]!r}")
    return HostLock(line, alive=alive == "yes", busy=busy == "yes")


def claim(owner: Owner, expected: str) -> str:
    """Shell: take the lock if its line is still the expected one, end whoever holds it, answer, and hold it.

    The process that this becomes lives until its standard input ends.
    """
    return _taking(owner, f'[ "$line" = {shlex.quote(expected)} ]')


def claim_again(owner: Owner) -> str:
    """Shell: the same after the connection of its holder was lost, if no other run has taken the lock meanwhile.

    After the host's reboot it is nobody's.
    """
    return _taking(owner, f'[ -z "$line" ] || [ "${{line%% *}}" = {owner.token} ]')


def _taking(owner: Owner, mine: str) -> str:
    quote = shlex.quote
    return f"""{_LIVES}
exec 8>>{PATH} || exit
flock -w {WAIT_SECONDS} 8 || {{ echo {BUSY}; exit 0; }}
line=$(cat {PATH})
{{ {mine}; }} || {{ echo "{OTHER} no no $line"; exit 0; }}
read -r token pid start rest <<< "$line"
lives "${{pid:-none}}" "$start" && kill -9 "$pid"
read -r stat < /proc/$$/stat
set -- ${{stat##*) }}
printf '%s %s %s %s\\n' {quote(owner.token)} $$ "${{20}}" {quote(f"{owner.since} {owner.run} {owner.operator}")} > {PATH} ||
  exit
exec 8>&-
echo {TAKEN}
exec cat > /dev/null
"""


def guard(token: str, path: str) -> str:
    """Shell, for a change that has the file locked: end it unless the lock is this run's, or nobody's."""
    return (
        f"{{ read -r rq_token rq_pid rq_start rq_since rq_run rq_operator < {path}; }} 2>/dev/null; "
        f'[ -z "$rq_token" ] || [ "$rq_token" = {token} ] || '
        f'{{ echo "{LOST} run $rq_run by $rq_operator, since $rq_since" >&2; exit 1; }}'
    )

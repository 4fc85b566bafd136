"""Reads the facts: one batch for each host, all hosts at once; then, where no quorum answers, the data directories.

Read-only. Source: PROCEDURE.md, stage 1.
"""

from __future__ import annotations

import base64
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from requorum.facts import certificates, etcd_conf, machine, mark, members, process, unit
from requorum.facts.bolt import Db, read_db
from requorum.facts.data_dir import DataDir, judge, unreadable
from requorum.facts.data_error import DataError
from requorum.facts.host import STEADY, HostFacts, Silent, commands
from requorum.remote import NotAdmitted, Output, Remote, RemoteError, Unreachable

Found = TypeVar("Found")

SEGMENTS = 2
"""How many of the newest WAL segments are read: a segment that was just begun may hold no entry yet."""


class Unexpected(RemoteError):
    """A host answered something that Requorum does not know how to read."""


@dataclass(frozen=True)
class Surveyor:
    """Reads hosts through their remotes; `backup_directory` is where room for the backup is looked for."""

    remotes: Mapping[str, Remote]
    backup_directory: str

    def all(self) -> dict[str, HostFacts | Silent]:
        """Every host. Where some member does not answer a linearizable read, its data is read from the disk."""
        found = self._each(self.remotes, self.one_or_silent)
        quiet = [n for n, f in found.items() if isinstance(f, HostFacts) and f.has_data and not f.api.answers]
        found |= self._each(quiet, lambda name: self._with_data(found[name]))
        return {name: found[name] for name in self.remotes}

    def one(self, name: str) -> HostFacts:
        """The facts of one host, without its data. Raises RemoteError where it cannot be asked or read."""
        wanted = commands(self.backup_directory)
        return _parsed(name, self.remotes[name].batch(wanted))

    def again(self, facts: HostFacts) -> HostFacts:
        """The facts of a host, read again where a recovery can have changed them. Raises RemoteError."""
        wanted = {noun: text for noun, text in commands(self.backup_directory).items() if noun not in STEADY}
        return _parsed(facts.name, self.remotes[facts.name].batch(wanted), facts)

    def one_or_silent(self, name: str) -> HostFacts | Silent:
        """The facts of one host, or why it is silent. Raises RemoteError where it answers and cannot be understood."""
        try:
            return self.one(name)
        except Unexpected:
            raise
        except RemoteError as error:
            alive = isinstance(error, NotAdmitted) or not isinstance(error, Unreachable)
            return Silent(name, error.found, error.advice, alive)

    def _each(self, names: Iterable[str], read: Callable[[str], Found]) -> dict[str, Found]:
        chosen = list(names)
        with ThreadPoolExecutor(max_workers=max(1, len(chosen))) as pool:
            return dict(zip(chosen, pool.map(read, chosen), strict=True))

    def _with_data(self, facts: HostFacts | Silent) -> HostFacts | Silent:
        return replace(facts, data=self.data(facts)) if isinstance(facts, HostFacts) else facts

    def data(self, facts: HostFacts) -> DataDir:
        """What a member's data directory holds. What cannot be read is told in `error`, not raised."""
        found = self._data_once(facts)
        # A live file can be read in the middle of a write: what looks damaged is read once more.
        return self._data_once(facts) if found.error else found

    def _data_once(self, facts: HostFacts) -> DataDir:
        remote = self.remotes[facts.name]
        db: Db | DataError
        try:
            db = self._database(remote, facts)
        except DataError as error:
            db = error
        except RemoteError as error:
            return unreadable(str(error))
        try:
            return judge(self._segments(remote, facts), db)
        except RemoteError as error:
            return unreadable(str(error))

    def _segments(self, remote: Remote, facts: HostFacts) -> list[tuple[str, bytes]]:
        newest = f"ls | grep '^[0-9a-f-]*[.]wal$' | sort | tail -n {SEGMENTS}"
        # tar's exit 1 says that a file grew while it was read: a live log does, and its reader knows a torn end.
        script = (
            f"set -o pipefail; cd {facts.conf.wal_dir} && {{ tar -S -cf - $({newest}) || [ $? -eq 1 ]; }} | gzip -1"
        )
        with tempfile.TemporaryDirectory() as folder:
            archive = Path(folder) / "wal.tar.gz"
            remote.fetch(script, archive, seconds=120)
            with tarfile.open(archive, "r:gz") as tar:
                return sorted((e.name, stream.read()) for e in tar if (stream := tar.extractfile(e)) is not None)

    def _database(self, remote: Remote, facts: HostFacts) -> Db:
        path = f"{facts.conf.data_dir}/member/snap/db"
        flags = "iflag=skip_bytes,count_bytes bs=64K status=none"
        reader = read_db()
        wanted = next(reader)
        while True:
            lines = [f"dd if={path} skip={at} count={size} {flags} | base64 -w0; echo" for at, size in wanted]
            answer = remote.run("set -e -o pipefail\n" + "\n".join(lines), seconds=60)
            if answer.exit != 0:
                raise DataError(f"{path} cannot be read: {answer.stderr.strip()}")
            blocks = [base64.b64decode(line) for line in answer.stdout.split("\n")[: len(wanted)]]
            try:
                wanted = reader.send(blocks)
            except StopIteration as end:
                db: Db = end.value
                return db


def _parsed(name: str, outputs: Mapping[str, Output], known: HostFacts | None = None) -> HostFacts:
    """Facts from the outputs of a batch; what the batch left out is taken from what is known."""

    def read(noun: str, parse: Callable[[str], Found]) -> Found:
        output = outputs[noun]
        try:
            return parse(output.stdout)
        except ValueError as error:
            said = f"{error}" + (f"; {output.stderr.strip()}" if output.stderr.strip() else "")
            raise Unexpected(
                name, expected=f"readable facts: {noun}", found=said, advice="mend it on the host; nothing was changed"
            ) from None

    if outputs["conf"].exit != 0:
        raise Unexpected(
            name,
            expected=f"etcd's configuration in {etcd_conf.PATH}",
            found=outputs["conf"].stderr.strip(),
            advice="check that this host is a member of etcd, and that the user of the inventory may read the file",
        )
    return HostFacts(
        name=name,
        machine=known.machine if known else read("machine", machine.parse),
        conf=read("conf", etcd_conf.parse),
        unit=read("unit", unit.parse),
        processes=read("process", process.parse),
        api=read("api", lambda output: members.parse_api(output, outputs["api"].stderr)),
        certificates=known.certificates if known else read("certificates", certificates.parse),
        mark=read("mark", mark.parse),
    )

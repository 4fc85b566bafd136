"""What a step may ask of the v2 stores of the members, and of their backup. Reads only."""

from __future__ import annotations

import shlex
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

from requorum.changes.v2 import AFTER, BACKUP, BEFORE, COPY, UNUSABLE
from requorum.diagnosis import Verdict
from requorum.facts import v2_keys
from requorum.facts.shell import CTL
from requorum.facts.v2 import CTL2
from requorum.facts.v2_keys import READ2, V2Keys, shown, unlike_living, unlike_member, unlike_values
from requorum.live import Cluster, EtcdMember
from requorum.run import Run
from requorum.survey import Unexpected

LOOK = "look at etcd's log: journalctl -u etcd; then run the same command again"
_END = "requorum: end of"


class V2Store:
    """The v2 keys of the cluster, where its survivor is to serve the v2 API; else there is nothing to ask."""

    def __init__(self, run: Run) -> None:
        self._run, self._cluster = run, Cluster(run)

    def __repr__(self) -> str:
        return f"the v2 store of {self._cluster}"

    def place(self, etcd: EtcdMember) -> PurePosixPath:
        """Where the backup of a member's v2 store is."""
        return self._cluster.backup.v2(etcd.surveyed)

    @property
    def used(self) -> bool:
        """The survivor is to serve the v2 API."""
        return self._cluster.survivor.surveyed.enables_v2

    @property
    def lost(self) -> bool:
        """No quorum answers: the copied data is read, and a running member only where it has had a leader."""
        return self._cluster.diagnosis.verdict is Verdict.LOST

    def notes(self) -> list[str]:
        """What a reader has to know of the backup that is going to be made; nothing where all is as it should be."""
        facts = self._cluster.survivor.surveyed
        if facts.v2.backs_up:
            return []
        return [
            f"the etcdctl of {facts.name} has no `backup` of the v2 API: its keys are read, and compared all the same"
        ]

    def damaged(self, etcd: EtcdMember) -> list[str]:
        """In what the copies of the v2 store differ from one another, and from what the member served; empty where proven."""
        read = self._kept(etcd)
        copy, backup = read.get(COPY), read.get(BACKUP)
        before, after = read.get(BEFORE), read.get(AFTER)
        found: list[str] = []
        if copy and backup:
            found += [f"what etcdctl wrote: {words}" for words in unlike_values(backup.values, copy.values)]
        if backup and before and after and not copy:
            found += [f"what etcdctl wrote: {words}" for words in unlike_living(backup, before, after)]
        if copy and after:  # no quorum: the member had applied no more than its log holds
            found += [f"what was copied: {words}" for words in self._lost(copy, after, etcd)]
        return shown(found)

    def not_kept(self, etcd: EtcdMember) -> list[str]:
        """Why what etcdctl wrote is no part of the backup, and what is; nothing where it is one."""
        why = self._fetched(etcd, f"cat {shlex.quote(str(self.place(etcd) / UNUSABLE))} 2>/dev/null || true").strip()
        held = "the copied data, and every key as read from it," if self.lost else "every key, as the member serves it,"
        said = "; ".join(why.splitlines())
        return [f"what etcdctl wrote is not kept (etcd issue 9890): {said}; {held} is the backup"] if why else []

    def proven_by(self, etcd: EtcdMember) -> str:
        """How many keys the backup holds, in words."""
        read = self._kept(etcd)
        held = read.get(BACKUP) or read.get(COPY) or read.get(AFTER)
        copied = "" if BACKUP in read or COPY in read else ", as the member serves them; no copy of the store"
        return f"{len(held.nodes) if held else 0} keys and directories that do not expire{copied}"

    def unlike_backup(self, etcd: EtcdMember) -> list[str]:
        """The keys in which a member differs from the survivor's copied v2 store, and not because it was written since."""
        if not self.used or not self.lost:
            return []
        kept = self._kept(etcd).get(COPY)
        if kept is None:
            return [f"{self.place(etcd)}/{COPY} is not there on {etcd.name}"]
        return shown(self._lost(kept, self._read(etcd), etcd))

    def differing(self) -> list[str]:
        """The keys in which members that answer differ from the survivor, where they are to serve the v2 API."""
        if not self.used:
            return []
        members = [self._cluster.member(name) for name in self._run.hosts("whole")]
        members = [member for member in members if member.surveyed.enables_v2]
        with ThreadPoolExecutor(max_workers=max(1, len(members))) as pool:
            joined = [m for m, answers in zip(members, pool.map(EtcdMember.answers, members), strict=True) if answers]
            read = dict(zip([m.name for m in joined], pool.map(self._read, joined), strict=True))
        if self._cluster.diagnosis.survivor not in read:
            return [f"{self._cluster.diagnosis.survivor} does not answer"]
        expected = read[self._cluster.diagnosis.survivor]
        return [f"{name}: {words}" for name, keys in read.items() for words in shown(unlike_member(expected, keys))]

    def lists_that_differ(self) -> list[str]:
        """How the v2 API's member list differs from the v3 API's on each host, as surveyed."""
        return [
            f"{facts.name}: {words}" for facts in self._cluster.reached for words in facts.v2.unlike(facts.api.members)
        ]

    def _lost(self, kept: V2Keys, now: V2Keys, etcd: EtcdMember) -> list[str]:
        """What is otherwise now than it was; a key that is gone is lost unless etcd's own history says what became of it."""
        gone = kept.gone_in(now)
        return kept.lost_in(now) + ([f"{path}: it is not there" for path in self._unexplained(etcd, gone, kept.newest)])

    def _unexplained(self, etcd: EtcdMember, paths: list[str], since: int) -> list[str]:
        """Those of these keys of which the member knows no change after an index."""
        if not paths:
            return []
        lines = [
            f"look {shlex.quote(path)} || {{ echo {number}; missing=$((missing + 1)); }}\n[ $missing -lt 5 ] || exit 0"
            for number, path in enumerate(paths)
        ]
        script = f"""{CTL}{CTL2}missing=0
look() {{ ctl2_within 3 watch --after-index {since} "$1" >/dev/null 2>&1; }}
""" + "\n".join(lines)
        answer = self._run.remotes[etcd.name].run(script, seconds=60 + len(paths))
        return [paths[int(number)] for number in answer.stdout.split()]

    def _read(self, etcd: EtcdMember) -> V2Keys:
        script = f"{CTL}{CTL2}{READ2}read2"
        return self._parsed(etcd, self._fetched(etcd, script), "every key of its v2 store")

    def _kept(self, etcd: EtcdMember) -> dict[str, V2Keys]:
        """The readings beside the backup, by their names; none where there is no backup."""
        folder = shlex.quote(str(self.place(etcd)))
        script = f"""[ -d {folder} ] || exit 0; cd {folder} || exit
for name in {COPY} {BACKUP} {BEFORE} {AFTER}; do [ ! -f $name ] || {{ cat $name; echo "{_END} $name"; }}; done"""
        found: dict[str, V2Keys] = {}
        lines: list[str] = []
        for line in self._fetched(etcd, script).splitlines():
            if line.startswith(_END):
                found[line.removeprefix(_END).strip()] = self._parsed(
                    etcd, "\n".join(lines), f"{self.place(etcd)}: its keys"
                )
                lines = []
            else:
                lines.append(line)
        return found

    def _fetched(self, etcd: EtcdMember, script: str) -> str:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "keys"
            self._run.remotes[etcd.name].fetch(script, path, seconds=600)
            return path.read_text(encoding="utf-8", errors="replace")

    @staticmethod
    def _parsed(etcd: EtcdMember, text: str, what: str) -> V2Keys:
        try:
            return v2_keys.parse(text)
        except ValueError as error:
            raise Unexpected(etcd.name, expected=what, found=str(error), advice=LOOK) from None

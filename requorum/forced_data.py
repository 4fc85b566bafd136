"""What the survivor holds once it was forced, against the copy of its data from before: the proof of step 45. Reads only."""

from __future__ import annotations

import re
import shlex
import tempfile
from mmap import ACCESS_READ, mmap
from pathlib import Path

from requorum.diagnosis import Verdict
from requorum.facts.bolt import keys_at
from requorum.live import Cluster
from requorum.survey import Unexpected

LOOK = (
    "look at these keys in the copy of the data on the survivor (etcd-data-* in the directory for backups); to go on without "
    "this proof, move that copy away: the same command then says that the proof was not made"
)
_COMPACTED = "revision has been compacted"


def unlike_backup(cluster: Cluster) -> tuple[list[str], str]:
    """The keys that differ at the copy's revision; and why that is not known, empty where it is.

    A run that carries a recovery on after its force proves it where it still can be proven: the copy of the run that
    forced is there, and its revision is not compacted away.
    """
    forces = cluster.diagnosis.verdict is Verdict.LOST
    database = str(cluster.backup.database(cluster.survivor.surveyed)) if forces else _copied(cluster)
    if not database:
        return (
            [],
            f"{cluster.backup.directory} on {cluster.survivor.name} holds no copy of its data from before the force",
        )
    try:
        return _differing(cluster, database), ""
    except Unexpected as error:
        if forces or _COMPACTED not in error.found:
            raise
        return [], f"the revision of {database} has been compacted away since"


def not_made(why: str) -> str:
    """What a reader has to know where there is no proof."""
    return (
        "this run does not hold the survivor's data against the backup, and the run that forced it may have ended before it "
        f"did: {why}"
    )


def _copied(cluster: Cluster) -> str:
    """The database in the copy that the force of this recovery began with: the last one that was made before it."""
    place, survivor = cluster.backup, cluster.survivor
    folder, files = shlex.quote(str(place.directory)), f"etcd-data-*{shlex.quote(place.recovery)}/member/snap/db"
    said = cluster.run.remotes[survivor.name].run(f"cd {folder} && ls -d {files} 2>/dev/null || true", seconds=30)
    named = re.compile(rf"etcd-data-(?:(\d+)\.(\d+)-)?{re.escape(place.recovery)}/member/snap/db")
    found = [match for line in said.stdout.splitlines() if (match := named.fullmatch(line.strip()))]
    last = max(found, key=lambda match: (int(match[1] or 0), int(match[2] or 0)), default=None)
    return str(place.directory / last[0]) if last else ""


def _differing(cluster: Cluster, database: str) -> list[str]:
    survivor = cluster.survivor
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "db"
        cluster.run.remotes[survivor.name].fetch(f"cat {shlex.quote(database)}", image, seconds=1800)
        revision = survivor.snapshot_revision(database)
        with image.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as content:
            kept = keys_at(content, revision)
    held = survivor.keys_at(revision)
    return sorted(key.decode(errors="replace") for key in kept.keys() | held.keys() if kept.get(key) != held.get(key))

"""Hosts that come back with their old data: noticed before the force, and told of after it."""

from __future__ import annotations

import base64
import hashlib
import json
import shlex
import socket
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from mmap import ACCESS_READ, mmap
from pathlib import Path
from urllib.parse import urlsplit

from requorum.diagnosis import Verdict
from requorum.facts import neighbours
from requorum.facts.bolt import Held, held_at
from requorum.facts.data_error import DataError
from requorum.facts.host import Silent
from requorum.facts.shell import CTL, PROBE
from requorum.inventory import EtcdHost
from requorum.lineage import holds_nothing
from requorum.live import Cluster, EtcdMember
from requorum.remote import Remote, RemoteError
from requorum.survey import Unexpected, foreign_urls, silent_for

LOOK_SECONDS = 2.0
"""What each part of a look may take: it comes right before the force, while nothing serves."""


def returned(cluster: Cluster) -> list[str]:
    """Which hosts that were silent are there again, and what that means; empty where none is.

    Asked over SSH, and at etcd's ports from here and from every host that is reached; all at once. A connection that is
    refused is no sign: a host that was given up may well be on, without etcd.
    """
    run, reached = cluster.run, cluster.reached
    quiet = [run.inventory.host(name) for name, facts in run.survey.items() if isinstance(facts, Silent)]
    if not quiet:
        return []
    urls = foreign_urls(reached)
    looks: list[Callable[[], list[str]]] = [lambda host=host: _over_ssh(host) for host in quiet]  # type: ignore[misc]
    looks += [lambda url=url: _from_here(url) for url in urls]  # type: ignore[misc]
    looks += [lambda facts=facts: _from_there(run.remotes[facts.name], urls) for facts in reached]  # type: ignore[misc]
    with ThreadPoolExecutor(max_workers=len(looks)) as pool:
        seen = [line for lines in pool.map(lambda look: look(), looks) for line in lines]
    return [*seen, *_meaning(cluster)] if seen else []


def _meaning(cluster: Cluster) -> list[str]:
    found = cluster.diagnosed_again()
    if found.verdict is Verdict.LOST:
        return ["quorum is lost all the same: run the same command again, it fences who is back before it goes on"]
    return [f"the verdict is now: {found.verdict.value}", *(found.advice or found.proof)]


def _over_ssh(host: EtcdHost) -> list[str]:
    remote = Remote(host, connect_seconds=LOOK_SECONDS)
    try:
        remote.connect()
    except RemoteError as error:
        silent = silent_for(host.name, error)
        return [f"{host.name} {silent.answers} SSH: {silent.reason}"] if silent.alive else []
    finally:
        remote.close()
    return [f"{host.name} is reached by SSH"]


def _from_here(url: str) -> list[str]:
    place = urlsplit(url)
    try:
        socket.create_connection((place.hostname or "", place.port or 0), timeout=LOOK_SECONDS).close()
    except OSError:
        return []
    return [f"{url} listens, as seen from here"]


def _from_there(remote: Remote, urls: list[str]) -> list[str]:
    answer = remote.run(neighbours.command(urls), seconds=30)
    return [f"{url} listens, as seen from {remote.name}" for url in neighbours.parse(answer.stdout)]


def told_apart(cluster: Cluster, old: EtcdMember) -> str:
    """What an old peer holds against the survivor, in words: its revision, and the keys that differ, counted.

    Compared at the older of the two revisions, or, where the old peer is ahead, its last state with the survivor's.
    """
    survivor, data = cluster.survivor, old.surveyed.data
    if holds_nothing(old.surveyed):
        return "it holds nothing: it was emptied, and its etcd had started by itself"
    if data is None or data.db is None:
        return "it has no database that can be read; its data is kept aside"
    try:
        theirs, revision = _in_database(cluster, old)
        now = survivor.revision()
        ours = _on_survivor(cluster, survivor, min(revision, now))
    except (DataError, Unexpected) as error:
        found = error.found if isinstance(error, Unexpected) else str(error)
        return f"what it holds cannot be compared with {survivor.name}: {found}; its data is kept aside"
    keys = {key for key in theirs.keys() | ours.keys() if not key.startswith(PROBE.encode())}
    differ = [key for key in keys if theirs.get(key) != ours.get(key)]
    said = f"it is at revision {revision}, the survivor at {now}: "
    if not differ:
        return said + f"no key differs at revision {min(revision, now)}"
    here, there = len(set(differ) - ours.keys()), len(set(differ) - theirs.keys())
    return said + (
        f"{len(differ)} keys differ, {here} of them only here, {there} only on {survivor.name}, "
        f"{len(differ) - here - there} with another value; nothing is merged, its data is kept aside"
    )


def _in_database(cluster: Cluster, old: EtcdMember) -> tuple[dict[bytes, Held], int]:
    database = f"{old.surveyed.conf.data_dir}/member/snap/db"
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "db"
        cluster.run.remotes[old.name].fetch(f"cat {shlex.quote(database)}", image, seconds=1800)
        with image.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as content:
            return held_at(content)


def _on_survivor(cluster: Cluster, survivor: EtcdMember, revision: int) -> dict[bytes, Held]:
    script = f"{CTL}PATIENCE=600s ctl get '' --prefix --rev={revision} -w json"
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "keys"
        try:
            cluster.run.remotes[survivor.name].fetch(script, answer, seconds=1800)
            listed = json.loads(answer.read_bytes()).get("kvs", [])
            return {
                base64.b64decode(kv["key"]): (
                    int(kv["mod_revision"]),
                    hashlib.sha256(base64.b64decode(kv.get("value", ""))).digest(),
                )
                for kv in listed
            }
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise Unexpected(
                survivor.name, expected="keys in JSON", found=repr(error), advice="run the same command again"
            ) from None
        except RemoteError as error:
            if "compacted" not in error.found:
                raise
            found = f"revision {revision} was compacted away there"
            raise Unexpected(survivor.name, expected="its keys", found=found, advice="") from None

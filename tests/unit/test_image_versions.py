"""The etcd of an image: its tools are kept, and its version may be unknown until they are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import PurePosixPath

import pytest
from builders import (
    emptied,
    facts,
    healthy,
    machine,
    name,
)
from pods import POD, container_unit, pod_unit

from requorum import operations
from requorum.causes import why_down
from requorum.changes import (
    KeepTools,
    RemoveTools,
)
from requorum.facts.host import HostFacts
from requorum.facts.runtime import ASIDE, PARKED
from requorum.facts.unit import Unit
from requorum.fitness import cannot_join, unfit, unlike_surveyed, unread_notes

ONE = name(0)
POD_HOST = facts(0, unit=pod_unit())
CONTAINER_HOST = facts(0, unit=container_unit())


def test_tools_of_an_image_are_kept_whatever_the_data_is() -> None:
    """Of a pod that is fenced, not even the log is left after a minute, which said the version of an emptied one."""
    for unit_ in (pod_unit(), container_unit()):
        gone = replace(emptied(0), unit=unit_)
        assert operations.tools.keep(gone) == [KeepTools(ONE, gone.image)]
    assert operations.tools.keep(POD_HOST) == [KeepTools(ONE, POD.manifest.image)]
    assert operations.tools.keep(CONTAINER_HOST) == [KeepTools(ONE, "IMAGE")]
    assert operations.tools.keep(facts(0)) == operations.tools.keep(emptied(0)) == []
    assert operations.tools.forget(POD_HOST) == [RemoveTools(ONE)]
    assert operations.tools.forget(facts(0)) == []


def unread(unit: Unit, *, client: str = "") -> HostFacts:
    """Of a fenced, emptied host: no tools, no container, no log. The host may have an etcdctl of its own."""
    host = replace(emptied(0).machine, ports=frozenset(), etcd_version="", etcdctl_version=client)
    return replace(emptied(0), unit=unit, machine=host)


@pytest.mark.parametrize("unit", [pod_unit(), pod_unit(PARKED), pod_unit(ASIDE), container_unit("inactive/dead")])
def test_a_version_that_nobody_can_tell_yet_is_told_and_not_refused(unit: Unit) -> None:
    for host in (unread(unit), unread(unit, client="3.3.11")):
        assert unfit(host, PurePosixPath("/backup")) == []
        assert cannot_join(host, healthy(1), ()) == cannot_join(replace(healthy(1), name="b"), host, ()) == []
        [said] = unread_notes(host)
        assert f"which etcd the image {host.image} has is not known yet" in said
        assert not any("install" in line for line in [said, *why_down(host)])
    assert unread_notes(replace(host, machine=machine(0))) == unread_notes(facts(0)) == []


def read(version: str, client: str = "3.4.23") -> HostFacts:
    found = unread(pod_unit(PARKED))
    return replace(found, machine=replace(found.machine, etcd_version=version, etcdctl_version=client))


@pytest.mark.parametrize(
    ("host", "joins", "words"),
    [
        (read("3.4.30"), True, ""),
        (read("3.5.16"), False, ""),
        (read("3.5.16"), True, "etcd 3.5.16 here, 3.4.23 on etcd-1.example.com"),
        (read("3.2.32"), True, "knows 3.3 and later"),
        (read("", "3.4.23"), True, f"see that docker runs the image {POD.manifest.image}"),
        (read("3.4.23", ""), True, "the host's own is taken before the image's: mend it"),
    ],
)
def test_a_version_is_judged_once_it_is_read(host: HostFacts, joins: bool, words: str) -> None:
    found = unlike_surveyed(host, healthy(1), joins=joins)
    assert "etcd-client" not in "".join(found)
    assert "etcd-server" not in "".join(found)
    if not words:
        assert found == []
    else:
        [problem] = found
        assert words in problem


def guessed(version: str) -> HostFacts:
    """Of the image none could be had when step 20 tried; the host has one of its own."""
    host = read(version)
    return replace(host, machine=replace(host.machine, etcd_of_host=True))


def test_the_host_s_own_etcd_decides_nothing_before_step_20_has_tried_for_the_image_s() -> None:
    """Docker was mended, and the host's 3.2 went on being refused, by steps before the one that would have looked again."""
    old = guessed("3.2.32")
    assert unfit(old, PurePosixPath("/backup")) == []
    assert cannot_join(old, healthy(1), ()) == cannot_join(replace(healthy(1), name="b"), old, ()) == []
    [said] = unread_notes(old)
    assert "neither its binary nor its log told" in said
    assert "the host's own is 3.2.32" in said
    assert (old.version_unread, old.version_open) == (False, True)


@pytest.mark.parametrize(
    ("now", "words"), [(guessed("3.2.32"), "knows 3.3"), (guessed("3.5.16"), "3.5.16 here, 3.4.23 on")]
)
def test_the_host_s_own_etcd_is_judged_as_what_it_is(now: HostFacts, words: str) -> None:
    problem, whose = unlike_surveyed(now, healthy(1), joins=True)
    assert words in problem
    assert "that is the host's own etcd" in whose
    assert f"the image {now.image} could not be had" in whose


def test_a_survivor_of_whom_nothing_new_is_known_is_not_chosen_anew_for_ever() -> None:
    assert unlike_surveyed(guessed("3.4.23"), guessed("3.4.23"), joins=False) == []
    assert unlike_surveyed(read("3.4.23"), guessed("3.4.23"), joins=False) == []
    [problem] = unlike_surveyed(read("3.4.23"), guessed("3.5.16"), joins=False)
    assert "chosen anew" in problem


def test_a_version_of_the_survivor_has_everything_chosen_anew() -> None:
    [problem] = unlike_surveyed(read("3.4.23"), unread(pod_unit(PARKED)), joins=False)
    assert "run the same command again, and it is chosen anew" in problem
    assert unlike_surveyed(replace(read("3.4.23"), name="b"), unread(pod_unit(PARKED)), joins=True) == []

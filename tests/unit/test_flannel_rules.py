"""Flannel: what is to be edited and restarted, what is owed, which leases are gone, and how a restart is proven."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from builders import deaf, healthy, inventory, mark, members, name, names, silent, survey
from local_shell import LocalShell, stand_in

from requorum import flannel as live
from requorum import naming
from requorum.changes import Change, EditFile, RemoveFile, RestartFlannel, WriteFile
from requorum.clients import Client
from requorum.diagnosis import Verdict, diagnose
from requorum.facts import flannel, flanneld_conf
from requorum.facts.beside import AnyFacts
from requorum.facts.flannel import FOUND, LEASES, NO_API, NO_NETWORK, OWED, SERVED, UNKNOWN, Flannel, Lease
from requorum.facts.flanneld_conf import FlanneldConf
from requorum.facts.host import HostFacts, MissingFact, Noun, Silent
from requorum.operations.flannel import forget_found, forget_leases, name_members, put_back, restart, somebody_edited
from requorum.operations.marking import signed
from requorum.run import Run
from requorum.told import told
from requorum.undoing import to_undo
from requorum.wellness import left_behind

URLS = {name(n): f"https://10.0.0.{10 + n}:2379" for n in range(3)}
MINE = Lease("10.1.5.0-24", "10.0.0.10", "2026-11-30T01:00:00.5Z")
OTHER = Lease("10.1.7.0-24", "10.0.0.11", "2026-11-29T01:00:00Z")


def text(*order: int, quote: str = '"') -> str:
    urls = ",".join(f"https://{name(n)}:2379" for n in order)
    return f"# mine\nFLANNEL_ETCD_ENDPOINTS={quote}{urls}{quote}\nFLANNEL_ETCD_PREFIX=/net\n# the end"


def conf(said: str) -> FlanneldConf:
    found = flanneld_conf.parse(said)
    assert found is not None
    return found


def on(n: int, said: str, *, found: str = "", **more: object) -> HostFacts:
    """A healthy member with a flanneld that has this configuration."""
    was = conf(found) if found else None
    return replace(healthy(n), flannel=Flannel(conf(said), was, **more))  # type: ignore[arg-type]


KNOWN = naming.places(inventory(), survey(*(on(n, text(0, 1, 2)) for n in range(3))))


def believed(facts: HostFacts, changes: list[Change]) -> HostFacts:
    for change in changes:
        facts = change.after(facts)
    return facts


# The fact


def printed(said: str, *, found: str = "", kept: str = "", keys: str = "", notes: str = "") -> str:
    """What COMMAND prints."""
    head = f"ActiveState=active\nUnitFileState=enabled\nJob=0\n{notes}"
    digest = hashlib.sha256(said.encode()).hexdigest()
    parts = [f"--- requorum: notes ---\n{head}sum={digest}  -\n--- requorum: configuration ---\n{said}"]
    parts += [f"\n--- requorum: {one} ---\n{had}" for one, had in (("found", found), ("leases", kept), ("keys", keys))]
    return "".join(parts)


def keys(*leases: Lease, network: bool = True) -> str:
    """What etcd says of everything below Flannel's prefix."""
    nodes: list[dict[str, object]] = [
        {"key": f"/net/subnets/{one.subnet}", "value": json.dumps({"PublicIP": one.address}), "expiration": one.ends}
        for one in leases
    ]
    below: list[dict[str, object]] = [{"key": "/net/subnets", "dir": True, "nodes": nodes}] if nodes else []
    below += [{"key": "/net/config", "value": "{}"}] if network else []
    return json.dumps({"action": "get", "node": {"key": "/net", "dir": True, "nodes": below}})


def test_a_host_without_the_file_has_no_flannel() -> None:
    assert flannel.parse("") is None
    assert flannel.COMMAND.startswith(f"#: Flannel\n[ -e {flanneld_conf.PATH} ] || exit 0\n")
    assert flannel.parse(printed("FLANNEL_OPTIONS=--kube-subnet-mgr\n")) is None


@pytest.mark.parametrize("said", [text(0, 1, 2), text(0) + "\n", text(1, quote="").replace("\n", "\r\n")])
def test_what_is_read(said: str) -> None:
    found = flannel.parse(printed(said, notes="missing=curl\n"))
    assert found == Flannel(conf(said), missing=("curl",))
    noted = printed(
        said, found=text(0, 1, 2), kept=flannel.kept_text([MINE]), keys=keys(OTHER, MINE), notes="owes=yes\n"
    )
    found = flannel.parse(noted)
    assert found == Flannel(conf(said), conf(text(0, 1, 2)), (MINE,), True, keys=SERVED, leases=(MINE, OTHER))


@pytest.mark.parametrize(("noted", "old"), [(False, False), (True, False), (True, True)])
def test_the_command_says_what_is_parsed(tmp_path: Path, noted: bool, old: bool) -> None:
    """Under bash, with its own member asked by etcd's own certificates."""
    said = text(0, 1, 2).replace("_PREFIX=/net", "_KEY=net/" if old else "_PREFIX=/net")
    places = {flanneld_conf.PATH: said, "/etc/etcd/etcd.conf": "ETCD_ADVERTISE_CLIENT_URLS=https://a:1,https://b:2\n"
              "ETCD_TRUSTED_CA_FILE=/ca\nETCD_PEER_CERT_FILE=/crt\nETCD_PEER_KEY_FILE=/key\n"}  # fmt: skip
    if noted:
        places |= {FOUND: text(1), LEASES: flannel.kept_text([MINE]), OWED: ""}
    (tmp_path / "keys").write_text(keys(MINE, OTHER))
    tools = stand_in(tmp_path / "tools", "systemctl", "printf 'ActiveState=failed\\nUnitFileState=enabled\\n'")
    words = "-sS --max-time 2 --cacert /ca --cert /crt --key /key https://a:1/v2/keys/net{}?recursive=true"
    stand_in(tools, "curl", f'[ "$*" = "{words.format("/" if old else "")}" ] && cat {tmp_path}/keys')
    command = flannel.COMMAND
    for path in (flanneld_conf.PATH, "/etc/etcd/etcd.conf", FOUND, LEASES, OWED):
        here = tmp_path / path.replace("/", "-")
        command = command.replace(path, str(here))
        if path in places:
            here.write_text(places[path])
    found = flannel.parse(LocalShell(tools).run(command, seconds=10).stdout)
    expected = Flannel(conf(said), active="failed", keys=SERVED, leases=(MINE, OTHER))
    assert found == (replace(expected, found=conf(text(1)), kept=(MINE,), owes=True) if noted else expected)


@pytest.mark.parametrize(
    ("answer", "means"),
    [
        ("", UNKNOWN),
        ("404 page not found\n", NO_API),
        ('{"errorCode":100,"message":"Key not found","cause":"/net","index":8}\n', NO_NETWORK),
        ('{"errorCode":300,"message":"Raft Internal Error"}\n', UNKNOWN),
        ("<html>", UNKNOWN),
        (keys(network=False), NO_NETWORK),
        (keys(), SERVED),
    ],
)
def test_what_the_v2_api_says(answer: str, means: str) -> None:
    assert flannel.parse_keys(answer) == (means, ())


@pytest.mark.parametrize(
    ("output", "says"),
    [
        (printed("FLANNEL_ETCD='a\n"), "/etc/sysconfig/flanneld, line 1: expected a closing"),
        ("nonsense", "expected the configuration of flanneld"),
        (printed(text(0)).replace("https", "httpx", 1), "expected text in UTF-8"),
        (printed(text(0), kept="[1]"), "expected leases in /var/lib/requorum/flannel-leases.json"),
        (printed(text(0), keys=keys(MINE).replace("PublicIP", "Other")), "expected Flannel's leases in etcd"),
    ],
)
def test_what_cannot_be_read_is_told(output: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        flannel.parse(output)


@pytest.mark.parametrize(
    ("active", "enabled", "runs"),
    [
        ("active", "disabled", True), ("activating", "enabled", True), ("failed", "enabled", True),
        ("failed", "disabled", False), ("inactive", "enabled", False), ("", "", False),
    ],
)  # fmt: skip
def test_where_it_runs(active: str, enabled: str, runs: bool) -> None:
    """With etcd away a flanneld that starts tries again, or has failed: it is one that is to run."""
    assert Flannel(conf(text(0)), active=active, enabled=enabled).is_to_run is runs
    assert Flannel(conf(text(0)), active=active, enabled=enabled, queued=True).is_to_run


UNUSED = 'FLANNEL_ETCD_ENDPOINTS="http://127.0.0.1:2379"\nFLANNEL_ETCD_PREFIX="/atomic.io/network"\n'
"""As the package brings it."""


@pytest.mark.parametrize(
    ("more", "used"),
    [
        ({}, False), ({"enabled": "masked"}, False), ({"active": "", "enabled": ""}, False),
        ({"active": "active"}, True), ({"active": "failed"}, True), ({"enabled": "enabled"}, True),
        ({"enabled": "static"}, True), ({"queued": True}, True), ({"owes": True}, True), ({"kept": ()}, True),
        ({"found": conf(UNUSED)}, True),
    ],
)  # fmt: skip
def test_a_package_left_as_it_came_is_nobodys_flannel(more: dict[str, Any], used: bool) -> None:
    there = Flannel(conf(UNUSED), **{"active": "inactive", "enabled": "disabled", **more})
    assert there.in_use is used
    [left] = [words for what, words in told(replace(healthy(0), flannel=there)) if what == "Flannel"]
    assert ("nobody uses it" in left) is not used


def test_flannel_that_nobody_uses_is_owed_nothing(tmp_path: Path) -> None:
    """Neither a debt of a healthy cluster, nor a stranger that keeps another from being recovered."""
    unused = Flannel(conf(UNUSED), active="inactive", enabled="disabled")
    hosts = [replace(healthy(n), flannel=unused) for n in range(3)]
    assert diagnose(inventory(), survey(*hosts)).verdict is Verdict.HEALTHY
    run = Run("checks", inventory(), tmp_path, "20261125T000000Z", "ada@desk", 1, ())
    run.survey = survey(*hosts[:2], on(2, text(0, 1, 2)))
    run.diagnosis = diagnose(run.inventory, run.survey)
    assert run.hosts("flannel") == names(2)


def test_what_cannot_be_read_and_nobody_uses_stops_nothing() -> None:
    broken = printed("FLANNEL_ETCD='a\n").replace("=active", "=inactive").replace("=enabled", "=disabled")
    assert flannel.parse(broken) is None
    with pytest.raises(ValueError, match="expected a closing"):
        flannel.parse(broken.replace("sum=", "owes=yes\nsum="))


def test_one_that_waits_for_etcd_at_boot_is_to_run() -> None:
    """Its unit is ordered after etcd.service, which starts as long as there is no quorum: it is inactive, with a job."""
    said = printed(text(0)).replace("ActiveState=active", "ActiveState=inactive").replace("Job=0", "Job=71")
    found = flannel.parse(said)
    assert found == Flannel(conf(text(0)), active="inactive", queued=True)
    gone = flannel.parse(said.replace("Job=71\n", ""))
    assert gone is not None
    assert not gone.is_to_run


# Operations


def test_it_is_edited_and_later_put_together_again_byte_for_byte() -> None:
    before = on(1, text(1, 0, 2), keys=SERVED, leases=(MINE,))
    changes = name_members(before, names(0), URLS, KNOWN, restart=True)
    assert [c.path for c in changes if isinstance(c, WriteFile)] == [OWED, FOUND, LEASES, flanneld_conf.PATH]
    during = believed(before, changes)
    assert during.flannel == Flannel(
        conf(text(0)), conf(text(1, 0, 2)), (MINE,), True, keys=SERVED, leases=(MINE,)
    )  # fmt: skip
    assert name_members(during, names(0), URLS, KNOWN) == []
    changes = name_members(during, names(0, 1, 2), URLS, KNOWN)
    assert [c.path for c in changes if isinstance(c, WriteFile)] == [OWED, flanneld_conf.PATH]
    after = believed(during, [*changes, *restart(believed(during, changes)), *forget_leases(during)])
    after = believed(after, forget_found(after, whole=True))
    assert after == before


def test_what_others_wrote_meanwhile_stays() -> None:
    now = "# ticket 4711\n" + text(0)
    (edit,) = (c for c in name_members(on(1, now, found=text(1, 0, 2)), names(0, 1, 2), URLS, KNOWN)
               if isinstance(c, EditFile))  # fmt: skip
    assert edit.content == "# ticket 4711\n" + text(1, 0, 2)


def test_a_host_that_it_has_never_named_is_written_by_its_address() -> None:
    (edit,) = (c for c in name_members(on(0, text(0)), names(0, 2), URLS, KNOWN) if isinstance(c, EditFile))
    assert edit.content == text(0).replace(':2379"', ':2379,https://10.0.0.12:2379"')


def test_a_restart_is_owed_where_nothing_is_to_be_edited_after_a_force_alone() -> None:
    """It watches from an index that the survivor may never have had."""
    facts = on(0, text(0))
    changes = name_members(facts, names(0), URLS, KNOWN, restart=True)
    assert [c.path for c in changes if isinstance(c, WriteFile)] == [OWED]
    assert name_members(facts, names(0), URLS, KNOWN) == []


@pytest.mark.parametrize("known", [UNKNOWN, NO_API, NO_NETWORK])
def test_leases_that_are_not_known_are_not_noted(known: str) -> None:
    changes = name_members(on(0, text(0, 1, 2), keys=known), names(0), URLS, KNOWN)
    assert LEASES not in [c.path for c in changes if isinstance(c, WriteFile)]


def test_restarts_only_what_is_owed_and_runs() -> None:
    assert restart(on(0, text(0))) == []
    assert restart(on(0, text(0), owes=True)) == [RestartFlannel(name(0), conf(text(0)))]
    assert restart(on(0, text(0), owes=True, active="inactive")) == [RemoveFile(name(0), OWED)]
    with pytest.raises(MissingFact):
        restart(healthy(0))
    assert restart(on(0, text(0), owes=True))[0].after(healthy(0)) == healthy(0)


def test_the_note_of_the_file_stays_while_hosts_are_missing() -> None:
    facts = on(0, text(0), found=text(0, 1, 2), kept=(MINE,))
    assert forget_found(facts, whole=False) == []
    assert [c.path for c in forget_found(facts, whole=True) if isinstance(c, RemoveFile)] == [FOUND]
    assert [c.path for c in forget_leases(facts) if isinstance(c, RemoveFile)] == [LEASES]
    assert forget_leases(on(0, text(0))) == []


def test_the_abort_puts_it_back() -> None:
    facts = on(0, text(0), found=text(0, 1, 2), owes=True, kept=(MINE,))
    assert believed(facts, put_back(facts)) == on(0, text(0, 1, 2))
    restarted = put_back(on(0, text(0), found=text(0, 1, 2)))
    assert [c.config.text for c in restarted if isinstance(c, RestartFlannel)] == [text(0, 1, 2)]
    stopped = put_back(on(0, text(0), found=text(0, 1, 2), active="inactive"))
    assert not [c for c in stopped if isinstance(c, RestartFlannel)]
    owed_alone = on(0, text(0), owes=True)  # of a survivor that was named alone already
    assert believed(owed_alone, put_back(owed_alone)) == on(0, text(0))
    assert put_back(on(0, text(0))) == []
    assert put_back(healthy(0)) == []


def test_somebody_else_at_work_is_noticed() -> None:
    assert somebody_edited(on(0, "# new\n" + text(0), found=text(0, 1, 2)), URLS, KNOWN)
    assert not somebody_edited(on(0, text(0), found=text(0, 1, 2)), URLS, KNOWN)
    assert not somebody_edited(on(0, text(0)), URLS, KNOWN)


# The verdict


def test_hosts_that_agree_owe_nothing() -> None:
    found = diagnose(inventory(), survey(*(on(n, text(n, *({0, 1, 2} - {n}))) for n in range(3))))
    assert found.verdict is Verdict.HEALTHY


@pytest.mark.parametrize(
    ("last", "owed"),
    [
        (on(2, text(2)), f"{name(2)}: FLANNEL_ETCD_ENDPOINTS does not name the member on {name(0)}"),
        (on(2, text(0, 1, 2).replace(name(1), "vip")), "names https://vip:2379, which is no member"),
        (on(2, text(0, 1, 2), owes=True), f"a restart of flanneld on {name(2)}"),
        (on(2, text(0, 1, 2), kept=()), f"{name(2)} remembers which leases"),
        (on(2, text(0, 1, 2), found=text(2, 0, 1)), f"{name(2)} remembers how Flannel's"),
    ],
)
def test_what_a_killed_run_left_is_owed(last: HostFacts, owed: str) -> None:
    found = diagnose(inventory(), survey(on(0, text(0, 1, 2)), healthy(1), last))
    assert found.verdict is Verdict.UNFINISHED
    assert any(owed in line for line in found.proof)
    assert found.path


def test_while_hosts_are_missing_the_found_file_is_no_debt() -> None:
    alone = replace(on(0, text(0), found=text(0, 1, 2)), api=healthy(0, members(0)).api)
    found = diagnose(inventory(lost=(1, 2)), survey(alone, silent(1), silent(2)))
    assert found.verdict is Verdict.HEALTHY


def test_an_abort_says_so_and_checks_see_an_owed_restart() -> None:
    facts = on(0, text(0), found=text(0, 1, 2), owes=True)
    assert "Flannel's configuration is put back" in to_undo(replace(facts, mark=signed(healthy(0), mark())))
    assert any(OWED in line for line in left_behind(facts))
    assert left_behind(on(0, text(0))) == []


# What a step asks


class Now(Client):
    """A host whose facts are what they were."""

    def now(self, noun: Noun) -> AnyFacts:
        return self.surveyed


def asked_of(tmp_path: Path, *hosts: HostFacts | Silent, lost: tuple[int, ...] = ()) -> tuple[live.FlannelHosts, Now]:
    run = Run("checks", inventory(lost=lost), tmp_path, "20261125T000000Z", "ada@desk", 1, ())
    run.survey = survey(*hosts)
    run.diagnosis = diagnose(run.inventory, run.survey)
    return live.FlannelHosts(run), Now(run, name(0))


@pytest.mark.parametrize(
    ("known", "words"),
    [(NO_API, "no v2 API"), (NO_NETWORK, "no network of Flannel below /net"), (UNKNOWN, "does not answer")],
)
def test_what_is_known_of_the_survivors_data_is_told(tmp_path: Path, known: str, words: str) -> None:
    alone = replace(deaf(0), flannel=Flannel(conf(text(0, 1, 2)), keys=known, active="inactive"))
    flannels, etcd = asked_of(tmp_path, alone, silent(1), silent(2), lost=(1, 2))
    still, told = flannels.notes(etcd)
    assert "flanneld does not run here (inactive)" in still
    assert words in told
    assert flannels.problems(etcd) == []
    assert flannels.remaining == names(0)


def test_a_url_of_nobody_is_a_problem(tmp_path: Path) -> None:
    strange = on(0, text(0).replace(name(0), "vip.example.com"), missing=("curl",))
    flannels, etcd = asked_of(tmp_path, strange, healthy(1), healthy(2))
    missing, stranger = flannels.problems(etcd)
    assert "curl is not there" in missing
    assert "/etc/sysconfig/flanneld, line 2: it names https://vip.example.com:2379, which is no host" in stranger


def test_a_lease_that_is_gone_is_lost_or_has_ended(tmp_path: Path) -> None:
    old = replace(OTHER, ends="2026-11-01T01:00:00.123456789Z")
    late, endless = replace(OTHER, ends="2999-01-01T00:00:00Z", subnet="10.1.8.0-24"), Lease("10.1.9.0-24", "a", "")
    here = on(0, text(0, 1, 2), kept=(MINE, old, late, endless), keys=SERVED, leases=(replace(MINE, ends="later"),))
    flannels, etcd = asked_of(tmp_path, here, healthy(1), healthy(2))
    assert flannels.lost_leases(etcd) == [
        "10.1.8.0-24 of 10.0.0.11, until 2999-01-01T00:00:00Z",
        "10.1.9.0-24 of a, until ",
    ]
    assert flannels.ended_leases(etcd) == ["the lease 10.1.7.0-24 of 10.0.0.11 ended at 2026-11-01T01:00:00.123456789Z"]


def test_leases_that_nobody_tells_are_not_called_there(tmp_path: Path) -> None:
    here = on(0, text(0, 1, 2), kept=(MINE,), keys=NO_API)
    flannels, etcd = asked_of(tmp_path, here, healthy(1), healthy(2))
    with pytest.raises(MissingFact, match="expected Flannel's leases in etcd .*found no v2 API"):
        flannels.lost_leases(etcd)
    flannels, etcd = asked_of(tmp_path, on(0, text(0, 1, 2)), healthy(1), healthy(2))
    assert flannels.lost_leases(etcd) == []

"""Hosts beside the cluster: what is read there, who plays which role, what is owed, and that they count for no verdict."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from builders import deaf, emptied, facts, healthy, inventory, mark, name, names, silent, survey
from test_flannel_rules import MINE, keys
from test_flannel_rules import text as endpoints
from test_master_rules import URLS, config

from requorum import naming
from requorum.beside import Beside, seen_with
from requorum.changes import Change, ClientChange, StartEtcd
from requorum.clients import Client
from requorum.diagnosis import Diagnosis, Verdict, diagnose
from requorum.facts import flanneld_conf, master_config
from requorum.facts import mark as marks
from requorum.facts.beside import BesideFacts, Computer
from requorum.facts.flannel import SERVED, UNKNOWN, Flannel
from requorum.facts.host import HostFacts, MissingFact, Silent
from requorum.facts.mark import Mark
from requorum.facts.master import Master
from requorum.flannel import FlannelHosts
from requorum.hand import Hand, Model
from requorum.hostlock import HostLock
from requorum.inventory import Inventory, MasterHost, Masters, NodeHost, Nodes, Ssh
from requorum.journal import Journal
from requorum.locking import Locked
from requorum.masters import Masters as MastersNow
from requorum.operations import flannel as flannel_operations
from requorum.operations import masters as master_operations
from requorum.operations.marking import remember_force, strike
from requorum.remote import Output
from requorum.run import Run
from requorum.stages.other_runs import refuse_beside_another
from requorum.survey import BesideSurveyor
from requorum.told import told
from requorum.undoing import listed, undoing_of
from requorum.wellness import owed_here

M0, M1, NODE = "master-0.example.com", "master-1.example.com", "node-0.example.com"
NUMBERS = {M0: 20, M1: 21, NODE: 30}
SILENT = {host: Silent(host, "no route to host", "is it switched on?") for host in NUMBERS}


def apart(count: int = 3, *, lost: tuple[int, ...] = ()) -> Inventory:
    login = [(host, f"10.0.0.{number}", Ssh()) for host, number in NUMBERS.items()]
    masters, nodes = Masters(tuple(MasterHost(*one) for one in login[:2])), Nodes((NodeHost(*login[2]),))
    return replace(inventory(count, lost=lost), masters=masters, nodes=nodes)


def computer(host: str, **more: object) -> Computer:
    own = Computer(0, host, f"machine of {host}", "boot", (f"10.0.0.{NUMBERS[host]}",))
    return replace(own, **more)  # type: ignore[arg-type]


def a_master(host: str, *order: int, found: tuple[int, ...] = (), **more: object) -> BesideFacts:
    was = master_config.parse(config(*found)) if found else None
    one = Master(master_config.parse(config(*order)), was, **more)  # type: ignore[arg-type]
    return BesideFacts(host, computer(host), master=one)


def a_node(*order: int, found: tuple[int, ...] = (), **more: object) -> BesideFacts:
    said, was = flanneld_conf.parse(endpoints(*order)), flanneld_conf.parse(endpoints(*found)) if found else None
    assert said is not None
    return BesideFacts(NODE, computer(NODE), flannel=Flannel(said, was, **more))  # type: ignore[arg-type]


def at_rest() -> dict[str, BesideFacts | Silent]:
    return {M0: a_master(M0, 0, 1, 2), M1: a_master(M1, 1, 2, 0), NODE: a_node(2, 0, 1)}


THREE = survey(healthy(0), healthy(1), healthy(2))
LOST = survey(deaf(0), emptied(1), emptied(2))
KNOWN = naming.places(apart(), THREE)


def seen(hosts: dict[str, HostFacts | Silent], beside: Beside, *, lost: tuple[int, ...] = ()) -> Diagnosis:
    said = apart(lost=lost)
    return seen_with(said, hosts, beside, diagnose(said, hosts))


# They count for no verdict


@pytest.mark.parametrize(
    "hosts",
    [
        THREE,
        LOST,
        survey(healthy(0), silent(1), healthy(2)),
        survey(deaf(0), silent(1), silent(2)),
        survey(deaf(0), deaf(1), emptied(2)),
        survey(silent(0), silent(1), silent(2)),
    ],
    ids=["healthy", "lost", "degraded", "unproven", "restartable", "nobody"],
)
@pytest.mark.parametrize("beside", [at_rest(), SILENT], ids=["there", "silent"])
def test_no_verdict_and_no_role_comes_from_beside_the_cluster(
    hosts: dict[str, HostFacts | Silent], beside: dict[str, BesideFacts | Silent]
) -> None:
    alone = diagnose(inventory(), hosts)
    found = seen_with(apart(), hosts, beside, diagnose(apart(), hosts))
    assert replace(found, proof=()) == replace(alone, proof=())
    assert found.proof[: len(alone.proof)] == alone.proof
    assert not set(NUMBERS) & {*found.members, *found.others, *found.joiners, *found.missing, found.survivor}


def test_who_is_silent_is_told_with_what_becomes_of_it() -> None:
    later = "is edited when the host is back, by this command (no route to host; is it switched on?)"
    assert seen(THREE, at_rest() | {M1: SILENT[M1], NODE: SILENT[NODE]}).proof[-2:] == (
        f"the master {M1} is silent: its master-config.yaml {later}",
        f"the node {NODE} is silent: Flannel's configuration there {later}",
    )


# What is owed there


@pytest.mark.parametrize(
    ("host", "owed"),
    [
        (a_master(M1, 1, 2), f"{M1}: etcdClientInfo.urls does not name the member on {name(0)}"),
        (a_master(M1, 1, 2, 0, owes=("api",)), f"a restart of the api on the master {M1}"),
        (a_master(M1, 1, 2, 0, found=(0, 1, 2)), f"the master {M1} remembers how"),
        (a_node(0, 1), f"{NODE}: FLANNEL_ETCD_ENDPOINTS does not name the member on {name(2)}"),
        (a_node(0, 1, 2, owes=True), f"a restart of flanneld on {NODE}"),
    ],
)
def test_what_is_owed_there_makes_a_healthy_cluster_unfinished_and_no_lost_one(host: BesideFacts, owed: str) -> None:
    found = seen(THREE, at_rest() | {host.name: host})
    assert found.verdict is Verdict.UNFINISHED
    assert found.acts
    assert any(owed in line for line in found.proof)
    assert seen(LOST, at_rest() | {host.name: host}).verdict is Verdict.LOST


def test_while_hosts_of_etcd_are_missing_the_found_file_is_no_debt() -> None:
    alone = survey(healthy(0, healthy(0).members[:1]), silent(1), silent(2))
    found = seen(alone, {M0: a_master(M0, 0, found=(0, 1, 2)), NODE: a_node(0, found=(2, 0, 1))}, lost=(1, 2))
    assert found.verdict is Verdict.HEALTHY


@pytest.mark.parametrize(
    ("machine", "says"),
    [
        ({"machine_id": "machine-1", "boot_id": "boot-1"}, f"{name(1)} and {M0} lead to the same machine"),
        ({"hostname": M1}, f"the machine that {M0} leads to calls itself {M1}"),
        ({"hostname": "etcd-2"}, f"the machine that {M0} leads to calls itself etcd-2"),
    ],
)
def test_a_name_that_leads_to_another_hosts_machine_is_refused(machine: dict[str, object], says: str) -> None:
    found = seen(THREE, at_rest() | {M0: replace(a_master(M0, 0, 1, 2), machine=computer(M0, **machine))})
    assert (found.verdict, found.path) == (Verdict.UNPROVEN, False)
    assert says in found.proof[-1]
    assert M0 in found.advice[-1]


def test_a_login_that_is_not_root_is_told_before_the_operator_is_asked() -> None:
    """Where something is to be done; a healthy cluster can be looked at by anybody."""
    beside = at_rest() | {M1: replace(a_master(M1, 1, 2, 0), machine=Computer(1000, M1, "m1", "b1"))}
    found = seen(LOST, beside)
    assert (found.verdict, found.path, found.acts) == (Verdict.LOST, False, False)
    assert f"log in to {M1} as root, or set `sudo: true` under its ssh" in found.advice
    assert seen(THREE, beside).verdict is Verdict.HEALTHY
    assert seen(THREE, beside).path


# Silent when the cluster was forced


def forced(*unseen: str) -> dict[str, HostFacts | Silent]:
    return survey(replace(healthy(0), forced_by=replace(mark(), unseen=unseen)), healthy(1), healthy(2))


def test_who_was_silent_at_the_force_is_restarted_once_back_and_the_cluster_is_healthy_until_then() -> None:
    """Its file names the members, and its API may list what the survivor never had."""
    hosts = forced(M1)
    assert seen(hosts, at_rest() | {M1: SILENT[M1]}).verdict is Verdict.HEALTHY
    back = seen(hosts, at_rest())
    assert back.verdict is Verdict.UNFINISHED
    assert f"{M1} was silent when {name(0)} was forced" in back.proof[-1]
    gone = seen_with(inventory(), hosts, {}, diagnose(inventory(), hosts))  # the inventory does not have it any more
    assert gone.verdict is Verdict.HEALTHY
    assert "this inventory does not name it: restart there what watches etcd" in gone.proof[-1]


def test_the_survivor_remembers_them_until_each_was_seen() -> None:
    def left(facts: HostFacts, *reached: str, whole: bool = True) -> HostFacts:
        for change in strike(facts, whole=whole, reached=reached):
            facts = change.after(facts)
        return facts

    facts = healthy(0)
    sign = replace(mark(), members=listed(facts), unseen=(M1, NODE))
    for change in remember_force(facts, sign):
        facts = change.after(facts)
    assert facts.forced_by == sign
    assert not facts.remembers_force
    assert left(facts) == facts  # silent, or in the inventory no more: nobody has seen them
    assert left(facts, M1).forced_by == replace(sign, unseen=(NODE,))
    assert left(facts, M1, NODE).forced_by is None
    assert left(facts, M1, NODE, whole=False).forced_by == replace(sign, unseen=())


def test_an_older_mark_knows_of_nobody_unseen() -> None:
    text = mark().text().replace(',\n  "unseen": []', "")
    assert "unseen" not in text
    assert marks.parse(text) == mark()


# Roles, locks, what is told


def run_on(tmp_path: Path, hosts: dict[str, HostFacts | Silent], beside: Beside, *, lost: tuple[int, ...] = ()) -> Run:
    run = Run("recovery", apart(lost=lost), tmp_path, "r3", "eve@desk", 1, ())
    run.survey, run.beside = hosts, beside
    run.diagnosis = seen(hosts, beside, lost=lost)
    return run


def test_who_plays_which_role(tmp_path: Path) -> None:
    with_flannel = replace(a_master(M0, 0, 1, 2), flannel=a_node(0).flannel)
    run = run_on(tmp_path, LOST, {M0: with_flannel, M1: SILENT[M1], NODE: a_node(0, 1, 2)})
    assert run.hosts("masters") == (M0,)
    assert run.hosts("flannel") == (M0, NODE)
    assert run.hosts("beside") == (M0, NODE)
    assert run.hosts("inventory") == (*names(0, 1, 2), M0, M1, NODE)
    for role in ("reached", "touched", "others", "joiners", "members", "whole", "signed", "authority", "issued"):
        assert not set(run.hosts(role)) & set(NUMBERS), role
    assert run.unseen == (M1,)
    assert run.mark.unseen == (M1,)


def test_a_lock_beside_the_cluster_keeps_a_second_run_out(tmp_path: Path) -> None:
    held = HostLock("aaa 7 9 2026-11-05T03:00:00Z r1 ada@desk", alive=True, busy=False)
    run = run_on(tmp_path, THREE, at_rest() | {NODE: replace(a_node(0, 1, 2), lock=held)})
    with pytest.raises(Locked, match=f"under way on {NODE}: run r1 by ada@desk"):
        refuse_beside_another(run, "")
    refuse_beside_another(run, "r1")
    run.beside = {NODE: replace(a_node(0, 1, 2), lock=replace(held, alive=False, busy=True))}
    with pytest.raises(Locked, match=f"still goes on on {NODE}"):
        refuse_beside_another(run, "")


def test_what_was_surveyed_is_told() -> None:
    assert ("etcd", "none: it is beside the cluster") in told(a_node(0))
    assert ("Flannel", f"flanneld is active, and names https://{name(0)}:2379") in told(a_node(0))
    assert told(SILENT[M0]) == (("silent", "no route to host"), ("next", "is it switched on?"))
    assert ("was forced", f"by recovery {mark().recovery}; {M1}, silent then, are still to be seen") in told(
        forced(M1)[name(0)]
    )
    assert len(owed_here(a_master(M0, 0, owes=("api", "controllers")))) == 2
    assert len(owed_here(a_node(0, owes=True))) == 1


# Changes


def believed(facts: BesideFacts, changes: list[Change]) -> BesideFacts:
    for change in changes:
        assert isinstance(change, ClientChange)
        facts = change.after(facts)
    return facts


def test_a_master_is_edited_restarted_and_put_together_again_as_one_on_a_member_is() -> None:
    before = a_master(M1, 1, 2, 0)
    alone = believed(before, master_operations.name_members(before, names(0), URLS, KNOWN, restart=True))
    assert alone.master == a_master(M1, 0, found=(1, 2, 0), owes=("api", "controllers")).master
    (restart,) = master_operations.restart(alone, "api")
    assert "master-restart api" in restart.shown()
    assert f"--server=https://{M1}:8443" in restart.script()
    back = believed(alone, master_operations.name_members(alone, names(0, 1, 2), URLS, KNOWN))
    for component in ("api", "controllers"):
        back = believed(back, master_operations.restart(back, component))  # type: ignore[arg-type]
    assert believed(back, master_operations.forget_found(back, whole=True)) == before
    assert believed(alone, master_operations.put_back(alone)) == before


def test_flannel_is_edited_and_put_back_as_on_a_member() -> None:
    before = a_node(2, 0, 1, keys=SERVED, leases=(MINE,))
    alone = believed(before, flannel_operations.name_members(before, names(0), URLS, KNOWN, restart=True))
    assert alone.flannel == a_node(0, found=(2, 0, 1), keys=SERVED, leases=(MINE,), kept=(MINE,), owes=True).flannel
    assert believed(alone, flannel_operations.put_back(alone)) == before


def test_the_plan_believes_no_change_of_etcd_there(tmp_path: Path) -> None:
    model = Model({}, beside={M0: a_master(M0, 0, 1, 2, owes=("api",))})
    hand = Hand({}, Journal(tmp_path / "journal.jsonl"), "s", model=model, alive=lambda: True)
    hand.make(master_operations.restart(model.beside[M0], "api"))
    assert owed_here(model.beside[M0]) == []
    with pytest.raises(RuntimeError, match=f"a change of etcd's on {M0}, which runs none"):
        hand.make([StartEtcd(M0, facts(0).unit.runtime)])


# What a step asks


def test_localhost_is_no_member_beside_the_cluster(tmp_path: Path) -> None:
    local = config(0, 1, 2).replace(name(1), "localhost")
    here = replace(a_master(M0, 0), master=Master(master_config.parse(local), missing=("oc",)))
    masters = MastersNow(run_on(tmp_path, LOST, {M0: replace(here, machine=computer(M0, uid=1000))}))
    missing, root, stranger = masters.problems(M0)
    assert "oc is not there" in missing
    assert "do not run as root" in root
    assert "it names https://localhost:2379, which is no host of the inventory" in stranger


def test_the_survivor_tells_the_leases_of_a_host_that_has_no_member(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Survivor:
        def run(self, script: str, **_: object) -> Output:
            assert "prefix=/net\n" in script
            return Output(0, keys(MINE), "")

    run = run_on(tmp_path, LOST, {NODE: a_node(0, 1, 2, keys=UNKNOWN, kept=(MINE,))})
    flannel, node = FlannelHosts(run), Client(run, NODE)
    monkeypatch.setattr(BesideSurveyor, "again", lambda self, facts, noun: facts)
    run.remotes[name(0)] = Survivor()  # type: ignore[assignment]
    found = flannel.facts(node).flannel
    assert found is not None
    assert (found.keys, found.leases) == (SERVED, (MINE,))
    assert flannel.lost_leases(node) == []
    assert flannel.problems(node) == []


def test_who_was_silent_in_the_survey_is_asked_nothing(tmp_path: Path) -> None:
    run = run_on(tmp_path, forced(M1), {M0: a_master(M0, 0, 1, 2), M1: SILENT[M1]})
    with pytest.raises(MissingFact, match="silent in the survey"):
        _ = Client(run, M1).surveyed
    assert Client(run, M1).was_unseen
    assert not Client(run, M0).was_unseen


# The abort


def test_an_abort_tells_what_it_puts_back_and_is_refused_beside_a_silent_host() -> None:
    found = marks.Found("active", "enabled", fenced=False, data=True, written=True, conf=deaf(0).conf.sha256)
    here: Mark = replace(mark(), found=found, members=())
    hosts = survey(deaf(0, mark=here), emptied(1), emptied(2))
    there = at_rest() | {M0: a_master(M0, 0, found=(0, 1, 2)), NODE: a_node(0, found=(2, 0, 1))}
    undoing = undoing_of(apart(), hosts, there)
    assert undoing.words[-2:] == (
        f"{M0}: master-config.yaml is put back",
        f"{NODE}: Flannel's configuration is put back",
    )
    assert undoing.hosts == (name(0),)
    refused = undoing_of(apart(), hosts, there | {M1: SILENT[M1]})
    assert f"{M1} is silent (no route to host)" in refused.problems[-1]
    assert f"bring up {M1}, and abort again" in refused.advice[-1]
    assert not refused.acts
    exchanged = undoing_of(apart(), hosts, there | {M0: replace(a_master(M0, 0), machine=computer(M0, hostname=M1))})
    assert f"the machine that {M0} leads to calls itself {M1}" in exchanged.problems
    assert not exchanged.acts

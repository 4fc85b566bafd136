"""How etcd runs: what is refused, what is advised, and which changes each way gives."""

from __future__ import annotations

from dataclasses import replace
from pathlib import PurePosixPath

import pytest
from builders import (
    STOPPED,
    answers,
    conf,
    data,
    emptied,
    facts,
    healthy,
    inventory,
    machine,
    mark,
    members,
    name,
    process,
    silent,
    survey,
    unit,
)
from pods import BARE, POD, container_unit, pod_unit

from requorum import operations
from requorum.causes import how_to_start, why_down
from requorum.changes import (
    AwaitPod,
    DisableEtcd,
    EditManifest,
    EnableEtcd,
    KeepManifest,
    ParkManifest,
    ReloadUnits,
    RemoveFile,
    SaveSnapshot,
    SaveSnapshotByOc,
    SetForce,
    StartEtcd,
    StartPod,
    StopEtcd,
    WriteFile,
)
from requorum.diagnosis import Verdict, diagnose
from requorum.facts import etcd_conf, manifest, master_config
from requorum.facts.host import HostFacts, MissingFact
from requorum.facts.manifest import KEPT
from requorum.facts.mark import Found
from requorum.facts.master import Master
from requorum.facts.pod import Pod
from requorum.facts.runtime import ASIDE, MANIFEST, PARKED, Runtime
from requorum.facts.unit import Unit
from requorum.fitness import unfit
from requorum.operations.backup import BackupPlace
from requorum.runtimes import contradictions, unworkable, wants_every_member
from requorum.undoing import to_undo
from requorum.wellness import left_behind, not_at_boot, perhaps_at_boot

ONE, NODE = name(0), "origin-node.service"
UNIT = "etcd_container.service"
FENCE = f"/etc/systemd/system/{UNIT}.d/requorum-fence.conf"
GUARD = f"/etc/systemd/system/{UNIT}.d/requorum-force.conf"
POD_HOST = facts(0, unit=pod_unit())
CONTAINER_HOST = facts(0, unit=container_unit())
STOP = StopEtcd(ONE, unit=UNIT, container="etcd_container")
START = StartEtcd(ONE, unit=UNIT, asked=True)


def found(*, starts: bool = True, fenced: bool = False) -> Found:
    return Found("active" if starts else "inactive", "enabled", fenced, True, starts, "0" * 64)


def marked(facts: HostFacts, was: Found) -> HostFacts:
    return replace(facts, mark=replace(mark(), found=was))


def test_a_container_is_worked_by_its_unit() -> None:
    assert operations.etcd.stop(CONTAINER_HOST) == [STOP]
    assert operations.etcd.start(CONTAINER_HOST) == [EnableEtcd(ONE, UNIT), START]
    drop_in, reload, stop = operations.fence.raise_fence(CONTAINER_HOST)
    assert isinstance(drop_in, WriteFile)
    assert (drop_in.path, reload, stop) == (FENCE, ReloadUnits(ONE, FENCE, True), STOP)
    assert operations.fence.lift_fence(CONTAINER_HOST) == [RemoveFile(ONE, FENCE), ReloadUnits(ONE, FENCE, False)]


def test_the_force_goes_into_etcd_conf() -> None:
    start = StartPod(ONE, NODE)
    assert operations.etcd.force_new_cluster(POD_HOST) == [SetForce(ONE, True), start]
    assert operations.etcd.clear_start_path(POD_HOST) == [SetForce(ONE, False)]
    forced = replace(POD_HOST, processes=(process(forced=True),))
    assert operations.etcd.take_force_away(forced) == [SetForce(ONE, False), *operations.etcd.stop(POD_HOST), start]


def test_no_reboot_starts_a_container_with_the_force_in_its_etcd_conf() -> None:
    """Its unit is on: the force is in etcd.conf only behind a fence, which a file under /run opens."""
    fence, reload, armed, force, start = operations.etcd.force_new_cluster(CONTAINER_HOST)
    assert isinstance(fence, WriteFile)
    assert isinstance(armed, WriteFile)
    assert (fence.path, armed.path) == (GUARD, "/run/requorum-force")
    assert fence.content.endswith("[Unit]\nAssertPathExists=/run/requorum-force\n")
    assert (reload, force, start) == (ReloadUnits(ONE, GUARD, True), SetForce(ONE, True), START)
    gone = [SetForce(ONE, False), RemoveFile(ONE, GUARD), ReloadUnits(ONE, GUARD, False), RemoveFile(ONE, armed.path)]
    assert operations.etcd.clear_start_path(CONTAINER_HOST) == gone


def test_a_static_pod_is_worked_by_its_manifest() -> None:
    assert operations.etcd.stop(POD_HOST) == operations.fence.raise_fence(POD_HOST) == [ParkManifest(ONE, NODE)]
    assert operations.etcd.start(POD_HOST) == [StartPod(ONE, NODE)]
    assert operations.fence.lift_fence(POD_HOST) == [], "a manifest that is moved back is run at once"


def test_an_abort_moves_the_manifest_back_where_etcd_ran() -> None:
    parked = marked(facts(0, unit=pod_unit(PARKED), processes=()), found())
    assert operations.fence.lower_fence(parked) == []
    assert operations.etcd.start_as_found(parked) == [StartPod(ONE, NODE, serves=False)]


def test_an_abort_runs_no_emptied_pod() -> None:
    """It would found a new cluster: its manifest goes where OpenShift's documents put it."""
    parked = marked(facts(0, unit=pod_unit(PARKED), processes=()), found(starts=False))
    assert operations.fence.lower_fence(parked) == [ParkManifest(ONE, NODE, ASIDE)]
    assert operations.etcd.start_as_found(parked) == []


BRACES = "spec:\n  containers: [{name: etcd, command: [source, /etc/etcd/etcd.conf], livenessProbe: {exec: {command: [a]}}}]\n"


def test_a_probe_that_cannot_be_taken_out_is_told_before_any_change() -> None:
    """It was found out with the host fenced, or the survivor stopped, and as an error of no words."""
    host = facts(0, unit=pod_unit(pod=Pod(manifest.parse(BRACES, MANIFEST))))
    (told,) = unworkable(host)
    assert told.startswith(f"{MANIFEST}, line 2: expected livenessProbe on lines of its own, beside other keys: ")
    assert unworkable(facts(0, unit=pod_unit(pod=BARE))) == unworkable(POD_HOST) == []
    with pytest.raises(MissingFact, match=r"taken out of .*, found line 2: expected livenessProbe"):
        operations.probe.take_out(host)


def test_the_probe_is_taken_out_of_a_manifest_that_is_parked() -> None:
    """The survivor is never restarted beside emptied peers."""
    assert operations.probe.take_out(facts(0, unit=pod_unit(), processes=(process(started=77),))) == [
        KeepManifest(ONE, PARKED, POD.manifest.sha256),
        EditManifest(ONE, PARKED, POD.manifest.without_probe, POD.manifest.text),
    ]


@pytest.mark.parametrize(
    "host",
    [facts(0, unit=pod_unit(pod=BARE)), facts(0), facts(0, unit=container_unit())],
    ids=["it is out", "a service", "a container"],
)
def test_no_probe_is_taken_out(host: HostFacts) -> None:
    assert operations.probe.take_out(host) == []


def test_the_probe_returns_byte_for_byte() -> None:
    living = facts(0, unit=pod_unit(pod=BARE), processes=(process(started=77),))
    assert operations.probe.give_back(living) == [
        EditManifest(ONE, MANIFEST, POD.manifest.text, BARE.manifest.text),
        AwaitPod(ONE, 100, 77, may_stay=True),
        RemoveFile(ONE, KEPT),
    ]
    assert operations.probe.give_back(POD_HOST) == []


def test_a_cut_before_the_edit_is_only_forgotten() -> None:
    kept = replace(POD, kept=POD.manifest)
    assert operations.probe.give_back(facts(0, unit=pod_unit(PARKED, pod=kept))) == [RemoveFile(ONE, KEPT)]


def test_what_others_wrote_into_the_manifest_stays() -> None:
    theirs = replace(BARE.manifest, text=BARE.manifest.text.replace("rhel7/etcd:3.2.26", "rhel7/etcd:3.2.32"))
    edit = operations.probe.give_back(facts(0, unit=pod_unit(pod=replace(BARE, manifest=theirs))))[0]
    assert isinstance(edit, EditManifest)
    assert edit.content == POD.manifest.text.replace("rhel7/etcd:3.2.26", "rhel7/etcd:3.2.32")


def test_a_manifest_that_cannot_be_put_together_is_not_guessed() -> None:
    torn = replace(BARE.manifest, text="kind: Pod\n")
    with pytest.raises(MissingFact, match="that others edited"):
        operations.probe.give_back(facts(0, unit=pod_unit(pod=replace(BARE, manifest=torn))))


def test_a_snapshot_of_a_pod_on_a_master_goes_through_the_api() -> None:
    config = master_config.parse("etcdClientInfo:\n  urls:\n  - https://etcd-0.example.com:2379\n")
    place = BackupPlace(PurePosixPath("/backup"), "r1", None)
    on_master = replace(POD_HOST, master=Master(config))
    [saved] = operations.backup.save_snapshot(on_master, place, "after")
    folder = "/backup/etcd-snapshot-after-r1"
    assert saved == SaveSnapshotByOc(ONE, folder, "https://etcd-0.example.com:8443", "/var/lib/etcd")
    for host in (POD_HOST, CONTAINER_HOST, replace(facts(0), master=Master(config))):
        assert operations.backup.save_snapshot(host, place, "after") == [SaveSnapshot(ONE, folder)]


@pytest.mark.parametrize(
    ("declared", "host", "words"),
    [
        ("service", POD_HOST, f"expected etcd as the inventory declares it (etcd.runtime: service), found a static-pod: "
         f"its manifest is {MANIFEST}"),
        ("static-pod", CONTAINER_HOST, "found a container: etcd_container.service runs a container"),
        ("container", facts(0), "found a service: etcd.service runs it"),
        ("auto", facts(0, unit=pod_unit(beside=("etcd.service",))), "and etcd.service is switched on there, too"),
        ("auto", facts(0, unit=pod_unit(strays=("/etc/origin/node/pods/etcd.yaml.bak",))), "etcd.yaml.bak is another manifest"),
        ("auto", facts(0, unit=pod_unit(further=(PARKED,))), f"two manifests of etcd: {PARKED}, where a recovery has put it"),
    ],
)  # fmt: skip
def test_a_contradiction_is_refused(declared: str, host: HostFacts, words: str) -> None:
    [proof], [advice] = contradictions([host], declared)
    assert words in proof
    assert advice
    etcd = replace(inventory().etcd, runtime=declared)  # type: ignore[arg-type]
    verdict = diagnose(replace(inventory(), etcd=etcd), survey(host, healthy(1), healthy(2)))
    assert (verdict.verdict, verdict.path) == (Verdict.UNPROVEN, False)


@pytest.mark.parametrize(("at", "further"), [(MANIFEST, (ASIDE,)), (PARKED, (ASIDE,))])
def test_an_old_copy_that_an_operator_has_put_aside_contradicts_nothing(at: str, further: tuple[str, ...]) -> None:
    assert contradictions([facts(0, unit=pod_unit(at, further=further))], "auto") == ([], [])


def test_which_of_two_manifests_is_to_go() -> None:
    """On a host that a recovery has fenced, never the one that it has put there; else a member's own is to stay."""
    host = facts(0, unit=pod_unit(further=(PARKED,)))
    [marked_words] = contradictions([replace(host, mark=mark())], "auto")[1]
    [words] = contradictions([host], "auto")[1]
    assert f"mv {MANIFEST} /root/" in marked_words
    assert f"mv {PARKED}" not in marked_words
    assert "is this host a member" in words
    assert f"mv {PARKED} /root/" in words


@pytest.mark.parametrize(("declared", "host"), [("auto", POD_HOST), ("static-pod", POD_HOST), ("service", facts(0))])
def test_what_is_declared_and_found(declared: str, host: HostFacts) -> None:
    assert contradictions([host], declared) == ([], [])


@pytest.mark.parametrize("host", [POD_HOST, CONTAINER_HOST, facts(0)], ids=["pod", "container", "service"])
def test_each_way_is_fit(host: HostFacts) -> None:
    assert unfit(host, PurePosixPath("/backup")) == []


@pytest.mark.parametrize(
    ("host", "words"),
    [
        (facts(0, unit=pod_unit(node="inactive")), f"{NODE} is inactive: it alone starts and ends static pods"),
        (facts(0, unit=replace(pod_unit(), exec_start="exec etcd")), f"{MANIFEST} does not read /etc/etcd/etcd.conf (source)"),
        (facts(0, unit=replace(container_unit(), exec_start="docker run I")), "does not read /etc/etcd/etcd.conf (--env-file)"),
        (facts(0, unit=container_unit(), conf=conf(0, ETCD_DEBUG='"x"')), "line 7: expected a bare value"),
        (facts(0, unit=pod_unit(), conf=conf(0, ETCD_FORCE_NEW_CLUSTER="false")), "sets ETCD_FORCE_NEW_CLUSTER: take"),
    ],
)  # fmt: skip
def test_unworkable(host: HostFacts, words: str) -> None:
    [problem] = unworkable(host)
    assert words in problem


def test_quotes_are_nobodys_harm_but_dockers() -> None:
    quoted = conf(0, ETCD_DEBUG='"x"')
    assert unworkable(facts(0, unit=pod_unit(), conf=quoted)) == unworkable(facts(0, conf=quoted)) == []
    assert any("expected a bare value" in line for line in why_down(facts(0, unit=container_unit(), conf=quoted)))


@pytest.mark.parametrize(
    ("unit", "words"),
    [
        (pod_unit(PARKED), f"mv {PARKED} {MANIFEST} (it is fenced by a recovery)"),
        (pod_unit(ASIDE), f"mv {ASIDE} {MANIFEST} (its manifest was moved out)"),
        (pod_unit(PARKED, forced=True), f"sed -i 1,2d {etcd_conf.PATH} && mv {PARKED} {MANIFEST}"),
        (pod_unit(node="inactive"), "systemctl start origin-node (origin-node.service is inactive"),
        (pod_unit(), "its liveness probe kills it about every minute"),
        (
            container_unit(STOPPED),
            "systemctl start etcd_container (it is inactive (dead); journalctl -u etcd_container",
        ),
        (container_unit(STOPPED, fenced=True), f"rm -f /etc/systemd/system/{UNIT}.d/requorum-fence.conf"),
        (container_unit(STOPPED, forced=True), f"sed -i 1,2d {etcd_conf.PATH} && systemctl start etcd_container"),
    ],
)
def test_how_to_start(unit: Unit, words: str) -> None:
    forced = replace(conf(0), forced=unit.force_file)
    assert words in how_to_start(facts(0, unit=unit, processes=(), conf=forced))


def test_a_pod_in_back_off_counts_by_its_data() -> None:
    """The liveness probe has killed it: no process, and no loss."""
    waiting = pod_unit(state="activating/no process: the node service starts it, or waits in back-off")
    hosts = [facts(n, unit=waiting, data=data(n), processes=()) for n in (0, 1)]
    verdict = diagnose(inventory(), survey(*hosts, replace(emptied(2), unit=waiting)))
    assert verdict.verdict is Verdict.RESTARTABLE
    assert "its liveness probe kills it" in "\n".join(verdict.advice)
    lost = diagnose(inventory(), survey(hosts[0], *(replace(emptied(n), unit=waiting) for n in (1, 2))))
    assert (lost.verdict, lost.survivor) == (Verdict.LOST, ONE)


@pytest.mark.parametrize(
    ("pod", "server", "wants"),
    [
        (POD, "3.4.23", True),  # whose etcdctl could not be asked
        (POD, "3.3.0", True),
        (POD, "3.2.26", False),
        (replace(POD, probing="3.2.26"), "3.4.23", False),
        (replace(POD, probing="3.10.1"), "3.2.26", True),
        (replace(POD, manifest=replace(POD.manifest, of_cluster=False)), "3.4.23", False),
        (BARE, "3.4.23", False),
    ],
)
def test_a_probe_that_wants_every_member(pod: Pod, server: str, wants: bool) -> None:
    host = facts(0, unit=pod_unit(pod=pod), machine=replace(machine(0), etcd_version=server))
    assert wants_every_member(host) == wants
    assert not wants_every_member(facts(0))
    assert ("while any member is away" in how_to_start(replace(host, processes=()))) == wants


def test_such_a_probe_leaves_a_living_pod_whose_restart_is_awaited() -> None:
    host = facts(0, unit=pod_unit(), data=data(0), processes=(process(),))
    assert operations.probe.take_out_of_living(host) == [
        KeepManifest(ONE, MANIFEST, POD.manifest.sha256),
        EditManifest(ONE, MANIFEST, POD.manifest.without_probe, POD.manifest.text),
        AwaitPod(ONE, host.processes[0].pid, host.processes[0].started),
    ]
    content = replace(host, unit=pod_unit(pod=replace(POD, probing="3.2.26")))
    for other in (content, facts(0)):
        assert operations.probe.take_out_of_living(other) == []
    braces = (
        "spec: {containers: [{name: etcd, livenessProbe: {exec: {command: [etcdctl, cluster-health]}}, image: x}]}\n"
    )
    with pytest.raises(MissingFact, match=f"can be taken out of {MANIFEST}"):
        operations.probe.take_out_of_living(replace(host, unit=pod_unit(pod=Pod(manifest.parse(braces, MANIFEST)))))


def test_a_probe_that_is_out_is_owed_once_everybody_is_there() -> None:
    bare = healthy(0, unit=pod_unit(pod=BARE))
    whole = diagnose(inventory(), survey(bare, healthy(1, unit=pod_unit()), healthy(2, unit=pod_unit())))
    assert whole.verdict is Verdict.UNFINISHED
    assert any("liveness probe of etcd is to return" in line for line in whole.proof)
    alone = replace(bare, api=answers(0, members(0)))
    gone = diagnose(inventory(lost=(1, 2)), survey(alone, silent(1), silent(2)))
    assert gone.verdict is Verdict.HEALTHY


def test_what_is_left_behind_is_told() -> None:
    left = left_behind(facts(0, unit=pod_unit(PARKED, pod=BARE, forced=True), processes=()))
    assert any(PARKED in line for line in left)
    assert any(KEPT in line for line in left)
    assert any(etcd_conf.PATH in line for line in left)
    assert left_behind(POD_HOST) == left_behind(CONTAINER_HOST) == []


def test_at_boot() -> None:
    assert not_at_boot(POD_HOST) == not_at_boot(CONTAINER_HOST) == ""
    assert PARKED in not_at_boot(facts(0, unit=pod_unit(PARKED), processes=()))
    disabled = replace(pod_unit(), file_state="disabled")
    assert "origin-node.service is to be enabled" in not_at_boot(facts(0, unit=disabled))
    assert not_at_boot(facts(0, unit=unit(file_state="disabled"))) == "systemctl is-enabled etcd says disabled"


@pytest.mark.parametrize(("host", "unit"), [(facts(0), "etcd.service"), (CONTAINER_HOST, UNIT), (POD_HOST, NODE)])
def test_a_member_that_is_disabled_is_enabled(host: HostFacts, unit: str) -> None:
    """With what runs it: of a static pod, that is the node service."""
    assert operations.etcd.start_at_boot(host) == []
    disabled = DisableEtcd(ONE, unit).after(host)
    assert not_at_boot(disabled)
    assert operations.etcd.start_at_boot(disabled) == [EnableEtcd(ONE, unit)]
    assert EnableEtcd(ONE, unit).after(disabled) == host
    was = marked(host, replace(found(), enabled="disabled"))
    assert operations.etcd.boot_as_found(was) == [DisableEtcd(ONE, unit)]
    assert f"{unit} is disabled again, as it was found" in to_undo(was)
    assert operations.etcd.boot_as_found(host) == operations.etcd.boot_as_found(marked(host, found())) == []


@pytest.mark.parametrize("state", ["static", "linked", "indirect", "enabled-runtime", "generated", ""])
def test_what_may_start_at_boot_is_no_failure(state: str) -> None:
    host = facts(0, unit=unit(file_state=state))
    assert (not_at_boot(host), operations.etcd.start_at_boot(host)) == ("", [])
    assert f"systemctl is-enabled etcd says {state or 'nothing'}" in perhaps_at_boot(host)
    assert perhaps_at_boot(facts(0)) == perhaps_at_boot(facts(0, unit=unit(file_state="masked"))) == ""


def test_of_a_manifest_that_is_moved_out_nothing_is_enabled() -> None:
    """It is to be moved back; the node service may be enabled all the same."""
    parked = facts(0, unit=pod_unit(PARKED), processes=())
    assert operations.etcd.start_at_boot(parked) == []
    was = replace(found(), etcd="deactivating", enabled="disabled")
    assert operations.etcd.boot_as_found(marked(POD_HOST, was)) == []
    off = facts(0, unit=pod_unit(PARKED, node_at_boot=False), processes=())
    assert operations.etcd.start(off) == [EnableEtcd(ONE, NODE), StartPod(ONE, NODE)]
    assert StartPod(ONE, NODE).after(off).unit.file_state == "disabled"
    assert StartPod(ONE, NODE).after(parked).unit.file_state == "enabled"


def test_an_abort_says_that_the_probe_returns() -> None:
    host = marked(facts(0, unit=pod_unit(pod=BARE), conf=conf(0)), replace(found(), conf=conf(0).sha256))
    assert to_undo(host) == ["the liveness probe returns into the manifest"]


def test_why_it_is_said_to_be_so() -> None:
    assert "neither" in Runtime().why

"""OpenShift masters: what is to be edited and restarted, what is owed, and how a restart is proven."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from builders import healthy, inventory, mark, members, name, names, silent, survey

from requorum import masters as live
from requorum import naming, operations
from requorum.changes import (
    Change,
    ClientChange,
    EditFile,
    KeepFound,
    RemoveFile,
    RestartMaster,
    Together,
    WriteFile,
)
from requorum.diagnosis import Verdict, diagnose
from requorum.facts import master, master_api, master_config
from requorum.facts.host import HostFacts, MissingFact, Silent, commands
from requorum.facts.master import Master
from requorum.inventory import Inventory, MasterHost, Masters
from requorum.operations.marking import signed
from requorum.operations.masters import forget_found, name_members, put_back, somebody_edited
from requorum.run import Run
from requorum.undoing import to_undo
from requorum.wellness import left_behind

URLS = {name(n): f"https://10.0.0.{10 + n}:2379" for n in range(3)}


def config(*order: int, by: str = "name") -> str:
    """master-config.yaml that lists these hosts, in this order."""
    lines = [f"  - https://{name(n) if by == 'name' else f'10.0.0.{10 + n}'}:2379  # host {n}\n" for n in order]
    return f"# mine\netcdClientInfo:\n  urls:\n{''.join(lines)}kind: MasterConfig\n"


def on(n: int, text: str, *, found: str = "", **more: object) -> HostFacts:
    """A healthy member on a master with this configuration."""
    was = master_config.parse(found) if found else None
    return replace(healthy(n), master=Master(master_config.parse(text), was, **more))  # type: ignore[arg-type]


def masters(*lost: int) -> Inventory:
    said = inventory(lost=lost)
    return replace(said, masters=Masters(tuple(MasterHost(h.name, h.address, h.ssh) for h in said.etcd.hosts)))


KNOWN = naming.places(masters(), survey(*(on(n, config(0, 1, 2)) for n in range(3))))


def believed(facts: HostFacts, changes: Sequence[Change]) -> HostFacts:
    for change in changes:
        facts = change.after(facts)
    return facts


def parts(changes: list[Change]) -> list[ClientChange]:
    """What is made in one round trip, in its order."""
    (together,) = changes
    assert isinstance(together, Together)
    return list(together.changes)


def test_it_is_edited_and_later_put_together_again_byte_for_byte() -> None:
    """Comments at the lines that go are not lost: the file as it was found is kept, and edited anew."""
    text = config(1, 0, 2)
    before = on(1, text)
    changes = name_members(before, names(0), URLS, KNOWN, restart=True)
    assert [type(c) for c in parts(changes)] == [WriteFile, WriteFile, KeepFound, EditFile]
    alone = believed(before, changes)
    assert alone.master is not None
    assert alone.master.config.text == config(0)
    assert alone.master.owes == ("api", "controllers")
    assert name_members(alone, names(0), URLS, KNOWN) == []
    whole = believed(alone, name_members(alone, names(0, 1, 2), URLS, KNOWN))
    assert whole.master is not None
    assert whole.master.config.text == text
    assert believed(whole, forget_found(whole, whole=True)).master == replace(whole.master, found=None)
    assert forget_found(whole, whole=False) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("kind: MasterConfig\n", "kind: MasterConfig\n# ticket 4711\n"),
        ("# mine\n", "# ours\n"),
        ("etcdClientInfo:\n", "etcdClientInfo:\n  certFile: mended.crt\n"),
    ],
    ids=["below", "above", "beside"],
)
def test_what_somebody_else_wrote_meanwhile_stays_and_the_lists_are_as_they_were(old: str, new: str) -> None:
    facts = on(0, config(0).replace(old, new), found=config(1, 0, 2))
    whole = believed(facts, name_members(facts, names(0, 1, 2), URLS, KNOWN)).master
    assert whole is not None
    assert whole.config.text == config(1, 0, 2).replace(old, new)


def test_where_somebody_edited_the_list_itself_its_hosts_have_the_names_that_they_had() -> None:
    facts = on(0, config(0).replace("# host 0", "# mine").replace("urls:", "urls:  # mine"), found=config(1, 0, 2))
    edited = believed(facts, name_members(facts, names(0, 1), URLS, KNOWN)).master
    assert edited is not None
    assert "2379  # mine\n" in edited.config.text
    assert edited.config.urls == ("https://etcd-0.example.com:2379", "https://etcd-1.example.com:2379")


def test_an_abort_knows_whether_somebody_else_has_edited_it() -> None:
    facts = on(0, config(0) + "new: true\n", found=config(0, 1, 2))
    assert somebody_edited(facts, URLS, KNOWN)
    assert not somebody_edited(on(0, config(0), found=config(0, 1, 2)), URLS, KNOWN)
    assert not somebody_edited(on(0, config(0)), URLS, KNOWN)


def test_a_restart_is_owed_also_where_nothing_is_to_be_edited() -> None:
    facts = on(0, config(0))
    changes = name_members(facts, names(0), URLS, KNOWN, restart=True)
    assert [c.path for c in parts(changes) if isinstance(c, WriteFile)] == list(master.OWED)
    assert name_members(facts, names(0), URLS, KNOWN) == []


def test_the_abort_puts_it_back() -> None:
    facts = on(0, config(0), found=config(0, 1, 2), owes=("api", "controllers"))
    changes = put_back(facts)
    assert believed(facts, changes).master == Master(master_config.parse(config(0, 1, 2)))
    assert [c.path for c in changes if isinstance(c, RemoveFile)] == [*master.OWED, master.FOUND]
    restarted = put_back(on(0, config(0), found=config(0, 1, 2)))  # with a quorum, before the first member was added
    assert [c.component for c in restarted if isinstance(c, RestartMaster)] == ["api", "controllers"]
    assert put_back(on(0, config(0))) == []
    assert put_back(healthy(0)) == []


def test_an_abort_restarts_nothing_that_a_killed_run_had_not_edited() -> None:
    """Without a quorum an API that is restarted stays away."""
    before = on(0, config(0, 1, 2))
    changes = parts(name_members(before, names(0), URLS, KNOWN))
    for killed_after in range(1, len(changes) + 1):
        undone = put_back(believed(before, changes[:killed_after]))
        assert not any(isinstance(change, RestartMaster) for change in undone), killed_after
        assert believed(believed(before, changes[:killed_after]), undone).master == before.master


def test_restarts_only_what_is_owed() -> None:
    facts = on(2, config(0), owes=("controllers",))
    assert operations.masters.restart(facts, "api") == []
    assert operations.masters.restart(facts, "controllers") == [
        RestartMaster(name(2), "controllers", "https://etcd-2.example.com:8443", 8443)
    ]
    with pytest.raises(MissingFact):
        operations.masters.restart(healthy(2), "api")


def test_hosts_are_known_by_name_address_and_as_this_one() -> None:
    facts = on(0, config(0, 1, by="address"))
    assert facts.master is not None
    assert naming.strangers(name(0), facts.master, KNOWN) == []
    local = replace(facts.master, config=master_config.parse(config(0).replace(name(0), "localhost")))
    assert naming.disagreements(name(0), local, frozenset(names(0)), KNOWN) == []
    foreign = replace(facts.master, config=master_config.parse(config(0).replace(name(0), "vip.example.com")))
    assert naming.strangers(name(0), foreign, KNOWN) == ["https://vip.example.com:2379"]
    assert naming.disagreements(name(0), foreign, frozenset(names(0)), KNOWN) == [
        f"{name(0)}: etcdClientInfo.urls names https://vip.example.com:2379, which is no member",
        f"{name(0)}: etcdClientInfo.urls does not name the member on {name(0)}",
    ]


def test_by_which_names_masters_call_a_host() -> None:
    """As the file was found: a recovery has taken out those that are to join."""
    edited = on(0, config(0), found=config(0, 2, by="address"))
    local = on(1, config(1, 2).replace(name(1), "localhost"))
    assert naming.called_by_masters(KNOWN, [edited, local, healthy(2)]) == {
        name(0): {"10.0.0.10"}, name(1): set(), name(2): {"10.0.0.12", name(2)},
    }  # fmt: skip


def test_masters_that_agree_owe_nothing() -> None:
    found = diagnose(masters(), survey(*(on(n, config(n, *({0, 1, 2} - {n}))) for n in range(3))))
    assert found.verdict is Verdict.HEALTHY


@pytest.mark.parametrize(
    ("last", "owed"),
    [
        (on(2, config(2)), f"{name(2)}: etcdClientInfo.urls does not name the member on {name(0)}"),
        (on(2, config(0, 1, 2), owes=("api",)), f"a restart of the api on the master {name(2)}"),
        (on(2, config(0, 1, 2), found=config(2, 0, 1)), f"the master {name(2)} remembers how"),
    ],
)
def test_what_a_killed_run_left_on_a_master_is_owed(last: HostFacts, owed: str) -> None:
    found = diagnose(masters(), survey(on(0, config(0, 1, 2)), on(1, config(0, 1, 2)), last))
    assert found.verdict is Verdict.UNFINISHED
    assert any(owed in line for line in found.proof)
    assert found.path


def test_while_hosts_are_missing_the_found_file_is_no_debt() -> None:
    alone = on(0, config(0), found=config(0, 1, 2))
    api = healthy(0, members(0)).api
    found = diagnose(masters(1, 2), survey(replace(alone, api=api), silent(1), silent(2)))
    assert found.verdict is Verdict.HEALTHY


def test_an_abort_says_so_and_checks_see_an_owed_restart() -> None:

    facts = on(0, config(0), found=config(0, 1, 2), owes=("api",))
    bears = replace(facts, mark=signed(healthy(0), mark()))
    assert "master-config.yaml is put back" in to_undo(bears)
    assert any(master.owed_path("api") in line for line in left_behind(facts))


def test_a_host_that_is_no_master_is_not_asked_about_one() -> None:
    assert "master" not in commands("/backup")
    assert "master" not in commands("/backup", again=True)
    assert commands("/backup", is_master=True)["master"] == master.COMMAND


def test_what_an_api_lists() -> None:
    listed = '{"items": [{"metadata": {"name": "a", "resourceVersion": "7"}}]}'
    assert master_api.parse_list(listed) == {"a": 7}
    with pytest.raises(ValueError, match="expected a list of ConfigMaps"):
        master_api.parse_list("Unauthorized")


# What a step asks


def run_on(tmp_path: Path, *hosts: HostFacts | Silent, lost: tuple[int, ...] = ()) -> Run:
    found = Run("checks", masters(*lost), tmp_path, "20261125T000000Z", "ada@desk", 1, ())
    found.survey = survey(*hosts)
    found.diagnosis = diagnose(found.inventory, found.survey)
    return found


def test_what_names_members_and_is_not_edited_is_told(tmp_path: Path) -> None:
    arguments = "kubernetesMasterConfig: {apiServerArguments: {etcd-servers-overrides: ['/events#https://e:2379']}}\n"
    alone = on(0, config(0, 1, 2) + arguments, no_proxy=(".svc", name(1), "10.0.0.12"), missing=("oc",))
    alone = replace(alone, api=healthy(0, members(0)).api)
    asked = live.Masters(run_on(tmp_path, alone, silent(1), silent(2), lost=(1, 2)))
    overrides, proxy = asked.notes(name(0))
    assert "etcd-servers-overrides says /events#https://e:2379" in overrides
    assert "by hand" in overrides
    assert f"NO_PROXY in {master.ENVIRONMENT} names {name(1)}, 10.0.0.12" in proxy
    assert asked.problems(name(0)) == ["oc is not there: a master needs it"]
    assert [line.partition(" is silent")[0] for line in asked.silence] == [f"the master {name(n)}" for n in (1, 2)]
    assert asked.remaining == names(0)
    assert asked.urls == {name(0): "http://10.0.0.10:2379"}


def test_a_url_of_nobody_is_a_problem(tmp_path: Path) -> None:
    strange = on(0, config(0).replace(name(0), "vip.example.com"))
    asked = live.Masters(run_on(tmp_path, strange, healthy(1), healthy(2)))
    (problem,) = asked.problems(name(0))
    assert "line 4: it names https://vip.example.com:2379, which is no host of the inventory" in problem
    with pytest.raises(MissingFact, match="a master"):
        asked.surveyed(name(1))


def test_a_list_that_is_not_edited_is_a_problem(tmp_path: Path) -> None:
    strange = on(0, config(0, 1).replace("- ", "-\n    ", 1))
    (problem,) = live.Masters(run_on(tmp_path, strange, healthy(1), healthy(2))).problems(name(0))
    assert "line 5: expected the urls of etcdClientInfo.urls each behind its dash" in problem
    with pytest.raises(MissingFact, match=r"a configuration that can be edited, found .*, line 5: expected the urls"):
        operations.masters.name_members(strange, names(1), URLS, KNOWN)

"""Changes of the member list: their scripts against a stand-in for etcdctl, and what they set in the facts."""

from __future__ import annotations

from pathlib import Path

import pytest
from builders import answers, client, conf, facts, healthy, member, members, name, node, peer
from local_shell import LocalShell, stand_in

from requorum import operations
from requorum.changes import AddMember, Change, ChangeFailed, PromoteMember, RemoveMember, UpdatePeerUrls

HOST = name(0)
STATUS = '[{{"Status":{{"header":{{"member_id":{id},"revision":{revision}}}}}}}]'
LINE = "{id:x}, {state}, {name}, {peer}, {client}, {learner}\n"


def line(n: int, *, started: bool = True, learner: bool = False) -> str:
    """As `etcdctl member list` of 3.4 writes it."""
    return LINE.format(
        id=node(n), state="started" if started else "unstarted", name=f"m{n}" if started else "", peer=peer(n),
        client=client(n) if started else "", learner=str(learner).lower(),
    )  # fmt: skip


def etcdctl(folder: Path, script: str, *listed: str) -> LocalShell:
    """A host whose etcdctl lists the file `list`, and answers every other `member` command by `script`."""
    (folder / "list").write_text("".join(listed))
    (folder / "asked").touch()
    (folder / "its").write_text(STATUS.format(revision=7, id=node(1)))
    (folder / "its_keys").write_text('{"count":3}')
    stand_in(
        folder / "bin", "etcdctl",
        f"""cd {folder}; [ "$ETCDCTL_API" = 3 ] || exit 9
endpoints=$1
while :; do case $1 in member|endpoint|get|put|del) break;; esac; shift; done
case "$1 $endpoints" in
  "endpoint "*{client(1)}*) cat its; exit;;
  "get "*{client(1)}*) cat its_keys; exit;;
  "get "*) echo '{{"count":3}}'; exit;;
  "put "*|"del "*) echo '{{"header":{{"revision":7}}}}'; exit;;
esac
[ "$2" = list ] && {{ cat list; exit; }}
echo "$*" >> asked; n=$(wc -l < asked)
{script}""",
    )  # fmt: skip
    return LocalShell(folder / "bin")


def asked(folder: Path) -> list[str]:
    return (folder / "asked").read_text().splitlines()


@pytest.mark.parametrize("learner", [True, False])
def test_add(tmp_path: Path, learner: bool) -> None:
    added = line(1, started=False, learner=learner).strip()
    shell = etcdctl(tmp_path, f"echo '{added}' >> list", line(0))
    change = AddMember(HOST, "m1", (peer(1),), learner)
    assert change.do(shell)
    assert not change.do(shell)
    flag = "--learner " if learner else ""
    assert asked(tmp_path) == [f"member add m1 {flag}--peer-urls={peer(1)}"]
    assert change.shown() == f"etcdctl member add m1 {flag}--peer-urls={peer(1)}"


def test_a_member_with_two_peer_urls_is_found_whatever_their_order_in_etcd_conf(tmp_path: Path) -> None:
    """etcd lists them sorted, whatever it was told."""
    said, listed = "https://10.0.0.9:2380,https://10.0.0.11:2380", "https://10.0.0.11:2380,https://10.0.0.9:2380"
    joiner = facts(1, conf=conf(1, ETCD_INITIAL_ADVERTISE_PEER_URLS=said))
    [change] = operations.membership.add_learner(healthy(0, members(0)), joiner)
    added = LINE.format(id=node(1), state="unstarted", name="", peer=listed, client="", learner="true").strip()
    shell = etcdctl(tmp_path, f"echo '{added}' >> list", line(0))
    assert change.do(shell)
    assert not change.do(shell)
    assert asked(tmp_path) == [f"member add m1 --learner --peer-urls={listed}"]


@pytest.mark.parametrize("refusal", ["unhealthy cluster", "not enough started members", "too many learner members"])
def test_add_waits_for_what_passes(tmp_path: Path, refusal: str) -> None:
    added = line(1, started=False, learner=True).strip()
    refuse = f"[ $n -gt 2 ] || {{ echo 'Error: etcdserver: {refusal} in cluster' >&2; exit 1; }}"
    shell = etcdctl(tmp_path, f"{refuse}\necho '{added}' >> list", line(0))
    assert AddMember(HOST, "m1", (peer(1),)).do(shell)
    assert len(asked(tmp_path)) == 3


def test_add_tells_every_other_refusal_at_once(tmp_path: Path) -> None:
    shell = etcdctl(tmp_path, "echo 'Error: Peer URLs already exists' >&2; exit 1", line(0))
    with pytest.raises(ChangeFailed, match="Peer URLs already exists"):
        AddMember(HOST, "m1", (peer(1),)).do(shell)
    assert len(asked(tmp_path)) == 1


def test_add_whose_answer_got_lost_is_not_done_twice(tmp_path: Path) -> None:
    """The proposal was carried out, and the command timed out."""
    added = line(1, started=False, learner=True).strip()
    shell = etcdctl(tmp_path, f"echo '{added}' >> list; echo 'context deadline exceeded' >&2; exit 1", line(0))
    assert AddMember(HOST, "m1", (peer(1),)).do(shell)
    assert len(asked(tmp_path)) == 1


def test_a_peer_url_that_begins_like_another_is_another(tmp_path: Path) -> None:
    longer = line(0).replace(peer(0), peer(1) + "0")
    added = line(1, started=False, learner=True).strip()
    shell = etcdctl(tmp_path, f"echo '{added}' >> list", longer)
    assert AddMember(HOST, "m1", (peer(1),)).do(shell)


def test_promote_waits_until_it_has_caught_up(tmp_path: Path) -> None:
    refuse = "[ $n -gt 3 ] || { echo 'can only promote a learner member which is in sync with leader' >&2; exit 1; }"
    shell = etcdctl(tmp_path, f"{refuse}\nsed -i 's/true$/false/' list", line(0), line(1, learner=True))
    change = PromoteMember(HOST, "m1", (peer(1),), (client(1),))
    assert change.do(shell)
    assert not change.do(shell)
    assert set(asked(tmp_path)) == {f"member promote {node(1):x}"}


@pytest.mark.parametrize(
    ("file", "text", "why"),
    [
        ("its", STATUS.format(revision=6, id=node(1)), "it holds revision 6, this member 7"),
        ("its", STATUS.format(revision=7, id=node(2)), "another member answers"),
        ("its", '[{"errors":["memberID:1 alarm:NOSPACE"]}]', "it has an alarm"),
        ("its_keys", '{"count":2}', "it holds 2 keys at revision 7, this member 3"),
        ("its_keys", "", "it holds no keys"),
    ],
)
def test_promote_never_takes_a_learner_that_is_not_proven(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, text: str, why: str
) -> None:
    monkeypatch.setattr(PromoteMember, "seconds", 1)
    shell = etcdctl(tmp_path, "exit 0", line(0), line(1, learner=True))
    (tmp_path / file).write_text(text)
    with pytest.raises(ChangeFailed, match=f"the learner is not fit to vote: {why}"):
        PromoteMember(HOST, "m1", (peer(1),), (client(1),)).do(shell)
    assert asked(tmp_path) == []


def test_promote_of_nobody_is_told(tmp_path: Path) -> None:
    with pytest.raises(ChangeFailed, match="no member has the peer URL"):
        PromoteMember(HOST, "m1", (peer(1),), (client(1),)).do(etcdctl(tmp_path, "exit 1", line(0)))
    assert asked(tmp_path) == []


def test_remove(tmp_path: Path) -> None:
    shell = etcdctl(tmp_path, 'sed -i "/^$3,/d" list', line(0), line(1))
    change = RemoveMember(HOST, "m1", (peer(1),), node(1))
    assert change.do(shell)
    assert not change.do(shell)
    assert asked(tmp_path) == [f"member remove {node(1):x}"]


def test_remove_without_an_answer_has_not_removed(tmp_path: Path) -> None:
    """No list is not a list without the member."""
    shell = LocalShell(stand_in(tmp_path / "bin", "etcdctl", "echo 'context deadline exceeded' >&2; exit 1"))
    with pytest.raises(ChangeFailed, match="context deadline exceeded"):
        RemoveMember(HOST, "m1", (peer(1),), node(1)).do(shell)


def test_update_peer_urls(tmp_path: Path) -> None:
    shell = etcdctl(
        tmp_path, f"sed -i 's|http://localhost:2380|{peer(0)}|' list", line(0).replace(peer(0), "http://localhost:2380")
    )
    change = UpdatePeerUrls(HOST, "m0", (peer(0),), node(0))
    assert change.do(shell)
    assert not change.do(shell)
    assert asked(tmp_path) == [f"member update {node(0):x} --peer-urls={peer(0)}"]


def test_several_peer_urls_are_one_list(tmp_path: Path) -> None:
    both = (peer(0), "https://192.0.2.1:2380")
    shell = etcdctl(tmp_path, "exit 1", line(0).replace(peer(0), ",".join(both)))
    assert not UpdatePeerUrls(HOST, "m0", both, node(0)).do(shell)


ALONE = healthy(0, members(0))
WITH_LEARNER = healthy(0, (member(0), member(1, learner=True)))


@pytest.mark.parametrize(
    ("change", "before", "after"),
    [
        (RemoveMember(HOST, "m1", (peer(1),), node(1)), healthy(0, members(0, 1)), ALONE),
        (RemoveMember(HOST, "m1", (peer(1),), node(1)), ALONE, ALONE),
        (PromoteMember(HOST, "m1", (peer(1),), (client(1),)), WITH_LEARNER, healthy(0, members(0, 1))),
        (UpdatePeerUrls(HOST, "m0", (peer(5),), node(0)), ALONE, None),
        (AddMember(HOST, "m0", (peer(0),)), ALONE, ALONE),
    ],
)
def test_after(change: Change, before: object, after: object) -> None:
    found = change.after(before)  # type: ignore[arg-type]
    assert change.after(found) == found
    if after is not None:
        assert found.api.members == after.api.members  # type: ignore[attr-defined]


def test_after_add_there_is_a_member_without_an_id() -> None:
    added = AddMember(HOST, "m1", (peer(1),)).after(ALONE).members[-1]
    assert (added.id, added.name, added.peer_urls, added.client_urls, added.is_learner) == (
        0,
        "m1",
        (peer(1),),
        (),
        True,
    )


def test_after_update_the_member_has_the_urls() -> None:
    found = UpdatePeerUrls(HOST, "m0", (peer(5),), node(0)).after(ALONE)
    assert found.members[0].peer_urls == (peer(5),)


def test_nothing_is_believed_of_a_member_list_that_nobody_gave() -> None:
    deaf = facts(0)
    for change in (AddMember(HOST, "m1", (peer(1),)), RemoveMember(HOST, "m1", (peer(1),), 1)):
        assert change.after(deaf) == deaf
    assert answers(0, members(0)).answers

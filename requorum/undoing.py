"""What an unfinished recovery has done, from the marks that it left, and whether it can be undone. Pure.

What cannot be undone is a change of the member list: the forced start, or, with a quorum, a removal or an addition.
Until then everything else can; afterwards the recovery can only be finished.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from requorum.facts.beside import AnyFacts, BesideFacts
from requorum.facts.host import HostFacts, Silent
from requorum.facts.mark import Mark, id_of, line_of, urls_of
from requorum.facts.master_config import host_of
from requorum.facts.runtime import ASIDE, PARKED
from requorum.inventory import Inventory
from requorum.lineage import own_id
from requorum.naming import places
from requorum.obstacles import mistaken, obstacles
from requorum.runtimes import doubles

NOBODY: Mapping[str, BesideFacts | Silent] = {}

FINISH = "finish the recovery: the same command without --abort"


@dataclass(frozen=True)
class Undoing:
    """What is to be undone: `hosts` bear a mark, in the inventory's order; `words` say what is undone on each.

    `problems` are why it cannot be, with `advice`; `left` is what stays as it is.
    """

    recovery: str = ""
    survivor: str = ""
    operator: str = ""
    hosts: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    advice: tuple[str, ...] = ()
    left: tuple[str, ...] = ()

    @property
    def acts(self) -> bool:
        """There is something to undo, and it can be undone."""
        return bool(self.hosts) and not self.problems


def listed(facts: HostFacts) -> tuple[str, ...]:
    """The member list as a host has it, a line for each member; empty where it is not known.

    From a quorum's answer, else from the disk with every change that the log holds, committed or not: a forced start
    writes the removals down before anybody commits them.
    """
    if facts.api.answers and facts.api.members is not None:
        return tuple(sorted(line_of(m.id, m.peer_urls, learner=m.is_learner) for m in facts.api.members.members))
    data = facts.data
    if data is None or data.error or data.log is None:
        return ()
    return tuple(sorted(line_of(m.id, m.peer_urls, learner=m.is_learner) for m in data.members_to_be))


def undoing_of(
    inventory: Inventory,
    survey: Mapping[str, HostFacts | Silent],
    beside: Mapping[str, BesideFacts | Silent] = NOBODY,
) -> Undoing:
    """What is to be undone on the hosts of a survey, and on those beside the cluster, which bear no mark."""
    reached = [facts for facts in survey.values() if isinstance(facts, HostFacts)]
    marks = {facts.name: facts.mark for facts in reached if facts.mark}
    silent = [facts for facts in survey.values() if isinstance(facts, Silent)]
    # Without the reason: it is another at each look (no answer, no route), and this is what is agreed to.
    left = [f"{s.name} is silent, and was not looked at" for s in silent]
    left += [words for f in reached for words in (*_stays_fenced(f), *_stays_forced(f))]
    if not marks:
        return Undoing(left=tuple(left))
    apart = [facts for facts in beside.values() if isinstance(facts, BesideFacts)]
    problems, advice = obstacles(reached, inventory)
    for problem, next_ in (doubles(reached), mistaken(apart, reached, inventory.all_names)):
        problems += problem
        advice += next_
    for found in sorted({replace(mark, found=None) for mark in marks.values()}, key=lambda m: m.recovery):
        for problem, next_ in (_passed(found, survey), _unlisted(found, inventory, survey)):
            problems += problem
            advice += next_
    for one in silent:
        if one.alive or not inventory.host(one.name).lost:
            problems.append(f"{one.name} is silent ({one.reason}): it may be fenced by this recovery")
            advice.append(
                f"bring up {one.name}, and abort again; or, if it will not come back, write `lost: true` for it under "
                "etcd.hosts: it is left as it is, and can be undone with --abort when it is back"
            )
    for one in (facts for facts in beside.values() if isinstance(facts, Silent)):
        problems.append(f"{one.name} is silent ({one.reason}): this recovery may have edited what names members there")
        advice.append(
            f"bring up {one.name}, and abort again; or, if it will not come back, remove it from the inventory: it is "
            "left as it is"
        )
    for facts in reached:
        problem, next_ = _unknown(facts)
        problems += problem
        advice += next_
    newest = max(marks.values(), key=lambda m: m.recovery)
    return Undoing(
        recovery=newest.recovery,
        survivor=newest.survivor,
        operator=newest.operator,
        hosts=tuple(name for name in inventory.host_names if name in marks),
        words=(
            *(f"{f.name}: {'; '.join(to_undo(f)) or 'only the mark goes'}" for f in reached if f.mark),
            *(f"{f.name}: {'; '.join(words)}" for f in beside.values() if (words := _of_clients(f))),
        ),
        problems=tuple(problems),
        advice=tuple(dict.fromkeys(advice)),
        left=tuple(left),
    )


def _stays_fenced(facts: HostFacts) -> list[str]:
    """A fence that is none of this recovery's own, or that it raised at first contact, on an old peer; or was left by one."""
    found = facts.mark.found if facts.mark else None
    if found and found.fenced and not (facts.unit.fenced or facts.fence_lifted):
        return [
            f"{facts.name}: the fence that was found there stays lifted: etcd ran beside it, or its member answers by now, "
            "and would not start the next time"
        ]
    if not (facts.unit.fenced or facts.fence_lifted) or (facts.mark and not (found and found.fenced)):
        return []
    why = "its member was removed, or is not to rejoin"
    return [
        f"{facts.name} stays fenced: {why if facts.mark else f'it bears no mark, since {why}'}; do not start etcd there, "
        "the same command without --abort says what is to be done"
    ]


def _stays_forced(facts: HostFacts) -> list[str]:
    """An earlier recovery's force: an abort goes back to what this recovery found, which was there after it."""
    earlier = facts.forced_by
    if earlier is not None and facts.mark is not None and earlier.recovery == facts.mark.recovery:
        earlier = earlier.earlier
    if earlier is None:
        return []
    return [
        f"{facts.name} was forced by recovery {earlier.recovery}, before: that is not undone, and the members that it "
        "removed are none any more"
    ]


def to_undo(facts: HostFacts) -> list[str]:
    """What is undone on a host that bears a mark, in this order."""
    found, recovery = (facts.mark.found, facts.mark.recovery) if facts.mark else (None, "")
    if found is None:
        return []
    words = []
    if facts.enabled_since:
        words.append(f"{facts.unit.runtime.unit} is disabled again, as it was found")
    if facts.unit.forced:
        words.append("the force is taken off the start path")
    if facts.conf.sha256 != found.conf:
        words.append("etcd.conf is put back")
    if facts.unit.probe_is_out:
        words.append("the liveness probe returns into the manifest")
    words += _of_clients(facts)
    if facts.issuing.there:
        words.append(
            "certificates that were made for it go, and those in whose place they came return; the CA's database "
            "keeps what it has issued"
        )
    if facts.moved_aside:
        words.append("its data is moved back" if found.data else "what was moved aside is moved back")
        if facts.has_data:
            words[-1] += f", and what a join has left there into openshift-backup-requorum-{recovery}-after"
    if facts.fence_lifted:
        words.append("the fence that was found is raised again")
    if facts.unit.fenced and not found.fenced:
        words.append("the fence is lifted")
    if found.runs and not facts.processes:
        words.append("etcd is started" if found.starts else "etcd is not started: its data was gone when it was found")
    return words


def _of_clients(facts: AnyFacts | Silent) -> list[str]:
    if isinstance(facts, Silent):
        return []
    words = []
    if facts.master and facts.master.found and facts.master.found.text != facts.master.config.text:
        words.append("master-config.yaml is put back")
    if facts.flannel and facts.flannel.found and facts.flannel.found.text != facts.flannel.config.text:
        words.append("Flannel's configuration is put back")
    return words


def _passed(mark: Mark, survey: Mapping[str, HostFacts | Silent]) -> tuple[list[str], list[str]]:
    """Why the point of no return is behind this recovery, or may be, and what to do; empty where it is not."""
    survivor = survey.get(mark.survivor)
    if not isinstance(survivor, HostFacts):
        why = f"is silent ({survivor.reason})" if survivor else "is not in the inventory"
        said = f"the survivor {mark.survivor} {why}: whether it was forced is not known"
        return [said], [f"bring up {mark.survivor}, and abort again"]
    if survivor.forced:
        return [f"etcd on {mark.survivor} forces a new cluster at this moment (step 42)"], [FINISH]
    answering = [f for f in survey.values() if isinstance(f, HostFacts) and f.api.answers]
    speaker = survivor if survivor.api.answers or not answering else answering[0]
    now = listed(speaker)
    if not now or not mark.members:
        why = speaker.data.error if speaker.data and speaker.data.error else "it gives none"
        what = f"the member list of {speaker.name} ({why})" if not now else "the member list that the recovery found"
        said = f"{what} is not known, nor then whether the point of no return has passed"
        return [said], ["mend what keeps it from being read, and abort again; or " + FINISH]
    before = _without_rejected(mark, speaker)
    gone = [line for line in before if line not in now]
    new = [line for line in now if line not in before]
    if not (gone or new):
        return [], []
    told = [f"{what}: {', '.join(lines)}" for what, lines in (("no longer in it", gone), ("new in it", new)) if lines]
    return (
        [
            f"the point of no return has passed: the member list on {speaker.name} is not the one that recovery "
            f"{mark.recovery} found ({'; '.join(told)}); no abort brings that back"
        ],
        [FINISH],
    )


def _without_rejected(mark: Mark, speaker: HostFacts) -> tuple[str, ...]:
    """The member list that the recovery found; an earlier version wrote down what etcd had rejected, too."""
    rejected: frozenset[int] = frozenset() if speaker.data is None else speaker.data.rejected
    return tuple(line for line in mark.members if id_of(line) not in rejected)


def _unlisted(
    mark: Mark, inventory: Inventory, survey: Mapping[str, HostFacts | Silent]
) -> tuple[list[str], list[str]]:
    """Members that the recovery found, and whose hosts the inventory does not have (any more); empty where there are none.

    A mark does not say which hosts were fenced. A host that never was in the inventory was not; it is named too, since
    that cannot be told from here, and `lost: true` lets the abort pass.
    """
    known = places(inventory, survey)
    here = {own_id(facts) for facts in survey.values() if isinstance(facts, HostFacts)}
    problems, advice = [], []
    for line in mark.members:
        number, urls = id_of(line), urls_of(line)
        if number in here or any(host_of(url) in known for url in urls):
            continue
        problems.append(
            f"no host of the inventory has the member {number:x} ({', '.join(urls)}) that recovery {mark.recovery} found: it "
            "may be fenced by this recovery"
        )
        advice.append(
            f"put the host of {', '.join(urls)} back under etcd.hosts in the inventory (with `lost: true` if it will not "
            "come back), and abort again"
        )
    return problems, advice


def _unknown(facts: HostFacts) -> tuple[list[str], list[str]]:
    """What on a marked host would have to be guessed, and what to do; empty where nothing would."""
    if facts.mark is None:
        return [], []
    found = facts.mark.found
    if found is None:
        said = f"the mark on {facts.name} does not say what was found there: it is of an older version"
        return [said], [f"{FINISH}; or undo by hand, with the backups of recovery {facts.mark.recovery}"]
    parked = facts.unit.fenced or facts.moved_aside
    if ASIDE in facts.unit.runtime.further and parked and not (found.fenced or found.starts):
        said = (
            f"{facts.name}: the manifest of a pod that is not to run again would be moved to {ASIDE}, and one is there"
        )
        return [said], [f"{facts.name}: compare it with {PARKED}, mv {ASIDE} /root/, and abort again"]
    if facts.unit.masked and found.starts and not facts.processes:
        return [f"etcd is masked on {facts.name}, and not by Requorum"], [
            f"systemctl unmask {facts.unit.runtime.short} there, and abort again"
        ]
    return [], []

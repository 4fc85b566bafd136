"""The operator's word before the first change."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence

import pytest

from requorum.ansible import AnsibleGroup
from requorum.clients import Client
from requorum.diagnosis import Diagnosis, Verdict
from requorum.enlisted import absent, taken_out
from requorum.lineage import holds_nothing
from requorum.naming import disagreements, hosts_of, places
from requorum.records import Confirmed
from requorum.run import Run
from requorum.stages.signals import WORDS
from requorum.stages.uncaptured import uncaptured
from requorum.undoing import listed

FRESH_SECONDS = 5.0
"""For so long a survey is taken to be what there is, where no other run was on these hosts."""


class NotConfirmed(Exception):
    """The operator did not agree, or could not be asked; `advice` says how to agree."""

    def __init__(self, why: str, advice: str) -> None:
        super().__init__(why)
        self.advice = advice


def asked(run: Run) -> str:
    """What the operator agrees to; the proof of it was shown right before."""
    return "\n".join([*_planned(run), *_broken(run)])


def _planned(run: Run) -> list[str]:
    return _undoing(run) if run.mode == "abort" else _recovery(run)


def _undoing(run: Run) -> list[str]:
    return [
        f"Cluster {run.inventory.cluster}: that recovery is undone, host by host as above.",
        *([f"{run.ansible.path}: [etcd] is put back."] if run.ansible and AnsibleGroup(run).to_undo else []),
        *(f"Left as it is: {line}." for line in run.undoing.left),
        "The loss is then what it was; the backups stay.",
    ]


def _recovery(run: Run) -> list[str]:
    found = run.proven
    lines = [f"Cluster {run.inventory.cluster}: {found.verdict.value}."]
    survivor = "its data becomes the cluster" if found.verdict is Verdict.LOST else "it speaks for the cluster"
    lines += [f"Survivor:  {found.survivor}: {survivor}.", f"Loss:      {found.loss}."]
    fenced = [name for name in found.others if name not in run.reached or not run.reached[name].fenced]
    none = "no further host" if found.others else "no host"
    stopped = f"{', '.join(fenced)} (etcd stopped, across reboots too, until they join)"
    lines.append(f"Fenced:    {stopped if fenced else none}.")
    unreached = [name for name in run.inventory.host_names if name not in run.reached]
    if unreached:
        lines.append(f"Silent:    {', '.join(unreached)}: not fenced.")
    if run.unseen:
        lines.append(f"Silent:    {', '.join(run.unseen)}: what names members there is edited when they are back.")
    if found.removals:
        lines.append(f"Removed:   {', '.join(m.name for m in found.removals)} leave the member list.")
    lines += _removed_before(run, found)
    newcomers = run.hosts("newcomers")
    if newcomers:
        lines.append(f"Rejoining: {', '.join(newcomers)}. Their old data is moved aside, never deleted.")
    if listed := [name for name in found.joiners if name not in newcomers]:
        lines.append(f"Rejoining: {', '.join(listed)}, in the member list already, with the data that is there.")
    for one in (order for order in run.orders() if not order.problems):
        lines.append(
            f"Made:      certificates ({', '.join(one.kinds)}) for {one.host}, signed on {one.authority}; old ones are kept."
        )
    living = [name for name in run.hosts("probed") if run.reached[name].unit.probed]
    if pods := [n for n in run.hosts("pods") if run.reached[n].unit.probed and n not in living]:
        what = "etcd's liveness probe leaves the manifest while etcd is stopped; its return at the end restarts the pod"
        lines.append(f"Pods:      {', '.join(pods)}: {what}.")
    if living:
        what = "etcd's liveness probe wants every member; it leaves the manifest before a host joins, and returns at the end"
        lines.append(f"Pods:      {', '.join(living)}: {what}. Each restarts the pod, one after the other.")
    if disabled := _disabled(run):
        units = sorted({run.reached[name].unit.runtime.short for name in disabled})
        lines.append(f"At boot:   {', '.join(disabled)}: systemctl enable {' '.join(units)}, which is disabled there.")
    if masters := _masters_to_change(run, found):
        what = "master-config.yaml is edited; API and controllers are restarted, one master at a time"
        lines.append(f"Masters:   {', '.join(masters)}: {what}.")
    if flannel := run.hosts("flannel"):
        what = (
            "its endpoints are edited; flanneld is restarted, one host at a time (and docker, where that requires it)"
        )
        lines.append(f"Flannel:   {', '.join(flannel)}: {what}.")
    return [*lines, *_group(run), _point_of_no_return(run, found)]


def _removed_before(run: Run, found: Diagnosis) -> list[str]:
    """The hosts whose members an earlier force has removed: with data of their own, or without any."""
    emptied = [name for name in found.old_peers if name in run.reached and holds_nothing(run.reached[name])]
    old = [name for name in found.old_peers if name not in emptied]
    lines = []
    if old:
        first = "" if _all_fenced(run, old) else " They are fenced first."
        lines.append(f"Old peers: {', '.join(old)}.{first} What they wrote by themselves is shown, not merged.")
    if emptied:
        first = "" if _all_fenced(run, emptied) else " They are fenced first."
        lines.append(f"Emptied:   {', '.join(emptied)}: etcd has started there by itself, and holds nothing.{first}")
    return lines


def _all_fenced(run: Run, names: Sequence[str]) -> bool:
    return all(name in run.reached and run.reached[name].fenced for name in names)


def _disabled(run: Run) -> list[str]:
    """The hosts whose member is, and stays, one, and is not started by any boot: step 61 changes that."""
    stay = [name for name in run.hosts("whole") if name not in run.hosts("joiners")]
    members = [run.reached[name] for name in stay if name in run.reached]
    return [facts.name for facts in members if facts.unit.file_state == "disabled" and facts.unit.runtime.runs_at_boot]


def _masters_to_change(run: Run, found: Diagnosis) -> tuple[str, ...]:
    """The masters, where the member list changes, or an earlier run has left something undone on one of them."""
    names = run.hosts("masters")
    listed = run.reached[found.survivor].api.members if found.survivor in run.reached else None
    if found.verdict is Verdict.LOST or found.joiners or found.removals or listed is None:
        return names
    known = places(run.inventory, run.survey)
    wanted = hosts_of(listed.members, known)
    on = {name: master for name in names if (master := run.all_reached[name].master) is not None}
    return tuple(
        name
        for name, master in on.items()
        if master.owes or disagreements(name, master, wanted, known) or Client(run, name).was_unseen
    )


def _group(run: Run) -> list[str]:
    """Who leaves the group [etcd], and who returns to it: those who are out of it already leave it no more."""
    if run.ansible is None or run.ansible.wrong or (group := AnsibleGroup(run)).aside:
        return []
    gone = absent(run.inventory, run.ansible)
    out = taken_out(run.inventory, run.ansible)
    leaving = [name for name in group.leaving if name not in gone]
    back = [name for name in out if name in {*run.proven.joiners, *run.proven.members}]
    lines = []
    if leaving:
        lines.append(f"Ansible:   {', '.join(leaving)} leave [etcd] in {group}, and return as members; a copy is kept.")
    if back:
        lines.append(f"Ansible:   {', '.join(back)} return to [etcd] in {group} as members.")
    return lines


def _point_of_no_return(run: Run, found: Diagnosis) -> str:
    speaker = run.reached.get(found.survivor)
    if speaker and speaker.mark and speaker.mark.members and listed(speaker) not in ((), speaker.mark.members):
        return "Point of no return: it has passed, the member list has changed; --abort cannot undo this recovery."
    if found.verdict is Verdict.LOST:
        step = "step 42, which forces a new cluster on the survivor"
    elif found.removals:
        step = "step 31, which removes members"
    elif found.joiners:
        step = "step 51, which adds the first member"
    else:
        return "The member list stays as it is."
    return f"Point of no return: {step}. There is no way back from there; until then --abort undoes everything."


def _broken(run: Run) -> list[str]:
    """Whose locks are broken by this, where any are: the refusal of any other came before."""
    return [f"Broken:    the lock of {who}, on {', '.join(names)}." for who, names in run.holders().items()]


def confirm(run: Run, config: pytest.Config, write: Callable[[str, str], None]) -> None:
    """Get the operator's word and write it down; `write` shows what is agreed to, asked or not. Raises NotConfirmed."""
    write(f"\n{asked(run)}", "")

    def agreed(how: str) -> None:
        write(f"agreed: {how}", "")
        run.journal.add(Confirmed(how, run.operator, True))

    if not run.inventory.confirm:
        return agreed("`confirm: false` in the inventory")
    if config.option.confirm == run.inventory.cluster:
        return agreed(f"--confirm {config.option.confirm}")
    try:
        typed = _typed(f"\nType the cluster's name to go on ({run.inventory.cluster}): ", config)
    except KeyboardInterrupt:
        run.journal.add(Confirmed(f"stopped by {WORDS} while it asked", run.operator, False))
        raise
    if typed is None:
        run.journal.add(Confirmed("no terminal to ask on", run.operator, False))
        raise NotConfirmed(
            "this has to be agreed to, and there is no terminal to ask on",
            f"read what it does, above; then agree with the same command and --confirm {run.inventory.cluster}",
        )
    run.journal.add(Confirmed("typed on the terminal", run.operator, typed.strip() == run.inventory.cluster))
    if typed.strip() != run.inventory.cluster:
        raise NotConfirmed(
            f"expected the cluster's name, {run.inventory.cluster!r}, found {typed.strip()!r}",
            "run the same command again, and type the name",
        )
    return None


def look_again(run: Run, breaking: str) -> None:
    """Look once more where the survey may be old by now: the hosts' locks are ours, so no other run changes it any more.

    The operator was waited for, however long; or a run whose connections were lost has gone on under the lock that nobody
    seemed to hold. Raises NotConfirmed where what was agreed to is not what would be asked now, and what `Run.look` raises.
    """
    fresh = time.monotonic() - run.looked <= FRESH_SECONDS
    if fresh and not any(facts.lock.run for facts in run.all_reached.values()):
        return
    agreed, recovery = _planned(run), run.recovery
    run.look(breaking)
    run.tell_verdict()
    found = _planned(run)
    if found == agreed and run.acts and run.recovery == recovery:
        return
    new = [line for line in found if line not in agreed]
    if run.recovery != recovery:
        new.insert(0, f"Under way: recovery {run.recovery}.")
    raise NotConfirmed(
        f"what was agreed to is no longer what there is; found now: {' '.join(new) or 'less than before'}",
        "run the same command again: it looks anew, and asks again",
    )


def _typed(question: str, config: pytest.Config) -> str | None:
    """What the operator typed, empty at the end of the input; None without a terminal to ask on."""
    with uncaptured(config):  # first: what pytest puts in the place of a terminal is none
        try:
            return input(question) if sys.stdin.isatty() else None
        except EOFError:
            return ""

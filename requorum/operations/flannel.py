"""Operations on Flannel's configuration on a host, and on its daemon."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from requorum.changes import Change, EditFile, RemoveFile, RestartFlannel, WriteFile
from requorum.facts import flanneld_conf
from requorum.facts.beside import AnyFacts
from requorum.facts.flannel import FOUND, LEASES, OWED, SERVED, Flannel, kept_text
from requorum.facts.host import MissingFact
from requorum.naming import Places
from requorum.operations.member_lists import left_by_us, text_naming

_OWED_TEXT = "Requorum has edited /etc/sysconfig/flanneld, and restarts flanneld. See its report.\n"


def name_members(
    facts: AnyFacts, wanted: Collection[str], urls: Mapping[str, str], known: Places, *, restart: bool = False
) -> list[Change]:
    """38.1.2 and stage 6: flanneld's endpoints are the members on the hosts `wanted`, and no other.

    The file is edited from what the recovery found first: its order comes back. `urls` says what is written for a host
    that it has never named. `restart`: flanneld is to be restarted in any case. Raises MissingFact for a host without it.
    """
    found = _flannel(facts)
    text = text_naming(facts.name, found.config, found.found, wanted, urls, known, flanneld_conf.parse)
    differs = text != found.config.text
    if not differs and not restart:
        return []
    # Before the edit: a run that is killed must not forget the restart, nor what was there. The debt comes first: a file
    # that was found and owes nothing is one that flanneld was restarted with, and is again by an abort.
    changes = [_note(facts, OWED, _OWED_TEXT)]
    if differs and not found.found:
        changes.append(_note(facts, FOUND, found.config.text))
    if found.kept is None and found.keys == SERVED:
        changes.append(_note(facts, LEASES, kept_text(found.leases)))
    return changes + ([EditFile(facts.name, flanneld_conf.PATH, text, found.config.text)] if differs else [])


def restart(facts: AnyFacts) -> list[Change]:
    """Restart a flanneld that still runs with another configuration; where it does not run, nothing is owed."""
    found = _flannel(facts)
    if not found.owes:
        return []
    return [RestartFlannel(facts.name, found.config) if found.is_to_run else RemoveFile(facts.name, OWED)]


def forget_leases(facts: AnyFacts) -> list[Change]:
    """The leases were compared."""
    return [RemoveFile(facts.name, LEASES)] if _flannel(facts).kept is not None else []


def forget_found(facts: AnyFacts, *, whole: bool) -> list[Change]:
    """Every member is named again: how the file was found is not needed any more."""
    return [RemoveFile(facts.name, FOUND)] if whole and _flannel(facts).found else []


def put_back(facts: AnyFacts) -> list[Change]:
    """Undo `name_members`: the configuration as the recovery found it; a flanneld that was restarted since is again."""
    found = facts.flannel
    if found is None or (found.found is None and not found.owes):
        return []
    was, changes = found.found or found.config, list[Change]()
    if was.text != found.config.text:
        changes.append(EditFile(facts.name, flanneld_conf.PATH, was.text, found.config.text))
    if found.owes:
        changes.append(RemoveFile(facts.name, OWED))
    elif found.is_to_run:
        changes += [_note(facts, OWED, _OWED_TEXT), RestartFlannel(facts.name, was)]
    changes += [RemoveFile(facts.name, LEASES)] if found.kept is not None else []
    return changes + ([RemoveFile(facts.name, FOUND)] if found.found else [])


def somebody_edited(facts: AnyFacts, urls: Mapping[str, str], known: Places) -> bool:
    """The file is neither what a recovery found nor what it made of that."""
    found = facts.flannel
    if found is None or found.found is None:
        return False
    ours = left_by_us(facts.name, found.config, found.found, urls, known)
    return found.config.text not in (found.found.text, ours)


def _note(facts: AnyFacts, path: str, text: str) -> Change:
    return WriteFile(facts.name, path, text, mode="0600")


def _flannel(facts: AnyFacts) -> Flannel:
    if facts.flannel is None:
        raise MissingFact(facts.name, "Flannel", "a host without /etc/sysconfig/flanneld")
    return facts.flannel

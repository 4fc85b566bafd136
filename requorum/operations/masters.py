"""Operations on the configuration of an OpenShift master, and on its processes."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from requorum.changes import Change, ClientChange, EditFile, KeepFound, RemoveFile, RestartMaster, Together, WriteFile
from requorum.facts import master, master_api, master_config
from requorum.facts.beside import AnyFacts
from requorum.facts.host import MissingFact
from requorum.facts.master import COMPONENTS, Component, Master
from requorum.facts.master_config import MasterConfigError
from requorum.naming import Places
from requorum.operations.member_lists import left_by_us, text_naming

_OWED = "Requorum has edited master-config.yaml, and restarts this component. See its report.\n"


def name_members(
    facts: AnyFacts, wanted: Collection[str], urls: Mapping[str, str], known: Places, *, restart: bool = False
) -> list[Change]:
    """38.1.2 and stage 6: every list of members in master-config.yaml names the hosts `wanted`, and no other.

    Each master keeps an order of its own, so the file is edited from what the recovery found first. `urls` says what is
    written for a host that a list has never named. `restart`: API and controllers are to be restarted in any case.
    Raises MissingFact where the host was not read as a master, or its file cannot be edited, which stage 1 tells first.
    """
    found = _master(facts)
    try:
        text = text_naming(facts.name, found.config, found.found, wanted, urls, known, master_config.parse)
    except MasterConfigError as error:
        raise MissingFact(facts.name, "a configuration that can be edited", str(error)) from None
    differs = text != found.config.text
    if not differs and not restart:
        return []
    # First: a run that is killed after the edit must not forget the restart, nor how the file was. The debt before the note:
    # an abort takes a master with the note alone for one that was edited and restarted.
    changes: list[ClientChange] = [
        WriteFile(facts.name, master.owed_path(one), _OWED, mode="0600") for one in COMPONENTS
    ]
    changes += [KeepFound(facts.name)] if differs and not found.found else []
    changes += [EditFile(facts.name, master_config.PATH, text, found.config.text)] if differs else []
    return [Together(facts.name, tuple(changes))]


def restart(facts: AnyFacts, component: Component) -> list[Change]:
    """Restart a component that still runs with another configuration; nothing where that is not owed."""
    found = _master(facts)
    if component not in found.owes:
        return []
    return [_restart(facts, found, component)]


def _restart(facts: AnyFacts, found: Master, component: Component) -> Change:
    return RestartMaster(facts.name, component, master_api.server_of(facts), found.config.port)


def forget_found(facts: AnyFacts, *, whole: bool) -> list[Change]:
    """Every member is named again: how the file was found is not needed any more."""
    return [RemoveFile(facts.name, master.FOUND)] if whole and _master(facts).found else []


def put_back(facts: AnyFacts) -> list[Change]:
    """Undo `name_members`: master-config.yaml as the recovery found it, and what was restarted with the other one is again.

    Before the force nothing was, since there was no etcd to connect to; with a quorum everything may have been.
    """
    found = facts.master
    if found is None:
        return []
    if found.found is None:  # nothing was edited: killed before it, or there was nothing to edit
        return [RemoveFile(facts.name, master.owed_path(one)) for one in COMPONENTS if one in found.owes]
    written = EditFile(facts.name, master_config.PATH, found.found.text, found.config.text)
    changes: list[Change] = [written] if found.found.text != found.config.text else []
    for component in COMPONENTS:
        path = master.owed_path(component)
        if component in found.owes:
            changes.append(RemoveFile(facts.name, path))
        else:
            changes += [WriteFile(facts.name, path, _OWED, mode="0600"), _restart(facts, found, component)]
    return [*changes, RemoveFile(facts.name, master.FOUND)]


def somebody_edited(facts: AnyFacts, urls: Mapping[str, str], known: Places) -> bool:
    """The file is neither what a recovery found nor what it made of that."""
    found = facts.master
    if found is None or found.found is None:
        return False
    ours = left_by_us(facts.name, found.config, found.found, urls, known)
    return found.config.text not in (found.found.text, ours)


def _master(facts: AnyFacts) -> Master:
    if facts.master is None:
        raise MissingFact(facts.name, "a master", "a host that was not read as one")
    return facts.master

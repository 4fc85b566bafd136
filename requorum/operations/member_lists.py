"""The text of a file that names members, once it names these and no others: made from how a recovery found it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol, TypeVar

from requorum.facts.merged import merged
from requorum.naming import NamesMembers, Places, place_of


class Editable(NamesMembers, Protocol):
    """A configuration that can be edited."""

    @property
    def text(self) -> str:
        """The whole of it."""

    def edited(self, keep: Callable[[str], bool], added: Callable[[Collection[str]], Sequence[str]]) -> str:
        """The text with the urls to keep, and those that `added` says when it is asked with them."""


Config = TypeVar("Config", bound=Editable)
Parse = Callable[[str], "Config | None"]


def text_naming(
    on: str,
    config: Config,
    found: Config | None,
    wanted: Collection[str],
    urls: Mapping[str, str],
    known: Places,
    parse: Parse[Config],
) -> str:
    """The configuration of the host `on` with its lists naming `wanted`: as it was found, and with what others wrote since.

    `urls` says what is written for a host that a list has never named.
    """
    if found is None:
        return _edited(config, on, wanted, urls, known)
    urls = {**urls, **{place_of(url, on, known): url for url in found.urls}}
    text = _edited(found, on, wanted, urls, known)
    ours = left_by_us(on, config, found, urls, known)
    if config.text == ours:
        return text
    both = merged(ours, text, config.text)
    if both is not None and _names(both, on, known, parse) == set(wanted):
        return both
    return _edited(config, on, wanted, urls, known)  # somebody has edited the lists themselves


def left_by_us(on: str, config: Editable, found: Editable, urls: Mapping[str, str], known: Places) -> str:
    """What a recovery made of the configuration that it found, when it named the hosts that are named now."""
    named = {place_of(url, on, known) for url in config.urls}
    return _edited(found, on, named, urls, known)


def _names(text: str, on: str, known: Places, parse: Parse[Config]) -> set[str] | None:
    """The hosts that every list of a text names; None where it cannot be read, or they differ."""
    try:
        config = parse(text)
    except ValueError:
        return None
    if config is None:
        return None
    first, *others = ({place_of(url, on, known) for url in one.urls} for one in config.lists)
    return first if all(one == first for one in others) else None


def _edited(config: Editable, on: str, wanted: Collection[str], urls: Mapping[str, str], known: Places) -> str:
    def added(kept: Collection[str]) -> list[str]:
        there = {place_of(url, on, known) for url in kept}
        return [urls[name] for name in wanted if name not in there and name in urls]

    return config.edited(lambda url: place_of(url, on, known) in wanted, added)

"""HTML from values: text is escaped by its type, so nothing that came from a host can become markup."""

from __future__ import annotations

import html
from collections.abc import Iterable
from dataclasses import dataclass

from requorum.display import visible

_VOID = frozenset({"meta", "br", "hr"})


@dataclass(frozen=True, slots=True)
class Markup:
    """HTML that is finished; everything else is text and is escaped."""

    html: str


Content = Markup | str | None


def escaped(content: Content) -> str:
    """Finished HTML as it is; text escaped, its unseen characters made visible; nothing for None."""
    if isinstance(content, Markup):
        return content.html
    return html.escape(visible(content), quote=True) if content else ""


def tag(name: str, /, *content: Content, **attributes: str) -> Markup:
    """An element. ``class_`` loses its underscore; empty attributes are left out."""
    given = "".join(f' {key.rstrip("_")}="{escaped(value)}"' for key, value in attributes.items() if value)
    if name in _VOID:
        return Markup(f"<{name}{given}>")
    return Markup(f"<{name}{given}>{''.join(map(escaped, content))}</{name}>")


def join(parts: Iterable[Content], between: str = "") -> Markup:
    """The parts one after the other, with `between` (text) in the middle."""
    return Markup(escaped(between).join(escaped(part) for part in parts))
